use std::collections::BTreeMap;
use std::fs;

use datafusion::arrow::array::*;
use datafusion::arrow::compute::{
    SortColumn, concat_batches, lexsort_to_indices, take_record_batch,
};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use super::*;
use crate::pipeline::{Format, ParquetOptions, Table, TsvCompression, TsvOptions};

fn output(formats: Vec<Format>, partition_by: &[&str]) -> Output {
    let table = |format: Format| Table { location: format.name().into(), format };
    Output {
        name: "events".into(),
        view: "events".into(),
        tables: formats.into_iter().map(table).collect(),
        partition_by: partition_by.iter().map(|&column| column.to_owned()).collect(),
        keep_partition_columns: false,
        sort_by: vec![],
        exclude: vec![],
        grain: None,
        on_schema_change: Default::default(),
        expectations: vec![],
        place: (1, 1),
    }
}

fn both() -> Vec<Format> {
    let tsv = TsvOptions { compression: TsvCompression::Uncompressed, ..Default::default() };
    vec![Format::Parquet(ParquetOptions::default()), Format::Tsv(tsv)]
}

fn attempt() -> AttemptId {
    AttemptId::new("a1")
}

fn options(open_writers_max: usize, buffered_bytes_max: u64) -> WriterOptions {
    WriterOptions { open_writers_max, buffered_bytes_max, footer: vec![] }
}

fn batch(rows: impl IntoIterator<Item = (Option<String>, i64)>) -> RecordBatch {
    let (keys, ids): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let schema = Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("id", DataType::Int64, false),
    ]);
    let keys: ArrayRef = Arc::new(StringArray::from(keys));
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    RecordBatch::try_new(Arc::new(schema), vec![keys, ids]).unwrap()
}

fn writer(output: &Output, folder: &Path, options: &WriterOptions) -> OutputWriter {
    let schema = batch([]).schema();
    let encoders = EncoderPool::new(2).unwrap();
    OutputWriter::new(output, &schema, folder.to_path_buf(), attempt(), options, encoders).unwrap()
}

/// Ids by hive path, read back from the files and checked against their records.
fn ids_by_path(folder: &Path, files: &[WrittenFile], format: &str) -> BTreeMap<String, Vec<i64>> {
    let mut ids: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.format == format) {
        let path = folder.join(format!("events.{format}")).join(&file.hive_path).join(&file.name);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        assert_eq!(hex::encode(Sha256::digest(&bytes)), file.sha256);
        let read: Vec<i64> = if format == "tsv" {
            String::from_utf8(bytes).unwrap().lines().map(|line| line.parse().unwrap()).collect()
        } else {
            let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap());
            let batches = reader.unwrap().build().unwrap().map(Result::unwrap);
            let ids = batches.flat_map(|batch| {
                assert_eq!(batch.num_columns(), 1, "the partition column is not in the file");
                batch.column(0).as_primitive::<Int64Type>().values().to_vec()
            });
            ids.collect()
        };
        assert_eq!(read.len() as u64, file.rows);
        assert!(file.rows > 0);
        ids.entry(file.hive_path.clone()).or_default().extend(read);
    }
    ids
}

#[test]
fn all_formats_are_written_from_one_pass_with_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    for start in [0, 100] {
        let rows = (start..start + 100).map(|id| (Some(format!("k{}", id % 3)), id));
        assert_eq!(writer.write(&batch(rows)).unwrap(), []);
    }
    assert!(writer.buffered_bytes() > 0);
    let files = writer.finish().unwrap();
    assert_eq!(files.len(), 6);
    let expected: BTreeMap<_, _> = (0..3)
        .map(|k| (format!("key=k{k}"), (0..200).filter(|id| id % 3 == k).collect::<Vec<i64>>()))
        .collect();
    assert_eq!(ids_by_path(folder.path(), &files, "parquet"), expected);
    assert_eq!(ids_by_path(folder.path(), &files, "tsv"), expected);
    assert_eq!(files[0].name, "part-00000-a1.parquet");
}

