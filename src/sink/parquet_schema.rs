//! The Parquet schema of a table, as its readers need it.
//!
//! | | Spark, Trino, DuckDB | Hive 2, Hive 3 |
//! |---|---|---|
//! | timestamp | INT64, µs | INT96 |
//! | decimal | INT32 to 9 digits, INT64 to 18, else fixed-length bytes | fixed-length bytes |
//! | list | 3 levels, `list.element` | the same |
//!
//! Hive 2.3's own SerDe refuses the forms of the left column (measured). Hive 3 gets INT96 too:
//! that it reads INT64 came with HIVE-21215, which is in Hive 4, and INT96 is what it writes
//! itself.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::parquet::arrow::ArrowSchemaConverter;
use datafusion::parquet::basic::{LogicalType, Type as PhysicalType};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::schema::types::{Type, TypePtr};

use crate::base::error::{Error, Result};
use crate::pipeline::ParquetTarget;

/// Whether the target's timestamps are INT96 and its decimals fixed-length bytes.
pub(crate) fn is_hive(target: ParquetTarget) -> bool {
    match target {
        ParquetTarget::Spark | ParquetTarget::Trino | ParquetTarget::DuckDb => false,
        ParquetTarget::Hive3 | ParquetTarget::Hive2 => true,
    }
}

/// Whether a value of this stored type holds a timestamp below its top level.
pub(crate) fn has_inner_timestamp(stored: &DataType) -> bool {
    let holds =
        |inner: &DataType| matches!(inner, DataType::Timestamp(_, _)) || has_inner_timestamp(inner);
    match stored {
        DataType::List(item) | DataType::Map(item, _) => holds(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds(field.data_type())),
        _ => false,
    }
}

/// The root of the Parquet schema for rows of `stored`.
pub(crate) fn parquet_schema(stored: &Schema, target: ParquetTarget) -> Result<TypePtr> {
    let doing = |err: ParquetError| Error::Bug(format!("making a Parquet schema: {err}"));
    // Coercion gives lists and maps the element names of the specification.
    let converter = ArrowSchemaConverter::new().with_coerce_types(true).schema_root("ashiato");
    let root = converter.convert(stored).map_err(doing)?.root_schema_ptr();
    if !is_hive(target) {
        return Ok(root);
    }
    let fields = stored.fields().iter().zip(root.get_fields());
    let fields = fields.map(|(field, parquet)| match field.data_type() {
        DataType::Timestamp(_, _) => {
            Type::primitive_type_builder(parquet.name(), PhysicalType::INT96)
                .with_repetition(parquet.get_basic_info().repetition())
                .build()
                .map(Arc::new)
        }
        _ => with_fixed_length_decimals(parquet),
    });
    let fields = fields.collect::<Result<Vec<_>, _>>().map_err(doing)?;
    Type::group_type_builder(root.name()).with_fields(fields).build().map(Arc::new).map_err(doing)
}

fn with_fixed_length_decimals(parquet: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = parquet.get_basic_info();
    match parquet.as_ref() {
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(with_fixed_length_decimals);
            Type::group_type_builder(info.name())
                .with_repetition(info.repetition())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_fields(fields.collect::<Result<_, _>>()?)
                .build()
                .map(Arc::new)
        }
        Type::PrimitiveType { precision, scale, .. }
            if matches!(info.logical_type_ref(), Some(LogicalType::Decimal { .. })) =>
        {
            Type::primitive_type_builder(info.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
                .with_repetition(info.repetition())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_length(decimal_bytes(*precision))
                .with_precision(*precision)
                .with_scale(*scale)
                .build()
                .map(Arc::new)
        }
        Type::PrimitiveType { .. } => Ok(Arc::clone(parquet)),
    }
}

/// The fewest bytes whose two's complement holds all integers of `precision` (1 to 38) digits:
/// the least n with 10^precision ≤ 2^(8n - 1), by Parquet's "Logical Types", DECIMAL.
fn decimal_bytes(precision: i32) -> i32 {
    let limit = 10_u128.pow(precision.unsigned_abs());
    (1..16).find(|n| limit <= 1 << (8 * n - 1)).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_take_the_bytes_of_the_parquet_specification() {
        // Hive's and Spark's table of precision to bytes.
        let bytes = [
            1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 8, 8, 9, 9, 9, 10, 10, 11, 11, 11, 12,
            12, 13, 13, 13, 14, 14, 15, 15, 16, 16, 16,
        ];
        let computed: Vec<i32> = (1..=38).map(decimal_bytes).collect();
        assert_eq!(computed, bytes);
    }
}
