//! The story of a run, from listing to publishing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::account::{check_thresholds, fill_account, fill_outputs, fill_quarantine};
use super::lookups::{describe_lookups, load_lookups};
use super::plan::RunPlan;
use super::publish::{hold_interval, publish_tables, warn_if_published};
use super::report::{RunResult, Status};
use super::stages::{list_source, new_scan, read_and_write, start_quarantine};
use super::witness::RunWitness;
use crate::error::{Error, Result};
use crate::store::Stores;
use crate::telemetry::Progress;
use crate::transform::Engine;

/// What a run needs from the world.
#[derive(Debug, Clone)]
pub struct RunSupplies {
    /// What all stores share, the environment's variables among it.
    pub stores: Stores,
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
    let pipeline = &plan.pipeline;
    let lookups = load_lookups(pipeline)?;
    let (parameters, stores) = (&plan.parameters, &supplies.stores);
    let engine = Engine::build(pipeline, &plan.engine, &lookups, parameters, stores).await?;
    let outputs = engine.plan_outputs(pipeline, parameters, &plan.paths, &plan.writer).await?;

    let source = list_source(plan, supplies).await?;
    if source.objects.is_empty() {
        warn_if_published(plan)?;
        result.status = Status::NothingToDo;
        return Ok(());
    }

    let hold = hold_interval(plan, &source, &outputs)?;
    let quarantine = start_quarantine(plan, supplies)?;
    let scan = new_scan(plan, supplies, source, &outputs);
    let witness = Arc::new(RunWitness::new(plan, supplies, quarantine.sender()));
    let work = read_and_write(&engine, &outputs, &scan, &witness, quarantine.sender());
    let written = tokio::select! {
        written = work => written,
        () = supplies.cancel.cancelled() => Err(Error::Unavailable("the run was stopped".into())),
    };

    scan.cancel.cancel();
    fill_account(result, &witness);
    drop(witness);
    result.enrichment = describe_lookups(&lookups);
    let rejects = quarantine.finish().await;
    fill_quarantine(result, plan, rejects.as_deref().unwrap_or_default());
    let (written, _) = (written?, rejects?);
    fill_outputs(result, plan, &written, hold.column_changes());
    if cfg!(debug_assertions) && stores.environment().get("ASHIATO_TEST_LOSE_A_LINE").is_some() {
        result.decoded -= 1; // only builds for tests can lose one, to prove that it is noticed
    }
    result.check_balance(scan.objects.len())?;
    check_thresholds(plan, result, &written)?;

    result.replaced_intervals = publish_tables(plan, supplies, hold, &outputs, written).await?;
    result.status = Status::Published;
    Ok(())
}
