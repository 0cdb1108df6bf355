//! The story of a run, from listing to publishing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::account::{
    check_thresholds, fill_account, fill_outputs, fill_published, fill_quarantine, fill_skipped,
};
use super::emptied::{Past, look_at_past};
use super::hold::{HeldInterval, hold_interval, wait_for};
use super::lookups::{describe_lookups, load_lookups};
use super::plan::RunPlan;
use super::provenance::provenance_of;
use super::publish::{publish_tables, record_work};
use super::report::{RunResult, Status};
use super::stages::{
    ListedSource, list_source, new_scan, new_sink, plan_queries, read_and_write, start_quarantine,
};
use super::witness::RunWitness;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Progress;
use crate::commit::CommitSupplies;
use crate::enrich::Enrichment;
use crate::query::{Engine, PlannedOutput, SpillFolder};
use crate::store::Stores;

/// What a run needs from the world.
#[derive(Debug, Clone)]
pub struct RunSupplies {
    /// What all stores share, the environment's variables among it.
    pub stores: Stores,
    /// What committing needs.
    pub commit: CommitSupplies,
    /// Raised as the work goes on.
    pub progress: Arc<Progress>,
    /// Stops the run, up to the moment at which it publishes.
    pub cancel: CancellationToken,
    /// Set when the run begins to publish, from where it must come to its end.
    pub publishing: Arc<AtomicBool>,
    /// The time of publishing.
    pub now: DateTime<Utc>,
}

/// Does what the plan says, and fills `result` as it goes: also what led to an error is in it.
///
/// # Errors
/// Whatever stopped the run. Nothing is visible then but the quarantine.
pub async fn execute(plan: &RunPlan, supplies: &RunSupplies, result: &mut RunResult) -> Result<()> {
    let lookups = load_lookups(&plan.pipeline)?;
    let (engine, outputs) = plan_queries(plan, supplies, &lookups).await?;
    let source = list_source(plan, supplies).await?;
    fill_skipped(result, &source.skipped);
    if source.objects.is_empty() && look_at_past(plan, supplies, result).await? != Past::Replaced {
        result.status = Status::NothingToDo;
        return Ok(());
    }

    let provenance = provenance_of(plan, &lookups, &supplies.stores).await?;
    let held = hold_interval(plan, supplies, &source, provenance, &outputs).await?;
    let done = match &held.made_already {
        Some(published) if !plan.force => {
            result.status = Status::AlreadyPublished;
            fill_published(result, published)
        }
        _ => {
            let work = Work { engine: &engine, outputs: &outputs, lookups: &lookups, held: &held };
            write_and_publish(plan, supplies, work, source, result).await
        }
    };
    held.release().await;
    done
}

/// What the work on a held interval needs.
struct Work<'w> {
    engine: &'w Engine,
    outputs: &'w [PlannedOutput],
    lookups: &'w Enrichment,
    held: &'w HeldInterval,
}

/// Reads the interval's objects, writes the tables' files, and publishes them; a shard's files
/// wait for `ashiato publish`.
async fn write_and_publish(
    plan: &RunPlan,
    supplies: &RunSupplies,
    Work { engine, outputs, lookups, held }: Work<'_>,
    source: ListedSource,
    result: &mut RunResult,
) -> Result<()> {
    let (spill, attempt) = (plan.spill.clone(), plan.paths.attempt.clone());
    let spill_folder = move || SpillFolder::create(&spill, &attempt);
    engine.set_spill_folder(wait_for("making a folder to spill into", spill_folder).await?)?;
    let quarantine = start_quarantine(plan, supplies)?;
    let scan = new_scan(plan, supplies, source, outputs);
    let witness = Arc::new(RunWitness::new(plan, supplies, quarantine.sender()));
    let sink = new_sink(plan, quarantine.sender(), held.uploads.clone())?;
    let work = read_and_write(engine, outputs, &scan, &witness, &sink);
    let written = tokio::select! {
        written = work => written,
        () = supplies.cancel.cancelled() => Err(Error::Unavailable("the run was stopped".into())),
    };

    scan.cancel.cancel();
    fill_account(result, &witness);
    drop((witness, sink));
    result.enrichment = describe_lookups(lookups);
    let rejects = quarantine.finish().await;
    fill_quarantine(result, plan, rejects.as_deref().unwrap_or_default());
    let (written, _) = (written?, rejects?);
    fill_outputs(result, plan, &written, &held.column_changes);
    let environment = supplies.stores.environment();
    if cfg!(debug_assertions) && environment.get("ASHIATO_TEST_LOSE_A_LINE").is_some() {
        result.decoded -= 1; // only builds for tests can lose one, to prove that it is noticed
    }
    result.check_balance(scan.objects.len())?;
    check_thresholds(plan, result, &written)?;
    let has_lines = result.decoded + result.rejected > 0;
    if !has_lines && look_at_past(plan, supplies, result).await? == Past::Kept {
        result.status = Status::NothingToDo;
        return Ok(());
    }

    let record = record_work(plan, held, &written, result).await?;
    if !plan.shard.is_whole() {
        held.attempt.hand_over();
        result.status = Status::Written;
        return Ok(());
    }
    let attempt = Arc::clone(&held.attempt);
    let counts = result.counts()?;
    let replaced = publish_tables(plan, supplies, attempt, outputs, vec![record], counts).await?;
    result.replaced_intervals = replaced;
    result.status = Status::Published;
    Ok(())
}
