//! `contract.toml` → [`Contract`], with every error that is in it.
//!
//! Reading goes on after an error, with a stand-in for what could not be read; the contract is
//! given out only if nothing was found.

mod column;
mod findings;
mod mending;
mod timestamp;

use toml_span::DeserError;
use toml_span::de_helpers::TableHelper;
use toml_span::value::{Value, ValueInner};

use self::column::read_columns;
use self::findings::{Findings, optional, wanted};
use super::{
    Contract, DuplicateKeys, LINE_COLUMN, OFFSET_COLUMN, OnInvalidText, SOURCE_COLUMN,
    UnknownFields,
};
use crate::base::config::{ConfigFile, parse_byte_size};
use crate::base::error::Diagnostic;
use crate::json::DEPTH_LIMIT;

/// Levels of nesting that a line may have if the contract says nothing.
const DEPTH_MAX: usize = 64;
/// Bytes that a line may have if the contract says nothing.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Bytes that a contract may allow a line; 32-bit offsets must hold the texts of a batch.
const LINE_BYTES_LIMIT: u64 = 256 << 20;
/// Columns that tell where a row came from.
const VIRTUAL_COLUMNS: [&str; 3] = [SOURCE_COLUMN, LINE_COLUMN, OFFSET_COLUMN];

/// Reads a contract.
///
/// ```toml
/// unknown_fields = "ignore"        # ignore (default) | collect | reject
/// unknown_fields_column = "extra"  # with collect, and needed then
/// duplicate_keys = "last"          # last (default) | reject
/// depth_max = 64                   # 1 to 256; levels of objects and arrays
/// line_bytes_max = "16MiB"         # at most 256MiB
/// on_invalid_text = "reject"       # reject (default) | replace
///
/// [[column]]
/// name = "at"
/// path = "time"                    # or paths = ["time", "ts"]; default: the name, as one key
/// type = "timestamp"               # string bool int32 int64 float64 decimal(12,2) date
///                                  # timestamp list json
/// formats = ["rfc3339"]            # default; epoch_s, epoch_ms, epoch_us, epoch_ns, a strptime
///                                  # pattern; of a date: rfc3339, a pattern
/// assumed_time_zone = "Asia/Tokyo" # of texts without an offset
/// required = true                  # default false
/// on_mismatch = "reject"           # reject (default) | null
/// number_in_string = false         # for number types and timestamps in an epoch form
/// number_as_text = false           # for strings; for dates and timestamps by patterns alone
/// true_values = ["yes", 1]         # for bool, besides true; and false_values
/// on_item_mismatch = "reject"      # for list: reject (default) | drop
///
/// [[column]]
/// name = "status"
/// type = "int32"
/// default = 0                      # a string, integer, float or boolean as the type needs;
///                                  # for list and json: JSON text in a string
///
/// [[column]]
/// name = "items"
/// type = "list"
/// [[column.item]]                  # as [[column]], paths from the element on; items may nest
/// name = "sku"
/// type = "string"
/// ```
///
/// # Errors
/// All that is wrong, in the order of the file.
pub fn parse_contract(file: &ConfigFile) -> Result<Contract, Vec<Diagnostic>> {
    let mut root = toml_span::parse(&file.text)
        .map_err(|error| file.diagnostics(&DeserError { errors: vec![error] }))?;
    let mut findings = Findings::new(file);
    match read_contract(&mut root, &mut findings) {
        Some(contract) if findings.is_empty() => Ok(contract),
        _ => Err(findings.in_order()),
    }
}

