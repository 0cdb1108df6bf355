//! Rows of a view that its output's files cannot hold are rejects, as rows that an expression fails
//! on are.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;

use super::{StoredCheck, UnfitRow};
use crate::base::error::{Error, Result};
use crate::pipeline::Output;
use crate::query::evaluation::EvaluationRejects;

/// Takes the rows that cannot be stored out of an output's batches.
pub(crate) struct UnfitRows {
    check: StoredCheck,
    /// Columns of the view.
    view: Vec<usize>,
    rejects: Arc<EvaluationRejects>,
    seen: u64,
    failed: u64,
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
        Ok(UnfitRows { check, view, rejects, seen: 0, failed: 0 })
    }

    /// The rows that can be stored; the others go to the quarantine.
    pub async fn reject(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        self.seen += batch.num_rows() as u64;
        let Some(unfit) = self.check.unfit_rows(&batch) else { return Ok(batch) };
        let mut fits = vec![true; batch.num_rows()];
        let view = batch.project(&self.view).map_err(|error| bug(&error))?;
        for UnfitRow { row, column, message } in unfit {
            self.rejects.reject(&view.slice(row, 1), &column, &message).await?;
            fits[row] = false;
            self.failed += 1;
        }
        let kept = (0_u32..).zip(fits).filter_map(|(row, fits)| fits.then_some(row));
        take_record_batch(&batch, &UInt32Array::from_iter_values(kept)).map_err(|error| bug(&error))
    }

    /// Notes of how many rows there were rejects, when all have been seen.
    pub fn finish(self) {
        if self.failed > 0 {
            self.rejects.note_evaluated(self.seen, self.failed);
        }
    }
}

fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("taking out rows that cannot be stored: {error}"))
}
