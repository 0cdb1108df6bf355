use std::fs::File;

use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::{FieldRef, Fields, Schema, TimeUnit};
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::basic::Type;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::pipeline::ParquetTarget;

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A batch of all stored types, with a NULL in each column.
fn batch() -> RecordBatch {
    let at = vec![Some(1_795_233_900_123_456), None, Some(-1), Some(-62_135_596_800_000_000)];
    let decimal = |precision: u8, scale| {
        let top = 10_i128.pow(u32::from(precision)) - 1;
        let array = Decimal128Array::from(vec![Some(top), None, Some(-top), Some(0)]);
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MIN), Some(0)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(at.clone()).with_timezone("UTC"))),
        ("s", Arc::new(StringArray::from(vec![Some("本"), None, Some(""), Some("x\0y")]))),
        ("items", items()),
        ("local", Arc::new(TimestampMicrosecondArray::from(at))),
        ("d9", decimal(9, 2)),
        ("d18", decimal(18, 0)),
        ("d38", decimal(38, 10)),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("f", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::MAX), Some(-0.0)]))),
        ("dt", Arc::new(Date32Array::from(vec![Some(20_778), None, Some(-1), Some(0)]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(-8), None, Some(8), Some(0)]))),
        ("raw", Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None, Some(b""), Some(b"x")]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

/// A list of structs with a decimal: `[{a, 1.25}, {NULL, NULL}]`, NULL, `[]`, `[NULL]`.
fn items() -> ArrayRef {
    let price = DataType::Decimal128(12, 2);
    let fields = Fields::from(vec![
        Field::new("sku", DataType::Utf8, true),
        Field::new("price", price.clone(), true),
    ]);
    let prices = Decimal128Builder::new().with_data_type(price);
    let children: Vec<Box<dyn ArrayBuilder>> =
        vec![Box::new(StringBuilder::new()), Box::new(prices)];
    let element = StructBuilder::new(fields.clone(), children);
    let field = Field::new("element", DataType::Struct(fields), true);
    let mut list = ListBuilder::new(element).with_field(field);
    let mut push = |sku: Option<&str>, price: Option<i128>, valid: bool| {
        list.values().field_builder::<StringBuilder>(0).unwrap().append_option(sku);
        list.values().field_builder::<Decimal128Builder>(1).unwrap().append_option(price);
        list.values().append(valid);
    };
    push(Some("a"), Some(125), true);
    push(None, None, true);
    list.append(true);
    list.append(false);
    list.append(true);
    list.values().field_builder::<StringBuilder>(0).unwrap().append_null();
    list.values().field_builder::<Decimal128Builder>(1).unwrap().append_null();
    list.values().append(false);
    list.append(true);
    Arc::new(list.finish())
}

fn options(target: ParquetTarget) -> ParquetOptions {
    ParquetOptions { target, ..ParquetOptions::default() }
}

fn write_file(options: &ParquetOptions, batches: &[RecordBatch]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let run = [("ashiato.run_id".to_owned(), "r1".to_owned())];
    let layout = ParquetLayout::new(batches[0].schema(), options, &[], &run).unwrap();
    let mut file = layout.create(path.clone()).unwrap();
    for batch in batches {
        file.write(&layout.block(batch.columns(), batch.num_rows()), None).unwrap();
    }
    let sealed = file.finish().unwrap();
    assert_eq!(sealed.bytes, std::fs::metadata(&path).unwrap().len());
    (folder, path)
}

/// Reads the rows as the types of `schema`, so that INT96 comes as microseconds, not nanoseconds.
fn read_file(path: &Path, schema: SchemaRef) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(&schema));
    let file = File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    datafusion::arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn metadata_of(path: &Path) -> ParquetMetaData {
    SerializedFileReader::new(File::open(path).unwrap()).unwrap().metadata().clone()
}

fn physical_types(path: &Path) -> Vec<(String, Type)> {
    let metadata = metadata_of(path);
    let columns = metadata.file_metadata().schema_descr().columns().iter();
    columns.map(|column| (column.path().string(), column.physical_type())).collect()
}

#[test]
fn spark_trino_and_duckdb_get_int64_timestamps_and_narrow_decimals() {
    for target in [ParquetTarget::Spark, ParquetTarget::Trino, ParquetTarget::DuckDb] {
        let (_folder, path) = write_file(&options(target), &[batch()]);
        let types = physical_types(&path);
        let type_of = |name: &str| types.iter().find(|(path, _)| path == name).unwrap().1;
        assert_eq!(type_of("at"), Type::INT64);
        assert_eq!(type_of("local"), Type::INT64);
        assert_eq!(type_of("d9"), Type::INT32);
        assert_eq!(type_of("d18"), Type::INT64);
        assert_eq!(type_of("d38"), Type::FIXED_LEN_BYTE_ARRAY);
        assert_eq!(type_of("items.list.element.price"), Type::INT64);
        assert_eq!(read_file(&path, batch().schema()), batch());
        // Without the hint: the instant is adjusted to UTC, the wall clock is not.
        let file = File::open(&path).unwrap();
        let schema = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema().clone();
        assert_eq!(schema.field_with_name("at").unwrap().data_type(), &utc());
        assert_eq!(schema.field_with_name("local").unwrap().data_type(), &MICROS);
    }
}

