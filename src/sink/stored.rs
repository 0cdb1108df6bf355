//! The few Arrow types that writers meet: each layout of a type becomes one.
//!
//! | the view yields | stored as |
//! |---|---|
//! | Utf8, LargeUtf8, Utf8View, Null | Utf8 |
//! | Binary, LargeBinary, BinaryView, FixedSizeBinary | Binary |
//! | Int8 to Int64 | the same |
//! | UInt8, UInt16, UInt32, UInt64 | Int16, Int32, Int64, Int64: Hive knows no unsigned integers |
//! | Float16 | Float32 |
//! | Date32, Date64 | Date32 |
//! | Timestamp with a zone | the same instant, µs, UTC; digits beyond are cut toward the epoch |
//! | Timestamp without | the same wall clock, µs, without a zone |
//! | Decimal of any width | Decimal128, if it has at most 38 digits |
//! | lists of all layouts | List of nullable `element` |
//! | dictionaries, run-end encoding | their values |
//!
//! All columns become nullable, so that a table's files do not differ with what a planner can
//! prove.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit,
};

use crate::base::error::{Error, Result};

/// The type that a value of `data_type` is stored as, or why no table can hold it.
pub fn stored_type(data_type: &DataType) -> Result<DataType, String> {
    use DataType as T;
    Ok(match data_type {
        T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 => {
            data_type.clone()
        }
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date32 | T::Date64 => T::Date32,
        T::Timestamp(_, zone) => {
            T::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => stored_decimal(*precision, *scale)?,
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item) => {
            T::List(Arc::new(Field::new("element", stored_type(item.data_type())?, true)))
        }
        T::Struct(fields) if fields.is_empty() => {
            return Err("a struct without fields cannot be stored; drop the column".into());
        }
        T::Struct(fields) => T::Struct(stored_fields(fields)?),
        T::Map(entries, sorted) => T::Map(stored_entries(entries)?, *sorted),
        T::Dictionary(_, values) => stored_type(values)?,
        T::RunEndEncoded(_, values) => stored_type(values.data_type())?,
        T::Time32(_) | T::Time64(_) => {
            return Err("a time of day cannot be stored; cast it to VARCHAR in the view".into());
        }
        T::Interval(_) | T::Duration(_) => {
            return Err("a duration cannot be stored; turn it into a number of seconds or \
                        microseconds in the view"
                .into());
        }
        other => return Err(format!("the type {other} cannot be stored; cast it in the view")),
    })
}

/// The schema in which rows of `schema` are stored, or why not, a sentence a column.
pub fn stored_schema(schema: &Schema) -> Result<SchemaRef, Vec<String>> {
    let mut problems = Vec::new();
    let mut fields = Vec::new();
    for field in schema.fields() {
        match stored_type(field.data_type()) {
            Ok(stored) => fields.push(Field::new(field.name(), stored, true)),
            Err(problem) => problems.push(format!("column `{}`: {problem}", field.name())),
        }
    }
    if problems.is_empty() { Ok(Arc::new(Schema::new(fields))) } else { Err(problems) }
}

/// `array` in its stored type, or in another one that is cheap to keep until a block is written.
pub(crate) fn stored_in_block(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef> {
    match (array.data_type(), field.data_type()) {
        // These are cast once a block, on the threads that encode.
        (DataType::Utf8View, DataType::Utf8) | (DataType::BinaryView, DataType::Binary) => {
            Ok(Arc::clone(array))
        }
        _ => cast_column(array, field),
    }
}

/// `array` cast to its stored type.
///
/// A value that its stored type cannot hold (an unsigned integer above 2^63 - 1, an instant beyond
/// the year 292,000) is an `Error::Data` that names the column.
pub(crate) fn cast_column(array: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, field.data_type(), &exact).map_err(|err| {
        Error::Data(format!(
            "storing column `{}` ({}) as {}: {err}; cast or filter it in the view",
            field.name(),
            array.data_type(),
            field.data_type(),
        ))
    })
}

fn stored_decimal(precision: u8, scale: i8) -> Result<DataType, String> {
    if precision > DECIMAL128_MAX_PRECISION {
        return Err(format!(
            "a decimal of {precision} digits cannot be stored, readers take at most 38; cast it \
             to DECIMAL(38, {scale}) in the view"
        ));
    }
    if scale < 0 || scale.unsigned_abs() > precision {
        return Err(format!(
            "a decimal of scale {scale} and {precision} digits cannot be stored, expected a scale \
             from 0 to the number of digits; cast it in the view"
        ));
    }
    Ok(DataType::Decimal128(precision, scale))
}

fn stored_fields(fields: &Fields) -> Result<Fields, String> {
    let stored = fields.iter().map(|field| {
        let data_type = stored_type(field.data_type());
        let data_type = data_type.map_err(|problem| format!("field `{}`: {problem}", field.name()));
        data_type.map(|data_type| Field::new(field.name(), data_type, true))
    });
    stored.collect()
}

fn stored_entries(entries: &Field) -> Result<FieldRef, String> {
    let DataType::Struct(pair) = entries.data_type() else {
        return Err("a map without entries cannot be stored; drop the column".into());
    };
    let stored = stored_fields(pair)?;
    let [key, value] = &stored[..] else {
        return Err("a map whose entries are no pairs cannot be stored; drop the column".into());
    };
    let key = Field::new("key", key.data_type().clone(), false);
    let value = Field::new("value", value.data_type().clone(), true);
    let pair = DataType::Struct(Fields::from(vec![key, value]));
    Ok(Arc::new(Field::new("key_value", pair, false)))
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
