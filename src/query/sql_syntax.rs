//! What cannot be parsed: where it stands, and what may have been meant.
//!
//! The parser says what it expected where it stopped, which may be far after what is wrong. It also
//! tries one reading after another and gives up the last of them, so that a query that nests too
//! deeply is told as another fault; and forms of other databases that it knows in part only.
//!
//! ```text
//! SELECT id FORM logs           expected: end of statement, found: logs; … did you mean `FROM`?
//! PIVOT logs ON kind            `PIVOT` is not supported; write one aggregate a column …
//! ```

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::base::config::nearest;

/// Levels that the parser's bound of 50 leaves to the text.
const LEVELS_MAX: usize = 46;

/// What is written instead of an `ASOF JOIN`.
pub(crate) const ASOF_HELP: &str = "write a `LEFT JOIN` on `b.at <= a.at` and keep the latest by \
     `row_number() OVER (PARTITION BY … ORDER BY b.at DESC) = 1`";
/// What is written instead of `PIVOT`.
pub(crate) const PIVOT_HELP: &str =
    "write one aggregate a column: `sum(n) FILTER (WHERE kind = 'a') AS a`";
/// What is written instead of `UNPIVOT`.
pub(crate) const UNPIVOT_HELP: &str = "write one SELECT a column, and UNION ALL";
/// What is written instead of a text that a tool would replace.
const TEMPLATE_HELP: &str = "nothing is replaced in a SQL file: write `$interval_start`, \
                             `$interval_end` or a parameter of `[parameters]` as `$name`";

/// Words of other databases that the parser knows in part, and what to write instead.
const FOREIGN: [(&str, &str, &str); 6] = [
    ("ASOF", "ASOF JOIN", ASOF_HELP),
    ("PIVOT", "PIVOT", PIVOT_HELP),
    ("UNPIVOT", "UNPIVOT", UNPIVOT_HELP),
    ("DIV", "DIV", "write `a / b`, which is a division of integers if both are"),
    ("SUMMARIZE", "SUMMARIZE", "write the aggregates that you need"),
    ("DESCRIBE", "DESCRIBE", "`ashiato run --dry-run` shows the columns of each output"),
];

/// Key words that begin a part of a query.
const KEY_WORDS: [&str; 14] = [
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "JOIN", "UNION", "WITH",
    "QUALIFY", "WINDOW", "EXCEPT", "DISTINCT",
];

/// A fault of syntax, in our words.
pub(crate) struct SyntaxFault {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Line and column from 1.
    pub place: (usize, usize),
}

/// What a parser's message means; `place` is where it stopped, none at the end of the text.
pub(crate) fn syntax_fault(
    text: &str,
    said: &str,
    place: Option<(usize, usize)>,
    is_too_deep: bool,
) -> SyntaxFault {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
    let tokens: Vec<TokenWithSpan> = tokens
        .unwrap_or_default()
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let (levels, deepest) = nesting(&tokens);
    if is_too_deep || levels >= LEVELS_MAX {
        return SyntaxFault {
            message: "the query nests too deeply: at most some 45 levels of parentheses, `CASE`, \
                      `NOT`, signs and functions, half as many of subqueries"
                .to_owned(),
            help: Some("divide it: columns of a `WITH` query, or a view, for parts of it".into()),
            place: deepest.map_or((1, 1), place_of),
        };
    }
    let end = tokens.last().map_or((1, 1), |last| place_of(last.span.end));
    let place = place.unwrap_or(end);
    let before = tokens.iter().take_while(|token| place_of(token.span.start) <= place);
    let before: Vec<&TokenWithSpan> = before.collect();
    if let Some((name, help, place)) = foreign(&before) {
        let message = format!("`{name}` is not supported");
        return SyntaxFault { message, help: Some(help.to_owned()), place };
    }
    SyntaxFault { message: lower(said), help: meant(&before), place }
}

/// The word of another database that stands shortly before where the parser stopped.
fn foreign(before: &[&TokenWithSpan]) -> Option<(&'static str, &'static str, (usize, usize))> {
    before.iter().rev().take(12).find_map(|token| {
        let word = bare_word(token)?;
        let (_, name, help) = FOREIGN.iter().find(|(known, ..)| *known == word)?;
        Some((*name, *help, place_of(token.span.start)))
    })
}

