//! A table in an object store: files are multipart uploads, and become visible by completing them,
//! as in Hadoop's S3A magic committer.
//!
//! Also small files are uploads, since any process can complete one: bytes that wait on the disk of
//! a machine that died would be lost to the next attempt.

use crate::base::error::{Error, Result};
use crate::commit::table_root::{Before, PlannedFile, TableFiles};
use crate::sink::SUCCESS;
use crate::store::{BlockingStore, PlannedObject, Upload};

/// A table in an object store.
#[derive(Debug)]
pub(super) struct StoreTable(pub(super) BlockingStore);

impl TableFiles for StoreTable {
    fn remove_success(&self) -> Result<()> {
        self.0.delete([SUCCESS])
    }

    /// What became of an upload shows only when it is completed.
    fn find_lost(&self, _: &[PlannedFile<'_>]) -> Result<Option<String>> {
        Ok(None)
    }

    fn place_files(&self, files: &[PlannedFile<'_>], before: Before<'_>) -> Result<Option<String>> {
        let objects = files.iter().map(|file| {
            let PlannedFile { path: name, bytes, .. } = *file;
            Ok(PlannedObject { name, upload: upload_of(file)?, bytes })
        });
        let objects = objects.collect::<Result<Vec<_>>>()?;
        let lost = self.0.complete(&objects, &|name| before(&format!("place {name}")))?;
        Ok(lost.map(|name| self.0.display_of(&name)))
    }

    fn remove_files(&self, paths: &[String], before: Before<'_>) -> Result<()> {
        paths.iter().try_for_each(|path| before(&format!("remove {path}")))?;
        self.0.delete(paths.iter().map(String::as_str))
    }

    fn read_success(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(SUCCESS)?.map(|found| found.bytes.to_vec()))
    }

    fn put_success(&self, marker: &[u8]) -> Result<()> {
        self.0.put(SUCCESS, marker.to_vec())
    }

    /// Uploads go first, so that nobody completes one after the deletion.
    fn discard_files(&self, files: &[PlannedFile<'_>]) -> Result<()> {
        let uploads = files.iter().map(|file| Ok((file.path, upload_of(file)?)));
        self.0.abort(uploads.collect::<Result<Vec<_>>>()?)?;
        self.0.delete(files.iter().map(|file| file.path))
    }
}

fn upload_of<'a>(file: &PlannedFile<'a>) -> Result<&'a Upload> {
    file.upload.ok_or_else(|| Error::Bug(format!("{}: a file that was not uploaded", file.path)))
}
