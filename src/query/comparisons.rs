//! A number meets numbers only, and a text texts; what a number counts is said where it becomes a
//! time.
//!
//! The engine would read the text as a number to compare the two: a log's 12 would find the shop
//! `0012`, and `shop 7` would fail. Which of both is meant must be said by a cast. It would read a
//! number as seconds or as nanoseconds, by the form of the cast and the type of the number.
//!
//! ```text
//! ON logs.code = shops.code       a number (`logs.code`) is compared with a text (`shops.code`)
//! greatest(code, shop)            a number (`code`) is compared with a text (`shop`)
//! TRY_CAST(n AS TIMESTAMP)        a number (`n`) does not say whether it counts seconds
//! ```

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, Spans};
use datafusion::logical_expr::expr::{
    Between, Cast, InList, InSubquery, ScalarFunction, SetComparison, TryCast, WindowFunction,
};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan};

use super::type_kinds::{Kind, is_nested, mismatch, shown};

/// Types that meet without a word, or a number whose unit is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeFault {
    /// What meets what.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Line and column from 1, if there is a column of the file in it.
    pub place: Option<(usize, usize)>,
}

/// The faults in a plan whose types were not coerced yet.
pub(crate) fn faults_in_plan(plan: &LogicalPlan) -> Vec<TypeFault> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        if let LogicalPlan::Join(Join { on, .. }) = node {
            on.iter().for_each(|(left, right)| compare(left, right, &schema, &mut found));
        }
        node.apply_expressions(|expr| {
            walk(expr, &schema, &mut found);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    // The walk itself fails on nothing.
    debug_assert!(walked.is_ok());
    found
}

/// The faults in an expression over columns of `schema`.
pub(crate) fn faults_in_expression(expr: &Expr, schema: &DFSchema) -> Vec<TypeFault> {
    let mut found = Vec::new();
    walk(expr, schema, &mut found);
    found
}

fn walk(expr: &Expr, schema: &DFSchema, found: &mut Vec<TypeFault>) {
    let walked: Result<_> = expr.apply(|expr| {
        compared(expr, schema, found);
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok());
}

fn compared(expr: &Expr, schema: &DFSchema, found: &mut Vec<TypeFault>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
            compare(left, right, schema, found);
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            compare(expr, low, schema, found);
            compare(expr, high, schema, found);
        }
        Expr::InList(InList { expr, list, .. }) => {
            list.iter().for_each(|one| compare(expr, one, schema, found));
        }
        Expr::Case(Case { expr: Some(expr), when_then_expr, .. }) => {
            when_then_expr.iter().for_each(|(when, _)| compare(expr, when, schema, found));
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            compare_all(&arguments_that_meet(func.name(), args), schema, found);
        }
        Expr::WindowFunction(function) => default_of_neighbour(function, schema, found),
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            number_as_time(expr, field.data_type(), schema, found);
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. })
        | Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
            if let [(table, field)] = subquery.subquery.schema().iter().collect::<Vec<_>>()[..] {
                let column = Expr::from((table, field));
                let other = (&column, field.data_type().clone());
                if let Ok(data_type) = expr.get_type(schema) {
                    refuse((expr, data_type), other, found);
                }
            }
        }
        _ => {}
    }
}

/// The arguments of a function of which the engine makes one type.
fn arguments_that_meet<'e>(function: &str, args: &'e [Expr]) -> Vec<&'e Expr> {
    let numbers: &[usize] = match function {
        "coalesce" | "greatest" | "least" | "make_array" | "array_concat" => {
            return args.iter().collect();
        }
        "nullif" | "nvl" | "array_has" | "array_has_all" | "array_has_any" | "array_position"
        | "array_positions" | "array_remove" | "array_remove_n" | "array_remove_all"
        | "array_append" | "array_prepend" | "array_union" | "array_intersect" | "array_except" => {
            &[0, 1]
        }
        "array_replace" | "array_replace_n" | "array_replace_all" => &[0, 1, 2],
        "array_resize" => &[0, 2],
        "nvl2" => &[1, 2],
        _ => &[],
    };
    numbers.iter().filter_map(|number| args.get(*number)).collect()
}

/// Compares each of some arguments with the others, and the elements of those that are lists.
fn compare_all(args: &[&Expr], schema: &DFSchema, found: &mut Vec<TypeFault>) {
    let elements: Vec<&Expr> = args.iter().copied().flat_map(elements).collect();
    for (number, left) in elements.iter().enumerate() {
        let before = found.len();
        elements[number + 1..].iter().for_each(|right| {
            // One fault of an argument is enough.
            if found.len() == before {
                compare(left, right, schema, found);
            }
        });
        if found.len() > before {
            return;
        }
    }
}

/// What a list is made of, if it is written out.
fn elements(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "make_array" => {
            args.iter().flat_map(elements).collect()
        }
        other => vec![other],
    }
}

