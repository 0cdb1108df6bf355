//! Every name that is ever written, in one place.
//!
//! ```text
//! <table root>/dt=2026-11-21/service=books/<file>      the tables; nothing else is below the root
//! <table root>/_SUCCESS                                 last of all
//! <state>/<pipeline>/manifests/<interval>/manifest.json what the interval published
//! <state>/<pipeline>/manifests/<interval>/<output>.<format>/create_table.sql, distcp-listing.txt
//! <state>/<pipeline>/columns/<output>.<format>.json     the columns of the last publish
//! <state>/<pipeline>/intents/<interval>.json            a publish that is under way
//! <state>/<pipeline>/locks/<interval>.lock, publish.lock  held by a running attempt
//! <state>/<pipeline>/staging/<interval>/<attempt>/<output>.<format>/<hive path>/<file>
//! <quarantine>/<pipeline>/<interval>/<attempt>/rejects-00000.ndjson.zst
//! ```

use std::path::{Path, PathBuf};

/// The marker that a table's last publish is complete.
pub const SUCCESS: &str = "_SUCCESS";

/// Names of one attempt's files.
///
/// No file name is ever reused for other bytes: each holds the attempt's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    /// The pipeline's name.
    pub pipeline: String,
    /// The interval in a form without `:`: `20261121T000000Z-20261122T000000Z`, in UTC.
    pub interval: String,
    /// The attempt's id, unique for each attempt.
    pub attempt: String,
}

impl RunPaths {
    /// The file beside the manifest that defines a table.
    pub const DEFINITION: &str = "create_table.sql";
    /// The file beside the manifest that lists what of a table to copy.
    pub const LISTING: &str = "distcp-listing.txt";

    /// The folder that holds a pipeline's state.
    pub fn state(&self, state_root: &Path) -> PathBuf {
        state_root.join(&self.pipeline)
    }

    /// The folder of all intervals' manifests.
    pub fn manifests(&self, state_root: &Path) -> PathBuf {
        self.state(state_root).join("manifests")
    }

    /// The folder of this interval's manifest.
    pub fn manifest_folder(&self, state_root: &Path) -> PathBuf {
        self.manifests(state_root).join(&self.interval)
    }

    /// The intent of this interval's publish.
    pub fn intent(&self, state_root: &Path) -> PathBuf {
        self.intents(state_root).join(format!("{}.json", self.interval))
    }

    /// What this interval published; its being there says that it did.
    pub fn manifest(&self, state_root: &Path) -> PathBuf {
        self.manifest_folder(state_root).join("manifest.json")
    }

    /// The names of the same attempt's files, were it one of another interval.
    pub fn of_interval(&self, interval: &str) -> Self {
        RunPaths { interval: interval.to_owned(), ..self.clone() }
    }

    /// The folder of all intents.
    pub fn intents(&self, state_root: &Path) -> PathBuf {
        self.state(state_root).join("intents")
    }

    /// The folder of all intervals' staging folders.
    pub fn stagings(&self, state_root: &Path) -> PathBuf {
        self.state(state_root).join("staging")
    }

    /// The folder in which this attempt builds its files.
    pub fn staging(&self, state_root: &Path) -> PathBuf {
        self.stagings(state_root).join(&self.interval).join(&self.attempt)
    }

    /// The folder of one table's files below the staging folder, and of its definition and listing
    /// beside the manifest: `events.parquet`.
    pub fn table_folder(output: &str, format: &str) -> String {
        format!("{output}.{format}")
    }

    /// The columns of a table's last publish, of whatever interval.
    pub fn last_columns(&self, state_root: &Path, output: &str, format: &str) -> PathBuf {
        let name = format!("{}.json", Self::table_folder(output, format));
        self.state(state_root).join("columns").join(name)
    }

    /// The lock that an attempt holds while it works on its interval.
    pub fn interval_lock(&self, state_root: &Path) -> PathBuf {
        self.state(state_root).join("locks").join(format!("{}.lock", self.interval))
    }

    /// The lock that is held for the short time of a publish or a recovery.
    pub fn publish_lock(&self, state_root: &Path) -> PathBuf {
        self.state(state_root).join("locks").join("publish.lock")
    }

    /// The folder below the quarantine's location that takes this attempt's rejects.
    pub fn quarantine(&self) -> String {
        format!("{}/{}/{}", self.pipeline, self.interval, self.attempt)
    }

    /// A table's file: `part-00003-<attempt>.parquet`; `extension` has no leading dot.
    pub fn table_file(&self, number: usize, extension: &str) -> String {
        format!("part-{number:05}-{}.{extension}", self.attempt)
    }
}

/// A quarantine file's name.
pub fn quarantine_file(number: usize) -> String {
    format!("rejects-{number:05}.ndjson.zst")
}
