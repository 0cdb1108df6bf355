//! Counts what stores are asked for and what they give.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use serde::Serialize;

use super::layer::Layer;

/// What a store can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// An object's bytes, or some of them.
    Get,
    /// What is known of an object.
    Head,
    /// An object, stored at once.
    Put,
    /// The begin of an upload in parts.
    CreateMultipart,
    /// A part of an upload.
    PutPart,
    /// The end of an upload, which makes the object.
    CompleteMultipart,
    /// The end of an upload that comes to nothing.
    AbortMultipart,
    /// The objects of a prefix.
    List,
    /// Objects taken away.
    Delete,
    /// An object stored once more under another name.
    Copy,
    /// Another name for an object, where the store can do that by itself.
    Rename,
}

impl Operation {
    const ALL: [Operation; 11] = [
        Operation::Get,
        Operation::Head,
        Operation::Put,
        Operation::CreateMultipart,
        Operation::PutPart,
        Operation::CompleteMultipart,
        Operation::AbortMultipart,
        Operation::List,
        Operation::Delete,
        Operation::Copy,
        Operation::Rename,
    ];

    /// What reading an object by these options is.
    pub(super) fn of_get(options: &GetOptions) -> Self {
        if options.head { Operation::Head } else { Operation::Get }
    }
}

/// What was asked for of one kind of operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OperationCounts {
    /// How often the store was asked, retries among them. A listing counts once, however many
    /// pages it has, and so does a deletion of up to a thousand objects.
    pub requests: u64,
    /// How often something was asked for again because it had failed.
    pub retries: u64,
    /// Bytes of objects that were read or written, as stored, also by tries that failed later.
    pub bytes: u64,
}

/// Counts of some stores. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct StoreMeter(Arc<[Counts; Operation::ALL.len()]>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
}

impl StoreMeter {
    /// How often the stores were asked for anything.
    pub fn requests(&self) -> u64 {
        self.0.iter().map(|counts| counts.requests.load(Relaxed)).sum()
    }

    /// Bytes of objects that were read, as stored.
    pub fn bytes_read(&self) -> u64 {
        self.of(Operation::Get).bytes
    }

    /// The counts of one kind of operation.
    pub fn of(&self, operation: Operation) -> OperationCounts {
        let counts = self.counts(operation);
        OperationCounts {
            requests: counts.requests.load(Relaxed),
            retries: counts.retries.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
        }
    }

    /// The counts of all kinds of operations that were asked for.
    pub fn by_operation(&self) -> BTreeMap<Operation, OperationCounts> {
        let all = Operation::ALL.map(|operation| (operation, self.of(operation)));
        all.into_iter().filter(|(_, counts)| *counts != OperationCounts::default()).collect()
    }

    fn counts(&self, operation: Operation) -> &Counts {
        &self.0[operation as usize]
    }

    pub(super) fn add_request(&self, operation: Operation) {
        self.counts(operation).requests.fetch_add(1, Relaxed);
    }

