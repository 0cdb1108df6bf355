//! From JSON values to a column's values: the rules that the contract's reader applies to defaults
//! and the decoder to every line.
//!
//! One column (`name = "price"`, `paths = ["price", "p"]`, `type = "decimal(12,2)"`,
//! `number_in_string = true`) on one record:
//!
//! ```text
//! {"price":null,"p":"19.50"}
//!   path      `price` is null, which is as good as absent; `p` has a value: "19.50"
//!   type      a string whose text is a JSON number, which the column takes
//!   value     digits 1950 at scale 2 → Value::Decimal(1950)
//! ```
//!
//! The rules:
//!
//! - **Presence.** The first path whose value is there and not `null` wins; so a record of a new
//!   log version may carry the old field as `null`. A path that meets something else than an
//!   object on its way is absent. Without a value the default stands in; without a default a
//!   required column is a misfit and another one is NULL.
//! - **Mismatch.** Only the winning path's value counts; if it does not fit, neither another path
//!   nor the default stands in: the misfit rejects the line, or the column is NULL if
//!   `on_mismatch` says so and the column is not required.
//! - **Numbers** are exact. An integer column takes `1.0` and `1e3`, for they are integers, but
//!   not `1.5`; a decimal column takes any digits that its scale holds, so `1.500` but not `1.005`
//!   at scale 2; what does not fit is out of range. A float64 column takes the nearest double, but
//!   nothing that would be infinite.
//! - **`number_in_string`** takes a string whose whole text is a JSON number: not `" 1"`, `"+1"`,
//!   `"01"` or `""`.
//! - **Strings** are never made from other values unasked. U+0000 in one is a misfit of its own.
//! - **Booleans** are `true` and `false` alone.
//! - **Mending** is asked for and counted: `on_mismatch = "null"`; `number_as_text`, which takes a
//!   number's own text for a string, date or timestamp (`1.50` stays `1.50`); `true_values` and
//!   `false_values`, texts and integers that stand for truth values; `on_item_mismatch = "drop"`,
//!   which leaves out an element of a list that does not fit. What is mended in an element counts
//!   as `items.price`.
//! - **Dates** take the first form that fits, years 0001 to 9999; the form `rfc3339` is
//!   `2026-11-21`, digit by digit.
//! - **Timestamps** take the first form that fits, years 0001 to 9999 in UTC. Digits beyond the
//!   microsecond are cut off towards the past. RFC 3339 takes `t`, `z` and a space for `T`, and
//!   offsets as databases write them (`+09`, `+0900`, ` UTC`); with an assumed zone the offset may
//!   be missing. `24:00:00` is the next day's midnight. Second 60 is taken at 23:59 UTC only and is
//!   the next day's first second. A local time that its zone skips is invalid; of one that it has
//!   twice, the earlier counts, unless an abbreviation says which. Patterns are told in
//!   [`pattern`], zones' names in [`zone`]. Epoch numbers stay exact; with several epoch forms the
//!   first in whose range the number is wins, and since the year 9999 is 253,402,300,799 s,
//!   `["epoch_s", "epoch_ms", "epoch_us", "epoch_ns"]` tells the units apart for all times after
//!   1978-01-11. In another order a form would never be reached, so that is refused.
//! - **json** columns hold the value's text in the line, byte for byte, escapes and all.
//! - **Lists** take arrays. A `null` element is a NULL struct; an element that is no object, or
//!   that has a misfit which its own column does not make NULL, is a misfit of the whole list.

mod mends;
mod number;
mod pattern;
mod time;
mod time_parts;
mod time_pattern;
mod zone;

use std::borrow::Cow;

use self::mends::truth;
use self::number::{exact_decimal, exact_integer, nearest_double};
use self::time::{DateReader, TimestampReader};
use super::{Column, ColumnType, JsonPath, MendKind, OnItemMismatch, OnMismatch};
use crate::json::{DEPTH_LIMIT, Json, JsonKind, Member, excerpt, is_json_number, read_json};

pub use self::mends::{DroppedItem, Mend, Mends};
pub use self::pattern::PatternFault;
pub(super) use self::pattern::{Pattern, Wanted};
pub use self::time_pattern::{TimeOfDayPattern, TimePattern, pattern_to_write};

