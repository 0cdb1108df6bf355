//! Rows of a view as records of the quarantine: their JSON, and where they come from.
//!
//! ```text
//! row      amount: -5, _source: logs/a.ndjson, _line: 2
//! record   {"object":"logs/a.ndjson","line":2,"row":{"amount":-5,"_source":…},…}
//! ```
//!
//! A view need not say where its rows come from; the row itself is kept in any case.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::LineDelimitedWriter;

use crate::base::error::{Error, Result};
use crate::quarantine::{QuarantineRecord, RowFault};
use crate::query::evaluation::{CARRIED_LINE, CARRIED_OFFSET, CARRIED_SOURCE, is_carried};

/// Stands in a row's JSON for the values of a column that JSON has no form for.
const NO_JSON: &str = "(no JSON form)";

/// A record for each of `rows`, which all have the same fault.
pub(crate) fn reject_rows(
    output: &str,
    fault: RowFault<'_>,
    rows: &RecordBatch,
) -> Result<Vec<QuarantineRecord>> {
    let origin = Origin::of(rows);
    let own = with_long_decimals_as_text(&without_carried(rows)?)?;
    let json = rows_as_json(&own)?;
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

/// Decimals of more digits than a JSON number is sure to keep, as texts.
fn with_long_decimals_as_text(rows: &RecordBatch) -> Result<RecordBatch> {
    let is_long = |column: &ArrayRef| match column.data_type() {
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let texts = cast(column, &DataType::Utf8).map_err(|error| bug(&error))?;
            let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
            let long = texts.as_string::<i32>().iter().flatten().any(|text| digits(text) > 15);
            Ok(long.then_some(texts))
        }
        _ => Ok(None),
    };
    let long = rows.columns().iter().map(is_long).collect::<Result<Vec<_>>>()?;
    if long.iter().all(Option::is_none) {
        return Ok(rows.clone());
    }
    let schema = rows.schema();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for ((field, column), text) in schema.fields().iter().zip(rows.columns()).zip(long) {
        let data_type = if text.is_some() { DataType::Utf8 } else { column.data_type().clone() };
        fields.push(Field::new(field.name(), data_type, true));
        columns.push(text.unwrap_or_else(|| Arc::clone(column)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| bug(&error))
}

/// The column that says something of the rows' origin: as the view has it, or as it was carried.
fn origin_column<'r>(rows: &'r RecordBatch, name: &str, carried: &str) -> Option<&'r ArrayRef> {
    let schema = rows.schema();
    let carried = schema.fields().iter().position(|field| field.name().starts_with(carried));
    carried.map(|index| rows.column(index)).or_else(|| rows.column_by_name(name))
}

fn rows_as_json(rows: &RecordBatch) -> Result<Vec<serde_json::Value>> {
    let text = match json_lines(rows) {
        Ok(text) => text,
        Err(_) => shown_columns(rows).and_then(|rows| json_lines(&rows)).map_err(|e| bug(&e))?,
    };
    let values = serde_json::Deserializer::from_slice(&text).into_iter();
    values.collect::<Result<_, _>>().map_err(|error| bug(&error))
}

fn json_lines(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// The rows, without the values of columns that JSON has no form for: a map whose keys are numbers.
fn shown_columns(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let shown = |(index, column): (usize, &ArrayRef)| -> Result<(String, ArrayRef), ArrowError> {
        let name = schema.field(index).name().clone();
        if json_lines(&rows.project(&[index])?).is_ok() {
            return Ok((name, Arc::clone(column)));
        }
        let text = |row| column.is_valid(row).then_some(NO_JSON);
        Ok((name, Arc::new((0..rows.num_rows()).map(text).collect::<StringArray>())))
    };
    let columns = rows.columns().iter().enumerate().map(shown);
    RecordBatch::try_from_iter_with_nullable(
        columns
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .map(|(name, array)| (name, array, true)),
    )
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Builder, MapBuilder};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_that_json_has_no_form_for_is_kept_with_its_other_columns() {
        let mut maps = MapBuilder::new(None, Int64Builder::new(), Int64Builder::new());
        maps.keys().append_value(1);
        maps.values().append_value(2);
        maps.append(true).unwrap();
        maps.append(false).unwrap();
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let columns = [("map", Arc::new(maps.finish()) as ArrayRef), ("_line", ids)];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let fault = RowFault::Partition { column: "day", expected: "a year", found: "none" };
        let records = reject_rows("events", fault, &rows).unwrap();
        let rows: Vec<_> = records.iter().map(|record| record.row.clone().unwrap()).collect();
        assert_eq!(rows, [json!({"map": NO_JSON, "_line": 1}), json!({"_line": 2})]);
        assert_eq!((records[1].line, &records[1].object), (Some(2), &None));
    }
}
