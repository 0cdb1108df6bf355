//! DataFusion's errors as findings about a SQL file, with line, column and near names.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::config::{ConfigFile, line_and_column, nearest};
use crate::error::Diagnostic;

/// What is wrong with a SQL file; one finding for each error that DataFusion collected.
pub(super) fn diagnostics(file: &ConfigFile, error: &DataFusionError) -> Vec<Diagnostic> {
    error.iter().map(|error| diagnostic(file, error)).collect()
}

fn diagnostic(file: &ConfigFile, error: &DataFusionError) -> Diagnostic {
    let (message, help) = message_and_help(error);
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let (line, column) = match span {
        Some(span) => (span.start.line as usize, span.start.column as usize),
        None => place_in_message(error.find_root())
            .unwrap_or_else(|| place_of_words(&file.text, &message)),
    };
    let diagnostic = Diagnostic::new(message).in_file(&file.path).at(line, column);
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// The first line of the message, lower case at its start, and advice.
pub(super) fn message_and_help(error: &DataFusionError) -> (String, Option<String>) {
    let error = error.find_root();
    if let DataFusionError::SchemaError(schema_error, _) = error
        && let SchemaError::FieldNotFound { field, valid_fields } = schema_error.as_ref()
    {
        let known: Vec<&str> = valid_fields.iter().map(|column| column.name()).collect();
        let help = match nearest(field.name(), &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected one of: {}", known.join(", ")),
        };
        return (format!("no column `{}`", field.name()), Some(help));
    }
    let text = match error {
        DataFusionError::SQL(parser_error, _) => match parser_error.as_ref() {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "the query nests too deeply".to_owned(),
        },
        other => other.message().into_owned(),
    };
    let first = text.lines().next().unwrap_or_default().to_owned();
    let first = first.strip_prefix("Error during planning: ").map_or(first.clone(), str::to_owned);
    let help = text.lines().skip(1).find(|line| line.starts_with("Did you mean"));
    (lower_case_start(first.trim_end_matches('.')), help.map(lower_case_start))
}

fn lower_case_start(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// The parser writes its place into the message: `… at Line: 3, Column: 8`.
fn place_in_message(error: &DataFusionError) -> Option<(usize, usize)> {
    let message = error.message();
    let (_, after) = message.rsplit_once("Line: ")?;
    let (line, after) = after.split_once(", Column: ")?;
    let column: String = after.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// Errors of types have no place: the first name of the message that stands in the file is near.
fn place_of_words(sql: &str, message: &str) -> (usize, usize) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = message.split(|c| !is_word(c)).filter(|word| word.len() > 2);
    let position = words.filter_map(|word| position_of_word(sql, word)).next();
    line_and_column(sql, position.unwrap_or(0))
}

/// Where a whole word first stands, whatever its case.
pub(super) fn position_of_word(sql: &str, word: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (lower, word) = (sql.to_ascii_lowercase(), word.to_ascii_lowercase());
    let found = lower.match_indices(&word).find(|(position, found)| {
        let before = lower[..*position].chars().next_back();
        let after = lower[position + found.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    });
    found.map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_whole_and_in_any_case() {
        assert_eq!(position_of_word("select amounts, AMOUNT from x", "amount"), Some(16));
        assert_eq!(position_of_word("select a", "b"), None);
    }

    #[test]
    fn a_parser_error_keeps_its_place() {
        let error = ParserError::ParserError("Expected: x at Line: 3, Column: 8".to_owned());
        let error = DataFusionError::SQL(Box::new(error), None);
        let file = ConfigFile { path: "a.sql".into(), text: "select".to_owned() };
        let found = diagnostics(&file, &error);
        assert_eq!(found[0].place, Some((3, 8)));
    }
}
