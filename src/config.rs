//! Configuration files: TOML whose every error has a place.
//!
//! `toml-span` keeps the span of each key and value and goes on after an error, so that one check
//! of a file finds all that is wrong with it; serde would stop at the first.

use std::path::PathBuf;

use toml_span::{DeserError, ErrorKind, Span};

use crate::error::Diagnostic;

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
                    diagnostic.help(suggestion(key, expected.iter().map(String::as_str)))
                });
                unknown.collect()
            }
            ErrorKind::MissingField(field) => {
                vec![self.diagnostic(error.span, format!("missing key `{field}`"))]
            }
            ErrorKind::Wanted { expected, found } => {
                vec![self.diagnostic(error.span, format!("expected {expected}, found {found}"))]
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
