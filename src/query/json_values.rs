//! Values of any type as JSON, for rows that nobody has said can be shown.
//!
//! ```text
//! DECIMAL(38, 4)     12.5000, 1234567890123456789012345678901234.5678
//!                    12.5, "1234567890123456789012345678901234.5678"
//! TIMESTAMP, DATE    "2026-11-21T04:05:00"
//!                    beyond the calendar "9223372036854775807 (Timestamp(s))"
//! DOUBLE             0.1, "NaN"
//! BYTEA              "ff00"
//! MAP                {"1": 2}
//! ```
//!
//! Arrow's own writer makes doubles of decimals, and broken JSON of what it cannot show.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Number, Value};

/// Stands for a value that there is no text for.
const NO_FORM: &str = "(no JSON form)";
/// Digits that each double keeps (`DBL_DIG`).
const DOUBLE_DIGITS: usize = 15;

/// Each row as an object; a column that is NULL is left out.
pub(super) fn rows_as_json(rows: &RecordBatch) -> Vec<Value> {
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    objects(names, rows.columns(), rows.num_rows())
}

fn objects<'n>(
    names: impl Iterator<Item = &'n str>,
    columns: &[ArrayRef],
    rows: usize,
) -> Vec<Value> {
    let mut objects = vec![Map::new(); rows];
    for (name, column) in names.zip(columns) {
        for (object, value) in objects.iter_mut().zip(values(column.as_ref())) {
            if !value.is_null() {
                object.insert(name.to_owned(), value);
            }
        }
    }
    objects.into_iter().map(Value::Object).collect()
}

fn values(array: &dyn Array) -> Vec<Value> {
    let shown = match array.data_type() {
        DataType::Null => Ok(vec![Value::Null; array.len()]),
        DataType::Boolean => Ok(each(array, |row| array.as_boolean().value(row).into())),
        DataType::UInt64 => {
            let numbers = array.as_primitive::<UInt64Type>();
            Ok(each(array, |row| numbers.value(row).into()))
        }
        integer if integer.is_integer() => integers(array),
        float if float.is_floating() => floats(array),
        number if number.is_decimal() => texts(array, decimal),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => strings(array),
        DataType::List(_) => Ok(each(array, |row| list(&array.as_list::<i32>().value(row)))),
        DataType::LargeList(_) => Ok(each(array, |row| list(&array.as_list::<i64>().value(row)))),
        DataType::FixedSizeList(..) => {
            Ok(each(array, |row| list(&array.as_fixed_size_list().value(row))))
        }
        DataType::Struct(_) => Ok(structs(array.as_struct())),
        DataType::Map(..) => Ok(each(array, |row| map(array.as_map(), row))),
        DataType::Dictionary(_, plain) => plain_values(array, plain),
        DataType::RunEndEncoded(_, plain) => plain_values(array, plain.data_type()),
        _ => texts(array, Value::String),
    };
    shown.unwrap_or_else(|_| each(array, |_| NO_FORM.into()))
}

fn each(array: &dyn Array, value: impl Fn(usize) -> Value) -> Vec<Value> {
    let value = |row| if array.is_null(row) { Value::Null } else { value(row) };
    (0..array.len()).map(value).collect()
}

fn list(items: &ArrayRef) -> Value {
    Value::Array(values(items.as_ref()))
}

fn plain_values(array: &dyn Array, plain: &DataType) -> Result<Vec<Value>, ArrowError> {
    Ok(values(cast(array, plain)?.as_ref()))
}

fn integers(array: &dyn Array) -> Result<Vec<Value>, ArrowError> {
    let numbers = cast(array, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    Ok(each(array, |row| numbers.value(row).into()))
}

/// By their shortest digits: a REAL has fewer than the same DOUBLE.
fn floats(array: &dyn Array) -> Result<Vec<Value>, ArrowError> {
    let doubles = cast(array, &DataType::Float64)?;
    let doubles = doubles.as_primitive::<Float64Type>();
    let shown = |row: usize| {
        let double = doubles.value(row);
        match array.data_type() {
            DataType::Float64 => double,
            // Both were the same number before.
            _ => (double as f32).to_string().parse().unwrap_or(double),
        }
    };
    let number = |row| Number::from_f64(shown(row)).map(Value::Number);
    Ok(each(array, |row| number(row).unwrap_or_else(|| doubles.value(row).to_string().into())))
}

/// A number if a double keeps its digits, and its text otherwise.
fn decimal(digits: String) -> Value {
    if let Ok(integer) = digits.parse::<i64>() {
        return integer.into();
    }
    let significant = digits.trim_start_matches(['-', '0', '.']);
    let count = significant.bytes().filter(u8::is_ascii_digit).count();
    let number = digits.parse().ok().filter(|_| count <= DOUBLE_DIGITS);
    match number.and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(digits),
    }
}

fn strings(array: &dyn Array) -> Result<Vec<Value>, ArrowError> {
    let strings = cast(array, &DataType::LargeUtf8)?;
    let strings = strings.as_string::<i64>();
    Ok(each(array, |row| strings.value(row).into()))
}

fn structs(structs: &StructArray) -> Vec<Value> {
    let names = structs.fields().iter().map(|field| field.name().as_str());
    let mut objects = objects(names, structs.columns(), structs.len());
    for (row, object) in objects.iter_mut().enumerate() {
        if structs.is_null(row) {
            *object = Value::Null;
        }
    }
    objects
}

/// Keys that are no texts become some.
fn map(maps: &MapArray, row: usize) -> Value {
    let entries = maps.value(row);
    let keys = values(entries.column(0).as_ref()).into_iter().map(|key| match key {
        Value::String(key) => key,
        other => other.to_string(),
    });
    Value::Object(keys.zip(values(entries.column(1).as_ref())).collect())
}

/// What has a text of its own; an instant or a day beyond the calendar is shown as it is stored.
fn texts(array: &dyn Array, value: impl Fn(String) -> Value) -> Result<Vec<Value>, ArrowError> {
    let options = FormatOptions::default().with_display_error(false);
    let formatter = ArrayFormatter::try_new(array, &options)?;
    let stored = |row: usize| {
        let stored = cast(array, &DataType::Int64).ok()?;
        let number = stored.as_primitive_opt::<Int64Type>()?.value(row);
        Some(format!("{number} ({})", array.data_type()))
    };
    Ok(each(array, |row| match formatter.value(row).try_to_string() {
        Ok(text) => value(text),
        Err(_) => stored(row).unwrap_or_else(|| NO_FORM.to_owned()).into(),
    }))
}

#[cfg(test)]
#[path = "json_values_tests.rs"]
mod tests;
