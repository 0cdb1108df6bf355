//! The whole stack, over a store that goes wrong by a seed and over one that does not.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::super::faults::{FaultRates, FaultyStore};
use super::*;
use crate::base::clock::TestClock;
use crate::store::layer::UploadStore;
use crate::store::meter::Operation;

/// A store in memory with all behaviours of a cloud's, and what goes wrong in it.
fn stacked(seed: u64, rates: FaultRates) -> (Layer, FaultyStore, Stores) {
    let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
    let faulty = FaultyStore::seeded(seed, rates, Arc::clone(&clock));
    let variables = [(RETRY_SECONDS.into(), "600".into()), (REQUESTS_MAX.into(), "2".into())];
    let environment = Environment::new(variables.into_iter());
    let stores = Stores::new(environment, clock, seed).unwrap();
    (stores.stack_cloud(Layer::with_uploads(Arc::new(faulty.clone()))), faulty, stores)
}

/// What may be done to a store.
#[derive(Debug, Clone)]
enum StoreCall {
    Put(Path, Vec<u8>),
    Create(Path, Vec<u8>),
    Update(Path, Vec<u8>),
    Get(Path),
    GetRange(Path, u64),
    List(Path),
    ListAfter(Path),
    Delete(Vec<Path>),
    Upload(Path, Vec<Vec<u8>>),
    UploadById(Path, Vec<Vec<u8>>),
    Abort(Path),
    Copy(Path, Path),
    Rename(Path, Path),
}

fn steps(seed: u64, count: usize) -> Vec<StoreCall> {
    let mut random = Pcg64::new(u128::from(seed), 2);
    let mut draw = move |end: u32| random.next_u32() % end;
    let mut steps = Vec::new();
    for number in 0..count {
        let name = |n: u32| Path::from(format!("{}/{}", ["a", "b"][n as usize % 2], n % 5));
        let (one, two) = (name(draw(10)), name(draw(10)));
        let mut part = |at: u8| {
            // Bytes that tell who wrote them, as those of a conditional put should.
            let mut bytes = format!("step {number} ").into_bytes();
            bytes.resize(bytes.len() + draw(60) as usize, at);
            bytes
        };
        let (bytes, parts) = (part(0), vec![part(1), part(2), part(3)]);
        steps.push(match draw(13) {
            0 => StoreCall::Put(one, bytes),
            1 => StoreCall::Create(one, bytes),
            2 => StoreCall::Update(one, bytes),
            3 => StoreCall::Get(one),
            4 => StoreCall::GetRange(one, u64::from(draw(20))),
            5 => StoreCall::List(one.prefix()),
            6 => StoreCall::ListAfter(one),
            7 => StoreCall::Delete(vec![one, two]),
            8 => StoreCall::Upload(one, parts),
            9 => StoreCall::UploadById(one, parts),
            10 => StoreCall::Abort(one),
            11 => StoreCall::Copy(one, two),
            _ => StoreCall::Rename(one, two),
        });
    }
    steps
}

trait Prefix {
    fn prefix(&self) -> Path;
}

impl Prefix for Path {
    fn prefix(&self) -> Path {
        Path::from(self.parts().next().unwrap().as_ref())
    }
}

type Told = Result<String, Error>;

/// Does a step and says what came of it.
async fn take(store: &dyn UploadStore, step: StoreCall) -> Told {
    match step {
        StoreCall::Put(path, bytes) => store.put(&path, bytes.into()).await.map(|_| "put".into()),
        StoreCall::Create(path, bytes) => put_with(store, &path, bytes, PutMode::Create).await,
        StoreCall::Update(path, bytes) => {
            let e_tag = store.head(&path).await?.e_tag;
            let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
            put_with(store, &path, bytes, mode).await
        }
        StoreCall::Get(path) => Ok(text(store.get(&path).await?.bytes().await?)),
        StoreCall::GetRange(path, at) => {
            let range = Some(GetRange::Offset(at.min(store.head(&path).await?.size - 1)));
            let got = store.get_opts(&path, GetOptions { range, ..GetOptions::default() });
            Ok(text(got.await?.bytes().await?))
        }
        StoreCall::List(prefix) => {
            let flat = names(store.list(Some(&prefix))).await?;
            let level = store.list_with_delimiter(None).await?;
            Ok(format!("{flat} {:?}", level.common_prefixes))
        }
        StoreCall::ListAfter(path) => {
            names(store.list_with_offset(Some(&path.prefix()), &path)).await
        }
        StoreCall::Delete(paths) => {
            // That an object was missing cannot be told from a deletion whose response was lost.
            let paths = futures::stream::iter(paths).map(Ok).boxed();
            let told: Vec<_> = store.delete_stream(paths).collect().await;
            told.into_iter()
                .try_for_each(|told| match told {
                    Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                })
                .map(|()| "deleted".into())
        }
        StoreCall::Upload(path, parts) => {
            let mut upload = store.put_multipart(&path).await?;
            for part in parts {
                upload.put_part(part.into()).await?;
            }
            upload.complete().await.map(|_| "uploaded".into())
        }
        StoreCall::UploadById(path, parts) => upload_by_id(store, &path, parts).await,
        StoreCall::Abort(path) => {
            let id = store.create_multipart(&path).await?;
            store.put_part(&path, &id, 0, "x".into()).await?;
            store.abort_multipart(&path, &id).await.map(|()| "aborted".into())
        }
        StoreCall::Copy(from, to) => store.copy(&from, &to).await.map(|()| "copied".into()),
        StoreCall::Rename(from, to) if from == to => Ok("the same".into()),
        StoreCall::Rename(from, to) => store.rename(&from, &to).await.map(|()| "renamed".into()),
    }
}

