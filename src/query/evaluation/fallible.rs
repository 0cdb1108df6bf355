//! Which expressions can fail on a row; an unknown one is taken for one that can.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions};

use crate::udf::KEPT_CAST;

/// Functions that only take values out of others, or pass them on.
const SAFE_FUNCTIONS: [&str; 4] = ["get_field", "coalesce", "expectation", KEPT_CAST];

/// Whether some value of its columns may make an expression fail.
pub(crate) fn may_fail(expr: &Expr) -> bool {
    let fails = expr.exists(|expr| Ok(is_unsafe(expr)));
    fails.unwrap_or(true)
}

fn is_unsafe(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => !is_safe_operator(binary.op),
        Expr::ScalarFunction(call) => !SAFE_FUNCTIONS.contains(&call.func.name()),
        Expr::Cast(cast) => !is_text(cast.field.data_type()),
        Expr::Negative(_) | Expr::HigherOrderFunction(_) | Expr::SimilarTo(_) | Expr::Unnest(_) => {
            true
        }
        // The engine compiles patterns, of which one may be too large.
        Expr::Like(like) => !matches!(like.pattern.as_ref(), Expr::Literal(..)),
        // Columns and literals; tests for NULL and truth; CASE, BETWEEN and IN. What stands in them
        // is looked at by itself.
        _ => false,
    }
}

/// The same for an expression of a physical plan.
pub(crate) fn physical_may_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut fails = false;
    let walked = expr.apply(|expr| {
        fails = is_unsafe_physical(expr);
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    fails || walked.is_err()
}

fn is_unsafe_physical(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if let Some(binary) = expr.downcast_ref::<expressions::BinaryExpr>() {
        return !is_safe_operator(*binary.op());
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return !SAFE_FUNCTIONS.contains(&call.fun().name());
    }
    if let Some(cast) = expr.downcast_ref::<expressions::CastExpr>() {
        return !is_text(cast.cast_type());
    }
    if let Some(like) = expr.downcast_ref::<expressions::LikeExpr>() {
        return !like.pattern().is::<expressions::Literal>();
    }
    let is_safe = expr.is::<expressions::Column>()
        || expr.is::<expressions::Literal>()
        || expr.is::<expressions::IsNullExpr>()
        || expr.is::<expressions::IsNotNullExpr>()
        || expr.is::<expressions::NotExpr>()
        || expr.is::<expressions::CaseExpr>()
        || expr.is::<expressions::InListExpr>()
        || expr.is::<expressions::TryCastExpr>();
    !is_safe
}

fn is_safe_operator(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
