use tempfile::TempDir;

use super::*;
use crate::base::clock::TestWallClock;

const TTL: Duration = Duration::from_millis(4000);

fn open(folder: &TempDir, clock: &TestWallClock) -> EmbeddedVisitStore {
    try_open(folder, clock).unwrap()
}

fn try_open(folder: &TempDir, clock: &TestWallClock) -> Result<EmbeddedVisitStore> {
    let folder = folder.path().join("visits");
    EmbeddedVisitStore::open(settings(folder), Arc::new(clock.clone()))
}

fn settings(folder: PathBuf) -> EmbeddedSettings {
    EmbeddedSettings {
        folder,
        record_ttl: TTL,
        size_bytes_max: 1 << 30,
        cache_bytes_max: 1 << 20,
        expiry_delay: Duration::ZERO,
        damaged: Arc::default(),
    }
}

fn id(number: u64) -> VisitorId {
    VisitorId::from_u64_pair(1, number)
}

fn swap(visitor: u64, expected: Option<&str>, new: &str) -> Swap {
    let expected = expected.map(|text| StoredRecord::copy_from_slice(text.as_bytes()));
    Swap {
        visitor: id(visitor),
        expected,
        new: StoredRecord::copy_from_slice(new.as_bytes()),
        ttl: TTL,
    }
}

#[tokio::test]
async fn a_record_changes_only_if_it_is_what_was_read() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let store = open(&folder, &clock);
    let swaps =
        [swap(1, None, "a"), swap(1, None, "b"), swap(1, Some("a"), "c"), swap(2, Some("x"), "y")];
    let outcomes = store.swap(&swaps).await.unwrap();
    use Swapped::{Conflict, Stored};
    assert_eq!(outcomes, [Stored, Conflict, Stored, Conflict]);
    assert_eq!(
        store.load(&[id(2), id(1)]).await.unwrap(),
        [None, Some(StoredRecord::from_static(b"c"))]
    );
}

#[tokio::test]
async fn records_are_there_after_the_process_is_gone() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let store = open(&folder, &clock);
    store.swap(&[swap(1, None, "a")]).await.unwrap();
    let error = try_open(&folder, &clock).unwrap_err();
    assert!(error.to_string().contains("one collector has one folder"), "{error}");
    drop(store);
    assert_eq!(
        open(&folder, &clock).load(&[id(1)]).await.unwrap(),
        [Some(StoredRecord::from_static(b"a"))]
    );
}

#[tokio::test]
async fn records_last_at_least_their_time_and_are_gone_soon_after() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(999));
    let store = open(&folder, &clock);
    store.swap(&[swap(1, None, "a"), swap(2, None, "b")]).await.unwrap();
    clock.set(3000);
    store.swap(&[swap(2, Some("b"), "c")]).await.unwrap();
    clock.set(4998);
    store.sweep().await.unwrap();
    assert_eq!(store.load(&[id(1)]).await.unwrap(), [Some(StoredRecord::from_static(b"a"))]);
    clock.set(6000);
    store.sweep().await.unwrap();
    assert_eq!(
        store.load(&[id(1), id(2)]).await.unwrap(),
        [None, Some(StoredRecord::from_static(b"c"))]
    );
    drop(store);
    let store = open(&folder, &clock);
    assert_eq!(
        store.load(&[id(1), id(2)]).await.unwrap(),
        [None, Some(StoredRecord::from_static(b"c"))]
    );
}

#[tokio::test]
async fn a_clock_that_steps_back_hides_no_record() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(9000));
    let store = open(&folder, &clock);
    store.swap(&[swap(1, None, "a")]).await.unwrap();
    clock.set(1000);
    store.swap(&[swap(1, Some("a"), "b")]).await.unwrap();
    assert_eq!(store.load(&[id(1)]).await.unwrap(), [Some(StoredRecord::from_static(b"b"))]);
}

#[tokio::test]
async fn pages_hold_each_record_once_and_as_it_is_now() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let store = open(&folder, &clock);
    for (now_ms, visitors) in [(0, 0..60), (1000, 30..90), (2000, 50..100)] {
        clock.set(now_ms);
        for visitor in visitors {
            let found = store.load(&[id(visitor)]).await.unwrap().remove(0);
            let new = format!("{visitor} at {now_ms}").into_bytes();
            let swap = Swap { visitor: id(visitor), expected: found, new: new.into(), ttl: TTL };
            assert_eq!(store.swap(&[swap]).await.unwrap(), [Swapped::Stored]);
        }
    }
    for limit in [1, 7, 100, 1000] {
        let (mut from, mut seen) = (None, Vec::new());
        loop {
            let page = store.scan(from.as_deref(), limit).await.unwrap();
            seen.extend(page.records);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let ids: Vec<VisitorId> = seen.iter().map(|(visitor, _)| *visitor).collect();
        assert_eq!(ids, (0..100).map(id).collect::<Vec<_>>(), "{limit}");
        assert_eq!(&seen[55].1[..], b"55 at 2000");
        assert_eq!(&seen[40].1[..], b"40 at 1000");
    }
}