fn read_contract(root: &mut Value<'_>, findings: &mut Findings<'_>) -> Option<Contract> {
    let mut table = findings.table(root)?;
    let unknown_fields = read_unknown_fields(&mut table, findings);
    let duplicate_keys = findings.word(
        optional(&mut table, "duplicate_keys"),
        "a policy",
        &[("last", DuplicateKeys::Last), ("reject", DuplicateKeys::Reject)],
    );
    let depth_max = read_depth_max(&mut table, findings);
    let line_bytes_max = read_line_bytes_max(&mut table, findings);
    let on_invalid_text = findings.word(
        optional(&mut table, "on_invalid_text"),
        "a policy",
        &[("reject", OnInvalidText::Reject), ("replace", OnInvalidText::Replace)],
    );
    let columns = match table.take("column") {
        Some((_, mut value)) => read_columns(&mut value, findings, &VIRTUAL_COLUMNS),
        None => {
            let message = "expected at least one `[[column]]`, found none";
            findings.add_without_place(message);
            Vec::new()
        }
    };
    findings.finish(table);
    let collected = match &unknown_fields {
        Some((UnknownFields::Collect(name), span)) => Some((name, *span)),
        _ => None,
    };
    if let Some((name, span)) = collected {
        let taken = columns.iter().map(|column| column.name.as_str()).chain(VIRTUAL_COLUMNS);
        if taken.into_iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
            findings.add(span, format!("expected a name of its own, but column `{name}` exists"));
        }
    }
    Some(Contract {
        columns,
        unknown_fields: unknown_fields.map_or(UnknownFields::Ignore, |(policy, _)| policy),
        duplicate_keys: duplicate_keys.unwrap_or(DuplicateKeys::Last),
        depth_max,
        line_bytes_max,
        on_invalid_text: on_invalid_text.unwrap_or_default(),
    })
}

/// The policy and the place of the column's name (or of the policy without one).
fn read_unknown_fields(
    table: &mut TableHelper<'_>,
    findings: &mut Findings<'_>,
) -> Option<(UnknownFields, toml_span::Span)> {
    let word = optional::<String>(table, "unknown_fields");
    let column = optional::<String>(table, "unknown_fields_column");
    let span = word.as_ref().map(|word| word.span);
    let policy = findings.word(
        word,
        "a policy",
        &[
            ("ignore", UnknownFields::Ignore),
            ("collect", UnknownFields::Collect(String::new())),
            ("reject", UnknownFields::Reject),
        ],
    );
    match (policy, column) {
        (Some(UnknownFields::Collect(_)), Some(column)) => {
            if column.value.is_empty() || column.value.contains(char::is_control) {
                findings.add(column.span, "expected a column's name without control characters");
            }
            Some((UnknownFields::Collect(column.value), column.span))
        }
        (Some(UnknownFields::Collect(_)), None) => {
            let message = "expected `unknown_fields_column` beside `unknown_fields = \"collect\"`";
            findings.add(span?, message);
            None
        }
        (policy, Some(column)) => {
            let message = "`unknown_fields_column` goes with `unknown_fields = \"collect\"` only";
            findings.add(column.span, message);
            Some((policy?, column.span))
        }
        (policy, None) => Some((policy?, span?)),
    }
}

fn read_depth_max(table: &mut TableHelper<'_>, findings: &mut Findings<'_>) -> usize {
    let Some(depth) = optional::<i64>(table, "depth_max") else {
        return DEPTH_MAX;
    };
    match usize::try_from(depth.value) {
        Ok(value @ 1..=DEPTH_LIMIT) => value,
        _ => {
            let found = depth.value;
            findings.add(depth.span, format!("expected 1 to {DEPTH_LIMIT} levels, found {found}"));
            DEPTH_MAX
        }
    }
}

fn read_line_bytes_max(table: &mut TableHelper<'_>, findings: &mut Findings<'_>) -> usize {
    let Some((_, mut value)) = table.take("line_bytes_max") else {
        return as_length(LINE_BYTES_MAX);
    };
    let bytes = match value.take() {
        ValueInner::Integer(bytes) => parse_byte_size(&bytes.to_string()),
        ValueInner::String(text) => parse_byte_size(&text),
        other => Err(wanted("a byte size such as \"16MiB\"", &other)),
    };
    let bytes = bytes.and_then(|bytes| match bytes {
        1..=LINE_BYTES_LIMIT => Ok(bytes),
        _ => Err(format!("expected 1 byte to 256MiB, found {bytes} bytes")),
    });
    as_length(bytes.unwrap_or_else(|message| {
        findings.add(value.span, message);
        LINE_BYTES_MAX
    }))
}

/// Sizes here are at most [`LINE_BYTES_LIMIT`], which any `usize` holds.
fn as_length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
