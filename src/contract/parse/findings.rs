//! What is wrong with a contract, gathered with its places.

use toml_span::de_helpers::TableHelper;
use toml_span::span::Spanned;
use toml_span::value::{Value, ValueInner};
use toml_span::{DeserError, Deserialize, Span};

use crate::base::config::{ConfigFile, suggestion};
use crate::base::error::Diagnostic;

/// The findings about one file.
pub(super) struct Findings<'f> {
    file: &'f ConfigFile,
    found: Vec<Diagnostic>,
}

impl<'f> Findings<'f> {
    pub(super) fn new(file: &'f ConfigFile) -> Self {
        Findings { file, found: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All findings in the order of the file; those about the whole file first.
    pub(super) fn in_order(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.place);
        self.found
    }

    pub(super) fn add(&mut self, span: Span, message: impl Into<String>) {
        self.found.push(self.file.diagnostic(span, message));
    }

    pub(super) fn add_with_help(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.found.push(self.file.diagnostic(span, message).help(help));
    }

    pub(super) fn add_without_place(&mut self, message: &str) {
        self.found.push(Diagnostic::new(message).in_file(&self.file.path));
    }

    /// The text of the file at a span.
    pub(super) fn text_at(&self, span: Span) -> &'f str {
        self.file.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line of a span, from 1.
    pub(super) fn line_of(&self, span: Span) -> usize {
        self.file.diagnostic(span, "").place.map_or(1, |(line, _)| line)
    }

    /// A value as a table; none with a finding if it is none.
    pub(super) fn table<'de>(&mut self, value: &mut Value<'de>) -> Option<TableHelper<'de>> {
        TableHelper::new(value).map_err(|errors| self.add_all(&errors)).ok()
    }

    /// Ends the reading of a table: what went wrong and which keys nobody asked for.
    pub(super) fn finish(&mut self, table: TableHelper<'_>) {
        if let Err(errors) = table.finalize(None) {
            self.add_all(&errors);
        }
    }

    fn add_all(&mut self, errors: &DeserError) {
        self.found.extend(self.file.diagnostics(errors));
    }

    /// What a word means; none, with a finding, if it is not among the known ones.
    pub(super) fn word<T: Clone>(
        &mut self,
        word: Option<Spanned<String>>,
        what: &str,
        known: &[(&str, T)],
    ) -> Option<T> {
        let word = word?;
        let meaning = known.iter().find(|(name, _)| *name == word.value);
        if meaning.is_none() {
            let help = suggestion(&word.value, known.iter().map(|(name, _)| *name));
            self.add_with_help(word.span, format!("expected {what}, found `{}`", word.value), help);
        }
        meaning.map(|(_, meaning)| meaning.clone())
    }
}

/// A key's value with its place; one of another type is a finding when the table ends.
pub(super) fn optional<'de, T: Deserialize<'de>>(
    table: &mut TableHelper<'de>,
    key: &'static str,
) -> Option<Spanned<T>> {
    table.optional_s(key)
}

/// `expected …, found array`.
pub(super) fn wanted(expected: &str, found: &ValueInner<'_>) -> String {
    format!("expected {expected}, found {}", found.type_str())
}
