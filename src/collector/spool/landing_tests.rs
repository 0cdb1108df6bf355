use std::io::Read;
use std::sync::Arc;

use object_store::memory::InMemory;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::base::ids::RandomIds;
use crate::collector::spool::{Append, Entry, EventKeys, Spool, SpoolSettings};

const NOW: i64 = 1_795_235_400_000;

fn open(folder: &TempDir) -> Spool {
    let settings = SpoolSettings {
        collector: "web-1".into(),
        folder: folder.path().join("spool"),
        path: "dt=%Y-%m-%d/hr=%H".into(),
        time_zone: chrono_tz::UTC,
        segment_bytes_max: 1 << 20,
        segment_age_max: Duration::from_secs(60),
        recent_ids_min: 1000,
    };
    Spool::open(settings, Arc::new(RandomIds)).unwrap()
}

fn keys(id: Uuid) -> EventKeys {
    EventKeys { by_id: Some(id), by_text: None }
}

fn append(spool: &mut Spool, number: u64) {
    let id = Uuid::from_u64_pair(5, number);
    let lines = format!("{{\"event_id\":\"{id}\"}}\n").into_bytes();
    let entries = vec![Entry { keys: keys(id), end: lines.len() }];
    spool.append(&Append { lines, entries }, NOW).unwrap();
}

fn landing(spool: &Spool, folder: &TempDir, store: Store) -> Landing {
    let settings = LandingSettings {
        store,
        spool: folder.path().join("spool"),
        recent_ids_min: 2,
        file_mode: 0o640,
    };
    Landing::new(settings, spool.backlog().clone())
}

fn memory() -> (Arc<InMemory>, Store) {
    let store = Arc::new(InMemory::new());
    let place = object_store::path::Path::from("raw");
    (Arc::clone(&store), Store::of(store, place, "s3://lake/raw"))
}

async fn objects(store: &InMemory) -> Vec<(String, String)> {
    use futures::TryStreamExt;
    let mut found = Vec::new();
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    for meta in listed {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        let mut text = String::new();
        zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap();
        found.push((meta.location.to_string(), text));
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_segment_becomes_an_object_of_its_hour_and_leaves_the_disk() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    append(&mut spool, 1);
    append(&mut spool, 2);
    assert!(spool.backlog().bytes() > 0);
    spool.end();
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    let found = objects(&store).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].0.starts_with("raw/dt=2026-11-21/hr=04/web-1-"), "{}", found[0].0);
    assert_eq!(found[0].1.lines().count(), 2);
    assert_eq!(spool.backlog().bytes(), 0);
    drop(spool);
    let spool = open(&folder);
    assert!(spool.backlog().first().is_none());
    assert!(spool.knows(Uuid::from_u64_pair(5, 2)));
}

#[tokio::test]
async fn a_crash_between_the_object_and_the_segments_end_lands_nothing_twice() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    append(&mut spool, 1);
    spool.end();
    let segment = spool.backlog().first().unwrap();
    let kept = fs::read(&segment.path).unwrap();
    landing(&spool, &folder, place.clone()).drain(|_| ()).await.unwrap();
    let before = objects(&store).await;
    // The segment is there again, as if it had not been removed yet.
    fs::write(&segment.path, kept).unwrap();
    drop(spool);
    let spool = open(&folder);
    let was_there = std::sync::Mutex::new(Vec::new());
    let note = |landed: &Result<Landed>| {
        was_there.lock().unwrap().push(landed.as_ref().unwrap().was_there);
    };
    landing(&spool, &folder, place).drain(note).await.unwrap();
    assert_eq!(*was_there.lock().unwrap(), [true]);
    assert_eq!(objects(&store).await, before);
}

#[tokio::test]
async fn what_a_crash_left_of_a_segment_that_had_landed_is_removed_and_does_not_land_again() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    append(&mut spool, 1);
    spool.end();
    let segment = spool.backlog().first().unwrap();
    let bytes = fs::read(&segment.path).unwrap();
    landing(&spool, &folder, place.clone()).drain(|_| ()).await.unwrap();
    drop(spool);
    // It was being removed piece by piece.
    let left = landed_path(&segment.path);
    fs::write(&left, &bytes[..bytes.len() / 2]).unwrap();
    let spool = open(&folder);
    assert!(!left.exists() && spool.backlog().first().is_none());
    assert_eq!(objects(&store).await.len(), 1);
}

#[tokio::test]
async fn a_large_segment_lands_whole_with_and_without_a_hurry() {
    for is_hurried in [false, true] {
        let folder = TempDir::new().unwrap();
        let (store, place) = memory();
        let mut spool = open(&folder);
        let count = 2 * REMOVED_BYTES / 60;
        let mut all = Append::default();
        for number in 0..count {
            let id = Uuid::from_u64_pair(5, number);
            all.lines.extend_from_slice(format!("{{\"event_id\":\"{id}\"}}\n").as_bytes());
            all.entries.push(Entry { keys: keys(id), end: all.lines.len() });
        }
        spool.append(&all, NOW).unwrap();
        spool.end();
        let path = spool.backlog().first().unwrap().path;
        let landing = landing(&spool, &folder, place);
        let segment = spool.backlog().first().unwrap();
        landing.land(&segment, move || is_hurried).await.unwrap();
        let found = objects(&store).await;
        assert_eq!(found[0].1.as_bytes(), all.lines, "hurried: {is_hurried}");
        assert!(!path.exists() && !landed_path(&path).exists());
        assert_eq!(spool.backlog().bytes(), 0);
    }
}

