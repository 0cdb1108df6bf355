//! Expectations: SQL predicates that the rows of an output must meet.
//!
//! The predicates become columns behind the view's own, true or false in each row; the sink cuts
//! them off again. A predicate that is NULL counts as broken: it is not known to hold.
//!
//! ```text
//! view          at, amount, _source, _line
//! planned       at, amount, _source, _line, __expectation_0       (amount >= 0) IS TRUE
//! split         rows with true in all → table; the others → quarantine, warning or failure
//! written       at, amount                                        exclude = ["_source", "_line"]
//! ```

use std::collections::BTreeMap;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::compute::{and, cast, filter_record_batch, not};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::parameters::{ParameterValues, bind_parameters};
use crate::error::{Error, Result};
use crate::pipeline::{Expectation, OnFail, Output};
use crate::quarantine::QuarantineRecord;

/// Prefix of the columns that carry the predicates' results.
const COLUMN_PREFIX: &str = "__expectation_";

/// The predicate as a column that is true or false.
///
/// # Errors
/// What is wrong with the predicate, without its place.
pub(super) fn plan_expectation(
    state: &SessionState,
    schema: &DFSchema,
    number: usize,
    expectation: &Expectation,
    values: &ParameterValues,
) -> Result<Expr, DataFusionError> {
    let dialect = state.config().options().sql_parser.dialect;
    let mut tree = state.sql_to_expr_with_alias(&expectation.predicate, &dialect)?;
    if let Some(unknown) = bind_parameters(&mut tree.expr, values).into_iter().next() {
        return Err(DataFusionError::Plan(format!("{}; {}", unknown.message, unknown.help)));
    }
    let predicate = state.create_logical_expr_from_sql_expr(tree, schema)?;
    let found = predicate.get_type(schema)?;
    if found != DataType::Boolean {
        let message = format!("expected a predicate (true or false), found {found}");
        return Err(DataFusionError::Plan(message));
    }
    Ok(predicate.is_true().alias(format!("{COLUMN_PREFIX}{number}")))
}

/// What the expectations of one output found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExpectationCounts {
    /// Rows that went to the quarantine, by expectation.
    pub rejected: BTreeMap<String, u64>,
    /// Rows that were written although they broke an expectation, by expectation.
    pub warned: BTreeMap<String, u64>,
}

/// Cuts the rows of an output's batches apart.
#[derive(Debug)]
pub(super) struct ExpectationSplit {
    output: Output,
    columns: usize,
    written: Vec<usize>,
    pub counts: ExpectationCounts,
}

impl ExpectationSplit {
    /// For batches of `schema`: the view's columns, then one for each expectation.
    pub fn new(output: &Output, schema: &SchemaRef) -> Self {
        let columns = schema.fields().len() - output.expectations.len();
        let is_written = |index: &usize| !output.exclude.contains(schema.field(*index).name());
        let written = (0..columns).filter(is_written).collect();
        let counts = ExpectationCounts::default();
        ExpectationSplit { output: output.clone(), columns, written, counts }
    }

