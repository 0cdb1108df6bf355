//! What one output's expressions could not be evaluated on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::quarantine::{QuarantineSender, RowFault};
use crate::query::engine_errors::engine_error;
use crate::query::rejected_rows::reject_rows;

/// How many rows an output's expressions failed on, and of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationCounts {
    /// Rows that went to the quarantine.
    pub rejected: u64,
    /// Rows that were evaluated where most were: before rows are filtered or gathered there are
    /// more than the output has.
    pub evaluated: u64,
    /// Rows that failed there.
    #[serde(default)]
    pub failed_there: u64,
}

impl EvaluationCounts {
    /// All rejects, and of how many rows: what could not be evaluated is measured by the rows that
    /// were, which may be many more than the view has.
    pub fn with_those_of_view(&self, rejected: u64, seen: u64) -> (u64, u64) {
        let all_rejected = rejected + self.rejected;
        match self.rejected {
            0 => (rejected, seen),
            // A sum over no rows is a row, too, but nothing is left.
            _ if self.failed_there == self.evaluated => (all_rejected, all_rejected),
            _ => (all_rejected, self.evaluated.max(seen + self.rejected)),
        }
    }
}

/// An error of an output's query; what the data broke names the output that it broke.
pub(crate) fn output_error(output: &str, error: DataFusionError) -> Error {
    match engine_error(error) {
        Error::Data(message) => Error::Data(format!("output {output}: {message}")),
        other => other,
    }
}

/// Takes the rows of one output that an expression fails on; stands in the task's context.
#[derive(Debug)]
pub(crate) struct EvaluationRejects {
    output: String,
    quarantine: QuarantineSender,
    rejected: AtomicU64,
    /// Rows and failed rows of the place that has seen most.
    largest: Mutex<(u64, u64)>,
}

impl EvaluationRejects {
    pub fn new(output: &str, quarantine: QuarantineSender) -> Self {
        EvaluationRejects {
            output: output.to_owned(),
            quarantine,
            rejected: AtomicU64::new(0),
            largest: Mutex::default(),
        }
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> EvaluationCounts {
        let (evaluated, failed_there) = *self.largest();
        let rejected = self.rejected.load(Ordering::Relaxed);
        EvaluationCounts { rejected, evaluated, failed_there }
    }

    fn largest(&self) -> MutexGuard<'_, (u64, u64)> {
        self.largest.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Notes how many rows one place of the query has seen, and how many of them have failed.
    pub(crate) fn note_evaluated(&self, rows: u64, failed: u64) {
        let mut largest = self.largest();
        *largest = (*largest).max((rows, failed));
    }

    /// Hands a row over to the quarantine.
    pub(crate) async fn reject(
        &self,
        row: &RecordBatch,
        expression: &str,
        message: &str,
    ) -> Result<()> {
        let fault = RowFault::Evaluation { expression, message };
        for record in reject_rows(&self.output, fault, row)? {
            self.quarantine.send(record).await?;
        }
        self.rejected.fetch_add(row.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }
}
