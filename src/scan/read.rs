//! Gets an object in ranged chunks ahead of a blocking reader.
//!
//! ```text
//! object ─ get 0..1 MiB, 1..2 MiB, … at once ─► channel, in order ─► ObjectReader: std::io::Read
//!          (a task on the runtime)                                   (a blocking thread)
//! ```
//!
//! Decompression and decoding are blocking work, getting is not: the channel is where they meet.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use futures::StreamExt;
use object_store::{GetOptions, GetRange, ObjectStore};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::list::SourceObject;
use crate::base::error::{Error, Result};
use crate::store;

/// Bytes of one ranged get.
const CHUNK_BYTES: u64 = 1 << 20;

/// Ranged gets of one object that are under way at once.
const GETS_MAX: usize = 4;

/// Chunks that wait in the channel; with those under way the reader's memory is bounded by
/// `(GETS_MAX + CHUNKS_WAITING_MAX + 2) * CHUNK_BYTES`.
const CHUNKS_WAITING_MAX: usize = 2;

/// How many bytes of an object were read, before decompression. Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadBytes(Arc<AtomicU64>);

impl ReadBytes {
    /// The bytes read so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Wraps an error of the store (or a cancellation), so that [`store_error`] finds it again after
/// a decompressor, where damaged data are `io::Error`s too.
pub(crate) fn io_error(error: Error) -> io::Error {
    io::Error::other(error)
}

/// The error that [`io_error`] wrapped; none if `error` came about otherwise.
pub(crate) fn store_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Reads one object from its store, on a blocking thread; every failure is an [`io_error`].
///
/// It reads exactly the bytes of the object that was listed: an object that changed or vanished
/// meanwhile is [`Error::Unavailable`], as is a cancellation. The end is only reported when all
/// listed bytes were read.
///
/// `read` panics if it is called on a thread that drives asynchronous tasks.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    location: String,
    chunks: mpsc::Receiver<Result<Bytes>>,
    chunk: Bytes,
    /// Listed bytes that were not received yet.
    bytes_left: u64,
    read_bytes: ReadBytes,
    cancel: CancellationToken,
    failed: Option<Error>,
}

impl ObjectReader {
    /// Starts to get `object` by a task on `runtime`, which ends at the object's end, when `cancel`
    /// is cancelled or when the reader is dropped.
    pub fn start(
        store: Arc<dyn ObjectStore>,
        object: &SourceObject,
        runtime: &Handle,
        cancel: CancellationToken,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let task = {
            let (object, cancel) = (Arc::new(object.clone()), cancel.clone());
            async move {
                tokio::select! {
                    () = cancel.cancelled() => (),
                    () = sender.closed() => (),
                    () = send_chunks(&store, &object, &sender) => (),
                }
            }
        };
        runtime.spawn(task);
        ObjectReader {
            location: object.location.clone(),
            chunks,
            chunk: Bytes::new(),
            bytes_left: object.size,
            read_bytes: ReadBytes::default(),
            cancel,
            failed: None,
        }
    }

    /// The count of the bytes that this reader hands out.
    pub fn read_bytes(&self) -> ReadBytes {
        self.read_bytes.clone()
    }

    /// Waits for the next chunk; an empty one is the object's end.
    fn next_chunk(&mut self) -> Result<Bytes> {
        if self.cancel.is_cancelled() {
            return Err(stopped(&self.location));
        }
        if self.bytes_left == 0 {
            return Ok(Bytes::new());
        }
        match self.chunks.blocking_recv() {
            Some(Ok(chunk)) => {
                self.bytes_left = self.bytes_left.saturating_sub(chunk.len() as u64);
                Ok(chunk)
            }
            Some(Err(error)) => Err(error),
            // The task ends before its time only by a cancellation or with its runtime.
            None => Err(stopped(&self.location)),
        }
    }
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if let Some(error) = &self.failed {
            return Err(io_error(error.clone()));
        }
        if self.chunk.is_empty() {
            self.chunk = self.next_chunk().map_err(|error| {
                self.failed = Some(error.clone());
                io_error(error)
            })?;
        }
        let length = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..length]);
        self.read_bytes.add(length);
        Ok(length)
    }
}

/// Sends an object's chunks in order; the first error is the last thing sent.
async fn send_chunks(
    store: &Arc<dyn ObjectStore>,
    object: &Arc<SourceObject>,
    sender: &mpsc::Sender<Result<Bytes>>,
) {
    let gets = futures::stream::iter(chunk_ranges(object.size));
    let gets = gets.map(|range| ChunkTask::start(store, object, range).join());
    let mut chunks = std::pin::pin!(gets.buffered(GETS_MAX));
    while let Some(chunk) = chunks.next().await {
        let failed = chunk.is_err();
        let unwanted = sender.send(chunk).await.is_err();
        if failed || unwanted {
            return;
        }
    }
}

