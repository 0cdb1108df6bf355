//! A table on disk: files are staged on the same file system and renamed into place atomically.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::fs::{
    create_folders, create_unsynced, file_bytes, move_file, read_file, remove_empty_folder,
    remove_file, sync_folder, sync_paths, write_atomically,
};
use crate::commit::table_root::{Before, PlannedFile, TableFiles};
use crate::sink::{SUCCESS, attempt_of_file};

/// A table on disk.
#[derive(Debug)]
pub(super) struct DiskTable {
    /// The table's root.
    pub(super) root: PathBuf,
    /// The folder of the interval's attempts' staging folders.
    pub(super) stagings: PathBuf,
    /// The table's folder in each of them: `events.parquet`.
    pub(super) folder: String,
    /// Where the marker is written before it is renamed: outside of the table, of which a copy may
    /// be taken at any time.
    pub(super) temporary: PathBuf,
}

impl DiskTable {
    fn staged(&self, path: &str) -> Result<PathBuf> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let attempt = attempt_of_file(name)
            .ok_or_else(|| Error::Bug(format!("publishing {path}: its name holds no attempt")))?;
        Ok(self.stagings.join(attempt.as_str()).join(&self.folder).join(path))
    }

    fn move_into_place(&self, file: &PlannedFile<'_>) -> Result<()> {
        let (staged, place) = (self.staged(file.path)?, self.root.join(file.path));
        if file_bytes(&staged)?.is_some() {
            place.parent().map_or(Ok(()), create_unsynced)?;
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

    /// Removes the folders above `paths`, from the leaves up, that are empty; never the root.
    fn remove_empty_parents<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<()> {
        let leaves: BTreeSet<PathBuf> =
            paths.filter_map(|path| Some(self.root.join(path).parent()?.to_owned())).collect();
        for leaf in leaves {
            for folder in leaf.ancestors().take_while(|folder| *folder != self.root) {
                if !remove_empty_folder(folder)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl TableFiles for DiskTable {
    fn remove_success(&self) -> Result<()> {
        create_folders(&self.root)?;
        remove_file(&self.root.join(SUCCESS))?;
        sync_folder(&self.root)
    }

    fn find_lost(&self, files: &[PlannedFile<'_>]) -> Result<Option<String>> {
        for file in files {
            let place = self.root.join(file.path);
            let is_found = |path: &Path| Ok::<_, Error>(file_bytes(path)? == Some(file.bytes));
            if !is_found(&self.staged(file.path)?)? && !is_found(&place)? {
                return Ok(Some(place.display().to_string()));
            }
        }
        Ok(None)
    }

    /// All were found before, so none is lost; one that goes meanwhile is an error.
    fn place_files(&self, files: &[PlannedFile<'_>], before: Before<'_>) -> Result<Option<String>> {
        let mut folders = BTreeSet::new();
        for file in files {
            before(&format!("place {}", file.path))?;
            self.move_into_place(file)?;
            let place = self.root.join(file.path);
            let above = place.ancestors().skip(1);
            folders
                .extend(above.take_while(|it| it.starts_with(&self.root)).map(Path::to_path_buf));
        }
        sync_paths(&folders.into_iter().collect::<Vec<_>>())?;
        Ok(None)
    }

    fn remove_files(&self, paths: &[String], before: Before<'_>) -> Result<()> {
        for path in paths {
            before(&format!("remove {path}"))?;
            remove_file(&self.root.join(path))?;
        }
        self.remove_empty_parents(paths.iter().map(String::as_str))?;
        sync_folder(&self.root)
    }

    fn read_success(&self) -> Result<Option<Vec<u8>>> {
        read_file(&self.root.join(SUCCESS))
    }

    fn put_success(&self, marker: &[u8]) -> Result<()> {
        write_atomically(&self.temporary, &self.root.join(SUCCESS), marker)
    }

    fn discard_files(&self, files: &[PlannedFile<'_>]) -> Result<()> {
        for file in files {
            remove_file(&self.staged(file.path)?)?;
            remove_file(&self.root.join(file.path))?;
        }
        self.remove_empty_parents(files.iter().map(|file| file.path))
    }
}
