//! An attempt's hold on its interval, from its begin to its publish.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::error::Result;
use crate::base::fs::{names_in, remove_empty_folder, remove_folder};
use crate::commit::lock::{PublishLock, TaskLock, live_attempts};
use crate::commit::manifest::read_manifest;
use crate::commit::pending::{PendingFile, PendingRecord, pending_names};
use crate::commit::recover::{Recovered, settle};
use crate::commit::state::State;
use crate::commit::steps::restore_markers;
use crate::commit::supplies::CommitSupplies;
use crate::store::paths::RunPaths;

/// An attempt's hold on its interval. What it wrote must be published, handed over or discarded:
/// dropping it removes nothing.
#[derive(Debug)]
pub struct Attempt {
    pub(super) supplies: CommitSupplies,
    pub(super) state: State,
    pub(super) paths: RunPaths,
    task: String,
    /// The attempt that had published the interval when this one began.
    seen: Option<String>,
    /// Set where others may complete what this attempt has begun: nothing of it may go then.
    pub(super) is_handed_over: AtomicBool,
    /// On disk, held as long as the attempt lives.
    _lock: Option<TaskLock>,
}

impl Attempt {
    /// Begins an attempt at a task of an interval, `0-of-1` for all of it, and completes what
    /// crashed publishes of the pipeline left.
    ///
    /// # Errors
    /// `Error::Unavailable` if another attempt at the same task is at work, as far as that can be
    /// told: in an object store it shows only when one of them publishes.
    pub fn begin(
        supplies: CommitSupplies,
        state: State,
        paths: RunPaths,
        task: String,
    ) -> Result<(Attempt, Vec<Recovered>)> {
        let lock = state.folder().map(|folder| TaskLock::acquire(folder, &paths, &task));
        let lock = lock.transpose()?;
        let mut recovered = Vec::new();
        {
            let _publish_lock = lock_publish(&state, &paths)?;
            settle(&state, &supplies, &paths, &mut recovered)?;
            recovered.extend(remove_dead_stagings(&state, &paths, false)?);
        }
        let seen = read_manifest(&state, &paths)?.map(|manifest| manifest.attempt);
        let is_handed_over = AtomicBool::new(false);
        let attempt = Attempt { supplies, state, paths, task, seen, is_handed_over, _lock: lock };
        Ok((attempt, recovered))
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The attempt's names.
    pub fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Makes markers of the interval's tables right that are missing, or another publish's, though
    /// nothing is under way.
    pub fn restore_markers(&self) -> Result<()> {
        let manifest = read_manifest(&self.state, &self.paths)?;
        let tables = manifest.into_iter().flat_map(|manifest| manifest.tables).map(|table| {
            let place = self.supplies.open_table(&self.state, &self.paths, &table)?;
            Ok((RunPaths::table_folder(&table.output, &table.format), place))
        });
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let tables = tables.iter().map(|(name, place)| (name.clone(), place));
        restore_markers(&self.state, &self.paths, tables)
    }

    /// Writes down what the task has written: from here on a publish in any process can take it.
    pub fn put_pending<T: Serialize + DeserializeOwned>(
        &self,
        files: Vec<PendingFile>,
        work: T,
    ) -> Result<PendingRecord<T>> {
        let record = PendingRecord::new(&self.paths.attempt, self.seen.clone(), files, work);
        record.put(&self.state, &self.paths, &self.task)?;
        Ok(record)
    }

    /// Leaves what was written to a publish in another process.
    pub fn hand_over(&self) {
        self.is_handed_over.store(true, Relaxed);
    }

    /// Removes all that this attempt has written, if nobody can be publishing it.
    pub fn discard(&self, files: &[PendingFile]) -> Result<()> {
        if self.is_handed_over.load(Relaxed) {
            return Ok(());
        }
        self.supplies.abort_uploads(files, |_| true)?;
        self.state.remove([self.paths.pending_record(&self.task).as_str()])?;
        match self.state.folder() {
            Some(folder) => remove_staging(self.paths.staging(folder)),
            None => Ok(()),
        }
    }
}

/// The lock under which the state on disk changes; in an object store the head does what it does.
pub(super) fn lock_publish(state: &State, paths: &RunPaths) -> Result<Option<PublishLock>> {
    state.folder().map(|folder| PublishLock::acquire(folder, paths)).transpose()
}

/// Removes an attempt's staging folder, and its interval's if it was the last.
pub(super) fn remove_staging(staging: PathBuf) -> Result<()> {
    remove_folder(&staging)?;
    staging.parent().map_or(Ok(true), remove_empty_folder).map(|_| ())
}

/// Removes staging folders on disk whose attempts are dead and have left no pending record, or only
/// tells them.
pub(super) fn remove_dead_stagings(
    state: &State,
    paths: &RunPaths,
    is_dry_run: bool,
) -> Result<Vec<Recovered>> {
    let Some(folder) = state.folder() else { return Ok(Vec::new()) };
    let mut removed = Vec::new();
    for interval in names_in(&paths.stagings(folder))? {
        let paths = paths.of_interval(&interval);
        let attempts = names_in(&paths.stagings(folder).join(&interval))?;
        let live = live_attempts(folder, &paths)?;
        let pending: BTreeSet<String> = pending_names(state, &paths)?
            .into_iter()
            .filter_map(|name| Some(name.rsplit('/').next()?.strip_suffix(".json")?.to_owned()))
            .collect();
        for attempt in attempts {
            if live.contains(&attempt) || pending.contains(&attempt) {
                continue;
            }
            let paths = RunPaths { attempt: attempt.clone(), ..paths.clone() };
            if !is_dry_run {
                remove_staging(paths.staging(folder))?;
            }
            removed.push(Recovered::StagingRemoved { interval: interval.clone(), attempt });
        }
    }
    Ok(removed)
}
