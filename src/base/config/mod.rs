//! Configuration files: TOML whose every error has a place.
//!
//! `toml-span` keeps the span of each key and value and goes on after an error, so that one check
//! of a file finds all that is wrong with it; serde would stop at the first.

mod keys;
pub(crate) mod paths;
pub(crate) mod section;
pub(crate) mod time_zone;
pub(crate) mod variables;

use std::path::PathBuf;
use std::time::Duration;

use toml_span::{DeserError, ErrorKind, Span};

use super::error::Diagnostic;

use keys::{key_before, key_help};

/// A configuration file's text, which turns byte spans into lines and columns.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The path as the user named it.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

impl ConfigFile {
    /// A finding at `span`, a byte range of the text.
    pub fn diagnostic(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        let (line, column) = line_and_column(&self.text, span.start);
        Diagnostic::new(message).in_file(&self.path).at(line, column)
    }

    /// What the TOML reader found, each with its place; unknown keys come with a near known one.
    pub fn diagnostics(&self, errors: &DeserError) -> Vec<Diagnostic> {
        errors.errors.iter().flat_map(|error| self.of_toml_error(error)).collect()
    }

    fn of_toml_error(&self, error: &toml_span::Error) -> Vec<Diagnostic> {
        match &error.kind {
            ErrorKind::UnexpectedKeys { keys, expected } => {
                let unknown = keys.iter().map(|(key, span)| {
                    let diagnostic = self.diagnostic(*span, format!("unknown key `{key}`"));
                    diagnostic.help(key_help(key, expected))
                });
                unknown.collect()
            }
            ErrorKind::MissingField(field) => {
                vec![self.diagnostic(error.span, format!("missing key `{field}`"))]
            }
            ErrorKind::Wanted { expected, found } => {
                let key = key_before(&self.text, error.span.start);
                let key = key.map_or_else(String::new, |key| format!("`{key}`: "));
                let wanted = format!("{key}expected {expected}, found {found}");
                let diagnostic = self.diagnostic(error.span, wanted);
                vec![match (expected.to_string().as_str(), found.to_string().as_str()) {
                    ("an array", "string") => diagnostic.help("write it in brackets: `[\"…\"]`"),
                    ("a string", _) => diagnostic.help("write it in quotes"),
                    ("a bool", "string") => diagnostic.help("write `true` or `false`, no quotes"),
                    _ => diagnostic,
                }]
            }
            ErrorKind::Custom(message) => vec![self.diagnostic(error.span, message.as_ref())],
            _ => vec![self.diagnostic(error.span, error.to_string())],
        }
    }
}

/// A custom error at a span, for `Deserialize` implementations.
pub fn error_at(span: Span, message: impl Into<String>) -> toml_span::Error {
    (ErrorKind::Custom(message.into().into()), span).into()
}

/// "did you mean `x`?" if a known word is near, else the list of known words.
pub fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(word, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of: {}", known.join(", ")),
    }
}

/// The known word that a slip of the pen may have meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|k| (strsim::damerau_levenshtein(word, k), *k));
    let (distance, near) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= word.chars().count().max(3) / 3).then_some(near)
}

/// Line and column, both from 1 (columns in characters), of a byte position.
pub fn line_and_column(text: &str, position: usize) -> (usize, usize) {
    let before = text.get(..position).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (line, before[line_start..].chars().count() + 1)
}

/// Reads a byte size: `16MiB`, `512 MiB`, `1GB`, or a plain number of bytes.
///
/// `KiB`, `MiB`, `GiB` and `TiB` are powers of 1024; `kB`, `KB`, `MB`, `GB` and `TB` of 1000; the
/// unit may stand after a space. The result is in bytes.
///
/// # Errors
/// What was expected and what was found, if the text is anything else or beyond 64 bits.
pub fn parse_byte_size(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("expected a byte size such as `16MiB` or `1048576`, found `{text}`");
    let digits_end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.strip_prefix(' ').unwrap_or(unit) {
        "" if unit.is_empty() => 1,
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Reads a length of time: `30s`, `15min`, `400days`, `1h 30m`.
///
/// # Errors
/// What was expected and what was found, if the text is anything else.
pub fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!("expected a length of time such as `30s` or `400days`, found `{text}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes_are_numbers_with_or_without_a_unit() {
        let cases = [
            ("0", 0),
            ("1048576", 1 << 20),
            ("16MiB", 16 << 20),
            ("512 MiB", 512 << 20),
            ("3kB", 3_000),
            ("2GB", 2_000_000_000),
            ("1TiB", 1 << 40),
            ("7B", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_byte_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_byte_size_is_refused_with_the_text() {
        for text in ["", "MiB", "-1", "1.5GiB", "16mib", "16  MiB", "1 ", "99999999TiB", "0x10"] {
            let error = parse_byte_size(text).unwrap_err();
            assert!(error.ends_with(&format!("found `{text}`")), "{error}");
        }
    }
}
