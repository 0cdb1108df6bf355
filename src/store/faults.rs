//! Fault injection: a store whose every call may go wrong, by a seed or by a script: what
//! the tests of retries stand on.
//!
//! It keeps uploads as S3 does: the upload is gone once it was completed or aborted, and says so
//! by [`Error::NotFound`]; parts are taken by their tags, which are MD5s.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, iter, once};
use md5::{Digest, Md5};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::transient::TransientResponse;
use crate::base::clock::Clock;

/// What a store or the line says instead of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A transient response of this status.
    Status(u16),
    /// 503, and the pause that the store asks for, in seconds.
    Busy(u64),
    /// The connection is lost.
    Reset,
    /// The response does not come.
    Timeout,
}

impl Failure {
    /// The error as it comes out of a cloud client.
    pub fn error(self) -> Error {
        let response = |status, retry_after| TransientResponse {
            status,
            retry_after,
            body: "try again".into(),
        };
        let http = match self {
            Failure::Status(status) => {
                HttpError::new(HttpErrorKind::Unknown, response(status, None))
            }
            Failure::Busy(seconds) => {
                let pause = Some(Duration::from_secs(seconds));
                HttpError::new(HttpErrorKind::Unknown, response(503, pause))
            }
            Failure::Reset => lost(HttpErrorKind::Interrupted, std::io::ErrorKind::ConnectionReset),
            Failure::Timeout => lost(HttpErrorKind::Timeout, std::io::ErrorKind::TimedOut),
        };
        Error::Generic { store: "faulty", source: Box::new(http) }
    }
}

fn lost(kind: HttpErrorKind, io: std::io::ErrorKind) -> HttpError {
    HttpError::new(kind, std::io::Error::from(io))
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InjectedFault {
    /// Nothing is done.
    Before(Failure),
    /// It is done, but nobody learns of it.
    After(Failure),
    /// It takes so many milliseconds longer.
    Delay(u64),
    /// The line breaks after so many bytes of what is read, or names of what is listed. What is
    /// sent, as a part of an upload, does not arrive as a whole then, and is not done.
    Break(u64),
    /// What is read ends after so many bytes as if that were all.
    Truncate(u64),
}

/// In how many of a hundred calls which fault is met.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FaultRates {
    /// A plain 503.
    pub refused: u32,
    pub before: u32,
    pub after: u32,
    pub delay: u32,
    pub broken: u32,
}

impl FaultRates {
    /// A store that is overrun.
    pub const STORM: FaultRates =
        FaultRates { refused: 30, before: 0, after: 0, delay: 0, broken: 0 };
    /// All that can go wrong.
    pub const ALL: FaultRates =
        FaultRates { refused: 5, before: 10, after: 15, delay: 5, broken: 15 };
}

#[derive(Debug)]
struct Faults {
    script: Mutex<VecDeque<Option<InjectedFault>>>,
    rates: FaultRates,
    random: Mutex<Pcg64>,
    clock: Arc<dyn Clock>,
    met: AtomicU64,
}

impl Faults {
    /// The fault of the next call; a delay is over when this ends.
    async fn next(&self) -> Option<InjectedFault> {
        let scripted = self.script.lock().unwrap().pop_front();
        let fault = scripted.unwrap_or_else(|| self.draw())?;
        self.met.fetch_add(1, Relaxed);
        if let InjectedFault::Delay(millis) = fault {
            self.clock.sleep(Duration::from_millis(millis)).await;
            return None;
        }
        Some(fault)
    }

    fn draw(&self) -> Option<InjectedFault> {
        let FaultRates { refused, before, after, delay, broken } = self.rates;
        let mut random = self.random.lock().unwrap();
        let mut roll = random.next_u32() % 100;
        let failure = match random.next_u32() % 6 {
            0 => Failure::Status(500),
            1 => Failure::Busy(1),
            2 => Failure::Reset,
            3 => Failure::Timeout,
            4 => Failure::Status(409),
            _ => Failure::Status(429),
        };
        let place = random.next_u32() % 40;
        let faults = [
            (refused, InjectedFault::Before(Failure::Status(503))),
            (before, InjectedFault::Before(failure)),
            (after, InjectedFault::After(failure)),
            (delay, InjectedFault::Delay(place.into())),
            (broken / 2, InjectedFault::Break(place.into())),
            (broken.div_ceil(2), InjectedFault::Truncate(place.into())),
        ];
        for (rate, fault) in faults {
            if roll < rate {
                return Some(fault);
            }
            roll -= rate;
        }
        None
    }
}

