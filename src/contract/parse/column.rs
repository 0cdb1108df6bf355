//! `[[column]]` and `[[column.item]]`.

use std::collections::HashMap;

use toml_span::Span;
use toml_span::de_helpers::TableHelper;
use toml_span::span::Spanned;
use toml_span::value::{Value, ValueInner};

use super::findings::{Findings, optional, wanted};
use super::mending::MendingKeys;
use super::timestamp::{TimestampKeys, read_date, read_timestamp};
use crate::base::config::suggestion;
use crate::contract::{Column, ColumnReader, ColumnType, JsonPath, OnMismatch, TimestampForm};

/// The types as a contract names them.
const TYPES: [&str; 10] = [
    "string",
    "bool",
    "int32",
    "int64",
    "float64",
    "decimal(12,2)",
    "date",
    "timestamp",
    "list",
    "json",
];
/// Digits that a decimal of 128 bits holds.
const PRECISION_MAX: u8 = 38;

/// Reads the columns of the table or of a list; `reserved` are names that others have.
pub(super) fn read_columns(
    value: &mut Value<'_>,
    findings: &mut Findings<'_>,
    reserved: &[&str],
) -> Vec<Column> {
    let span = value.span;
    let tables = match value.take() {
        ValueInner::Array(tables) => tables,
        other => {
            let message = wanted("tables in double brackets, as `[[column]]`", &other);
            findings.add(span, message);
            return Vec::new();
        }
    };
    if tables.is_empty() {
        findings.add(span, "expected at least one column, found none");
    }
    let mut lines_by_name = HashMap::new();
    let mut columns = Vec::with_capacity(tables.len());
    for mut table in tables {
        let Some(column) = read_column(&mut table, findings) else { continue };
        check_name(&column.name, findings, reserved, &mut lines_by_name);
        columns.push(Column { name: column.name.value, ..column.column });
    }
    columns
}

struct NamedColumn {
    name: Spanned<String>,
    column: Column,
}

fn check_name(
    name: &Spanned<String>,
    findings: &mut Findings<'_>,
    reserved: &[&str],
    lines_by_name: &mut HashMap<String, usize>,
) {
    let text = &name.value;
    if text.is_empty() || text.contains(char::is_control) {
        findings.add(name.span, "expected a column's name without control characters");
    }
    let folded = text.to_lowercase();
    if reserved.contains(&folded.as_str()) {
        let message = format!("expected another name than `{text}`, which each row has already");
        findings.add(name.span, message);
    }
    let line = findings.line_of(name.span);
    if let Some(first) = lines_by_name.insert(folded, line) {
        let help = "Hive and Spark do not tell upper from lower case";
        let message = format!("column `{text}` is there twice, first in line {first}");
        findings.add_with_help(name.span, message, help);
    }
}

fn read_column(value: &mut Value<'_>, findings: &mut Findings<'_>) -> Option<NamedColumn> {
    let mut table = findings.table(value)?;
    let name = table.required_s::<String>("name").ok();
    let paths = read_paths(&mut table, findings, name.as_ref());
    let number_in_string = optional::<bool>(&mut table, "number_in_string");
    let column_type = read_type(&mut table, findings, number_in_string.as_ref());
    let mending = MendingKeys::take(&mut table, findings);
    let required = optional::<bool>(&mut table, "required");
    let on_mismatch = optional::<String>(&mut table, "on_mismatch");
    let on_mismatch_span = on_mismatch.as_ref().map(|word| word.span);
    let on_mismatch = findings.word(
        on_mismatch,
        "a policy",
        &[("reject", OnMismatch::Reject), ("null", OnMismatch::Null)],
    );
    let default = table.take("default").map(|(_, value)| value);
    findings.finish(table);

    let column_type = column_type?;
    let mut column = Column {
        name: String::new(),
        paths,
        mending: mending.read(findings, &column_type),
        column_type,
        required: required.as_ref().is_some_and(|required| required.value),
        default: None,
        on_mismatch: on_mismatch.unwrap_or(OnMismatch::Reject),
        number_in_string: number_in_string.is_some_and(|number| number.value),
    };
    if column.required && column.on_mismatch == OnMismatch::Null {
        let message = "a required column cannot be NULL: drop `required` or `on_mismatch`";
        findings.add(on_mismatch_span?, message);
    }
    if let Some(default) = default {
        if column.required {
            let message = "a column with a default needs no `required`: drop one of them";
            findings.add(default.span, message);
        }
        read_default(default, &mut column, findings);
    }
    Some(NamedColumn { name: name?, column })
}

