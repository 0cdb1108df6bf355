//! The folders in which files are built until they are published or uploaded.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::pipeline::Output;
use crate::sink::file::write_error;
use crate::store::StoreLocation;
use crate::store::paths::upload_stagings;

/// Where an attempt builds its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagingFolders {
    /// For tables on disk: on their file system, so that files can be renamed into place. None if
    /// the state is in an object store, as then there are no tables on disk.
    pub beside_state: Option<PathBuf>,
    /// For tables in object stores: a folder of this machine.
    pub for_uploads: PathBuf,
}

impl StagingFolders {
    /// The folder for the files of an output.
    pub fn of(&self, output: &Output) -> Result<PathBuf> {
        for table in &output.tables {
            if !StoreLocation::parse(&table.location)?.is_local() {
                return Ok(self.for_uploads.clone());
            }
        }
        Ok(self.beside_state.clone().unwrap_or_else(|| self.for_uploads.clone()))
    }
}

/// The folder in which an attempt builds files that it uploads; removed when this is dropped, or
/// by the next attempt on this machine if the process dies.
#[derive(Debug)]
pub struct UploadStaging {
    folder: PathBuf,
    lock_path: PathBuf,
    /// Held while the attempt lives.
    _lock: File,
}

impl UploadStaging {
    /// Takes a folder below `spill` for an attempt, and removes those of dead ones.
    pub fn create(spill: &Path, attempt: &str) -> Result<Self> {
        let folders = upload_stagings(spill);
        fs::create_dir_all(&folders).map_err(|error| write_error(&folders, &error))?;
        remove_dead(&folders)?;
        let (folder, lock_path) = (folders.join(attempt), folders.join(format!("{attempt}.lock")));
        let lock = File::create(&lock_path).and_then(|lock| lock.lock().map(|()| lock));
        let lock = lock.map_err(|error| write_error(&lock_path, &error))?;
        Ok(UploadStaging { folder, lock_path, _lock: lock })
    }

    /// The folder of an attempt below `spill`.
    pub fn folder_of(spill: &Path, attempt: &str) -> PathBuf {
        upload_stagings(spill).join(attempt)
    }
}

impl Drop for UploadStaging {
    fn drop(&mut self) {
        // What stays is removed by the next attempt.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Removes folders whose locks nobody holds.
fn remove_dead(folders: &Path) -> Result<()> {
    let entries = fs::read_dir(folders).map_err(|error| write_error(folders, &error))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let lock = if is_lock { File::open(&path).ok() } else { None };
        if let Some(lock) = lock
            && lock.try_lock().is_ok()
        {
            // Another attempt may be removing the same, and one that is locked out will come again.
            let _ = fs::remove_dir_all(path.with_extension(""));
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_attempt_left_goes_and_what_a_live_one_has_stays() {
        let spill = tempfile::tempdir().unwrap();
        let live = UploadStaging::create(spill.path(), "live").unwrap();
        fs::create_dir(&live.folder).unwrap();
        let dead = UploadStaging::folder_of(spill.path(), "dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("part"), "x").unwrap();
        fs::write(dead.with_extension("lock"), "").unwrap();
        let next = UploadStaging::create(spill.path(), "next").unwrap();
        assert!(!dead.exists() && live.folder.exists());
        drop((live, next));
        assert_eq!(fs::read_dir(upload_stagings(spill.path())).unwrap().count(), 0);
    }
}
