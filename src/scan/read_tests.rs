use std::sync::mpsc::channel;
use std::time::Duration;

use object_store::limit::LimitStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Puts an object and lists it.
fn put(runtime: &Runtime, store: &dyn ObjectStore, bytes: &[u8]) -> SourceObject {
    let path = Path::from("dt=2026-11-21/log.gz");
    let meta: ObjectMeta = runtime.block_on(async {
        store.put(&path, bytes.to_vec().into()).await.unwrap();
        store.head(&path).await.unwrap()
    });
    SourceObject {
        location: "s3://logs/dt=2026-11-21/log.gz".into(),
        path,
        size: meta.size,
        e_tag: meta.e_tag,
        partition_values: Vec::new(),
        unreadable: None,
    }
}

/// Reads all bytes, or fails as the store does.
fn read(runtime: &Runtime, store: Arc<dyn ObjectStore>, object: &SourceObject) -> Result<Vec<u8>> {
    let cancel = CancellationToken::new();
    let mut reader = ObjectReader::start(store, object, runtime.handle(), cancel);
    let count = reader.read_bytes();
    let mut bytes = Vec::new();
    match reader.read_to_end(&mut bytes) {
        Ok(_) => {
            assert_eq!(count.get(), bytes.len() as u64);
            Ok(bytes)
        }
        Err(error) => {
            let failed = store_error(&error).expect("all failures are the store's").clone();
            let again = reader.read(&mut [0]).expect_err("a failure is no end");
            assert_eq!(store_error(&again).map(ToString::to_string), Some(failed.to_string()));
            Err(failed)
        }
    }
}

fn unavailable(result: Result<Vec<u8>>) -> String {
    match result {
        Err(Error::Unavailable(message)) => message,
        other => panic!("expected an error that a retry helps, found {other:?}"),
    }
}

/// Bytes that tell where they stand.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 1000 + at) as u8).collect()
}

#[test]
fn an_object_of_any_size_is_read_whole_and_in_order() {
    let runtime = runtime();
    let chunk = CHUNK_BYTES as usize;
    for size in [0, 1, chunk - 1, chunk, chunk + 1, 9 * chunk + 5] {
        let store = Arc::new(InMemory::new());
        let object = put(&runtime, store.as_ref(), &pattern(size));
        assert_eq!(read(&runtime, store, &object).unwrap(), pattern(size));
    }
}

#[test]
fn a_local_file_is_read_by_its_e_tag() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let object = put(&runtime, store.as_ref(), &pattern(3_000_000));
    assert!(object.e_tag.is_some());
    assert_eq!(read(&runtime, store, &object).unwrap(), pattern(3_000_000));
}

#[test]
fn an_object_that_was_overwritten_after_the_listing_is_named_and_a_retry_advised() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let listed = put(&runtime, store.as_ref(), b"old");
    put(&runtime, store.as_ref(), b"new");
    let message = unavailable(read(&runtime, store, &listed));
    assert!(message.starts_with("reading s3://logs/dt=2026-11-21/log.gz: "), "{message}");
    assert!(message.contains("e-tag changed") && message.contains("retry"), "{message}");
}

#[test]
fn an_object_that_vanished_after_the_listing_is_unavailable() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let listed = put(&runtime, store.as_ref(), b"old");
    runtime.block_on(store.delete(&listed.path)).unwrap();
    let message = unavailable(read(&runtime, store, &listed));
    assert!(message.contains("vanished") && message.contains("retry"), "{message}");
}

#[test]
fn an_object_of_another_size_than_listed_is_unavailable_without_an_e_tag_too() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let mut listed = put(&runtime, store.as_ref(), b"12345678");
    listed.e_tag = None;
    for size in [7, 9, 3 * CHUNK_BYTES] {
        listed.size = size;
        let message = unavailable(read(&runtime, store.clone(), &listed));
        assert!(message.contains(&format!("expected {size} bytes as listed")), "{message}");
        assert!(message.contains("found 8 bytes"), "{message}");
    }
}

