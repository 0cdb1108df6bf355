//! Finished files on their way into an object store, where they stay invisible until publish.
//!
//! ```text
//! finished   <staging>/events.parquet/dt=2026-11-21/part-00000-a1.parquet, 20 MiB
//! begun      an upload of s3://lake/events/dt=2026-11-21/part-00000-a1.parquet, noted in the log
//! parts      0: 8 MiB, 1: 8 MiB, 2: 4 MiB, at most four in memory, over all outputs
//! uploaded   WrittenFile { upload: Some(Upload { id, parts }), … }; the staged file is removed
//! ```

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutPayload;
use object_store::path::Path;
use tokio::fs::{File, remove_file};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::{Semaphore, mpsc};

use crate::base::error::{Error, Result};
use crate::base::fs::write_error;
use crate::base::location::StoreLocation;
use crate::pipeline::Output;
use crate::sink::WrittenFile;
use crate::sink::names::table_folder;
use crate::store::{Store, Stores, Upload, UploadStore, store_error};

/// Bytes of a part, unless a file would have too many then; S3 takes none below 5 MiB but the last.
const PART_BYTES: u64 = 8 << 20;
/// S3's and Google's bound.
const PARTS_MAX: u64 = 10_000;
/// Parts in memory, over all outputs.
const PARTS_AT_ONCE: usize = 4;
/// Files of one output that are uploaded at once.
const FILES_AT_ONCE: usize = 4;

/// What all uploads of a run share: the permits for their parts, and the log of what was begun.
#[derive(Debug, Clone)]
pub struct UploadPool {
    stores: Stores,
    parts: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<BegunUpload>>>,
}

/// An upload that was begun, and must be completed or aborted by somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunUpload {
    /// The root of the file's table: a URL.
    pub root: String,
    /// The file; of its upload, only the id is known.
    pub file: WrittenFile,
}

impl UploadPool {
    /// The pool of one run.
    pub fn new(stores: Stores) -> Self {
        let parts = Arc::new(Semaphore::new(PARTS_AT_ONCE));
        UploadPool { stores, parts, begun: Arc::default() }
    }

    /// All uploads that were begun so far.
    pub fn begun(&self) -> Vec<BegunUpload> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Uploads the files of one output.
#[derive(Debug)]
pub struct FileUploads {
    pool: UploadPool,
    staging: PathBuf,
    /// The tables: format, root and the store there.
    tables: Vec<(&'static str, StoreLocation, Store)>,
}

impl FileUploads {
    /// Uploads to the output's tables; none if they are on disk, where files are renamed instead.
    pub fn of(output: &Output, staging: &FilePath, pool: &UploadPool) -> Result<Option<Self>> {
        let mut tables = Vec::new();
        for table in &output.tables {
            let location = StoreLocation::parse(&table.location)?;
            if location.is_local() {
                return Ok(None);
            }
            let store = Store::open(&location, &pool.stores)?;
            tables.push((table.format.name(), location, store));
        }
        Ok(Some(FileUploads { pool: pool.clone(), staging: staging.to_owned(), tables }))
    }

    /// Uploads files as they come; gives them with their uploads, in any order.
    pub async fn upload_all(self, files: mpsc::Receiver<WrittenFile>) -> Result<Vec<WrittenFile>> {
        let files = stream::unfold(files, |mut files| async move {
            files.recv().await.map(|file| (file, files))
        });
        let uploaded = files.map(|file| self.upload(file)).buffer_unordered(FILES_AT_ONCE);
        uploaded.try_collect().await
    }

    async fn upload(&self, file: WrittenFile) -> Result<WrittenFile> {
        let table = self.tables.iter().find(|(format, ..)| *format == file.format);
        let (_, location, store) =
            table.ok_or_else(|| Error::Bug(format!("a file of no table: {}", file.name)))?;
        let folder = self.staging.join(table_folder(&file.output, &file.format));
        let staged = folder.join(file.path());
        let object = store.path_of(&file.path())?;
        let uploads = store.uploads.as_deref();
        let uploads = uploads.ok_or_else(|| Error::Bug(format!("{location} has no uploads")))?;
        let failed =
            |error| store_error(&format!("uploading {}", store.display_of(&object)), &error);
        let id = uploads.create_multipart(&object).await.map_err(failed)?;
        self.note(location, &file, &id);
        let ranges = part_ranges(file.bytes).into_iter().enumerate();
        let parts = stream::iter(ranges).map(|(number, (start, bytes))| {
            self.upload_part(uploads, (&object, &id), number, (&staged, start, bytes), &failed)
        });
        let parts = parts.buffered(PARTS_AT_ONCE).try_collect().await?;
        remove_file(&staged).await.map_err(|error| write_error(&staged, &error))?;
        Ok(WrittenFile { upload: Some(Upload { id, parts }), ..file })
    }

    async fn upload_part(
        &self,
        uploads: &dyn UploadStore,
        (object, id): (&Path, &String),
        number: usize,
        (staged, start, bytes): (&FilePath, u64, u64),
        failed: &(impl Fn(object_store::Error) -> Error + Sync),
    ) -> Result<String> {
        let permit = self.pool.parts.acquire().await;
        let _permit = permit.map_err(|error| Error::Bug(format!("uploading: {error}")))?;
        let data = read_part(staged, start, bytes).await;
        let data = data.map_err(|error| write_error(staged, &error))?;
        let part = uploads.put_part(object, id, number, PutPayload::from(data)).await;
        Ok(part.map_err(failed)?.content_id)
    }

    fn note(&self, location: &StoreLocation, file: &WrittenFile, id: &str) {
        let upload = Upload { id: id.to_owned(), parts: Vec::new() };
        let file = WrittenFile { upload: Some(upload), ..file.clone() };
        let begun = BegunUpload { root: location.absolute(), file };
        self.pool.begun.lock().unwrap_or_else(PoisonError::into_inner).push(begun);
    }
}

/// Start and size of each part; at least one.
fn part_ranges(bytes: u64) -> Vec<(u64, u64)> {
    let part_bytes = PART_BYTES.max(bytes.div_ceil(PARTS_MAX));
    let parts = bytes.div_ceil(part_bytes).max(1);
    (0..parts).map(|i| (i * part_bytes, part_bytes.min(bytes - i * part_bytes))).collect()
}

async fn read_part(path: &FilePath, start: u64, bytes: u64) -> std::io::Result<Bytes> {
    let mut file = File::open(path).await?;
    file.seek(std::io::SeekFrom::Start(start)).await?;
    let mut data = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact(&mut data).await?;
    Ok(Bytes::from(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_file_and_are_never_too_many() {
        const MIB: u64 = 1 << 20;
        assert_eq!(part_ranges(0), [(0, 0)]);
        assert_eq!(part_ranges(20 * MIB), [(0, 8 * MIB), (8 * MIB, 8 * MIB), (16 * MIB, 4 * MIB)]);
        assert_eq!(part_ranges(8 * MIB).len(), 1);
        let huge = part_ranges(200_000 * MIB + 1);
        assert!(huge.len() <= 10_000);
        assert_eq!(huge.iter().map(|(_, bytes)| bytes).sum::<u64>(), 200_000 * MIB + 1);
    }
}
