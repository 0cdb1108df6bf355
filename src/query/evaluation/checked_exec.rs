//! The plan node that evaluates expressions and rejects the rows that they fail on.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream};

use super::carry::{is_origin, key_name};
use super::fallible::physical_may_fail;
use super::isolate::{Expressions, FailedRow, Isolation, Piece, fault_message, is_fault_of_row};
use super::join_condition::check_join;
use super::places::{Place, PlaceId, RowCounts};
use super::predicates::predicate_of;
use super::rejects::EvaluationRejects;
use super::shown::{describe, readable_row};
use crate::base::error::Error;
use crate::pipeline::OnFail;
use crate::query::rejected_rows::describe_origin;

/// Results of the parts of a batch that are put together again.
const GATHERED_BYTES: usize = 1 << 20;
/// The column of a filter's predicate.
const PREDICATE: &str = "__predicate";

/// The rules that make a physical plan better, after the one that checks its expressions: they
/// would take out again what nothing but a reject needs.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let check: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(CheckExpressions);
    std::iter::once(check).chain(PhysicalOptimizer::new().rules).collect()
}

/// Puts checked projections where expressions may fail.
#[derive(Debug)]
struct CheckExpressions;

impl PhysicalOptimizerRule for CheckExpressions {
    fn name(&self) -> &str {
        "check_expressions"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        check_projections(plan)
    }
}

fn check_projections(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(projection) = node.downcast_ref::<ProjectionExec>()
            && projection.expr().iter().any(|one| physical_may_fail(&one.expr))
        {
            return check_projection(projection).map(Transformed::yes);
        }
        if let Some(filter) = node.downcast_ref::<FilterExec>()
            && physical_may_fail(filter.predicate())
        {
            return check_filter(filter).map(Transformed::yes);
        }
        let join = check_join(&node)?;
        Ok(join.map_or_else(|| Transformed::no(node), Transformed::yes))
    })
    .data()
}

/// The checked projection, of no more columns than it and a reject need: a filter or join below can
/// then leave the others out.
fn check_projection(projection: &ProjectionExec) -> Result<Arc<dyn ExecutionPlan>> {
    let input = projection.input();
    let schema = input.schema();
    let exprs = projection.expr().iter();
    let used = exprs.flat_map(|one| collect_columns(&one.expr)).map(|column| column.index());
    let used: HashSet<usize> = used.collect();
    let keys = key_columns(input);
    let wanted = |index: &usize| {
        let name = schema.field(*index).name();
        used.contains(index) || *index < keys || is_origin(name) || key_name(name).is_some()
    };
    let kept: Vec<usize> = (0..schema.fields().len()).filter(wanted).collect();
    if kept.len() == schema.fields().len() {
        return Ok(Arc::new(CheckedProjectionExec::new(projection.clone(), None)));
    }
    let columns = kept.iter().map(|index| column_of(&schema, *index));
    let narrowed = ProjectionExec::try_new(columns, Arc::clone(input))?;
    let moved = |expr: Arc<dyn PhysicalExpr>| {
        let place = expr.downcast_ref::<Column>().and_then(|column| {
            let index = kept.binary_search(&column.index()).ok()?;
            Some(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>)
        });
        Ok(place.map_or_else(|| Transformed::no(expr), Transformed::yes))
    };
    let exprs = projection.expr().iter().map(|one| {
        let expr = Arc::clone(&one.expr).transform_up(moved).data()?;
        Ok(ProjectionExpr { expr, alias: one.alias.clone() })
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let output = projection.schema();
    let moved = ProjectionExec::try_new_with_schema_metadata(exprs, Arc::new(narrowed), &output)?;
    Ok(Arc::new(CheckedProjectionExec::new(moved, None)))
}

/// How many of a plan's first columns say which group a row is.
fn key_columns(plan: &Arc<dyn ExecutionPlan>) -> usize {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return aggregate.group_expr().expr().len();
    }
    match plan.downcast_ref::<FilterExec>() {
        Some(filter) if filter.projection().is_none() => key_columns(filter.input()),
        _ => 0,
    }
}

fn column_of(schema: &SchemaRef, index: usize) -> ProjectionExpr {
    let name = schema.field(index).name();
    ProjectionExpr { expr: Arc::new(Column::new(name, index)), alias: name.clone() }
}

/// A filter by a column, which a checked projection below it computes.
fn check_filter(filter: &FilterExec) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = filter.input().schema();
    let columns = schema.fields().len();
    let mut exprs: Vec<_> = (0..columns).map(|index| column_of(&schema, index)).collect();
    let predicate = Arc::clone(filter.predicate());
    exprs.push(ProjectionExpr { expr: predicate, alias: PREDICATE.to_owned() });
    let projection = ProjectionExec::try_new(exprs, Arc::clone(filter.input()))?;
    let input = Arc::new(CheckedProjectionExec::new(projection, Some(columns)));
    let builder = FilterExecBuilder::from(filter)
        .with_input(input)
        .with_predicate(Arc::new(Column::new(PREDICATE, columns)));
    let builder = match filter.projection() {
        Some(_) => builder,
        None => builder.apply_projection(Some((0..columns).collect()))?,
    };
    Ok(Arc::new(builder.build()?))
}

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

    fn new(projection: ProjectionExec, predicate: Option<usize>) -> Self {
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
