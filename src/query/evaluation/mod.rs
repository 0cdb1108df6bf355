//! Rows that an expression cannot be evaluated on are rejects, not the end of a run.
//!
//! The engine evaluates expressions on whole batches: one row whose price overflows fails them all.
//! So an output's plan is changed twice, and nothing of it costs anything while all goes well:
//!
//! ```text
//! SELECT sum(price * quantity) FROM logs WHERE CAST(code AS INT) > 5
//!
//! carry.rs       Aggregate sum(__computed_0)                was: Aggregate sum(price * quantity)
//!                  Projection price * quantity AS __computed_0, _source, _line, _offset
//!                    Filter CAST(code AS INT) > 5
//!                      logs: price, quantity, code, _source, _line, _offset
//! checked_exec   CheckedProjectionExec in the place of each projection that may fail, and before
//!                each filter whose predicate may
//! isolate.rs     a batch fails ─► its halves, and so on: rows 17 and 900 fail
//! rejects.rs     quarantine: reason `evaluation_error`, output, expression, object, line, offset
//! ```
//!
//! What gathers rows (aggregates, windows) then finds computed columns, and gives sums that always
//! have a place; their results are computed above, where a group is a row as well. What still ends
//! the run is a condition of an outer join, for no pair can be left out of it (join_condition.rs).

mod carry;
mod check_rule;
mod checked_exec;
mod fallible;
mod isolate;
mod join_condition;
mod places;
mod predicates;
mod rejects;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use carry::{CARRIED_LINE, CARRIED_OFFSET, CARRIED_SOURCE, is_carried};
pub(crate) use check_rule::physical_rules;
pub(crate) use checked_exec::{CheckedProjectionExec, places_of};
pub use places::EvaluatedRows;
pub(crate) use places::{PlaceId, RowCounts};
pub(crate) use predicates::guarded_predicate;
pub use rejects::EvaluationCounts;
pub(crate) use rejects::{EvaluationRejects, output_error};

/// Plans a query so that rows that it cannot be evaluated on become rejects; its state has
/// [`physical_rules`].
pub(crate) async fn plan_checked(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let optimized = state.optimize(plan)?;
    let planner = state.query_planner();
    let planned = match carry::carry_origin(&optimized) {
        Ok(carrying) => planner.create_physical_plan(&carrying, state).await,
        Err(error) => Err(error),
    };
    match planned {
        Ok(planned) => Ok(planned),
        // Rejects of such a query have no place, or less of one; the query itself is right.
        Err(error) => {
            tracing::debug!(%error, "the origin of rows cannot be carried through a query");
            planner.create_physical_plan(&optimized, state).await
        }
    }
}
