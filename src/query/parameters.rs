//! `$name` in SQL files becomes a typed literal of the syntax tree, never a piece of text.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, TimezoneInfo, Value, ValueWithSpan, VisitMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::base::config::suggestion;
use crate::pipeline::ParameterValue;

/// The values of a run's parameters, the interval's bounds among them.
pub type ParameterValues = BTreeMap<String, ParameterValue>;

/// A `$name` that no parameter has: what was found, and its line and column.
pub(crate) struct UnknownParameter {
    pub message: String,
    pub help: String,
    pub place: (usize, usize),
}

/// Replaces every `$name` in a statement or expression.
pub(crate) fn bind_parameters<T: VisitMut>(
    tree: &mut T,
    values: &ParameterValues,
) -> Vec<UnknownParameter> {
    let mut unknown = Vec::new();
    let _ = visit_expressions_mut(tree, |expr| {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) = expr {
            let bare = name.strip_prefix('$').unwrap_or(name);
            match values.get(bare) {
                Some(value) => *expr = literal(value),
                None => unknown.push(UnknownParameter {
                    message: format!("no parameter `{name}`"),
                    help: suggestion(bare, values.keys().map(String::as_str)),
                    place: (span.start.line as usize, span.start.column as usize),
                }),
            }
        }
        ControlFlow::<()>::Continue(())
    });
    unknown
}

fn literal(value: &ParameterValue) -> Expr {
    match value {
        ParameterValue::String(text) => text_literal(text.clone()),
        ParameterValue::Bool(truth) => value_literal(Value::Boolean(*truth)),
        ParameterValue::Int64(number) => cast(number.to_string(), DataType::BigInt(None)),
        ParameterValue::Float64(number) => cast(number.to_string(), DataType::DoublePrecision),
        ParameterValue::Date(day) => cast(day.to_string(), DataType::Date),
        ParameterValue::Timestamp(at) => {
            let microseconds = DataType::Timestamp(Some(6), TimezoneInfo::WithTimeZone);
            cast(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(), microseconds)
        }
    }
}

fn cast(text: String, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(text_literal(text)),
        data_type,
        array: false,
        format: None,
    }
}

fn text_literal(text: String) -> Expr {
    value_literal(Value::SingleQuotedString(text))
}

fn value_literal(value: Value) -> Expr {
    Expr::Value(ValueWithSpan { value, span: Span::empty() })
}
