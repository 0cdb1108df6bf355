//! Partition keys as directories: `dt=2026-11-21/service=books`.
//!
//! ```text
//! value                        escaped                      directory
//! a/b                          a%2Fb                        service=a%2Fb
//! a%2Fb                        a%252Fb                      service=a%252Fb
//! ..                           ..                           service=..  (`service=` leads)
//! NULL, ""                     __HIVE_DEFAULT_PARTITION__   service=__HIVE_DEFAULT_PARTITION__
//! __HIVE_DEFAULT_PARTITION__   -                            none: it would merge with NULL
//! 300 letters                  -                            none: too long for a directory
//! ```
//!
//! Different keys have different paths, but for NULL and the empty string, which Hive does not tell
//! apart. Keys that cannot have a path of their own are values, not errors: [`UnusableKey`].

use std::fmt::{self, Write};

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

use super::text::{self, YearOutOfRange};
use crate::base::error::{Error, Result};

/// The directory value of NULL and of the empty string.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Bytes that a file name may have on the file systems in use (ext4, XFS, APFS; HDFS's default).
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Bytes that a hive path may have.
///
/// Hive's metastore keeps partition names in a `varchar(767)`. Of the 1,024 bytes that S3 gives a
/// key, 767 leave 51 to the file's name and more than 200 to the table's place in its bucket.
pub(crate) const HIVE_PATH_BYTES_MAX: usize = 767;

/// Characters of a value that a message shows.
const SHOWN_CHARS: usize = 40;

/// The partition that a row belongs to: column names with values, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(pub Vec<(String, Option<String>)>);

/// Why a partition key cannot be a hive path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableKey {
    /// The column whose value stands in the way; of a path that is too long, the longest one.
    pub column: String,
    /// `a directory name of at most 255 bytes`
    pub expected: String,
    /// `308 bytes for the value that begins "xxx…"`
    pub found: String,
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: expected {}, found {}", self.column, self.expected, self.found)
    }
}

impl PartitionKey {
    /// The directory below the table root: `dt=2026-11-21/service=books`; empty without columns.
    ///
    /// It has at most 767 bytes, and each directory's name 255.
    pub fn hive_path(&self) -> Result<String, UnusableKey> {
        let mut path = String::new();
        let mut longest = (0, 0);
        for (number, (column, value)) in self.0.iter().enumerate() {
            if !path.is_empty() {
                path.push('/');
            }
            let start = path.len();
            push_escaped(&mut path, column);
            path.push('=');
            match value.as_deref() {
                None | Some("") => path.push_str(DEFAULT_PARTITION),
                Some(DEFAULT_PARTITION) => return Err(taken_for_null(column)),
                Some(value) => push_escaped(&mut path, value),
            }
            let name_bytes = path.len() - start;
            if name_bytes > NAME_BYTES_MAX {
                let expected = format!("a directory name of at most {NAME_BYTES_MAX} bytes");
                return Err(self.too_long(number, expected, name_bytes));
            }
            longest = longest.max((name_bytes, number));
        }
        if path.len() > HIVE_PATH_BYTES_MAX {
            let expected = format!("a hive path of at most {HIVE_PATH_BYTES_MAX} bytes");
            return Err(self.too_long(longest.1, expected, path.len()));
        }
        Ok(path)
    }

    fn too_long(&self, number: usize, expected: String, bytes: usize) -> UnusableKey {
        let (column, value) = &self.0[number];
        let begin: String = value.iter().flat_map(|v| v.chars()).take(SHOWN_CHARS).collect();
        let found = format!("{bytes} bytes for the value that begins {begin:?}");
        UnusableKey { column: column.clone(), expected, found }
    }
}

fn taken_for_null(column: &str) -> UnusableKey {
    UnusableKey {
        column: column.to_owned(),
        expected: "a value that Hive can tell from NULL".to_owned(),
        found: format!("the text {DEFAULT_PARTITION:?}"),
    }
}

/// `name` with each character that Hive's `FileUtils.escapePathName` escapes as `%XX`, upper case:
/// U+0000 to U+001F, U+007F and `" # % ' * / : = ? [ \ ] ^ {`.
#[cfg(test)]
pub fn escape_path_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    push_escaped(&mut escaped, name);
    escaped
}

