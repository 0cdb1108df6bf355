//! Which rows of an output are written, and which go to the quarantine.
//!
//! ```text
//! planned   at, service, amount, _source, _line, __expectation_0
//! rejected  rows that break an expectation            reason `expectation`
//! rejected  rows whose service has 300 letters        reason `unusable_partition`
//! written   at, service, amount                       exclude = ["_source", "_line"]
//! ```

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;

use super::{PartitionCheck, UnusableRows};
use crate::base::error::{Error, Result};
use crate::pipeline::Output;
use crate::quarantine::{QuarantineRecord, RowFault};
use crate::query::expect::{ExpectationCheck, ExpectationCounts};
use crate::query::rejected_rows::reject_rows;

/// Cuts the rows of an output's batches apart.
pub(crate) struct RowSplit {
    output: String,
    /// Columns of the view.
    view: Vec<usize>,
    /// Columns of the predicates' results.
    predicates: Vec<usize>,
    /// Columns of the view that are written.
    written: Vec<usize>,
    expectations: ExpectationCheck,
    partition: PartitionCheck,
    unusable_partition: u64,
}

impl RowSplit {
    /// For batches of `schema`: the view's columns, then one for each expectation.
    pub fn new(output: &Output, schema: &SchemaRef) -> Result<Self> {
        let columns = schema.fields().len();
        let view: Vec<usize> = (0..columns - output.expectations.len()).collect();
        let is_written = |index: &usize| !output.exclude.contains(schema.field(*index).name());
        let view_schema = schema.project(&view).map_err(|error| bug(&error))?;
        Ok(RowSplit {
            output: output.name.clone(),
            predicates: (view.len()..columns).collect(),
            written: view.iter().copied().filter(is_written).collect(),
            view,
            expectations: ExpectationCheck::new(output),
            partition: PartitionCheck::new(&view_schema, &output.partition_by)?,
            unusable_partition: 0,
        })
    }

    /// The columns that are written.
    pub fn written_schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let projected = schema.project(&self.written).map_err(|error| bug(&error))?;
        Ok(Arc::new(projected))
    }

    /// The rows that are written, and the rows that are not.
    ///
    /// # Errors
    /// `Error::Data` if a row breaks an expectation with `on_fail = "fail"`.
    pub fn split(&mut self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<QuarantineRecord>)> {
        let mut view = batch.project(&self.view).map_err(|error| bug(&error))?;
        let holds = batch.project(&self.predicates).map_err(|error| bug(&error))?;
        let (kept, mut records) = self.expectations.check(&view, &holds)?;
        if let Some(kept) = kept {
            view = filter_record_batch(&view, &kept).map_err(|error| bug(&error))?;
        }
        let unusable = self.partition.unusable_rows(&view)?;
        if !unusable.is_empty() {
            let without: BooleanArray = usable_rows(&unusable, view.num_rows()).into();
            for rows in unusable {
                records.extend(self.reject_unusable(&view, rows)?);
            }
            view = filter_record_batch(&view, &without).map_err(|error| bug(&error))?;
        }
        let written = view.project(&self.written).map_err(|error| bug(&error))?;
        Ok((written, records))
    }

    fn reject_unusable(
        &mut self,
        view: &RecordBatch,
        UnusableRows { key, rows }: UnusableRows,
    ) -> Result<Vec<QuarantineRecord>> {
        self.unusable_partition += rows.len() as u64;
        let rows =
            take_record_batch(view, &UInt32Array::from(rows)).map_err(|error| bug(&error))?;
        let fault =
            RowFault::Partition { column: &key.column, expected: &key.expected, found: &key.found };
        reject_rows(&self.output, fault, &rows)
    }

    /// What the expectations found, and the rows without a partition.
    pub fn into_counts(self) -> (ExpectationCounts, u64) {
        (self.expectations.into_counts(), self.unusable_partition)
    }
}

fn usable_rows(unusable: &[UnusableRows], rows: usize) -> Vec<bool> {
    let mut usable = vec![true; rows];
    for row in unusable.iter().flat_map(|unusable| &unusable.rows) {
        usable[*row as usize] = false;
    }
    usable
}

fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("splitting the rows of an output: {error}"))
}
