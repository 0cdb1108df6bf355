//! Publishing what the shards of a run have written, each in a process of its own.

use std::sync::Arc;

use super::account::{check_shards, fill_published};
use super::context::RunContext;
use super::layout::Places;
use super::listing::manifest_input;
use super::plan::RunPlan;
use super::prepare::{Prepared, prepare};
use super::provenance::is_made_already;
use super::publish::{TaskRecord, publish_tables};
use super::report::{RunResult, Status};
use crate::base::blocking::run_blocking;
use crate::base::error::{Error, Result};
use crate::commit::{Attempt, Commit, Manifest, ManifestInput, Provenance};
use crate::quarantine;
use crate::scan::Shard;

/// The task under which shards are published: one publish of an interval at a time.
const TASK: &str = "publish";

/// Publishes the newest record of each shard, and fills `result` with the sum of their work.
///
/// # Errors
/// `Error::Unavailable` if a shard has left no record, or one that does not go with the others;
/// `Error::Data` if all shards together rejected too much.
pub async fn publish_shards(
    plan: &RunPlan,
    context: &RunContext,
    shards: u32,
    result: &mut RunResult,
) -> Result<()> {
    let Some(prepared) = prepare(plan, context, result).await? else {
        result.status = Status::NothingToDo;
        return Ok(());
    };
    let Prepared { outputs, source, provenance, .. } = prepared;
    let inputs = source.objects.iter().map(manifest_input).collect();
    let made_from = (inputs, provenance.clone());
    let (attempt, records) = match read_records(plan, context, shards, made_from).await? {
        Written::All(attempt, records) => (attempt, records),
        Written::MadeAlready(published) => {
            result.status = Status::AlreadyPublished;
            return fill_published(result, &published);
        }
    };
    check_records(plan, &records, &provenance)?;
    let location = plan.pipeline.quarantine.location.trim_end_matches('/');
    let folder = quarantine::run_folder(&plan.pipeline.name, &plan.key.interval);
    result.quarantine.location = format!("{location}/{folder}");
    for record in &records {
        result.add_task(&record.work.result);
    }
    count_partitions(result, &records);
    let objects = records.first().map_or(0, |record| record.work.inputs.len());
    result.check_balance(objects)?;
    result.leave_out_evaluated();
    check_shards(plan, result)?;
    let attempt = Arc::from(attempt);
    let counts = result.counts()?;
    let replaced = publish_tables(plan, context, attempt, &outputs, records, counts).await?;
    result.replaced_intervals = replaced;
    result.status = Status::Published;
    Ok(())
}

/// What the shards have left.
enum Written {
    /// A record each.
    All(Box<Attempt>, Vec<TaskRecord>),
    /// Nothing, for the interval is published as they would have made it.
    MadeAlready(Box<Manifest>),
}

async fn read_records(
    plan: &RunPlan,
    context: &RunContext,
    shards: u32,
    (inputs, provenance): (Vec<ManifestInput>, Provenance),
) -> Result<Written> {
    let (plan, context) = (plan.clone(), context.clone());
    run_blocking("reading what the shards wrote", move || {
        let state = Places::of(&plan.pipeline)?.state;
        let commit = Commit::open(context.commit, &state, &plan.pipeline.name)?;
        let (attempt, recovered) =
            Attempt::begin(commit.clone(), plan.key.clone(), TASK.to_owned())?;
        for recovered in recovered {
            tracing::warn!("an earlier attempt ended early: {recovered}");
        }
        let all = Shard::all(shards);
        let tasks: Vec<String> = all.iter().map(|shard| shard.task()).collect();
        let interval = &plan.key.interval;
        let found: Vec<Option<TaskRecord>> = commit.newest_pending(interval, &tasks)?;
        let missing = all.iter().zip(&found).filter(|(_, record)| record.is_none());
        let missing: Vec<String> = missing.map(|(shard, _)| format!("--shard {shard}")).collect();
        let published = commit.read_manifest(interval)?;
        let made_already =
            published.filter(|published| is_made_already(published, &inputs, &provenance, &plan));
        // A publish that was killed while it cleaned up has left records that it has published.
        let is_past = |record: &TaskRecord, published: &Manifest| {
            record.seen.as_ref() != Some(&published.attempt)
        };
        if let Some(published) = made_already.filter(|published| {
            !missing.is_empty() || found.iter().flatten().any(|record| is_past(record, published))
        }) {
            return Ok(Written::MadeAlready(Box::new(published)));
        }
        if !missing.is_empty() {
            return Err(Error::Unavailable(format!(
                "publishing {}: nothing is written by {}; run these first",
                plan.run_id(),
                missing.join(", ")
            )));
        }
        Ok(Written::All(Box::new(attempt), found.into_iter().flatten().collect()))
    })
    .await
}

/// All shards must have seen the same objects, the same pipeline, and the same last publish: rows
/// would else be lost or twice.
fn check_records(plan: &RunPlan, records: &[TaskRecord], provenance: &Provenance) -> Result<()> {
    let Some(first) = records.first() else { return Ok(()) };
    for (number, record) in records.iter().enumerate() {
        let differs = if record.work.provenance != *provenance {
            "was made with another pipeline (contract, SQL, parameters, look-up tables)"
        } else if record.work.inputs != first.work.inputs {
            "saw other objects in the source than shard 0"
        } else if record.seen != first.seen {
            "began before another publish of the interval than shard 0"
        } else {
            continue;
        };
        return Err(Error::Unavailable(format!(
            "publishing {}: shard {number}/{} {differs}; run that shard again, or all of them, \
             then publish",
            plan.run_id(),
            records.len()
        )));
    }
    Ok(())
}

/// A hive path that several shards have written is one.
fn count_partitions(result: &mut RunResult, records: &[TaskRecord]) {
    for (name, output) in &mut result.outputs {
        let files = records.iter().flat_map(|record| &record.files);
        let own = files.filter(|file| file.file.output == *name);
        let paths: std::collections::BTreeSet<&str> =
            own.map(|file| file.file.hive_path.as_str()).collect();
        output.partitions = paths.len() as u64;
    }
}
