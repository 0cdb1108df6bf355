//! DataFusion's errors as findings about a SQL file, with line, column and near names.

use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::functions::all_default_functions;
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::sql::sqlparser::parser::ParserError;

use super::sql_signatures::signature_message;
use super::sql_syntax::{SyntaxFault, syntax_fault};
use crate::base::config::{ConfigFile, line_and_column, nearest};
use crate::base::error::Diagnostic;

/// What is wrong with a SQL file; one finding for each error that DataFusion collected.
pub(crate) fn diagnostics(file: &ConfigFile, error: &DataFusionError) -> Vec<Diagnostic> {
    error.iter().map(|error| diagnostic(file, error)).collect()
}

fn diagnostic(file: &ConfigFile, error: &DataFusionError) -> Diagnostic {
    if let Some(SyntaxFault { message, help, place }) = syntax_fault_of(&file.text, error) {
        let fault = Diagnostic::new(message).in_file(&file.path).at(place.0, place.1);
        return match help {
            Some(help) => fault.help(help),
            None => fault,
        };
    }
    let (message, mut help) = message_and_help(error);
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let (line, column) = match span {
        Some(span) => (span.start.line as usize, span.start.column as usize),
        None => place_in_message(error.find_root())
            .unwrap_or_else(|| place_of_words(&file.text, &message)),
    };
    if message.starts_with("no column") && character_at(&file.text, line, column) == Some('"') {
        let text = "a text stands in single quotes";
        help = Some(help.map_or(text.to_owned(), |help| format!("{help} ({text})")));
    }
    let diagnostic = Diagnostic::new(message).in_file(&file.path).at(line, column);
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// What the parser says; none if the text was parsed.
fn syntax_fault_of(text: &str, error: &DataFusionError) -> Option<SyntaxFault> {
    let DataFusionError::SQL(parser_error, _) = error.find_root() else { return None };
    match parser_error.as_ref() {
        ParserError::RecursionLimitExceeded => Some(syntax_fault(text, "", None, true)),
        ParserError::ParserError(said) => {
            let place = place_in_message(error.find_root());
            let said = said.rsplit_once(" at Line: ").map_or(said.as_str(), |(said, _)| said);
            Some(syntax_fault(text, said, place, false))
        }
        ParserError::TokenizerError(_) => None,
    }
}

fn character_at(text: &str, line: usize, column: usize) -> Option<char> {
    text.lines().nth(line.checked_sub(1)?)?.chars().nth(column.checked_sub(1)?)
}

/// The message on one line, lower case at its start, and advice.
pub(crate) fn message_and_help(error: &DataFusionError) -> (String, Option<String>) {
    let error = error.find_root();
    if let DataFusionError::SchemaError(schema_error, _) = error {
        return schema_message(schema_error);
    }
    let text = match error {
        DataFusionError::SQL(parser_error, _) => match parser_error.as_ref() {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
                // The place stands before the message.
                text.rsplit_once(" at Line: ").map_or(text.clone(), |(text, _)| text.to_owned())
            }
            ParserError::RecursionLimitExceeded => "the query nests too deeply".to_owned(),
        },
        other => other.message().into_owned(),
    };
    if let Some(plain) = plain_words(&text) {
        return plain;
    }
    let first = whole_message(&text);
    let first = first.strip_prefix("Error during planning: ").map_or(first.clone(), str::to_owned);
    let help = text.lines().skip(1).find(|line| line.starts_with("Did you mean"));
    (lower_case_start(first.trim_end_matches('.')), help.map(lower_case_start))
}

/// Messages of the planner that say what it did, not what is wrong.
fn plain_words(text: &str) -> Option<(String, Option<String>)> {
    if let Some(plain) = signature_message(text) {
        return Some(plain);
    }
    if text.contains("No SQL statements were provided") {
        let message = "expected a SELECT, found nothing".to_owned();
        return Some((message, Some("write one, or remove the file".to_owned())));
    }
    if text.contains("HAVING clause references") {
        let message = "`HAVING` looks at what is neither grouped nor an aggregate".to_owned();
        return Some((message, Some("write the condition in `WHERE`".to_owned())));
    }
    if let Some((_, after)) = text.split_once("ariable [\"") {
        let name = after.split('"').next()?;
        let help = "write a parameter of `[parameters]` in pipeline.toml as `$name`";
        return Some((format!("no variable `{name}`"), Some(help.to_owned())));
    }
    if let Some((_, after)) = text.split_once("Unsupported SQL type ") {
        let help = "write `VARCHAR`, `BIGINT`, `DOUBLE`, `DECIMAL(p, s)`, `BOOLEAN`, `DATE`, \
                    `TIMESTAMP` or `BYTEA`";
        return Some((format!("type `{after}` is not supported"), Some(help.to_owned())));
    }
    if let Some((_, after)) = text.split_once("table 'datafusion.")
        && let Some((name, _)) = after.split_once("' not found")
    {
        let help = "write the table's name alone: there are no schemas";
        return Some((format!("no table or view `{name}`"), Some(help.to_owned())));
    }
    if text.contains("only supports a single SQL statement") {
        let help = "write each in a file of its own";
        return Some(("expected one SELECT, found several".to_owned(), Some(help.to_owned())));
    }
    if text.contains("Projections require unique expression names") {
        let named = text.split("the expression \"").nth(1)?.split('"').next()?;
        let name = named.rsplit('.').next().unwrap_or(named);
        return Some(twice(name));
    }
    if text.contains("must appear in the GROUP BY clause") {
        let column = text.split("olumn \"").last()?.split('"').next()?;
        let column = column.rsplit('.').next().unwrap_or(column);
        let message = format!("column `{column}` stands neither in GROUP BY nor in an aggregate");
        let help = format!("add it to GROUP BY, or write `first_value({column})`");
        return Some((message, Some(help)));
    }
    if let Some((_, tree)) = text.split_once("nsupported ast node") {
        // What follows is the syntax tree.
        let kind: String = tree
            .chars()
            .skip_while(|c| !c.is_uppercase())
            .take_while(|c| c.is_alphanumeric())
            .collect();
        let message = format!("this form of SQL is not supported ({kind})");
        return Some((message, Some("write it in another form".to_owned())));
    }
    None
}

