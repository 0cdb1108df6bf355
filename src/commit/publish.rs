//! Publishing a run: an intent, a turn, then its steps.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::fs::file_bytes;
use crate::base::location::StoreLocation;
use crate::commit::attempt::{Attempt, lock_publish};
use crate::commit::head::ReadHead;
use crate::commit::intent::{Intent, plan_publish};
use crate::commit::manifest::{Manifest, ManifestColumn, ManifestInput, Provenance};
use crate::commit::overlap::{check_inputs, check_overlaps};
use crate::commit::ownership::{OwnTable, check_roots};
use crate::commit::pending::pending_names;
use crate::commit::recover::{Recovered, settle};
use crate::commit::state::to_json;
use crate::commit::steps::{Carried, Publish};
use crate::sink::WrittenFile;
use crate::store::paths::{RunPaths, attempt_of_file};

/// How often a turn is asked for while others are faster.
const TURNS_MAX: u32 = 1000;
/// The pause between two of them.
const TURN_PAUSE: Duration = Duration::from_millis(50);

/// What an attempt has written and wants to see published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The interval's start, as the manifest shall show it.
    pub interval_start: String,
    /// The interval's end, as the manifest shall show it.
    pub interval_end: String,
    /// The time of the publish, as the manifest shall show it.
    pub published_at: String,
    /// What the tables were made with.
    pub provenance: Provenance,
    /// The objects that were read.
    pub inputs: Vec<ManifestInput>,
    /// Whether the interval alone says which objects are read. Where it does not, an object that
    /// another interval published is refused.
    pub is_listed_by_time: bool,
    /// The attempt that had published the interval when its input was listed: if another one has
    /// since, this one comes too late.
    pub seen: Option<String>,
    /// All tables of the run, those without a file too: an earlier publish may have had some.
    pub tables: Vec<StagedTable>,
    /// The folder that defines the pipeline.
    pub folder: String,
    /// What the run counted, for the manifest.
    pub counts: serde_json::Value,
}

/// One table's written files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root.
    pub location: StoreLocation,
    /// The table's columns, partition columns among them.
    pub columns: Vec<ManifestColumn>,
    /// The columns that are directories, outermost first.
    pub partition_by: Vec<String>,
    /// The form of points in time in its files.
    pub timestamps: String,
    /// The files of this output and format, as the sink recorded them.
    pub files: Vec<WrittenFile>,
    /// The table's definition, with the partitions of its files.
    pub ddl: String,
    /// What adds the columns that are new since the last publish, if any are.
    pub add_columns: Option<String>,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The tables hold the run's rows.
    Published {
        /// The manifest's place.
        manifest: String,
        /// Published intervals inside this one, whose rows were replaced.
        replaced_intervals: Vec<String>,
        /// What crashed publishes had left, and what became of it.
        recovered: Vec<Recovered>,
    },
    /// Another attempt has published the interval since this one began.
    Conflict {
        /// That attempt.
        attempt: String,
    },
    /// A file was lost before it was published, and what was in place of the others was taken back:
    /// the tables are as before.
    TakenBack {
        /// The file.
        lost: String,
    },
}