/// The third argument of `lag` and `lead`, which would be cut to the type of the first.
fn default_of_neighbour(function: &WindowFunction, schema: &DFSchema, found: &mut Vec<TypeFault>) {
    let name = function.fun.name();
    let ("lag" | "lead", [value, _, default]) = (name, function.params.args.as_slice()) else {
        return;
    };
    let before = found.len();
    compare(value, default, schema, found);
    if found.len() > before {
        return;
    }
    let (Ok(value_type), Expr::Literal(literal, _)) = (value.get_type(schema), default) else {
        return;
    };
    let fits = literal.is_null()
        || !literal.data_type().is_numeric()
        || literal
            .cast_to(&value_type)
            .and_then(|cut| cut.cast_to(&literal.data_type()))
            .is_ok_and(|back| back == *literal);
    if !fits {
        let value_shown = value.human_display();
        found.push(TypeFault {
            message: format!(
                "the default of `{name}`, {literal}, is none of `{value_shown}`'s type"
            ),
            help: format!(
                "write one that is, or cast the column: `{name}(CAST({value_shown} AS DOUBLE), …)`"
            ),
            place: place(value),
        });
    }
}

/// Two forms of one cast would read seconds and nanoseconds.
fn number_as_time(expr: &Expr, to: &DataType, schema: &DFSchema, found: &mut Vec<TypeFault>) {
    let Ok(from) = expr.get_type(schema) else { return };
    if !from.is_numeric() || !matches!(to, DataType::Timestamp(..)) {
        return;
    }
    let number = expr.human_display();
    let help = if from.is_integer() {
        format!(
            "write what it counts: `to_timestamp_seconds({number})`, \
             `to_timestamp_millis({number})` or `to_timestamp_micros({number})`"
        )
    } else {
        format!(
            "write what it counts: `to_timestamp_micros(CAST(round({number} * 1000000) AS \
             BIGINT))` for seconds"
        )
    };
    let message = format!("a number, `{number}`, is cast to a timestamp without saying its unit");
    let fault = TypeFault { message, help, place: place(expr) };
    if !found.contains(&fault) {
        found.push(fault);
    }
}

fn compare(left: &Expr, right: &Expr, schema: &DFSchema, found: &mut Vec<TypeFault>) {
    if let (Expr::ScalarFunction(left), Expr::ScalarFunction(right)) = (left, right)
        && ["struct", "make_array"].contains(&left.func.name())
        && left.func.name() == right.func.name()
        && left.args.len() == right.args.len()
    {
        let pairs = left.args.iter().zip(&right.args);
        pairs.for_each(|(left, right)| compare(left, right, schema, found));
        return;
    }
    // What has no type is refused by the engine.
    if let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) {
        refuse((left, left_type), (right, right_type), found);
    }
}

fn refuse(left: (&Expr, DataType), right: (&Expr, DataType), found: &mut Vec<TypeFault>) {
    let Some((left_kind, right_kind)) = mismatch(&left.1, &right.1) else { return };
    let (number, other, other_kind) = match (left_kind, right_kind) {
        (Kind::Number, kind) => (left, right, kind),
        (kind, _) => (right, left, kind),
    };
    let (number_shown, other_shown) = (number.0.human_display(), other.0.human_display());
    let what = shown(other_kind);
    let place = place(number.0).or_else(|| place(other.0));
    let fault = if is_nested(&number.1) || is_nested(&other.1) {
        TypeFault {
            message: format!(
                "numbers of `{number_shown}` are compared with {what}s of `{other_shown}`"
            ),
            help: "cast one of both to the type of the other, elements and fields as well".into(),
            place,
        }
    } else {
        let message =
            format!("a number, `{number_shown}`, is compared with a {what}, `{other_shown}`");
        let help = match (other_kind, number.0, other.0) {
            (Kind::Time, ..) => format!(
                "write what the number counts: `to_timestamp_seconds({number_shown})`, \
                 `to_timestamp_millis({number_shown})`; a date stands in quotes: '2026-11-21'"
            ),
            (_, _, Expr::Literal(value, _)) if value.to_string().parse::<f64>().is_ok() => {
                format!("write {value} without quotes, as a number")
            }
            (_, _, Expr::Literal(value, _)) => format!("write a number for {value}"),
            (_, Expr::Literal(value, _), _) => format!("write '{value}' in quotes, as a text"),
            _ => format!(
                "write which of both is meant: `CAST({number_shown} AS VARCHAR)`, or \
                 `TRY_CAST({other_shown} AS BIGINT)`, which takes `0012` for 12"
            ),
        };
        TypeFault { message, help, place }
    };
    if !found.contains(&fault) {
        found.push(fault);
    }
}

/// Where a column of the expression stands.
fn place(expr: &Expr) -> Option<(usize, usize)> {
    let mut place = None;
    let walked = expr.apply(|expr| {
        if let Expr::Column(column) = expr {
            let span = Spans::first(column.spans());
            place = span.map(|span| (span.start.line as usize, span.start.column as usize));
        }
        let found = place.is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.ok().and(place)
}