/// Of an upload: its object, and when it was begun.
type BegunAt = (Path, chrono::DateTime<chrono::Utc>);
type Parts = BTreeMap<usize, (String, PutPayload)>;

/// A store in memory whose calls go wrong. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<InMemory>,
    faults: Arc<Faults>,
    uploads: Arc<Mutex<HashMap<MultipartId, Parts>>>,
    uploads_begun: Arc<AtomicU64>,
    uploads_begun_at: Arc<Mutex<BTreeMap<MultipartId, BegunAt>>>,
    completing: Arc<tokio::sync::Mutex<()>>,
    /// Whether it is like S3 in what stores differ in: a deletion of many objects has one response
    /// if it fails, and one of a missing object succeeds; the e-tags of uploads tell of the parts.
    pub is_like_s3: Arc<AtomicBool>,
    /// Whether it lists from the last name to the first; S3's directory buckets know no order.
    pub lists_backwards: Arc<AtomicBool>,
    upload_tags: Arc<Mutex<HashMap<Path, String>>>,
}

impl FaultyStore {
    /// Draws the faults from a seed.
    pub fn seeded(seed: u64, rates: FaultRates, clock: Arc<dyn Clock>) -> Self {
        FaultyStore::new(Vec::new(), seed, rates, clock)
    }

    /// Meets these faults, call by call, and none after them.
    pub fn scripted(
        script: impl IntoIterator<Item = InjectedFault>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let script = script.into_iter().map(Some).collect();
        FaultyStore::new(script, 0, FaultRates::default(), clock)
    }

    fn new(
        script: Vec<Option<InjectedFault>>,
        seed: u64,
        rates: FaultRates,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let faults = Faults {
            script: Mutex::new(script.into()),
            rates,
            random: Mutex::new(Pcg64::new(u128::from(seed), 1)),
            clock,
            met: AtomicU64::new(0),
        };
        FaultyStore {
            inner: Arc::default(),
            faults: Arc::new(faults),
            uploads: Arc::default(),
            uploads_begun: Arc::default(),
            uploads_begun_at: Arc::default(),
            completing: Arc::default(),
            is_like_s3: Arc::default(),
            lists_backwards: Arc::default(),
            upload_tags: Arc::default(),
        }
    }

    /// What is in it, whatever goes wrong.
    pub fn contents(&self) -> &InMemory {
        &self.inner
    }

    /// Has the next calls meet these faults.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<InjectedFault>>) {
        self.faults.script.lock().unwrap().extend(faults);
    }

    /// How many faults were met.
    pub fn faults_met(&self) -> u64 {
        self.faults.met.load(Relaxed)
    }

    /// Uploads that were neither completed nor aborted.
    pub fn uploads_left(&self) -> usize {
        self.uploads.lock().unwrap().len()
    }

    /// Makes all open uploads so much older.
    pub fn age_uploads(&self, by: chrono::Duration) {
        self.uploads_begun_at.lock().unwrap().values_mut().for_each(|(_, begun)| *begun -= by);
    }

    /// Forgets all uploads, as a rule of the bucket may.
    pub fn lose_uploads(&self) {
        self.uploads.lock().unwrap().clear();
    }

    /// Does something that has an effect.
    async fn act<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.faults.next().await {
            Some(InjectedFault::Before(failure)) => Err(failure.error()),
            Some(InjectedFault::Break(_)) => Err(Failure::Reset.error()),
            Some(InjectedFault::After(failure)) => {
                work.await?;
                Err(failure.error())
            }
            _ => work.await,
        }
    }

    fn take_upload(&self, path: &Path, id: &MultipartId) -> Result<Parts> {
        let upload = self.uploads.lock().unwrap().remove(id);
        upload.ok_or_else(|| Error::NotFound {
            path: path.to_string(),
            source: "<Code>NoSuchUpload</Code>".into(),
        })
    }
}

