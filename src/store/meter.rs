//! Counts what a store is asked for and what it gives.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// Counts of one store. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct StoreMeter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes_read: AtomicU64,
}

impl StoreMeter {
    /// How often the store was asked for something: a listing counts once, however many pages it
    /// has, an upload once, however many parts; the client's own retries do not count.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Relaxed)
    }

    /// Bytes of objects that were read, as stored.
    pub fn bytes_read(&self) -> u64 {
        self.0.bytes_read.load(Relaxed)
    }

    fn add_request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    fn add_bytes_read(&self, bytes: u64) {
        self.0.bytes_read.fetch_add(bytes, Relaxed);
    }
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(super) struct MeteredStore {
    inner: Arc<dyn ObjectStore>,
    meter: StoreMeter,
}

impl MeteredStore {
    pub fn new(inner: Arc<dyn ObjectStore>, meter: StoreMeter) -> Self {
        MeteredStore { inner, meter }
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
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
        self.meter.add_request();
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.meter.add_request();
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.meter.add_request();
        let is_head = options.head;
        let mut got = self.inner.get_opts(location, options).await?;
        got.payload = match got.payload {
            // Its bytes are read behind our back, but all of them.
            GetResultPayload::File(file, path) => {
                if !is_head {
                    self.meter.add_bytes_read(got.range.end - got.range.start);
                }
                GetResultPayload::File(file, path)
            }
            GetResultPayload::Stream(stream) => {
                let meter = self.meter.clone();
                let count = move |chunk: &Result<Bytes>| {
                    meter.add_bytes_read(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
                };
                GetResultPayload::Stream(stream.inspect(count).boxed())
            }
        };
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.add_request();
        let chunks = self.inner.get_ranges(location, ranges).await?;
        self.meter.add_bytes_read(chunks.iter().map(|chunk| chunk.len() as u64).sum());
        Ok(chunks)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.meter.add_request();
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.add_request();
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.add_request();
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.add_request();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.add_request();
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.add_request();
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    use super::*;

    async fn requests_and_bytes(inner: Arc<dyn ObjectStore>) -> (u64, u64) {
        let meter = StoreMeter::default();
        let store = MeteredStore::new(inner, meter.clone());
        let path = Path::from("a/b");
        store.put(&path, "0123456789".into()).await.unwrap();
        store.head(&path).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap().len(), 10);
        assert_eq!(store.get_range(&path, 2..5).await.unwrap().len(), 3);
        assert_eq!(store.list(None).count().await, 1);
        (meter.requests(), meter.bytes_read())
    }

    #[tokio::test]
    async fn requests_and_read_bytes_are_counted_in_memory_and_on_disk() {
        assert_eq!(requests_and_bytes(Arc::new(InMemory::new())).await, (5, 13));
        let folder = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        assert_eq!(requests_and_bytes(Arc::new(local)).await, (5, 13));
    }
}