/// The columns and values of a hive path; NULL's value is [`DEFAULT_PARTITION`].
pub fn parse_hive_path(path: &str) -> Vec<(String, String)> {
    let folders = path.split('/').filter_map(|folder| folder.split_once('='));
    folders.map(|(column, value)| (unescaped(column), unescaped(value))).collect()
}

/// What [`escape_path_name`] was given.
fn unescaped(name: &str) -> String {
    let mut parts = name.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (code, part.get(2..)) {
            (Some(code), Some(rest)) => {
                text.push(char::from(code));
                text.push_str(rest);
            }
            // Nothing that was escaped here.
            _ => {
                text.push('%');
                text.push_str(part);
            }
        }
    }
    text
}

fn push_escaped(out: &mut String, name: &str) {
    for c in name.chars() {
        if c.is_ascii() && IS_ESCAPED[c as usize] {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

/// Bytes of [`escape_path_name`]'s result: what is escaped is one byte and becomes three.
pub(crate) fn escaped_bytes(name: &str) -> usize {
    name.len() + 2 * name.bytes().filter(|byte| IS_ESCAPED[usize::from(*byte)]).count()
}

/// By byte; no byte of a character beyond ASCII is escaped.
const IS_ESCAPED: [bool; 256] = {
    let mut is_escaped = [false; 256];
    let mut byte = 0;
    while byte < is_escaped.len() {
        is_escaped[byte] = matches!(byte as u8, 0x00..=0x1f | 0x7f | b'"' | b'#' | b'%' | b'\'')
            || matches!(
                byte as u8,
                b'*' | b'/' | b':' | b'=' | b'?' | b'[' | b'\\' | b']' | b'^' | b'{'
            );
        byte += 1;
    }
    is_escaped
};

/// Whether a column of this stored type can name directories.
///
/// Floats cannot: one number has many texts, and NaN is equal to nothing.
pub(crate) fn can_partition(stored: &DataType) -> bool {
    use DataType as T;
    matches!(stored, T::Utf8 | T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Date32)
        || matches!(stored, T::Timestamp(TimeUnit::Microsecond, _) | T::Decimal128(_, _))
}

/// The text of a row's value in a partition column of a stored type; none if it is NULL.
///
/// Dates and timestamps read as Hive writes them: `2026-11-21`, `2026-11-21 13:05:00` (in UTC if
/// they have a zone). One in a year that Hive's text cannot hold is unusable.
pub(crate) fn partition_value(
    column: &str,
    array: &dyn Array,
    row: usize,
) -> Result<Result<Option<String>, UnusableKey>> {
    use DataType as T;
    if array.is_null(row) {
        return Ok(Ok(None));
    }
    let of_text = |text: String| Ok(Ok(Some(text)));
    let mut out = Vec::new();
    let (written, since_1970) = match array.data_type() {
        T::Utf8 => return of_text(array.as_string::<i32>().value(row).to_owned()),
        T::Boolean => return of_text(array.as_boolean().value(row).to_string()),
        T::Int8 => return of_text(array.as_primitive::<Int8Type>().value(row).to_string()),
        T::Int16 => return of_text(array.as_primitive::<Int16Type>().value(row).to_string()),
        T::Int32 => return of_text(array.as_primitive::<Int32Type>().value(row).to_string()),
        T::Int64 => return of_text(array.as_primitive::<Int64Type>().value(row).to_string()),
        T::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            (text::push_date(&mut out, days), format!("{days} days"))
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            (text::push_timestamp(&mut out, micros), format!("{micros} microseconds"))
        }
        T::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            text::push_decimal(&mut out, value, *scale);
            (Ok(()), String::new())
        }
        other => {
            return Err(Error::Bug(format!("partitioning by column `{column}` of type {other}")));
        }
    };
    match written {
        Ok(()) => String::from_utf8(out).map(|text| Ok(Some(text))).map_err(|err| {
            Error::Bug(format!("naming a partition directory after column `{column}`: {err}"))
        }),
        Err(YearOutOfRange) => Ok(Err(UnusableKey {
            column: column.to_owned(),
            expected: YearOutOfRange::EXPECTED.to_owned(),
            found: format!("{since_1970} since 1970-01-01"),
        })),
    }
}

#[cfg(test)]
#[path = "hive_path_tests.rs"]
mod tests;
