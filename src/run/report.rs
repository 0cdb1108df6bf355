//! What became of a run: the one line of JSON on stdout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::RunPlan;
use crate::base::error::{Error, Result};
use crate::base::run_ids::IntervalId;
use crate::commit::ColumnChanges;
use crate::decode::count_unknown_field;
use crate::quarantine::{REJECT_RATIO_DEFAULT, REJECTS_DEFAULT};
use crate::query::EvaluatedRows;
use crate::scan::ObjectTally;
use crate::sink::WrittenOutput;
use crate::store::{Operation, OperationCounts};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its tables are published.
    Published,
    /// Its tables were published before, from the same input with the same pipeline.
    AlreadyPublished,
    /// A shard's files are written, and wait for `ashiato publish`.
    Written,
    /// The interval has no objects.
    NothingToDo,
    /// Only what it would do was asked for.
    Planned,
    /// An error stopped it; nothing new is visible.
    #[default]
    Failed,
    /// A signal stopped it; nothing new is visible.
    Stopped,
}

/// The run's result. Counts are of lines unless a name says otherwise; sizes are in bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunResult {
    /// How it ended.
    pub status: Status,
    /// The pipeline's name.
    pub pipeline: String,
    /// The same for each attempt at the same interval.
    pub run_id: String,
    /// Unique for each attempt.
    pub attempt: String,
    /// The attempt that published the interval, if it is `already_published`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_by: Option<String>,
    /// First instant of the interval, RFC 3339 in UTC.
    pub interval_start: String,
    /// First instant after the interval, RFC 3339 in UTC.
    pub interval_end: String,
    /// Lines read: `decoded + rejected + blank`.
    pub lines: u64,
    /// Lines that became rows of `logs`.
    pub decoded: u64,
    /// Lines that went to the quarantine.
    pub rejected: u64,
    /// Empty lines.
    pub blank: u64,
    /// Rejected lines by reason.
    pub rejects_by_reason: BTreeMap<String, u64>,
    /// How often a field that no column names was met, by path.
    pub unknown_fields: BTreeMap<String, u64>,
    /// How many values were mended as the contract asks for, by column and by what was done:
    /// `mismatch_to_null`, `number_as_text`, `spelled_bool`, `item_dropped`,
    /// `invalid_text_replaced`.
    #[serde(default)]
    pub mended: BTreeMap<String, BTreeMap<String, u64>>,
    /// What was read.
    pub sources: Sources,
    /// What was written, by output.
    pub outputs: BTreeMap<String, OutputResult>,
    /// What the rejects' files are.
    pub quarantine: QuarantineResult,
    /// What SQL functions looked things up in, and what they did not find.
    pub enrichment: EnrichmentResult,
    /// What was asked of the stores, by operation; those that were not asked for are left out.
    #[serde(skip_deserializing)]
    pub store: BTreeMap<Operation, OperationCounts>,
    /// How many rejects are too many; none if the pipeline could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<ThresholdsResult>,
    /// What was published of the interval, if the source has nothing for it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emptied: Option<EmptiedResult>,
    /// Smaller intervals, published earlier, that this run replaced.
    pub replaced_intervals: Vec<IntervalId>,
    /// From start to end, in milliseconds.
    pub duration_ms: u64,
    /// The largest resident set of the process.
    pub peak_memory_bytes: u64,
    /// What the run would do, with `--dry-run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<serde_json::Value>,
    /// What stopped the run, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorResult>,
}

/// How many rejects are too many: lines of all lines, and rows of each output's rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThresholdsResult {
    /// A larger share fails the run.
    pub max_reject_ratio: f64,
    /// More than this fail the run; none limits nothing.
    pub max_rejects: Option<u64>,
    /// So many are taken whatever their share, but never all there is: where no
    /// `max_reject_ratio` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at_least: Option<u64>,
    /// Whether nothing of this was begun against the run, by `--allow-rejects`.
    pub ignored: bool,
}