fn twice(name: &str) -> (String, Option<String>) {
    let message = format!("column `{name}` stands more than once in the result");
    let help = format!(
        "give each a name of its own with AS; after a star leave the other out: \
         `* EXCLUDE ({name})`"
    );
    (message, Some(help))
}

fn schema_message(error: &SchemaError) -> (String, Option<String>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => missing_column(field, valid_fields),
        // A qualified and an unqualified column of one name, as of `*, a + 1 AS a`.
        SchemaError::AmbiguousReference { field } if field.relation.is_some() => {
            twice(field.name())
        }
        SchemaError::AmbiguousReference { field } => {
            let name = field.name();
            let message = format!("column `{name}` is in several of the joined tables");
            (message, Some(format!("say whose it is: `a.{name}`")))
        }
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => twice(name),
    }
}

/// What may have been meant by a column that is not there.
fn missing_column(field: &Column, valid: &[Column]) -> (String, Option<String>) {
    let name = field.name();
    let quoted = |column: &Column| match &column.relation {
        Some(table) => format!("`{table}.{}`", column.name),
        None => format!("`{}`", column.name),
    };
    let elsewhere: Vec<String> =
        valid.iter().filter(|column| column.name == name).map(quoted).collect();
    if let (Some(table), false) = (&field.relation, elsewhere.is_empty()) {
        let message = format!("no column `{name}` in a table `{table}` here");
        return (message, Some(format!("there is {}", elsewhere.join(", "))));
    }
    let other_case = |column: &&Column| column.name.eq_ignore_ascii_case(name);
    let message = format!("no column `{name}`");
    if let Some(column) = valid.iter().find(other_case) {
        let help = format!(
            "the column is `{0}`: write \"{0}\" in double quotes, as names without quotes are read \
             in lower case",
            column.name
        );
        return (message, Some(help));
    }
    let mut known: Vec<&str> = Vec::new();
    for column in valid {
        if !known.contains(&column.name()) {
            known.push(column.name());
        }
    }
    let help = match nearest(name, &known) {
        Some(near) if near.chars().any(char::is_uppercase) => {
            format!("did you mean `\"{near}\"`, in double quotes?")
        }
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "no column can be named here".to_owned(),
        None => format!("expected one of: {}", known.join(", ")),
    };
    (message, Some(help))
}

/// A message on one line: the first of its lines, and all of them where a pattern is shown.
pub(crate) fn whole_message(text: &str) -> String {
    if !text.contains("regex") && !text.contains("egular expression") {
        return text.lines().next().unwrap_or_default().to_owned();
    }
    let is_pointer = |line: &&str| line.chars().all(|c| matches!(c, '^' | '~' | ' '));
    let lines = text.lines().map(str::trim).filter(|line| !is_pointer(line));
    lines.collect::<Vec<_>>().join(" ")
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
    let called = message.strip_prefix('`').and_then(|rest| rest.split('`').next());
    if let Some(position) = called.and_then(|called| place_of_call(sql, called)) {
        return line_and_column(sql, position);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = message.split(|c| !is_word(c)).filter(|word| word.len() > 2);
    let position = words.filter_map(|word| position_of_word(sql, word)).next();
    line_and_column(sql, position.unwrap_or(0))
}

/// Where a function is called, by whichever of its names.
fn place_of_call(sql: &str, function: &str) -> Option<usize> {
    let scalar = all_default_functions();
    let scalar = scalar.iter().find(|known| known.name() == function);
    let aggregate = all_default_aggregate_functions();
    let aggregate = aggregate.iter().find(|known| known.name() == function);
    let mut names = vec![function.to_owned()];
    names.extend(scalar.iter().flat_map(|known| known.aliases().iter().cloned()));
    names.extend(aggregate.iter().flat_map(|known| known.aliases().iter().cloned()));
    names.iter().filter_map(|name| position_of_word(sql, name)).min()
}

/// Where a whole word first stands, whatever its case.
pub(crate) fn position_of_word(sql: &str, word: &str) -> Option<usize> {
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
    fn a_function_is_found_by_its_other_names() {
        assert_eq!(place_of_call("SELECT date_format(a, 'x')", "to_char"), Some(7));
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
