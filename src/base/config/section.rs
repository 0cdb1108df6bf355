//! One table of a TOML file, read key by key; whatever is wrong is recorded and reading goes on.

use std::str::FromStr;

use toml_span::de_helpers::TableHelper;
use toml_span::value::{Value, ValueInner};
use toml_span::{DeserError, Deserialize, Span, Spanned};

use super::{ConfigFile, parse_byte_size, parse_duration, suggestion};
use crate::base::error::Diagnostic;

/// All that was found wrong with a file so far.
pub(crate) struct Findings<'f> {
    pub file: &'f ConfigFile,
    pub diagnostics: Vec<Diagnostic>,
}

impl Findings<'_> {
    /// Records a finding at a place of the file.
    pub fn at(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(self.file.diagnostic(span, message));
    }

    /// Records a word that is none of the known ones.
    pub fn unknown(&mut self, what: &str, word: &Spanned<String>, known: &[&str]) {
        let help = suggestion(&word.value, known.iter().copied());
        let message = format!("unknown {what} `{}`", word.value);
        self.diagnostics.push(self.file.diagnostic(word.span, message).help(help));
    }

    fn toml(&mut self, error: &DeserError) {
        self.diagnostics.extend(self.file.diagnostics(error));
    }
}

/// A table that is being read.
pub(crate) struct Section<'de> {
    table: TableHelper<'de>,
    /// Where the table begins.
    pub span: Span,
}

impl<'de> Section<'de> {
    /// Reads a table with `read`; keys that it did not ask for are recorded as unknown.
    pub fn read<T>(
        value: &mut Value<'de>,
        found: &mut Findings<'_>,
        read: impl FnOnce(&mut Section<'de>, &mut Findings<'_>) -> Option<T>,
    ) -> Option<T> {
        let span = value.span;
        let table = TableHelper::new(value).map_err(|error| found.toml(&error)).ok()?;
        let mut section = Section { table, span };
        let typed = read(&mut section, found);
        if let Err(error) = section.table.finalize(None) {
            found.toml(&error);
        }
        typed
    }

