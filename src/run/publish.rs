//! The ends of a run that touch the tables: holding the interval, publishing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use chrono::SecondsFormat;

use super::execute::RunSupplies;
use super::plan::RunPlan;
use super::stages::ListedSource;
use crate::commit::{
    self, ColumnChanges, IntervalLock, ManifestColumn, ManifestInput, PublishOutcome,
    PublishRequest, StagedTable, TableRoot, create_table_sql,
};
use crate::error::{Diagnostic, Error, Result};
use crate::pipeline::{OnSchemaChange, Output, Pipeline, Table};
use crate::source::SourceObject;
use crate::store::StoreLocation;
use crate::transform::{PlannedOutput, SinkRecord};

/// The right to work on an interval; what was staged is removed when it is dropped.
#[derive(Debug)]
pub(super) struct HeldInterval {
    lock: IntervalLock,
    inputs: Vec<ManifestInput>,
    is_listed_by_time: bool,
    column_changes: BTreeMap<String, ColumnChanges>,
}

impl HeldInterval {
    /// What changed in the columns of outputs since their last publish.
    pub(super) fn column_changes(&self) -> &BTreeMap<String, ColumnChanges> {
        &self.column_changes
    }
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
/// `Error::Unavailable` if another attempt holds it, `Error::Config` if the folders are of no use
/// or an output's columns changed more than its policy allows, `Error::Usage` if the interval
/// overlaps a published one, or another one published these objects.
pub(super) fn hold_interval(
    plan: &RunPlan,
    source: &ListedSource,
    outputs: &[PlannedOutput],
) -> Result<HeldInterval> {
    let faults = check_layout(&plan.pipeline);
    if !faults.is_empty() {
        return Err(Error::Config(faults));
    }
    let state = &plan.pipeline.state;
    let quarantine = local_quarantine(&plan.pipeline);
    commit::check_places(&table_roots(&plan.pipeline), state, quarantine.as_deref())?;
    let lock = IntervalLock::acquire(state, &plan.paths)?;
    for recovered in commit::recover(&lock)? {
        tracing::warn!("an earlier attempt ended early: {recovered:?}");
    }
    let replaced = commit::check_overlaps(state, &plan.paths)?;
    let inputs: Vec<_> = source.objects.iter().map(manifest_input).collect();
    if !source.is_by_time {
        commit::check_inputs(state, &plan.paths, &inputs, &replaced)?;
    }
    let column_changes = check_columns(plan, &lock, outputs)?;
    Ok(HeldInterval { lock, inputs, is_listed_by_time: source.is_by_time, column_changes })
}

/// What changed in the columns of outputs; an `Error::Config` if a policy refuses it.
fn check_columns(
    plan: &RunPlan,
    lock: &IntervalLock,
    outputs: &[PlannedOutput],
) -> Result<BTreeMap<String, ColumnChanges>> {
    let (mut changed, mut refused) = (BTreeMap::new(), Vec::new());
    for planned in outputs {
        let output = &planned.output;
        for table in &output.tables {
            let (format, columns) = (table.format.name(), columns_of(planned));
            let changes = commit::column_changes(lock, &output.name, format, &columns)?;
            let Some(changes) = changes.filter(|changes| !changes.is_empty()) else { continue };
            if refuses(output.on_schema_change, &changes) {
                let message = refused_change(output, format, &changes);
                let (line, column) = output.place;
                let fault = Diagnostic::new(message).in_file(&plan.pipeline.file.path);
                refused.push(fault.at(line, column));
            } else {
                tracing::warn!(output = output.name, format, "columns changed: {changes}");
                changed.entry(output.name.clone()).or_insert(changes);
            }
        }
    }
    if refused.is_empty() { Ok(changed) } else { Err(Error::Config(refused)) }
}

fn refuses(policy: OnSchemaChange, changes: &ColumnChanges) -> bool {
    match policy {
        OnSchemaChange::Any => false,
        OnSchemaChange::AllowAdded => !changes.only_adds(),
        OnSchemaChange::Freeze => true,
    }
}

fn refused_change(output: &Output, format: &str, changes: &ColumnChanges) -> String {
    format!(
        "output `{}`, {format}: its columns changed since {}: {changes}; `on_schema_change = \
         \"{}\"` refuses that; bring the columns back, write to another location, or set \
         `on_schema_change = \"any\"` for a run",
        output.name,
        changes.since,
        output.on_schema_change.name(),
    )
}

fn columns_of(planned: &PlannedOutput) -> Vec<ManifestColumn> {
    let fields = planned.schema.fields().iter();
    fields
        .map(|field| ManifestColumn {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        })
        .collect()
}

fn manifest_input(object: &SourceObject) -> ManifestInput {
    ManifestInput {
        location: object.location.clone(),
        bytes: object.size,
        e_tag: object.e_tag.clone(),
    }
}

/// Says that the rows of an interval stay which has no objects any more.
pub(super) fn warn_if_published(plan: &RunPlan) -> Result<()> {
    let path = plan.paths.manifest(&plan.pipeline.state);
    if let Some(manifest) = commit::read_manifest(&path)? {
        tracing::warn!(
            objects_then = manifest.inputs.len(),
            manifest = %path.display(),
            "the source has no objects now, but this interval was published before: its rows stay \
             as they are",
        );
    }
    Ok(())
}

/// Makes the staged files visible; gives the smaller intervals that they replace.
///
/// # Errors
/// `Error::Unavailable` if the disk fails; the next attempt then goes on from there.
pub(super) async fn publish_tables(
    plan: &RunPlan,
    supplies: &RunSupplies,
    mut held: HeldInterval,
    outputs: &[PlannedOutput],
    records: Vec<SinkRecord>,
) -> Result<Vec<String>> {
    let tables = outputs.iter().map(|output| staged_tables(output, &records));
    let tables = tables.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let request = PublishRequest {
        interval_start: plan.interval.start_rfc3339(),
        interval_end: plan.interval.end_rfc3339(),
        published_at: supplies.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        inputs: std::mem::take(&mut held.inputs),
        is_listed_by_time: held.is_listed_by_time,
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
                columns: columns_of(planned),
                files: of_format(table.format.name()),
                ddl: create_table_sql(&output.name, columns, keys, &table.format, &table.root)?,
            })
        })
        .collect()
}

