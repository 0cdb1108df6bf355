//! Expressions and rows of a plan as their reader knows them, without the names that the optimizer
//! gives.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use super::CheckedProjectionExec;
use crate::query::evaluation::carry::{is_carried, key_name};
use crate::query::evaluation::predicates::is_predicate;
use crate::udf::{KEPT_CAST, aggregate_of, is_conversion, operator_of};

/// Characters of an expression that stand in the quarantine.
const EXPRESSION_CHARACTERS_MAX: usize = 300;
/// How the names of columns begin that only the engine and the plans of this folder know.
const INTERNAL: [&str; 9] = [
    "__always_true",
    "__common_expr_",
    "__computed_",
    "__correlated_sq_",
    "__expectation_",
    "__grouping_id",
    "__predicate",
    "__scalar_sq_",
    UNNEST,
];
const UNNEST: &str = "__unnest_placeholder(";

/// An expression over the rows of `input` as SQL, shortened to a line.
pub(crate) fn describe(expr: &Arc<dyn PhysicalExpr>, input: &Arc<dyn ExecutionPlan>) -> String {
    let shown = Arc::clone(expr).transform_up(|expr| {
        let shown = match expr.downcast_ref::<Column>() {
            Some(column) => show_column(column.name(), input).map(column_named),
            None => expr.downcast_ref::<ScalarFunctionExpr>().and_then(show_call),
        };
        Ok(shown.map_or_else(|| Transformed::no(expr), Transformed::yes))
    });
    let shown = shown.map_or_else(|_| Arc::clone(expr), |shown| shown.data);
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = write!(text, "{}", fmt_sql(shown.as_ref()));
    match text.char_indices().nth(EXPRESSION_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A row of `input`: columns that the optimizer has made stand under what they are, or are left
/// out; of two with the same name the second has a number.
pub(crate) fn readable_row(
    row: &RecordBatch,
    input: &Arc<dyn ExecutionPlan>,
) -> Result<RecordBatch> {
    let schema = row.schema();
    let mut times: HashMap<String, usize> = HashMap::new();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in schema.fields().iter().zip(row.columns()) {
        let is_internal = INTERNAL.iter().any(|prefix| field.name().starts_with(prefix));
        let key = key_name(field.name());
        let name = match show_column(field.name(), input) {
            Some(shown) => shown,
            None if is_internal || key.is_some_and(|key| schema.index_of(key).is_ok()) => continue,
            None => key.unwrap_or(field.name()).to_owned(),
        };
        let is_place = is_carried(&name) || ["_source", "_line", "_offset"].contains(&&*name);
        let time = times.entry(name.clone()).or_default();
        *time += 1;
        let own = if is_place || *time == 1 { name } else { format!("{name} #{time}") };
        fields.push(Field::clone(field).with_name(own));
        columns.push(Arc::clone(column));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// A column that the optimizer has made, by what it stands for.
fn show_column(name: &str, input: &Arc<dyn ExecutionPlan>) -> Option<String> {
    if name.starts_with("__common_expr_") || name.starts_with("__computed_") {
        return definition(name, input);
    }
    let list = name.strip_prefix(UNNEST)?;
    Some(format!("unnest({})", list.rsplit_once(",depth=").map_or(list, |(list, _)| list)))
}

fn definition(name: &str, plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let checked = plan.downcast_ref::<CheckedProjectionExec>();
    let checked = checked.map(CheckedProjectionExec::projection);
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>().or(checked) {
        let one = projection.expr().iter().find(|one| one.alias == name)?;
        // It may only pass the column on.
        let passes_on = one.expr.downcast_ref::<Column>().is_some_and(|own| own.name() == name);
        return match passes_on {
            true => definition(name, projection.input()),
            false => Some(describe(&one.expr, projection.input())),
        };
    }
    plan.children().into_iter().find_map(|child| definition(name, child))
}

/// A call as its reader knows it: operators between their operands, and no row source.
fn show_call(call: &ScalarFunctionExpr) -> Option<Arc<dyn PhysicalExpr>> {
    if let Some(shown) = aggregate_of(call.fun()) {
        return Some(column_named(shown.to_owned()));
    }
    let operands: Vec<String> =
        call.args().iter().map(|arg| fmt_sql(arg.as_ref()).to_string()).collect();
    let text = match (operator_of(call.fun()), operands.as_slice()) {
        (Some(op), [left, right]) => format!("({left} {op} {right})"),
        (Some(op), [operand]) => format!("({op}{operand})"),
        (None, [own @ .., source, line]) if source == "_source" && line == "_line" => {
            format!("{}({})", call.name(), own.join(", "))
        }
        (None, [operand]) if is_hidden(call.fun()) || is_predicate(call.fun()) => operand.clone(),
        _ => return None,
    };
    Some(column_named(text))
}

/// Whether a function stands around what SQL has without one.
fn is_hidden(function: &ScalarUDF) -> bool {
    function.name() == KEPT_CAST || is_conversion(function)
}

/// A column's name is shown as it is.
fn column_named(text: String) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(&text, 0))
}
