//! Publishing a run: an intent, then its steps.

use std::path::PathBuf;

use crate::commit::durable::write_atomically;
use crate::commit::intent::{Intent, plan_publish};
use crate::commit::lock::{IntervalLock, PublishLock};
use crate::commit::manifest::{ManifestColumn, ManifestInput, read_manifest, to_json};
use crate::commit::overlap::{check_inputs, check_overlaps};
use crate::commit::recover::{Recovered, settle_intents};
use crate::commit::steps::{Publish, remove_staging};
use crate::error::Result;
use crate::sink::WrittenFile;

/// What an attempt has staged and wants to see published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The interval's start, as the manifest shall show it.
    pub interval_start: String,
    /// The interval's end, as the manifest shall show it.
    pub interval_end: String,
    /// The time of the publish, as the manifest shall show it.
    pub published_at: String,
    /// The objects that were read.
    pub inputs: Vec<ManifestInput>,
    /// Whether the interval alone says which objects are read. Where it does not, an object that
    /// another interval published is refused.
    pub is_listed_by_time: bool,
    /// All tables of the run, those without a file too: an earlier publish may have had some.
    pub tables: Vec<StagedTable>,
}

/// One table's staged files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root.
    pub root: PathBuf,
    /// The table's columns, partition columns among them.
    pub columns: Vec<ManifestColumn>,
    /// The files of this output and format, as the sink recorded them.
    pub files: Vec<WrittenFile>,
    /// The table's definition.
    pub ddl: String,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The tables hold the run's rows.
    Published {
        /// The manifest's place.
        manifest: PathBuf,
        /// Files that were put into the tables.
        files: usize,
        /// Files of earlier publishes that were removed.
        removed_files: usize,
        /// Published intervals inside this one, whose rows were replaced.
        replaced_intervals: Vec<String>,
        /// What crashed publishes had left, and what became of it.
        recovered: Vec<Recovered>,
    },
    /// This very attempt was published before; nothing was done.
    AlreadyPublished {
        /// The manifest's place.
        manifest: PathBuf,
    },
}

/// Makes the staged files of the attempt that holds `lock` the contents of its interval.
///
/// The staging folder is `lock.staging()`. Errors before the intent is on disk (an overlap, a
/// missing file) leave the tables as they were; after it, the next attempt completes the publish.
/// It is short: when the run is stopped from outside, let it come to its end.
pub fn publish_run(lock: &IntervalLock, request: &PublishRequest) -> Result<PublishOutcome> {
    let _publish_lock = PublishLock::acquire(lock.state_root(), lock.paths())?;
    let recovered = settle_intents(lock)?;
    let manifest = lock.paths().manifest(lock.state_root());
    let earlier = read_manifest(&manifest)?;
    if earlier.is_some_and(|earlier| earlier.attempt == lock.paths().attempt) {
        return Ok(PublishOutcome::AlreadyPublished { manifest });
    }
    let replaced = check_overlaps(lock.state_root(), lock.paths())?;
    if !request.is_listed_by_time {
        check_inputs(lock.state_root(), lock.paths(), &request.inputs, &replaced)?;
    }
    let intent = plan_publish(lock, request, replaced)?;
    write_intent(lock, &intent)?;
    let publish = Publish::new(lock.state_root(), &intent);
    publish.steps().into_iter().try_for_each(|step| publish.take_step(step))?;

    let tables = || intent.manifest.tables.iter().take(intent.tables.len());
    Ok(PublishOutcome::Published {
        manifest,
        files: tables().map(|table| table.files.len()).sum(),
        removed_files: tables().map(|table| table.removed.len()).sum(),
        replaced_intervals: intent.manifest.replaced_intervals.clone(),
        recovered,
    })
}

/// Removes what an attempt that will not publish has staged.
pub fn discard_staging(lock: &IntervalLock) -> Result<()> {
    remove_staging(lock.state_root(), lock.paths())
}

/// From here on the publish will be completed, by whomever.
pub(super) fn write_intent(lock: &IntervalLock, intent: &Intent) -> Result<()> {
    let path = lock.paths().intent(lock.state_root());
    write_atomically(&path.with_extension("json.tmp"), &path, &to_json(intent)?)
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