impl ThresholdsResult {
    /// Those of a run.
    pub fn of(plan: &RunPlan) -> Self {
        let quarantine = &plan.pipeline.quarantine;
        let ratio = quarantine.reject_ratio_max;
        ThresholdsResult {
            max_reject_ratio: ratio.unwrap_or(REJECT_RATIO_DEFAULT),
            max_rejects: quarantine.rejects_max,
            taken_at_least: ratio.is_none().then_some(REJECTS_DEFAULT),
            ignored: plan.allow_rejects,
        }
    }
}

/// What was published of an interval for which the source has nothing any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptiedResult {
    /// What becomes of it: `keep`, `replace` or `fail`.
    pub on_empty: String,
    /// The last attempt that published it.
    pub published_by: String,
    /// The objects that were read then.
    pub objects: u64,
    /// Files that are in tables since.
    pub files: u64,
    /// Rows in them, over all tables.
    pub rows: u64,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Objects read to their end.
    pub objects: u64,
    /// Decompressed bytes.
    pub bytes: u64,
    /// Bytes as stored.
    pub compressed_bytes: u64,
    /// Objects whose compressed stream is damaged: the lines before the damage are in the tables.
    pub damaged: Vec<String>,
    /// Objects of which nothing could be read.
    #[serde(default)]
    pub unreadable_objects: u64,
    /// The first 100 of them.
    #[serde(default)]
    pub unreadable: Vec<UnreadableSource>,
    /// Listed names that are not read, by the reason: `hidden_name`, `empty`, `unfinished_upload`,
    /// `glob`.
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
}

/// Unreadable objects that the result names.
pub(super) const UNREADABLE_NAMED_MAX: usize = 100;

/// An object of which nothing could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableSource {
    /// Its full name.
    pub object: String,
    /// What it is: `zip`, `UTF-16`, `name`.
    pub format: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// What was written for one output, over all its formats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputResult {
    /// Rows of the output; each of its tables holds all of them.
    pub rows: u64,
    /// Files, over all formats.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Distinct hive paths.
    pub partitions: u64,
    /// Rows that expectations sent to the quarantine, by expectation.
    pub rejected: BTreeMap<String, u64>,
    /// Rows that broke an expectation and were written, by expectation.
    pub warned: BTreeMap<String, u64>,
    /// Rows in the quarantine because their partition key cannot be a directory.
    pub unusable_partition: u64,
    /// Rows in the quarantine because an expression of the output's query fails on them.
    #[serde(default)]
    pub evaluation_error: u64,
    /// Of how many rows: those before they were filtered or gathered, if there are more. Of a whole
    /// run only told if there are such rejects.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_evaluated: u64,
    /// The same for each place of the output's query, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluated_places: Vec<EvaluatedRows>,
    /// The root of each table, by format.
    pub locations: BTreeMap<String, String>,
    /// Why nothing of it was written, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What changed in the columns since the last publish, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column_changes: Option<ColumnChanges>,
}

/// What the rejects' files are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineResult {
    /// The folder of this attempt's rejects.
    pub location: String,
    /// Rejects, of lines, of rows and of lists' elements.
    pub rejects: u64,
    /// Their files.
    pub files: Vec<String>,
}

/// What SQL functions looked things up in, and what they did not find.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EnrichmentResult {
    /// The geographic databases, in the order of their precedence.
    pub geoip: Vec<GeoDatabase>,
    /// The tax table: `japan` or the pipeline's own file.
    pub tax_table: String,
    /// Counted warnings of the functions.
    pub warnings: BTreeMap<String, u64>,
}

/// One geographic database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeoDatabase {
    /// Its file.
    pub path: String,
    /// Its type as it says itself.
    pub database_type: String,
    /// The day it was built.
    pub build_date: String,
}

/// What stopped a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResult {
    /// The exit code.
    pub exit_code: u8,
    /// The message.
    pub message: String,
    /// What to do.
    pub advice: String,
}

