//! Every name that is ever written, in one place.
//!
//! ```text
//! <table root>/dt=2026-11-21/service=books/<file>      the tables; nothing else is below the root
//! <table root>/_SUCCESS                                 last of all
//! <state>/<pipeline>/head.json                          whether a publish is under way, and which
//! <state>/<pipeline>/manifests/<interval>/manifest.json what the interval published
//! <state>/<pipeline>/manifests/<interval>/history/<attempt>.json   what it published before
//! <state>/<pipeline>/manifests/<interval>/<output>.<format>/create_table.sql, add_columns.sql,
//!     distcp-listing.txt; copies/<attempt>-<target and contents>/…   for one target each
//! <state>/<pipeline>/intents/<interval>/<attempt>.json  what a publish is going to do
//! <state>/<pipeline>/pending/<interval>/<task>/<attempt>.json      what a task has written
//! <state>/<pipeline>/locks/<interval>.<task>.lock, publish.lock    on disk: held while at work
//! <state>/<pipeline>/staging/<interval>/<attempt>/<output>.<format>/<hive path>/<file>   on disk
//! <spill>/ashiato-staging/<attempt>/<output>.<format>/<hive path>/<file>   until it is uploaded
//! <spill>/ashiato-spill/<attempt>/…                     what queries spill; a lock beside it
//! <quarantine>/<pipeline>/<interval>/<attempt>/rejects-00000.ndjson.zst
//! ```
//!
//! What lies below the state folder is a document with a name relative to it, as the state may be
//! in an object store; only locks and staging folders are files wherever they are.

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
    /// The attempt's id, unique for each attempt; letters and digits.
    pub attempt: String,
}

impl RunPaths {
    /// The document beside the manifest that defines a table.
    pub const DEFINITION: &str = "create_table.sql";
    /// The document beside the manifest that adds a publish's new columns to a table that was
    /// defined without them.
    pub const ADDED_COLUMNS: &str = "add_columns.sql";
    /// The document beside the manifest that lists what of a table to copy.
    pub const LISTING: &str = "distcp-listing.txt";
    /// The document of a copy that lists what the copy must not hold.
    pub const REMOVAL: &str = "removed-files.txt";
    /// The document of a copy that lists folders that may have become empty.
    pub const EMPTIED: &str = "emptied-folders.txt";

    /// The names of the same attempt's files, were it one of another interval.
    pub fn of_interval(&self, interval: &str) -> Self {
        RunPaths { interval: interval.to_owned(), ..self.clone() }
    }

    /// The document that says whether a publish of the pipeline is under way.
    pub fn head(&self) -> String {
        format!("{}/head.json", self.pipeline)
    }

    /// The folder of all intervals' manifests.
    pub fn manifests(&self) -> String {
        format!("{}/manifests", self.pipeline)
    }

    /// The folder of this interval's manifest.
    pub fn manifest_folder(&self) -> String {
        format!("{}/{}", self.manifests(), self.interval)
    }

    /// What this interval published; its being there says that it did.
    pub fn manifest(&self) -> String {
        format!("{}/manifest.json", self.manifest_folder())
    }

    /// The folder of the manifests that this interval had before.
    pub fn history(&self) -> String {
        format!("{}/history", self.manifest_folder())
    }

    /// A manifest that this interval had before.
    pub fn past_manifest(&self, attempt: &str) -> String {
        format!("{}/{attempt}.json", self.history())
    }

    /// A document beside the manifest about one table.
    pub fn beside_manifest(&self, output: &str, format: &str, name: &str) -> String {
        format!("{}/{}/{name}", self.manifest_folder(), Self::table_folder(output, format))
    }

    /// A document for copies of one table to one target: `id` names target and contents, so that no
    /// plan changes what another one reads.
    pub fn of_copy(&self, output: &str, format: &str, id: &str, name: &str) -> String {
        let folder = Self::table_folder(output, format);
        format!("{}/{folder}/copies/{}-{id}/{name}", self.manifest_folder(), self.attempt)
    }

    /// What this attempt's publish is going to do.
    pub fn intent(&self) -> String {
        format!("{}/{}/{}.json", self.intents(), self.interval, self.attempt)
    }

    /// The folder of all intervals' intents.
    pub fn intents(&self) -> String {
        format!("{}/intents", self.pipeline)
    }

    /// The folder of all intervals' pending records.
    pub fn all_pending(&self) -> String {
        format!("{}/pending", self.pipeline)
    }

    /// The folder of what this interval's tasks have written.
    pub fn pending(&self) -> String {
        format!("{}/{}", self.all_pending(), self.interval)
    }

    /// What this attempt of a task has written.
    pub fn pending_record(&self, task: &str) -> String {
        format!("{}/{task}/{}.json", self.pending(), self.attempt)
    }

    /// The folder of one table's files below a staging folder, and of its definition and listing
    /// beside the manifest: `events.parquet`.
    pub fn table_folder(output: &str, format: &str) -> String {
        format!("{output}.{format}")
    }

    /// The folder of all intervals' staging folders.
    pub fn stagings(&self, state_root: &Path) -> PathBuf {
        state_root.join(&self.pipeline).join("staging")
    }

    /// The folder in which an attempt builds the files of local tables.
    pub fn staging(&self, state_root: &Path) -> PathBuf {
        self.stagings(state_root).join(&self.interval).join(&self.attempt)
    }

    /// The lock that an attempt holds while it works on its task of its interval.
    pub fn task_lock(&self, state_root: &Path, task: &str) -> PathBuf {
        self.locks(state_root).join(format!("{}.{task}.lock", self.interval))
    }

    /// The lock that is held while tables are copied to a target.
    pub fn copy_lock(&self, state_root: &Path, target_id: &str) -> PathBuf {
        self.locks(state_root).join(format!("copy-{target_id}.lock"))
    }

    /// The lock that is held for the short time of a publish or a recovery.
    pub fn publish_lock(&self, state_root: &Path) -> PathBuf {
        self.locks(state_root).join("publish.lock")
    }

    /// The folder of all locks.
    pub fn locks(&self, state_root: &Path) -> PathBuf {
        state_root.join(&self.pipeline).join("locks")
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

/// The attempt that wrote a table's file, by its name; none if it is no such name.
pub fn attempt_of_file(name: &str) -> Option<&str> {
    let (number, rest) = name.strip_prefix("part-")?.split_once('-')?;
    let (attempt, _) = rest.split_once('.')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = !attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_number && is_id).then_some(attempt)
}

/// The folder in which attempts of this machine build files that they will upload.
pub fn upload_stagings(spill: &Path) -> PathBuf {
    spill.join("ashiato-staging")
}

/// The folder in which attempts of this machine have folders to spill into.
pub fn spills(spill: &Path) -> PathBuf {
    spill.join("ashiato-spill")
}

/// A quarantine file's name.
pub fn quarantine_file(number: usize) -> String {
    format!("rejects-{number:05}.ndjson.zst")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_attempt_wrote_it() {
        let paths = RunPaths { pipeline: "p".into(), interval: "i".into(), attempt: "a1".into() };
        assert_eq!(attempt_of_file(&paths.table_file(100_000, "tsv.gz")), Some("a1"));
        for foreign in ["_SUCCESS", "part-0", "part-x-a1.tsv", "part-1-.tsv", "part-1-a b.tsv"] {
            assert_eq!(attempt_of_file(foreign), None, "{foreign}");
        }
    }
}