fn read_paths(
    table: &mut TableHelper<'_>,
    findings: &mut Findings<'_>,
    name: Option<&Spanned<String>>,
) -> Vec<JsonPath> {
    let path = optional::<String>(table, "path");
    let paths = optional::<Vec<Spanned<String>>>(table, "paths");
    let texts = match (path, paths) {
        (Some(_), Some(paths)) => {
            findings.add(paths.span, "expected `path` or `paths`, found both");
            Vec::new()
        }
        (Some(path), None) => vec![path],
        (None, Some(paths)) => {
            if paths.value.is_empty() {
                findings.add(paths.span, "expected at least one path, found none");
            }
            paths.value
        }
        (None, None) => {
            return name.map(|name| JsonPath(vec![name.value.clone()])).into_iter().collect();
        }
    };
    let mut read = Vec::with_capacity(texts.len());
    for text in texts {
        match text.value.parse::<JsonPath>() {
            Ok(path) if read.contains(&path) => {
                findings.add(text.span, format!("path `{path}` is there twice"));
            }
            Ok(path) => read.push(path),
            Err(reason) => {
                findings.add(text.span, format!("path `{}`: {reason}", text.value));
            }
        }
    }
    read
}

/// The type, with the keys that only some types have.
fn read_type(
    table: &mut TableHelper<'_>,
    findings: &mut Findings<'_>,
    number_in_string: Option<&Spanned<bool>>,
) -> Option<ColumnType> {
    let name = table.required_s::<String>("type").ok();
    let keys = TimestampKeys::take(table);
    let item = table.take("item").map(|(_, value)| value);
    let name = name?;
    let column_type = match name.value.as_str() {
        "timestamp" => {
            let in_string = number_in_string.is_some_and(|number| number.value);
            read_timestamp(keys, in_string, findings)?
        }
        "date" => read_date(keys, findings)?,
        other => {
            keys.refuse(findings, other);
            match other {
                "list" => ColumnType::List(match &item {
                    Some(_) => Vec::new(),
                    None => {
                        let message = "expected `[[column.item]]` below a column of type `list`";
                        findings.add(name.span, message);
                        return None;
                    }
                }),
                _ => simple_type(&name, findings)?,
            }
        }
    };
    let column_type = match (column_type, item) {
        (ColumnType::List(_), Some(mut item)) => {
            ColumnType::List(read_columns(&mut item, findings, &[]))
        }
        (other, Some(item)) => {
            findings.add(item.span, format!("`item` goes with type `list` only, found `{other}`"));
            other
        }
        (other, None) => other,
    };
    let asked_for = number_in_string.filter(|number| number.value);
    if let Some(number_in_string) = asked_for.filter(|_| !column_type.may_be_number()) {
        let message = format!("`number_in_string` means nothing for type `{column_type}`");
        let help = "it is for number types and for timestamps in an epoch form";
        findings.add_with_help(number_in_string.span, message, help);
    }
    Some(column_type)
}

fn simple_type(name: &Spanned<String>, findings: &mut Findings<'_>) -> Option<ColumnType> {
    let simple = simple_type_of(&name.value).unwrap_or_else(|| {
        let help = type_help(&name.value, TYPES.into_iter());
        Err(format!("unknown type `{}`; {help}", name.value))
    });
    simple.map_err(|message| findings.add(name.span, message)).ok()
}

/// What may have been meant by a name of no type: SQL and other programs have their own.
fn type_help<'t>(name: &str, known: impl Iterator<Item = &'t str>) -> String {
    let lower = name.to_lowercase();
    let bare = lower.split(['(', '<', '[']).next().unwrap_or_default().trim();
    let ours = match bare {
        "bigint" | "long" | "int" | "integer" | "int8" | "uint64" => "int64",
        "smallint" | "short" | "tinyint" | "int16" => "int32",
        "varchar" | "text" | "str" | "char" | "utf8" | "uuid" => "string",
        "datetime" | "timestamptz" | "timestamp_ntz" | "time" => "timestamp",
        "double" | "float" | "real" | "float32" | "number" => "float64",
        "numeric" => "decimal(12,2)",
        "boolean" => "bool",
        "array" => "list` with `[[column.item]]",
        "map" | "object" | "struct" | "record" | "variant" | "jsonb" => "json",
        _ => return suggestion(name, known),
    };
    format!("did you mean `{ours}`?")
}

