//! One task that packs rejects and uploads them; nothing is made before the first one comes.
//!
//! Memory, whatever comes: [`WAITING_BYTES_MAX`] of waiting records (one record may be larger),
//! zstd's state of a few MiB, and three parts of [`PART_BYTES`].

use std::io::Write;
use std::sync::{Arc, OnceLock};

use object_store::buffered::BufWriter;
use object_store::path::Path;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::QuarantineRecord;
use super::names::file_name;
use crate::base::error::{Error, Result};
use crate::store::{Store, store_error};

/// Bytes of records that may wait to be packed.
const WAITING_BYTES_MAX: u32 = 8 << 20;
/// Packed bytes of a file at which the next one is begun.
const FILE_BYTES_TARGET: u64 = 64 << 20;
/// Packed bytes of one part of an upload; S3 takes none below 5 MiB but the last.
const PART_BYTES: usize = 5 << 20;
/// Parts that are under way while the next one is filled.
const PARTS_UNDER_WAY_MAX: usize = 2;
/// Packed bytes that the encoder keeps before they are handed over.
const PACKED_BYTES: usize = 64 << 10;
const ZSTD_LEVEL: i32 = 3;

/// The quarantine of one attempt.
#[derive(Debug)]
pub struct Quarantine {
    sender: QuarantineSender,
    writer: JoinHandle<Result<Vec<QuarantineFile>>>,
}

/// Takes rejects from any thread or task.
#[derive(Debug, Clone)]
pub struct QuarantineSender {
    records: mpsc::UnboundedSender<WaitingRecord>,
    /// Bytes that may still wait: what bounds the channel.
    room: Arc<Semaphore>,
    failure: Arc<OnceLock<Error>>,
}

/// A record with the room that it takes while it waits.
#[derive(Debug)]
struct WaitingRecord {
    record: QuarantineRecord,
    _room: OwnedSemaphorePermit,
}

/// One file of rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineFile {
    /// Its full name, as a person would paste it.
    pub location: String,
    /// Its name in the store.
    pub path: Path,
    /// Rejects in it.
    pub rejects: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Quarantine {
    /// Starts the quarantine below `folder` of a store, on the tokio runtime that this is called
    /// in. It makes no file until the first reject comes.
    ///
    /// # Errors
    /// [`Error::Config`] if `folder` can be no name in a store.
    pub fn start(store: Store, folder: &str) -> Result<Self> {
        Quarantine::start_rolling(store, folder, FILE_BYTES_TARGET)
    }

    fn start_rolling(store: Store, folder: &str, file_bytes_target: u64) -> Result<Self> {
        let folder = Path::parse(format!("{}/{folder}", store.prefix).trim_matches('/'))
            .map_err(|error| Error::config(format!("quarantine `{}`: {error}", store.display)))?;
        let (records, mut receiver) = mpsc::unbounded_channel();
        let sender = QuarantineSender {
            records,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize)),
            failure: Arc::default(),
        };
        let failure = Arc::clone(&sender.failure);
        let files = QuarantineFiles { store, folder, file_bytes_target, ended: Vec::new() };
        let writer = tokio::spawn(async move {
            let written = files.write_all(&mut receiver).await;
            // Before the channel closes, so that senders know why it did.
            written.inspect_err(|error| drop(failure.set(error.clone())))
        });
        Ok(Quarantine { sender, writer })
    }

    /// A sender; the quarantine ends when the last one is gone.
    pub fn sender(&self) -> QuarantineSender {
        self.sender.clone()
    }

    /// Waits until all other senders are gone and everything is stored; the files in their order.
    /// Without it the last file may not be stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`] (or [`Error::Config`], for denied access) if the store failed.
    pub async fn finish(self) -> Result<Vec<QuarantineFile>> {
        drop(self.sender);
        self.writer.await.map_err(|error| Error::Bug(format!("writing rejects: {error}")))?
    }
}

impl QuarantineSender {
    /// Hands a reject over; waits while too many bytes are waiting.
    ///
    /// # Errors
    /// The store's failure, as of [`Quarantine::finish`], if there was one.
    pub async fn send(&self, record: QuarantineRecord) -> Result<()> {
        let room = Arc::clone(&self.room).acquire_many_owned(waiting_bytes(&record));
        let room = room.await.map_err(|_| self.closed())?;
        self.records.send(WaitingRecord { record, _room: room }).map_err(|_| self.closed())
    }

    /// The same from a thread that may block, which one that drives asynchronous tasks may not.
    ///
    /// # Errors
    /// As [`QuarantineSender::send`].
    pub fn blocking_send(&self, record: QuarantineRecord) -> Result<()> {
        futures::executor::block_on(self.send(record))
    }

