//! What one output's expressions could not be evaluated on.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::quarantine::{QuarantineRecord, QuarantineSender, RowFault};
use crate::query::engine_errors::engine_error;
use crate::query::rejected_rows::{describe_origin, places_of_row, reject_rows};

/// How many rows an output's expressions failed on, and of how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationCounts {
    /// Rows that went to the quarantine.
    pub rejected: u64,
    /// Rows that were evaluated where most were: before rows are filtered or gathered there are
    /// more than the output has.
    pub evaluated: u64,
    /// Rows that failed there.
    #[serde(default)]
    pub failed_there: u64,
    /// Whether some place of the query rejected all that came to it.
    #[serde(default)]
    pub all_failed_somewhere: bool,
    /// What the first of them was, and where.
    #[serde(default)]
    pub first: Option<String>,
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
            _ if self.all_failed_somewhere && seen == 0 => (all_rejected, all_rejected),
            _ => (all_rejected, self.evaluated.max(seen + self.rejected)),
        }
    }
}

/// An error of an output's query, which names the output, unless something else passed.
pub(crate) fn output_error(output: &str, error: DataFusionError) -> Error {
    match engine_error(error) {
        Error::Data(message) => Error::Data(format!("output {output}: {message}")),
        Error::Config(mut found) => {
            for diagnostic in found.iter_mut().filter(|one| one.file.is_none()) {
                diagnostic.message = format!("output {output}: {}", diagnostic.message);
            }
            Error::Config(found)
        }
        other => other,
    }
}

/// A reject for an error's reader: a row by its place, a group by its keys and values.
fn describe_reject(record: &QuarantineRecord) -> String {
    let row = || record.row.as_ref().map_or_else(String::new, |row| format!(", in {row}"));
    let place = match (&record.object, record.line) {
        (Some(object), Some(line)) => format!(", in line {line} of {object}"),
        _ => row(),
    };
    match place.char_indices().nth(PLACE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}{}…", record.message, &place[..end]),
        None => format!("{}{place}", record.message),
    }
}

/// Characters of a place or a group in an error.
const PLACE_CHARACTERS_MAX: usize = 300;

/// Takes the rows of one output that an expression fails on; stands in the task's context.
#[derive(Debug)]
pub(crate) struct EvaluationRejects {
    output: String,
    /// Columns that are computed for expectations that stop the run, and which one each is for.
    guards: BTreeMap<String, String>,
    quarantine: QuarantineSender,
    rejected: AtomicU64,
    /// Rows and failed rows of the place that has seen most.
    largest: Mutex<(u64, u64)>,
    places: Mutex<HashMap<usize, Arc<RowCounts>>>,
    first: OnceLock<String>,
}

/// How many rows one place of a query has seen, over all its partitions.
#[derive(Debug, Default)]
pub(crate) struct RowCounts {
    seen: AtomicU64,
    failed: AtomicU64,
}

impl RowCounts {
    /// Gives the sums.
    pub fn add(&self, seen: u64, failed: u64) -> (u64, u64) {
        let seen = self.seen.fetch_add(seen, Ordering::Relaxed) + seen;
        let failed = self.failed.fetch_add(failed, Ordering::Relaxed) + failed;
        (seen, failed)
    }

    fn all_failed(&self) -> bool {
        let (seen, failed) = self.add(0, 0);
        seen > 0 && seen == failed
    }
}

impl EvaluationRejects {
    pub fn new(
        output: &str,
        guards: BTreeMap<String, String>,
        quarantine: QuarantineSender,
    ) -> Self {
        EvaluationRejects {
            output: output.to_owned(),
            guards,
            quarantine,
            rejected: AtomicU64::new(0),
            largest: Mutex::default(),
            places: Mutex::default(),
            first: OnceLock::new(),
        }
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> EvaluationCounts {
        let (evaluated, failed_there) = *self.largest();
        let rejected = self.rejected.load(Ordering::Relaxed);
        let all_failed_somewhere = self.places().values().any(|place| place.all_failed());
        let first = self.first.get().cloned();
        EvaluationCounts { rejected, evaluated, failed_there, all_failed_somewhere, first }
    }

    fn largest(&self) -> MutexGuard<'_, (u64, u64)> {
        self.largest.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The counts of one place of the query.
    pub(crate) fn counts_at(&self, place: usize) -> Arc<RowCounts> {
        Arc::clone(self.places().entry(place).or_default())
    }

    fn places(&self) -> MutexGuard<'_, HashMap<usize, Arc<RowCounts>>> {
        self.places.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Notes how many rows one place of the query has seen, and how many of them have failed.
    pub(crate) fn note_evaluated(&self, rows: u64, failed: u64) {
        let mut largest = self.largest();
        *largest = (*largest).max((rows, failed));
    }

    /// A row on which a column cannot be computed that an expectation with `on_fail = "fail"` needs
    /// is not known to meet it.
    ///
    /// # Errors
    /// `Error::Data` if `column` is such a one.
    pub(crate) fn check_guard(&self, column: &str, row: &RecordBatch, message: &str) -> Result<()> {
        let Some(guard) = self.guards.get(column) else { return Ok(()) };
        let origin = describe_origin(row, 0);
        Err(Error::Data(format!(
            "{guard} cannot be evaluated on the row {origin}: {message}; with `on_fail = \"fail\"` \
             such a row stops the run, and nothing was published; look at the row, or mend the \
             expectation"
        )))
    }

    /// Hands a row over to the quarantine.
    pub(crate) async fn reject(
        &self,
        row: &RecordBatch,
        expression: &str,
        message: &str,
    ) -> Result<()> {
        let message = match places_of_row(row).as_slice() {
            [_, partners @ ..] if !partners.is_empty() => {
                format!("{message}; joined with {}", partners.join(" and "))
            }
            _ => message.to_owned(),
        };
        let fault = RowFault::Evaluation { expression, message: &message };
        for record in reject_rows(&self.output, fault, row)? {
            self.first.get_or_init(|| describe_reject(&record));
            self.quarantine.send(record).await?;
        }
        self.rejected.fetch_add(row.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }
}
