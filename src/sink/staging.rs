//! The folders in which files are built until they are published or uploaded.

use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::base::locked_folder::{LockedFolder, remove_dead};
use crate::base::run_ids::AttemptId;
use crate::pipeline::Output;
use crate::query::SpillFolder;

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
    _folder: LockedFolder,
}

impl UploadStaging {
    /// Takes a folder below `spill` for an attempt, and removes those of dead ones.
    pub fn create(spill: &Path, attempt: &AttemptId) -> Result<Self> {
        let folder = LockedFolder::create(&upload_stagings(spill), attempt.as_str())?;
        Ok(UploadStaging { _folder: folder })
    }

    /// The folder of an attempt below `spill`.
    pub fn folder_of(spill: &Path, attempt: &AttemptId) -> PathBuf {
        upload_stagings(spill).join(attempt.as_str())
    }
}

/// Removes what dead processes left below a spill folder, or only tells it.
pub fn remove_dead_spills(spill: &Path, is_dry_run: bool) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for folders in [upload_stagings(spill), SpillFolder::all_below(spill)] {
        if folders.is_dir() {
            removed.extend(remove_dead(&folders, is_dry_run)?);
        }
    }
    Ok(removed)
}

/// The folder in which attempts of this machine build files that they will upload:
/// `<spill>/ashiato-staging/<attempt>/<output>.<format>/<hive path>/<file>`.
fn upload_stagings(spill: &Path) -> PathBuf {
    spill.join("ashiato-staging")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_dead_attempt_left_goes_and_what_a_live_one_has_stays() {
        let spill = tempfile::tempdir().unwrap();
        let live = UploadStaging::create(spill.path(), &AttemptId::new("live")).unwrap();
        let live_folder = UploadStaging::folder_of(spill.path(), &AttemptId::new("live"));
        fs::create_dir(&live_folder).unwrap();
        let dead = UploadStaging::folder_of(spill.path(), &AttemptId::new("dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("part"), "x").unwrap();
        fs::write(dead.with_extension("lock"), "").unwrap();
        let next = UploadStaging::create(spill.path(), &AttemptId::new("next")).unwrap();
        assert!(!dead.exists() && live_folder.exists());
        drop((live, next));
        assert_eq!(fs::read_dir(upload_stagings(spill.path())).unwrap().count(), 0);
    }

    #[test]
    fn what_queries_of_a_dead_process_spilled_is_told_and_goes() {
        let spill = tempfile::tempdir().unwrap();
        let live = SpillFolder::create(spill.path(), &AttemptId::new("live")).unwrap();
        fs::write(live.path().join("run-1"), "x").unwrap();
        let dead = SpillFolder::all_below(spill.path()).join("dead");
        fs::create_dir_all(dead.join("datafusion-abc")).unwrap();
        fs::write(dead.with_extension("lock"), "").unwrap();
        assert_eq!(remove_dead_spills(spill.path(), true).unwrap(), std::slice::from_ref(&dead));
        assert!(dead.exists(), "only told");
        assert_eq!(remove_dead_spills(spill.path(), false).unwrap(), std::slice::from_ref(&dead));
        assert!(!dead.exists() && live.path().join("run-1").exists());
        drop(live);
        assert_eq!(fs::read_dir(SpillFolder::all_below(spill.path())).unwrap().count(), 0);
    }
}
