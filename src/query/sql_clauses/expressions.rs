//! Expressions: what the planner leaves out, and what it does not know at all.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DateTimeField, DictionaryField,
    Expr, Interval, LambdaFunction, LambdaFunctionParameter, MapEntry, Spanned, StructField,
    Subscript, TypedString, UnaryOperator, Value, ValueWithSpan,
};

use super::Walk;

const JSON_HELP: &str = "name the field in contract.toml as a column's `path`, which types it";
const QUANTIFIED_HELP: &str = "write `x IN (SELECT …)`, `x NOT IN (SELECT …)`, or compare with \
                              `(SELECT max(…) FROM …)` or `min`";
const RLIKE_HELP: &str = "write `a ~ 'pattern'` or `regexp_like(a, 'pattern')`";
const PATTERN_HELP: &str = "write `LIKE 'a%'`, or a regular expression: `a ~ '^(x|y)$'`";

impl Walk<'_> {
    pub(crate) fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(_, _) => {}
            Expr::IsFalse(operand)
            | Expr::IsNotFalse(operand)
            | Expr::IsTrue(operand)
            | Expr::IsNotTrue(operand)
            | Expr::IsNull(operand)
            | Expr::IsNotNull(operand)
            | Expr::IsUnknown(operand)
            | Expr::IsNotUnknown(operand)
            | Expr::Nested(operand) => self.expression(operand),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.expressions([left.as_ref(), right.as_ref()]);
            }
            Expr::BinaryOp { left, op, right } => {
                self.expression(left);
                self.operator(op, left);
                self.pattern_operand(op, right);
                self.expression(right);
            }
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::AnyOp { left, compare_op, right, is_some } => {
                self.quantified(if *is_some { "SOME" } else { "ANY" }, left, compare_op, right);
            }
            Expr::AllOp { left, compare_op, right } => {
                self.quantified("ALL", left, compare_op, right);
            }
            Expr::Value(value) => self.value(value),
            Expr::Function(function) => self.function(function),
            Expr::Cast { kind, expr, data_type, array, format } => {
                match kind {
                    CastKind::Cast
                    | CastKind::TryCast
                    | CastKind::SafeCast
                    | CastKind::DoubleColon => self.expression(expr),
                }
                self.data_type(data_type);
                if *array {
                    self.refuse("ARRAY", "write `[]` after the type");
                }
                if format.is_some() {
                    self.refuse("FORMAT", "write `to_timestamp(text, '%Y-%m-%d')` or `to_char`");
                }
            }
            Expr::Exists { subquery, negated: _ } => self.query(subquery),
            Expr::Subquery(query) => self.query(query),
            Expr::InSubquery { expr, subquery, negated: _ } => {
                self.expression(expr);
                self.query(subquery);
            }
            _ => self.special_form(expression),
        }
    }

    /// Forms with key words of their own.
    fn special_form(&mut self, expression: &Expr) {
        match expression {
            Expr::InList { expr, list, negated: _ } => {
                self.expression(expr);
                self.expressions(list);
            }
            Expr::Between { expr, negated: _, low, high } => {
                self.expressions([expr.as_ref(), low, high]);
            }
            Expr::Like { negated: _, any, expr, pattern, escape_char }
            | Expr::ILike { negated: _, any, expr, pattern, escape_char } => {
                self.expressions([expr.as_ref(), pattern]);
                self.pattern(*any, escape_char.as_ref());
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.expressions([timestamp.as_ref(), time_zone]);
                self.time_zone(time_zone);
            }
            Expr::Extract { field, syntax: _, expr } => {
                self.expression(expr);
                if let DateTimeField::Week(Some(_)) = field {
                    let message = format!("`{field}` is not supported");
                    self.refuse_as("WEEK", message, "write `WEEK`: weeks begin on Monday");
                } else {
                    self.extracted(field, expr.span());
                }
            }
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                self.expression(expr);
                if !matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)) {
                    let message = "`CEIL` and `FLOOR` take one argument".to_owned();
                    self.refuse_as("", message, "write `date_trunc` or `round(x, n)`");
                }
            }
            Expr::Position { expr, r#in } => self.expressions([expr.as_ref(), r#in]),
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.expression(expr);
                self.expressions(substring_from.as_deref());
                self.expressions(substring_for.as_deref());
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.expression(expr);
                self.expressions(trim_what.as_deref());
                let characters = trim_characters.as_deref().unwrap_or_default();
                self.expressions(characters);
                if characters.len() > 1 {
                    let message = "`TRIM` takes two arguments".to_owned();
                    self.refuse_as("TRIM", message, "write all characters in one text");
                }
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.expressions([expr.as_ref(), overlay_what, overlay_from]);
                self.expressions(overlay_for.as_deref());
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: _ }) => {
                self.data_type(data_type);
                self.value(value);
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.expressions(operand.as_deref());
                for CaseWhen { condition, result } in conditions {
                    self.expressions([condition, result]);
                }
                self.expressions(else_result.as_deref());
            }
            _ => self.composite(expression),
        }
    }

    /// Lists, structs, and what takes them apart.
    fn composite(&mut self, expression: &Expr) {
        match expression {
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expression(root);
                access_chain.iter().for_each(|access| self.access(access));
            }
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter().for_each(|set| self.expressions(set));
            }
            Expr::Tuple(values) => self.expressions(values),
            Expr::Struct { values, fields } => {
                self.expressions(values);
                for StructField { field_name: _, field_type, options: _ } in fields {
                    self.data_type(field_type);
                    let help = "write `named_struct('name', value)`";
                    self.refuse_as(
                        "STRUCT",
                        "types of a struct's fields are not supported".to_owned(),
                        help,
                    );
                }
            }
            Expr::Named { expr, name: _ } => self.expression(expr),
            Expr::Dictionary(fields) => {
                for DictionaryField { key: _, value } in fields {
                    self.expression(value);
                }
            }
            Expr::Map(map) => {
                for MapEntry { key, value } in &map.entries {
                    self.expressions([key.as_ref(), value]);
                }
            }
            Expr::Array(array) => self.expressions(&array.elem),
            Expr::Interval(Interval {
                value,
                leading_field: _,
                leading_precision,
                last_field,
                fractional_seconds_precision,
            }) => {
                self.expression(value);
                if last_field.is_some() {
                    let message = "`TO` is not supported in an interval".to_owned();
                    let help = "write each unit: `INTERVAL '1 year 2 months'`";
                    self.refuse_as("INTERVAL", message, help);
                }
                if leading_precision.is_some() || fractional_seconds_precision.is_some() {
                    let message = "the precision of an interval is not supported".to_owned();
                    self.refuse_as("INTERVAL", message, "leave it out");
                }
            }
            Expr::Lambda(LambdaFunction { params, body, syntax: _ }) => {
                for LambdaFunctionParameter { name: _, data_type } in params {
                    if let Some(data_type) = data_type {
                        self.data_type(data_type);
                    }
                }
                self.expression(body);
            }
            _ => self.unknown_form(expression),
        }
    }

    /// What the planner does not know; it would answer with the syntax tree.
    fn unknown_form(&mut self, expression: &Expr) {
        let (clause, help) = match expression {
            Expr::JsonAccess { .. } => {
                let message = "a path into a text is not supported".to_owned();
                return self.refuse_as("", message, JSON_HELP);
            }
            Expr::SimilarTo { .. } => ("SIMILAR TO", PATTERN_HELP),
            Expr::RLike { regexp: true, .. } => ("REGEXP", RLIKE_HELP),
            Expr::RLike { .. } => ("RLIKE", RLIKE_HELP),
            Expr::Collate { .. } => {
                ("COLLATE", "texts compare by their bytes: write `lower(a)` to ignore case")
            }
            Expr::Convert { .. } => ("CONVERT", "write `CAST(a AS type)`"),
            Expr::IsNormalized { .. } => ("NORMALIZED", "leave it out"),
            Expr::InUnnest { .. } => ("UNNEST", "write `array_has(list, value)`"),
            Expr::Prefixed { .. } => ("", "write the text without the prefix"),
            Expr::MatchAgainst { .. } => ("MATCH", PATTERN_HELP),
            Expr::OuterJoin(_) => ("", "write `LEFT JOIN … ON …` instead of `(+)`"),
            Expr::Prior(_) => ("PRIOR", "write `WITH RECURSIVE`"),
            Expr::MemberOf(_) => ("MEMBER OF", "write `array_has(list, value)`"),
            // All others are known, and looked at above.
            _ => return,
        };
        if clause.is_empty() {
            self.refuse_as("", "this form of expression is not supported".to_owned(), help);
        } else {
            self.refuse(clause, help);
        }
    }

    fn access(&mut self, access: &AccessExpr) {
        match access {
            AccessExpr::Dot(field) => self.expression(field),
            AccessExpr::Subscript(Subscript::Index { index }) => self.expression(index),
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                self.expressions(lower_bound);
                self.expressions(upper_bound);
                self.expressions(stride);
            }
        }
    }

    fn pattern(&mut self, any: bool, escape: Option<&ValueWithSpan>) {
        if any {
            self.refuse("ANY", "write the patterns one by one, with `OR`");
        }
        let is_backslash = |escape: &ValueWithSpan| match &escape.value {
            Value::SingleQuotedString(character) => character == "\\",
            _ => false,
        };
        if escape.is_some_and(|escape| !is_backslash(escape)) {
            self.refuse("ESCAPE", "escape with a backslash: `LIKE '10\\%'`");
        }
    }

    /// A comparison with all that a list or a query gives.
    fn quantified(&mut self, word: &str, left: &Expr, operator: &BinaryOperator, right: &Expr) {
        // The engine takes a query's columns for those of the same name around it.
        if matches!(right, Expr::Subquery(_)) {
            self.refuse(word, QUANTIFIED_HELP);
        }
        self.operator(operator, left);
        self.expressions([left, right]);
    }

    fn unary(&mut self, operator: UnaryOperator, operand: &Expr) {
        if let (UnaryOperator::Minus, Expr::Interval(interval)) = (operator, operand) {
            self.negative_interval(interval);
        }
        self.expression(operand);
    }

    /// The planner puts the sign before the text, where it holds for the first part only.
    fn negative_interval(&mut self, interval: &Interval) {
        let one_part = match interval.value.as_ref() {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
                let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
                numbers.filter(|number| !number.is_empty()).count() <= 1
                    && !text.trim_start().starts_with(['-', '+'])
            }
            Expr::Value(_) => true,
            _ => false,
        };
        if !one_part {
            let message = "a minus before an interval of several parts is not supported";
            let help = "write the sign of each part: `INTERVAL '-1 day -2 hours'`";
            self.refuse_as("INTERVAL", message.to_owned(), help);
        }
    }

    fn operator(&mut self, operator: &BinaryOperator, left: &Expr) {
        let help = match operator {
            BinaryOperator::Arrow
            | BinaryOperator::LongArrow
            | BinaryOperator::HashArrow
            | BinaryOperator::HashLongArrow
            | BinaryOperator::HashMinus
            | BinaryOperator::AtQuestion
            | BinaryOperator::Question
            | BinaryOperator::QuestionAnd
            | BinaryOperator::QuestionPipe => JSON_HELP,
            BinaryOperator::AtAt | BinaryOperator::Match | BinaryOperator::Regexp => PATTERN_HELP,
            BinaryOperator::Xor => "write `a <> b`",
            BinaryOperator::MyIntegerDivide | BinaryOperator::DuckIntegerDivide => {
                "write `a / b`, which is a division of integers if both are"
            }
            BinaryOperator::PGOverlap | BinaryOperator::Overlaps => {
                "write `array_has_any(a, b)`, or compare the ends"
            }
            BinaryOperator::PGExp => "write `power(a, b)`",
            BinaryOperator::PGStartsWith => "write `starts_with(a, b)`",
            BinaryOperator::Custom(_) | BinaryOperator::PGCustomBinaryOperator(_) => {
                "write a function"
            }
            _ => return,
        };
        let message = format!("operator `{operator}` is not supported");
        self.within(left.span(), |walk| walk.refuse_as("", message, help));
    }

    /// Numbers that would lose digits, as the planner reads long ones as 64-bit floating point.
    fn value(&mut self, value: &ValueWithSpan) {
        let ValueWithSpan { value, span } = value;
        let help = match value {
            Value::Number(text, _) if loses_digits(text) => {
                "write `CAST('…' AS DECIMAL(38, n))`, which keeps them"
            }
            Value::Number(..)
            | Value::SingleQuotedString(_)
            | Value::DoubleQuotedString(_)
            | Value::DollarQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::HexStringLiteral(_)
            | Value::Boolean(_)
            | Value::Null
            | Value::Placeholder(_) => return,
            _ => "write the text in single quotes",
        };
        let message = match value {
            Value::Number(text, _) => format!("the number {text} would lose digits"),
            other => format!("the literal {other} is not supported"),
        };
        self.within(*span, |walk| walk.refuse_as("", message, help));
    }
}

/// Whether a number is beyond 64 bits, or has more digits than 64-bit floating point keeps.
fn loses_digits(text: &str) -> bool {
    let text = text.replace('_', "");
    if text.parse::<u64>().is_ok() {
        return false;
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').len() > 17
}
