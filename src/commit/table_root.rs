//! A table's root while a run is published: idempotent acts that move, complete and remove files.

use std::fmt;

use crate::base::error::{Error, Result};
use crate::store::Upload;

/// Called before each act with its name; an error ends the publish there.
pub(super) type Before<'b> = &'b (dyn Fn(&str) -> Result<()> + Sync);

/// A file that a publish puts into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedFile<'a> {
    /// Its path below the root.
    pub(super) path: &'a str,
    /// Its size.
    pub(super) bytes: u64,
    /// Where its bytes are; on disk they are in the staging folder.
    pub(super) upload: Option<&'a Upload>,
}

/// A table's files below its root. All acts are idempotent.
pub(super) trait TableFiles: fmt::Debug + Send + Sync {
    /// Removes the marker, so that readers know that the table is changing.
    fn remove_success(&self) -> Result<()>;

    /// A file that is neither staged nor in place with its size, as far as that can be told without
    /// changing anything.
    fn find_lost(&self, files: &[PlannedFile<'_>]) -> Result<Option<String>>;

    /// Puts files in place, where readers see them; gives the path of one that is lost.
    fn place_files(&self, files: &[PlannedFile<'_>], before: Before<'_>) -> Result<Option<String>>;

    /// Removes files of earlier publishes.
    fn remove_files(&self, paths: &[String], before: Before<'_>) -> Result<()>;

    /// The marker; none if it is not there.
    fn read_success(&self) -> Result<Option<Vec<u8>>>;

    /// Writes the marker: the table is whole again.
    fn put_success(&self, marker: &[u8]) -> Result<()>;

    /// Removes files of a publish that is rolled back, wherever they are.
    fn discard_files(&self, files: &[PlannedFile<'_>]) -> Result<()>;
}

/// Refuses a path, as a manifest names it, that would lead out of the root.
pub(super) fn check_path(root: &str, path: &str) -> Result<()> {
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.split('/').all(is_name) && !path.contains('\0') {
        return Ok(());
    }
    Err(Error::config(format!(
        "following a manifest: the path {path:?} leads out of the table at {root}; restore the \
         manifest"
    )))
}
