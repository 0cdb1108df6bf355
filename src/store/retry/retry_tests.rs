use std::sync::atomic::Ordering::Relaxed;

use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, ObjectStoreExt, PutMode, UpdateVersion};

use super::super::faults::{Failure, FaultRates, FaultyStore, InjectedFault};
use super::*;
use crate::base::clock::TestClock;
use crate::store::meter::MeteredStore;

/// A faulty store, and the one that tries it again.
struct Tried {
    faulty: FaultyStore,
    store: RetryStore,
    meter: StoreMeter,
    clock: TestClock,
}

const MINUTE: Duration = Duration::from_secs(60);

fn tried_with(policy: RetryPolicy, make: impl FnOnce(Arc<dyn Clock>) -> FaultyStore) -> Tried {
    let (clock, meter) = (TestClock::default(), StoreMeter::default());
    let faulty = make(Arc::new(clock.clone()));
    let inner = Layer::with_uploads(Arc::new(faulty.clone()));
    let inner = inner.wrap(|inner| MeteredStore::new(inner, meter.clone()));
    let retries = Retries::new(policy, Arc::new(clock.clone()), 1, meter.clone());
    Tried { faulty, store: RetryStore::new(inner, Arc::new(retries)), meter, clock }
}

/// A store that meets these faults, and the object `a`.
async fn tried(faults: impl IntoIterator<Item = InjectedFault>) -> Tried {
    let policy = RetryPolicy::for_time(MINUTE);
    let tried = tried_with(policy, |clock| FaultyStore::scripted(faults, clock));
    tried.faulty.contents().put(&name("a"), "0123456789".into()).await.unwrap();
    tried
}

fn name(text: &str) -> Path {
    Path::from(text)
}

async fn content(tried: &Tried, object: &str) -> Bytes {
    tried.faulty.contents().get(&name(object)).await.unwrap().bytes().await.unwrap()
}

use bytes::Bytes;

const BUSY: InjectedFault = InjectedFault::Before(Failure::Status(503));
const LOST_RESPONSE: InjectedFault = InjectedFault::After(Failure::Reset);

#[test]
fn pauses_are_drawn_below_a_bound_that_doubles_to_15_seconds() {
    let policy = RetryPolicy::for_time(MINUTE);
    let bounds = [1, 2, 3, 7, 8, 9, 40].map(|failures| policy.pause_max_after(failures));
    let millis = [100, 200, 400, 6_400, 12_800, 15_000, 15_000];
    assert_eq!(bounds, millis.map(Duration::from_millis));
    let draw = |seed| {
        let clock = Arc::new(TestClock::default());
        let retries = Retries::new(policy, clock, seed, StoreMeter::default());
        (0..1000).map(|_| retries.draw_pause(MINUTE).as_secs_f64()).collect::<Vec<f64>>()
    };
    let drawn = draw(7);
    let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
    assert!((28.0..32.0).contains(&mean), "{mean}");
    assert!(drawn.iter().all(|pause| (0.0..=60.0).contains(pause)));
    assert!(drawn.iter().any(|pause| *pause < 1.0) && drawn.iter().any(|pause| *pause > 59.0));
    assert_eq!(drawn, draw(7));
    assert_ne!(drawn, draw(8));
}

#[tokio::test]
async fn what_passes_is_tried_again_and_counted() {
    let faults = [408, 429, 500, 502, 503, 504].map(|s| InjectedFault::Before(Failure::Status(s)));
    let lost = [Failure::Reset, Failure::Timeout].map(InjectedFault::Before);
    let tried = tried(faults.into_iter().chain(lost)).await;
    assert_eq!(tried.store.head(&name("a")).await.unwrap().size, 10);
    let counts = tried.meter.of(Operation::Head);
    assert_eq!((counts.requests, counts.retries), (9, 8));
}

