//! Every clause of a SQL file is honoured or refused.
//!
//! The parser takes the syntax of many databases; the planner leaves out what it does not know, in
//! part without a word (`PREWHERE n > 5` would filter nothing). The walk over the syntax tree
//! refuses each such clause with its place and with what to write instead. It takes every struct
//! of the tree apart by all of its fields, so that a field that a newer parser brings does not
//! compile before somebody has decided what becomes of it.
//!
//! ```text
//! SELECT id FROM logs PREWHERE id > 5      `PREWHERE` is not supported; write it in `WHERE`
//! ```

mod constants;
mod depth;
mod expressions;
mod functions;
mod missing_functions;
mod patterns;
mod queries;
mod tables;
mod types;

use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, Tokenizer, Whitespace};

pub(crate) use depth::{TooDeep, count_tokens, limit_depth};

/// A clause that would not be honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What is refused.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Line and column from 1.
    pub place: (usize, usize),
}

/// What a query says that would not be honoured; `text` is what it was parsed from.
pub(crate) fn refuse_query(state: &SessionState, text: &str, query: &ast::Query) -> Vec<Refusal> {
    let mut walk = Walk::new(state, text);
    walk.query(query);
    walk.hints(text);
    walk.found
}

/// What a single expression says that would not be honoured.
pub(crate) fn refuse_expression(
    state: &SessionState,
    text: &str,
    expression: &ast::Expr,
) -> Vec<Refusal> {
    let mut walk = Walk::new(state, text);
    walk.expression(expression);
    walk.hints(text);
    walk.found
}

/// The walk over a syntax tree.
struct Walk<'w> {
    state: &'w SessionState,
    /// The bare words of the text, in upper case, in their order.
    words: Vec<(String, Location)>,
    /// Where the part that is looked at begins.
    near: Location,
    /// Whether the planner resolves names of windows here.
    resolves_windows: bool,
    found: Vec<Refusal>,
}

impl<'w> Walk<'w> {
    fn new(state: &'w SessionState, text: &str) -> Self {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
        let word = |(token, span): (Token, Span)| match token {
            Token::Word(word) if word.quote_style.is_none() => {
                Some((word.value.to_uppercase(), span.start))
            }
            _ => None,
        };
        let tokens = tokens.unwrap_or_default().into_iter();
        let words = tokens.map(|token| (token.token, token.span)).filter_map(word).collect();
        let near = Location { line: 1, column: 1 };
        Walk { state, words, near, resolves_windows: false, found: Vec::new() }
    }

    /// Hints look like comments to the parser, wherever they stand.
    fn hints(&mut self, text: &str) {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
        for token in tokens.unwrap_or_default() {
            let hint = match &token.token {
                Token::Whitespace(Whitespace::MultiLineComment(hint)) => format!("/*{hint}*/"),
                Token::Whitespace(Whitespace::SingleLineComment { prefix, comment }) => {
                    format!("{prefix}{}", comment.trim_end())
                }
                _ => continue,
            };
            if hint.starts_with("/*+") || hint.starts_with("--+") {
                let message = format!("the hint `{hint}` would have no effect");
                self.within(token.span, |walk| {
                    walk.refuse_as("", message, "leave it out, or the `+` for a comment");
                });
            }
        }
    }

    /// Walks a part that begins at `span`.
    fn within(&mut self, span: Span, walk: impl FnOnce(&mut Self)) {
        let before = self.near;
        if span.start.line > 0 {
            self.near = span.start;
        }
        walk(self);
        self.near = before;
    }

    /// Refuses a clause, named by its key words.
    fn refuse(&mut self, clause: &str, help: impl Into<String>) {
        self.refuse_as(clause, format!("`{clause}` is not supported"), help);
    }

    /// Refuses with a message of its own what `clause`, its key words, helps to find.
    fn refuse_as(&mut self, clause: &str, message: String, help: impl Into<String>) {
        let place = self.place_of(clause);
        let place = (place.line as usize, place.column as usize);
        let refusal = Refusal { message, help: help.into(), place };
        // One clause may be met twice, as the members of a list are.
        if !self.found.contains(&refusal) {
            self.found.push(refusal);
        }
    }

    /// Where the clause first stands at or after the part that is looked at.
    fn place_of(&self, clause: &str) -> Location {
        let sought: Vec<String> = clause.split(' ').map(str::to_uppercase).collect();
        let at =
            |window: &[(String, Location)]| window.iter().map(|(word, _)| word).eq(sought.iter());
        let windows = self.words.windows(sought.len().max(1));
        let mut after = windows.filter(|window| window[0].1 >= self.near);
        after.find(|window| at(window)).map_or(self.near, |window| window[0].1)
    }

    fn expressions<'e>(&mut self, all: impl IntoIterator<Item = &'e ast::Expr>) {
        all.into_iter().for_each(|expression| self.expression(expression));
    }
}
