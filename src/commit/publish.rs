//! A publish: a write-ahead intent, a compare-and-swap of the head, then idempotent steps.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::fs::file_bytes;
use crate::base::run_ids::{AttemptKey, IntervalId};
use crate::commit::attempt::Attempt;
use crate::commit::documents::{Intent, Manifest};
use crate::commit::head::ReadHead;
use crate::commit::intent::plan_publish;
use crate::commit::lock::PublishLock;
use crate::commit::ownership::{OwnTable, check_roots};
use crate::commit::pipeline_state::Commit;
use crate::commit::publish_request::{PublishOutcome, PublishRequest, StagedTable};
use crate::commit::recover::recover;
use crate::commit::recovered::Recovered;
use crate::commit::state::{Document, to_json};
use crate::commit::steps::{Publish, PublishEnd};
use crate::sink::{attempt_of_file, table_folder};

/// How often a publish is planned anew because another one won the compare-and-swap.
const SWAPS_MAX: u32 = 1000;
/// The pause between two of them.
const SWAP_PAUSE: Duration = Duration::from_millis(50);

impl Attempt {
    /// Makes the files of a request the contents of its interval.
    ///
    /// Errors before the head names the attempt (an overlap, a missing file) leave the tables as
    /// they were; after that, the next attempt of whatever interval rolls the publish forward. It
    /// is short: when the run is stopped from outside, let it come to its end.
    pub fn publish(&self, request: &PublishRequest) -> Result<PublishOutcome> {
        publish(self, request)
    }
}

fn publish(attempt: &Attempt, request: &PublishRequest) -> Result<PublishOutcome> {
    let Attempt { commit, key, .. } = attempt;
    let Commit { context, state, pipeline } = commit;
    let _publish_lock = PublishLock::acquire(commit)?;
    let mut recovered = Vec::new();
    for _ in 0..SWAPS_MAX {
        // All that is read from here on is as the head's version has it, or the swap fails.
        let head = recover(commit, Some(&key.attempt), &mut recovered)?;
        let document = state.read(&commit.manifest_name(&key.interval))?;
        let earlier = document.as_ref().map(|document| document.parse::<Manifest>()).transpose()?;
        let published = earlier.as_ref().map(|earlier| earlier.attempt.clone());
        if published.as_ref() == Some(&key.attempt) {
            let replaced = earlier.map(|earlier| earlier.replaced_intervals).unwrap_or_default();
            return Ok(done(attempt, replaced, recovered));
        }
        if let Some(attempt) = published.clone().filter(|_| published != request.seen) {
            return Ok(PublishOutcome::Conflict { attempt });
        }
        let mut intent = plan(attempt, request, document.as_ref())?;
        intent.pending = commit.pending_names(&key.interval)?;
        commit.before("intent")?;
        state.put(&commit.intent_name(key), &to_json(&intent)?)?;
        commit.before("begin")?;
        attempt.is_handed_over.store(true, Relaxed);
        if !head.begin(commit, key)? {
            attempt.is_handed_over.store(false, Relaxed);
            state.remove([commit.intent_name(key).as_str()])?;
            context.sleep(SWAP_PAUSE);
            continue;
        }
        return match Publish::new(commit, &intent)?.roll_forward()? {
            PublishEnd::RolledBack { lost } => Ok(PublishOutcome::RolledBack { lost }),
            PublishEnd::Done | PublishEnd::Overtaken => {
                check_published(attempt)?;
                Ok(done(attempt, intent.manifest.replaced_intervals, recovered))
            }
        };
    }
    Err(Error::Unavailable(format!(
        "publishing interval {} of pipeline `{pipeline}`: {SWAPS_MAX} other publishes were faster; \
         retry",
        key.interval
    )))
}

fn done(attempt: &Attempt, replaced: Vec<IntervalId>, recovered: Vec<Recovered>) -> PublishOutcome {
    let Attempt { commit, key, .. } = attempt;
    let manifest = commit.state.display_of(&commit.manifest_name(&key.interval));
    PublishOutcome::Published { manifest, replaced_intervals: replaced, recovered }
}

fn plan(attempt: &Attempt, request: &PublishRequest, earlier: Option<&Document>) -> Result<Intent> {
    let Attempt { commit, key, .. } = attempt;
    let tables: Vec<OwnTable> = request.tables.iter().map(OwnTable::of).collect();
    check_roots(commit, &tables)?;
    let replaced = commit.check_overlaps(&key.interval)?;
    if !request.is_listed_by_time {
        commit.check_inputs(&key.interval, &request.inputs, &replaced)?;
    }
    request.tables.iter().try_for_each(|table| check_staged(attempt, table))?;
    plan_publish(attempt, request, earlier, replaced)
}

/// A file that is recorded but not staged would leave a hole in the table.
fn check_staged(attempt: &Attempt, staged: &StagedTable) -> Result<()> {
    let table = table_folder(&staged.output, &staged.format);
    for file in staged.files.iter().filter(|file| file.upload.is_none()) {
        let Some(folder) = writer_folder(attempt, &file.name)? else { return Ok(()) };
        let path = folder.join(&table).join(file.path());
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

/// The staging folder of the attempt that wrote a file, which may have been one of another process.
fn writer_folder(Attempt { commit, key, .. }: &Attempt, file: &str) -> Result<Option<PathBuf>> {
    let writer = attempt_of_file(file)
        .ok_or_else(|| Error::Bug(format!("publishing {file}: its name holds no attempt")))?;
    Ok(commit.staging_folder(&AttemptKey::new(&key.interval, &writer)))
}

/// Others may have rolled the publish forward, and even have published the interval anew since:
/// both is fine, but one of both it must be.
fn check_published(attempt: &Attempt) -> Result<()> {
    let Attempt { commit, key, .. } = attempt;
    let own = [commit.manifest_name(&key.interval), commit.past_manifest_name(key)];
    for name in own {
        let manifest: Option<Manifest> = commit.state.read_json(&name)?;
        if manifest.is_some_and(|manifest| manifest.attempt == key.attempt) {
            return Ok(());
        }
    }
    // As when another attempt found one of its files lost and rolled it back.
    let is_under_way = ReadHead::of(commit)?.is_publishing(key);
    let what = if is_under_way { "is still under way elsewhere" } else { "was rolled back" };
    Err(Error::Unavailable(format!(
        "publishing interval {} of pipeline `{}`: the publish {what}; retry",
        key.interval, commit.pipeline
    )))
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
