//! An attempt's hold on its interval, from its begin to its publish.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use crate::commit::disk_table::DiskTable;
use crate::commit::drift::ColumnChanges;
use crate::commit::durable::{names_in, remove_empty_folder, remove_folder};
use crate::commit::head::ReadHead;
use crate::commit::lock::{PublishLock, TaskLock, live_attempts};
use crate::commit::manifest::{ManifestColumn, ManifestTable, read_manifest};
use crate::commit::pending::{PendingFile, PendingRecord, pending_names};
use crate::commit::recover::{Recovered, settle};
use crate::commit::state::State;
use crate::commit::steps::restore_markers;
use crate::commit::store_table::StoreTable;
use crate::commit::table::TablePlace;
use crate::error::{Error, Result};
use crate::store::paths::RunPaths;
use crate::store::{BlockingStore, StoreLocation, Stores, Upload};

/// Asked before each act of a publish, with its name; an error ends the publish there.
pub type BeforeAct = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// What committing needs from the world.
#[derive(Clone)]
pub struct CommitSupplies {
    /// What all stores share.
    pub stores: Stores,
    /// Drives the stores' requests. Nothing of this module may run on a thread that drives tasks.
    pub runtime: Handle,
    /// How long another attempt's publish into an object store may take before it is believed dead
    /// and completed for it. On disk, locks tell.
    pub patience: Duration,
    /// For tests, which end publishes by it.
    pub before_act: BeforeAct,
}

impl fmt::Debug for CommitSupplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitSupplies").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl CommitSupplies {
    /// Opens the state of all pipelines at a place.
    pub fn open_state(&self, location: &StoreLocation) -> Result<State> {
        match location.local_path() {
            Some(folder) => Ok(State::on_disk(folder)),
            None => Ok(State::in_store(self.open(location)?)),
        }
    }

    /// Opens the root of a table that an attempt publishes.
    pub(super) fn open_table(
        &self,
        state: &State,
        paths: &RunPaths,
        table: &ManifestTable,
    ) -> Result<Box<dyn TablePlace>> {
        let location = StoreLocation::parse(&table.root)?;
        let Some(root) = location.local_path() else {
            return Ok(Box::new(StoreTable(self.open(&location)?)));
        };
        let folder = state.folder().ok_or_else(|| {
            Error::config(format!("publishing to {location}: it is on disk, but the state is not"))
        })?;
        Ok(Box::new(DiskTable {
            root,
            stagings: paths.stagings(folder).join(&paths.interval),
            folder: RunPaths::table_folder(&table.output, &table.format),
            temporary: folder.join(&paths.pipeline).join("success.tmp"),
        }))
    }

    /// Aborts the uploads of pending files, those that are `wanted`.
    pub(super) fn abort_uploads(
        &self,
        files: &[PendingFile],
        wanted: impl Fn(&&Upload) -> bool,
    ) -> Result<()> {
        let mut uploads: BTreeMap<&str, Vec<(String, &Upload)>> = BTreeMap::new();
        for PendingFile { root, file } in files {
            if let Some(upload) = file.upload.as_ref().filter(&wanted) {
                uploads.entry(root).or_default().push((file.path(), upload));
            }
        }
        for (root, uploads) in uploads {
            let store = self.open(&StoreLocation::parse(root)?)?;
            store.abort(uploads.iter().map(|(path, upload)| (path.as_str(), *upload)))?;
        }
        Ok(())
    }

    /// Lets time pass.
    pub(super) fn pause(&self, pause: Duration) {
        self.runtime.block_on(self.stores.clock().sleep(pause));
    }

    /// Opens a place in a store.
    pub(super) fn open(&self, location: &StoreLocation) -> Result<BlockingStore> {
        BlockingStore::open(location, &self.stores, self.runtime.clone())
    }
}

/// An attempt's hold on its interval. Files that it wrote are discarded when it is dropped, unless
/// they wait in a pending record or are published.
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

    /// What changed in the columns of a table since its last publish; none if it has none yet.
    pub fn column_changes(
        &self,
        output: &str,
        format: &str,
        columns: &[ManifestColumn],
    ) -> Result<Option<ColumnChanges>> {
        let head = ReadHead::of(&self.state, &self.paths)?.head;
        let last = head.tables.get(&RunPaths::table_folder(output, format));
        Ok(last.map(|last| last.changes_to(columns)))
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