#[tokio::test]
async fn where_another_object_has_the_name_what_it_lacks_lands_under_the_next_one() {
    let one = |number: u64| format!("{{\"event_id\":\"{}\"}}\n", Uuid::from_u64_pair(5, number));
    let packed = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let foreign = b"another".to_vec();
    let cut_off = packed(&(one(1) + &one(2)))[..10].to_vec();
    // What is there, and the events that go under the next name.
    let cases: [(Vec<u8>, &[u64]); 5] = [
        (foreign, &[1, 2]),
        (cut_off, &[1, 2]),
        (packed("{}\n"), &[1, 2]),
        (packed(&one(1)), &[2]),
        // As after a crash after the put, and damage to the segment.
        (packed(&(one(1) + &one(2) + &one(3))), &[]),
    ];
    for (there, expected) in cases {
        let folder = TempDir::new().unwrap();
        let (store, place) = memory();
        let mut spool = open(&folder);
        append(&mut spool, 1);
        append(&mut spool, 2);
        spool.end();
        let segment = spool.backlog().first().unwrap();
        let name = place.path_of(&segment.name.object_name(0)).unwrap();
        store.put(&name, PutPayload::from(there.clone())).await.unwrap();
        let next = place.path_of(&segment.name.object_name(1)).unwrap();
        landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
        let kept = store.get(&name).await.unwrap().bytes().await.unwrap();
        assert_eq!(&kept[..], there, "nothing is overwritten");
        match expected {
            [] => assert!(store.get(&next).await.is_err()),
            expected => {
                let landed = store.get(&next).await.unwrap().bytes().await.unwrap();
                let lines: String = expected.iter().map(|number| one(*number)).collect();
                assert_eq!(unpacked(&landed).unwrap(), lines.as_bytes());
            }
        }
        assert!(!segment.path.exists() && spool.backlog().bytes() == 0);
    }
}

#[tokio::test]
async fn a_segment_that_cannot_land_or_be_read_keeps_no_other_from_landing() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    for number in 0..4 {
        append(&mut spool, number);
        spool.end();
    }
    let landing = landing(&spool, &folder, place.clone());
    let all: Vec<SealedSegment> = (0..4)
        .map(|_| {
            let first = spool.backlog().first().unwrap();
            spool.backlog().postpone(&first);
            first
        })
        .collect();
    // All names of the first one are taken, the second cannot be read, the third one is gone.
    for taken in 0..NAMES_MAX {
        let name = place.path_of(&all[0].name.object_name(taken)).unwrap();
        store.put(&name, PutPayload::from_static(b"another")).await.unwrap();
    }
    fs::remove_file(&all[1].path).unwrap();
    fs::create_dir(&all[1].path).unwrap();
    fs::remove_file(&all[2].path).unwrap();
    let error = landing.drain(|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("move them away"), "{error}");
    let fourth = place.path_of(&all[3].name.object_name(0)).unwrap();
    assert!(store.get(&fourth).await.is_ok());
    assert_eq!((spool.backlog().segments(), spool.backlog().damaged()), (1, 2));
    assert!(all[1].path.with_extension("damaged").exists());
    assert!(all[0].path.exists(), "nothing is lost");
}

#[tokio::test]
async fn local_folders_are_landed_in_too() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    append(&mut spool, 1);
    spool.end();
    let raw = folder.path().join("raw");
    let (_, mut place) = memory();
    place.local = Some(raw.clone());
    let segment = spool.backlog().first().unwrap();
    let kept = fs::read(&segment.path).unwrap();
    landing(&spool, &folder, place.clone()).drain(|_| ()).await.unwrap();
    let hour = raw.join("dt=2026-11-21/hr=04");
    let landed: Vec<_> = fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(landed.len(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&landed[0]), mode(&hour)), (0o640, 0o750), "whatever the process's mask");
    fs::write(&segment.path, kept).unwrap();
    drop(spool);
    let spool = open(&folder);
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    assert_eq!(fs::read_dir(&hour).unwrap().count(), 1);
}

#[tokio::test]
async fn ids_are_kept_up_to_a_bound() {
    let folder = TempDir::new().unwrap();
    let (_, place) = memory();
    let mut spool = open(&folder);
    for number in 0..5 {
        append(&mut spool, number);
        spool.end();
    }
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    let names = fs::read_dir(folder.path().join("spool")).unwrap();
    let ids = names.filter(|name| name.as_ref().unwrap().path().extension().is_some());
    assert_eq!(ids.count(), 2);
}

