//! Definitions as Hive and Spark take them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Fields, TimeUnit};

use super::*;
use crate::pipeline::{ParquetOptions, TsvOptions};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("dt", DataType::Date32, true),
        Field::new("order", DataType::Utf8View, true),
        Field::new("back`tick", DataType::UInt32, true),
        Field::new("shop", DataType::Utf8, true),
    ])
}

#[test]
fn a_tsv_table_has_the_row_format_that_its_files_need() {
    let (schema, by) = (schema(), ["dt".to_owned(), "shop".to_owned()]);
    let format = Format::Tsv(TsvOptions::default());
    let root = "file:///out/it's";
    let table = TableDefinition {
        name: "events",
        schema: &schema,
        partition_by: &by,
        format: &format,
        root,
    };
    let nulls = "dt=2026-11-21/shop=__HIVE_DEFAULT_PARTITION__";
    let hive_paths = [nulls, "dt=2026-11-21/shop=a%2Fb %27;${x}"];
    let sql = table.create_sql(&BTreeSet::from(hive_paths)).unwrap();
    let expected = r"CREATE EXTERNAL TABLE IF NOT EXISTS `events` (
  `order` STRING,
  `back``tick` BIGINT
)
PARTITIONED BY (
  `dt` DATE,
  `shop` STRING
)
ROW FORMAT DELIMITED
  FIELDS TERMINATED BY '\t' ESCAPED BY '\\'
  LINES TERMINATED BY '\n'
  NULL DEFINED AS '\\N'
STORED AS TEXTFILE
LOCATION 'file:///out/it\'s'
TBLPROPERTIES ('serialization.escape.crlf' = 'true');
ALTER TABLE `events` ADD IF NOT EXISTS
  PARTITION (`dt` = '2026-11-21', `shop` = 'a/b \'\u003B\u0024{x}') LOCATION \
'file:///out/it\'s/dt=2026-11-21/shop=a%2Fb %27\u003B\u0024{x}';
ALTER TABLE `events` ADD IF NOT EXISTS
  PARTITION (`dt` = '2026-11-21', `shop` = '__HIVE_DEFAULT_PARTITION__') LOCATION \
'file:///out/it\'s/dt=2026-11-21/shop=__HIVE_DEFAULT_PARTITION__';
"
    .replace("\\\n", "");
    assert_eq!(sql, expected);

    let elsewhere = relocated(&sql, root, "hdfs://nn/it's");
    assert!(!elsewhere.contains("file:"), "{elsewhere}");
    assert_eq!(elsewhere.matches("LOCATION 'hdfs://nn/it\\'s").count(), 3);
    assert_eq!(relocated(&elsewhere, "hdfs://nn/it's", root), sql);
    assert_eq!(relocated(&sql, "file:///out/it", "x"), sql, "that is another place");

    let added = table.add_columns_sql(&["order", "dt"]).unwrap().unwrap();
    assert_eq!(added, "ALTER TABLE `events` ADD COLUMNS (\n  `order` STRING\n) CASCADE;\n");
    let changed = table.add_columns_sql(&["order[].price", "orders", "shop"]).unwrap().unwrap();
    assert_eq!(changed, "ALTER TABLE `events` CHANGE COLUMN `order` `order` STRING CASCADE;\n");
    assert_eq!(table.add_columns_sql(&[]).unwrap(), None);
}

#[test]
fn many_partitions_make_statements_of_a_size_that_a_metastore_takes() {
    let (schema, by) = (schema(), ["shop".to_owned()]);
    let format = Format::Parquet(ParquetOptions::default());
    let table = TableDefinition {
        name: "t",
        schema: &schema,
        partition_by: &by,
        format: &format,
        root: "/t",
    };
    let paths: Vec<String> = (0..250).map(|shop| format!("shop={shop:03}")).collect();
    let sql = table.create_sql(&paths.iter().map(String::as_str).collect()).unwrap();
    assert_eq!(sql.matches("ALTER TABLE `t` ADD IF NOT EXISTS\n").count(), 3);
    assert_eq!(sql.matches("\n  PARTITION (`shop` = '").count(), 250);
}

#[test]
fn a_parquet_table_has_a_hive_type_for_each_stored_type() {
    let item = Fields::from(vec![
        Field::new("sku", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(12, 2), true),
    ]);
    let item = Field::new("item", DataType::Struct(item), true);
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, true),
    ]);
    let entries = Field::new("entries", DataType::Struct(entries), false);
    let types = [
        (DataType::Boolean, "BOOLEAN"),
        (DataType::Int8, "TINYINT"),
        (DataType::UInt8, "SMALLINT"),
        (DataType::Int32, "INT"),
        (DataType::UInt64, "BIGINT"),
        (DataType::Float32, "FLOAT"),
        (DataType::Float64, "DOUBLE"),
        (DataType::LargeBinary, "BINARY"),
        (DataType::Timestamp(TimeUnit::Nanosecond, Some("+09:00".into())), "TIMESTAMP"),
        (DataType::Decimal256(38, 10), "DECIMAL(38,10)"),
        (DataType::List(Arc::new(item)), "ARRAY<STRUCT<`sku`: STRING, `price`: DECIMAL(12,2)>>"),
        (DataType::Map(Arc::new(entries), false), "MAP<STRING, BIGINT>"),
    ];
    for (data_type, expected) in types {
        let schema = Schema::new(vec![Field::new("x", data_type, true)]);
        let format = Format::Parquet(ParquetOptions::default());
        let root = "file:///t";
        let table = TableDefinition {
            name: "t",
            schema: &schema,
            partition_by: &[],
            format: &format,
            root,
        };
        let sql = table.create_sql(&BTreeSet::new()).unwrap();
        let expected = format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS `t` (\n  `x` {expected}\n)\n\
             STORED AS PARQUET\nLOCATION 'file:///t';\n"
        );
        assert_eq!(sql, expected);
    }
}