fn table_roots(pipeline: &Pipeline) -> Vec<TableRoot> {
    let outputs = pipeline.outputs.iter();
    let tables = outputs.flat_map(|output| output.tables.iter().map(move |table| (output, table)));
    let root = |(output, table): (&Output, &Table)| TableRoot {
        label: format!("output `{}`, {}", output.name, table.format.name()),
        root: table.root.clone(),
        place: output.place,
    };
    tables.map(root).collect()
}

/// The quarantine's folder, if it is on disk.
fn local_quarantine(pipeline: &Pipeline) -> Option<PathBuf> {
    StoreLocation::parse(&pipeline.quarantine.location).ok()?.local_path()
}

/// Folders that must not lie within one another: the source, the quarantine, the state and every
/// table. A run would else read what an earlier one wrote.
pub(super) fn check_layout(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let quarantine = local_quarantine(pipeline);
    let (roots, state) = (table_roots(pipeline), &pipeline.state);
    let faults = commit::check_layout(&roots, state, quarantine.as_deref());
    let faults = faults.into_iter().chain(check_source(pipeline, quarantine.as_deref()));
    faults.map(|fault| fault.in_file(&pipeline.file.path)).collect()
}

/// What is written must not lie in the source's directory, nor the source in what is written.
fn check_source(pipeline: &Pipeline, quarantine: Option<&Path>) -> Vec<Diagnostic> {
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
    let (line, column) = pipeline.source.place;
    found
        .map(|(label, path)| {
            let message = format!(
                "{label} at {} and the source {} must not contain one another; give each a folder \
                 of its own",
                path.display(),
                source.display()
            );
            Diagnostic::new(message).at(line, column)
        })
        .collect()
}
