//! What a contract says, as plain values.

use std::fmt;

/// The agreed shape of a log record.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Columns in the order of the table.
    pub columns: Vec<Column>,
    /// What fields that no column names do.
    pub unknown_fields: UnknownFields,
    /// What a key that stands twice in one object does.
    pub duplicate_keys: DuplicateKeys,
    /// Nesting of objects and arrays that a line may have at most.
    pub depth_max: usize,
    /// Bytes that a line may have at most, without its line end.
    pub line_bytes_max: usize,
    /// What a byte that is no UTF-8, or half a surrogate pair, does.
    pub on_invalid_text: OnInvalidText,
}

/// One column of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The column's name in SQL.
    pub name: String,
    /// Where the value is looked for; the first path that is present wins.
    pub paths: Vec<JsonPath>,
    /// The column's type.
    pub column_type: ColumnType,
    /// A line without a value (absent or JSON null) is a reject.
    pub required: bool,
    /// The JSON text that stands in for an absent or null value.
    pub default: Option<String>,
    /// What a value of another shape does.
    pub on_mismatch: OnMismatch,
    /// Whether `"12"` is taken for 12.
    pub number_in_string: bool,
    /// Which values of another type are taken for the column's own.
    pub mending: Mending,
}

/// Which values of another type a column takes for its own; each is counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mending {
    /// Whether a number is taken as its text, digit by digit.
    pub number_as_text: bool,
    /// What a bool column takes for true besides `true`.
    pub true_values: Vec<Spelling>,
    /// What a bool column takes for false besides `false`.
    pub false_values: Vec<Spelling>,
    /// What an element of a list that does not fit does.
    pub on_item_mismatch: OnItemMismatch,
}

/// How a truth value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spelling {
    /// A string with just this text.
    Text(String),
    /// A number that is this integer.
    Integer(i64),
}

/// What an element of a list that does not fit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnItemMismatch {
    /// The whole list does not fit.
    #[default]
    Reject,
    /// The list goes on without it, and it goes to the quarantine.
    Drop,
}

/// What a byte that is no UTF-8, or half a surrogate pair, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalidText {
    /// The line is a reject.
    #[default]
    Reject,
    /// U+FFFD stands for it.
    Replace,
}

/// In what way a value was mended. The names stand in the run's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MendKind {
    /// A value that does not fit is NULL (`on_mismatch`).
    MismatchToNull,
    /// A number is its text (`number_as_text`).
    NumberAsText,
    /// A text or number is a truth value (`true_values`, `false_values`).
    SpelledBool,
    /// An element of a list is left out (`on_item_mismatch`).
    ItemDropped,
    /// U+FFFD stands for what is no text (`on_invalid_text`).
    InvalidTextReplaced,
}

impl MendKind {
    /// The name in the run's result.
    pub fn as_str(self) -> &'static str {
        match self {
            MendKind::MismatchToNull => "mismatch_to_null",
            MendKind::NumberAsText => "number_as_text",
            MendKind::SpelledBool => "spelled_bool",
            MendKind::ItemDropped => "item_dropped",
            MendKind::InvalidTextReplaced => "invalid_text_replaced",
        }
    }
}

impl fmt::Display for Spelling {
    /// The value as JSON has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spelling::Text(text) => write!(f, "{text:?}"),
            Spelling::Integer(number) => write!(f, "{number}"),
        }
    }
}

/// The keys that lead from the record (or list element) to a value: `session.short`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JsonPath(pub Vec<String>);

/// A column's type.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// `true` or `false`.
    Bool,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// Exact decimal number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: i8,
    },
    /// Calendar day.
    Date {
        /// The accepted forms, `rfc3339` (`2026-11-21`) and patterns; the first that fits wins.
        forms: Vec<TimestampForm>,
    },
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp {
        /// The accepted forms; the first that fits wins.
        forms: Vec<TimestampForm>,
        /// The zone of texts that name none; without it such texts are a mismatch.
        assumed_zone: Option<chrono_tz::Tz>,
    },
    /// A JSON array of objects, as a list of structs; the columns' paths start at the element.
    List(Vec<Column>),
    /// Any JSON value, as its text in the line, byte for byte.
    Json,
}

