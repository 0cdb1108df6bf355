//! The plan node that evaluates expressions and rejects the rows that they fail on.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream};

pub(super) mod shown;

use shown::{describe, readable_row};

use super::isolate::{Expressions, FailedRow, Isolation, Piece, fault_message, is_fault_of_row};
use super::places::{Place, PlaceId, RowCounts};
use super::predicates::predicate_of;
use super::rejects::EvaluationRejects;
use crate::base::error::Error;
use crate::pipeline::OnFail;
use crate::query::rejected_rows::describe_origin;

/// Results of the parts of a batch that are put together again.
const GATHERED_BYTES: usize = 1 << 20;
/// A projection that rejects the rows that its expressions fail on.
#[derive(Debug)]
pub(crate) struct CheckedProjectionExec {
    projection: ProjectionExec,
    /// The expression that is a filter's predicate.
    predicate: Option<usize>,
    place: Arc<Place>,
}

/// The places of a query, in the order of its plan: the shards of a run number them alike.
pub(crate) fn places_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<PlaceId> {
    let own = plan.downcast_ref::<CheckedProjectionExec>();
    let mut places: Vec<_> = own.map(|node| PlaceId::of(&node.place)).into_iter().collect();
    places.extend(plan.children().into_iter().flat_map(places_of));
    places
}

impl CheckedProjectionExec {
    /// The node's name in plans.
    pub const NAME: &str = "CheckedProjectionExec";

    /// The projection that is checked.
    pub fn projection(&self) -> &ProjectionExec {
        &self.projection
    }

    pub fn new(projection: ProjectionExec, predicate: Option<usize>) -> Self {
        CheckedProjectionExec { projection, predicate, place: Arc::default() }
    }
}

impl DisplayAs for CheckedProjectionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exprs = self.projection.expr().iter().map(ToString::to_string);
        write!(f, "{}: expr=[{}]", Self::NAME, exprs.collect::<Vec<_>>().join(", "))
    }
}

impl ExecutionPlan for CheckedProjectionExec {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.projection.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.projection.input()]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.projection.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = Arc::new(self.projection.clone()).replace_children(children, options)?;
        let projection = projection.downcast_ref::<ProjectionExec>().cloned();
        let projection = projection.ok_or_else(|| {
            DataFusionError::Internal("a projection has become another node".to_owned())
        })?;
        let (predicate, place) = (self.predicate, Arc::clone(&self.place));
        Ok(Arc::new(CheckedProjectionExec { projection, predicate, place }))
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
        let rejects = context.session_config().get_extension::<EvaluationRejects>();
        let rejects = rejects.ok_or_else(|| {
            DataFusionError::Internal("the task's context takes no rejects".to_owned())
        })?;
        let schema = self.projection.schema();
        let exprs = self.projection.expr().iter().map(|one| Arc::clone(&one.expr)).collect();
        let rows = rejects.counts_at(PlaceId::of(&self.place));
        let exprs = Expressions { exprs, schema: Arc::clone(&schema), predicate: self.predicate };
        let input = Arc::clone(self.projection.input());
        let batches = input.execute(partition, context)?;
        let evaluation = Arc::new(Evaluation { exprs, input, rejects, rows });
        let batches = batches.flat_map(move |batch| match batch {
            Ok(batch) => evaluate(&evaluation, batch),
            Err(error) => stream::once(ready(Err(error))).boxed(),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// One partition's evaluation.
struct Evaluation {
    exprs: Expressions,
    /// Where the rows come from.
    input: Arc<dyn ExecutionPlan>,
    rejects: Arc<EvaluationRejects>,
    rows: Arc<RowCounts>,
}

/// The results of one batch: as one batch, if nothing fails.
fn evaluate(evaluation: &Arc<Evaluation>, batch: RecordBatch) -> BoxStream<'static, Evaluated> {
    evaluation.rows.add(batch.num_rows() as u64, 0);
    match evaluation.exprs.evaluate(&batch) {
        Err(error) if is_fault_of_row(&error) => {
            let isolation = Isolation::new(&evaluation.exprs, batch);
            let state = (Arc::clone(evaluation), isolation);
            let next = |(evaluation, mut isolation): (Arc<Evaluation>, Isolation)| async move {
                let batch = evaluation.next_rows(&mut isolation).await?;
                Ok(batch.map(|batch| (batch, (evaluation, isolation))))
            };
            stream::try_unfold(state, next).boxed()
        }
        evaluated => stream::once(ready(evaluated)).boxed(),
    }
}

type Evaluated = Result<RecordBatch>;

impl Evaluation {
    /// Rejects rows, and gathers the results of others to batches that are not too small.
    async fn next_rows(&self, isolation: &mut Isolation) -> Result<Option<RecordBatch>> {
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        while bytes < GATHERED_BYTES {
            match isolation.next(&self.exprs)? {
                Some(Piece::Rows(batch)) => {
                    bytes += batch.get_array_memory_size();
                    gathered.push(batch);
                }
                Some(Piece::Failed(failed)) => self.reject(&failed).await?,
                None => break,
            }
        }
        match gathered.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => Ok(Some(concat_batches(&self.exprs.schema, several)?)),
        }
    }

    async fn reject(&self, failed: &FailedRow) -> Result<()> {
        let expr = &self.exprs.exprs[failed.expr];
        let message = fault_message(&failed.error);
        let external = |error| DataFusionError::External(Box::new(error));
        if let Some(predicate) = predicate_of(expr)
            && predicate.on_fail == OnFail::Fail
        {
            let origin = describe_origin(&failed.row, 0);
            return Err(external(Error::Data(format!(
                "{} cannot be evaluated on the row {origin}: {message}; with `on_fail = \"fail\"` \
                 such a row stops the run, and nothing was published; look at the row, or mend the \
                 expectation",
                predicate.shown
            ))));
        }
        self.rows.add(0, 1);
        let expression = describe(expr, &self.input);
        let row = readable_row(&failed.row, &self.input)?;
        let rejected = self.rejects.reject(&row, &expression, &message).await;
        rejected.map_err(external)
    }
}
