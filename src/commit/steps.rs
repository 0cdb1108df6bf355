//! The steps of a publish behind its intent. Each can be taken twice.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::json;

use crate::commit::drift::LastColumns;
use crate::commit::durable::{
    create_folders, file_bytes, move_file, remove_empty_folder, remove_file, remove_folder,
    sync_folder, write_atomically,
};
use crate::commit::intent::Intent;
use crate::commit::manifest::{ManifestTable, to_json};
use crate::error::{Error, Result};
use crate::store::paths::{RunPaths, SUCCESS};

/// One step; `table` and the like count the entries of the intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Removes the marker, so that readers know that the table is changing.
    RemoveSuccess { table: usize },
    /// Renames a staged file into place.
    MoveFile { table: usize, file: usize },
    /// Brings the renames to the disk.
    SyncFolders { table: usize },
    /// Removes a file of an earlier publish.
    RemoveOld { table: usize, old: usize },
    /// Removes folders that this left empty, up to the root.
    RemoveEmptyFolders { table: usize },
    /// Writes the table's definition, copy listing and columns.
    WriteDefinition { table: usize },
    /// Writes the manifest.
    WriteManifest,
    /// Removes the manifest of an interval that this one replaced.
    RemoveReplaced { interval: usize },
    /// Writes the marker: the table is whole again.
    MarkSuccess { table: usize },
    /// Removes the staging folder.
    RemoveStaging,
    /// Removes the intent: the publish is over.
    RemoveIntent,
}

impl Step {
    /// Whether the step needs a file of the publish to be there.
    pub(super) fn moves_a_file(self) -> bool {
        matches!(self, Step::MoveFile { .. } | Step::SyncFolders { .. })
    }
}

/// A publish whose intent is on disk.
pub(super) struct Publish<'a> {
    pub(super) state_root: &'a Path,
    pub(super) paths: RunPaths,
    pub(super) intent: &'a Intent,
}

impl<'a> Publish<'a> {
    pub(super) fn new(state_root: &'a Path, intent: &'a Intent) -> Self {
        Publish { state_root, paths: intent.paths(), intent }
    }

    /// All steps, in their order.
    pub(super) fn steps(&self) -> Vec<Step> {
        let tables = || 0..self.intent.tables.len();
        let of = |table: usize| &self.intent.manifest.tables[table];
        let mut steps: Vec<Step> = Vec::new();
        steps.extend(tables().map(|table| Step::RemoveSuccess { table }));
        for table in tables() {
            steps.extend((0..of(table).files.len()).map(|file| Step::MoveFile { table, file }));
            steps.push(Step::SyncFolders { table });
        }
        for table in tables() {
            steps.extend((0..of(table).removed.len()).map(|old| Step::RemoveOld { table, old }));
            steps.push(Step::RemoveEmptyFolders { table });
        }
        steps.extend(tables().map(|table| Step::WriteDefinition { table }));
        steps.push(Step::WriteManifest);
        let replaced = 0..self.intent.manifest.replaced_intervals.len();
        steps.extend(replaced.map(|interval| Step::RemoveReplaced { interval }));
        steps.extend(tables().map(|table| Step::MarkSuccess { table }));
        steps.extend([Step::RemoveStaging, Step::RemoveIntent]);
        steps
    }

    pub(super) fn take_step(&self, step: Step) -> Result<()> {
        match step {
            Step::RemoveSuccess { table } => self.remove_success(self.table(table)),
            Step::MoveFile { table, file } => self.move_into_place(self.table(table), file),
            Step::SyncFolders { table } => sync_folders(self.table(table)),
            Step::RemoveOld { table, old } => {
                let table = self.table(table);
                remove_file(&place_in(&table.root, &table.removed[old])?)
            }
            Step::RemoveEmptyFolders { table } => remove_empty_folders(self.table(table)),
            Step::WriteDefinition { table } => self.write_definition(table),
            Step::WriteManifest => {
                let path = self.paths.manifest(self.state_root);
                let temporary = path.with_extension("json.tmp");
                write_atomically(&temporary, &path, &to_json(&self.intent.manifest)?)
            }
            Step::RemoveReplaced { interval } => {
                let interval = &self.intent.manifest.replaced_intervals[interval];
                remove_folder(&self.paths.of_interval(interval).manifest_folder(self.state_root))
            }
            Step::MarkSuccess { table } => self.mark_success(self.table(table)),
            Step::RemoveStaging => remove_staging(self.state_root, &self.paths),
            Step::RemoveIntent => {
                let path = self.paths.intent(self.state_root);
                remove_file(&path)?;
                path.parent().map_or(Ok(()), sync_folder)
            }
        }
    }

