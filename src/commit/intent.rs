//! The intent: all that a publish is going to do, written down before it does any of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::commit::distcp::plan_copy;
use crate::commit::durable::file_bytes;
use crate::commit::lock::IntervalLock;
use crate::commit::manifest::{
    Manifest, ManifestFile, ManifestTable, VERSION, check_version, read_json, read_manifest,
};
use crate::commit::publish::{PublishRequest, StagedTable};
use crate::commit::steps::place_in;
use crate::error::{Error, Result};
use crate::sink::WrittenFile;
use crate::store::paths::RunPaths;

/// A publish that is under way.
///
/// Names of staged files follow from the manifest, so that the state folder may be mounted
/// elsewhere when a crash is recovered from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// 1.
    pub(super) version: u32,
    /// What will be published.
    pub(super) manifest: Manifest,
    /// What belongs to the first tables of the manifest, in their order; those behind are not
    /// touched.
    pub(super) tables: Vec<TableIntent>,
}

/// What will be written beside the manifest for one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableIntent {
    /// The table's definition.
    pub(super) ddl: String,
    /// The lines of the copy listing, if there is anything to copy.
    pub(super) listing: Option<String>,
}

impl Intent {
    /// Reads an intent; none if it is not there.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let intent: Option<Intent> = read_json(path)?;
        if let Some(Intent { version, .. }) = &intent {
            check_version(path, *version)?;
        }
        Ok(intent)
    }

    /// The names of the attempt that wrote the intent.
    pub(super) fn paths(&self) -> RunPaths {
        RunPaths {
            pipeline: self.manifest.pipeline.clone(),
            interval: self.manifest.interval.clone(),
            attempt: self.manifest.attempt.clone(),
        }
    }
}

/// Plans a publish that replaces the files of `replaced` intervals and of earlier ones of its own.
pub(super) fn plan_publish(
    lock: &IntervalLock,
    request: &PublishRequest,
    replaced: Vec<String>,
) -> Result<Intent> {
    let paths = lock.paths();
    let mut earlier: Vec<ManifestTable> = Vec::new();
    for interval in replaced.iter().chain([&paths.interval]) {
        let manifest = paths.of_interval(interval).manifest(lock.state_root());
        earlier.extend(read_manifest(&manifest)?.into_iter().flat_map(|manifest| manifest.tables));
    }
    let mut tables = Vec::new();
    let mut table_intents = Vec::new();
    for staged in &request.tables {
        check_staged(lock, staged)?;
        let (table, intent) = plan_table(lock, staged, &earlier)?;
        tables.push(table);
        table_intents.push(intent);
    }
    let roots: BTreeSet<&PathBuf> = tables.iter().map(|table| &table.root).collect();
    let elsewhere = earlier.iter().filter(|table| !roots.contains(&table.root));
    let carried = merge_by_root(elsewhere.cloned());
    tables.extend(carried);
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
            inputs: request.inputs.clone(),
            replaced_intervals: replaced,
            tables,
        },
        tables: table_intents,
    })
}

fn plan_table(
    lock: &IntervalLock,
    staged: &StagedTable,
    earlier: &[ManifestTable],
) -> Result<(ManifestTable, TableIntent)> {
    let root = absolute(&staged.root)?;
    let mut files: Vec<ManifestFile> = staged.files.iter().map(manifest_file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let partitions: BTreeSet<&String> = staged.files.iter().map(|file| &file.hive_path).collect();
    let partitions = partitions.into_iter().filter(|path| !path.is_empty()).cloned().collect();
    let same_root = earlier.iter().filter(|table| table.root == root);
    let removed: BTreeSet<String> =
        same_root.flat_map(|table| table.files.iter().map(|file| file.path.clone())).collect();
    // Before the intent is written: behind it, there is only forward.
    removed.iter().try_for_each(|path| place_in(&root, path).map(|_| ()))?;

    let folder = lock.paths().manifest_folder(lock.state_root());
    let folder = folder.join(RunPaths::table_folder(&staged.output, &staged.format));
    let listing = absolute(&folder)?.join(RunPaths::LISTING);
    let paths = files.iter().map(|file| file.path.as_str());
    let (distcp, listing) = plan_copy(&root, paths, &listing);
    let table = ManifestTable {
        output: staged.output.clone(),
        format: staged.format.clone(),
        root,
        columns: staged.columns.clone(),
        partitions,
        files,
        removed: removed.into_iter().collect(),
        distcp,
    };
    Ok((table, TableIntent { ddl: staged.ddl.clone(), listing }))
}

/// A file that is recorded but not staged would leave a hole in the table.
fn check_staged(lock: &IntervalLock, staged: &StagedTable) -> Result<()> {
    let folder = lock.staging().join(RunPaths::table_folder(&staged.output, &staged.format));
    for file in &staged.files {
        let path = folder.join(&file.hive_path).join(&file.name);
        let found = file_bytes(&path)?;
        if found != Some(file.bytes) {
            return Err(Error::Bug(format!(
                "publishing {}: expected a staged file of {} bytes, found {}",
                path.display(),
                file.bytes,
                found.map_or("none".to_owned(), |bytes| format!("{bytes} bytes")),
            )));
        }
    }
    Ok(())
}

fn manifest_file(file: &WrittenFile) -> ManifestFile {
    let path = match file.hive_path.as_str() {
        "" => file.name.clone(),
        hive_path => format!("{hive_path}/{}", file.name),
    };
    ManifestFile { path, rows: file.rows, bytes: file.bytes, sha256: file.sha256.clone() }
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

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|err| {
        Error::config(format!("publishing to {}: the path is of no use: {err}", path.display()))
    })
}
