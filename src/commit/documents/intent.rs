//! `intents/<interval>/<attempt>.json`, a write-ahead intent: all that a publish is going to do,
//! written down before it does any of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::head::{LastPublish, Layout};
use super::manifest::{Manifest, ManifestFile, ManifestTable};
use crate::base::error::Result;
use crate::base::run_ids::AttemptKey;
use crate::commit::state::to_json;
use crate::commit::table_root::PlannedFile;
use crate::sink::table_folder;
use crate::store::Upload;

/// A publish that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commit) struct Intent {
    /// 1.
    pub(in crate::commit) version: u32,
    /// What will be published.
    pub(in crate::commit) manifest: Manifest,
    /// What belongs to the first tables of the manifest, in their order; those after them
    /// are not touched.
    pub(in crate::commit) tables: Vec<TableIntent>,
    /// The pending records of the interval, all of which are settled by this.
    pub(in crate::commit) pending: Vec<String>,
    /// The folder that defines the pipeline.
    #[serde(default)]
    pub(in crate::commit) folder: Option<String>,
}

/// What will be done for one table besides what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commit) struct TableIntent {
    /// The table's definition.
    pub(in crate::commit) ddl: String,
    /// What adds the columns that are new since the last publish, if any are.
    #[serde(default)]
    pub(in crate::commit) add_columns: Option<String>,
    /// The lines of the copy listing, if there is anything to copy.
    pub(in crate::commit) listing: Option<String>,
    /// The uploads of files that go to an object store, by the files' paths.
    pub(in crate::commit) uploads: BTreeMap<String, Upload>,
}

impl Intent {
    /// The attempt that wrote the intent, and its interval.
    pub(in crate::commit) fn key(&self) -> AttemptKey {
        self.manifest.key()
    }

    /// What the head will say of the tables of this publish, by `<output>.<format>`.
    pub(in crate::commit) fn last_publishes(&self) -> Result<BTreeMap<String, LastPublish>> {
        let manifest_sha256 = hex::encode(Sha256::digest(to_json(&self.manifest)?));
        let tables = self.manifest.tables[..self.tables.len()].iter();
        let last = tables.map(|table| {
            let last = LastPublish {
                interval: self.manifest.interval.clone(),
                attempt: self.manifest.attempt.clone(),
                manifest_sha256: manifest_sha256.clone(),
                columns: table.columns.clone(),
                layout: Some(layout_of(table)),
            };
            (table_folder(&table.output, &table.format), last)
        });
        Ok(last.collect())
    }

    /// The files that are put into a table of this publish.
    pub(in crate::commit) fn files(&self, table: usize) -> Vec<PlannedFile<'_>> {
        let uploads = &self.tables[table].uploads;
        let files = self.manifest.tables[table].files.iter();
        files
            .map(|ManifestFile { path, bytes, .. }| PlannedFile {
                path,
                bytes: *bytes,
                upload: uploads.get(path),
            })
            .collect()
    }
}

fn layout_of(table: &ManifestTable) -> Layout {
    let names = table.columns.iter().map(|column| column.name.clone());
    Layout {
        root: table.root.clone(),
        partition_by: table.partition_by.clone(),
        timestamps: table.timestamps.clone(),
        positions: names.filter(|name| !table.partition_by.contains(name)).collect(),
    }
}