/// A column's value in one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Of a bool column.
    Bool(bool),
    /// Of an int32 column.
    Int32(i32),
    /// Of an int64 column.
    Int64(i64),
    /// Of a float64 column; finite.
    Float64(f64),
    /// Of a decimal column, times 10^scale.
    Decimal(i128),
    /// Of a date column: days since 1970-01-01.
    Date(i32),
    /// Of a timestamp column: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Of a string or json column.
    Text(Cow<'a, str>),
    /// Of a list column: its elements, each NULL or a value for each of the list's columns.
    List(Vec<Option<Vec<Value<'a>>>>),
}

impl Value<'_> {
    /// The same value, its texts borrowed from this one.
    fn borrowed(&self) -> Value<'_> {
        match self {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            Value::List(elements) => Value::List(map_elements(elements, Value::borrowed)),
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(*value),
            Value::Int32(value) => Value::Int32(*value),
            Value::Int64(value) => Value::Int64(*value),
            Value::Float64(value) => Value::Float64(*value),
            Value::Decimal(value) => Value::Decimal(*value),
            Value::Date(value) => Value::Date(*value),
            Value::Timestamp(value) => Value::Timestamp(*value),
        }
    }

    /// The same value with texts of its own.
    pub fn to_static(&self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.to_string())),
            Value::List(elements) => Value::List(map_elements(elements, Value::to_static)),
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(*value),
            Value::Int32(value) => Value::Int32(*value),
            Value::Int64(value) => Value::Int64(*value),
            Value::Float64(value) => Value::Float64(*value),
            Value::Decimal(value) => Value::Decimal(*value),
            Value::Date(value) => Value::Date(*value),
            Value::Timestamp(value) => Value::Timestamp(*value),
        }
    }
}

fn map_elements<'v, 'a, 'b>(
    elements: &'v [Option<Vec<Value<'a>>>],
    map: impl Fn(&'v Value<'a>) -> Value<'b>,
) -> Vec<Option<Vec<Value<'b>>>> {
    let element = |element: &'v Option<Vec<Value<'a>>>| {
        element.as_ref().map(|values| values.iter().map(&map).collect())
    };
    elements.iter().map(element).collect()
}

/// Why a record has no value for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfitReason {
    /// A required value is absent or null.
    MissingRequired,
    /// A value has another JSON type than its column.
    TypeMismatch,
    /// A number does not fit its column's type exactly.
    OutOfRange,
    /// A text is no date or timestamp in the accepted forms.
    InvalidTimestamp,
    /// A string holds U+0000.
    NulCharacter,
}

/// A record that has no value for a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Why.
    pub reason: MisfitReason,
    /// Where in the record: `items[2].price`.
    pub path: String,
    /// What was expected there.
    pub expected: String,
    /// The value's text there, shortened, or `nothing`.
    pub found: String,
}

/// A column made ready to take its values from records.
#[derive(Debug, Clone)]
pub struct ColumnReader {
    column: Column,
    shape: Shape,
    default: Option<Result<Value<'static>, Misfit>>,
}

#[derive(Debug, Clone)]
enum Shape {
    String,
    Bool,
    Int32,
    Int64,
    Float64,
    Decimal { precision: u8, scale: u32 },
    Date(DateReader),
    Timestamp(TimestampReader),
    List(Vec<ColumnReader>),
    Json,
}

impl ColumnReader {
    /// Makes a column ready: its default is read and its patterns are taken apart.
    pub fn new(column: &Column) -> Self {
        let column = column.clone();
        let shape = match &column.column_type {
            ColumnType::String => Shape::String,
            ColumnType::Bool => Shape::Bool,
            ColumnType::Int32 => Shape::Int32,
            ColumnType::Int64 => Shape::Int64,
            ColumnType::Float64 => Shape::Float64,
            ColumnType::Decimal { precision, scale } => {
                Shape::Decimal { precision: *precision, scale: u32::from(scale.unsigned_abs()) }
            }
            ColumnType::Date { forms } => Shape::Date(DateReader::new(forms)),
            ColumnType::Timestamp { forms, assumed_zone } => {
                let numbers = column.number_in_string;
                Shape::Timestamp(TimestampReader::new(forms, *assumed_zone, numbers))
            }
            ColumnType::List(columns) => {
                Shape::List(columns.iter().map(ColumnReader::new).collect())
            }
            ColumnType::Json => Shape::Json,
        };
        let mut reader = ColumnReader { column, shape, default: None };
        reader.default = reader.column.default.as_deref().map(|text| reader.read_default(text));
        reader
    }

    /// Why the default is no value of the column, if it is none.
    pub fn default_misfit(&self) -> Option<&Misfit> {
        self.default.as_ref()?.as_ref().err()
    }