    fn closed(&self) -> Error {
        let unknown = || Error::Unavailable("writing rejects: stopped before the end".to_owned());
        self.failure.get().cloned().unwrap_or_else(unknown)
    }
}

/// Bytes that a record takes while it waits, at least roughly; never more than there is room for.
fn waiting_bytes(record: &QuarantineRecord) -> u32 {
    let texts = [&record.message, &record.expected, &record.found];
    let optional = [&record.path, &record.object, &record.raw, &record.raw_base64];
    let texts = texts.into_iter().chain(optional.into_iter().flatten());
    let bytes = size_of::<WaitingRecord>()
        + texts.map(String::len).sum::<usize>()
        + record.row.as_ref().map_or(0, json_bytes);
    u32::try_from(bytes).unwrap_or(u32::MAX).min(WAITING_BYTES_MAX)
}

fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let inner: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_bytes).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() + json_bytes(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inner
}

/// The files of one quarantine.
struct QuarantineFiles {
    store: Store,
    folder: Path,
    file_bytes_target: u64,
    ended: Vec<QuarantineFile>,
}

impl QuarantineFiles {
    async fn write_all(
        mut self,
        records: &mut mpsc::UnboundedReceiver<WaitingRecord>,
    ) -> Result<Vec<QuarantineFile>> {
        let mut open: Option<OpenFile> = None;
        while let Some(waiting) = records.recv().await {
            let mut file = match open.take() {
                Some(file) => file,
                None => OpenFile::begin(&self.store, &self.folder, self.ended.len())?,
            };
            file.write(&waiting.record).await?;
            if file.bytes < self.file_bytes_target {
                open = Some(file);
            } else {
                self.ended.push(file.end().await?);
            }
        }
        if let Some(file) = open {
            self.ended.push(file.end().await?);
        }
        Ok(self.ended)
    }
}

/// A file that is being written.
struct OpenFile {
    location: String,
    path: Path,
    encoder: zstd::Encoder<'static, Vec<u8>>,
    upload: BufWriter,
    rejects: u64,
    /// Packed bytes that were handed to the upload.
    bytes: u64,
}

impl OpenFile {
    fn begin(store: &Store, folder: &Path, number: usize) -> Result<Self> {
        let path = folder.clone().join(file_name(number));
        let location = store.display_of(&path);
        let encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL);
        let mut encoder = encoder.map_err(|error| unpackable(&location, &error))?;
        encoder.include_checksum(true).map_err(|error| unpackable(&location, &error))?;
        let upload = BufWriter::with_capacity(Arc::clone(&store.store), path.clone(), PART_BYTES)
            .with_max_concurrency(PARTS_UNDER_WAY_MAX);
        Ok(OpenFile { location, path, encoder, upload, rejects: 0, bytes: 0 })
    }

    async fn write(&mut self, record: &QuarantineRecord) -> Result<()> {
        let packed = serde_json::to_writer(&mut self.encoder, record)
            .map_err(std::io::Error::from)
            .and_then(|()| self.encoder.write_all(b"\n"));
        packed.map_err(|error| unpackable(&self.location, &error))?;
        self.rejects += 1;
        if self.encoder.get_ref().len() >= PACKED_BYTES {
            let packed = std::mem::take(self.encoder.get_mut());
            self.upload_bytes(&packed).await?;
        }
        Ok(())
    }

    /// A failed upload is given up, so that its parts do not stay behind.
    async fn upload_bytes(&mut self, packed: &[u8]) -> Result<()> {
        self.bytes += packed.len() as u64;
        let Err(error) = self.upload.write_all(packed).await else { return Ok(()) };
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(location = self.location, %error, "parts of an upload may stay behind");
        }
        Err(unstored(&self.location, error))
    }

    async fn end(mut self) -> Result<QuarantineFile> {
        let finished = self.encoder.do_finish();
        finished.map_err(|error| unpackable(&self.location, &error))?;
        let rest = std::mem::take(self.encoder.get_mut());
        self.upload_bytes(&rest).await?;
        let stored = self.upload.shutdown().await;
        stored.map_err(|error| unstored(&self.location, error))?;
        let OpenFile { location, path, rejects, bytes, .. } = self;
        Ok(QuarantineFile { location, path, rejects, bytes })
    }
}

/// Packing happens in memory and does not fail for what is packed.
fn unpackable(location: &str, error: &std::io::Error) -> Error {
    Error::Bug(format!("packing rejects for {location}: {error}"))
}

fn unstored(location: &str, error: std::io::Error) -> Error {
    let doing = format!("writing rejects to {location}");
    match error.downcast::<object_store::Error>() {
        Ok(error) => store_error(&doing, &error),
        Err(error) => Error::Unavailable(format!("{doing}: {error}; a retry may help")),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
