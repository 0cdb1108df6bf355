//! Rows of a view that its output's files cannot hold are rejects, as rows that an expression fails
//! on are.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;

use super::{Looked, StoredCheck, UnfitRow};
use crate::base::error::{Error, Result};
use crate::pipeline::Output;
use crate::query::evaluation::{EvaluationRejects, PlaceId, RowCounts};

/// Takes the rows that cannot be stored out of an output's batches.
pub(crate) struct UnfitRows {
    check: StoredCheck,
    /// Columns of the view.
    view: Vec<usize>,
    /// Of the rows that can be stored.
    schema: SchemaRef,
    rejects: Arc<EvaluationRejects>,
    rows: Arc<RowCounts>,
}

impl UnfitRows {
    /// For batches of `schema`: the view's columns, then one for each expectation.
    pub fn new(
        output: &Output,
        schema: &SchemaRef,
        rejects: Arc<EvaluationRejects>,
    ) -> Result<Self> {
        let view: Vec<usize> = (0..schema.fields().len() - output.expectations.len()).collect();
        let view_schema = schema.project(&view).map_err(|error| bug(&error))?;
        let check = StoredCheck::new(output, &view_schema)?;
        let rows = rejects.counts_at(PlaceId::FILES);
        let schema = check.stored_schema(schema);
        Ok(UnfitRows { check, view, schema, rejects, rows })
    }

    /// The columns of the rows that can be stored: what was cast to look at it stays cast.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows that can be stored; the others go to the quarantine.
    pub async fn reject(&self, batch: RecordBatch) -> Result<RecordBatch> {
        self.rows.add(batch.num_rows() as u64, 0);
        let unfit = match self.check.look_at(&batch) {
            Looked::Stored(columns) => return self.stored(columns, batch.num_rows()),
            Looked::Unfit(unfit) => unfit,
        };
        let mut fits = vec![true; batch.num_rows()];
        let view = batch.project(&self.view).map_err(|error| bug(&error))?;
        for UnfitRow { row, column, message } in unfit {
            self.rejects.reject(&view.slice(row, 1), &column, &message).await?;
            fits[row] = false;
            self.rows.add(0, 1);
        }
        let kept = (0_u32..).zip(fits).filter_map(|(row, fits)| fits.then_some(row));
        let kept = take_record_batch(&batch, &UInt32Array::from_iter_values(kept));
        let kept = kept.map_err(|error| bug(&error))?;
        match self.check.look_at(&kept) {
            Looked::Stored(columns) => self.stored(columns, kept.num_rows()),
            Looked::Unfit(_) => Err(bug(&"rows that fit one by one do not fit together")),
        }
    }

    fn stored(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        batch.map_err(|error| bug(&error))
    }
}

fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("taking out rows that cannot be stored: {error}"))
}