    /// The column's value in a record, an object's members.
    ///
    /// # Errors
    /// The misfit, if the rules make it neither a default nor NULL.
    ///
    /// What was done to a value of another shape is added to `mends`; of a misfit, some of it may.
    pub fn take<'a>(
        &'a self,
        record: &'a [Member<'a>],
        mends: &mut Mends,
    ) -> Result<Value<'a>, Misfit> {
        match self.find(record) {
            None => self.absent(),
            Some((path, json)) => self.coerce(path, json, mends),
        }
    }

    /// The path that has a value in a record, and the value.
    pub fn find<'a>(&'a self, record: &'a [Member<'a>]) -> Option<(&'a JsonPath, &'a Json<'a>)> {
        let value_at = |path: &'a JsonPath| {
            path.find(record).filter(|json| !json.is_null()).map(|json| (path, json))
        };
        self.column.paths.iter().find_map(value_at)
    }

    /// The column's value where the path of this index has a value that is not null, and no path
    /// before it has one.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_at<'a>(
        &'a self,
        path: usize,
        json: &'a Json<'a>,
        mends: &mut Mends,
    ) -> Result<Value<'a>, Misfit> {
        match self.column.paths.get(path) {
            Some(path) => self.coerce(path, json, mends),
            None => self.absent(),
        }
    }

    /// The default, if there is one that is a value of the column.
    pub fn default_value(&self) -> Option<&Value<'static>> {
        self.default.as_ref()?.as_ref().ok()
    }

    /// The column that is read.
    pub fn column(&self) -> &Column {
        &self.column
    }

    fn absent(&self) -> Result<Value<'_>, Misfit> {
        match &self.default {
            Some(Ok(default)) => Ok(default.borrowed()),
            Some(Err(misfit)) => Err(misfit.clone()),
            None if self.column.required => Err(self.missing()),
            None => Ok(Value::Null),
        }
    }

    fn coerce<'a>(
        &'a self,
        path: &JsonPath,
        json: &'a Json<'a>,
        mends: &mut Mends,
    ) -> Result<Value<'a>, Misfit> {
        let null = self.column.on_mismatch == OnMismatch::Null && !self.column.required;
        let before = mends.len();
        let coerced = match &self.shape {
            Shape::List(columns) => self.list(columns, path, json, mends),
            shape => match shape.scalar(json, &self.column) {
                Err(_) if null => return Ok(self.mismatch_to_null(before, mends)),
                Err(reason) => Err(self.misfit(reason, path.to_string(), json.raw)),
                Ok(value) => {
                    if let Some(kind) = self.kind_of_mend(json) {
                        mends.add(&self.column.name, kind);
                    }
                    Ok(value)
                }
            },
        };
        match coerced {
            Err(_) if null => Ok(self.mismatch_to_null(before, mends)),
            coerced => coerced,
        }
    }

    fn mismatch_to_null<'a>(&self, before: usize, mends: &mut Mends) -> Value<'a> {
        mends.truncate(before);
        mends.add(&self.column.name, MendKind::MismatchToNull);
        Value::Null
    }

    /// What was done to a scalar that the column has taken.
    fn kind_of_mend(&self, json: &Json<'_>) -> Option<MendKind> {
        let mending = &self.column.mending;
        match (&self.shape, &json.kind) {
            (Shape::String | Shape::Date(_) | Shape::Timestamp(_), JsonKind::Number) => {
                mending.number_as_text.then_some(MendKind::NumberAsText)
            }
            (Shape::Bool, JsonKind::String(_) | JsonKind::Number) => Some(MendKind::SpelledBool),
            _ => None,
        }
    }

    fn list<'a>(
        &'a self,
        columns: &'a [ColumnReader],
        path: &JsonPath,
        json: &'a Json<'a>,
        mends: &mut Mends,
    ) -> Result<Value<'a>, Misfit> {
        let JsonKind::Array(elements) = &json.kind else {
            return Err(self.misfit(MisfitReason::TypeMismatch, path.to_string(), json.raw));
        };
        let drops = self.column.mending.on_item_mismatch == OnItemMismatch::Drop;
        let mut list = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let before = mends.len();
            let taken = match &element.kind {
                JsonKind::Null => Ok(None),
                JsonKind::Object(members) => {
                    let values: Result<Vec<_>, _> =
                        columns.iter().map(|column| column.take(members, mends)).collect();
                    values.map(Some).map_err(|misfit| misfit.below(path, index))
                }
                _ => {
                    let path = format!("{path}[{index}]");
                    let misfit = self.misfit(MisfitReason::TypeMismatch, path, element.raw);
                    Err(Misfit { expected: "an object".to_owned(), ..misfit })
                }
            };
            match taken {
                Ok(element) => {
                    mends.put_below(before, &self.column.name, path, index);
                    list.push(element);
                }
                Err(misfit) if drops => {
                    mends.truncate(before);
                    let (item, raw) = (format!("{path}[{index}]"), element.raw.to_owned());
                    mends.add_dropped(&self.column.name, DroppedItem { misfit, item, raw });
                }
                Err(misfit) => return Err(misfit),
            }
        }
        Ok(Value::List(list))
    }

    fn read_default(&self, text: &str) -> Result<Value<'static>, Misfit> {
        let misfit = || self.misfit(MisfitReason::TypeMismatch, self.first_path(), text);
        let json = read_json(text, DEPTH_LIMIT).map_err(|_fault| misfit())?;
        if json.is_null() {
            return Err(misfit());
        }
        let value = match &self.shape {
            Shape::List(columns) => match self.column.paths.first() {
                Some(path) => self.list(columns, path, &json, &mut Mends::default())?,
                None => return Err(misfit()),
            },
            shape => shape
                .scalar(&json, &self.column)
                .map_err(|reason| self.misfit(reason, self.first_path(), text))?,
        };
        Ok(value.to_static())
    }

    fn first_path(&self) -> String {
        self.column.paths.first().map(ToString::to_string).unwrap_or_default()
    }

    fn missing(&self) -> Misfit {
        let paths: Vec<String> = self.column.paths.iter().map(|path| format!("`{path}`")).collect();
        Misfit {
            reason: MisfitReason::MissingRequired,
            path: self.first_path(),
            expected: format!("{} at {}", self.column.expected(), paths.join(" or ")),
            found: "nothing".to_owned(),
        }
    }

    fn misfit(&self, reason: MisfitReason, path: String, found: &str) -> Misfit {
        let expected = match reason {
            MisfitReason::NulCharacter => "a string without U+0000".to_owned(),
            _ => self.column.expected(),
        };
        Misfit { reason, path, expected, found: excerpt(found).into_owned() }
    }
}