#[test]
fn a_thousand_partitions_need_eight_writers_and_make_one_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let tsv = TsvOptions { compression: TsvCompression::Uncompressed, ..Default::default() };
    let output = output(vec![Format::Tsv(tsv)], &["key"]);
    let mut writer = writer(&output, folder.path(), &options(8, 1 << 30));
    let mut refused = Vec::new();
    for turn in 0..5 {
        let rows = (0..1000).map(|i| (Some(format!("k{:03}", i * 7 % 1000)), turn * 1000 + i));
        refused.extend(writer.write(&batch(rows)).unwrap());
        assert!(writer.open_partitions() <= 8);
    }
    refused.extend(writer.close_open().unwrap());
    assert_eq!(writer.open_partitions(), 0);
    assert_eq!(refused.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [992; 5]);
    let refused = concat_batches(&batch([]).schema(), &refused).unwrap();
    let sort = [SortColumn { values: refused.column(0).clone(), options: None }];
    let order = lexsort_to_indices(&sort, None).unwrap();
    let sorted = take_record_batch(&refused, &order).unwrap();
    for start in (0..sorted.num_rows()).step_by(77) {
        let rows = 77.min(sorted.num_rows() - start);
        writer.write_sorted(&sorted.slice(start, rows)).unwrap();
        assert!(writer.open_partitions() <= 1);
    }
    let files = writer.finish().unwrap();
    assert_eq!(files.len(), 1000);
    let names: BTreeSet<&String> = files.iter().map(|file| &file.name).collect();
    assert_eq!(names.len(), 1000, "no name comes twice");
    let ids = ids_by_path(folder.path(), &files, "tsv");
    assert!(ids.values().all(|ids| ids.len() == 5));
    assert_eq!(ids.values().flatten().sum::<i64>(), 4999 * 5000 / 2);
}

#[test]
fn files_roll_at_their_target_size() {
    let folder = tempfile::tempdir().unwrap();
    let tsv = TsvOptions { compression: TsvCompression::Uncompressed, file_bytes_target: 10_000 };
    let parquet = ParquetOptions {
        file_bytes_target: 30_000,
        row_group_bytes_target: 10_000,
        ..Default::default()
    };
    let formats = vec![Format::Tsv(tsv), Format::Parquet(parquet)];
    let mut writer = writer(&output(formats, &[]), folder.path(), &options(64, 1 << 30));
    for start in 0..400 {
        let rows = (0..100).map(|i| (Some("本".to_owned()), (start * 100 + i) * 999_983));
        assert_eq!(writer.write(&batch(rows)).unwrap(), []);
    }
    let files = writer.finish().unwrap();
    for format in ["tsv", "parquet"] {
        let files: Vec<_> = files.iter().filter(|file| file.format == format).collect();
        assert!(files.len() > 3, "{format}: {}", files.len());
        assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 40_000);
        let target = if format == "tsv" { 10_000 } else { 30_000 };
        for file in &files[..files.len() - 1] {
            assert!(file.bytes < 2 * target, "{file:?}");
            assert!(file.bytes > target / 2, "{file:?}");
        }
        assert!(files.iter().all(|file| file.hive_path.is_empty()));
    }
}

#[test]
fn encoders_give_their_memory_back_when_they_hold_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(vec![Format::Parquet(ParquetOptions::default())], &["key"]);
    let limit = 1 << 20;
    let mut writer = writer(&output, folder.path(), &options(8, limit));
    for turn in 0..200 {
        let rows = (0..2000).map(|i| (Some(format!("k{}", i % 4)), (turn * 2000 + i) * 999_983));
        assert_eq!(writer.write(&batch(rows)).unwrap(), []);
        assert!(writer.buffered_bytes() <= limit, "{}", writer.buffered_bytes());
    }
    let files = writer.finish().unwrap();
    assert_eq!(files.len(), 4, "memory ends row groups, not files");
    let ids = ids_by_path(folder.path(), &files, "parquet");
    assert!(ids.values().all(|ids| ids.len() == 100_000));
}

