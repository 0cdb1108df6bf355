//! An attempt at a task of a run, from its begin to its publish: the lock that it holds, what it
//! leaves for a publish, and what it takes away if it gives up.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Serialize;

use crate::base::error::Result;
use crate::base::run_ids::{AttemptId, AttemptKey};
use crate::commit::documents::{PendingFile, PendingRecord};
use crate::commit::lock::{PublishLock, TaskLock};
use crate::commit::markers::{NamedTable, restore_markers};
use crate::commit::pipeline_state::Commit;
use crate::commit::recover::recover;
use crate::commit::recovered::Recovered;
use crate::commit::staging::{remove_dead_stagings, remove_staging};
use crate::commit::state::to_json;
use crate::sink::table_folder;

/// An attempt at a task of a run. What it wrote must be published, handed over or discarded:
/// dropping it removes nothing.
#[derive(Debug)]
pub struct Attempt {
    pub(super) commit: Commit,
    pub(super) key: AttemptKey,
    task: String,
    /// The attempt that had published the interval when this one began.
    seen: Option<AttemptId>,
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
        commit: Commit,
        key: AttemptKey,
        task: String,
    ) -> Result<(Attempt, Vec<Recovered>)> {
        let lock = TaskLock::acquire(&commit, &key, &task)?;
        let mut recovered = Vec::new();
        {
            let _publish_lock = PublishLock::acquire(&commit)?;
            recover(&commit, Some(&key.attempt), &mut recovered)?;
            let removed = remove_dead_stagings(&commit, false)?.into_iter();
            recovered.extend(removed.map(Recovered::StagingRemoved));
        }
        let seen = commit.read_manifest(&key.interval)?.map(|manifest| manifest.attempt);
        let is_handed_over = AtomicBool::new(false);
        let attempt = Attempt { commit, key, task, seen, is_handed_over, _lock: lock };
        Ok((attempt, recovered))
    }

    /// The folder in which it builds the files of tables on disk; none if the state is in an object
    /// store.
    pub fn staging_folder(&self) -> Option<PathBuf> {
        self.commit.staging_folder(&self.key)
    }

    /// Repairs markers of the interval's tables that are missing, or another publish's, though
    /// nothing is under way.
    pub fn restore_markers(&self) -> Result<()> {
        let manifest = self.commit.read_manifest(&self.key.interval)?;
        let tables = manifest.into_iter().flat_map(|manifest| manifest.tables).map(|table| {
            let files = self.commit.open_table(&self.key.interval, &table)?;
            Ok(NamedTable { name: table_folder(&table.output, &table.format), files })
        });
        restore_markers(&self.commit, &tables.collect::<Result<Vec<_>>>()?)
    }

    /// Writes down what the task has written: from here on a publish in any process can take it.
    pub fn put_pending<T: Serialize>(
        &self,
        files: Vec<PendingFile>,
        work: T,
    ) -> Result<PendingRecord<T>> {
        let record = PendingRecord::new(&self.key.attempt, self.seen.clone(), files, work);
        self.commit.state.put(&self.pending_name(), &to_json(&record)?)?;
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
        self.commit.context.abort_uploads(files, |_| true)?;
        self.commit.state.remove([self.pending_name().as_str()])?;
        remove_staging(self.staging_folder())
    }

    /// The name of its pending record.
    pub(super) fn pending_name(&self) -> String {
        self.commit.pending_name(&self.key, &self.task)
    }
}