    fn add_bytes(&self, operation: Operation, bytes: u64) {
        self.counts(operation).bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts that something is asked for again.
    pub(super) fn add_retry(&self, operation: Operation) {
        self.counts(operation).retries.fetch_add(1, Relaxed);
    }

    fn add_write(&self, operation: Operation, payload: &PutPayload) {
        self.add_request(operation);
        self.add_bytes(operation, payload.content_length() as u64);
    }
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(super) struct MeteredStore {
    inner: Layer,
    meter: StoreMeter,
}

impl MeteredStore {
    pub fn new(inner: Layer, meter: StoreMeter) -> Self {
        MeteredStore { inner, meter }
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.store().fmt(f)
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.meter.add_write(Operation::Put, &payload);
        self.inner.store().put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.meter.add_request(Operation::CreateMultipart);
        let upload = self.inner.store().put_multipart_opts(location, options).await?;
        Ok(Box::new(MeteredUpload { upload, meter: self.meter.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = Operation::of_get(&options);
        self.meter.add_request(operation);
        let mut got = self.inner.store().get_opts(location, options).await?;
        if operation == Operation::Head {
            return Ok(got);
        }
        got.payload = match got.payload {
            // Its bytes are read by the kernel, but all of them.
            GetResultPayload::File(file, path) => {
                self.meter.add_bytes(operation, got.range.end - got.range.start);
                GetResultPayload::File(file, path)
            }
            GetResultPayload::Stream(stream) => {
                let meter = self.meter.clone();
                let count = move |chunk: &Result<Bytes>| {
                    meter.add_bytes(operation, chunk.as_ref().map_or(0, |c| c.len() as u64));
                };
                GetResultPayload::Stream(stream.inspect(count).boxed())
            }
        };
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.add_request(Operation::Get);
        let chunks = self.inner.store().get_ranges(location, ranges).await?;
        self.meter.add_bytes(Operation::Get, chunks.iter().map(|c| c.len() as u64).sum());
        Ok(chunks)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.meter.add_request(Operation::Delete);
        self.inner.store().delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.add_request(Operation::List);
        self.inner.store().list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.add_request(Operation::List);
        self.inner.store().list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.add_request(Operation::List);
        self.inner.store().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.add_request(Operation::Copy);
        self.inner.store().copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.add_request(Operation::Rename);
        self.inner.store().rename_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for MeteredStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.meter.add_request(Operation::CreateMultipart);
        self.inner.try_uploads()?.create_multipart(path).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.meter.add_write(Operation::PutPart, &data);
        self.inner.try_uploads()?.put_part(path, id, part_idx, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.meter.add_request(Operation::CompleteMultipart);
        self.inner.try_uploads()?.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.meter.add_request(Operation::AbortMultipart);
        self.inner.try_uploads()?.abort_multipart(path, id).await
    }
}

/// An upload whose parts are counted.
#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn MultipartUpload>,
    meter: StoreMeter,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.meter.add_write(Operation::PutPart, &data);
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.meter.add_request(Operation::CompleteMultipart);
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.meter.add_request(Operation::AbortMultipart);
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;

    async fn use_a_store(inner: Layer) -> StoreMeter {
        let meter = StoreMeter::default();
        let store = MeteredStore::new(inner, meter.clone());
        let path = Path::from("a/b");
        store.put(&path, "0123456789".into()).await.unwrap();
        store.head(&path).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap().len(), 10);
        assert_eq!(store.get_range(&path, 2..5).await.unwrap().len(), 3);
        assert_eq!(store.list(None).count().await, 1);
        let mut upload = store.put_multipart(&Path::from("a/c")).await.unwrap();
        upload.put_part("01234".into()).await.unwrap();
        upload.complete().await.unwrap();
        store.copy(&path, &Path::from("a/d")).await.unwrap();
        store.delete(&path).await.unwrap();
        meter
    }

    #[tokio::test]
    async fn requests_and_bytes_are_counted_by_operation_in_memory_and_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let memory = Layer::with_uploads(Arc::new(InMemory::new()));
        for inner in [memory, Layer::plain(Arc::new(local))] {
            let meter = use_a_store(inner).await;
            assert_eq!((meter.requests(), meter.bytes_read()), (10, 13));
            let counted = serde_json::to_value(meter.by_operation()).unwrap();
            let counts = |requests, bytes| OperationCounts { requests, retries: 0, bytes };
            let expected = serde_json::json!({
                "get": counts(2, 13),
                "head": counts(1, 0),
                "put": counts(1, 10),
                "create_multipart": counts(1, 0),
                "put_part": counts(1, 5),
                "complete_multipart": counts(1, 0),
                "list": counts(1, 0),
                "delete": counts(1, 0),
                "copy": counts(1, 0),
            });
            assert_eq!(counted, expected);
        }
    }

    #[tokio::test]
    async fn uploads_by_id_are_counted_as_other_uploads_are() {
        let meter = StoreMeter::default();
        let memory = Layer::with_uploads(Arc::new(InMemory::new()));
        let store = memory.wrap(|inner| MeteredStore::new(inner, meter.clone()));
        let (uploads, path) = (store.try_uploads().unwrap(), Path::from("a"));
        let id = uploads.create_multipart(&path).await.unwrap();
        let part = uploads.put_part(&path, &id, 0, "01234".into()).await.unwrap();
        uploads.complete_multipart(&path, &id, vec![part]).await.unwrap();
        let dropped = uploads.create_multipart(&path).await.unwrap();
        uploads.abort_multipart(&path, &dropped).await.unwrap();
        assert_eq!(meter.of(Operation::CreateMultipart).requests, 2);
        assert_eq!(meter.of(Operation::PutPart).bytes, 5);
        assert_eq!(meter.of(Operation::CompleteMultipart).requests, 1);
        assert_eq!(meter.of(Operation::AbortMultipart).requests, 1);
    }

    #[tokio::test]
    async fn a_store_without_uploads_by_id_stays_one_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let layer = Layer::plain(Arc::new(local));
        let wrapped = layer.wrap(|inner| MeteredStore::new(inner, StoreMeter::default()));
        assert!(wrapped.uploads().is_none());
        assert!(wrapped.try_uploads().unwrap_err().to_string().contains("no uploads by id"));
    }
}