/// Makes the files of a request the contents of its interval.
///
/// Errors before the attempt has its turn (an overlap, a missing file) leave the tables as they
/// were; behind that, the next attempt of whatever interval completes the publish. It is short:
/// when the run is stopped from outside, let it come to its end.
pub fn publish_run(attempt: &Attempt, request: &PublishRequest) -> Result<PublishOutcome> {
    let Attempt { supplies, state, paths, .. } = attempt;
    let before = &supplies.before_act;
    let _publish_lock = lock_publish(state, paths)?;
    let mut recovered = Vec::new();
    for _ in 0..TURNS_MAX {
        // All that is read from here on is as the head's version has it, or there is no turn.
        let head = settle(state, supplies, paths, &mut recovered)?;
        let document = state.read(&paths.manifest())?;
        let earlier = document.as_ref().map(|document| document.parse::<Manifest>()).transpose()?;
        let published = earlier.as_ref().map(|earlier| earlier.attempt.clone());
        if published == Some(paths.attempt.clone()) {
            let replaced = earlier.map(|earlier| earlier.replaced_intervals).unwrap_or_default();
            return Ok(done(attempt, replaced, recovered));
        }
        if let Some(attempt) = published.clone().filter(|_| published != request.seen) {
            return Ok(PublishOutcome::Conflict { attempt });
        }
        let mut intent = plan(attempt, request, document.as_ref())?;
        intent.pending = pending_names(state, paths)?;
        before("intent")?;
        state.put(&paths.intent(), &to_json(&intent)?)?;
        before("turn")?;
        attempt.is_handed_over.store(true, Relaxed);
        if !head.begin(state, paths)? {
            attempt.is_handed_over.store(false, Relaxed);
            state.remove([paths.intent().as_str()])?;
            supplies.pause(TURN_PAUSE);
            continue;
        }
        return match Publish::new(state, supplies, &intent)?.carry_out()? {
            Carried::TakenBack { lost } => Ok(PublishOutcome::TakenBack { lost }),
            Carried::Done | Carried::Overtaken => {
                check_published(attempt)?;
                Ok(done(attempt, intent.manifest.replaced_intervals, recovered))
            }
        };
    }
    Err(Error::Unavailable(format!(
        "publishing interval {} of pipeline `{}`: {TURNS_MAX} other publishes were faster; retry",
        paths.interval, paths.pipeline
    )))
}

fn done(attempt: &Attempt, replaced: Vec<String>, recovered: Vec<Recovered>) -> PublishOutcome {
    let manifest = attempt.state.display_of(&attempt.paths.manifest());
    PublishOutcome::Published { manifest, replaced_intervals: replaced, recovered }
}

fn plan(
    attempt: &Attempt,
    request: &PublishRequest,
    earlier: Option<&crate::commit::state::Document>,
) -> Result<Intent> {
    let Attempt { supplies, state, paths, .. } = attempt;
    let tables: Vec<OwnTable> = request.tables.iter().map(OwnTable::of).collect();
    check_roots(attempt, &tables)?;
    let replaced = check_overlaps(state, paths)?;
    if !request.is_listed_by_time {
        check_inputs(state, paths, &request.inputs, &replaced)?;
    }
    request.tables.iter().try_for_each(|table| check_staged(attempt, table))?;
    plan_publish(state, supplies, paths, request, earlier, replaced)
}

/// A file that is recorded but not staged would leave a hole in the table.
fn check_staged(attempt: &Attempt, staged: &StagedTable) -> Result<()> {
    let Some(folder) = attempt.state.folder() else { return Ok(()) };
    let table = RunPaths::table_folder(&staged.output, &staged.format);
    for file in staged.files.iter().filter(|file| file.upload.is_none()) {
        let writer = attempt_of_file(&file.name).unwrap_or_default().to_owned();
        let paths = RunPaths { attempt: writer, ..attempt.paths.clone() };
        let path = paths.staging(folder).join(&table).join(file.path());
        let found = file_bytes(&path)?;
        if found != Some(file.bytes) {
            return Err(Error::Bug(format!(
                "publishing {}: expected a staged file of {} bytes, found {}",
                path.display(),
                file.bytes,
                found.map_or("none".to_owned(), |bytes| format!("{bytes} bytes")),
            )));
        }
    }
    Ok(())
}

/// Others may have carried the publish out, and even have published the interval anew since: both
/// is fine, but one of both it must be.
fn check_published(attempt: &Attempt) -> Result<()> {
    let Attempt { state, paths, .. } = attempt;
    let own = [paths.manifest(), paths.past_manifest(&paths.attempt)];
    for name in own {
        let manifest: Option<Manifest> = state.read_json(&name)?;
        if manifest.is_some_and(|manifest| manifest.attempt == paths.attempt) {
            return Ok(());
        }
    }
    // As when another attempt found one of its files lost and took it back.
    let is_under_way = ReadHead::of(state, paths)?.is_publishing(paths);
    let what = if is_under_way { "is still under way elsewhere" } else { "was taken back" };
    Err(Error::Unavailable(format!(
        "publishing interval {} of pipeline `{}`: the publish {what}; retry",
        paths.interval, paths.pipeline
    )))
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
