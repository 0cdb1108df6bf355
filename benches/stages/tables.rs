//! Batches → files, and values → directories.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use ashiato::internals::AttemptId;
use ashiato::internals::{EncoderPool, OutputWriter, PartitionKey, WriterOptions};
use ashiato::internals::{
    Format, Output, ParquetCompression, ParquetOptions, ParquetTarget, Table, TsvCompression,
    TsvOptions,
};
use criterion::{Criterion, Throughput};
use datafusion::arrow::array::{Date32Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use crate::input::{action_log_contract, batches, peers_contract};

pub fn bench(criterion: &mut Criterion) {
    let batches_by = |contract| batches(contract).iter().map(as_view).collect::<Vec<_>>();
    let (all, peers) = (batches_by(action_log_contract()), batches_by(peers_contract()));
    let parquet = |compression, target| {
        Format::Parquet(ParquetOptions { compression, target, ..Default::default() })
    };
    let tsv = |compression| Format::Tsv(TsvOptions { compression, ..Default::default() });
    let by_day_and_service: &[&str] = &["dt", "service"];
    let zstd = ParquetCompression::Zstd(1);
    let cases = [
        ("parquet_zstd", parquet(zstd, ParquetTarget::Spark), by_day_and_service),
        ("parquet_zstd/one_partition", parquet(zstd, ParquetTarget::Spark), &[]),
        ("parquet_zstd/hive2", parquet(zstd, ParquetTarget::Hive2), by_day_and_service),
        (
            "parquet_uncompressed",
            parquet(ParquetCompression::Uncompressed, ParquetTarget::Spark),
            by_day_and_service,
        ),
        ("peers_job", parquet(zstd, ParquetTarget::DuckDb), by_day_and_service),
        ("tsv", tsv(TsvCompression::Uncompressed), by_day_and_service),
        ("tsv_gzip", tsv(TsvCompression::Gzip), by_day_and_service),
    ];
    for (name, format, partition_by) in cases {
        let batches = if name == "peers_job" { &peers } else { &all };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let output = output(format, partition_by);
        let mut group = criterion.benchmark_group("tables");
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(name, |bencher| bencher.iter(|| write(&output, batches)));
        group.finish();
    }
    bench_hive_paths(criterion);
}

/// The columns that a table can have without further ado, and the day.
fn as_view(logs: &RecordBatch) -> RecordBatch {
    let schema = logs.schema();
    let flat = schema.fields().iter().zip(logs.columns());
    let flat = flat.filter(|(field, _)| !field.data_type().is_nested());
    let (mut fields, mut columns): (Vec<_>, Vec<_>) =
        flat.map(|(field, column)| (Arc::clone(field), Arc::clone(column))).unzip();
    fields.push(Arc::new(Field::new("dt", DataType::Date32, true)));
    columns.push(Arc::new(Date32Array::from(vec![20_778; logs.num_rows()])));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns fit")
}

fn output(format: Format, partition_by: &[&str]) -> Output {
    Output {
        name: "events".to_owned(),
        view: "events".to_owned(),
        tables: vec![Table { location: "events".to_owned(), format }],
        partition_by: partition_by.iter().map(|column| (*column).to_owned()).collect(),
        keep_partition_columns: false,
        sort_by: Vec::new(),
        grain: None,
        exclude: Vec::new(),
        on_schema_change: Default::default(),
        expectations: Vec::new(),
        place: (1, 1),
    }
}

fn write(output: &Output, batches: &[RecordBatch]) {
    // Memory, where there is a file system in it: how long a disk syncs is no figure of ours.
    let in_memory = Path::new("/dev/shm");
    let staging = match in_memory.is_dir() {
        true => tempfile::tempdir_in(in_memory),
        false => tempfile::tempdir(),
    };
    let staging = staging.expect("a folder");
    let attempt = AttemptId::new("1");
    let options =
        WriterOptions { open_writers_max: 64, buffered_bytes_max: 128 << 20, footer: Vec::new() };
    let pool = EncoderPool::new(1).expect("a thread");
    let folder = staging.path().to_owned();
    let writer = OutputWriter::new(output, &batches[0].schema(), folder, attempt, &options, pool);
    let mut writer = writer.expect("a right output");
    for batch in batches {
        assert!(writer.write(batch).expect("writing").is_empty());
    }
    black_box(writer.finish().expect("ending the files"));
}

fn bench_hive_paths(criterion: &mut Criterion) {
    let key = |service: &str| {
        PartitionKey(vec![
            ("dt".to_owned(), Some("2026-11-21".to_owned())),
            ("service".to_owned(), Some(service.to_owned())),
        ])
    };
    let keys = ["books", "ふるさと納税", "a/b=c%d", "..", ""].map(key);
    let mut group = criterion.benchmark_group("tables");
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("hive_path", |bencher| {
        bencher.iter(|| {
            for key in &keys {
                black_box(key.hive_path().expect("a short name"));
            }
        });
    });
    group.finish();
}