async fn put_with(store: &dyn UploadStore, path: &Path, bytes: Vec<u8>, mode: PutMode) -> Told {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let chunks = [first, second].map(Bytes::copy_from_slice);
    let options = PutOptions::from(mode);
    store.put_opts(path, PutPayload::from_iter(chunks), options).await.map(|_| "put".into())
}

/// Completes an upload and decides by the object's size, as a caller must if its end was lost.
async fn upload_by_id(store: &dyn UploadStore, path: &Path, parts: Vec<Vec<u8>>) -> Told {
    let size = parts.iter().map(|part| part.len() as u64).sum::<u64>();
    let id = store.create_multipart(path).await?;
    let mut ids = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        ids.push(store.put_part(path, &id, number, part.into()).await?);
    }
    match store.complete_multipart(path, &id, ids).await {
        Err(Error::NotFound { .. }) => assert_eq!(store.head(path).await?.size, size),
        done => drop(done?),
    }
    Ok("uploaded".into())
}

fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.into()).unwrap()
}

async fn names(
    listed: futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>>,
) -> Told {
    let listed: Vec<_> =
        listed.map_ok(|o| format!("{} {}", o.location, o.size)).try_collect().await?;
    Ok(listed.join(", "))
}

/// What an error is, without its words.
fn kind(told: Told) -> Result<String, &'static str> {
    told.map_err(|error| match error {
        Error::NotFound { .. } => "not found",
        Error::AlreadyExists { .. } => "already exists",
        Error::Precondition { .. } => "precondition",
        error => panic!("{error}"),
    })
}

async fn contents(store: &dyn ObjectStore) -> BTreeMap<Path, Bytes> {
    let mut all = BTreeMap::new();
    for object in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
        let got = store.get(&object.location).await.unwrap();
        all.insert(object.location, got.bytes().await.unwrap());
    }
    all
}

/// Takes the same steps in a store with faults and in one without; gives the faults met and the
/// retries made.
async fn compare(seed: u64, rates: FaultRates) -> (u64, u64) {
    let (layer, faulty, stores) = stacked(seed, rates);
    let (plain, sound, _) = stacked(seed, FaultRates::default());
    for (number, step) in steps(seed, 40).into_iter().enumerate() {
        let found = take(layer.uploads().unwrap().as_ref(), step.clone()).await;
        let expected = take(plain.uploads().unwrap().as_ref(), step.clone()).await;
        assert_eq!(kind(found), kind(expected), "seed {seed}, step {number}: {step:?}");
    }
    let (found, expected) = (contents(faulty.contents()).await, contents(sound.contents()).await);
    assert_eq!(found, expected, "seed {seed}");
    let retries = stores.meter().by_operation().values().map(|counts| counts.retries).sum();
    (faulty.faults_met(), retries)
}

#[tokio::test]
async fn whatever_goes_wrong_the_contents_are_as_if_nothing_had() {
    let (mut met, mut retried) = (0, 0);
    for seed in 0..1000 {
        let (faults, retries) = compare(seed, FaultRates::ALL).await;
        met += faults;
        retried += retries;
    }
    assert!(met > 30_000 && retried > 20_000, "{met} faults, {retried} retries");
}

#[tokio::test]
async fn a_storm_of_503_is_got_over() {
    for seed in 0..200 {
        let (met, retries) = compare(seed, FaultRates::STORM).await;
        // Two refusals within one deletion are met by one retry.
        assert!(retries <= met && 10 * retries > 8 * met, "seed {seed}: {retries} for {met}");
    }
}

