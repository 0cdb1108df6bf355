//! Whether what a run would write goes with what its tables hold.

use std::collections::BTreeMap;

use super::layout::own_tables;
use super::plan::RunPlan;
use crate::base::error::{Diagnostic, Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::{Attempt, ColumnChanges, ManifestColumn, OwnTable, TableShape};
use crate::pipeline::{Format, OnSchemaChange, Output, ParquetTarget};
use crate::query::PlannedOutput;
use crate::sink::stored_type;

/// What changed in the columns of outputs since the last publish.
///
/// # Errors
/// `Error::Config` if a policy refuses it, or old and new files could not be read together.
pub(super) fn check_shapes(
    plan: &RunPlan,
    attempt: &Attempt,
    outputs: &[PlannedOutput],
) -> Result<BTreeMap<String, ColumnChanges>> {
    let siblings: Vec<String> = own_tables(&plan.pipeline)?.iter().map(OwnTable::name).collect();
    let (mut changed, mut refused) = (BTreeMap::new(), Vec::new());
    for planned in outputs {
        let output = &planned.output;
        let (line, column) = output.place;
        let refuse =
            |message| Diagnostic::new(message).in_file(&plan.pipeline.file.path).at(line, column);
        for shape in shapes_of(planned)? {
            let shape = TableShape { siblings: siblings.clone(), ..shape };
            let format = shape.format.as_str();
            let changes = attempt.shape_changes(&shape)?;
            let label = format!("output `{}`, {format}", output.name);
            refused.extend(changes.unreadable.iter().map(|why| refuse(format!("{label}: {why}"))));
            let Some(changes) = changes.columns.filter(|changes| !changes.is_empty()) else {
                continue;
            };
            if refuses(output.on_schema_change, &changes) {
                refused.push(refuse(refused_change(output, &label, &changes)));
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

fn refused_change(output: &Output, label: &str, changes: &ColumnChanges) -> String {
    format!(
        "{label}: its columns changed since {}: {changes}; `on_schema_change = \"{}\"` refuses \
         that; bring the columns back, write to another location, or set `on_schema_change = \
         \"any\"` for a run",
        changes.since,
        output.on_schema_change.name(),
    )
}

/// The tables of an output as they will be written.
pub(super) fn shapes_of(planned: &PlannedOutput) -> Result<Vec<TableShape>> {
    let output = &planned.output;
    let shape = |table: &crate::pipeline::Table| {
        Ok(TableShape {
            output: output.name.clone(),
            format: table.format.name().to_owned(),
            root: StoreLocation::parse(&table.location)?,
            columns: columns_of(planned),
            partition_by: output.partition_by.clone(),
            timestamps: timestamps_of(&table.format).to_owned(),
            siblings: Vec::new(),
        })
    };
    output.tables.iter().map(shape).collect()
}

/// The columns of an output's tables, as they are stored.
pub(super) fn columns_of(planned: &PlannedOutput) -> Vec<ManifestColumn> {
    let stored = |field: &datafusion::arrow::datatypes::FieldRef| {
        let data_type =
            stored_type(field.data_type()).unwrap_or_else(|_| field.data_type().clone());
        ManifestColumn::of(&field.as_ref().clone().with_data_type(data_type))
    };
    planned.schema.fields().iter().map(stored).collect()
}

/// How files of a format hold points in time.
pub(super) fn timestamps_of(format: &Format) -> &'static str {
    match format {
        Format::Tsv(_) => "text",
        Format::Parquet(options) => match options.target {
            ParquetTarget::Hive2 | ParquetTarget::Hive3 => "int96",
            ParquetTarget::Spark | ParquetTarget::Trino | ParquetTarget::DuckDb => "int64",
        },
    }
}
