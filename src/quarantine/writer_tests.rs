//! Quarantines in memory and on disk.

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use super::*;
use crate::base::environment::Environment;
use crate::base::location::StoreLocation;
use crate::decode::{Reject, RejectReason};
use crate::store::Stores;

fn record(line: u64, raw: Vec<u8>) -> QuarantineRecord {
    let reject = Reject {
        reason: RejectReason::InvalidJson,
        path: None,
        expected: "one JSON value".to_owned(),
        found: "\"}\"".to_owned(),
        line,
        offset: 0,
        raw: raw.into(),
        bytes_omitted: 0,
    };
    QuarantineRecord::of_line("a.gz", reject)
}

/// Text that does not pack well (SplitMix64, Steele et al. 2014).
fn noise(line: u64, length: u64) -> Vec<u8> {
    let mix = |at: u64| {
        let z = (line * 1_000_003 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 57
    };
    (0..length).map(|at| b' ' + (mix(at) % 90) as u8).collect()
}

fn memory() -> (Arc<InMemory>, Store) {
    let memory = Arc::new(InMemory::new());
    let store = Arc::clone(&memory) as Arc<dyn ObjectStore>;
    (memory, Store::of(store, Path::from("q"), "s3://bucket/q"))
}

async fn read(store: &dyn ObjectStore, file: &QuarantineFile) -> Vec<Value> {
    let packed = store.get(&file.path).await.unwrap().bytes().await.unwrap();
    assert_eq!(packed.len() as u64, file.bytes);
    let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_from_tasks_and_threads_arrive_once_each() {
    let (memory, store) = memory();
    let quarantine = Quarantine::start(store, "shop/20261121/attempt").unwrap();
    let tasks = (0..4_u64).map(|task| {
        let sender = quarantine.sender();
        tokio::spawn(async move {
            for line in 0..100 {
                sender.send(record(task * 100 + line, noise(line, 50))).await.unwrap();
            }
        })
    });
    let threads = (4..8_u64).map(|thread| {
        let sender = quarantine.sender();
        tokio::task::spawn_blocking(move || {
            for line in 0..100 {
                sender.blocking_send(record(thread * 100 + line, b"\xff".to_vec())).unwrap();
            }
        })
    });
    for task in tasks.chain(threads).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let files = quarantine.finish().await.unwrap();
    assert_eq!(files.len(), 1);
    let name = "shop/20261121/attempt/rejects-00000.ndjson.zst";
    assert_eq!(files[0].location, format!("s3://bucket/q/{name}"));
    assert_eq!(files[0].path.as_ref(), format!("q/{name}"));
    assert_eq!(files[0].rejects, 800);
    let mut lines: Vec<u64> =
        read(&*memory, &files[0]).await.iter().map(|r| r["line"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..800).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_a_reject_no_file_is_made() {
    let (memory, store) = memory();
    let quarantine = Quarantine::start(store, "x").unwrap();
    assert!(quarantine.finish().await.unwrap().is_empty());
    let stored: Vec<_> = memory.list(None).try_collect().await.unwrap();
    assert!(stored.is_empty());
}

#[tokio::test]
async fn a_file_that_is_large_enough_is_followed_by_the_next() {
    let (memory, store) = memory();
    let quarantine = Quarantine::start_rolling(store, "x", 100_000).unwrap();
    let sender = quarantine.sender();
    for line in 0..100 {
        sender.send(record(line, noise(line, 10_000))).await.unwrap();
    }
    drop(sender);
    let files = quarantine.finish().await.unwrap();
    assert!(files.len() > 2, "{files:?}");
    let mut lines = Vec::new();
    for (number, file) in files.iter().enumerate() {
        assert!(file.location.ends_with(&format!("/rejects-{number:05}.ndjson.zst")));
        assert!(file.bytes < 500_000, "{file:?}");
        let records = read(&*memory, file).await;
        assert_eq!(records.len() as u64, file.rejects);
        lines.extend(records.iter().map(|record| record["line"].as_u64().unwrap()));
    }
    assert_eq!(lines, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_larger_than_the_room_for_waiting_ones_passes() {
    let (memory, store) = memory();
    let quarantine = Quarantine::start(store, "x").unwrap();
    let sender = quarantine.sender();
    let raw = noise(0, 2 * u64::from(WAITING_BYTES_MAX));
    for line in 0..2 {
        sender.send(record(line, raw.clone())).await.unwrap();
    }
    drop(sender);
    let files = quarantine.finish().await.unwrap();
    let records = read(&*memory, &files[0]).await;
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record["raw"].as_str().unwrap().as_bytes() == raw));
}

#[tokio::test]
async fn senders_wait_while_too_many_bytes_wait() {
    let wait = std::time::Duration::from_secs(3600);
    let config = ThrottleConfig { wait_put_per_call: wait, ..ThrottleConfig::default() };
    let stuck = Arc::new(ThrottledStore::new(InMemory::new(), config));
    let store = Store::of(stuck, Path::default(), "s3://bucket");
    let quarantine = Quarantine::start(store, "x").unwrap();
    let sender = quarantine.sender();
    let mut sent = 0_u64;
    let second = std::time::Duration::from_secs(1);
    loop {
        let record = record(sent, noise(sent, 1 << 20));
        if tokio::time::timeout(second, sender.send(record)).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 60, "nothing stops the sender");
    }
    assert!(sent >= 8, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_whose_place_is_a_file_fails_and_says_so_to_senders() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "a file is no folder").unwrap();
    let location = StoreLocation::parse(file.to_str().unwrap()).unwrap();
    let store = Store::open(&location, &Stores::of_tests(&Environment::default())).unwrap();
    let quarantine = Quarantine::start_rolling(store, "x", 1).unwrap();
    let sender = quarantine.sender();
    let error = tokio::task::spawn_blocking(move || {
        (0..100_000).find_map(|line| sender.blocking_send(record(line, noise(line, 100_000))).err())
    });
    let error = error.await.unwrap().expect("senders are told");
    assert_eq!(error.exit_code(), 78);
    let message = error.to_string();
    assert_eq!(quarantine.finish().await.unwrap_err().to_string(), message);
    let file = format!("writing rejects to {}/x/rejects-00000.ndjson.zst: ", file.display());
    assert!(message.starts_with(&file), "{message}");
}

#[tokio::test]
async fn rejects_on_local_disk_lie_below_the_location() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("quarantine of 足跡");
    let location = StoreLocation::parse(root.to_str().unwrap()).unwrap();
    let store = Store::open(&location, &Stores::of_tests(&Environment::default())).unwrap();
    let quarantine = Quarantine::start(store, "shop/i/a").unwrap();
    quarantine.sender().send(record(1, b"}".to_vec())).await.unwrap();
    let files = quarantine.finish().await.unwrap();
    let path = root.join("shop/i/a/rejects-00000.ndjson.zst");
    assert_eq!(files[0].location, path.to_str().unwrap());
    assert_eq!(std::fs::metadata(path).unwrap().len(), files[0].bytes);
}
