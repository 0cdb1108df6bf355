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

use serde::{Deserialize, Serialize};

use crate::base::run_ids::AttemptId;
use crate::commit::state::VERSION;
use crate::sink::WrittenFile;

/// What an attempt of a task has written, and whatever else the run wants to know of it then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRecord<T> {
    version: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// The attempt that had published the interval when this one began.
    pub seen: Option<AttemptId>,
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

impl<T> PendingRecord<T> {
    /// A record of an attempt's files.
    pub(in crate::commit) fn new(
        attempt: &AttemptId,
        seen: Option<AttemptId>,
        files: Vec<PendingFile>,
        work: T,
    ) -> Self {
        PendingRecord { version: VERSION, attempt: attempt.clone(), seen, files, work }
    }
}
