use std::io::Write;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::runtime::Runtime;

use super::*;
use crate::base::error::Error;
use crate::scan::frame::Framed;

fn put(runtime: &Runtime, store: &InMemory, name: &str, bytes: Vec<u8>) -> SourceObject {
    let path = Path::from(name);
    let size = bytes.len() as u64;
    let put = runtime.block_on(store.put(&path, bytes.into())).unwrap();
    SourceObject {
        location: format!("memory:///{name}"),
        path,
        size,
        e_tag: put.e_tag,
        partition_values: Vec::new(),
        unreadable: None,
    }
}

fn open(runtime: &Runtime, store: &Arc<InMemory>, object: &SourceObject) -> ObjectFramer {
    let (options, cancel) = (FrameOptions::default(), CancellationToken::new());
    open_object(store.clone(), object, options, runtime.handle().clone(), cancel, None).unwrap()
}

fn lines_of(framer: &mut ObjectFramer) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(framed) = framer.next_framed().unwrap() {
        let Framed::Lines(lines) = framed else { panic!("{framed:?}") };
        assert_eq!(lines.first_offset, bytes.len() as u64);
        bytes.extend_from_slice(&lines.bytes);
    }
    bytes
}

#[test]
fn the_magic_number_counts_and_not_the_name() {
    let (runtime, store) = (Runtime::new().unwrap(), Arc::new(InMemory::new()));
    let lines: Vec<u8> =
        (0..300_000).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&lines).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&lines[..], 1).unwrap();
    let objects = [("a.zst", gzip), ("b.json", zstd), ("c.gz", lines.clone())];
    for (name, bytes) in objects {
        let size = bytes.len() as u64;
        let object = put(&runtime, &store, name, bytes);
        let mut framer = open(&runtime, &store, &object);
        assert!(lines_of(&mut framer) == lines, "{name}");
        assert_eq!(framer.compressed_bytes(), size, "{name}");
        assert_eq!(framer.bytes(), lines.len() as u64, "{name}");
        assert_eq!(framer.lines(), 300_000, "{name}");
    }
}

#[test]
fn an_empty_object_has_no_lines() {
    let (runtime, store) = (Runtime::new().unwrap(), Arc::new(InMemory::new()));
    let object = put(&runtime, &store, "empty.gz", Vec::new());
    let mut framer = open(&runtime, &store, &object);
    assert_eq!(framer.next_framed().unwrap(), None);
    assert_eq!((framer.lines(), framer.bytes(), framer.compressed_bytes()), (0, 0, 0));
}

#[test]
fn a_changed_object_is_an_error_and_no_reject() {
    let (runtime, store) = (Runtime::new().unwrap(), Arc::new(InMemory::new()));
    let object = put(&runtime, &store, "log.gz", b"{}\n".to_vec());
    put(&runtime, &store, "log.gz", b"[]\n".to_vec());
    let error = open(&runtime, &store, &object).next_framed().unwrap_err();
    assert!(matches!(&error, Error::Unavailable(m) if m.contains("memory:///log.gz")), "{error}");
}

#[test]
fn a_cancelled_framer_is_an_error_and_no_end() {
    let (runtime, store) = (Runtime::new().unwrap(), Arc::new(InMemory::new()));
    let object = put(&runtime, &store, "log", b"{}\n".to_vec());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let handle = runtime.handle().clone();
    let mut framer =
        open_object(store, &object, FrameOptions::default(), handle, cancel, None).unwrap();
    for _ in 0..2 {
        assert!(matches!(framer.next_framed(), Err(Error::Unavailable(_))));
    }
}
