//! Expectations that stop a run: where their predicates are evaluated.
//!
//! A predicate that fails on a row is not known to hold, so that the run must not go on as if it
//! did. The optimizer may compute a part of a predicate below, in a column of its own:
//!
//! ```text
//! __expectation_0 = __common_expr_1 > 0 AND __common_expr_1 < 9      both columns are the guard's
//!   __common_expr_1 = amount / pieces
//! ```
//!
//! A part that a column of the view needs as well is the view's: a row without that value is no row
//! of the view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::checked_exec::CheckedProjectionExec;
use crate::pipeline::{OnFail, Output};

/// The columns that are computed for expectations that stop a run, and which one each is for.
pub(crate) type Guards = BTreeMap<String, String>;

/// The guards of an output whose query is `plan`; `column_of` names an expectation's column.
pub(crate) fn guards_of(
    output: &Output,
    plan: &Arc<dyn ExecutionPlan>,
    column_of: impl Fn(usize) -> String,
) -> Guards {
    let expectations = output.expectations.iter().enumerate();
    let stopping = expectations.filter(|(_, it)| it.on_fail == OnFail::Fail);
    let mut guards: Guards = stopping
        .map(|(number, expectation)| {
            let shown = format!("expectation `{}` ({})", expectation.name, expectation.predicate);
            (column_of(number), shown)
        })
        .collect();
    if !guards.is_empty() {
        add_parts(plan, &mut guards);
    }
    guards
}

fn add_parts(plan: &Arc<dyn ExecutionPlan>, guards: &mut Guards) {
    let checked = plan.downcast_ref::<CheckedProjectionExec>();
    let checked = checked.map(CheckedProjectionExec::projection);
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>().or(checked) {
        let mut parts = Vec::new();
        let mut of_view = BTreeSet::new();
        for one in projection.expr().iter() {
            let used = made_by_optimizer(one);
            match guards.get(&one.alias) {
                Some(guard) => parts.extend(used.map(|name| (name, guard.clone()))),
                None => of_view.extend(used),
            }
        }
        guards.extend(parts.into_iter().filter(|(name, _)| !of_view.contains(name)));
    }
    plan.children().into_iter().for_each(|child| add_parts(child, guards));
}

fn made_by_optimizer(one: &ProjectionExpr) -> impl Iterator<Item = String> + use<> {
    let columns = collect_columns(&one.expr).into_iter();
    let names = columns.map(|column| column.name().to_owned());
    names.filter(|name| name.starts_with("__common_expr_"))
}