    /// A text that may be absent.
    pub fn text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.table.optional_s(key)
    }

    /// Takes a key off, whatever it holds; gives its place if it is there.
    pub fn take_place(&mut self, key: &'static str) -> Option<Span> {
        self.table.take(key).map(|(_, value)| value.span)
    }

    /// A text whose absence is recorded.
    pub fn required_text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        self.table.required_s(key).ok()
    }

    /// A string, number or bool as its text.
    pub fn scalar_text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let scalar = self.table.optional_s::<ScalarText>(key)?;
        Some(Spanned::with_span(scalar.value.0, scalar.span))
    }

    /// A list of texts; empty if absent.
    pub fn texts(&mut self, key: &'static str) -> Vec<Spanned<String>> {
        self.table.optional(key).unwrap_or_default()
    }

    /// A number, or a text that is one (as a variable gives it).
    pub fn number<T: FromStr>(
        &mut self,
        key: &'static str,
        found: &mut Findings<'_>,
    ) -> Option<Spanned<T>> {
        let text = self.scalar_text(key)?;
        match text.value.trim().parse() {
            Ok(number) => Some(Spanned::with_span(number, text.span)),
            Err(_) => {
                let message = format!("`{key}`: expected a number, found `{}`", text.value);
                found.at(text.span, message);
                None
            }
        }
    }

    /// A number of bytes such as `128MiB`.
    pub fn byte_size(&mut self, key: &'static str, found: &mut Findings<'_>) -> Option<u64> {
        let text = self.scalar_text(key)?;
        match parse_byte_size(&text.value) {
            Ok(size) if size > 0 => Some(size),
            Ok(_) => {
                found.at(text.span, format!("`{key}`: expected more than 0 bytes"));
                None
            }
            Err(message) => {
                found.at(text.span, format!("`{key}`: {message}"));
                None
            }
        }
    }

    /// A length of time such as `30min`.
    pub fn duration(
        &mut self,
        key: &'static str,
        found: &mut Findings<'_>,
    ) -> Option<std::time::Duration> {
        let text = self.text(key)?;
        match parse_duration(&text.value) {
            Ok(duration) if !duration.is_zero() => Some(duration),
            Ok(_) => {
                found.at(text.span, format!("`{key}`: expected more than no time"));
                None
            }
            Err(message) => {
                found.at(text.span, format!("`{key}`: {message}"));
                None
            }
        }
    }

    /// `true` or `false`, or a text that is one (as a variable gives it).
    pub fn truth(&mut self, key: &'static str, default: bool, found: &mut Findings<'_>) -> bool {
        let Some(text) = self.scalar_text(key) else { return default };
        text.value.parse().unwrap_or_else(|_| {
            found.at(text.span, format!("`{key}`: expected true or false, found `{}`", text.value));
            default
        })
    }

    /// One of some words; the first is the default.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        found: &mut Findings<'_>,
    ) -> T {
        let Some(word) = self.text(key) else { return choices[0].1 };
        match choices.iter().find(|(name, _)| *name == word.value) {
            Some((_, choice)) => *choice,
            None => {
                let known: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                found.unknown(key, &word, &known);
                choices[0].1
            }
        }
    }

    /// A table within this one, which may be absent.
    pub fn section<T>(
        &mut self,
        key: &'static str,
        found: &mut Findings<'_>,
        read: impl FnOnce(&mut Section<'de>, &mut Findings<'_>) -> Option<T>,
    ) -> Option<T> {
        let (_, mut value) = self.table.take(key)?;
        Section::read(&mut value, found, read)
    }

    /// A table within this one, whose absence is recorded.
    pub fn required_section<T>(
        &mut self,
        key: &'static str,
        found: &mut Findings<'_>,
        read: impl FnOnce(&mut Section<'de>, &mut Findings<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.table.contains(key) {
            found.at(self.span, format!("missing table `[{key}]`"));
        }
        self.section(key, found, read)
    }

    /// An array of tables; empty if absent.
    pub fn sections<T>(
        &mut self,
        key: &'static str,
        found: &mut Findings<'_>,
        mut read: impl FnMut(&mut Section<'de>, &mut Findings<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some((_, mut value)) = self.table.take(key) else { return Vec::new() };
        match value.take() {
            ValueInner::Array(mut items) => {
                items.iter_mut().filter_map(|item| Section::read(item, found, &mut read)).collect()
            }
            other => {
                let message = format!("expected `[[{key}]]`, found {}", other.type_str());
                found.at(value.span, message);
                Vec::new()
            }
        }
    }

    /// A table whose keys are names of the user's own.
    pub fn entries(
        &mut self,
        key: &'static str,
        found: &mut Findings<'_>,
    ) -> Vec<(Spanned<String>, Value<'de>)> {
        let Some((_, mut value)) = self.table.take(key) else { return Vec::new() };
        match value.take() {
            ValueInner::Table(table) => table
                .into_iter()
                .map(|(key, item)| (Spanned::with_span(key.name.into_owned(), key.span), item))
                .collect(),
            other => {
                let message = format!("`{key}`: expected a table, found {}", other.type_str());
                found.at(value.span, message);
                Vec::new()
            }
        }
    }
}

/// A string, number or bool as its text.
struct ScalarText(String);

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize(value: &mut Value<'de>) -> Result<Self, DeserError> {
        let span = value.span;
        Ok(ScalarText(match value.take() {
            ValueInner::String(text) => text.into_owned(),
            ValueInner::Integer(number) => number.to_string(),
            ValueInner::Float(number) => number.to_string(),
            ValueInner::Boolean(truth) => truth.to_string(),
            other => {
                let expected = "a string, a number or a bool";
                return Err(toml_span::de_helpers::expected(expected, other, span).into());
            }
        }))
    }
}