impl OutputResult {
    fn add_places(&mut self, places: &[EvaluatedRows]) {
        let known = self.evaluated_places.len().max(places.len());
        self.evaluated_places.resize(known, EvaluatedRows::default());
        for (own, other) in self.evaluated_places.iter_mut().zip(places) {
            own.evaluated += other.evaluated;
            own.failed += other.failed;
        }
    }
}

impl RunResult {
    /// Adds the tallies of all objects.
    pub fn add_tallies<'t>(&mut self, tallies: impl Iterator<Item = &'t ObjectTally>) {
        for tally in tallies {
            self.lines += tally.lines;
            self.decoded += tally.decoded;
            self.rejected += tally.rejected;
            self.blank += tally.blank;
            self.sources.objects += 1;
            self.sources.bytes += tally.bytes;
            self.sources.compressed_bytes += tally.compressed_bytes;
        }
    }

    /// Adds what a sink task left behind.
    pub fn add_record(&mut self, record: &WrittenOutput) {
        let output = self.outputs.entry(record.output.clone()).or_default();
        output.rows += record.rows;
        output.unusable_partition += record.unusable_partition;
        output.evaluation_error += record.evaluation.rejected;
        output.rows_evaluated += record.rows_evaluated();
        output.add_places(&record.evaluation.places);
        output.files += record.files.len() as u64;
        output.bytes += record.files.iter().map(|file| file.bytes).sum::<u64>();
        let hive_paths: std::collections::BTreeSet<&str> =
            record.files.iter().map(|file| file.hive_path.as_str()).collect();
        output.partitions += hive_paths.len() as u64;
        for (name, rows) in &record.expectations.rejected {
            *output.rejected.entry(name.clone()).or_default() += rows;
        }
        for (name, rows) in &record.expectations.warned {
            *output.warned.entry(name.clone()).or_default() += rows;
        }
    }

    /// Leaves out of how many rows nothing was rejected, when all of a run is counted.
    pub fn leave_out_evaluated(&mut self) {
        for output in self.outputs.values_mut().filter(|output| output.evaluation_error == 0) {
            output.rows_evaluated = 0;
            output.evaluated_places.clear();
        }
    }

    /// Proves that nothing was lost, over all `objects` together.
    ///
    /// # Errors
    /// `Error::Bug` if an object was not read, the lines do not balance, or reasons and rejects
    /// differ.
    pub fn check_balance(&self, objects: usize) -> Result<()> {
        let Sources { objects: read, unreadable_objects, .. } = self.sources;
        if read + unreadable_objects != objects as u64 {
            return Err(Error::Bug(format!(
                "{objects} objects were listed, but {read} were read to their end and \
                 {unreadable_objects} cannot be read; nothing was published"
            )));
        }
        let sum = self.decoded + self.rejected + self.blank;
        if self.lines != sum {
            return Err(Error::Bug(format!(
                "{} lines were read, but decoded + rejected + blank make {sum}; nothing was \
                 published",
                self.lines
            )));
        }
        let reasons: u64 = self.rejects_by_reason.values().sum();
        if reasons != self.rejected {
            return Err(Error::Bug(format!(
                "{} lines were rejected, but {reasons} stand in the quarantine; nothing was \
                 published",
                self.rejected
            )));
        }
        Ok(())
    }

    /// Adds what another task of the same run has read and written.
    pub fn add_task(&mut self, task: &RunResult) {
        self.lines += task.lines;
        self.decoded += task.decoded;
        self.rejected += task.rejected;
        self.blank += task.blank;
        add_counts(&mut self.rejects_by_reason, &task.rejects_by_reason);
        for (path, count) in &task.unknown_fields {
            count_unknown_field(&mut self.unknown_fields, path, *count);
        }
        for (column, kinds) in &task.mended {
            add_counts(self.mended.entry(column.clone()).or_default(), kinds);
        }
        self.sources.objects += task.sources.objects;
        self.sources.bytes += task.sources.bytes;
        self.sources.compressed_bytes += task.sources.compressed_bytes;
        self.sources.damaged.extend(task.sources.damaged.iter().cloned());
        self.sources.unreadable_objects += task.sources.unreadable_objects;
        let room = UNREADABLE_NAMED_MAX.saturating_sub(self.sources.unreadable.len());
        self.sources.unreadable.extend(task.sources.unreadable.iter().take(room).cloned());
        // Each task lists all of the source: what was skipped is not added up.
        for (name, other) in &task.outputs {
            let output = self.outputs.entry(name.clone()).or_default();
            output.rows += other.rows;
            output.unusable_partition += other.unusable_partition;
            output.evaluation_error += other.evaluation_error;
            output.rows_evaluated += other.rows_evaluated;
            output.add_places(&other.evaluated_places);
            output.files += other.files;
            output.bytes += other.bytes;
            add_counts(&mut output.rejected, &other.rejected);
            add_counts(&mut output.warned, &other.warned);
            output.locations.clone_from(&other.locations);
            output.skipped.clone_from(&other.skipped);
            output.column_changes.clone_from(&other.column_changes);
        }
        self.quarantine.rejects += task.quarantine.rejects;
        self.quarantine.files.extend(task.quarantine.files.iter().cloned());
        self.enrichment.geoip.clone_from(&task.enrichment.geoip);
        self.enrichment.tax_table.clone_from(&task.enrichment.tax_table);
        add_counts(&mut self.enrichment.warnings, &task.enrichment.warnings);
    }

    /// All counts, with nothing that is the attempt's own, for the manifest.
    ///
    /// # Errors
    /// `Error::Bug` if this is not JSON.
    pub fn counts(&self) -> Result<Value> {
        let mut counts = self.to_json()?;
        OF_THE_ATTEMPT.iter().for_each(|key| drop(counts.remove(*key)));
        Ok(Value::Object(counts))
    }

    /// Takes over what another attempt counted; says whether it could be read.
    ///
    /// # Errors
    /// `Error::Bug` if this is not JSON.
    pub fn set_counts(&mut self, counts: &Value) -> Result<bool> {
        let mut own = self.to_json()?;
        own.extend(counts.as_object().cloned().unwrap_or_default());
        let Ok(counted) = serde_json::from_value(Value::Object(own)) else { return Ok(false) };
        *self = counted;
        Ok(true)
    }

    fn to_json(&self) -> Result<serde_json::Map<String, Value>> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => Ok(members),
            other => Err(Error::Bug(format!("writing a result as JSON: {other:?}"))),
        }
    }

    /// Notes what stopped the run.
    pub fn set_error(&mut self, error: &Error) {
        self.status =
            if matches!(error, Error::Stopped(_)) { Status::Stopped } else { Status::Failed };
        self.error = Some(ErrorResult {
            exit_code: error.exit_code(),
            message: error.to_string(),
            advice: error.advice().to_owned(),
        });
    }
}