impl Misfit {
    /// The misfit of a list's element as the misfit of the list.
    fn below(mut self, list: &JsonPath, index: usize) -> Self {
        self.path = format!("{list}[{index}].{}", self.path);
        self
    }
}

impl Shape {
    /// The value of anything but a list.
    fn scalar<'a>(&self, json: &'a Json<'a>, column: &Column) -> Result<Value<'a>, MisfitReason> {
        let number_as_text = column.mending.number_as_text;
        let number =
            || number_text(json, column.number_in_string).ok_or(MisfitReason::TypeMismatch);
        let exact = |value: Option<Value<'a>>| value.ok_or(MisfitReason::OutOfRange);
        match self {
            Shape::String => text(json, number_as_text),
            Shape::Bool => truth(json, &column.mending).map(Value::Bool),
            Shape::Int32 => exact(exact_integer(number()?).map(Value::Int32)),
            Shape::Int64 => exact(exact_integer(number()?).map(Value::Int64)),
            Shape::Float64 => exact(nearest_double(number()?).map(Value::Float64)),
            Shape::Decimal { precision, scale } => {
                exact(exact_decimal(number()?, *precision, *scale).map(Value::Decimal))
            }
            Shape::Date(reader) => reader.read(json, number_as_text).map(Value::Date),
            Shape::Timestamp(reader) => reader.read(json, number_as_text).map(Value::Timestamp),
            Shape::Json => Ok(Value::Text(Cow::Borrowed(json.raw))),
            Shape::List(_) => Err(MisfitReason::TypeMismatch),
        }
    }
}

fn text<'a>(json: &'a Json<'a>, number_as_text: bool) -> Result<Value<'a>, MisfitReason> {
    match &json.kind {
        JsonKind::String(text) if text.contains('\0') => Err(MisfitReason::NulCharacter),
        JsonKind::String(text) => Ok(Value::Text(Cow::Borrowed(text))),
        JsonKind::Number if number_as_text => Ok(Value::Text(Cow::Borrowed(json.raw))),
        _ => Err(MisfitReason::TypeMismatch),
    }
}

/// The digits of a number, or of a number in a string if that is taken.
fn number_text<'a>(json: &'a Json<'_>, number_in_string: bool) -> Option<&'a str> {
    match &json.kind {
        JsonKind::Number => Some(json.raw),
        JsonKind::String(text) if number_in_string && is_json_number(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
#[path = "coerce_tests.rs"]
mod tests;
