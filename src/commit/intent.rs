//! The intent: all that a publish is going to do, written down before it does any of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::commit::distcp::plan_copy;
use crate::commit::head::{LastPublish, Layout};
use crate::commit::layout::is_same_place;
use crate::commit::manifest::{
    Manifest, ManifestFile, ManifestTable, PreviousManifest, read_manifest,
};
use crate::commit::publish::{PublishRequest, StagedTable};
use crate::commit::state::{Document, State, VERSION, to_json};
use crate::commit::supplies::CommitSupplies;
use crate::commit::table::{PlannedFile, check_path};
use crate::sink::WrittenFile;
use crate::store::Upload;
use crate::store::paths::RunPaths;

/// A publish that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// 1.
    pub(super) version: u32,
    /// What will be published.
    pub(super) manifest: Manifest,
    /// What belongs to the first tables of the manifest, in their order; those behind are not
    /// touched.
    pub(super) tables: Vec<TableIntent>,
    /// The pending records of the interval, all of which are settled by this.
    pub(super) pending: Vec<String>,
    /// The folder that defines the pipeline.
    #[serde(default)]
    pub(super) folder: Option<String>,
}

/// What will be done for one table besides what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableIntent {
    /// The table's definition.
    pub(super) ddl: String,
    /// What adds the columns that are new since the last publish, if any are.
    #[serde(default)]
    pub(super) add_columns: Option<String>,
    /// The lines of the copy listing, if there is anything to copy.
    pub(super) listing: Option<String>,
    /// The uploads of files that go to an object store, by the files' paths.
    pub(super) uploads: BTreeMap<String, Upload>,
}

impl Intent {
    /// The names of the attempt that wrote the intent.
    pub(super) fn paths(&self) -> RunPaths {
        RunPaths {
            pipeline: self.manifest.pipeline.clone(),
            interval: self.manifest.interval.clone(),
            attempt: self.manifest.attempt.clone(),
        }
    }

    /// What the head will say of the tables of this publish, by `<output>.<format>`.
    pub(super) fn last_publishes(&self) -> Result<BTreeMap<String, LastPublish>> {
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
            (RunPaths::table_folder(&table.output, &table.format), last)
        });
        Ok(last.collect())
    }

    /// The files that are put into a table of this publish.
    pub(super) fn files(&self, table: usize) -> Vec<PlannedFile<'_>> {
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
        places: names.filter(|name| !table.partition_by.contains(name)).collect(),
    }
}

/// Plans a publish that replaces the files of `replaced` intervals and of its own interval's
/// `earlier` publish.
pub(super) fn plan_publish(
    state: &State,
    supplies: &CommitSupplies,
    paths: &RunPaths,
    request: &PublishRequest,
    earlier: Option<&Document>,
    replaced: Vec<String>,
) -> Result<Intent> {
    let mut earlier_tables: Vec<ManifestTable> = Vec::new();
    for interval in &replaced {
        let manifest = read_manifest(state, &paths.of_interval(interval))?;
        earlier_tables.extend(manifest.into_iter().flat_map(|manifest| manifest.tables));
    }
    let mut previous = None;
    if let Some(document) = earlier {
        let manifest: Manifest = document.parse()?;
        let sha256 = hex::encode(Sha256::digest(&document.bytes));
        previous = Some(PreviousManifest { attempt: manifest.attempt, sha256 });
        earlier_tables.extend(manifest.tables);
    }
    let mut tables = Vec::new();
    let mut table_intents = Vec::new();
    for staged in &request.tables {
        let (table, intent) = plan_table(state, supplies, paths, staged, &earlier_tables)?;
        tables.push(table);
        table_intents.push(intent);
    }
    let roots: Vec<StoreLocation> =
        request.tables.iter().map(|table| table.location.clone()).collect();
    let mut elsewhere = Vec::new();
    for table in earlier_tables {
        let root = StoreLocation::parse(&table.root)?;
        if !roots.iter().any(|own| is_same_place(own, &root)) {
            elsewhere.push(table);
        }
    }
    tables.extend(merge_by_root(elsewhere.into_iter()));
    Ok(Intent {
        version: VERSION,
        manifest: Manifest {
            version: VERSION,
            pipeline: paths.pipeline.clone(),
            interval: paths.interval.clone(),
            interval_start: request.interval_start.clone(),
            interval_end: request.interval_end.clone(),
            attempt: paths.attempt.clone(),
            published_at: request.published_at.clone(),
            previous,
            provenance: request.provenance.clone(),
            inputs: request.inputs.clone(),
            replaced_intervals: replaced,
            tables,
            counts: Some(request.counts.clone()),
        },
        tables: table_intents,
        pending: Vec::new(),
        folder: Some(request.folder.clone()),
    })
}

fn plan_table(
    state: &State,
    supplies: &CommitSupplies,
    paths: &RunPaths,
    staged: &StagedTable,
    earlier: &[ManifestTable],
) -> Result<(ManifestTable, TableIntent)> {
    let root = staged.location.absolute();
    let mut files: Vec<ManifestFile> = staged.files.iter().map(manifest_file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let uploads = staged.files.iter();
    let uploads = uploads.filter_map(|file| Some((file.path(), file.upload.clone()?))).collect();
    let partitions: BTreeSet<&String> = staged.files.iter().map(|file| &file.hive_path).collect();
    let partitions = partitions.into_iter().filter(|path| !path.is_empty()).cloned().collect();
    let mut removed = BTreeSet::new();
    for table in earlier {
        if is_same_place(&StoreLocation::parse(&table.root)?, &staged.location) {
            removed.extend(table.files.iter().map(|file| file.path.clone()));
        }
    }
    // Before the intent is written: behind it, there is only forward.
    let all = removed.iter().chain(files.iter().map(|file| &file.path));
    all.into_iter().try_for_each(|path| check_path(&root, path))?;

    let listing = paths.beside_manifest(&staged.output, &staged.format, RunPaths::LISTING);
    let listing = StoreLocation::parse(&state.display_of(&listing))?;
    let environment = supplies.stores.environment();
    let listing = listing.hadoop_url(environment);
    let copied = files.iter().map(|file| file.path.as_str());
    let (distcp, listing) = plan_copy(&staged.location.hadoop_url(environment), copied, &listing);
    let table = ManifestTable {
        output: staged.output.clone(),
        format: staged.format.clone(),
        root,
        columns: staged.columns.clone(),
        partition_by: staged.partition_by.clone(),
        timestamps: staged.timestamps.clone(),
        partitions,
        files,
        removed: removed.into_iter().collect(),
        distcp,
    };
    let StagedTable { ddl, add_columns, .. } = staged.clone();
    Ok((table, TableIntent { ddl, add_columns, listing, uploads }))
}

fn manifest_file(file: &WrittenFile) -> ManifestFile {
    let WrittenFile { rows, bytes, sha256, .. } = file.clone();
    ManifestFile { path: file.path(), rows, bytes, sha256 }
}

/// One entry a root: an interval takes over the files of those that it replaced.
fn merge_by_root(tables: impl Iterator<Item = ManifestTable>) -> Vec<ManifestTable> {
    let mut merged: Vec<ManifestTable> = Vec::new();
    for table in tables {
        match merged.iter_mut().find(|known| known.root == table.root) {
            None => merged.push(table),
            Some(known) => {
                known.files.extend(table.files);
                known.files.sort_by(|a, b| a.path.cmp(&b.path));
                known.partitions.extend(table.partitions);
                known.partitions.sort();
                known.partitions.dedup();
            }
        }
    }
    merged
}
