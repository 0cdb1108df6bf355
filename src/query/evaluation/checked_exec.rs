//! The plan node that evaluates expressions and rejects the rows that they fail on.

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream};

use super::carry::is_origin;
use super::fallible::physical_may_fail;
use super::isolate::{Expressions, FailedRow, Isolation, Piece, fault_message, is_fault_of_row};
use super::rejects::EvaluationRejects;
use crate::udf::operator_of;

/// Characters of an expression that stand in the quarantine.
const EXPRESSION_CHARACTERS_MAX: usize = 300;
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
        Ok(Transformed::no(node))
    })
    .data()
}

/// The checked projection, of no more columns than it needs: a filter or join below can then leave
/// the others out.
fn check_projection(projection: &ProjectionExec) -> Result<Arc<dyn ExecutionPlan>> {
    let input = projection.input();
    let schema = input.schema();
    let exprs = projection.expr().iter();
    let used = exprs.flat_map(|one| collect_columns(&one.expr)).map(|column| column.index());
    let used: HashSet<usize> = used.collect();
    let wanted = |index: &usize| used.contains(index) || is_origin(schema.field(*index).name());
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
    rows: Arc<RowCounts>,
}

/// How many rows one place of a query has seen, over all its partitions.
#[derive(Debug, Default)]
struct RowCounts {
    seen: AtomicU64,
    failed: AtomicU64,
}

impl CheckedProjectionExec {
    /// The node's name in plans.
    pub const NAME: &str = "CheckedProjectionExec";

    /// The projection that is checked.
    pub fn projection(&self) -> &ProjectionExec {
        &self.projection
    }

    fn new(projection: ProjectionExec, predicate: Option<usize>) -> Self {
        CheckedProjectionExec { projection, predicate, rows: Arc::default() }
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
        Ok(Arc::new(CheckedProjectionExec::new(projection, self.predicate)))
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
        let (predicate, rows) = (self.predicate, Arc::clone(&self.rows));
        let exprs = Expressions { exprs, schema: Arc::clone(&schema), predicate };
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
    evaluation.note(batch.num_rows() as u64, 0);
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
    fn note(&self, seen: u64, failed: u64) {
        let seen = self.rows.seen.fetch_add(seen, Ordering::Relaxed) + seen;
        let failed = self.rows.failed.fetch_add(failed, Ordering::Relaxed) + failed;
        self.rejects.note_evaluated(seen, failed);
    }

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
        self.note(0, 1);
        let expression = describe(&self.exprs.exprs[failed.expr], &self.input);
        let message = fault_message(&failed.error);
        let rejected = self.rejects.reject(&failed.row, &expression, &message).await;
        rejected.map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// An expression over the rows of `input` as SQL, shortened to a line.
fn describe(expr: &Arc<dyn PhysicalExpr>, input: &Arc<dyn ExecutionPlan>) -> String {
    let shown = Arc::clone(expr).transform_up(|expr| {
        let shown = match expr.downcast_ref::<Column>() {
            Some(column) => show_column(column, input),
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

/// A column that the optimizer has made, by what it stands for.
fn show_column(column: &Column, input: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn PhysicalExpr>> {
    let name = column.name();
    let text = if name.starts_with("__common_expr_") {
        definition(name, input)?
    } else {
        let list = name.strip_prefix("__unnest_placeholder(")?;
        format!("unnest({})", list.rsplit_once(",depth=").map_or(list, |(list, _)| list))
    };
    Some(Arc::new(Column::new(&text, 0)))
}

fn definition(name: &str, plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let checked = plan.downcast_ref::<CheckedProjectionExec>();
    let checked = checked.map(CheckedProjectionExec::projection);
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>().or(checked) {
        let one = projection.expr().iter().find(|one| one.alias == name)?;
        return Some(describe(&one.expr, projection.input()));
    }
    plan.children().into_iter().find_map(|child| definition(name, child))
}

/// A call as its reader knows it: operators between their operands, and no row source.
fn show_call(call: &ScalarFunctionExpr) -> Option<Arc<dyn PhysicalExpr>> {
    let operands: Vec<String> =
        call.args().iter().map(|arg| fmt_sql(arg.as_ref()).to_string()).collect();
    let text = match (operator_of(call.fun()), operands.as_slice()) {
        (Some(op), [left, right]) => format!("({left} {op} {right})"),
        (Some(op), [operand]) => format!("({op}{operand})"),
        (None, [own @ .., source, line]) if source == "_source" && line == "_line" => {
            format!("{}({})", call.name(), own.join(", "))
        }
        _ => return None,
    };
    // A column's name is shown as it is.
    Some(Arc::new(Column::new(&text, 0)))
}