#[tokio::test]
async fn what_stays_is_tried_once() {
    let tried = tried([]).await;
    let error = tried.store.get(&name("missing")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let counts = tried.meter.of(Operation::Get);
    assert_eq!((counts.requests, counts.retries), (1, 0));
}

#[tokio::test]
async fn the_pause_that_the_store_asks_for_is_kept() {
    let tried = tried([InjectedFault::Before(Failure::Busy(7))]).await;
    tried.store.head(&name("a")).await.unwrap();
    let waited = tried.clock.now().as_secs_f64();
    assert!((7.0..=7.1).contains(&waited), "{waited}");
}

#[tokio::test]
async fn a_pause_beyond_the_time_that_is_left_is_not_waited_for() {
    let tried = tried([InjectedFault::Before(Failure::Busy(61))]).await;
    let error = tried.store.head(&name("a")).await.unwrap_err().to_string();
    assert!(error.contains("tried once in 0 s"), "{error}");
    assert!(error.contains("asks to be left alone for 61 s"), "{error}");
    assert_eq!(tried.clock.now(), Duration::ZERO);
}

#[tokio::test]
async fn tries_end_with_their_time_and_the_error_says_how_it_was_tried() {
    let rates = FaultRates { before: 100, ..FaultRates::default() };
    let policy = RetryPolicy::for_time(MINUTE);
    let tried = tried_with(policy, |clock| FaultyStore::seeded(3, rates, clock));
    let error = tried.store.head(&name("a")).await.unwrap_err();
    assert_eq!(tried.clock.now(), MINUTE, "the last try is made when the time ends");
    let tries = tried.meter.of(Operation::Head).requests;
    assert!((8..40).contains(&tries), "{tries}");
    let said = error.to_string();
    assert!(said.ends_with(&format!("; tried {tries} times in 60 s")), "{said}");
    assert!(transient(&error).is_some(), "what failed last is still found in it");
}

#[tokio::test]
async fn tries_end_with_their_number_where_pauses_are_short() {
    let policy = RetryPolicy { tries_max: 3, ..RetryPolicy::for_time(MINUTE) };
    let tried = tried_with(policy, |clock| FaultyStore::scripted([BUSY; 3], clock));
    let error = tried.store.head(&name("a")).await.unwrap_err().to_string();
    assert!(error.contains("tried 3 times"), "{error}");
}

#[tokio::test]
async fn without_time_there_is_one_try_and_its_error_as_it_is() {
    let policy = RetryPolicy::for_time(Duration::ZERO);
    let tried = tried_with(policy, |clock| FaultyStore::scripted([BUSY; 3], clock));
    let error = tried.store.head(&name("a")).await.unwrap_err().to_string();
    assert_eq!(error, BUSY_SAID);
    assert_eq!(tried.meter.of(Operation::Head).requests, 1);
}

const BUSY_SAID: &str = "Generic faulty error: HTTP error: the answer was 503: try again";

#[tokio::test]
async fn a_read_goes_on_where_it_broke_off_or_ended_too_early() {
    let tried =
        tried([InjectedFault::Break(4), InjectedFault::Truncate(3), BUSY, InjectedFault::Break(0)])
            .await;
    let got = tried.store.get(&name("a")).await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), "0123456789");
    let counts = tried.meter.of(Operation::Get);
    assert_eq!((counts.requests, counts.retries, counts.bytes), (5, 4, 10));
    tried.faulty.script([Some(InjectedFault::Break(1)), Some(InjectedFault::Truncate(2))]);
    assert_eq!(tried.store.get_range(&name("a"), 2..8).await.unwrap(), "234567");
}

#[tokio::test]
async fn a_read_does_not_go_on_with_another_object() {
    let tried = tried([InjectedFault::Break(4)]).await;
    let mut body = tried.store.get(&name("a")).await.unwrap().into_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "0123");
    tried.faulty.contents().put(&name("a"), "abcdefghij".into()).await.unwrap();
    let error = body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    assert!(body.next().await.is_none(), "a read ends with its error");
}

#[tokio::test]
async fn a_read_that_hardly_moves_is_given_up_and_one_that_moves_is_not() {
    let long = vec![7; 5 << 20];
    let tried = tried([]).await;
    tried.faulty.contents().put(&name("long"), long.clone().into()).await.unwrap();
    tried.faulty.script([Some(InjectedFault::Break(10)); 100]);
    let got = tried.store.get(&name("long")).await.unwrap();
    let error = got.bytes().await.unwrap_err().to_string();
    assert!(error.contains("tried"), "{error}");

    let far = [
        Some(InjectedFault::Break(2 << 20)),
        Some(BUSY),
        Some(BUSY),
        Some(InjectedFault::Break(2 << 20)),
    ];
    let tried = self::tried([]).await;
    tried.faulty.contents().put(&name("long"), long.clone().into()).await.unwrap();
    tried.faulty.script(far);
    let got = tried.store.get(&name("long")).await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), long);
}

