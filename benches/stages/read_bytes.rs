//! Objects on disk → framed lines: reading, decompressing, counting lines.

use std::hint::black_box;
use std::sync::Arc;

use ashiato::internals::CompressionChoice;
use ashiato::internals::{FrameOptions, SourceObject, open_object};
use criterion::{Criterion, Throughput};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;

use crate::input::generate_object;

pub fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a thread");
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let compressions = [
        ("plain", CompressionChoice::None),
        ("gzip", CompressionChoice::Gzip),
        ("zstd", CompressionChoice::Zstd),
    ];
    for (name, compression) in compressions {
        let folder = tempfile::tempdir().expect("a folder");
        let file = generate_object(folder.path(), compression);
        let object = SourceObject {
            location: file.display().to_string(),
            path: Path::from_absolute_path(&file).expect("a name in the store"),
            size: file.metadata().expect("the file").len(),
            e_tag: None,
            partition_values: Vec::new(),
            unreadable: None,
        };
        let read = || {
            let (store, cancel) = (Arc::clone(&store), CancellationToken::new());
            let handle = runtime.handle().clone();
            let framer = open_object(store, &object, FrameOptions::default(), handle, cancel, None);
            let mut framer = framer.expect("the object opens");
            while let Some(framed) = framer.next_framed().expect("the object is whole") {
                black_box(framed);
            }
            framer.bytes()
        };
        let mut group = criterion.benchmark_group("read_bytes");
        group.throughput(Throughput::Bytes(read()));
        group.bench_function(name, |bencher| bencher.iter(read));
        group.finish();
    }
}
