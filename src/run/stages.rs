//! The stages of a run that need a hand: listing, reading and writing together, quarantine.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::context::RunContext;
use super::listing::ListedSource;
use super::observer::RunObserver;
use super::plan::RunPlan;
use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::enrich::Enrichment;
use crate::quarantine::{Quarantine, QuarantineSender};
use crate::query::{Engine, LogsFeed, PlannedOutput, share_logs};
use crate::scan::{LogScan, ScanObserver, scan};
use crate::sink::{
    EncoderPool, STORAGE, SinkContext, StagingFolders, UploadPool, WrittenOutput, write,
};
use crate::store::Store;

/// Batches of logs that may wait for a query.
const BATCHES_AHEAD: usize = 2;

/// Bytes that reading ahead may take: some blocks of a MiB, as read and as decoded, for each
/// thread, between a sixteenth and an eighth of the run's memory.
fn read_ahead_bytes(memory_limit_bytes: u64, threads: usize) -> u64 {
    let blocks = (threads as u64 + 2).saturating_mul(4 << 20);
    blocks.clamp(memory_limit_bytes / 16, memory_limit_bytes / 8)
}

/// Plans all queries down to the files that they write.
pub(super) async fn plan_queries(
    plan: &RunPlan,
    context: &RunContext,
    lookups: &Arc<Enrichment>,
) -> Result<(Engine, Vec<PlannedOutput>)> {
    let (pipeline, parameters, stores) = (&plan.pipeline, &plan.parameters, &context.stores);
    let engine = Engine::build(pipeline, &plan.engine, lookups, parameters, stores).await?;
    let outputs = engine.plan_outputs(pipeline, parameters, STORAGE).await?;
    let gathers = outputs.iter().find(|output| output.gathers_rows.is_some());
    if let Some((output, by)) =
        gathers.and_then(|output| Some((output, output.gathers_rows.as_ref()?)))
        && !plan.shard.is_whole()
    {
        return Err(Error::Usage(format!(
            "output `{}` gathers rows of the whole input ({by}), but a shard reads only a part of \
             it; run it without --shard",
            output.output.name
        )));
    }
    Ok((engine, outputs))
}

/// Opens the quarantine; it stays empty until the first reject.
pub(super) fn start_quarantine(plan: &RunPlan, context: &RunContext) -> Result<Quarantine> {
    let location = StoreLocation::parse(&plan.pipeline.quarantine.location)?;
    let store = Store::open(&location, &context.stores)?;
    Quarantine::start(store, &plan.quarantine_folder())
}

/// What the run reads, in which order: the columns that any output uses.
pub(super) fn new_scan(
    plan: &RunPlan,
    context: &RunContext,
    source: ListedSource,
    outputs: &[PlannedOutput],
) -> Arc<LogScan> {
    let columns: BTreeSet<usize> = outputs.iter().flat_map(|o| o.logs_columns.clone()).collect();
    Arc::new(LogScan {
        store: source.store.store,
        objects: plan.shard.take(source.objects),
        contract: Arc::new(plan.pipeline.contract.clone()),
        partition_columns: plan.pipeline.source.partition_columns.clone(),
        columns: columns.into_iter().collect(),
        threads: plan.engine.threads,
        framing: plan.pipeline.source.framing,
        read_ahead_bytes: read_ahead_bytes(
            plan.pipeline.resources.memory_limit_bytes,
            plan.engine.threads,
        ),
        cancel: context.cancel.child_token(),
    })
}

/// What all outputs of the run write with.
pub(super) fn new_sink(
    plan: &RunPlan,
    quarantine: QuarantineSender,
    staging: StagingFolders,
    uploads: UploadPool,
) -> Result<SinkContext> {
    Ok(SinkContext {
        attempt: plan.key.attempt.clone(),
        staging,
        options: plan.writer.clone(),
        encoders: EncoderPool::new(plan.engine.threads)?,
        uploads,
        quarantine,
    })
}

/// Scans all logs once, and runs and writes all outputs at the same time: [`scan`],
/// [`Engine::query`], [`write`].
///
/// Outputs whose query reads `logs` once share the one scan; the others read for themselves.
pub(super) async fn read_and_write(
    engine: &Engine,
    outputs: &[PlannedOutput],
    logs: &Arc<LogScan>,
    observer: &Arc<RunObserver>,
    sink: &SinkContext,
) -> Result<Vec<WrittenOutput>> {
    let mut readers = Vec::new();
    let mut writes = Vec::new();
    for output in outputs {
        let shared = (output.logs_scans == 1).then(|| {
            let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
            readers.push(sender);
            receiver
        });
        let logs = LogsFeed::new(shared, Arc::clone(logs));
        let rows = engine.query(output, logs, sink.quarantine.clone())?;
        writes.push(write(rows, &output.output, sink));
    }
    let observer = Arc::clone(observer) as Arc<dyn ScanObserver>;
    let batches = scan(logs, Some(observer));
    let (written, ()) = tokio::try_join!(try_join_all(writes), share_logs(batches, readers))?;
    Ok(written)
}
