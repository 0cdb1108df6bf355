//! The head: one document a pipeline that says whether a publish is under way.
//!
//! ```text
//! idle, sequence 7 ─► publishing 20261121T…/a1, sequence 8 ─► idle, sequence 9
//!                 swap                                    swap
//! ```
//!
//! Each arrow replaces the version that was read, so that of two attempts one gets its turn, and
//! nobody can publish what was planned before the other's publish. No state of it comes twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::commit::drift::ColumnChanges;
use crate::commit::intent::Intent;
use crate::commit::manifest::ManifestColumn;
use crate::commit::state::{State, VERSION, Version, to_json};
use crate::error::Result;
use crate::store::paths::RunPaths;

/// Whether a publish is under way, and the tables' columns as of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u32,
    /// Grows with each change.
    pub(super) sequence: u64,
    /// The publish that is under way.
    pub(super) publishing: Option<Publishing>,
    /// The last publish of each table, of whatever interval, by `<output>.<format>`.
    pub(super) tables: BTreeMap<String, LastPublish>,
}

/// A table's last publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastPublish {
    pub(super) interval: String,
    pub(super) attempt: String,
    /// SHA-256 of the interval's manifest, 64 hexadecimal digits.
    pub(super) manifest_sha256: String,
    /// The columns, partition columns among them.
    pub(super) columns: Vec<ManifestColumn>,
}

impl LastPublish {
    /// What changes if these columns are published.
    pub(super) fn changes_to(&self, now: &[ManifestColumn]) -> ColumnChanges {
        let since = format!("{}/{}", self.interval, self.attempt);
        ColumnChanges::between(since, &self.columns, now)
    }

    /// What the table's marker says.
    pub(super) fn marker(&self, pipeline: &str) -> Result<Vec<u8>> {
        to_json(&json!({
            "pipeline": pipeline,
            "interval": self.interval,
            "attempt": self.attempt,
            "manifest_sha256": self.manifest_sha256,
        }))
    }
}

/// Which publish is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Publishing {
    pub(super) interval: String,
    pub(super) attempt: String,
}

/// A head as it was read.
#[derive(Debug)]
pub(super) struct ReadHead {
    pub(super) head: Head,
    /// None if there is no head yet.
    version: Option<Version>,
}

impl ReadHead {
    pub(super) fn of(state: &State, paths: &RunPaths) -> Result<Self> {
        let Some(document) = state.read(&paths.head())? else {
            let (tables, publishing) = (BTreeMap::new(), None);
            let head = Head { version: VERSION, sequence: 0, publishing, tables };
            return Ok(ReadHead { head, version: None });
        };
        Ok(ReadHead { head: document.parse()?, version: Some(document.version) })
    }

    /// Takes the turn for a publish; says whether nobody else was faster.
    pub(super) fn begin(self, state: &State, paths: &RunPaths) -> Result<bool> {
        let RunPaths { interval, attempt, .. } = paths.clone();
        self.swap(state, paths, |head| head.publishing = Some(Publishing { interval, attempt }))
    }

    /// Ends the publish that is under way, if it still is this one; says whether it was.
    pub(super) fn end(self, state: &State, intent: &Intent, is_done: bool) -> Result<bool> {
        let paths = intent.paths();
        if !self.is_publishing(&paths) {
            return Ok(false);
        }
        let published = intent.last_publishes()?;
        self.swap(state, &paths, |head| {
            head.publishing = None;
            if is_done {
                head.tables.extend(published);
            }
        })
    }

    /// Whether this very publish is under way.
    pub(super) fn is_publishing(&self, paths: &RunPaths) -> bool {
        let publishing = self.head.publishing.as_ref();
        publishing.is_some_and(|p| p.attempt == paths.attempt && p.interval == paths.interval)
    }

    fn swap(self, state: &State, paths: &RunPaths, change: impl FnOnce(&mut Head)) -> Result<bool> {
        let mut head = self.head;
        head.sequence += 1;
        change(&mut head);
        state.swap(&paths.head(), self.version.as_ref(), &to_json(&head)?)
    }
}