#[tokio::test]
async fn the_stack_keeps_what_object_stores_promise() {
    let (layer, _, stores) = stacked(0, FaultRates::default());
    let store = layer.store();
    let path = Path::from("dir/a");
    let created = store.put_opts(&path, "v1".into(), PutMode::Create.into()).await.unwrap();
    let again = store.put_opts(&path, "v2".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    let update = |put: object_store::PutResult| PutOptions::from(PutMode::Update(put.into()));
    let stale = update(created.clone());
    let updated = store.put_opts(&path, "v2".into(), update(created)).await.unwrap();
    let lost = store.put_opts(&path, "v3".into(), stale).await;
    assert!(matches!(lost, Err(Error::Precondition { .. })));

    let if_match = GetOptions { if_match: updated.e_tag.clone(), ..GetOptions::default() };
    assert_eq!(store.get_opts(&path, if_match).await.unwrap().bytes().await.unwrap(), "v2");
    let if_match = GetOptions { if_match: Some("other".into()), ..GetOptions::default() };
    let error = store.get_opts(&path, if_match).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }));
    let none_match = GetOptions { if_none_match: updated.e_tag, ..GetOptions::default() };
    let error = store.get_opts(&path, none_match).await.unwrap_err();
    assert!(matches!(error, Error::NotModified { .. }));

    for range in [GetRange::Bounded(0..1), GetRange::Offset(1), GetRange::Suffix(1)] {
        let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
        let got = store.get_opts(&path, options).await.unwrap();
        assert_eq!((got.range.end - got.range.start, got.meta.size), (1, 2), "{range:?}");
        assert_eq!(got.bytes().await.unwrap().len(), 1);
    }
    let beyond = GetOptions { range: Some(GetRange::Offset(9)), ..GetOptions::default() };
    assert!(store.get_opts(&path, beyond).await.is_err());
    assert_eq!(store.get_ranges(&path, &[0..1, 1..2]).await.unwrap(), ["v", "2"]);
    let empty = Path::from("empty");
    store.put(&empty, PutPayload::new()).await.unwrap();
    assert_eq!(store.get(&empty).await.unwrap().bytes().await.unwrap(), "");
    assert!(stores.meter().by_operation().values().all(|counts| counts.retries == 0));
    assert_eq!(stores.meter().of(Operation::Put).requests, 5);
}

#[tokio::test]
async fn the_stack_lists_and_deletes_as_object_stores_do() {
    let (layer, _, _) = stacked(0, FaultRates::default());
    let store = layer.store();
    let all = ["a", "dir/a", "dir/b", "dir/sub/c", "dirt"].map(Path::from);
    for path in &all {
        store.put(path, "x".into()).await.unwrap();
    }
    let listed = |prefix: Option<&str>, offset: Option<&str>| {
        let prefix = prefix.map(Path::from);
        let listed = match offset {
            None => store.list(prefix.as_ref()),
            Some(offset) => store.list_with_offset(prefix.as_ref(), &Path::from(offset)),
        };
        async move {
            let listed = listed.map_ok(|object| object.location.to_string());
            listed.try_collect::<Vec<String>>().await.unwrap()
        }
    };
    assert_eq!(listed(None, None).await.len(), all.len());
    assert_eq!(listed(Some("dir"), None).await, ["dir/a", "dir/b", "dir/sub/c"]);
    assert_eq!(listed(Some("dir"), Some("dir/a")).await, ["dir/b", "dir/sub/c"], "exclusive");
    assert_eq!(listed(None, Some("dir/bb")).await, ["dir/sub/c", "dirt"]);
    assert!(listed(Some("none"), None).await.is_empty());
    let level = store.list_with_delimiter(Some(&Path::from("dir"))).await.unwrap();
    assert_eq!(level.common_prefixes, [Path::from("dir/sub")]);
    assert_eq!(level.objects.len(), 2);

    let deleted = store.delete_stream(futures::stream::iter(all.clone()).map(Ok).boxed());
    assert_eq!(deleted.try_collect::<Vec<_>>().await.unwrap(), all);
    assert!(listed(None, None).await.is_empty());
    assert_eq!(store.delete_stream(futures::stream::empty().boxed()).count().await, 0);
}

#[tokio::test]
async fn parts_of_an_upload_may_be_put_at_once_and_in_any_order() {
    let (layer, faulty, _) = stacked(5, FaultRates::ALL);
    let mut upload = layer.store().put_multipart(&Path::from("up")).await.unwrap();
    let mut parts: Vec<_> = (0..20).map(|n| upload.put_part(vec![n; 10].into())).collect();
    parts.reverse();
    futures::future::try_join_all(parts).await.unwrap();
    upload.complete().await.unwrap();
    let stored = contents(faulty.contents()).await;
    let expected: Vec<u8> = (0..20).flat_map(|n| [n; 10]).collect();
    assert_eq!(stored[&Path::from("up")], expected);
}

fn settings(name: &str, value: &str) -> Result<StoreSettings> {
    StoreSettings::of(&Environment::new([(name.into(), value.into())].into_iter()))
}

#[test]
fn without_variables_requests_are_tried_for_a_minute_and_bandwidth_is_free() {
    let expected = StoreSettings {
        retry_time: Duration::from_secs(60),
        requests_max: 64,
        bandwidth_max: None,
    };
    assert_eq!(StoreSettings::of(&Environment::default()).unwrap(), expected);
}

#[test]
fn variables_that_make_no_sense_are_refused_by_name() {
    let cases = [
        (RETRY_SECONDS, "5s", "expected seconds, found `5s`"),
        (REQUESTS_MAX, "1", "from 2 on, found `1`"),
        (BANDWIDTH_MAX, "fast", "such as `100MiB`"),
        (BANDWIDTH_MAX, "0", "more than none, found `0`"),
    ];
    for (name, value, expected) in cases {
        let error = settings(name, value).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(settings(RETRY_SECONDS, "5").unwrap().retry_time, Duration::from_secs(5));
    let bandwidth_max = settings(BANDWIDTH_MAX, "100MiB").unwrap().bandwidth_max;
    assert_eq!(bandwidth_max.map(NonZeroU64::get), Some(100 << 20));
}
