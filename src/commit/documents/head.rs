//! `head.json`: whether a publish of the pipeline is under way, and what was published last in each
//! table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::manifest::ManifestColumn;
use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::layout::{are_nested, is_same_location};
use crate::commit::state::{VERSION, to_json};

/// Whether a publish is under way, and the tables' columns as of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commit) struct Head {
    version: u32,
    /// Grows with each change.
    pub(in crate::commit) sequence: u64,
    /// The publish that is under way.
    pub(in crate::commit) publishing: Option<AttemptKey>,
    /// The last publish of each table, of whatever interval, by `<output>.<format>`.
    pub(in crate::commit) tables: BTreeMap<String, LastPublish>,
    /// The last publishes of tables at locations where the pipeline writes no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::commit) former: Vec<FormerTable>,
    /// The folder that defined the pipeline when it published last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::commit) folder: Option<String>,
}

impl Head {
    /// The head of a pipeline that has published nothing.
    pub(in crate::commit) fn new() -> Self {
        Head {
            version: VERSION,
            sequence: 0,
            publishing: None,
            tables: BTreeMap::new(),
            former: Vec::new(),
            folder: None,
        }
    }

    /// All tables that are known, by their names.
    pub(in crate::commit) fn all_tables(&self) -> impl Iterator<Item = (&str, &LastPublish)> {
        let former = self.former.iter().map(|table| (table.name.as_str(), &table.last));
        self.tables.iter().map(|(name, last)| (name.as_str(), last)).chain(former)
    }

    /// Takes over what was published last; tables that lay at or within the same roots are no more.
    pub(in crate::commit) fn set_last(
        &mut self,
        mut published: BTreeMap<String, LastPublish>,
    ) -> Result<()> {
        let former = std::mem::take(&mut self.former).into_iter();
        let former = former.map(|FormerTable { name, last }| (name, last, true));
        let tables = std::mem::take(&mut self.tables).into_iter();
        let tables = tables.map(|(name, last)| (name, last, false));
        for (name, known, is_former) in former.chain(tables).collect::<Vec<_>>() {
            let mut is_over = false;
            for last in published.values_mut() {
                let (Some(root), Some(old)) = (last.root()?, known.root()?) else { continue };
                if is_same_location(&root, &old) {
                    last.keep_positions(&known);
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

/// A table at a location where the pipeline writes no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commit) struct FormerTable {
    /// `<output>.<format>`.
    pub(in crate::commit) name: String,
    pub(in crate::commit) last: LastPublish,
}

/// A table's last publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commit) struct LastPublish {
    pub(in crate::commit) interval: IntervalId,
    pub(in crate::commit) attempt: AttemptId,
    /// SHA-256 of the interval's manifest, 64 hexadecimal digits.
    pub(in crate::commit) manifest_sha256: String,
    /// The columns, partition columns among them.
    pub(in crate::commit) columns: Vec<ManifestColumn>,
    /// Where and how they are written; early versions did not say it.
    #[serde(default)]
    pub(in crate::commit) layout: Option<Layout>,
}

/// Where a table's files are, and how they hold its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commit) struct Layout {
    /// The table's root: an absolute path or a URL.
    pub(in crate::commit) root: String,
    /// The columns that are directories, outermost first.
    pub(in crate::commit) partition_by: Vec<String>,
    /// The form of points in time in its files.
    pub(in crate::commit) timestamps: String,
    /// The columns of files by their positions; at the end those that were written once and are no
    /// more.
    #[serde(rename = "places")]
    pub(in crate::commit) positions: Vec<String>,
}

impl LastPublish {
    /// The attempt that published, and its interval.
    pub(in crate::commit) fn key(&self) -> AttemptKey {
        AttemptKey::new(&self.interval, &self.attempt)
    }

    /// Its key as text.
    pub(in crate::commit) fn since(&self) -> String {
        self.key().to_string()
    }

    /// The table's root, if it is known.
    pub(in crate::commit) fn root(&self) -> Result<Option<StoreLocation>> {
        self.layout.as_ref().map(|layout| StoreLocation::parse(&layout.root)).transpose()
    }

    /// Remembers the positions of columns that are no more, of which older files have values.
    fn keep_positions(&mut self, old: &LastPublish) {
        if let (Some(layout), Some(old)) = (&mut self.layout, &old.layout) {
            let gone = old.positions.iter().skip(layout.positions.len());
            layout.positions.extend(gone.cloned());
        }
    }

    /// What the table's marker says.
    pub(in crate::commit) fn marker(&self, pipeline: &str) -> Result<Vec<u8>> {
        to_json(&json!({
            "pipeline": pipeline,
            "interval": self.interval,
            "attempt": self.attempt,
            "manifest_sha256": self.manifest_sha256,
        }))
    }
}
