//! Parameters: typed values that SQL files refer to as `$name`.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};

/// A declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What its values look like.
    pub parameter_type: ParameterType,
    /// The value unless `--param` gives one; without it, `--param` must.
    pub default: Option<ParameterValue>,
}

/// Types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// 64-bit signed integer.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// Calendar day, `2026-11-21`.
    Date,
    /// RFC 3339 with an offset.
    Timestamp,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// Text.
    String(String),
    /// `true` or `false`.
    Bool(bool),
    /// 64-bit signed integer.
    Int64(i64),
    /// IEEE 754 double.
    Float64(f64),
    /// Calendar day.
    Date(NaiveDate),
    /// Point in time, to the microsecond.
    Timestamp(DateTime<Utc>),
}

/// The names of all types, for errors.
pub const TYPE_NAMES: [&str; 6] = ["string", "bool", "int64", "float64", "date", "timestamp"];

impl ParameterType {
    /// The type of a name in configuration.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => ParameterType::String,
            "bool" => ParameterType::Bool,
            "int64" => ParameterType::Int64,
            "float64" => ParameterType::Float64,
            "date" => ParameterType::Date,
            "timestamp" => ParameterType::Timestamp,
            _ => return None,
        })
    }

    /// A value that stands in for a missing one where SQL is only checked.
    pub fn example(self) -> ParameterValue {
        match self {
            ParameterType::String => ParameterValue::String(String::new()),
            ParameterType::Bool => ParameterValue::Bool(false),
            ParameterType::Int64 => ParameterValue::Int64(0),
            ParameterType::Float64 => ParameterValue::Float64(0.0),
            ParameterType::Date => ParameterValue::Date(NaiveDate::default()),
            ParameterType::Timestamp => ParameterValue::Timestamp(DateTime::UNIX_EPOCH),
        }
    }

    /// Reads a value; on failure, says what was expected and found.
    pub fn parse(self, text: &str) -> Result<ParameterValue, String> {
        let wrong = |expected: &str| format!("expected {expected}, found `{text}`");
        match self {
            ParameterType::String => Ok(ParameterValue::String(text.to_owned())),
            ParameterType::Bool => {
                text.parse().map(ParameterValue::Bool).map_err(|_| wrong("true or false"))
            }
            ParameterType::Int64 => {
                text.parse().map(ParameterValue::Int64).map_err(|_| wrong("a 64-bit integer"))
            }
            ParameterType::Float64 => {
                text.parse().map(ParameterValue::Float64).map_err(|_| wrong("a number"))
            }
            ParameterType::Date => {
                text.parse().map(ParameterValue::Date).map_err(|_| wrong("a day as 2026-11-21"))
            }
            ParameterType::Timestamp => DateTime::parse_from_rfc3339(text)
                .map(|at| ParameterValue::Timestamp(at.to_utc()))
                .map_err(|_| wrong("a timestamp as 2026-11-21T00:00:00+09:00")),
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TYPE_NAMES[*self as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_name() {
        for name in TYPE_NAMES {
            assert_eq!(ParameterType::of_name(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_value_of_another_shape_says_what_was_expected() {
        assert_eq!(
            ParameterType::Int64.parse("ten").unwrap_err(),
            "expected a 64-bit integer, found `ten`"
        );
        assert!(ParameterType::Timestamp.parse("2026-11-21T00:00:00").is_err());
    }
}
