//! Retries with exponential backoff and full jitter.
//!
//! # Why here and not in the clients
//! The cloud clients of `object_store` can retry by themselves. That is switched off, since they
//! keep to themselves how often they do it, ignore `Retry-After`, count a long read's time from
//! its begin, so that it may not break off after a minute, hold their permit among the requests in
//! flight while they wait, and answer `AlreadyExists` for an object that their own first try put.
//! A service right above HTTP could count and heed the store's wishes, but would know neither that
//! a put was conditional nor where a read broke off. So a
//! [`TransientResponse`](super::transient::TransientResponse) comes up from HTTP, and what to do
//! about it is decided here, where the operation is known and any store will do for a test.
//!
//! # What is tried again
//! Responses of 408, 429 and 5xx (but 501), lost and refused connections, time-outs; for a minute
//! and a hundred times at most. Between two tries passes a random time up to a bound that doubles
//! from 100 ms to 15 s ("full jitter"), and anew where a part was done in between, and on top of
//! it what `Retry-After` asks for. If that is more than the time left, there is no further try.
//! The error then is a [`GaveUp`].
//!
//! | operation | what a try that failed may have left, and what is done about it |
//! |---|---|
//! | get | goes on where it broke off, if the object is still the same by its e-tag |
//! | list | goes on after the last name, as long as names come in their order |
//! | put | puts the same bytes again |
//! | put, conditional | a refusal after a retry may be due to our own first try: see below |
//! | part of an upload | takes the place of the part |
//! | complete an upload | the upload may be gone: see [`RetryStore::complete_multipart`] |
//! | create an upload | may leave an upload without parts behind |
//! | abort an upload, delete | what is gone after a retry is gone by our own first try |
//! | copy | copies again; one that must create may say `AlreadyExists` of its own first try |
//!
//! Where a conditional put is refused after a retry, the object is read: if it has the very bytes
//! that were put, it is ours, otherwise the refusal stands. So such bytes should name their writer.
//! What became of a put or a complete that was given up is unknown.

mod delete;
mod list;
mod read;
mod upload;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::layer::Layer;
use super::meter::{Operation, StoreMeter};
use super::transient::{Transient, transient};
use crate::base::clock::Clock;

/// How long and how often something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryPolicy {
    /// No try begins later than this after the first one.
    pub time_max: Duration,
    /// Tries, the first among them. What bounds them is the time; this is for stores that ask to
    /// be asked again at once.
    pub tries_max: u32,
    /// The bound of the first pause.
    pub first_pause_max: Duration,
    /// The bound of any pause.
    pub pause_max: Duration,
}

impl RetryPolicy {
    /// The policy that tries for so long.
    pub fn for_time(time_max: Duration) -> Self {
        RetryPolicy {
            time_max,
            tries_max: 100,
            first_pause_max: Duration::from_millis(100),
            pause_max: Duration::from_secs(15),
        }
    }

    /// The bound of the pause after so many failures, from 1.
    fn pause_max_after(&self, failures: u32) -> Duration {
        let doubled = 2_u32.checked_pow(failures - 1).unwrap_or(u32::MAX);
        self.first_pause_max.saturating_mul(doubled).min(self.pause_max)
    }
}

/// The error of an operation that was tried several times.
#[derive(Debug, thiserror::Error)]
pub(super) struct GaveUp {
    /// How often it was tried.
    pub tries: u32,
    /// From the begin of the first try to the end of the last.
    pub time: Duration,
    /// How long the store asks to be left alone, if that is what ended the tries.
    pub retry_after: Option<Duration>,
    /// What the last try said.
    #[source]
    pub last: Error,
}

impl GaveUp {
    /// How it was tried: `tried 9 times in 61 s`.
    pub fn tried(&self) -> String {
        let times = if self.tries == 1 { "once" } else { &format!("{} times", self.tries) };
        let tried = format!("tried {times} in {} s", self.time.as_secs());
        match self.retry_after {
            None => tried,
            Some(pause) => {
                format!("{tried}, and the store asks to be left alone for {} s", pause.as_secs())
            }
        }
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.last, self.tried())
    }
}

/// What the tries of all operations share.
#[derive(Debug)]
pub(super) struct Retries {
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    random: Mutex<Pcg64>,
    meter: StoreMeter,
    /// When a failure was told of last.
    told: Mutex<Option<Duration>>,
}

/// How long no other failure is told of after one was: a store that is away fails all that is asked
/// of it.
const QUIET: Duration = Duration::from_secs(60);

/// The increment of PCG's reference implementation.
const PCG_STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96;

impl Retries {
    /// Pauses are drawn from `seed`; retries are counted by `meter`.
    pub fn new(policy: RetryPolicy, clock: Arc<dyn Clock>, seed: u64, meter: StoreMeter) -> Self {
        let random = Mutex::new(Pcg64::new(u128::from(seed), PCG_STREAM));
        Retries { policy, clock, random, meter, told: Mutex::new(None) }
    }

    /// Whether a failure is to be told of, and not only the end of all tries.
    fn is_told(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let is_told = told.is_none_or(|last| now.saturating_sub(last) >= QUIET);
        if is_told {
            *told = Some(now);
        }
        is_told
    }

    fn begin(self: &Arc<Self>, operation: Operation) -> Tries {
        Tries {
            shared: Arc::clone(self),
            operation,
            begun: self.clock.now(),
            failures: 0,
            failures_in_row: 0,
        }
    }

    /// A pause from nothing to `max`, all alike in likelihood.
    fn draw_pause(&self, max: Duration) -> Duration {
        let bits = self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u32();
        max.mul_f64(f64::from(bits) / f64::from(u32::MAX))
    }
}