#[tokio::test]
async fn what_is_damaged_is_landed_as_far_as_it_can_be_read_and_put_aside() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    (0..3).for_each(|number| append(&mut spool, number));
    spool.end();
    let segment = spool.backlog().first().unwrap();
    let mut bytes = fs::read(&segment.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment.path, &bytes).unwrap();
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    assert_eq!(objects(&store).await[0].1.lines().count(), 2);
    assert!(!segment.path.exists());
    assert_eq!(fs::read(segment.path.with_extension("damaged")).unwrap(), bytes);
}

#[tokio::test]
async fn bytes_behind_a_write_that_failed_do_not_land() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    append(&mut spool, 1);
    spool.end();
    let segment = spool.backlog().first().unwrap();
    let bytes = fs::read(&segment.path).unwrap();
    // As if the frame that was refused could not be cut off again.
    fs::write(&segment.path, [&bytes[..], &bytes[..]].concat()).unwrap();
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    assert_eq!(objects(&store).await[0].1.lines().count(), 1);
    assert!(!segment.path.exists());
}

#[tokio::test]
async fn a_disk_that_is_full_of_segments_is_freed_by_landing_them() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    append(&mut spool, 1);
    spool.end();
    let segment = spool.backlog().first().unwrap();
    // A device that is always full stands for the file of ids.
    let ids = folder.path().join("spool").join(segment.name.ids_name());
    std::os::unix::fs::symlink("/dev/full", ids).unwrap();
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    assert_eq!(objects(&store).await.len(), 1);
    assert!(!segment.path.exists(), "its space is free");
    assert_eq!(spool.backlog().bytes(), 0);
}

/// Lines of which each has other bytes, so that they are packed as many blocks.
fn long_lines(count: u64) -> Append {
    let mut all = Append::default();
    let mut random = 1_u64;
    for number in 0..count {
        let id = Uuid::from_u64_pair(5, number);
        let mut text = String::new();
        for _ in 0..20 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text += &format!("{random:016x}");
        }
        let line = format!("{{\"event_id\":\"{id}\",\"x\":\"{text}\"}}\n");
        all.lines.extend_from_slice(line.as_bytes());
        all.entries.push(Entry { keys: keys(id), end: all.lines.len() });
    }
    all
}

#[tokio::test]
async fn of_an_object_that_lost_its_end_only_what_it_lacks_lands_once_more() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    let all = long_lines(4000);
    spool.append(&all, NOW).unwrap();
    spool.end();
    let segment = spool.backlog().first().unwrap();
    let kept = fs::read(&segment.path).unwrap();
    landing(&spool, &folder, place.clone()).drain(|_| ()).await.unwrap();
    let name = object_store::path::Path::from(format!("raw/{}", segment.name.object_name(0)));
    let whole = store.get(&name).await.unwrap().bytes().await.unwrap();
    let damaged = whole.slice(..whole.len() * 2 / 3);
    store.put(&name, damaged.clone().into()).await.unwrap();
    fs::write(&segment.path, kept).unwrap();
    drop(spool);
    let spool = open(&folder);
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    let second = object_store::path::Path::from(format!("raw/{}", segment.name.object_name(1)));
    let second = store.get(&second).await.unwrap().bytes().await.unwrap();
    let first = unpacked_as_far_as_possible(&damaged);
    let first_whole = first.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert!(first_whole > all.lines.len() / 2, "{first_whole} of {}", all.lines.len());
    let both = [&first[..first_whole], &unpacked(&second).unwrap()].concat();
    assert!(both == all.lines, "{} bytes of {}", both.len(), all.lines.len());
}

#[tokio::test]
async fn what_a_crash_left_of_a_landing_goes_with_the_next_try() {
    let folder = TempDir::new().unwrap();
    let (_, mut place) = memory();
    place.local = Some(folder.path().join("raw"));
    let mut spool = open(&folder);
    append(&mut spool, 1);
    spool.end();
    let segment = spool.backlog().first().unwrap();
    let object = folder.path().join("raw").join(segment.name.object_name(0));
    let hour = object.parent().unwrap();
    fs::create_dir_all(hour).unwrap();
    let name = format!(".landing-{}", object.file_name().unwrap().to_str().unwrap());
    fs::write(hour.join(name), "half").unwrap();
    landing(&spool, &folder, place).drain(|_| ()).await.unwrap();
    let left: Vec<PathBuf> = fs::read_dir(hour).unwrap().map(|one| one.unwrap().path()).collect();
    assert_eq!(left, [object]);
}

#[tokio::test]
async fn a_segment_that_somebody_removes_before_it_lands_is_counted_and_keeps_no_other_waiting() {
    let folder = TempDir::new().unwrap();
    let (store, place) = memory();
    let mut spool = open(&folder);
    (1..3).for_each(|number| {
        append(&mut spool, number);
        spool.end();
    });
    fs::remove_file(spool.backlog().first().unwrap().path).unwrap();
    let landing = landing(&spool, &folder, place);
    assert!(landing.drain(|_| ()).await.is_err());
    landing.drain(|_| ()).await.unwrap();
    assert_eq!(objects(&store).await.len(), 1);
    assert_eq!((spool.backlog().segments(), spool.backlog().damaged()), (0, 1));
    drop(spool);
    assert_eq!(open(&folder).backlog().damaged(), 0, "which is told once");
}
