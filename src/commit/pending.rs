//! Pending records: what a task has written and nobody has published yet.
//!
//! ```text
//! run shop, shard 0/2, attempt a1   ─► pending/<interval>/0-of-2/a1.json
//! run shop, shard 1/2, attempt b1   ─► pending/<interval>/1-of-2/b1.json
//! run shop, shard 1/2, attempt b2   ─► pending/<interval>/1-of-2/b2.json    b1 was given up
//! publish shop                      ─► takes a1 and b2; what b1 has written is aborted
//! ```
//!
//! The unit of writing is the task, the unit of publishing the run. A run in one process is the one
//! task `0-of-1`, and publishes from its own record.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::error::Result;
use crate::commit::state::{State, VERSION, to_json};
use crate::sink::WrittenFile;
use crate::store::paths::RunPaths;

/// What an attempt of a task has written, and whatever else the run wants to know of it then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRecord<T> {
    version: u32,
    /// The attempt.
    pub attempt: String,
    /// The attempt that had published the interval when this one began.
    pub seen: Option<String>,
    /// The files that wait to be published.
    pub files: Vec<PendingFile>,
    /// What the run keeps with it.
    pub work: T,
}

/// A file that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingFile {
    /// The root of its table: an absolute path or a URL.
    pub root: String,
    /// The file as the sink recorded it.
    pub file: WrittenFile,
}

impl<T: Serialize + DeserializeOwned> PendingRecord<T> {
    /// A record of an attempt's files.
    pub fn new(attempt: &str, seen: Option<String>, files: Vec<PendingFile>, work: T) -> Self {
        PendingRecord { version: VERSION, attempt: attempt.to_owned(), seen, files, work }
    }

    pub(super) fn put(&self, state: &State, paths: &RunPaths, task: &str) -> Result<()> {
        state.put(&paths.pending_record(task), &to_json(self)?)
    }

    /// The newest record of each of these tasks, none for those that have left none.
    ///
    /// Attempts' ids grow with time, so the newest is the last.
    pub fn newest(state: &State, paths: &RunPaths, tasks: &[String]) -> Result<Vec<Option<Self>>> {
        let names = pending_names(state, paths)?;
        let newest = |task: &String| {
            let folder = format!("{}/{task}/", paths.pending());
            let newest = names.iter().filter(|name| name.starts_with(&folder)).max();
            newest.map_or(Ok(None), |name| state.read_json(name))
        };
        tasks.iter().map(newest).collect()
    }
}

/// The names of all pending records of an interval.
pub(super) fn pending_names(state: &State, paths: &RunPaths) -> Result<Vec<String>> {
    let folder = paths.pending();
    let mut names = Vec::new();
    for task in state.names_in(&folder)? {
        let folder = format!("{folder}/{task}");
        let records = state.names_in(&folder)?.into_iter();
        names.extend(records.map(|name| format!("{folder}/{name}")));
    }
    Ok(names)
}
