//! One reject as it stands in the quarantine: a line of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::decode::{DroppedItem, Reject, RejectReason};

/// One reject: a line of the logs, or a row of an output.
///
/// ```json
/// {"reason":"type_mismatch","message":"items[2].price: expected int64, found \"a\"",
///  "path":"items[2].price","expected":"int64","found":"\"a\"",
///  "object":"s3://logs/a.gz","line":7,"offset":210,"raw":"{\"items\":…}"}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuarantineRecord {
    /// Why, one word of [`RejectReason`].
    pub reason: &'static str,
    /// Why, one sentence: path, expected and found.
    pub message: String,
    /// The path in the record, if the reason has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// The object that the line stands in; null for a row that came from no single line.
    pub object: Option<String>,
    /// The line's number, from 1.
    pub line: Option<u64>,
    /// Offset of the line's first byte in the decompressed object.
    pub offset: Option<u64>,
    /// The line as text, without its line end. It is exact if there is no `raw_base64`; otherwise
    /// U+FFFD stands for what is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The line's bytes (RFC 4648, 4), if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// Bytes of the line beyond these, if it was too long to keep.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_omitted: u64,
    /// The output that the row is not in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The expectation that was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expectation: Option<String>,
    /// The column whose value cannot name a partition's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The element of a list (`items[10]`) that its line, which is a row, went on without; `raw` is
    /// the element alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The expression that could not be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The row, as the view gave it; as the expression met it, if that could not be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<serde_json::Value>,
}

/// Why a row of an output was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFault<'a> {
    /// It broke an expectation.
    Expectation {
        /// The expectation.
        name: &'a str,
        /// What is not true of the row.
        predicate: &'a str,
    },
    /// Its partition key cannot be a directory.
    Partition {
        /// The column whose value stands in the way.
        column: &'a str,
        /// `a directory name of at most 255 bytes`
        expected: &'a str,
        /// `308 bytes for the value that begins "xxx…"`
        found: &'a str,
    },
    /// An expression of the query fails on it.
    Evaluation {
        /// The expression, as SQL.
        expression: &'a str,
        /// How it fails.
        message: &'a str,
    },
}

/// The reason of a record that is about an object, not about one of its lines.
const UNREADABLE_OBJECT: &str = "unreadable_object";

