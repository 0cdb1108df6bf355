//! `CREATE EXTERNAL TABLE` for a published table, in the dialect that Hive and Spark share.

use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};

use crate::error::{Error, Result};
use crate::pipeline::Format;
use crate::sink::stored_type;

/// The statement that makes Hive or Spark see the table at `root`, and, if it has partitions, the
/// one that makes them see those.
///
/// `schema` is the view's without its excluded columns. Columns stand in the order of the files;
/// those of `partition_by` come last, in its order, as Hive wants it. `root` is a URL for Hadoop;
/// a copy of the table elsewhere needs its own. A type that cannot be stored is an `Error::Config`.
pub fn create_table_sql(
    name: &str,
    schema: &Schema,
    partition_by: &[String],
    format: &Format,
    root: &str,
) -> Result<String> {
    let column = |name: &str| -> Result<String> {
        let field = schema.field_with_name(name);
        let field = field.map_err(|err| Error::Bug(format!("defining a table: {err}")))?;
        let stored = stored_type(field.data_type())
            .map_err(|problem| Error::config(format!("column `{name}`: {problem}")))?;
        Ok(format!("  {} {}", quoted(name), hive_type(&stored)?))
    };
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let in_files = names.filter(|name| !partition_by.iter().any(|column| column == name));
    let columns = in_files.map(column).collect::<Result<Vec<_>>>()?.join(",\n");
    let partitions = partition_by.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;

    let table = quoted(name);
    let mut sql = format!("CREATE EXTERNAL TABLE IF NOT EXISTS {table} (\n{columns}\n)\n");
    if !partitions.is_empty() {
        sql.push_str(&format!("PARTITIONED BY (\n{}\n)\n", partitions.join(",\n")));
    }
    sql.push_str(match format {
        Format::Parquet(_) => "STORED AS PARQUET\n",
        Format::Tsv(_) => {
            r"ROW FORMAT DELIMITED
  FIELDS TERMINATED BY '\t' ESCAPED BY '\\'
  LINES TERMINATED BY '\n'
  NULL DEFINED AS '\\N'
STORED AS TEXTFILE
"
        }
    });
    let root = root.replace('\\', "\\\\").replace('\'', "\\'");
    sql.push_str(&format!("LOCATION '{root}'"));
    if let Format::Tsv(_) = format {
        // Without it, line ends inside of texts are read as the letters n and r.
        sql.push_str("\nTBLPROPERTIES ('serialization.escape.crlf' = 'true')");
    }
    sql.push_str(";\n");
    if !partitions.is_empty() {
        sql.push_str(&format!("MSCK REPAIR TABLE {table};\n"));
    }
    Ok(sql)
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn hive_type(stored: &DataType) -> Result<String> {
    use DataType as T;
    Ok(match stored {
        T::Boolean => "BOOLEAN".into(),
        T::Int8 => "TINYINT".into(),
        T::Int16 => "SMALLINT".into(),
        T::Int32 => "INT".into(),
        T::Int64 => "BIGINT".into(),
        T::Float32 => "FLOAT".into(),
        T::Float64 => "DOUBLE".into(),
        T::Utf8 => "STRING".into(),
        T::Binary => "BINARY".into(),
        T::Date32 => "DATE".into(),
        T::Timestamp(_, _) => "TIMESTAMP".into(),
        T::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        T::List(element) => format!("ARRAY<{}>", hive_type(element.data_type())?),
        T::Struct(fields) => {
            let of_field = |field: &FieldRef| {
                Ok(format!("{}: {}", quoted(field.name()), hive_type(field.data_type())?))
            };
            let fields = fields.iter().map(of_field).collect::<Result<Vec<_>>>()?;
            format!("STRUCT<{}>", fields.join(", "))
        }
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) => {
                let types = pair.iter().map(|field| hive_type(field.data_type()));
                format!("MAP<{}>", types.collect::<Result<Vec<_>>>()?.join(", "))
            }
            other => return Err(Error::Bug(format!("a map of {other}"))),
        },
        other => return Err(Error::Bug(format!("{other} is not a stored type"))),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, Fields, TimeUnit};

    use super::*;
    use crate::pipeline::{ParquetOptions, TsvOptions};

    #[test]
    fn a_tsv_table_has_the_row_format_that_its_files_need() {
        let schema = Schema::new(vec![
            Field::new("dt", DataType::Date32, true),
            Field::new("order", DataType::Utf8View, true),
            Field::new("back`tick", DataType::UInt32, true),
        ]);
        let by = ["dt".to_owned()];
        let root = "file:///out/it's";
        let format = Format::Tsv(TsvOptions::default());
        let sql = create_table_sql("events", &schema, &by, &format, root).unwrap();
        let expected = r"CREATE EXTERNAL TABLE IF NOT EXISTS `events` (
  `order` STRING,
  `back``tick` BIGINT
)
PARTITIONED BY (
  `dt` DATE
)
ROW FORMAT DELIMITED
  FIELDS TERMINATED BY '\t' ESCAPED BY '\\'
  LINES TERMINATED BY '\n'
  NULL DEFINED AS '\\N'
STORED AS TEXTFILE
LOCATION 'file:///out/it\'s'
TBLPROPERTIES ('serialization.escape.crlf' = 'true');
MSCK REPAIR TABLE `events`;
";
        assert_eq!(sql, expected);
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
            (
                DataType::List(Arc::new(item)),
                "ARRAY<STRUCT<`sku`: STRING, `price`: DECIMAL(12,2)>>",
            ),
            (DataType::Map(Arc::new(entries), false), "MAP<STRING, BIGINT>"),
        ];
        for (data_type, expected) in types {
            let schema = Schema::new(vec![Field::new("x", data_type, true)]);
            let format = Format::Parquet(ParquetOptions::default());
            let sql = create_table_sql("t", &schema, &[], &format, "file:///t").unwrap();
            let expected = format!(
                "CREATE EXTERNAL TABLE IF NOT EXISTS `t` (\n  `x` {expected}\n)\n\
                 STORED AS PARQUET\nLOCATION 'file:///t';\n"
            );
            assert_eq!(sql, expected);
        }
    }
}
