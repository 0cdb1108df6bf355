//! Concurrency limit (a semaphore of requests in flight) and rate limit (a token bucket of bytes).
//!
//! A request holds a permit from its begin to its end; a read and a listing hold it until their
//! last byte or name was taken, or they are dropped. So what takes them must not wait for another
//! request before it goes on. It may wait for one that ends by itself, such as a put: some permits
//! are never given to what waits for its taker. And a request that was begun must be polled.
//!
//! Bytes are paid for when they are sent or were received: reads and writes each have so many per
//! second, over all requests together.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, once, unfold};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, UploadPart,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::layer::Layer;
use crate::base::clock::Clock;

/// One in so many permits is kept from requests that wait for their taker.
const KEPT_SHARE: usize = 8;

/// The fewest requests in flight: one that waits for its taker, and one that does not.
pub(super) const REQUESTS_MAX_LEAST: usize = 2;

/// What all stores of a run may use together.
#[derive(Debug)]
pub(super) struct Limits {
    /// Places of requests in flight.
    permits: Arc<Semaphore>,
    /// Of these, permits of reads and listings.
    stream_permits: Arc<Semaphore>,
    reads: Option<TokenBucket>,
    writes: Option<TokenBucket>,
}

/// The permit of a request in flight.
#[derive(Debug)]
struct RequestPermit {
    _permit: OwnedSemaphorePermit,
    _stream_permit: Option<OwnedSemaphorePermit>,
}

impl Limits {
    /// At most `requests_max` requests in flight, of at least [`REQUESTS_MAX_LEAST`], and
    /// `bandwidth_max` bytes per second in each direction.
    pub fn new(requests_max: usize, bandwidth_max: Option<u64>, clock: &Arc<dyn Clock>) -> Self {
        let requests_max = requests_max.clamp(REQUESTS_MAX_LEAST, Semaphore::MAX_PERMITS);
        let kept = requests_max.div_ceil(KEPT_SHARE);
        let bucket =
            || bandwidth_max.map(|bandwidth| TokenBucket::new(bandwidth, Arc::clone(clock)));
        Limits {
            permits: Arc::new(Semaphore::new(requests_max)),
            stream_permits: Arc::new(Semaphore::new(requests_max - kept)),
            reads: bucket(),
            writes: bucket(),
        }
    }

    /// A permit for a request that ends by itself.
    async fn permit(&self) -> Result<RequestPermit> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        Ok(RequestPermit { _permit: permit, _stream_permit: None })
    }

    /// A permit for a request that waits for who takes what it brings.
    async fn stream_permit(&self) -> Result<RequestPermit> {
        let stream_permit =
            Arc::clone(&self.stream_permits).acquire_owned().await.map_err(closed)?;
        let permit = self.permit().await?;
        Ok(RequestPermit { _stream_permit: Some(stream_permit), ..permit })
    }

    async fn pay_for_read(&self, bytes: usize) {
        if let Some(bucket) = &self.reads {
            bucket.pay(bytes).await;
        }
    }

    async fn pay_for_write(&self, payload: &PutPayload) {
        if let Some(bucket) = &self.writes {
            bucket.pay(payload.content_length()).await;
        }
    }
}

/// Nobody closes the semaphores.
fn closed(error: tokio::sync::AcquireError) -> Error {
    Error::Generic { store: "limited", source: error.into() }
}

/// Bytes per second: whoever has bytes waits until those before and these are paid for.
#[derive(Debug)]
struct TokenBucket {
    bytes_per_second: u64,
    /// When all bytes so far are paid for.
    paid_at: Mutex<Duration>,
    clock: Arc<dyn Clock>,
}

impl TokenBucket {
    /// What may be left over from idle times.
    const CREDIT_MAX: Duration = Duration::from_millis(100);

    fn new(bytes_per_second: u64, clock: Arc<dyn Clock>) -> Self {
        TokenBucket { bytes_per_second: bytes_per_second.max(1), paid_at: Mutex::default(), clock }
    }

    async fn pay(&self, bytes: usize) {
        let now = self.clock.now();
        let wait = {
            let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = (*paid_at).max(now.saturating_sub(Self::CREDIT_MAX));
            *paid_at = begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            paid_at.saturating_sub(now)
        };
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }
}