    /// The first file that is neither staged nor in place with its size: then the publish cannot be
    /// completed, which takes a hand that removed it.
    pub(super) fn find_lost_file(&self) -> Result<Option<PathBuf>> {
        for table in &self.intent.manifest.tables[..self.intent.tables.len()] {
            for file in &table.files {
                let place = place_in(&table.root, &file.path)?;
                let staged = self.staged(table, &file.path);
                let found = |path: &Path| Ok(file_bytes(path)? == Some(file.bytes));
                if !found(&staged)? && !found(&place)? {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    /// Removes the files that were already renamed into place; those of earlier publishes stay.
    pub(super) fn roll_back(&self) -> Result<()> {
        for table in &self.intent.manifest.tables[..self.intent.tables.len()] {
            for file in &table.files {
                remove_file(&place_in(&table.root, &file.path)?)?;
            }
            remove_empty_parents(&table.root, table.files.iter().map(|file| file.path.as_str()))?;
        }
        self.take_step(Step::RemoveStaging)?;
        self.take_step(Step::RemoveIntent)
    }

    fn table(&self, table: usize) -> &'a ManifestTable {
        &self.intent.manifest.tables[table]
    }

    fn staged(&self, table: &ManifestTable, path: &str) -> PathBuf {
        let folder = RunPaths::table_folder(&table.output, &table.format);
        self.paths.staging(self.state_root).join(folder).join(path)
    }

    fn remove_success(&self, table: &ManifestTable) -> Result<()> {
        create_folders(&table.root)?;
        remove_file(&table.root.join(SUCCESS))?;
        sync_folder(&table.root)
    }

    fn move_into_place(&self, table: &ManifestTable, file: usize) -> Result<()> {
        let file = &table.files[file];
        let place = place_in(&table.root, &file.path)?;
        let staged = self.staged(table, &file.path);
        if file_bytes(&staged)?.is_some() {
            place.parent().map_or(Ok(()), create_folders)?;
            return move_file(&staged, &place);
        }
        if file_bytes(&place)? == Some(file.bytes) {
            return Ok(());
        }
        Err(Error::Unavailable(format!(
            "publishing {}: the file is neither staged nor in place; it was removed while it was \
             published; run the interval again",
            place.display()
        )))
    }

    fn write_definition(&self, table: usize) -> Result<()> {
        let of_manifest = self.table(table);
        let of_intent = &self.intent.tables[table];
        let folder = self.paths.manifest_folder(self.state_root);
        let folder = folder.join(RunPaths::table_folder(&of_manifest.output, &of_manifest.format));
        let temporary = folder.join("tmp");
        let definition = folder.join(RunPaths::DEFINITION);
        write_atomically(&temporary, &definition, of_intent.ddl.as_bytes())?;
        let listing = folder.join(RunPaths::LISTING);
        match &of_intent.listing {
            Some(lines) => write_atomically(&temporary, &listing, lines.as_bytes())?,
            None => remove_file(&listing)?,
        }
        let RunPaths { interval, attempt, .. } = &self.paths;
        let columns = LastColumns::new(interval, attempt, &of_manifest.columns);
        let (output, format) = (&of_manifest.output, &of_manifest.format);
        let path = self.paths.last_columns(self.state_root, output, format);
        write_atomically(&temporary, &path, &to_json(&columns)?)
    }

    fn mark_success(&self, table: &ManifestTable) -> Result<()> {
        let marker = to_json(&json!({
            "pipeline": self.paths.pipeline,
            "interval": self.paths.interval,
            "attempt": self.paths.attempt,
            "files": table.files.len(),
        }))?;
        // Written outside of the table, which a copy may be taken of at any time.
        let temporary = self.paths.state(self.state_root).join("success.tmp");
        write_atomically(&temporary, &table.root.join(SUCCESS), &marker)
    }
}

/// Removes an attempt's staging folder, and its interval's if it was the last.
pub(super) fn remove_staging(state_root: &Path, paths: &RunPaths) -> Result<()> {
    let staging = paths.staging(state_root);
    remove_folder(&staging)?;
    staging.parent().map_or(Ok(true), remove_empty_folder).map(|_| ())
}

fn sync_folders(table: &ManifestTable) -> Result<()> {
    let mut folders = BTreeSet::new();
    for file in &table.files {
        folders.extend(place_in(&table.root, &file.path)?.parent().map(Path::to_path_buf));
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn remove_empty_folders(table: &ManifestTable) -> Result<()> {
    remove_empty_parents(&table.root, table.removed.iter().map(String::as_str))?;
    sync_folder(&table.root)
}

/// Removes the folders above `paths`, from the leaves up, that are empty; never the root.
fn remove_empty_parents<'a>(root: &Path, paths: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut leaves = BTreeSet::new();
    for path in paths {
        leaves.extend(place_in(root, path)?.parent().map(Path::to_path_buf));
    }
    for leaf in leaves {
        for folder in leaf.ancestors().take_while(|folder| *folder != root) {
            if !remove_empty_folder(folder)? {
                break;
            }
        }
    }
    Ok(())
}

/// A path below a root, as a manifest names it; one that would lead out of the root is refused.
pub(super) fn place_in(root: &Path, path: &str) -> Result<PathBuf> {
    let stays = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if stays && !path.is_empty() {
        return Ok(root.join(path));
    }
    Err(Error::config(format!(
        "following a manifest: the path {path:?} leads out of the table at {}; restore the \
         manifest",
        root.display()
    )))
}
