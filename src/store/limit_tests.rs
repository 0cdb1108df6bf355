use futures::future::join_all;
use futures::{FutureExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::*;
use crate::base::clock::TestClock;

async fn limited(requests_max: usize, bandwidth_max: Option<u64>) -> (LimitedStore, TestClock) {
    let memory = InMemory::new();
    for object in ["a", "b", "c"] {
        memory.put(&Path::from(object), vec![7; 5000].into()).await.unwrap();
    }
    let clock = TestClock::default();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let limits = Limits::new(requests_max, bandwidth_max, &shared);
    let inner = Layer::with_uploads(Arc::new(memory));
    (LimitedStore::new(inner, Arc::new(limits)), clock)
}

/// Begins a read if there is a permit for it; the store in memory itself never waits.
fn try_get(store: &LimitedStore) -> Option<BoxStream<'static, Result<Bytes>>> {
    store.get(&Path::from("a")).now_or_never().map(|got| got.unwrap().into_stream())
}

#[tokio::test]
async fn a_read_holds_its_place_until_it_is_read_or_dropped() {
    let (store, _) = limited(8, None).await;
    let mut reads: Vec<_> = (0..7).map(|_| try_get(&store).expect("a permit")).collect();
    assert!(try_get(&store).is_none(), "one permit is kept from reads");
    drop(reads.pop());
    let mut read = try_get(&store).expect("the dropped one's permit");
    assert!(try_get(&store).is_none());
    while read.try_next().await.unwrap().is_some() {}
    assert!(try_get(&store).is_some(), "the permit of one that was read to its end");
    drop(read);
}

#[tokio::test]
async fn a_listing_holds_its_place_until_it_is_read_or_dropped() {
    let (store, _) = limited(2, None).await;
    let mut listing = store.list(None);
    listing.try_next().await.unwrap();
    assert!(try_get(&store).is_none());
    let rest: Vec<_> = listing.by_ref().try_collect().await.unwrap();
    assert_eq!(rest.len(), 2);
    assert!(try_get(&store).is_some());
    let mut after = store.list_with_offset(None, &Path::from("a"));
    assert_eq!(after.try_next().await.unwrap().unwrap().location, Path::from("b"));
    assert!(try_get(&store).is_none());
    drop(after);
    assert!(try_get(&store).is_some());
}

#[tokio::test]
async fn writes_go_on_while_reads_hold_all_places_they_may() {
    let (store, _) = limited(2, None).await;
    let read = try_get(&store).unwrap();
    assert!(try_get(&store).is_none());
    let path = Path::from("up");
    store.put(&path, "x".into()).now_or_never().expect("a permit").unwrap();
    store.head(&path).now_or_never().expect("a permit").unwrap();
    let id = store.create_multipart(&path).now_or_never().expect("a permit").unwrap();
    store.put_part(&path, &id, 0, "y".into()).now_or_never().expect("a permit").unwrap();
    store.complete_multipart(&path, &id, vec![]).now_or_never().expect("a permit").unwrap();
    drop(read);
}

#[tokio::test]
async fn many_requests_with_few_places_all_come_to_their_end() {
    let (store, _) = limited(2, Some(1 << 30)).await;
    let work = |number: usize| {
        let store = store.clone();
        async move {
            let path = Path::from(format!("n/{number}"));
            store.put(&path, vec![1; number].into()).await.unwrap();
            let read = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(read.len(), number);
            assert!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len() > 3);
            store.delete(&path).await.unwrap();
        }
    };
    let all = join_all((0..200).map(work).map(tokio::spawn));
    let ended = tokio::time::timeout(Duration::from_secs(20), all).await;
    for task in ended.expect("no request waits for ever") {
        task.unwrap();
    }
}

#[tokio::test]
async fn bytes_wait_for_their_time_in_each_direction() {
    let (store, clock) = limited(64, Some(1000)).await;
    let seconds = || clock.now().as_secs_f64();
    store.put(&Path::from("w"), vec![1; 3000].into()).await.unwrap();
    assert!((2.9..=3.0).contains(&seconds()), "{}", seconds());
    store.get(&Path::from("a")).await.unwrap().bytes().await.unwrap();
    assert!((7.8..=8.0).contains(&seconds()), "{}", seconds());
    let (a, b) = (Path::from("a"), Path::from("b"));
    let (one, two) = tokio::join!(store.get_range(&a, 0..1000), store.get_range(&b, 0..1000));
    assert_eq!((one.unwrap().len(), two.unwrap().len()), (1000, 1000));
    assert!((9.8..=10.0).contains(&seconds()), "both share the line: {}", seconds());
    store.head(&Path::from("a")).await.unwrap();
    let before = seconds();
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 4);
    assert_eq!(seconds(), before, "only objects' bytes are paid for");
}

#[tokio::test]
async fn idle_time_is_no_credit_for_later() {
    let (store, clock) = limited(64, Some(1000)).await;
    clock.sleep(Duration::from_secs(3600)).await;
    let before = clock.now();
    store.put(&Path::from("w"), vec![1; 3000].into()).await.unwrap();
    assert!(clock.now() - before >= Duration::from_millis(2900));
}