/// The type of a name, without keys of its own; none for other names.
fn simple_type_of(name: &str) -> Option<Result<ColumnType, String>> {
    Some(Ok(match name {
        "string" => ColumnType::String,
        "bool" => ColumnType::Bool,
        "int32" => ColumnType::Int32,
        "int64" => ColumnType::Int64,
        "float64" => ColumnType::Float64,
        "json" => ColumnType::Json,
        decimal if decimal.starts_with("decimal") => return Some(decimal_type(decimal)),
        _ => return None,
    }))
}

impl ColumnType {
    /// The type that a name stands for by itself: any but `list`; dates and timestamps are
    /// RFC 3339.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn of_name(name: &str) -> Result<Self, String> {
        let forms = vec![TimestampForm::Rfc3339];
        match name {
            "date" => Ok(ColumnType::Date { forms }),
            "timestamp" => Ok(ColumnType::Timestamp { forms, assumed_zone: None }),
            other => simple_type_of(other).unwrap_or_else(|| {
                let known = TYPES.into_iter().filter(|name| *name != "list");
                Err(format!("unknown type `{other}`; {}", type_help(other, known)))
            }),
        }
    }

    /// Whether its values may be numbers.
    pub fn may_be_number(&self) -> bool {
        match self {
            ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::Float64
            | ColumnType::Decimal { .. } => true,
            ColumnType::Timestamp { forms, .. } => forms.iter().any(TimestampForm::is_epoch),
            ColumnType::String
            | ColumnType::Bool
            | ColumnType::Date { .. }
            | ColumnType::List(_)
            | ColumnType::Json => false,
        }
    }
}

/// Reads `decimal(12,2)`, spaces allowed.
fn decimal_type(text: &str) -> Result<ColumnType, String> {
    let inner = text.strip_prefix("decimal").map(str::trim);
    let inner = inner.and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
    let parts = inner.and_then(|inner| inner.split_once(','));
    let number = |text: &str| text.trim().parse::<u8>().ok();
    let parts = parts.and_then(|(precision, scale)| Some((number(precision)?, number(scale)?)));
    let Some((precision, scale)) = parts else {
        return Err(format!("expected precision and scale as in `decimal(12,2)`, found `{text}`"));
    };
    if !(1..=PRECISION_MAX).contains(&precision) {
        return Err(format!("expected a precision of 1 to {PRECISION_MAX}, found {precision}"));
    }
    match i8::try_from(scale) {
        Ok(small) if scale <= precision => Ok(ColumnType::Decimal { precision, scale: small }),
        _ => Err(format!("expected a scale of 0 to the precision {precision}, found {scale}")),
    }
}

/// Turns the default into JSON text and tries the column's own rules on it.
fn read_default(mut value: Value<'_>, column: &mut Column, findings: &mut Findings<'_>) {
    let json = match default_as_json(value.take(), value.span, column, findings) {
        Ok(json) => json,
        Err(message) => return findings.add(value.span, message),
    };
    column.default = Some(json);
    if let Some(misfit) = ColumnReader::new(column).default_misfit() {
        let (expected, found) = (&misfit.expected, &misfit.found);
        findings.add(value.span, format!("default: expected {expected}, found {found}"));
    }
}

fn default_as_json(
    value: ValueInner<'_>,
    span: Span,
    column: &Column,
    findings: &Findings<'_>,
) -> Result<String, String> {
    let holds_json = matches!(column.column_type, ColumnType::List(_) | ColumnType::Json);
    match value {
        ValueInner::String(text) if holds_json => Ok(text.trim().to_owned()),
        ValueInner::String(text) => Ok(serde_json::Value::from(text.as_ref()).to_string()),
        ValueInner::Integer(number) => Ok(number.to_string()),
        ValueInner::Boolean(value) => Ok(value.to_string()),
        // The text of the file has the digits that a float may have lost.
        ValueInner::Float(number) if number.is_finite() => {
            let text = findings.text_at(span).trim_start_matches('+').replace('_', "");
            let agrees = text.parse() == Ok(number);
            Ok(if agrees { text } else { number.to_string() })
        }
        ValueInner::Float(_) => Err("expected a finite default".to_owned()),
        other => Err(wanted("a scalar, or JSON text in a string, as default", &other)),
    }
}