/// A get that comes to its end also while nobody waits for it, so that it does not hold its place
/// among the requests in flight for as long as its reader is busy. It ends when this is dropped.
struct ChunkTask {
    task: JoinHandle<Result<Bytes>>,
    object: Arc<SourceObject>,
}

impl ChunkTask {
    fn start(store: &Arc<dyn ObjectStore>, object: &Arc<SourceObject>, range: Range<u64>) -> Self {
        let (store, task_object) = (Arc::clone(store), Arc::clone(object));
        let get = async move { get_chunk(store.as_ref(), &task_object, range).await };
        ChunkTask { task: tokio::spawn(get), object: Arc::clone(object) }
    }

    async fn join(mut self) -> Result<Bytes> {
        // A task is only cancelled with its runtime.
        (&mut self.task).await.unwrap_or_else(|_| Err(stopped(&self.object.location)))
    }
}

impl Drop for ChunkTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Cuts `size` bytes into ranges of at most [`CHUNK_BYTES`].
fn chunk_ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..size.div_ceil(CHUNK_BYTES)).map(|number| number * CHUNK_BYTES);
    starts.map(move |start| start..size.min(start + CHUNK_BYTES))
}

/// Gets one range of the object as it was listed.
async fn get_chunk(
    store: &dyn ObjectStore,
    object: &SourceObject,
    range: Range<u64>,
) -> Result<Bytes> {
    let length = range.end - range.start;
    let options = GetOptions {
        if_match: object.e_tag.clone(),
        range: Some(GetRange::Bounded(range)),
        ..GetOptions::default()
    };
    let failed = |error| get_failed(object, &error);
    let got = store.get_opts(&object.path, options).await.map_err(failed)?;
    if got.meta.size != object.size {
        let found = format!("{} bytes", got.meta.size);
        return Err(changed(object, format!("{} bytes as listed", object.size), found));
    }
    let chunk = got.bytes().await.map_err(failed)?;
    if chunk.len() as u64 != length {
        let found = format!("{} bytes", chunk.len());
        return Err(changed(object, format!("{length} bytes of a range"), found));
    }
    Ok(chunk)
}

/// What a store's error means for an object that was listed a while ago. [`Error::Data`] is about
/// this object alone.
fn get_failed(object: &SourceObject, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    match error {
        Store::NotFound { .. } => changed(object, "the object as listed", "none: it vanished"),
        Store::Precondition { .. } => {
            changed(object, "the object as listed", "another: its e-tag changed")
        }
        error => match why_withheld(&error.to_string()) {
            Some(reason) => Error::Data(reason.to_owned()),
            None => store::store_error(&format!("reading {}", object.location), error),
        },
    }
}

/// What stores say of objects that they have and do not hand out, whoever asks.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
/// <https://learn.microsoft.com/en-us/rest/api/storageservices/blob-service-error-codes>
const WITHHELD: [(&str, &str); 10] = [
    ("InvalidObjectState", ARCHIVED),
    ("BlobArchived", ARCHIVED),
    ("BlobBeingRehydrated", ARCHIVED),
    ("using a form of Server Side Encryption", CUSTOMERS_KEY),
    ("BlobUsesCustomerSpecifiedEncryption", CUSTOMERS_KEY),
    ("ResourceIsEncryptedWithCustomerEncryptionKey", CUSTOMERS_KEY),
    ("KMS.Disabled", KEY_OFF),
    ("KMS.NotFound", KEY_OFF),
    ("KMS.InvalidState", KEY_OFF),
    ("KMS.KMSInvalidState", KEY_OFF),
];

const ARCHIVED: &str = "it is archived: restore it, or have it skipped by its name (`glob`)";
const CUSTOMERS_KEY: &str = "it is encrypted with a key that only its writer has: copy it without";
const KEY_OFF: &str = "it is encrypted with a key that is disabled or gone: enable the key";

fn why_withheld(said: &str) -> Option<&'static str> {
    WITHHELD.iter().find(|(code, _)| said.contains(code)).map(|(_, reason)| *reason)
}

fn changed(object: &SourceObject, expected: impl fmt::Display, found: impl fmt::Display) -> Error {
    Error::Unavailable(format!(
        "reading {}: expected {expected}, found {found}; the object changed after it was listed: \
         retry, which lists anew",
        object.location
    ))
}

fn stopped(location: &str) -> Error {
    Error::Unavailable(format!("reading {location}: stopped before the object's end; retry"))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