/// What may have been meant where the parser stopped, or by the word before.
fn meant(before: &[&TokenWithSpan]) -> Option<String> {
    let last = before.last()?;
    let braces = before.iter().rev().take(2).any(|token| token.token == Token::LBrace);
    if braces {
        return Some(TEMPLATE_HELP.to_owned());
    }
    if last.token == Token::RParen
        && before.iter().rev().nth(1).is_some_and(|token| token.token == Token::LParen)
    {
        return Some("write at least one value between the parentheses".to_owned());
    }
    before.iter().rev().take(2).find_map(|token| {
        let word = bare_word(token)?;
        let near = nearest(&word, &KEY_WORDS)?;
        let (line, column) = place_of(token.span.start);
        (near != word).then(|| format!("did you mean `{near}` at {line}:{column}?"))
    })
}

/// How deep the text nests, as the parser counts, and where it is too deep or deepest.
fn nesting(tokens: &[TokenWithSpan]) -> (usize, Option<Location>) {
    let mut open: Vec<usize> = Vec::new();
    let mut signs = 0;
    let (mut deepest, mut place) = (0, None);
    for (number, token) in tokens.iter().enumerate() {
        let word = bare_word(token);
        let is_sign = matches!(token.token, Token::Minus | Token::Plus | Token::Tilde);
        match (&token.token, word.as_deref()) {
            (Token::LParen | Token::LBracket, _) => {
                let next = tokens.get(number + 1).and_then(bare_word);
                let is_query = matches!(next.as_deref(), Some("SELECT" | "WITH"));
                open.push(if is_query { 2 } else { 1 });
                open.push(signs);
                signs = 0;
            }
            (_, Some("CASE")) => {
                open.push(1);
                open.push(signs);
                signs = 0;
            }
            (Token::RParen | Token::RBracket, _) | (_, Some("END")) => {
                open.truncate(open.len().saturating_sub(2));
                signs = 0;
            }
            (_, Some("NOT")) => signs += 1,
            _ if is_sign => signs += 1,
            _ => signs = 0,
        }
        let levels = open.iter().sum::<usize>() + signs;
        if levels > deepest {
            deepest = levels;
            if levels <= LEVELS_MAX {
                place = Some(token.span.start);
            }
        }
    }
    (deepest, place)
}

fn bare_word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

fn place_of(location: Location) -> (usize, usize) {
    (location.line as usize, location.column as usize)
}

fn lower(said: &str) -> String {
    let said = said.replace("found: EOF", "found: the end of the file");
    let mut characters = said.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => said,
    }
}

/// What to write instead of a statement that is no query.
pub(crate) fn instead_of_statement(text: &str) -> &'static str {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
    let first = tokens.unwrap_or_default().iter().find_map(bare_word).unwrap_or_default();
    match first.as_str() {
        "CREATE" => {
            "write the SELECT alone: the file's name is the view's, and an `[[output]]` of \
             pipeline.toml makes the table"
        }
        "INSERT" => "write the SELECT alone: an `[[output]]` of pipeline.toml writes its rows",
        "MERGE" | "UPDATE" | "DELETE" | "TRUNCATE" => {
            "write the rows as they should be as a SELECT: a run replaces all rows of its interval"
        }
        "SET" | "USE" | "DECLARE" | "PRAGMA" => {
            "leave it out: `[resources]` and `[parameters]` of pipeline.toml have what can be set"
        }
        _ => "write a SELECT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> usize {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap();
        let is_text = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_));
        nesting(&tokens.into_iter().filter(is_text).collect::<Vec<_>>()).0
    }

    #[test]
    fn levels_are_counted_as_the_parser_counts_them() {
        assert_eq!(levels("SELECT a, b"), 0);
        assert_eq!(levels("SELECT f(g(a)) + (b)"), 2);
        assert_eq!(levels("SELECT NOT NOT (NOT a)"), 4);
        assert_eq!(levels("SELECT CASE WHEN a THEN (b) END"), 2);
        assert_eq!(levels("SELECT (SELECT (SELECT 1))"), 4);
        assert_eq!(levels("SELECT - - 1, - 2"), 2);
    }
}
