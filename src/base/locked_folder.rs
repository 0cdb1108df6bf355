//! Folders of this process that the next one removes if this one dies.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::fs::write_error;

/// A folder of this process among those of others, each beside a file that its process locks: the
/// system lets go of a lock when its process ends, however it ends.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    folder: PathBuf,
    lock_path: PathBuf,
    /// Held while the process has use for the folder.
    _lock: File,
}

impl LockedFolder {
    /// Takes the folder `name` below `folders`, and removes those of dead processes.
    pub(crate) fn create(folders: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folders).map_err(|error| write_error(folders, &error))?;
        remove_dead(folders, false)?;
        let (folder, lock_path) = (folders.join(name), folders.join(format!("{name}.lock")));
        loop {
            let lock = File::create(&lock_path).and_then(|lock| lock.lock().map(|()| lock));
            let lock = lock.map_err(|error| write_error(&lock_path, &error))?;
            // Whoever removes dead ones may have seen it before it was locked.
            if is_at(&lock, &lock_path) {
                return Ok(LockedFolder { folder, lock_path, _lock: lock });
            }
        }
    }
}

impl LockedFolder {
    /// The folder; it is made by whoever uses it.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for LockedFolder {
    fn drop(&mut self) {
        // What stays is removed by the next attempt.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock_path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(found)) => (file.dev(), file.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// Removes folders whose locks nobody holds, or only tells them.
pub(crate) fn remove_dead(folders: &Path, is_dry_run: bool) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folders).map_err(|error| write_error(folders, &error))?;
    let mut removed = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let lock = if is_lock { File::open(&path).ok() } else { None };
        if let Some(lock) = lock
            && lock.try_lock().is_ok()
        {
            let folder = path.with_extension("");
            if !is_dry_run {
                // Another attempt may be removing the same, and one that is locked out will come
                // again.
                let _ = fs::remove_dir_all(&folder);
                let _ = fs::remove_file(&path);
            }
            removed.push(folder);
        }
    }
    removed.sort();
    Ok(removed)
}
