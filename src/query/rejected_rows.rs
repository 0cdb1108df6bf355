//! Rows of a view as records of the quarantine: their JSON, and where they come from.
//!
//! ```text
//! row      amount: -5, _source: logs/a.ndjson, _line: 2
//! record   {"object":"logs/a.ndjson","line":2,"row":{"amount":-5,"_source":…},…}
//! ```
//!
//! A view need not say where its rows come from; the row itself is kept in any case.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};

use crate::base::error::{Error, Result};
use crate::quarantine::{QuarantineRecord, RowFault};
use crate::query::evaluation::{CARRIED_LINE, CARRIED_OFFSET, CARRIED_SOURCE, is_carried};
use crate::query::json_values::rows_as_json;

/// A record for each of `rows`, which all have the same fault.
pub(crate) fn reject_rows(
    output: &str,
    fault: RowFault<'_>,
    rows: &RecordBatch,
) -> Result<Vec<QuarantineRecord>> {
    let origin = Origin::of(rows);
    let json = rows_as_json(&without_carried(rows)?);
    let record = |(row, json): (usize, serde_json::Value)| {
        let from = (origin.source(row), origin.line(row), origin.offset(row));
        QuarantineRecord::of_row(output, fault, json, from)
    };
    Ok(json.into_iter().enumerate().map(record).collect())
}

/// `from line 7 of logs/a.ndjson`
pub(crate) fn describe_origin(rows: &RecordBatch, row: usize) -> String {
    let origin = Origin::of(rows);
    match (origin.source(row), origin.line(row)) {
        (Some(source), Some(line)) => format!("from line {line} of {source}"),
        _ => "from an unknown line (the view has no `_source` and `_line`)".to_owned(),
    }
}

/// Where a row is from, as `line 7 of logs/a.ndjson`: for a pair of a join both places.
pub(crate) fn places_of_row(row: &RecordBatch) -> Vec<String> {
    let schema = row.schema();
    let columns = |name: &str, carried: &str| -> Vec<usize> {
        let fields = schema.fields().iter().enumerate();
        let is_one = |field: &str| field == name || field.starts_with(carried);
        let found = fields.filter(|(_, field)| is_one(field.name()));
        found.map(|(index, _)| index).collect()
    };
    let sources = columns("_source", CARRIED_SOURCE);
    let lines = columns("_line", CARRIED_LINE);
    // Whose they are is not known.
    if sources.len() != lines.len() {
        return Vec::new();
    }
    let place = |(source, line): (usize, usize)| {
        let place = Origin::of(&row.project(&[source, line]).ok()?);
        Some(format!("line {} of {}", place.line(0)?, place.source(0)?))
    };
    sources.into_iter().zip(lines).filter_map(place).collect()
}

/// The rows without the columns that are there only to say where they are from.
fn without_carried(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let own = |index: &usize| !is_carried(schema.field(*index).name());
    let own: Vec<usize> = (0..schema.fields().len()).filter(own).collect();
    rows.project(&own).map_err(|error| bug(&error))
}

/// The column that says something of the rows' origin: as the view has it, or as it was carried.
fn origin_column<'r>(rows: &'r RecordBatch, name: &str, carried: &str) -> Option<&'r ArrayRef> {
    let schema = rows.schema();
    let carried = schema.fields().iter().position(|field| field.name().starts_with(carried));
    carried.map(|index| rows.column(index)).or_else(|| rows.column_by_name(name))
}

/// Where rows are from, as far as the view tells.
struct Origin {
    source: Option<StringArray>,
    line: Option<Int64Array>,
    offset: Option<Int64Array>,
}

impl Origin {
    fn of(rows: &RecordBatch) -> Self {
        let number = |name: &str, carried: &str| {
            let column = cast(origin_column(rows, name, carried)?, &DataType::Int64).ok()?;
            Some(column.as_primitive::<Int64Type>().clone())
        };
        let source = origin_column(rows, "_source", CARRIED_SOURCE);
        let source = source.and_then(|source| cast(source, &DataType::Utf8).ok());
        Origin {
            source: source.map(|source| source.as_string::<i32>().clone()),
            line: number("_line", CARRIED_LINE),
            offset: number("_offset", CARRIED_OFFSET),
        }
    }

    fn source(&self, row: usize) -> Option<String> {
        let source = self.source.as_ref()?;
        source.is_valid(row).then(|| source.value(row).to_owned())
    }

    fn line(&self, row: usize) -> Option<u64> {
        number_at(self.line.as_ref(), row)
    }

    fn offset(&self, row: usize) -> Option<u64> {
        number_at(self.offset.as_ref(), row)
    }
}

fn number_at(column: Option<&Int64Array>, row: usize) -> Option<u64> {
    let column = column?;
    if column.is_valid(row) { u64::try_from(column.value(row)).ok() } else { None }
}

fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("keeping rejected rows: {error}"))
}
