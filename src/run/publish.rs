//! The end of a run: what its tasks have written becomes the contents of its interval.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::begin::BegunRun;
use super::context::RunContext;
use super::plan::RunPlan;
use super::report::RunResult;
use super::shape::{columns_of, shapes_of, timestamps_of};
use crate::base::blocking::run_blocking;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::base::run_ids::IntervalId;
use crate::commit::{
    Attempt, ManifestInput, PendingFile, PendingRecord, Provenance, PublishOutcome, PublishRequest,
    StagedTable, TableDefinition,
};
use crate::query::PlannedOutput;
use crate::sink::{WrittenFile, WrittenOutput, table_folder};

/// What a task leaves beside its files, for the publish and the run's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TaskWork {
    /// All objects of the run, of which the task has read its shard.
    pub(super) inputs: Vec<ManifestInput>,
    /// Whether the interval alone says which objects these are.
    pub(super) is_listed_by_time: bool,
    /// What the tables were made with.
    pub(super) provenance: Provenance,
    /// What the task read and wrote.
    pub(super) result: RunResult,
}

/// The record of a task.
pub(super) type TaskRecord = PendingRecord<TaskWork>;

/// Writes down what a task has written, so that a publish in any process can take it.
pub(super) async fn record_work(
    plan: &RunPlan,
    begun: &BegunRun,
    records: &[WrittenOutput],
    result: &RunResult,
) -> Result<TaskRecord> {
    let mut files = Vec::new();
    for output in &plan.pipeline.outputs {
        for table in &output.tables {
            let root = StoreLocation::parse(&table.location)?.absolute();
            let own = records.iter().filter(|record| record.output == output.name);
            let own = own.flat_map(|record| &record.files);
            let own = own.filter(|file| file.format == table.format.name());
            files.extend(own.map(|file| PendingFile { root: root.clone(), file: file.clone() }));
        }
    }
    let work = TaskWork {
        inputs: begun.inputs.clone(),
        is_listed_by_time: begun.is_listed_by_time,
        provenance: begun.provenance.clone(),
        result: result.clone(),
    };
    let attempt = Arc::clone(&begun.attempt);
    run_blocking("recording what was written", move || attempt.put_pending(files, work)).await
}

/// Makes what the tasks of a run have written visible, one record a task; gives the smaller
/// intervals that it replaces.
///
/// # Errors
/// `Error::Unavailable` if a disk or store fails, or another attempt was faster; the next attempt
/// then goes on from there.
pub(super) async fn publish_tables(
    plan: &RunPlan,
    context: &RunContext,
    attempt: Arc<Attempt>,
    outputs: &[PlannedOutput],
    records: Vec<TaskRecord>,
    counts: serde_json::Value,
) -> Result<Vec<IntervalId>> {
    context.progress.begin_publishing();
    let Some(first) = records.first() else {
        return Err(Error::Bug("a publish of no task".to_owned()));
    };
    let environment = context.stores.environment();
    let files: Vec<&WrittenFile> =
        records.iter().flat_map(|record| record.files.iter().map(|file| &file.file)).collect();
    let added = added_columns(&attempt, outputs).await?;
    let tables = outputs.iter().map(|output| staged_tables(output, &files, &added, environment));
    let request = PublishRequest {
        interval_start: plan.interval.start_rfc3339(),
        interval_end: plan.interval.end_rfc3339(),
        published_at: context.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        provenance: first.work.provenance.clone(),
        inputs: first.work.inputs.clone(),
        is_listed_by_time: first.work.is_listed_by_time,
        seen: first.seen.clone(),
        tables: tables.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect(),
        folder: plan.pipeline.folder.display().to_string(),
        counts,
    };
    context.publishing.store(true, Relaxed);
    let run = plan.run_id();
    let published = run_blocking("publishing", move || attempt.publish(&request)).await?;
    match published {
        PublishOutcome::Published { manifest, replaced_intervals, recovered } => {
            for recovered in recovered {
                tracing::warn!("an earlier attempt ended early: {recovered}");
            }
            tracing::info!(manifest, "published");
            Ok(replaced_intervals)
        }
        PublishOutcome::Conflict { attempt } => Err(Error::Unavailable(format!(
            "publishing {run}: attempt {attempt} has published this interval while this attempt \
             was at work; its tables stay, and what this attempt wrote was discarded; a retry \
             says whether anything is left to do"
        ))),
        PublishOutcome::RolledBack { lost } => Err(Error::Unavailable(format!(
            "publishing {run}: {lost} was lost before it could be published (a rule of the bucket \
             that aborts uploads, or a hand); the tables are as before; a retry writes it anew"
        ))),
    }
}

/// Columns, and fields of structs, that are new since a table's last publish, by its name in the
/// state.
type AddedColumns = BTreeMap<String, Vec<String>>;

async fn added_columns(attempt: &Arc<Attempt>, outputs: &[PlannedOutput]) -> Result<AddedColumns> {
    let (attempt, outputs) = (Arc::clone(attempt), outputs.to_vec());
    run_blocking("reading the last columns", move || {
        let mut added = AddedColumns::new();
        for shape in outputs.iter().map(shapes_of).collect::<Result<Vec<_>>>()?.concat() {
            let new = attempt.shape_changes(&shape)?.columns.unwrap_or_default().added;
            let new = new.into_iter().map(|column| column.name).collect();
            added.insert(table_folder(&shape.output, &shape.format), new);
        }
        Ok(added)
    })
    .await
}

fn staged_tables(
    planned: &PlannedOutput,
    files: &[&WrittenFile],
    added: &AddedColumns,
    environment: &Environment,
) -> Result<Vec<StagedTable>> {
    let output = &planned.output;
    let own = files.iter().filter(|file| file.output == output.name);
    let own: Vec<&WrittenFile> = own.copied().collect();
    let of_format = |format: &str| -> Vec<WrittenFile> {
        own.iter().filter(|file| file.format == format).map(|file| (*file).clone()).collect()
    };
    output
        .tables
        .iter()
        .map(|table| {
            let location = StoreLocation::parse(&table.location)?;
            let files = of_format(table.format.name());
            let definition = TableDefinition {
                name: &output.table_name(&table.format),
                schema: &planned.schema,
                partition_by: &output.partition_by,
                format: &table.format,
                root: &location.hadoop_url(environment),
            };
            let hive_paths = files.iter().map(|file| file.hive_path.as_str());
            let ddl = definition.create_sql(&hive_paths.filter(|p| !p.is_empty()).collect())?;
            let added = added.get(&table_folder(&output.name, table.format.name()));
            let added: Vec<&str> = added.into_iter().flatten().map(String::as_str).collect();
            Ok(StagedTable {
                output: output.name.clone(),
                format: table.format.name().to_owned(),
                add_columns: definition.add_columns_sql(&added)?,
                location,
                columns: columns_of(planned),
                partition_by: output.partition_by.clone(),
                timestamps: timestamps_of(&table.format).to_owned(),
                files,
                ddl,
            })
        })
        .collect()
}