/// The tries of one operation.
#[derive(Debug)]
struct Tries {
    shared: Arc<Retries>,
    operation: Operation,
    begun: Duration,
    failures: u32,
    /// Failures since the operation last got on, which is what pauses grow by.
    failures_in_row: u32,
}

impl Tries {
    /// Whether something failed before.
    fn is_retry(&self) -> bool {
        self.failures > 0
    }

    /// Notes that a part of the operation was done.
    fn got_on(&mut self) {
        self.failures_in_row = 0;
    }

    /// Waits until the operation may be tried again after `error`, or gives the error back.
    async fn after(&mut self, error: Error) -> Result<()> {
        match transient(&error) {
            Some(transient) => self.after_transient(error, transient).await,
            None => Err(error),
        }
    }

    /// The same where it is known that the error is transient.
    async fn after_transient(&mut self, error: Error, transient: Transient) -> Result<()> {
        let Retries { policy, clock, meter, .. } = self.shared.as_ref();
        self.failures += 1;
        self.failures_in_row += 1;
        let time = clock.now().saturating_sub(self.begun);
        let left = policy.time_max.saturating_sub(time);
        let asked = transient.retry_after.unwrap_or_default();
        if left.is_zero() || asked > left || self.failures >= policy.tries_max {
            let retry_after = transient.retry_after.filter(|asked| *asked > left);
            return Err(self.give_up(error, time, retry_after));
        }
        let drawn = self.shared.draw_pause(policy.pause_max_after(self.failures_in_row));
        let pause = (asked + drawn).min(left);
        if self.shared.is_told() {
            let (operation, time_max) = (self.operation, policy.time_max);
            tracing::warn!(?operation, %error, "the store failed; asking again for {time_max:?}");
        }
        meter.add_retry(self.operation);
        tracing::debug!(
            operation = ?self.operation,
            failures = self.failures,
            pause_ms = pause.as_millis() as u64,
            %error,
            "asking the store again"
        );
        clock.sleep(pause).await;
        Ok(())
    }

    fn give_up(&self, last: Error, time: Duration, retry_after: Option<Duration>) -> Error {
        if self.failures == 1 && retry_after.is_none() {
            return last;
        }
        let gave_up = GaveUp { tries: self.failures, time, retry_after, last };
        Error::Generic { store: "retried", source: Box::new(gave_up) }
    }
}

/// A store that is asked again. Clones share the inner store.
#[derive(Debug, Clone)]
pub(super) struct RetryStore {
    inner: Layer,
    retries: Arc<Retries>,
}

impl RetryStore {
    pub fn new(inner: Layer, retries: Arc<Retries>) -> Self {
        RetryStore { inner, retries }
    }

    /// Tries until it is done, for operations of which it does not matter how often they are done.
    async fn repeat<T, F: Future<Output = Result<T>> + Send>(
        &self,
        operation: Operation,
        mut once: impl FnMut() -> F + Send,
    ) -> Result<T> {
        let mut tries = self.retries.begin(operation);
        loop {
            match once().await {
                Ok(done) => return Ok(done),
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// Decides whether a put that was refused had been done by an earlier try, by the bytes.
    async fn resolve_put(
        &self,
        location: &Path,
        payload: &PutPayload,
        refusal: Error,
    ) -> Result<PutResult> {
        let Ok(got) = self.get_opts(location, GetOptions::default()).await else {
            return Err(refusal);
        };
        let put = PutResult { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        if got.meta.size != payload.content_length() as u64 {
            return Err(refusal);
        }
        let Ok(bytes) = got.bytes().await else { return Err(refusal) };
        let mut rest = &bytes[..];
        for chunk in payload {
            match rest.strip_prefix(chunk.as_ref()) {
                Some(after) => rest = after,
                None => return Err(refusal),
            }
        }
        tracing::debug!(%location, "an earlier try had put it, though it failed");
        Ok(put)
    }
}

impl fmt::Display for RetryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.store().fmt(f)
    }
}

#[async_trait]
impl ObjectStore for RetryStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_conditional = options.mode != PutMode::Overwrite;
        let mut tries = self.retries.begin(Operation::Put);
        loop {
            let put = self.inner.store().put_opts(location, payload.clone(), options.clone());
            match put.await {
                Ok(put) => return Ok(put),
                Err(refusal @ (Error::AlreadyExists { .. } | Error::Precondition { .. }))
                    if is_conditional && tries.is_retry() =>
                {
                    return self.resolve_put(location, &payload, refusal).await;
                }
                Err(error) => tries.after(error).await?,
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.begin_upload(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = Operation::of_get(&options);
        let store = self.inner.store();
        let got = self.repeat(operation, || store.get_opts(location, options.clone())).await?;
        Ok(match operation {
            Operation::Head => got,
            _ => self.resume_read(options, got),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.delete_all(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_behind(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_behind(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let store = self.inner.store();
        self.repeat(Operation::List, || store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let store = self.inner.store();
        self.repeat(Operation::Copy, || store.copy_opts(from, to, options.clone())).await
    }
}

#[async_trait]
impl MultipartStore for RetryStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let uploads = self.inner.try_uploads()?;
        self.repeat(Operation::CreateMultipart, || uploads.create_multipart(path)).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let uploads = self.inner.try_uploads()?;
        let once = || uploads.put_part(path, id, part_idx, data.clone());
        self.repeat(Operation::PutPart, once).await
    }

    /// Completes an upload.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the store does not know the upload (any more), whatever words the
    /// store has for that. Where the response to an earlier try, of this call or of another
    /// process, was lost, the object may be there nevertheless: this looks, and takes it for done
    /// if the e-tag is the one that S3 gives to these parts. Other stores' e-tags say nothing, so
    /// it is the caller's to decide, by the object's size and by whether its name was free before.
    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.complete(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.abort(path, id).await
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
