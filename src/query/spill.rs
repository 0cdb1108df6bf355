//! The folders into which queries spill.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::base::fs::write_error;
use crate::base::locked_folder::LockedFolder;
use crate::base::run_ids::AttemptId;

/// The folder into which an attempt's queries spill; removed when this is dropped, or
/// by the next attempt on this machine if the process dies.
#[derive(Debug)]
pub struct SpillFolder {
    folder: LockedFolder,
}

impl SpillFolder {
    /// The folder in which attempts of this machine have folders to spill into, each beside its
    /// lock: `<spill>/ashiato-spill/<attempt>`.
    pub fn all_below(spill: &Path) -> PathBuf {
        spill.join("ashiato-spill")
    }

    /// Makes a folder below `spill` for an attempt, and removes those of dead ones.
    pub fn create(spill: &Path, attempt: &AttemptId) -> Result<Self> {
        let folder = LockedFolder::create(&SpillFolder::all_below(spill), attempt.as_str())?;
        let path = folder.path();
        fs::create_dir_all(path).map_err(|error| write_error(path, &error))?;
        Ok(SpillFolder { folder })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
