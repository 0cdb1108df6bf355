//! The optimizer rule that puts checked projections where expressions may fail.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use super::carry::{is_origin, key_name};
use super::checked_exec::CheckedProjectionExec;
use super::fallible::physical_may_fail;
use super::join_condition::check_join;

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
