//! The stages of a run that need a hand: listing, reading and writing together, quarantine.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::execute::RunSupplies;
use super::plan::RunPlan;
use super::witness::RunWitness;
use crate::base::error::{Error, Result};
use crate::base::interval::Interval;
use crate::base::location::StoreLocation;
use crate::enrich::Enrichment;
use crate::quarantine::{Quarantine, QuarantineSender};
use crate::query::{Engine, LogsFeed, PlannedOutput, share_logs};
use crate::scan::{
    Listing, Skipped, SourceObject, SourceSpec, is_listed_by_time, list_objects, nearest_to,
};
use crate::scan::{LogScan, ScanWitness, scan};
use crate::sink::{
    EncoderPool, STORAGE, SinkContext, StagingFolders, UploadRoom, UploadStaging, WrittenOutput,
    write,
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

/// What a run reads.
#[derive(Debug)]
pub(super) struct ListedSource {
    /// Where the objects lie.
    pub store: Store,
    /// They, in the order of their names.
    pub objects: Vec<SourceObject>,
    /// Names that are not read, by the reason.
    pub skipped: Skipped,
    /// Whether another interval would have other ones.
    pub is_by_time: bool,
}

/// Plans all queries down to the files that they write.
pub(super) async fn plan_queries(
    plan: &RunPlan,
    supplies: &RunSupplies,
    lookups: &Arc<Enrichment>,
) -> Result<(Engine, Vec<PlannedOutput>)> {
    let (pipeline, parameters, stores) = (&plan.pipeline, &plan.parameters, &supplies.stores);
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

/// Finds the interval's objects.
pub(super) async fn list_source(plan: &RunPlan, supplies: &RunSupplies) -> Result<ListedSource> {
    let source = &plan.pipeline.source;
    let store = Store::open(&StoreLocation::parse(&source.location)?, &supplies.stores)?;
    check_alignment(plan)?;
    let spec = SourceSpec { path: source.path.clone(), glob: source.glob.clone() };
    let listing = list_objects(&store, &spec, &plan.interval, plan.pipeline.time_zone).await?;
    if listing.objects.is_empty() {
        tracing::warn!("{}", nothing_found(&store, &spec, &listing).await);
    }
    let Listing { objects, skipped, .. } = listing;
    let bytes = objects.iter().map(|object| object.size).sum();
    supplies.progress.set_total(objects.len() as u64, bytes);
    tracing::info!(objects = objects.len(), bytes, location = source.location, "source listed");
    let is_by_time = is_listed_by_time(&store, &spec, &objects);
    Ok(ListedSource { store, objects, skipped, is_by_time })
}

/// Says what was looked for where nothing is, and what is there.
async fn nothing_found(store: &Store, spec: &SourceSpec, listing: &Listing) -> String {
    let mut said = match &listing.looked_at {
        None => format!("no objects at {}", store.display),
        Some((first, _, 1)) => format!("no objects for this interval: looked for {first}"),
        Some((first, last, places)) => {
            format!("no objects for this interval: looked for {first} to {last} ({places} names)")
        }
    };
    if let Some(glob) = &spec.glob {
        said.push_str(&format!(", of them what `{glob}` matches"));
    }
    if !listing.skipped.is_empty() {
        let skipped = listing.skipped.iter().map(|(reason, names)| format!("{reason} {names}"));
        let skipped: Vec<String> = skipped.collect();
        said.push_str(&format!("; skipped: {}", skipped.join(", ")));
    }
    let nearest = nearest_to(store, spec, listing).await;
    if !nearest.is_empty() {
        said.push_str(&format!("; the nearest that exist: {}", nearest.join(", ")));
    }
    said
}

/// An interval must not share a directory of the source with its neighbours: each would read it.
fn check_alignment(plan: &RunPlan) -> Result<()> {
    let (path, zone) = (&plan.pipeline.source.path, plan.pipeline.time_zone);
    let (start, end) = (plan.interval.start(), plan.interval.end());
    let second = chrono::Duration::seconds(1);
    let own = path.expand(&plan.interval, zone)?;
    for (from, to) in [(start - second, start), (end, end + second)] {
        let outside = path.expand(&Interval::new(from, to)?, zone)?;
        if let Some(shared) = outside.iter().find(|prefix| own.contains(prefix))
            && !shared.is_empty()
        {
            return Err(Error::Usage(format!(
                "the interval [{}, {}) holds only a part of the source's directory `{shared}`, \
                 which a neighbouring interval would read again; give bounds that do not cut the \
                 path template's directories (--date, --hour)",
                plan.interval.start_rfc3339(),
                plan.interval.end_rfc3339(),
            )));
        }
    }
    Ok(())
}

/// Opens the quarantine; it stays empty until the first reject.
pub(super) fn start_quarantine(plan: &RunPlan, supplies: &RunSupplies) -> Result<Quarantine> {
    let location = StoreLocation::parse(&plan.pipeline.quarantine.location)?;
    let store = Store::open(&location, &supplies.stores)?;
    Quarantine::start(store, &plan.paths.quarantine())
}

/// What the run reads, in which order: the columns that any output uses.
pub(super) fn new_scan(
    plan: &RunPlan,
    supplies: &RunSupplies,
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
        cancel: supplies.cancel.child_token(),
    })
}

/// What all outputs of the run write with.
pub(super) fn new_sink(
    plan: &RunPlan,
    quarantine: QuarantineSender,
    uploads: UploadRoom,
) -> Result<SinkContext> {
    let state = StoreLocation::parse(&plan.pipeline.state)?;
    let staging = StagingFolders {
        beside_state: state.local_path().map(|folder| plan.paths.staging(&folder)),
        for_uploads: UploadStaging::folder_of(&plan.spill, &plan.paths.attempt),
    };
    Ok(SinkContext {
        paths: plan.paths.clone(),
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
    witness: &Arc<RunWitness>,
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
    let witness = Arc::clone(witness) as Arc<dyn ScanWitness>;
    let batches = scan(logs, Some(witness));
    let (written, ()) = tokio::try_join!(try_join_all(writes), share_logs(batches, readers))?;
    Ok(written)
}
