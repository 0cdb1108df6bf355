//! Regular expressions that are constants are compiled here, so that `check` finds what is wrong.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, Value, ValueWithSpan,
};

use super::Walk;
use crate::query::sql_error::whole_message;

/// Functions whose second argument is a regular expression.
const TAKES_PATTERN: [&str; 6] = [
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "regexp_split_to_array",
];
/// Functions that make times of a unit of their own.
const TIMES_OF_ONE_UNIT: [&str; 4] =
    ["to_timestamp_seconds", "to_timestamp_millis", "to_timestamp_micros", "to_timestamp_nanos"];

impl Walk<'_> {
    /// The pattern on the right of `~` and its kin.
    pub(crate) fn pattern_operand(&mut self, operator: &BinaryOperator, right: &Expr) {
        let is_pattern = matches!(
            operator,
            BinaryOperator::PGRegexMatch
                | BinaryOperator::PGRegexIMatch
                | BinaryOperator::PGRegexNotMatch
                | BinaryOperator::PGRegexNotIMatch
        );
        if is_pattern {
            self.check_pattern(right);
        }
    }

    /// The pattern among a function's arguments.
    pub(crate) fn pattern_argument(&mut self, called: &str, list: &FunctionArgumentList) {
        if TAKES_PATTERN.contains(&called)
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(pattern))) = list.args.get(1)
        {
            self.check_pattern(pattern);
        }
    }

    /// The engine promises a zone for `to_timestamp_millis(text, pattern)` and gives none.
    pub(crate) fn time_pattern_argument(&mut self, called: &str, list: &FunctionArgumentList) {
        if TIMES_OF_ONE_UNIT.contains(&called) && list.args.len() > 1 {
            let message = format!("`{called}` takes no pattern");
            self.refuse_as("", message, "write `to_timestamp(text, pattern)`");
        }
    }

    fn check_pattern(&mut self, pattern: &Expr) {
        let Expr::Value(ValueWithSpan { value, span }) = pattern else { return };
        let (Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::DoubleQuotedString(text)) = value
        else {
            return;
        };
        let Err(error) = regex::Regex::new(text) else { return };
        let message = match error {
            regex::Error::CompiledTooBig(bytes) => {
                format!("the regular expression is too big: compiled it takes over {bytes} bytes")
            }
            other => {
                format!("the regular expression is wrong: {}", whole_message(&other.to_string()))
            }
        };
        let help = "see https://docs.rs/regex for its syntax; large counts such as `{1000}` and \
                    classes such as `\\w` make it big";
        self.within(*span, |walk| walk.refuse_as("", message, help));
    }
}
