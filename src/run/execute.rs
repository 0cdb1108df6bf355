//! The story of a run, from listing to publishing.

use std::sync::Arc;

use super::account::{
    check_thresholds, fill_account, fill_outputs, fill_published, fill_quarantine,
};
use super::begin::{BegunRun, begin_run};
use super::context::RunContext;
use super::emptied::{Past, look_at_past};
use super::lookups::describe_lookups;
use super::observer::RunObserver;
use super::plan::RunPlan;
use super::prepare::{Prepared, prepare};
use super::publish::{publish_tables, record_work};
use super::report::{RunResult, Status};
use super::stages::{new_scan, new_sink, read_and_write, start_quarantine};
use crate::base::blocking::run_blocking;
use crate::base::error::{Error, Result};
use crate::query::SpillFolder;

/// Does what the plan says, and fills `result` as it goes: also what led to an error is in it.
///
/// # Errors
/// Whatever stopped the run. Nothing is visible then but the quarantine.
pub async fn execute(plan: &RunPlan, context: &RunContext, result: &mut RunResult) -> Result<()> {
    let Some(prepared) = prepare(plan, context, result).await? else {
        result.status = Status::NothingToDo;
        return Ok(());
    };
    let begun = begin_run(plan, context, &prepared).await?;
    let done = match &begun.made_already {
        Some(published) if !plan.force => {
            result.status = Status::AlreadyPublished;
            fill_published(result, published)
        }
        _ => write_and_publish(plan, context, prepared, &begun, result).await,
    };
    begun.end().await;
    done
}

/// Reads the interval's objects, writes the tables' files, and publishes them; a shard's files
/// wait for `ashiato publish`.
async fn write_and_publish(
    plan: &RunPlan,
    context: &RunContext,
    Prepared { engine, outputs, lookups, source, .. }: Prepared,
    begun: &BegunRun,
    result: &mut RunResult,
) -> Result<()> {
    let (spill, attempt) = (plan.spill.clone(), plan.key.attempt.clone());
    let spill_folder = move || SpillFolder::create(&spill, &attempt);
    engine.set_spill_folder(run_blocking("making a folder to spill into", spill_folder).await?)?;
    let quarantine = start_quarantine(plan, context)?;
    let scan = new_scan(plan, context, source, &outputs);
    let observer = Arc::new(RunObserver::new(plan, context, quarantine.sender()));
    let staging = begun.staging_folders(plan);
    let sink = new_sink(plan, quarantine.sender(), staging, begun.uploads.clone())?;
    let work = read_and_write(&engine, &outputs, &scan, &observer, &sink);
    let written = tokio::select! {
        written = work => written,
        () = context.cancel.cancelled() => Err(Error::Unavailable("the run was stopped".into())),
    };

    scan.cancel.cancel();
    fill_account(result, &observer);
    drop((observer, sink));
    result.enrichment = describe_lookups(&lookups);
    let rejects = quarantine.finish().await;
    fill_quarantine(result, plan, rejects.as_deref().unwrap_or_default());
    let (written, _) = (written?, rejects?);
    fill_outputs(result, plan, &written, &begun.column_changes);
    result.decoded -= u64::from(context.failpoints.loses_a_line);
    result.check_balance(scan.objects.len())?;
    check_thresholds(plan, result, &written)?;
    let has_lines = result.decoded + result.rejected > 0;
    if !has_lines && look_at_past(plan, context, result).await? == Past::Kept {
        result.status = Status::NothingToDo;
        return Ok(());
    }

    let record = record_work(plan, begun, &written, result).await?;
    if !plan.shard.is_whole() {
        begun.attempt.hand_over();
        result.status = Status::Written;
        return Ok(());
    }
    let attempt = Arc::clone(&begun.attempt);
    let counts = result.counts()?;
    let replaced = publish_tables(plan, context, attempt, &outputs, vec![record], counts).await?;
    result.replaced_intervals = replaced;
    result.status = Status::Published;
    Ok(())
}