#[test]
fn hive_gets_int96_timestamps_and_fixed_length_decimals_with_equal_values() {
    for target in [ParquetTarget::Hive2, ParquetTarget::Hive3] {
        let (_folder, path) = write_file(&options(target), &[batch(), batch()]);
        let types = physical_types(&path);
        let type_of = |name: &str| types.iter().find(|(path, _)| path == name).unwrap().1;
        assert_eq!(type_of("at"), Type::INT96);
        assert_eq!(type_of("local"), Type::INT96);
        for decimal in ["d9", "d18", "d38", "items.list.element.price"] {
            assert_eq!(type_of(decimal), Type::FIXED_LEN_BYTE_ARRAY, "{decimal}");
        }
        let expected = batch();
        let expected =
            datafusion::arrow::compute::concat_batches(&expected.schema(), [&expected, &expected]);
        // INT96 has no zone: the reader takes both columns for wall clocks.
        let naive = |field: &FieldRef| match field.data_type() {
            DataType::Timestamp(_, _) => Arc::new(field.as_ref().clone().with_data_type(MICROS)),
            _ => Arc::clone(field),
        };
        let schema: Fields = batch().schema().fields().iter().map(naive).collect();
        let schema = Arc::new(Schema::new(schema));
        let read = read_file(&path, Arc::clone(&schema));
        for (read, expected) in read.columns().iter().zip(expected.unwrap().columns()) {
            let expected = datafusion::arrow::compute::cast(expected, read.data_type()).unwrap();
            assert_eq!(read, &expected);
        }
        let group = metadata_of(&path).row_group(0).clone();
        assert!(group.column(1).statistics().is_none());
        assert!(group.column(0).statistics().is_some());
    }
}

#[test]
fn every_decimal_precision_survives_the_fixed_length_form() {
    for precision in 1..=38_u8 {
        let top = 10_i128.pow(u32::from(precision)) - 1;
        let array = Decimal128Array::from(vec![Some(top), Some(-top), None, Some(0), Some(-1)]);
        let array = array.with_precision_and_scale(precision, 1).unwrap();
        let columns = [("d", Arc::new(array) as ArrayRef, true)];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let (_folder, path) =
            write_file(&options(ParquetTarget::Hive2), std::slice::from_ref(&batch));
        assert_eq!(physical_types(&path)[0].1, Type::FIXED_LEN_BYTE_ARRAY);
        assert_eq!(read_file(&path, batch.schema()), batch, "precision {precision}");
    }
}

#[test]
fn the_footer_names_the_program_and_the_run_and_no_arrow_schema() {
    let (_folder, path) = write_file(&options(ParquetTarget::Spark), &[batch()]);
    let metadata = metadata_of(&path);
    let file = metadata.file_metadata();
    assert!(file.created_by().unwrap().starts_with("ashiato version "));
    let footer = file.key_value_metadata().unwrap();
    assert_eq!(footer.len(), 1);
    assert_eq!(footer[0].key, "ashiato.run_id");
    assert_eq!(footer[0].value.as_deref(), Some("r1"));
}

#[test]
fn a_row_group_is_closed_at_its_target() {
    let batches: Vec<RecordBatch> = (0..10).map(|turn| spread_ids(turn * 10_000, 10_000)).collect();
    for target in [ParquetTarget::Spark, ParquetTarget::Hive2] {
        let small = ParquetOptions { row_group_bytes_target: 500_000, ..options(target) };
        let (_folder, path) = write_file(&small, &batches);
        let groups = metadata_of(&path).num_row_groups();
        assert!((2..10).contains(&groups), "{groups}");
        let read = read_file(&path, batches[0].schema());
        let expected = spread_ids(0, 100_000);
        assert_eq!(read, expected);
    }
}

/// Numbers and wall clocks that no dictionary makes small.
fn spread_ids(start: i64, rows: i64) -> RecordBatch {
    let values = (start..start + rows).map(|i| i * 999_983);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(values.clone()));
    let ats: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(values));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("at", ats, true)]).unwrap()
}

#[test]
fn each_codec_is_written_as_asked() {
    for (compression, expected) in [
        (ParquetCompression::Uncompressed, "UNCOMPRESSED"),
        (ParquetCompression::Snappy, "SNAPPY"),
        (ParquetCompression::Zstd(1), "ZSTD"),
    ] {
        for target in [ParquetTarget::Spark, ParquetTarget::Hive2] {
            let asked = ParquetOptions { compression, ..options(target) };
            let (_folder, path) = write_file(&asked, &[batch()]);
            let metadata = metadata_of(&path);
            for column in metadata.row_group(0).columns() {
                let codec = format!("{:?}", column.compression());
                assert!(codec.starts_with(expected), "{codec}");
            }
        }
    }
    let wrong = ParquetOptions { compression: ParquetCompression::Zstd(99), ..Default::default() };
    let error = ParquetLayout::new(batch().schema(), &wrong, &[], &[]).err().unwrap();
    assert_eq!(error.exit_code(), 78);
}