    /// The columns that are written.
    pub fn written_schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let projected = schema.project(&self.written).map_err(|error| bug(&error))?;
        Ok(std::sync::Arc::new(projected))
    }

    /// The rows that are written, and the rows that are not.
    ///
    /// # Errors
    /// `Error::Data` if a row breaks an expectation with `on_fail = "fail"`.
    pub fn split(&mut self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<QuarantineRecord>)> {
        let mut kept: Option<BooleanArray> = None;
        let mut records = Vec::new();
        let expectations = self.output.expectations.clone();
        for (number, expectation) in expectations.iter().enumerate() {
            let holds = batch.column(self.columns + number).as_boolean();
            if holds.true_count() == batch.num_rows() {
                continue;
            }
            let broken = not(holds).map_err(|error| bug(&error))?;
            match expectation.on_fail {
                OnFail::Fail => return Err(self.failure(expectation, batch, &broken)),
                OnFail::Warn => add(&mut self.counts.warned, expectation, broken.true_count()),
                OnFail::Reject => {
                    let fresh = match &kept {
                        Some(kept) => and(&broken, kept).map_err(|error| bug(&error))?,
                        None => broken,
                    };
                    add(&mut self.counts.rejected, expectation, fresh.true_count());
                    records.extend(self.records(expectation, batch, &fresh)?);
                    kept = Some(match &kept {
                        Some(kept) => and(kept, holds).map_err(|error| bug(&error))?,
                        None => holds.clone(),
                    });
                }
            }
        }
        let written = batch.project(&self.written).map_err(|error| bug(&error))?;
        let written = match kept {
            Some(kept) => filter_record_batch(&written, &kept).map_err(|error| bug(&error))?,
            None => written,
        };
        Ok((written, records))
    }

    fn failure(
        &self,
        expectation: &Expectation,
        batch: &RecordBatch,
        broken: &BooleanArray,
    ) -> Error {
        let first = (0..broken.len()).find(|row| broken.value(*row)).unwrap_or(0);
        let origin = Origin::of(batch, self.columns).describe(first);
        Error::Data(format!(
            "output {}: {} rows of a batch break expectation `{}` ({}), the first {origin}; \
             nothing was published; look at the rows, or mend the expectation",
            self.output.name,
            broken.true_count(),
            expectation.name,
            expectation.predicate,
        ))
    }

    fn records(
        &self,
        expectation: &Expectation,
        batch: &RecordBatch,
        broken: &BooleanArray,
    ) -> Result<Vec<QuarantineRecord>> {
        let view_columns: Vec<usize> = (0..self.columns).collect();
        let view = batch.project(&view_columns).map_err(|error| bug(&error))?;
        let rows = filter_record_batch(&view, broken).map_err(|error| bug(&error))?;
        let origin = Origin::of(&rows, self.columns);
        let json = rows_as_json(&rows)?;
        let broken = (expectation.name.as_str(), expectation.predicate.as_str());
        let record = |(row, json): (usize, serde_json::Value)| {
            let from = (origin.source(row), origin.line(row), origin.offset(row));
            QuarantineRecord::of_row(&self.output.name, broken, json, from)
        };
        Ok(json.into_iter().enumerate().map(record).collect())
    }
}

fn add(counts: &mut BTreeMap<String, u64>, expectation: &Expectation, rows: usize) {
    *counts.entry(expectation.name.clone()).or_default() += rows as u64;
}

fn rows_as_json(rows: &RecordBatch) -> Result<Vec<serde_json::Value>> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(rows).and_then(|()| writer.finish()).map_err(|error| bug(&error))?;
    let text = writer.into_inner();
    let values = serde_json::Deserializer::from_slice(&text).into_iter();
    values.collect::<Result<_, _>>().map_err(|error| bug(&error))
}

/// Where rows are from, as far as the view tells.
struct Origin {
    source: Option<StringArray>,
    line: Option<Int64Array>,
    offset: Option<Int64Array>,
}

impl Origin {
    fn of(batch: &RecordBatch, columns: usize) -> Self {
        let schema = batch.schema();
        let column = |name: &str| -> Option<&ArrayRef> {
            let index = schema.index_of(name).ok().filter(|index| *index < columns)?;
            Some(batch.column(index))
        };
        let number = |name: &str| {
            let column = cast(column(name)?, &DataType::Int64).ok()?;
            Some(column.as_primitive::<Int64Type>().clone())
        };
        let source = column("_source").and_then(|source| cast(source, &DataType::Utf8).ok());
        Origin {
            source: source.map(|source| source.as_string::<i32>().clone()),
            line: number("_line"),
            offset: number("_offset"),
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

    fn describe(&self, row: usize) -> String {
        match (self.source(row), self.line(row)) {
            (Some(source), Some(line)) => format!("from line {line} of {source}"),
            _ => "from an unknown line (the view has no `_source` and `_line`)".to_owned(),
        }
    }
}

fn number_at(column: Option<&Int64Array>, row: usize) -> Option<u64> {
    let column = column?;
    if column.is_valid(row) { u64::try_from(column.value(row)).ok() } else { None }
}

fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("checking expectations: {error}"))
}
