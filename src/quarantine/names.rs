//! Names of what lies in the quarantine.
//!
//! ```text
//! <quarantine>/<pipeline>/<interval>/<attempt>/rejects-00000.ndjson.zst
//! ```

use crate::base::run_ids::{AttemptKey, IntervalId};

/// The folder below the quarantine's location that takes the rejects of all attempts at a run.
pub fn run_folder(pipeline: &str, interval: &IntervalId) -> String {
    format!("{pipeline}/{interval}")
}

/// The folder below the quarantine's location that takes one attempt's rejects.
pub fn attempt_folder(pipeline: &str, key: &AttemptKey) -> String {
    format!("{}/{}", run_folder(pipeline, &key.interval), key.attempt)
}

/// A quarantine file's name.
pub(super) fn file_name(number: usize) -> String {
    format!("rejects-{number:05}.ndjson.zst")
}
