//! Each stage of a run by itself, on generated action logs: `make bench`.
//!
//! ```text
//! read_bytes   objects, plain, gzip, zstd → framed lines       GiB/s of decompressed bytes
//! decode       lines → batches                                 GiB/s of decompressed bytes
//! functions    columns → columns, one SQL function each        rows/s
//! tables       batches → Parquet, TSV; hive paths              rows/s
//! ```
//!
//! All of it runs on one thread, so a figure is one of a core.

mod decode;
mod functions;
mod input;
mod read_bytes;
mod tables;

use criterion::{criterion_group, criterion_main};

criterion_group! {
    name = stages;
    config = criterion::Criterion::default().sample_size(20);
    targets = read_bytes::bench, decode::bench, functions::bench, tables::bench
}
criterion_main!(stages);
