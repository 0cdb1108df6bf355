//! What one output's expressions could not be evaluated on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use super::places::{EvaluatedRows, PlaceId, RowCounts};
use crate::base::error::{Error, Result};
use crate::quarantine::{QuarantineRecord, QuarantineSender, RowFault};
use crate::query::engine_errors::engine_error;
use crate::query::rejected_rows::{places_of_row, reject_rows};

/// How many rows an output's expressions failed on, and of how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationCounts {
    /// Rows that went to the quarantine.
    pub rejected: u64,
    /// Rows that were evaluated where most were: before rows are filtered or gathered there are
    /// more than the output has.
    pub evaluated: u64,
    /// The same for each place of the query, in their order.
    #[serde(default)]
    pub places: Vec<EvaluatedRows>,
    /// What the first of them was, and where.
    #[serde(default)]
    pub first: Option<String>,
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
    quarantine: QuarantineSender,
    rejected: AtomicU64,
    /// The places of the query, by what tells them apart.
    places: Mutex<Vec<(PlaceId, Arc<RowCounts>)>>,
    first: OnceLock<String>,
}

impl EvaluationRejects {
    /// For a query of these places.
    pub fn new(output: &str, places: Vec<PlaceId>, quarantine: QuarantineSender) -> Self {
        let places = places.into_iter().chain([PlaceId::FILES]);
        let places = places.map(|place| (place, Arc::default())).collect();
        EvaluationRejects {
            output: output.to_owned(),
            quarantine,
            rejected: AtomicU64::new(0),
            places: Mutex::new(places),
            first: OnceLock::new(),
        }
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> EvaluationCounts {
        let places: Vec<_> = self.places().iter().map(|(_, counts)| counts.rows()).collect();
        EvaluationCounts {
            rejected: self.rejected.load(Ordering::Relaxed),
            evaluated: places.iter().map(|place| place.evaluated).max().unwrap_or(0),
            places,
            first: self.first.get().cloned(),
        }
    }

    /// The counts of one place of the query.
    pub(crate) fn counts_at(&self, place: PlaceId) -> Arc<RowCounts> {
        let mut places = self.places();
        if let Some((_, counts)) = places.iter().find(|(known, _)| *known == place) {
            return Arc::clone(counts);
        }
        let counts = Arc::<RowCounts>::default();
        places.push((place, Arc::clone(&counts)));
        counts
    }

    fn places(&self) -> MutexGuard<'_, Vec<(PlaceId, Arc<RowCounts>)>> {
        self.places.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