/// Bytes as text, and in base64 if the text is not exact.
fn text_and_bytes(raw: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(raw) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(raw).into_owned(), Some(STANDARD.encode(raw))),
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl QuarantineRecord {
    /// A line of `object` that did not become a row.
    pub fn of_line(object: &str, reject: Reject) -> Self {
        let fault = format!("expected {}, found {}", reject.expected, reject.found);
        let message = match &reject.path {
            Some(path) => format!("{path}: {fault}"),
            None => fault,
        };
        let (raw, raw_base64) = text_and_bytes(&reject.raw);
        QuarantineRecord {
            reason: reject.reason.as_str(),
            message,
            path: reject.path,
            expected: reject.expected,
            found: reject.found,
            object: Some(object.to_owned()),
            line: Some(reject.line),
            offset: Some(reject.offset),
            raw: Some(raw),
            raw_base64,
            bytes_omitted: reject.bytes_omitted,
            output: None,
            expectation: None,
            column: None,
            item: None,
            expression: None,
            row: None,
        }
    }

    /// An element of a list that a line of `object` went on without.
    pub fn of_item(object: &str, dropped: DroppedItem) -> Self {
        let item = Some(dropped.item);
        QuarantineRecord { item, ..QuarantineRecord::of_line(object, dropped.reject) }
    }

    /// An object of which nothing could be read; `raw` is what came of it before it broke off.
    pub fn of_object(object: &str, fault: &str, raw: &[u8], bytes_omitted: u64) -> Self {
        let (text, raw_base64) = text_and_bytes(raw);
        QuarantineRecord {
            reason: UNREADABLE_OBJECT,
            message: format!("nothing of the object could be read: {fault}"),
            path: None,
            expected: "an object of which something can be read".to_owned(),
            found: fault.to_owned(),
            object: Some(object.to_owned()),
            line: None,
            offset: None,
            raw: (!raw.is_empty()).then_some(text),
            raw_base64,
            bytes_omitted,
            output: None,
            expectation: None,
            column: None,
            item: None,
            expression: None,
            row: None,
        }
    }

    /// A row of `output` that was not written; its origin is the object, line and offset that it
    /// came from, as far as the view kept them.
    pub fn of_row(
        output: &str,
        fault: RowFault<'_>,
        row: serde_json::Value,
        (object, line, offset): (Option<String>, Option<u64>, Option<u64>),
    ) -> Self {
        let (reason, at, expected, found) = match fault {
            RowFault::Expectation { name, predicate } => {
                let found = "a row of which this is not true";
                (RejectReason::Expectation, format!("expectation {name}"), predicate, found)
            }
            RowFault::Partition { column, expected, found } => {
                let at = format!("partition column {column}");
                (RejectReason::UnusablePartition, at, expected, found)
            }
            RowFault::Evaluation { expression, message } => {
                let at = format!("expression {expression}");
                (RejectReason::EvaluationError, at, "a value", message)
            }
        };
        let (mut expectation, mut column, mut failed) = (None, None, None);
        match fault {
            RowFault::Expectation { name, .. } => expectation = Some(name.to_owned()),
            RowFault::Partition { column: of, .. } => column = Some(of.to_owned()),
            RowFault::Evaluation { expression, .. } => failed = Some(expression.to_owned()),
        }
        let message = match fault {
            RowFault::Evaluation { message, .. } => format!("output {output}, {at}: {message}"),
            _ => format!("output {output}, {at}: expected {expected}, found {found}"),
        };
        QuarantineRecord {
            reason: reason.as_str(),
            message,
            path: None,
            expected: expected.to_owned(),
            found: found.to_owned(),
            object,
            line,
            offset,
            raw: None,
            raw_base64: None,
            bytes_omitted: 0,
            output: Some(output.to_owned()),
            expectation,
            column,
            item: None,
            expression: failed,
            row: Some(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    fn record(raw: impl Into<Bytes>, path: Option<&str>, bytes_omitted: u64) -> Value {
        let reject = Reject {
            reason: RejectReason::TypeMismatch,
            path: path.map(str::to_owned),
            expected: "int64".to_owned(),
            found: "\"a\"".to_owned(),
            line: 7,
            offset: 210,
            raw: raw.into(),
            bytes_omitted,
        };
        serde_json::to_value(QuarantineRecord::of_line("s3://logs/a.gz", reject)).unwrap()
    }

    #[test]
    fn a_line_keeps_its_place_and_its_bytes_and_says_why_in_a_sentence() {
        let expected = json!({
            "reason": "type_mismatch",
            "message": "items[2].price: expected int64, found \"a\"",
            "path": "items[2].price",
            "expected": "int64",
            "found": "\"a\"",
            "object": "s3://logs/a.gz",
            "line": 7,
            "offset": 210,
            "raw": "{\"足\":\t1}",
        });
        assert_eq!(record("{\"足\":\t1}", Some("items[2].price"), 0), expected);
    }

    #[test]
    fn a_line_without_a_path_or_a_byte_is_recorded_too() {
        let record = record("", None, 0);
        assert_eq!(record["message"], "expected int64, found \"a\"");
        assert_eq!(record["raw"], "");
        assert!(record.get("path").is_none());
    }

    #[test]
    fn a_line_that_is_not_utf8_is_kept_in_base64_beside_its_text() {
        let raw: &[u8] = b"{\"a\":\"\xff\0\"}";
        let record = record(raw, None, 0);
        assert_eq!(record["raw"], "{\"a\":\"\u{fffd}\0\"}");
        assert_eq!(STANDARD.decode(record["raw_base64"].as_str().unwrap()).unwrap(), raw);
    }

    #[test]
    fn a_shortened_line_says_how_much_is_missing() {
        assert_eq!(record("{\"a\":", None, 12)["bytes_omitted"], 12);
    }

    #[test]
    fn a_row_keeps_its_expectation_and_where_it_came_from() {
        let row = json!({"amount": -1});
        let origin = (Some("a.gz".to_owned()), Some(7), None);
        let broken = RowFault::Expectation { name: "amount_is_positive", predicate: "amount > 0" };
        let record = QuarantineRecord::of_row("purchases", broken, row, origin);
        let expected = json!({
            "reason": "expectation",
            "message": "output purchases, expectation amount_is_positive: expected amount > 0, \
                        found a row of which this is not true",
            "expected": "amount > 0",
            "found": "a row of which this is not true",
            "object": "a.gz",
            "line": 7,
            "offset": null,
            "output": "purchases",
            "expectation": "amount_is_positive",
            "row": {"amount": -1},
        });
        assert_eq!(serde_json::to_value(record).unwrap(), expected);
    }
    #[test]
    fn a_row_without_a_partition_names_the_column_and_needs_no_place() {
        let fault = RowFault::Partition { column: "shop", expected: "a name", found: "none" };
        let record = QuarantineRecord::of_row("carts", fault, json!({"id": 1}), (None, None, None));
        let expected = json!({
            "reason": "unusable_partition",
            "message": "output carts, partition column shop: expected a name, found none",
            "expected": "a name",
            "found": "none",
            "object": null,
            "line": null,
            "offset": null,
            "output": "carts",
            "column": "shop",
            "row": {"id": 1},
        });
        assert_eq!(serde_json::to_value(record).unwrap(), expected);
    }

    #[test]
    fn the_page_names_all_reasons() {
        const PAGE: &str = include_str!("../../docs/operations.md");

        let mut known: Vec<&str> = all_reasons().map(RejectReason::as_str).collect();
        known.push(UNREADABLE_OBJECT);
        let mut shown = crate::base::document_tables::names(PAGE, "### Reasons");
        known.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, known);
    }

    fn all_reasons() -> impl Iterator<Item = RejectReason> {
        use RejectReason::*;
        /// The reasons one after the other; a new one does not compile before it has its place.
        fn next(reason: RejectReason) -> Option<RejectReason> {
            match reason {
                InvalidJson => Some(NotAnObject),
                NotAnObject => Some(InvalidUtf8),
                InvalidUtf8 => Some(LoneSurrogate),
                LoneSurrogate => Some(NulCharacter),
                NulCharacter => Some(TooDeep),
                TooDeep => Some(DuplicateKey),
                DuplicateKey => Some(UnknownField),
                UnknownField => Some(MissingRequired),
                MissingRequired => Some(TypeMismatch),
                TypeMismatch => Some(OutOfRange),
                OutOfRange => Some(InvalidTimestamp),
                InvalidTimestamp => Some(LineTooLong),
                LineTooLong => Some(DamagedStream),
                DamagedStream => Some(Expectation),
                Expectation => Some(UnusablePartition),
                UnusablePartition => Some(EvaluationError),
                EvaluationError => None,
            }
        }
        std::iter::successors(Some(InvalidJson), |reason| next(*reason))
    }
}
