//! Partition keys as directories: `dt=2026-11-21/service=books`.
//!
//! ```text
//! value      escaped                      directory
//! a/b        a%2Fb                        service=a%2Fb
//! ..         ..                           service=..      (no parent: `service=` leads)
//! NULL, ""   __HIVE_DEFAULT_PARTITION__   service=__HIVE_DEFAULT_PARTITION__
//! ```

use std::fmt::Write;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

use crate::error::{Error, Result};
use crate::sink::text;

/// The directory value of NULL and of the empty string.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Bytes that a file name may have on the file systems in use (ext4, XFS, APFS; HDFS's default).
const NAME_BYTES_MAX: usize = 255;

/// The partition that a row belongs to: column names with values, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(pub Vec<(String, Option<String>)>);

impl PartitionKey {
    /// The directory below the table root: `dt=2026-11-21/service=books`; empty without columns.
    ///
    /// A directory name beyond 255 bytes is an `Error::Data`.
    pub fn hive_path(&self) -> Result<String> {
        let mut path = String::new();
        for (column, value) in &self.0 {
            if !path.is_empty() {
                path.push('/');
            }
            let start = path.len();
            push_escaped(&mut path, column);
            path.push('=');
            match value.as_deref() {
                None | Some("") => path.push_str(DEFAULT_PARTITION),
                Some(value) => push_escaped(&mut path, value),
            }
            let name_bytes = path.len() - start;
            if name_bytes > NAME_BYTES_MAX {
                let begin: String = value.iter().flat_map(|v| v.chars()).take(40).collect();
                return Err(Error::Data(format!(
                    "naming a partition directory after column `{column}`: expected a name of at \
                     most {NAME_BYTES_MAX} bytes, found {name_bytes} for the value that begins \
                     {begin:?}; shorten or filter it in the view"
                )));
            }
        }
        Ok(path)
    }
}

/// `name` with each character that Hive's `FileUtils.escapePathName` escapes as `%XX`, upper case:
/// U+0000 to U+001F, U+007F and `" # % ' * / : = ? [ \ ] ^ {`.
pub fn escape_path_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    push_escaped(&mut escaped, name);
    escaped
}

fn push_escaped(out: &mut String, name: &str) {
    for c in name.chars() {
        if is_escaped(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

fn is_escaped(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f' | '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?')
        || matches!(c, '[' | '\\' | ']' | '^' | '{')
}

/// Whether a column of this stored type can name directories.
///
/// Floats cannot: one number has many texts, and NaN is equal to nothing.
pub(super) fn can_partition(stored: &DataType) -> bool {
    use DataType as T;
    matches!(stored, T::Utf8 | T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Date32)
        || matches!(stored, T::Timestamp(TimeUnit::Microsecond, _) | T::Decimal128(_, _))
}

/// The text of a row's value in a partition column of a stored type; none if it is NULL.
///
/// Dates and timestamps read as Hive writes them: `2026-11-21`, `2026-11-21 13:05:00` (in UTC if
/// they have a zone). A year that Hive's text cannot hold is an `Error::Data`.
pub(super) fn partition_value(
    column: &str,
    array: &dyn Array,
    row: usize,
) -> Result<Option<String>> {
    use DataType as T;
    if array.is_null(row) {
        return Ok(None);
    }
    let mut out = Vec::new();
    let written = match array.data_type() {
        T::Utf8 => return Ok(Some(array.as_string::<i32>().value(row).to_owned())),
        T::Boolean => return Ok(Some(array.as_boolean().value(row).to_string())),
        T::Int8 => return Ok(Some(array.as_primitive::<Int8Type>().value(row).to_string())),
        T::Int16 => return Ok(Some(array.as_primitive::<Int16Type>().value(row).to_string())),
        T::Int32 => return Ok(Some(array.as_primitive::<Int32Type>().value(row).to_string())),
        T::Int64 => return Ok(Some(array.as_primitive::<Int64Type>().value(row).to_string())),
        T::Date32 => text::push_date(&mut out, array.as_primitive::<Date32Type>().value(row)),
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            text::push_timestamp(&mut out, micros)
        }
        T::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            text::push_decimal(&mut out, value, *scale);
            Ok(())
        }
        other => {
            return Err(Error::Bug(format!("partitioning by column `{column}` of type {other}")));
        }
    };
    let doing = || format!("naming a partition directory after column `{column}`");
    written.map_err(|problem| Error::Data(format!("{}: {problem}", doing())))?;
    String::from_utf8(out).map(Some).map_err(|err| Error::Bug(format!("{}: {err}", doing())))
}

#[cfg(test)]
#[path = "hive_path_tests.rs"]
mod tests;