/// The first bytes of a body, and what comes after them.
fn cut(
    body: BoxStream<'static, Result<Bytes>>,
    at: u64,
    end: Option<Error>,
) -> BoxStream<'static, Result<Bytes>> {
    let mut left = at as usize;
    let first = body.map(move |chunk| {
        chunk.map(|mut chunk| {
            let taken = chunk.split_to(left.min(chunk.len()));
            left -= taken.len();
            taken
        })
    });
    first.chain(iter(end.map(Err))).boxed()
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.act(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.act(self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.faults.next().await;
        if let Some(InjectedFault::Before(failure) | InjectedFault::After(failure)) = fault {
            return Err(failure.error());
        }
        let is_head = options.head;
        let mut got = self.inner.get_opts(location, options).await?;
        if let Some(tag) = self.upload_tags.lock().unwrap().get(location).filter(|_| is_head) {
            got.meta.e_tag = Some(tag.clone());
        }
        let length = got.range.end - got.range.start;
        let (at, end) = match fault {
            Some(InjectedFault::Break(at)) => (at, Some(Failure::Reset.error())),
            Some(InjectedFault::Truncate(at)) => (at, None),
            _ => return Ok(got),
        };
        if let GetResultPayload::Stream(body) = got.payload {
            let end = end.filter(|_| at < length && !is_head);
            got.payload = GetResultPayload::Stream(cut(body, at, end));
        }
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.act(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        if !self.is_like_s3.load(Relaxed) {
            let delete = move |location: Result<Path>| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let delete = async {
                        store.inner.head(&location).await?;
                        store.inner.delete(&location).await
                    };
                    store.act(delete).await?;
                    Ok(location)
                }
            };
            return locations.then(delete).boxed();
        }
        let bulk = async move {
            let inner = Arc::clone(&store.inner);
            let work = async { Ok(inner.delete_stream(locations).collect::<Vec<_>>().await) };
            iter(store.act(work).await.unwrap_or_else(|error| vec![Err(error)]))
        };
        once(bulk).flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let mut names: Vec<_> = store.inner.list(prefix.as_ref()).collect().await;
            if store.lists_backwards.load(Relaxed) {
                names.reverse();
            }
            match store.faults.next().await {
                Some(InjectedFault::Before(failure) | InjectedFault::After(failure)) => {
                    names = vec![Err(failure.error())];
                }
                Some(InjectedFault::Break(at)) if (at as usize) < names.len() => {
                    names.truncate(at as usize);
                    names.push(Err(Failure::Reset.error()));
                }
                _ => {}
            }
            iter(names)
        };
        once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.act(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.act(self.inner.copy_opts(from, to, options)).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let create = async {
            let id = self.uploads_begun.fetch_add(1, Relaxed).to_string();
            self.uploads.lock().unwrap().insert(id.clone(), Parts::new());
            let begun = (path.clone(), chrono::Utc::now());
            self.uploads_begun_at.lock().unwrap().insert(id.clone(), begun);
            Ok(id)
        };
        self.act(create).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let put = async {
            let mut uploads = self.uploads.lock().unwrap();
            let Some(parts) = uploads.get_mut(id) else {
                drop(uploads);
                return Err(self.take_upload(path, id).unwrap_err());
            };
            let mut md5 = Md5::new();
            data.iter().for_each(|chunk| md5.update(chunk));
            let tag = format!("\"{}\"", hex::encode(md5.finalize()));
            parts.insert(part_idx, (tag.clone(), data));
            Ok(PartId { content_id: tag })
        };
        self.act(put).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let complete = async {
            // As with S3, whoever misses the upload sees the object.
            let _one_at_a_time = self.completing.lock().await;
            let stored = self.take_upload(path, id)?;
            let (mut bytes, mut md5) = (Vec::new(), Md5::new());
            for (part, (tag, data)) in parts.iter().zip(stored.values()) {
                assert_eq!(part.content_id, *tag, "a part of another upload");
                data.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
                md5.update(hex::decode(tag.trim_matches('"')).unwrap());
            }
            assert_eq!(parts.len(), stored.len(), "parts are missing");
            if self.is_like_s3.load(Relaxed) {
                let tag = format!("\"{}-{}\"", hex::encode(md5.finalize()), parts.len());
                self.upload_tags.lock().unwrap().insert(path.clone(), tag);
            }
            self.inner.put(path, bytes.into()).await
        };
        self.act(complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let abort = async {
            let _one_at_a_time = self.completing.lock().await;
            self.take_upload(path, id).map(drop)
        };
        self.act(abort).await
    }
}

#[async_trait]
impl super::open_uploads::ListUploads for FaultyStore {
    async fn list_uploads(&self, prefix: &Path) -> Result<Vec<super::open_uploads::OpenUpload>> {
        let open = self.uploads.lock().unwrap();
        let begun = self.uploads_begun_at.lock().unwrap();
        let listed = begun.iter().filter(|(id, _)| open.contains_key(*id));
        let listed = listed.filter(|(_, (path, _))| path.prefix_matches(prefix));
        let listed = listed.map(|(id, (path, begun))| super::open_uploads::OpenUpload {
            path: path.clone(),
            id: id.clone(),
            begun: *begun,
        });
        Ok(listed.collect())
    }
}