impl fmt::Display for ColumnType {
    /// The type as a contract names it: `decimal(12,2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::String => "string",
            ColumnType::Bool => "bool",
            ColumnType::Int32 => "int32",
            ColumnType::Int64 => "int64",
            ColumnType::Float64 => "float64",
            ColumnType::Decimal { precision, scale } => {
                return write!(f, "decimal({precision},{scale})");
            }
            ColumnType::Date { .. } => "date",
            ColumnType::Timestamp { .. } => "timestamp",
            ColumnType::List(_) => "list",
            ColumnType::Json => "json",
        })
    }
}

impl Column {
    /// What a value of the column must be, for messages.
    pub fn expected(&self) -> String {
        let in_string = if self.number_in_string { ", also in a string" } else { "" };
        match &self.column_type {
            ColumnType::String if self.mending.number_as_text => "a string or number".to_owned(),
            ColumnType::String => "a string".to_owned(),
            ColumnType::Bool => self.mending.expected_bool(),
            ColumnType::Date { forms } if forms == &[TimestampForm::Rfc3339] => {
                "a date such as \"2026-11-21\"".to_owned()
            }
            ColumnType::Date { forms } => format!("a date as {}", listed(forms)),
            ColumnType::Timestamp { forms, .. } => {
                format!("a timestamp as {}{in_string}", listed(forms))
            }
            ColumnType::List(_) => "an array of objects".to_owned(),
            ColumnType::Json => "any JSON value but null".to_owned(),
            ColumnType::Float64 => format!("a number within float64's range{in_string}"),
            number => format!("a number that {number} holds exactly{in_string}"),
        }
    }
}

impl Mending {
    fn expected_bool(&self) -> String {
        let spellings = self.true_values.iter().chain(&self.false_values);
        let spellings: Vec<String> = spellings.map(ToString::to_string).collect();
        match spellings.as_slice() {
            [] => "true or false".to_owned(),
            all => format!("true, false or one of {}", all.join(", ")),
        }
    }
}

fn listed(forms: &[TimestampForm]) -> String {
    let forms: Vec<String> = forms.iter().map(|form| format!("`{form}`")).collect();
    forms.join(" or ")
}

/// A form that a timestamp or date may be written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampForm {
    /// `2026-11-21T13:05:00.123456+09:00`, also with a space for `T` and with offsets as databases
    /// write them (`+09`); without the offset only in an assumed zone. Of a date: `2026-11-21`.
    Rfc3339,
    /// A number of these since the epoch; a fraction is kept to the microsecond.
    Epoch(EpochUnit),
    /// A strptime pattern, such as `%d/%b/%Y:%H:%M:%S %z`.
    Pattern(String),
}

/// What a timestamp counts since the epoch, from the coarsest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EpochUnit {
    /// 1,000,000 µs.
    Second,
    /// 1,000 µs.
    Millisecond,
    /// 1 µs.
    Microsecond,
    /// A thousandth of a µs.
    Nanosecond,
}

impl fmt::Display for TimestampForm {
    /// The form as a contract names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimestampForm::Rfc3339 => "rfc3339",
            TimestampForm::Epoch(EpochUnit::Second) => "epoch_s",
            TimestampForm::Epoch(EpochUnit::Millisecond) => "epoch_ms",
            TimestampForm::Epoch(EpochUnit::Microsecond) => "epoch_us",
            TimestampForm::Epoch(EpochUnit::Nanosecond) => "epoch_ns",
            TimestampForm::Pattern(pattern) => pattern,
        })
    }
}

/// What a value of another shape than the column's type does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// The line is a reject.
    Reject,
    /// The column is NULL in this row.
    Null,
}

/// What fields that no column names do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownFields {
    /// They are counted by path and skipped.
    Ignore,
    /// They are counted and collected into a JSON text column of this name.
    Collect(String),
    /// The line is a reject.
    Reject,
}

/// What a key that stands twice in one object does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// The last one counts.
    Last,
    /// The line is a reject.
    Reject,
}