#[test]
fn compressors_with_much_state_get_fewer_open_writers() {
    let folder = tempfile::tempdir().unwrap();
    let tsv = TsvOptions { compression: TsvCompression::Bzip2, ..Default::default() };
    let output = output(vec![Format::Tsv(tsv)], &["key"]);
    let mut writer = writer(&output, folder.path(), &options(64, 20 << 20));
    let rows = (0..10).map(|i| (Some(format!("k{i}")), i));
    assert_eq!(writer.write(&batch(rows)).unwrap(), []);
    let refused = writer.close_open().unwrap();
    assert_eq!(refused.iter().map(RecordBatch::num_rows).sum::<usize>(), 8);
    assert_eq!(writer.finish().unwrap().len(), 2);
}

#[test]
fn hostile_partition_values_stay_below_the_staging_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    let values = ["../../etc", "a/b", "=", "%", "\0", "😀", "", ".", "..", "a b ", "\n"];
    let rows = (0..).zip(values).map(|(id, value)| (Some(value.to_owned()), id));
    writer.write(&batch(rows.chain([(None, 99)]))).unwrap();
    let files = writer.finish().unwrap();
    let ids = ids_by_path(folder.path(), &files, "tsv");
    assert_eq!(ids["key=__HIVE_DEFAULT_PARTITION__"], [6, 99]);
    assert_eq!(ids["key=..%2F..%2Fetc"], [0]);
    assert_eq!(ids["key=%00"], [4]);
    assert_eq!(ids["key=.."], [8]);
    assert_eq!(ids.len(), values.len());
    assert_eq!(ids_by_path(folder.path(), &files, "parquet"), ids);
}

#[test]
fn rows_of_no_partition_must_be_sorted_out_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    writer.write(&batch([(Some("x".repeat(300)), 1)])).unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert!(error.to_string().contains("column key: expected a directory name"), "{error}");
}

#[test]
fn no_rows_make_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    assert_eq!(writer.write(&batch([])).unwrap(), []);
    writer.write_sorted(&batch([])).unwrap();
    assert_eq!(writer.finish().unwrap(), []);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_staging_folder_that_cannot_be_written_is_worth_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events.parquet"), "in the way").unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    writer.write(&batch([(None, 1)])).unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains("events.parquet"), "{error}");
}

#[test]
fn a_null_and_an_empty_key_far_apart_in_the_sorted_rows_only_make_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    let key = |text: &str| Some(text.to_owned());
    writer.write_sorted(&batch([(key(""), 1), (key("a"), 2)])).unwrap();
    writer.write_sorted(&batch([(None, 3)])).unwrap();
    let files = writer.finish().unwrap();
    let ids = ids_by_path(folder.path(), &files, "tsv");
    assert_eq!(ids["key=__HIVE_DEFAULT_PARTITION__"], [1, 3]);
    assert_eq!(ids["key=a"], [2]);
}

#[test]
fn records_of_files_survive_json() {
    let file = WrittenFile {
        output: "events".into(),
        format: "tsv".into(),
        hive_path: "dt=2026-11-21".into(),
        name: "part-00000-a1.tsv".into(),
        rows: 1,
        bytes: 2,
        sha256: "00".into(),
        upload: None,
    };
    let json = serde_json::to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<WrittenFile>(&json).unwrap(), file);
}

#[test]
fn writers_can_move_to_the_thread_that_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(&output(both(), &["key"]), folder.path(), &options(64, 1 << 30));
    let rows = batch([(None, 1)]);
    let files = std::thread::spawn(move || {
        writer.write(&rows).unwrap();
        writer.finish().unwrap()
    });
    assert_eq!(files.join().unwrap().len(), 2);
}
