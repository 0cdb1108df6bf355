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

use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::commit::intent::Intent;
use crate::commit::layout::{are_nested, is_same_place};
use crate::commit::manifest::ManifestColumn;
use crate::commit::state::{State, VERSION, Version, to_json};
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
    /// The last publishes of tables at places where the pipeline writes no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<FormerTable>,
    /// The folder that defined the pipeline when it published last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) folder: Option<String>,
}

impl Head {
    /// All tables that are known, by their names.
    pub(super) fn all_tables(&self) -> impl Iterator<Item = (&str, &LastPublish)> {
        let former = self.former.iter().map(|table| (table.name.as_str(), &table.last));
        self.tables.iter().map(|(name, last)| (name.as_str(), last)).chain(former)
    }

    /// Takes over what was published last; tables that lay at or within the same roots are no more.
    fn set_last(&mut self, mut published: BTreeMap<String, LastPublish>) -> Result<()> {
        let former = std::mem::take(&mut self.former).into_iter();
        let former = former.map(|FormerTable { name, last }| (name, last, true));
        let tables = std::mem::take(&mut self.tables).into_iter();
        let tables = tables.map(|(name, last)| (name, last, false));
        for (name, known, is_former) in former.chain(tables).collect::<Vec<_>>() {
            let mut is_over = false;
            for last in published.values_mut() {
                let (Some(root), Some(old)) = (last.root()?, known.root()?) else { continue };
                if is_same_place(&root, &old) {
                    last.keep_places(&known);
                }
                is_over |= are_nested(&root, &old);
            }
            if is_over {
                continue;
            }
            match (is_former || published.contains_key(&name), known.layout.is_some()) {
                (false, _) => drop(self.tables.insert(name, known)),
                (true, true) => self.former.push(FormerTable { name, last: known }),
                (true, false) => {}
            }
        }
        self.tables.extend(published);
        Ok(())
    }
}

/// A table at a place where the pipeline writes no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FormerTable {
    /// `<output>.<format>`.
    pub(super) name: String,
    pub(super) last: LastPublish,
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
    /// Where and how they are written; early versions did not say it.
    #[serde(default)]
    pub(super) layout: Option<Layout>,
}

/// Where a table's files are, and how they hold its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// The table's root: an absolute path or a URL.
    pub(super) root: String,
    /// The columns that are directories, outermost first.
    pub(super) partition_by: Vec<String>,
    /// The form of points in time in its files.
    pub(super) timestamps: String,
    /// The columns of files by their places, with those behind that were written once and are no
    /// more.
    pub(super) places: Vec<String>,
}

impl LastPublish {
    /// The interval and attempt.
    pub(super) fn since(&self) -> String {
        format!("{}/{}", self.interval, self.attempt)
    }

    /// The table's root, if it is known.
    pub(super) fn root(&self) -> Result<Option<StoreLocation>> {
        self.layout.as_ref().map(|layout| StoreLocation::parse(&layout.root)).transpose()
    }

    /// Remembers the places of columns that are no more, of which older files have values.
    fn keep_places(&mut self, old: &LastPublish) {
        if let (Some(layout), Some(old)) = (&mut self.layout, &old.layout) {
            let gone = old.places.iter().skip(layout.places.len());
            layout.places.extend(gone.cloned());
        }
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
            let (former, folder) = (Vec::new(), None);
            let head = Head { version: VERSION, sequence: 0, publishing, tables, former, folder };
            return Ok(ReadHead { head, version: None });
        };
        Ok(ReadHead { head: document.parse()?, version: Some(document.version) })
    }

    /// Takes the turn for a publish; says whether nobody else was faster.
    pub(super) fn begin(self, state: &State, paths: &RunPaths) -> Result<bool> {
        let RunPaths { interval, attempt, .. } = paths.clone();
        self.swap(state, paths, |head| {
            head.publishing = Some(Publishing { interval, attempt });
            Ok(())
        })
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
                head.folder = intent.folder.clone().or_else(|| head.folder.take());
                head.set_last(published)?;
            }
            Ok(())
        })
    }

    /// Whether this very publish is under way.
    pub(super) fn is_publishing(&self, paths: &RunPaths) -> bool {
        let publishing = self.head.publishing.as_ref();
        publishing.is_some_and(|p| p.attempt == paths.attempt && p.interval == paths.interval)
    }

    /// Replaces the head as a whole; says whether nobody else was faster.
    pub(super) fn replace(self, state: &State, paths: &RunPaths, head: Head) -> Result<bool> {
        self.swap(state, paths, |own| {
            let sequence = own.sequence.max(head.sequence + 1);
            *own = Head { sequence, ..head };
            Ok(())
        })
    }

    fn swap(
        self,
        state: &State,
        paths: &RunPaths,
        change: impl FnOnce(&mut Head) -> Result<()>,
    ) -> Result<bool> {
        let mut head = self.head;
        head.sequence += 1;
        change(&mut head)?;
        state.swap(&paths.head(), self.version.as_ref(), &to_json(&head)?)
    }
}
