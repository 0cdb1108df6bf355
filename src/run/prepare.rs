//! What comes before any row is read, for runs and for publishes of shards alike.

use std::sync::Arc;

use super::account::fill_skipped;
use super::context::RunContext;
use super::emptied::{Past, look_at_past};
use super::listing::{ListedSource, list_source};
use super::lookups::load_lookups;
use super::plan::RunPlan;
use super::provenance::provenance_of;
use super::report::RunResult;
use super::stages::plan_queries;
use crate::base::error::Result;
use crate::commit::Provenance;
use crate::enrich::Enrichment;
use crate::query::{Engine, PlannedOutput};

/// A run whose queries are planned and whose objects are listed.
pub(super) struct Prepared {
    pub engine: Engine,
    pub outputs: Vec<PlannedOutput>,
    pub lookups: Arc<Enrichment>,
    pub source: ListedSource,
    /// What the tables are made with.
    pub provenance: Provenance,
}

/// Plans the queries, lists the objects and says what the tables are made with; nothing, if there
/// is nothing to do.
///
/// # Errors
/// `Error::Config` for what is wrong with the pipeline, `Error::Unavailable` if the source cannot
/// be listed, `Error::Data` if it has nothing any more where it must not.
pub(super) async fn prepare(
    plan: &RunPlan,
    context: &RunContext,
    result: &mut RunResult,
) -> Result<Option<Prepared>> {
    let lookups = load_lookups(&plan.pipeline)?;
    let (engine, outputs) = plan_queries(plan, context, &lookups).await?;
    let source = list_source(plan, context).await?;
    fill_skipped(result, &source.skipped);
    if source.objects.is_empty() && look_at_past(plan, context, result).await? != Past::Replaced {
        return Ok(None);
    }
    let provenance = provenance_of(plan, &lookups, &context.stores).await?;
    Ok(Some(Prepared { engine, outputs, lookups, source, provenance }))
}