/// What of a result is about the attempt, and not about what it read and wrote.
const OF_THE_ATTEMPT: [&str; 15] = [
    "status",
    "pipeline",
    "run_id",
    "attempt",
    "published_by",
    "interval_start",
    "interval_end",
    "store",
    "thresholds",
    "emptied",
    "replaced_intervals",
    "duration_ms",
    "peak_memory_bytes",
    "plan",
    "error",
];

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn add_counts(counts: &mut BTreeMap<String, u64>, others: &BTreeMap<String, u64>) {
    for (name, count) in others {
        *counts.entry(name.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_does_not_balance_is_a_bug() {
        let tally =
            ObjectTally { lines: 4, decoded: 2, rejected: 1, blank: 1, ..Default::default() };
        let mut result = RunResult::default();
        result.add_tallies([tally.clone()].iter());
        assert!(result.check_balance(1).is_err(), "no reason was counted for the reject");
        result.rejects_by_reason.insert("invalid_json".to_owned(), 1);
        assert!(result.check_balance(1).is_ok());
        result.lines += 1;
        assert!(matches!(result.check_balance(1), Err(Error::Bug(_))));
        let lost = ObjectTally { decoded: 1, ..tally };
        assert!(lost.check("a.gz").unwrap_err().to_string().contains("a.gz: 4 lines"));
    }
}
