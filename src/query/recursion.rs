//! Recursive queries end: each takes a bounded number of steps.
//!
//! ```text
//! WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t)
//!   RecursiveQueryExec
//!     base term
//!     RecursionStepExec     counts how often it is run; one time too many is an error
//!       recursive term
//! ```
//!
//! What one step makes is counted by the engine against the memory for queries.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

use crate::base::error::Error;

/// How many steps the recursive queries of one output have taken; stands in the task's context.
#[derive(Debug)]
pub(super) struct RecursionSteps {
    most: u64,
    taken: Mutex<HashMap<usize, u64>>,
}

impl RecursionSteps {
    /// None taken yet, at most so many.
    pub fn new(most: u64) -> Self {
        RecursionSteps { most, taken: Mutex::default() }
    }

    fn take(&self, query: usize, name: &str) -> crate::base::error::Result<()> {
        let mut taken = self.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let steps = taken.entry(query).or_default();
        *steps += 1;
        if *steps <= self.most {
            return Ok(());
        }
        Err(Error::config(format!(
            "`WITH RECURSIVE {name}` has not ended after {} steps; give it a condition that ends \
             it, or raise `recursion_steps_max` under `[resources]` in pipeline.toml",
            self.most
        )))
    }
}

/// Counts the steps of each recursive query of a plan.
pub(super) fn count_recursion_steps(
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut queries = 0;
    let counted = plan.transform_up(|node| {
        let Some(query) = node.downcast_ref::<RecursiveQueryExec>() else {
            return Ok(Transformed::no(node));
        };
        queries += 1;
        let step = Arc::new(RecursionStepExec {
            input: Arc::clone(query.recursive_term()),
            query: queries,
            name: query.name().to_owned(),
        });
        let children = vec![Arc::clone(query.static_term()), step];
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        node.replace_children(children, options).map(Transformed::yes)
    });
    Ok(counted?.data)
}

/// The recursive term of a query, run once a step.
#[derive(Debug)]
struct RecursionStepExec {
    input: Arc<dyn ExecutionPlan>,
    /// The query's number in the plan.
    query: usize,
    name: String,
}

impl DisplayAs for RecursionStepExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecursionStepExec: name={}", self.name)
    }
}

impl ExecutionPlan for RecursionStepExec {
    fn name(&self) -> &str {
        "RecursionStepExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        Ok(Arc::new(RecursionStepExec { input, query: self.query, name: self.name.clone() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let steps = context.session_config().get_extension::<RecursionSteps>();
        let steps = steps.ok_or_else(|| {
            DataFusionError::Internal("the task's context counts no steps".to_owned())
        })?;
        let taken = steps.take(self.query, &self.name);
        taken.map_err(|error| DataFusionError::External(Box::new(error)))?;
        self.input.execute(partition, context)
    }
}