/// A store whose requests wait for a permit. Clones share the inner store.
#[derive(Debug, Clone)]
pub(super) struct LimitedStore {
    inner: Layer,
    limits: Arc<Limits>,
}

impl LimitedStore {
    pub fn new(inner: Layer, limits: Arc<Limits>) -> Self {
        LimitedStore { inner, limits }
    }

    /// Opens a stream when there is a permit for it, which it holds to its end.
    fn stream<T: Send + 'static>(
        &self,
        open: impl FnOnce(&Layer) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let LimitedStore { inner, limits } = self.clone();
        let opened = async move {
            match limits.stream_permit().await {
                Ok(permit) => hold_permit(permit, open(&inner)),
                Err(error) => once(async { Err(error) }).boxed(),
            }
        };
        once(opened).flatten().boxed()
    }
}

/// Keeps a permit until a stream ends or is dropped.
fn hold_permit<T: Send + 'static>(
    permit: RequestPermit,
    stream: BoxStream<'static, T>,
) -> BoxStream<'static, T> {
    let next = |state: Option<(RequestPermit, BoxStream<'static, T>)>| async {
        let (permit, mut stream) = state?;
        stream.next().await.map(|item| (item, Some((permit, stream))))
    };
    unfold(Some((permit, stream)), next).boxed()
}

impl fmt::Display for LimitedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.store().fmt(f)
    }
}

#[async_trait]
impl ObjectStore for LimitedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let _permit = self.limits.permit().await?;
        self.limits.pay_for_write(&payload).await;
        self.inner.store().put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let _permit = self.limits.permit().await?;
        let upload = self.inner.store().put_multipart_opts(location, options).await?;
        Ok(Box::new(LimitedUpload { upload, limits: Arc::clone(&self.limits) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            let _permit = self.limits.permit().await?;
            return self.inner.store().get_opts(location, options).await;
        }
        let permit = self.limits.stream_permit().await?;
        let mut got = self.inner.store().get_opts(location, options).await?;
        let limits = Arc::clone(&self.limits);
        got.payload = match got.payload {
            GetResultPayload::Stream(stream) => {
                let paid = stream.then(move |chunk| {
                    let limits = Arc::clone(&limits);
                    async move {
                        limits.pay_for_read(chunk.as_ref().map_or(0, Bytes::len)).await;
                        chunk
                    }
                });
                GetResultPayload::Stream(hold_permit(permit, paid.boxed()))
            }
            file @ GetResultPayload::File(..) => file,
        };
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let _permit = self.limits.permit().await?;
        let chunks = self.inner.store().get_ranges(location, ranges).await?;
        self.limits.pay_for_read(chunks.iter().map(Bytes::len).sum()).await;
        Ok(chunks)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.stream(|inner| inner.store().delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        self.stream(move |inner| inner.store().list(prefix.as_ref()))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        self.stream(move |inner| inner.store().list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _permit = self.limits.permit().await?;
        self.inner.store().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _permit = self.limits.permit().await?;
        self.inner.store().copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let _permit = self.limits.permit().await?;
        self.inner.store().rename_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for LimitedStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let _permit = self.limits.permit().await?;
        self.inner.try_uploads()?.create_multipart(path).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let _permit = self.limits.permit().await?;
        self.limits.pay_for_write(&data).await;
        self.inner.try_uploads()?.put_part(path, id, part_idx, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let _permit = self.limits.permit().await?;
        self.inner.try_uploads()?.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let _permit = self.limits.permit().await?;
        self.inner.try_uploads()?.abort_multipart(path, id).await
    }
}

/// An upload whose parts wait for a permit.
#[derive(Debug)]
struct LimitedUpload {
    upload: Box<dyn MultipartUpload>,
    limits: Arc<Limits>,
}

#[async_trait]
impl MultipartUpload for LimitedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let limits = Arc::clone(&self.limits);
        let paid = data.clone();
        let part = self.upload.put_part(data);
        Box::pin(async move {
            let _permit = limits.permit().await?;
            limits.pay_for_write(&paid).await;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _permit = self.limits.permit().await?;
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        let _permit = self.limits.permit().await?;
        self.upload.abort().await
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