#[tokio::test]
async fn records_that_are_no_longer_in_memory_are_read_from_disk() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let store = open(&folder, &clock);
    for block in 0..5 {
        let visitors = block * 20_000..(block + 1) * 20_000;
        let swaps: Vec<Swap> = visitors.map(|n| swap(n, None, &n.to_string())).collect();
        store.swap(&swaps).await.unwrap();
    }
    for visitor in (0..100_000).step_by(1111) {
        let found = store.load(&[id(visitor)]).await.unwrap();
        assert_eq!(found, [Some(StoredRecord::from(visitor.to_string()))], "{visitor}");
    }
    let slot = store.opened.lock().unwrap();
    let present = &slot.as_ref().unwrap().present;
    let count = (0..100_000).filter(|visitor| present.get(&id(*visitor)).is_some()).count();
    assert!(count > 0 && count <= (1 << 20) / PRESENT_OVERHEAD, "{count}");
}

#[tokio::test]
async fn large_records_take_no_more_memory_than_small_ones() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let store = open(&folder, &clock);
    let large = "x".repeat(20_000);
    let swaps: Vec<Swap> = (0..500).map(|n| swap(n, None, &large)).collect();
    store.swap(&swaps).await.unwrap();
    {
        let slot = store.opened.lock().unwrap();
        let present = &slot.as_ref().unwrap().present;
        let count = (0..500).filter(|visitor| present.get(&id(*visitor)).is_some()).count();
        assert!(count > 0 && count * large.len() <= 1 << 20, "{count}");
    }
    let found = store.load(&[id(0)]).await.unwrap();
    assert_eq!(found, [Some(StoredRecord::from(large))], "the others are on disk");
}

#[tokio::test]
async fn a_clock_that_is_a_year_ahead_for_a_moment_drops_no_record() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let folder = folder.path().join("visits");
    let settings = EmbeddedSettings { expiry_delay: Duration::from_secs(600), ..settings(folder) };
    let store = EmbeddedVisitStore::open(settings, Arc::new(clock.clone())).unwrap();
    store.swap(&[swap(1, None, "a")]).await.unwrap();
    clock.set(365 * 24 * 3_600_000);
    store.sweep().await.unwrap();
    clock.set(1);
    store.sweep().await.unwrap();
    assert_eq!(store.load(&[id(1)]).await.unwrap(), [Some(StoredRecord::from_static(b"a"))]);
    assert!(store.over_since.lock().unwrap().is_none());
}

#[tokio::test]
async fn a_store_that_outgrows_its_bound_forgets_a_small_part_at_a_time() {
    const BOUND: u64 = 8 << 20;
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let bounded = settings(folder.path().join("visits"));
    let settings = EmbeddedSettings { size_bytes_max: BOUND, ..bounded };
    let store = EmbeddedVisitStore::open(settings, Arc::new(clock.clone())).unwrap();
    let mut random = 1_u64;
    for round in 0..40 {
        let swaps: Vec<Swap> = (0..500)
            .map(|n| {
                // What does not compress.
                let bytes = (0..1000).map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (random >> 56) as u8
                });
                Swap { new: bytes.collect(), ..swap(round * 500 + n, None, "") }
            })
            .collect();
        store.swap(&swaps).await.unwrap();
        let newest = |slot: &Opened| slot.generations.values().next_back().unwrap().clone();
        let newest = newest(store.opened.lock().unwrap().as_ref().unwrap());
        newest.rotate_memtable_and_wait().unwrap();
        store.sweep().await.unwrap();
    }
    let all: Vec<VisitorId> = (0..20_000).map(id).collect();
    let known = store.load(&all).await.unwrap();
    let first = known.iter().position(Option::is_some).unwrap();
    assert!(known[first..].iter().all(Option::is_some), "the oldest go first");
    let kept = (20_000 - first) as u64 * 1000;
    assert!((BOUND / 4..=BOUND).contains(&kept), "{kept} bytes of {BOUND} are kept");
}

/// All files below a folder.
fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

#[tokio::test]
async fn a_store_that_is_damaged_anywhere_is_put_aside_or_read_but_never_keeps_the_collector_out() {
    type SegmentDamage = fn(&std::path::Path);
    let damages: [SegmentDamage; 5] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            fs::write(path, bytes).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
    ];
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(0));
    let store = open(&folder, &clock);
    for number in 0..50 {
        store.swap(&[swap(number, None, &"a".repeat(1000))]).await.unwrap();
    }
    drop(store);
    // A second start makes tables and journals of what was written.
    drop(open(&folder, &clock));
    let visits = folder.path().join("visits");
    let kept: Vec<(PathBuf, Vec<u8>)> = files_below(&visits)
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let mut put_aside = 0;
    for (path, _) in &kept {
        for damage in damages {
            let _ = fs::remove_dir_all(&visits);
            for (path, bytes) in &kept {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            if path.ends_with("lock") {
                continue;
            }
            damage(path);
            let settings = settings(visits.clone());
            let damaged = Arc::clone(&settings.damaged);
            let store = EmbeddedVisitStore::open(settings, Arc::new(clock.clone()))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            // What is only found when it is used is put aside then.
            let _ = store.load(&[id(1)]).await;
            let _ = store.swap(&[swap(99, None, "b")]).await;
            let outcomes = store.swap(&[swap(100, None, "b")]).await.unwrap();
            assert_eq!(outcomes, [Swapped::Stored]);
            put_aside += damaged.load(Relaxed);
            drop(store);
        }
    }
    assert!(put_aside > 0);
    assert!(folder.path().join("visits.damaged").is_dir());
}
