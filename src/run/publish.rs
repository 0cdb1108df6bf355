//! The ends of a run that touch the tables: holding the interval, publishing.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use chrono::SecondsFormat;

use super::execute::RunSupplies;
use super::plan::RunPlan;
use crate::commit::{
    self, IntervalLock, PublishOutcome, PublishRequest, StagedTable, TableRoot, create_table_sql,
};
use crate::error::{Diagnostic, Error, Result};
use crate::pipeline::Pipeline;
use crate::store::StoreLocation;
use crate::transform::{PlannedOutput, SinkRecord};

/// The right to work on an interval; what was staged is removed when it is dropped.
#[derive(Debug)]
pub(super) struct HeldInterval {
    lock: IntervalLock,
}

impl Drop for HeldInterval {
    fn drop(&mut self) {
        // After a publish nothing is left to remove. Where a writer is still at work, something
        // may stay; the next attempt removes it.
        if let Err(error) = commit::discard_staging(&self.lock) {
            tracing::debug!("what was staged stays until the next attempt: {error}");
        }
    }
}

/// Takes hold of the interval, and rolls a crashed attempt's publish forward or back.
///
/// # Errors
/// `Error::Unavailable` if another attempt holds it, `Error::Config` if the folders are of no use,
/// `Error::Usage` if the interval overlaps a published one.
pub(super) fn hold_interval(plan: &RunPlan) -> Result<HeldInterval> {
    let faults = check_layout(&plan.pipeline);
    if !faults.is_empty() {
        return Err(Error::Config(faults));
    }
    let state = &plan.pipeline.state;
    commit::check_places(&table_roots(&plan.pipeline), state)?;
    let lock = IntervalLock::acquire(state, &plan.paths)?;
    for recovered in commit::recover(&lock)? {
        tracing::warn!("an earlier attempt ended early: {recovered:?}");
    }
    commit::check_overlaps(state, &plan.paths)?;
    Ok(HeldInterval { lock })
}

/// Makes the staged files visible; gives the smaller intervals that they replace.
///
/// # Errors
/// `Error::Unavailable` if the disk fails; the next attempt then goes on from there.
pub(super) async fn publish_tables(
    plan: &RunPlan,
    supplies: &RunSupplies,
    held: HeldInterval,
    outputs: &[PlannedOutput],
    records: Vec<SinkRecord>,
) -> Result<Vec<String>> {
    let tables = outputs.iter().map(|output| staged_tables(output, &records));
    let tables = tables.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let request = PublishRequest {
        interval_start: plan.interval.start_rfc3339(),
        interval_end: plan.interval.end_rfc3339(),
        published_at: supplies.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        tables,
    };
    supplies.publishing.store(true, Relaxed);
    let publish =
        tokio::task::spawn_blocking(move || match commit::publish_run(&held.lock, &request)? {
            PublishOutcome::Published { replaced_intervals, .. } => Ok(replaced_intervals),
            PublishOutcome::AlreadyPublished { .. } => Ok(Vec::new()),
        });
    publish.await.map_err(|error| Error::Bug(format!("publishing: {error}")))?
}

fn staged_tables(planned: &PlannedOutput, records: &[SinkRecord]) -> Result<Vec<StagedTable>> {
    let output = &planned.output;
    let files = records.iter().filter(|record| record.output == output.name);
    let files: Vec<_> = files.flat_map(|record| &record.files).collect();
    let of_format = |format: &str| {
        files.iter().filter(|file| file.format == format).map(|file| (*file).clone()).collect()
    };
    output
        .tables
        .iter()
        .map(|table| {
            let (columns, keys) = (&planned.schema, &output.partition_by);
            Ok(StagedTable {
                output: output.name.clone(),
                format: table.format.name().to_owned(),
                root: table.root.clone(),
                files: of_format(table.format.name()),
                ddl: create_table_sql(&output.name, columns, keys, &table.format, &table.root)?,
            })
        })
        .collect()
}

fn table_roots(pipeline: &Pipeline) -> Vec<TableRoot> {
    let root = |name: &str, format: &str, root: &Path| TableRoot {
        label: format!("output `{name}`, {format}"),
        root: root.to_owned(),
    };
    let outputs = pipeline.outputs.iter();
    let tables = outputs.flat_map(|o| o.tables.iter().map(move |table| (o, table)));
    tables.map(|(o, table)| root(&o.name, table.format.name(), &table.root)).collect()
}

/// Folders that must not lie within one another: the source, the quarantine, the state and every
/// table. A run would else read what an earlier one wrote.
pub(super) fn check_layout(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let quarantine = StoreLocation::parse(&pipeline.quarantine.location);
    let quarantine = quarantine.ok().and_then(|location| location.local_path());
    let faults =
        commit::check_layout(&table_roots(pipeline), &pipeline.state, quarantine.as_deref());
    let in_file = |fault| Diagnostic::new(fault).in_file(&pipeline.file.path);
    let faults = faults.into_iter().chain(check_source(pipeline, quarantine.as_deref()));
    faults.map(in_file).collect()
}

/// What is written must not lie in the source's directory, nor the source in what is written.
fn check_source(pipeline: &Pipeline, quarantine: Option<&Path>) -> Vec<String> {
    let source = StoreLocation::parse(&pipeline.source.location).ok().and_then(|s| s.local_path());
    let Some(source) = source else { return Vec::new() };
    let roots = table_roots(pipeline);
    let tables = roots.iter().map(|table| (table.label.as_str(), table.root.as_path()));
    let places = [("the state", Some(pipeline.state.as_path())), ("the quarantine", quarantine)];
    let places = places.into_iter().filter_map(|(label, path)| Some((label, path?)));
    let inside = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        path.starts_with(&source) || source.starts_with(&path)
    };
    let found = tables.chain(places).filter(|(_, path)| inside(path));
    found
        .map(|(label, path)| {
            format!(
                "{label} at {} and the source {} must not contain one another; give each a folder \
                 of its own",
                path.display(),
                source.display()
            )
        })
        .collect()
}