#[tokio::test]
async fn a_listing_goes_on_behind_the_last_name() {
    let tried = tried([InjectedFault::Break(2), BUSY, InjectedFault::Break(4)]).await;
    for object in ["b", "c", "d", "e/f"] {
        tried.faulty.contents().put(&name(object), "".into()).await.unwrap();
    }
    let names = |listed: Vec<ObjectMeta>| {
        listed.into_iter().map(|object| object.location.to_string()).collect::<Vec<_>>()
    };
    let listed = tried.store.list(None).try_collect().await.unwrap();
    assert_eq!(names(listed), ["a", "b", "c", "d", "e/f"]);
    assert_eq!(tried.meter.of(Operation::List).retries, 3);
    tried.faulty.script([Some(InjectedFault::Break(3))]);
    let listed = tried.store.list_with_offset(None, &name("b")).try_collect().await.unwrap();
    assert_eq!(names(listed), ["c", "d", "e/f"]);
    tried.faulty.script([Some(BUSY)]);
    let listed = tried.store.list_with_delimiter(None).await.unwrap();
    assert_eq!((listed.objects.len(), listed.common_prefixes.len()), (4, 1));
}

#[tokio::test]
async fn a_listing_without_order_does_not_go_on_since_names_would_be_lost() {
    let tried = tried([BUSY, InjectedFault::Break(2)]).await;
    tried.faulty.lists_backwards.store(true, Relaxed);
    for object in ["b", "c"] {
        tried.faulty.contents().put(&name(object), "".into()).await.unwrap();
    }
    let listed: Vec<_> = tried.store.list(None).collect().await;
    assert!(matches!(&listed[..], [Ok(_), Ok(_), Err(Error::Generic { .. })]), "{listed:?}");
}

async fn put(tried: &Tried, mode: PutMode, bytes: &'static str) -> Result<PutResult> {
    let object = if mode == PutMode::Create { "new" } else { "a" };
    tried.store.put_opts(&name(object), bytes.into(), mode.into()).await
}

#[tokio::test]
async fn a_conditional_put_whose_first_try_was_done_is_our_own_success() {
    let tried = tried([LOST_RESPONSE]).await;
    let done = put(&tried, PutMode::Create, "by run 1").await.unwrap();
    let stored = tried.faulty.contents().head(&name("new")).await.unwrap();
    assert_eq!(done.e_tag, stored.e_tag);

    tried.faulty.script([None, Some(LOST_RESPONSE), None, Some(BUSY)]);
    let e_tag = tried.store.head(&name("a")).await.unwrap().e_tag;
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    let done = put(&tried, mode, "by run 2").await.unwrap();
    let stored = tried.faulty.contents().head(&name("a")).await.unwrap();
    assert_eq!(done.e_tag, stored.e_tag);
    assert_eq!(content(&tried, "a").await, "by run 2");
}

#[tokio::test]
async fn a_conditional_put_that_another_one_preceded_is_refused_also_after_a_retry() {
    for faults in [vec![], vec![InjectedFault::Before(Failure::Status(409))], vec![BUSY, BUSY]] {
        let tried = tried(faults.clone()).await;
        tried.faulty.contents().put(&name("new"), "by run 2".into()).await.unwrap();
        let error = put(&tried, PutMode::Create, "by run 1").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        tried.faulty.script(faults.into_iter().map(Some));
        let stale = UpdateVersion { e_tag: Some("no such tag".into()), version: None };
        let error = put(&tried, PutMode::Update(stale), "by run 1").await.unwrap_err();
        assert!(matches!(error, Error::Precondition { .. }), "{error}");
        assert_eq!(content(&tried, "new").await, "by run 2");
        assert_eq!(content(&tried, "a").await, "0123456789");
    }
}

#[tokio::test]
async fn deletions_are_tried_again_and_what_is_gone_by_then_is_deleted() {
    for (is_like_s3, faults) in
        [(false, vec![LOST_RESPONSE, BUSY]), (true, vec![BUSY, LOST_RESPONSE])]
    {
        let tried = tried(faults).await;
        tried.faulty.is_like_s3.store(is_like_s3, Relaxed);
        let names = ["a", "b", "c"].map(name);
        for object in &names {
            tried.faulty.contents().put(object, "".into()).await.unwrap();
        }
        let asked = futures::stream::iter(names.clone().map(Ok)).boxed();
        let told: Vec<Path> = tried.store.delete_stream(asked).try_collect().await.unwrap();
        assert_eq!(told, names, "is like S3: {is_like_s3}");
        assert_eq!(tried.faulty.contents().list(None).count().await, 0);
    }
}

