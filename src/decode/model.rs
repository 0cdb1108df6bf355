//! What goes into the decoder and what comes out.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;

use crate::contract::MendKind;

/// Some whole lines of one object, as they stand in it (decompressed).
///
/// `bytes` begins at a line's start and ends after a line end, or at the object's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The lines with their line ends (LF or CRLF); the object's last may have none.
    pub bytes: Bytes,
    /// Number of the first line in its object, from 1.
    pub first_line: u64,
    /// Offset of the first byte in the decompressed object.
    pub first_offset: u64,
    /// How many lines `bytes` holds, blank ones among them, as the framer counted them.
    pub count: u64,
}

/// Why a line did not become a row, or a row was not written. The names stand in the quarantine and
/// in the run's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The line is not one JSON value.
    InvalidJson,
    /// The line is JSON, but no object.
    NotAnObject,
    /// The line is not UTF-8.
    InvalidUtf8,
    /// A string holds half a surrogate pair (`"\ud800"`), which UTF-8 cannot hold.
    LoneSurrogate,
    /// A string holds U+0000, which readers of TSV and many databases cannot hold.
    NulCharacter,
    /// Objects and arrays nest deeper than the contract allows.
    TooDeep,
    /// A key stands twice in one object, and the contract rejects that.
    DuplicateKey,
    /// A field that no column names, and the contract rejects that.
    UnknownField,
    /// A required value is absent or null.
    MissingRequired,
    /// A value has another JSON type than its column.
    TypeMismatch,
    /// A number does not fit its column's type exactly.
    OutOfRange,
    /// A text is no timestamp or date in the accepted forms.
    InvalidTimestamp,
    /// The line has more bytes than the contract allows.
    LineTooLong,
    /// The compressed stream is damaged from here on.
    DamagedStream,
    /// The row broke an expectation of an output.
    Expectation,
    /// The row's partition key cannot be a directory of an output's tables.
    UnusablePartition,
    /// An expression of an output's query fails on the row.
    EvaluationError,
}

impl RejectReason {
    /// The name in the quarantine and in the run's result.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::InvalidJson => "invalid_json",
            RejectReason::NotAnObject => "not_an_object",
            RejectReason::InvalidUtf8 => "invalid_utf8",
            RejectReason::LoneSurrogate => "lone_surrogate",
            RejectReason::NulCharacter => "nul_character",
            RejectReason::TooDeep => "too_deep",
            RejectReason::DuplicateKey => "duplicate_key",
            RejectReason::UnknownField => "unknown_field",
            RejectReason::MissingRequired => "missing_required",
            RejectReason::TypeMismatch => "type_mismatch",
            RejectReason::OutOfRange => "out_of_range",
            RejectReason::InvalidTimestamp => "invalid_timestamp",
            RejectReason::LineTooLong => "line_too_long",
            RejectReason::DamagedStream => "damaged_stream",
            RejectReason::Expectation => "expectation",
            RejectReason::UnusablePartition => "unusable_partition",
            RejectReason::EvaluationError => "evaluation_error",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line that did not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// The path in the record, if the reason has one: `items[2].price`.
    pub path: Option<String>,
    /// What was expected there.
    pub expected: String,
    /// What was found there, shortened to a line.
    pub found: String,
    /// Number of the line in its object, from 1.
    pub line: u64,
    /// Offset of the line's first byte in the decompressed object.
    pub offset: u64,
    /// The line, byte for byte, without its line end.
    pub raw: Bytes,
    /// Bytes of the line beyond `raw`, which holds only the beginning of an over-long line.
    pub bytes_omitted: u64,
}

/// What became of some lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// One row a decoded line: the contract's columns, the column that collects unknown fields if
    /// there is one, then `_line` and `_offset` (Int64).
    pub batch: RecordBatch,
    /// The lines that did not become rows.
    pub rejects: Vec<Reject>,
    /// How many lines were blank (empty or white space only).
    pub blank: u64,
    /// How many fields that no column names the decoded lines had, by path; 1,000 paths at most,
    /// the others under [`super::OTHER_UNKNOWN_FIELDS`].
    pub unknown_fields: BTreeMap<String, u64>,
    /// How many values of the decoded lines were mended.
    pub mended: Mended,
    /// The elements of lists that decoded lines went on without.
    pub dropped_items: Vec<DroppedItem>,
}

/// How many values were mended, by column and by what was done to them. What stands in no column
/// counts under [`NO_COLUMN`].
pub type Mended = BTreeMap<String, BTreeMap<MendKind, u64>>;

/// Stands for a column where text was mended that no column has.
pub const NO_COLUMN: &str = "…";

/// Adds to a count of mended values.
pub fn count_mended(mended: &mut Mended, column: &str, kind: MendKind, times: u64) {
    if !mended.contains_key(column) {
        mended.insert(column.to_owned(), BTreeMap::new());
    }
    if let Some(kinds) = mended.get_mut(column) {
        *kinds.entry(kind).or_default() += times;
    }
}

/// An element of a list that does not fit, in a line that became a row without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedItem {
    /// Where in the record: `items[10]`.
    pub item: String,
    /// Why, and where in the object; `raw` is the element alone.
    pub reject: Reject,
}
