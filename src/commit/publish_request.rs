//! What is asked of a publish, and what became of it.

use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptId, IntervalId};
use crate::commit::documents::{ManifestColumn, ManifestInput, Provenance};
use crate::commit::recovered::Recovered;
use crate::sink::WrittenFile;

/// What an attempt has written and wants to see published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The interval's start, as the manifest shall show it.
    pub interval_start: String,
    /// The interval's end, as the manifest shall show it.
    pub interval_end: String,
    /// The time of the publish, as the manifest shall show it.
    pub published_at: String,
    /// What the tables were made with.
    pub provenance: Provenance,
    /// The objects that were read.
    pub inputs: Vec<ManifestInput>,
    /// Whether the interval alone says which objects are read. Where it does not, an object that
    /// another interval published is refused.
    pub is_listed_by_time: bool,
    /// The attempt that had published the interval when its input was listed: if another one has
    /// since, this one comes too late.
    pub seen: Option<AttemptId>,
    /// All tables of the run, those without a file too: an earlier publish may have had some.
    pub tables: Vec<StagedTable>,
    /// The folder that defines the pipeline.
    pub folder: String,
    /// What the run counted, for the manifest.
    pub counts: serde_json::Value,
}

/// One table's written files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root.
    pub location: StoreLocation,
    /// The table's columns, partition columns among them.
    pub columns: Vec<ManifestColumn>,
    /// The columns that are directories, outermost first.
    pub partition_by: Vec<String>,
    /// The form of points in time in its files.
    pub timestamps: String,
    /// The files of this output and format, as the sink recorded them.
    pub files: Vec<WrittenFile>,
    /// The table's definition, with the partitions of its files.
    pub ddl: String,
    /// What adds the columns that are new since the last publish, if any are.
    pub add_columns: Option<String>,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The tables hold the run's rows.
    Published {
        /// The manifest's full name.
        manifest: String,
        /// Published intervals inside this one, whose rows were replaced.
        replaced_intervals: Vec<IntervalId>,
        /// What crashed publishes had left, and what became of it.
        recovered: Vec<Recovered>,
    },
    /// Another attempt has published the interval since this one began.
    Conflict {
        /// That attempt.
        attempt: AttemptId,
    },
    /// A file was lost before it was published, and what was in place of the others was rolled
    /// back: the tables are as before.
    RolledBack {
        /// The file.
        lost: String,
    },
}
