//! The folders into which queries spill.

use std::fs;
use std::path::Path;

use crate::base::error::Result;
use crate::base::fs::write_error;
use crate::base::locked_folder::LockedFolder;
use crate::store::paths::spills;

/// The folder into which an attempt's queries spill; removed when this is dropped, or
/// by the next attempt on this machine if the process dies.
#[derive(Debug)]
pub struct SpillFolder {
    folder: LockedFolder,
}

impl SpillFolder {
    /// Makes a folder below `spill` for an attempt, and removes those of dead ones.
    pub fn create(spill: &Path, attempt: &str) -> Result<Self> {
        let folder = LockedFolder::create(&spills(spill), attempt)?;
        let path = folder.path();
        fs::create_dir_all(path).map_err(|error| write_error(path, &error))?;
        Ok(SpillFolder { folder })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
