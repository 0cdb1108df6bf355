//! A number is compared with numbers only, and a text with texts.
//!
//! The engine would read the text as a number to compare the two: a log's 12 would find the shop
//! `0012`, and `shop 7` would fail. Which of both is meant must be said by a cast.
//!
//! ```text
//! ON logs.code = shops.code       a number (`logs.code`) is compared with a text (`shops.code`)
//! ```

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, Spans};
use datafusion::logical_expr::expr::{Between, InList, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan};

/// A comparison of a number with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MixedComparison {
    /// What is compared with what.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Line and column from 1, if a column of the file is compared.
    pub place: Option<(usize, usize)>,
}

/// The comparisons in a plan whose types were not coerced yet.
pub(crate) fn mixed_in_plan(plan: &LogicalPlan) -> Vec<MixedComparison> {
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

/// The comparisons in an expression over columns of `schema`.
pub(crate) fn mixed_in_expression(expr: &Expr, schema: &DFSchema) -> Vec<MixedComparison> {
    let mut found = Vec::new();
    walk(expr, schema, &mut found);
    found
}

fn walk(expr: &Expr, schema: &DFSchema, found: &mut Vec<MixedComparison>) {
    let walked: Result<_> = expr.apply(|expr| {
        compared(expr, schema, found);
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok());
}

fn compared(expr: &Expr, schema: &DFSchema, found: &mut Vec<MixedComparison>) {
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
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => {
            if let [left, right] = args.as_slice() {
                compare(left, right, schema, found);
            }
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

fn compare(left: &Expr, right: &Expr, schema: &DFSchema, found: &mut Vec<MixedComparison>) {
    // What has no type is refused by the engine.
    if let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) {
        refuse((left, left_type), (right, right_type), found);
    }
}

fn refuse(left: (&Expr, DataType), right: (&Expr, DataType), found: &mut Vec<MixedComparison>) {
    let (number, text) = match (kind(&left.1), kind(&right.1)) {
        (Kind::Number, Kind::Text) => (left.0, right.0),
        (Kind::Text, Kind::Number) => (right.0, left.0),
        _ => return,
    };
    let (number_shown, text_shown) = (number.human_display(), text.human_display());
    let message = format!("a number, `{number_shown}`, is compared with a text, `{text_shown}`");
    let help = match (number, text) {
        (_, Expr::Literal(value, _)) => format!("write {value} without quotes, as a number"),
        (Expr::Literal(value, _), _) => format!("write '{value}' in quotes, as a text"),
        _ => format!(
            "write which of both is meant: `CAST({number_shown} AS VARCHAR)`, or \
             `TRY_CAST({text_shown} AS BIGINT)`, which takes `0012` for 12"
        ),
    };
    let mixed = MixedComparison { message, help, place: place(number).or_else(|| place(text)) };
    if !found.contains(&mixed) {
        found.push(mixed);
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Other,
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Dictionary(_, values) => kind(values),
        other if other.is_numeric() => Kind::Number,
        _ => Kind::Other,
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
