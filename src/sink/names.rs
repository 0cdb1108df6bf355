//! Names of what lies at a table's root: its files and the marker that it is complete.
//!
//! ```text
//! <table root>/dt=2026-11-21/service=books/part-00003-<attempt>.parquet
//! <table root>/_SUCCESS                                                   last of all
//! <staging>/events.parquet/dt=2026-11-21/service=books/<file>             until it is published
//! ```
//!
//! No file name is ever reused for other bytes: each holds the attempt's id.

use crate::base::run_ids::AttemptId;

/// The marker that a table's last publish is complete.
pub const SUCCESS: &str = "_SUCCESS";

/// The folder of one table's files below a staging folder, and of its documents beside the
/// manifest: `events.parquet`.
pub fn table_folder(output: &str, format: &str) -> String {
    format!("{output}.{format}")
}

/// A table's file: `part-00003-<attempt>.parquet`; `extension` has no leading dot.
pub fn table_file(number: usize, attempt: &AttemptId, extension: &str) -> String {
    format!("part-{number:05}-{attempt}.{extension}")
}

/// The attempt that wrote a table's file, by its name; none if it is no such name.
pub fn attempt_of_file(name: &str) -> Option<AttemptId> {
    let (number, rest) = name.strip_prefix("part-")?.split_once('-')?;
    let (attempt, _) = rest.split_once('.')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = !attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_number && is_id).then(|| AttemptId::new(attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_attempt_wrote_it() {
        let attempt = AttemptId::new("a1");
        let name = table_file(100_000, &attempt, "tsv.gz");
        assert_eq!(attempt_of_file(&name), Some(attempt));
        for foreign in ["_SUCCESS", "part-0", "part-x-a1.tsv", "part-1-.tsv", "part-1-a b.tsv"] {
            assert_eq!(attempt_of_file(foreign), None, "{foreign}");
        }
    }
}