#[tokio::test]
async fn a_deletion_that_fails_for_good_says_so_for_its_object_alone() {
    let tried = tried([]).await;
    tried.faulty.contents().put(&name("c"), "".into()).await.unwrap();
    let asked = futures::stream::iter(["a", "b", "c"].map(name).map(Ok)).boxed();
    let told: Vec<Result<Path>> = tried.store.delete_stream(asked).collect().await;
    assert!(matches!(&told[..], [Ok(_), Err(Error::NotFound { .. }), Ok(_)]), "{told:?}");

    let policy = RetryPolicy::for_time(MINUTE);
    let rates = FaultRates { before: 100, ..FaultRates::default() };
    let tried = tried_with(policy, |clock| FaultyStore::seeded(3, rates, clock));
    tried.faulty.is_like_s3.store(true, Relaxed);
    let asked = futures::stream::iter(["a", "b", "c"].map(name).map(Ok)).boxed();
    let told: Vec<Result<Path>> = tried.store.delete_stream(asked).collect().await;
    assert!(matches!(&told[..], [Err(Error::Generic { .. })]), "{told:?}");
}

#[tokio::test]
async fn an_upload_gets_over_lost_parts_and_lost_answers() {
    let tried = tried([]).await;
    let (busy, lost_part) = ([Some(BUSY), None], [Some(InjectedFault::Break(2)), None]);
    let lost_response = [Some(LOST_RESPONSE), None];
    tried.faulty.script([busy, lost_part, lost_response, busy].concat());
    tried.faulty.script(lost_response);
    let mut upload = tried.store.put_multipart(&name("up")).await.unwrap();
    for part in ["first ", "second ", "third"] {
        upload.put_part(part.into()).await.unwrap();
    }
    let done = upload.complete().await.unwrap();
    assert_eq!(content(&tried, "up").await, "first second third");
    let stored = tried.faulty.contents().head(&name("up")).await.unwrap();
    assert_eq!(done.e_tag, stored.e_tag);
    assert_eq!(tried.meter.of(Operation::PutPart).retries, 3);
    assert_eq!(tried.meter.of(Operation::CompleteMultipart).retries, 1);
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing_behind() {
    let tried = tried([]).await;
    let mut upload = tried.store.put_multipart(&name("up")).await.unwrap();
    upload.put_part("first".into()).await.unwrap();
    tried.faulty.script([Some(LOST_RESPONSE)]);
    upload.abort().await.unwrap();
    assert_eq!(tried.faulty.uploads_left(), 0);
    assert!(tried.faulty.contents().head(&name("up")).await.is_err());
}

/// Completes an upload by its id, as another process would, of which the response is lost.
async fn complete_by_id(is_like_s3: bool) -> (Tried, Result<PutResult>) {
    let tried = tried([]).await;
    tried.faulty.is_like_s3.store(is_like_s3, Relaxed);
    let id = tried.store.create_multipart(&name("up")).await.unwrap();
    let mut parts = Vec::new();
    for (number, part) in ["first ", "second"].into_iter().enumerate() {
        let part = tried.store.put_part(&name("up"), &id, number, part.into()).await;
        parts.push(part.unwrap());
    }
    tried.faulty.script([Some(LOST_RESPONSE)]);
    let done = tried.store.complete_multipart(&name("up"), &id, parts).await;
    (tried, done)
}

#[tokio::test]
async fn an_upload_by_id_whose_end_was_lost_is_known_by_s3s_tag() {
    let (tried, done) = complete_by_id(true).await;
    assert!(done.unwrap().e_tag.unwrap().ends_with("-2\""));
    assert_eq!(content(&tried, "up").await, "first second");
}

#[tokio::test]
async fn an_upload_by_id_whose_end_was_lost_is_the_callers_to_decide_elsewhere() {
    let (tried, done) = complete_by_id(false).await;
    assert!(matches!(done, Err(Error::NotFound { .. })), "{done:?}");
    assert_eq!(tried.store.head(&name("up")).await.unwrap().size, 12);
}

#[tokio::test]
async fn copies_and_renames_are_tried_again() {
    let tried = tried([BUSY, LOST_RESPONSE, BUSY, LOST_RESPONSE, LOST_RESPONSE]).await;
    tried.store.copy(&name("a"), &name("b")).await.unwrap();
    tried.store.rename(&name("b"), &name("c")).await.unwrap();
    assert_eq!(content(&tried, "c").await, "0123456789");
    assert_eq!(tried.faulty.contents().list(None).count().await, 2);
}

#[tokio::test]
async fn conditions_of_a_read_are_the_stores() {
    let tried = tried([BUSY]).await;
    let e_tag = tried.store.head(&name("a")).await.unwrap().e_tag;
    let matching = GetOptions { if_match: e_tag.clone(), ..GetOptions::default() };
    assert!(tried.store.get_opts(&name("a"), matching).await.is_ok());
    let other = GetOptions { if_none_match: e_tag, ..GetOptions::default() };
    let error = tried.store.get_opts(&name("a"), other).await.unwrap_err();
    assert!(matches!(error, Error::NotModified { .. }), "{error}");
}