/// A store whose gets take an hour.
fn stuck_store(store: InMemory) -> Arc<dyn ObjectStore> {
    let wait_get_per_call = Duration::from_secs(3600);
    Arc::new(ThrottledStore::new(
        store,
        ThrottleConfig { wait_get_per_call, ..ThrottleConfig::default() },
    ))
}

#[test]
fn a_cancellation_wakes_a_blocked_reader() {
    let (runtime, store) = (runtime(), InMemory::new());
    let object = put(&runtime, &store, b"bytes");
    let cancel = CancellationToken::new();
    let store = stuck_store(store);
    let mut reader = ObjectReader::start(store, &object, runtime.handle(), cancel.clone());
    let (done, woken) = channel();
    std::thread::spawn(move || done.send(reader.read(&mut [0; 10])));
    let blocked = woken.recv_timeout(Duration::from_millis(100));
    assert!(blocked.is_err(), "the store answers in an hour: {blocked:?}");
    cancel.cancel();
    let read = woken.recv_timeout(Duration::from_secs(4)).expect("the reader wakes");
    let error = read.expect_err("a cancelled read is no end");
    assert!(matches!(store_error(&error), Some(Error::Unavailable(m)) if m.contains("stopped")));
}

#[test]
fn a_cancelled_reader_gives_no_more_than_the_chunk_it_has() {
    let (runtime, store) = (runtime(), Arc::new(InMemory::new()));
    let object = put(&runtime, store.as_ref(), &pattern(8 << 20));
    let cancel = CancellationToken::new();
    let mut reader = ObjectReader::start(store, &object, runtime.handle(), cancel.clone());
    reader.read_exact(&mut [0; 10]).unwrap();
    cancel.cancel();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect_err("a cancelled read is no end");
    assert_eq!(rest.len() as u64, CHUNK_BYTES - 10);
}

#[test]
fn a_runtime_that_ends_is_no_end_of_the_object() {
    let (runtime, store) = (runtime(), InMemory::new());
    let object = put(&runtime, &store, b"bytes");
    let cancel = CancellationToken::new();
    let mut reader = ObjectReader::start(stuck_store(store), &object, runtime.handle(), cancel);
    runtime.shutdown_background();
    let error = reader.read(&mut [0; 10]).expect_err("no byte was read");
    assert!(matches!(store_error(&error), Some(Error::Unavailable(_))));
}

#[test]
fn a_dropped_reader_ends_its_task() {
    let (runtime, store) = (runtime(), InMemory::new());
    let object = put(&runtime, &store, b"bytes");
    let store = stuck_store(store);
    let cancel = CancellationToken::new();
    let reader = ObjectReader::start(store.clone(), &object, runtime.handle(), cancel);
    drop(reader);
    for _ in 0..400 {
        if Arc::strong_count(&store) == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the task still holds the store");
}

#[test]
fn a_reader_that_nobody_reads_leaves_the_places_of_its_gets_to_others() {
    let (runtime, store) = (runtime(), InMemory::new());
    let object = put(&runtime, &store, &pattern(12 << 20));
    let wait_get_per_call = Duration::from_millis(20);
    let slow = ThrottleConfig { wait_get_per_call, ..ThrottleConfig::default() };
    let slow = ThrottledStore::new(store, slow);
    let store: Arc<dyn ObjectStore> = Arc::new(LimitStore::new(slow, 1));
    let cancel = CancellationToken::new();
    let _idle = ObjectReader::start(Arc::clone(&store), &object, runtime.handle(), cancel);
    std::thread::sleep(5 * wait_get_per_call);
    let got = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(4), store.get_range(&object.path, 0..1)).await
    });
    assert!(got.is_ok(), "a get of the idle reader holds the place");
}

#[test]
fn ranges_cover_an_object_once() {
    let ranges: Vec<Range<u64>> = chunk_ranges(2 * CHUNK_BYTES + 1).collect();
    let (one, two) = (CHUNK_BYTES, 2 * CHUNK_BYTES);
    assert_eq!(ranges, [0..one, one..two, two..two + 1]);
    assert_eq!(chunk_ranges(0).count(), 0);
}
