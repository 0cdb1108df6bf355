//! Rows without a partition of their own, found before they reach a writer.
//!
//! ```text
//! batch     service: books, (300 letters), music     at most 2,048 rows or so
//! glance    the longest value has 300 bytes          lengths only; nearly always the end of it
//! by key    (300 letters): unusable                  as the router does, once a distinct key
//! found     row 1, column `service`: expected a directory name of at most 255 bytes, …
//! ```
//!
//! Where a glance at lengths leaves doubt, because values are long or as long as the name of NULL,
//! their escaped bytes are counted, and only a batch that is still in doubt is looked at by key.

use datafusion::arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Schema, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::sink::hive_path::{
    DEFAULT_PARTITION, HIVE_PATH_BYTES_MAX, NAME_BYTES_MAX, escaped_bytes,
};
use crate::sink::route::{Router, UnusableRows};
use crate::sink::stored::{cast_column, stored_in_block, stored_type};
use crate::sink::text::{has_timestamp_year, has_year};

/// Bytes of the longest text of a number, a date, a truth value or NULL: a decimal of 38 digits
/// with sign, point and leading zero.
const SCALAR_BYTES_MAX: usize = 41;

/// Bytes of an escaped character.
const ESCAPED_BYTES: usize = 3;

/// Finds the rows whose partition keys cannot be hive paths.
pub struct PartitionCheck {
    columns: Vec<KeyColumn>,
    router: Router,
}

struct KeyColumn {
    index: usize,
    stored: FieldRef,
    /// Bytes of `service=`.
    name_bytes: usize,
}

impl PartitionCheck {
    /// A check of rows of `schema`, which holds the columns of `partition_by`.
    pub fn new(schema: &Schema, partition_by: &[String]) -> Result<Self> {
        let bug = |problem: String| Error::Bug(format!("checking partition keys: {problem}"));
        let column = |name: &String| {
            let index = schema.index_of(name).map_err(|err| bug(err.to_string()))?;
            let stored = stored_type(schema.field(index).data_type()).map_err(bug)?;
            let stored = Arc::new(Field::new(name, stored, true));
            Ok(KeyColumn { index, stored, name_bytes: escaped_bytes(name) + 1 })
        };
        let columns = partition_by.iter().map(column).collect::<Result<Vec<_>>>()?;
        let stored: Schema = Schema::new(
            columns.iter().map(|column| Arc::clone(&column.stored)).collect::<Vec<_>>(),
        );
        let router = Router::new(&stored, partition_by)?;
        Ok(PartitionCheck { columns, router })
    }

    /// The rows without a partition, by key, in the order of their first rows; most often none.
    pub fn unusable_rows(&self, batch: &RecordBatch) -> Result<Vec<UnusableRows>> {
        if batch.num_rows() == 0 || self.is_sound(batch)? {
            return Ok(Vec::new());
        }
        let stored = |column: &KeyColumn| cast_column(batch.column(column.index), &column.stored);
        let keys = self.columns.iter().map(stored).collect::<Result<Vec<_>>>()?;
        self.router.unusable_rows(&keys)
    }

    /// Whether all keys of a batch can be hive paths; says no when it is not sure.
    fn is_sound(&self, batch: &RecordBatch) -> Result<bool> {
        let key = |column: &KeyColumn| stored_in_block(batch.column(column.index), &column.stored);
        let keys = self.columns.iter().map(key).collect::<Result<Vec<_>>>()?;
        Ok(self.fits(&keys, bytes_at_most) || self.fits(&keys, bytes_counted))
    }

    /// Whether directories of the longest values fit, each and together.
    fn fits(&self, keys: &[ArrayRef], bytes_of: fn(&ArrayRef) -> Option<usize>) -> bool {
        // A slash stands between two directories.
        let mut path_bytes = self.columns.len().saturating_sub(1);
        for (column, values) in self.columns.iter().zip(keys) {
            let Some(bytes) = bytes_of(values) else { return false };
            if column.name_bytes + bytes > NAME_BYTES_MAX {
                return false;
            }
            path_bytes += column.name_bytes + bytes;
        }
        path_bytes <= HIVE_PATH_BYTES_MAX
    }
}

/// Bytes that no escaped value has more of, found from lengths alone; none if a value may be
/// unusable by itself.
fn bytes_at_most(values: &ArrayRef) -> Option<usize> {
    match values.data_type() {
        // The length stands in a view's low 32 bits.
        DataType::Utf8View => {
            bytes_of_lengths(values.as_string_view().views().iter().map(|view| *view as u32))
        }
        DataType::Utf8 => {
            let ends = values.as_string::<i32>().value_offsets().windows(2);
            bytes_of_lengths(ends.map(|ends| (ends[1] - ends[0]) as u32))
        }
        _ => bytes_of_scalars(values),
    }
}

/// None for values as long as the name of NULL.
fn bytes_of_lengths(lengths: impl Iterator<Item = u32>) -> Option<usize> {
    let (mut longest, mut may_be_null) = (0, false);
    for length in lengths {
        longest = longest.max(length);
        may_be_null |= length as usize == DEFAULT_PARTITION.len();
    }
    let bytes = (longest as usize * ESCAPED_BYTES).max(DEFAULT_PARTITION.len());
    (!may_be_null).then_some(bytes)
}

/// Bytes of the longest escaped value; none if a value is unusable by itself.
fn bytes_counted(values: &ArrayRef) -> Option<usize> {
    fn longest<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Option<usize> {
        let bytes = |text: &str| (text != DEFAULT_PARTITION).then(|| escaped_bytes(text));
        let mut texts = texts.flatten();
        texts.try_fold(DEFAULT_PARTITION.len(), |longest, text| Some(longest.max(bytes(text)?)))
    }
    match values.data_type() {
        DataType::Utf8View => longest(values.as_string_view().iter()),
        DataType::Utf8 => longest(values.as_string::<i32>().iter()),
        _ => bytes_of_scalars(values),
    }
}

/// None for days and instants in years that have no text.
fn bytes_of_scalars(values: &ArrayRef) -> Option<usize> {
    let all_have_years = match values.data_type() {
        DataType::Date32 => all_valid(values.as_primitive::<Date32Type>(), has_year),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            all_valid(values.as_primitive::<TimestampMicrosecondType>(), has_timestamp_year)
        }
        _ => true,
    };
    all_have_years.then_some(SCALAR_BYTES_MAX)
}

pub(crate) fn all_valid<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    is_sound: impl Fn(T::Native) -> bool,
) -> bool {
    // Without a way out of the loop it is vectorised; what lies after a NULL is rarely a fault.
    array.values().iter().fold(true, |all, value| all & is_sound(*value))
        || array.iter().flatten().all(is_sound)
}

#[cfg(test)]
#[path = "partition_check_tests.rs"]
mod tests;
