//! Carries each row's origin to where an expression may fail on it, and computes in projections
//! what aggregates, windows and sorts would compute themselves.
//!
//! This runs once, after the optimizer, so that no rule of it takes the columns out again. A query
//! of which no expression can fail stays as it is.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{AggregateFunction, Case, Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{
    Aggregate, Filter, Join, Limit, Projection, Sort, SubqueryAlias, TableScanBuilder, Window,
};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, GroupingSet, JoinType, LogicalPlan, TableScan, Unnest, col};

use super::fallible::may_fail;
use crate::pipeline::LOGS;

/// Where a row came from, under names that no view has.
pub(crate) const CARRIED_SOURCE: &str = "__origin_source_";
/// The row's line.
pub(crate) const CARRIED_LINE: &str = "__origin_line_";
/// The row's offset.
pub(crate) const CARRIED_OFFSET: &str = "__origin_offset_";
/// Which group a row is, by a column that its query does not take further.
const KEY: &str = "__key_";
/// What an aggregate's or a window's argument is computed as.
const COMPUTED: &str = "__computed_";

/// The columns of `logs` that say where a row is from, and what they are carried as.
const ORIGIN: [(&str, &str); 3] =
    [("_source", CARRIED_SOURCE), ("_line", CARRIED_LINE), ("_offset", CARRIED_OFFSET)];

/// Whether a column says where its row is from.
pub(crate) fn is_origin(name: &str) -> bool {
    ORIGIN.iter().any(|(own, carried)| name == *own || name.starts_with(carried))
}

/// Whether a column is there only for rejects.
pub(crate) fn is_carried(name: &str) -> bool {
    ORIGIN.iter().any(|(_, carried)| name.starts_with(carried))
}

/// The name of a group's column that a projection passes on for rejects: `__key_7_name` is `name`.
pub(crate) fn key_name(name: &str) -> Option<&str> {
    name.strip_prefix(KEY)?.split_once('_').map(|(_, name)| name)
}

/// The same query, whose rows say where they come from wherever they may fail.
pub(crate) fn carry_origin(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let mut fails = false;
    plan.apply_with_subqueries(|node| {
        fails = node_may_fail(node);
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !fails {
        return Ok(plan.clone());
    }
    let carried = Carrier::default().carry(plan.clone(), false)?;
    trim(carried.plan, plan)
}

fn node_may_fail(node: &LogicalPlan) -> bool {
    node.expressions().iter().any(may_fail)
}

/// A plan, which may have more columns than before, and where its rows' origin stands.
struct Carried {
    plan: LogicalPlan,
    origin: Option<[Column; 3]>,
}

/// Gives each new column a name of its own.
#[derive(Default)]
struct Carrier {
    names: usize,
}

impl Carrier {
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// `wanted` says whether something above may fail on this plan's rows.
    fn carry(&mut self, plan: LogicalPlan, wanted: bool) -> Result<Carried> {
        let fails = node_may_fail(&plan);
        let below = wanted || fails;
        // A subquery stands in an expression: its columns must stay as they are.
        let plan = plan.map_subqueries(|subquery| {
            self.carry(subquery, false).map(|carried| Transformed::yes(carried.plan))
        })?;
        match plan.data {
            LogicalPlan::TableScan(scan) if wanted && scan.table_name.table() == LOGS => {
                scan_with_origin(scan)
            }
            LogicalPlan::Projection(projection) => self.carry_projection(projection, below, wanted),
            LogicalPlan::Filter(filter) => {
                let input = self.carry(Arc::unwrap_or_clone(filter.input), below)?;
                let filter = Filter::try_new(filter.predicate, Arc::new(input.plan))?;
                Ok(Carried { plan: LogicalPlan::Filter(filter), origin: input.origin })
            }
            LogicalPlan::SubqueryAlias(alias) => self.carry_alias(alias, wanted),
            LogicalPlan::Unnest(unnest) => self.carry_unnest(unnest, wanted),
            LogicalPlan::Limit(limit) => {
                let input = self.carry(Arc::unwrap_or_clone(limit.input), wanted)?;
                let limit = Limit { input: Arc::new(input.plan), ..limit };
                Ok(Carried { plan: LogicalPlan::Limit(limit), origin: input.origin })
            }
            LogicalPlan::Join(join) => self.carry_join(join, below),
            LogicalPlan::Aggregate(aggregate) => self.carry_aggregate(aggregate, fails),
            LogicalPlan::Window(window) => self.carry_window(window, below),
            LogicalPlan::Sort(sort) => self.carry_sort(sort, below),
            other => {
                let plan = other.map_children(|child| {
                    let carried = self.carry(child.clone(), false)?;
                    trim(carried.plan, &child).map(Transformed::yes)
                })?;
                Ok(Carried { plan: plan.data, origin: None })
            }
        }
    }

    fn carry_projection(
        &mut self,
        projection: Projection,
        below: bool,
        wanted: bool,
    ) -> Result<Carried> {
        let input = self.carry(Arc::unwrap_or_clone(projection.input), below)?;
        let mut exprs = projection.expr;
        let origin = match (wanted, input.origin) {
            (true, Some(origin)) => Some(self.pass_on(&mut exprs, origin)),
            _ => None,
        };
        if wanted {
            self.pass_on_keys(&mut exprs, &input.plan);
        }
        let projection = Projection::try_new(exprs, Arc::new(input.plan))?;
        let plan = LogicalPlan::Projection(projection);
        let origin = origin.map(|places| places.map(|place| column_at(&plan, place)));
        Ok(Carried { plan, origin })
    }

    /// Where the origin stands in the projected columns; it is added where it does not.
    fn pass_on(&mut self, exprs: &mut Vec<Expr>, origin: [Column; 3]) -> [usize; 3] {
        let mut kinds = ORIGIN.iter();
        origin.map(|column| {
            let carried_as = kinds.next().map_or(COMPUTED, |(_, carried)| *carried);
            let is_same = |expr: &Expr| *expr == Expr::Column(column.clone());
            exprs.iter().position(is_same).unwrap_or_else(|| {
                exprs.push(Expr::Column(column.clone()).alias(self.name(carried_as)));
                exprs.len() - 1
            })
        })
    }

    /// Adds the columns that say which group a row is, as far as they are not there.
    fn pass_on_keys(&mut self, exprs: &mut Vec<Expr>, input: &LogicalPlan) {
        let LogicalPlan::Aggregate(aggregate) = input else { return };
        let keys = aggregate.schema.columns().into_iter().take(aggregate.group_expr.len());
        for key in keys {
            let name = format!("{}_{}", self.name(KEY), key.name);
            let key = Expr::Column(key);
            if !exprs.contains(&key) {
                exprs.push(key.alias(name));
            }
        }
    }

    fn carry_alias(&mut self, alias: SubqueryAlias, wanted: bool) -> Result<Carried> {
        let input = self.carry(Arc::unwrap_or_clone(alias.input), wanted)?;
        let places = input.origin.map(|origin| places_of(&input.plan, &origin));
        let alias = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias)?;
        let plan = LogicalPlan::SubqueryAlias(alias);
        let origin = places.transpose()?;
        let origin = origin.map(|places| places.map(|place| column_at(&plan, place)));
        Ok(Carried { plan, origin })
    }

    fn carry_unnest(&mut self, unnest: Unnest, wanted: bool) -> Result<Carried> {
        let input = self.carry(Arc::unwrap_or_clone(unnest.input.clone()), wanted)?;
        let plan = LogicalPlan::Unnest(Unnest { input: Arc::new(input.plan), ..unnest });
        Ok(Carried { plan: plan.recompute_schema()?, origin: input.origin })
    }

    fn carry_join(&mut self, join: Join, below: bool) -> Result<Carried> {
        let (join, condition) = split_condition(join);
        let left = self.carry_trimmed(&join.left, below)?;
        let right = self.carry_trimmed(&join.right, below)?;
        let origin = match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.origin,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.origin,
            _ => left.origin.or(right.origin),
        };
        let (left, right) = (Arc::new(left.plan), Arc::new(right.plan));
        let plan = LogicalPlan::Join(Join { left, right, ..join }).recompute_schema()?;
        let plan = match condition {
            None => plan,
            Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?),
        };
        Ok(Carried { plan, origin })
    }

    /// Without more columns than before, if nobody wants them.
    fn carry_trimmed(&mut self, input: &Arc<LogicalPlan>, wanted: bool) -> Result<Carried> {
        let carried = self.carry(input.as_ref().clone(), wanted)?;
        if wanted {
            return Ok(carried);
        }
        Ok(Carried { plan: trim(carried.plan, input)?, origin: None })
    }

    /// A group has no origin: what fails above it needs none.
    fn carry_aggregate(&mut self, aggregate: Aggregate, fails: bool) -> Result<Carried> {
        let input = self.carry_trimmed(&aggregate.input, fails)?;
        let names = NamePreserver::new_for_projection();
        let mut computed = Vec::new();
        let mut groups = Vec::new();
        for expr in aggregate.group_expr {
            let name = names.save(&expr);
            groups.push(match expr {
                Expr::GroupingSet(sets) => {
                    Expr::GroupingSet(self.compute_sets(sets, &mut computed))
                }
                expr => name.restore(self.compute(expr, &mut computed)),
            });
        }
        let mut aggregates = Vec::new();
        for expr in aggregate.aggr_expr {
            let name = names.save(&expr);
            aggregates.push(name.restore(self.compute_arguments(expr, &mut computed)));
        }
        let input = Arc::new(with_computed(input.plan, computed)?);
        let schema = aggregate.schema;
        let aggregate = Aggregate::try_new_with_schema(input, groups, aggregates, schema)?;
        Ok(Carried { plan: LogicalPlan::Aggregate(aggregate), origin: None })
    }

    /// The keys of grouping sets, each of which is one column in all of them.
    fn compute_sets(&mut self, sets: GroupingSet, computed: &mut Vec<Expr>) -> GroupingSet {
        let names = NamePreserver::new_for_projection();
        let mut known: Vec<(Expr, Expr)> = Vec::new();
        let mut column_of = |key: Expr| {
            if let Some((_, column)) = known.iter().find(|(known, _)| *known == key) {
                return column.clone();
            }
            let column = names.save(&key).restore(self.compute(key.clone(), computed));
            known.push((key, column.clone()));
            column
        };
        let mut columns_of = |keys: Vec<Expr>| keys.into_iter().map(&mut column_of).collect();
        match sets {
            GroupingSet::Rollup(keys) => GroupingSet::Rollup(columns_of(keys)),
            GroupingSet::Cube(keys) => GroupingSet::Cube(columns_of(keys)),
            GroupingSet::GroupingSets(sets) => {
                GroupingSet::GroupingSets(sets.into_iter().map(columns_of).collect())
            }
        }
    }

    fn carry_window(&mut self, window: Window, below: bool) -> Result<Carried> {
        let input = self.carry_trimmed(&window.input, below)?;
        let names = NamePreserver::new_for_projection();
        let mut computed = Vec::new();
        let mut exprs = Vec::new();
        for expr in window.window_expr {
            let name = names.save(&expr);
            exprs.push(name.restore(self.compute_arguments(expr, &mut computed)));
        }
        let plan = Arc::new(with_computed(input.plan, computed)?);
        let plan = LogicalPlan::Window(Window::try_new(exprs, plan)?);
        Ok(Carried { plan, origin: input.origin })
    }

    fn carry_sort(&mut self, sort: Sort, below: bool) -> Result<Carried> {
        let input = self.carry_trimmed(&sort.input, below)?;
        let mut computed = Vec::new();
        let mut keys = sort.expr;
        for key in &mut keys {
            self.compute_key(key, &mut computed);
        }
        let plan = Arc::new(with_computed(input.plan, computed)?);
        let sort = Sort { expr: keys, input: plan, fetch: sort.fetch };
        Ok(Carried { plan: LogicalPlan::Sort(sort), origin: input.origin })
    }

    /// The arguments of an aggregate or a window, as columns where they may fail.
    fn compute_arguments(&mut self, expr: Expr, computed: &mut Vec<Expr>) -> Expr {
        match expr {
            Expr::Alias(mut alias) => {
                *alias.expr = self.compute_arguments(*alias.expr, computed);
                Expr::Alias(alias)
            }
            Expr::AggregateFunction(call) => self.compute_aggregate(call, computed),
            Expr::WindowFunction(call) => self.compute_window(*call, computed),
            other => other,
        }
    }

    fn compute_aggregate(&mut self, mut call: AggregateFunction, computed: &mut Vec<Expr>) -> Expr {
        let params = &mut call.params;
        for argument in &mut params.args {
            // What the filter keeps out must not fail either.
            if may_fail(argument)
                && let Some(filter) = &params.filter
            {
                let cases = vec![(filter.clone(), Box::new(std::mem::take(argument)))];
                *argument = Expr::Case(Case::new(None, cases, None));
            }
            *argument = self.compute(std::mem::take(argument), computed);
        }
        let filter = params.filter.take();
        params.filter = filter.map(|filter| Box::new(self.compute(*filter, computed)));
        params.order_by.iter_mut().for_each(|key| self.compute_key(key, computed));
        Expr::AggregateFunction(call)
    }

    fn compute_window(&mut self, mut call: WindowFunction, computed: &mut Vec<Expr>) -> Expr {
        let params = &mut call.params;
        for expr in params.args.iter_mut().chain(&mut params.partition_by) {
            *expr = self.compute(std::mem::take(expr), computed);
        }
        params.order_by.iter_mut().for_each(|key| self.compute_key(key, computed));
        Expr::from(call)
    }

    fn compute_key(&mut self, key: &mut SortExpr, computed: &mut Vec<Expr>) {
        key.expr = self.compute(std::mem::take(&mut key.expr), computed);
    }

    /// An expression that may fail as a column, which a projection computes.
    fn compute(&mut self, expr: Expr, computed: &mut Vec<Expr>) -> Expr {
        if !may_fail(&expr) {
            return expr;
        }
        let name = self.name(COMPUTED);
        computed.push(expr.unalias().alias(&name));
        col(name)
    }
}

/// An inner join without the parts of its condition that may fail on a pair of rows: above it they
/// say the same, and such a pair is a reject.
fn split_condition(join: Join) -> (Join, Option<Expr>) {
    if join.join_type != JoinType::Inner {
        return (join, None);
    }
    let parts = join.filter.clone().into_iter().flat_map(split_conjunction_owned);
    let (failing, safe): (Vec<_>, Vec<_>) = parts.partition(may_fail);
    (Join { filter: conjunction(safe), ..join }, conjunction(failing))
}

/// The scan with the columns that say where its rows are from.
fn scan_with_origin(scan: TableScan) -> Result<Carried> {
    let schema = scan.source.schema();
    let mut projection = scan.projection.unwrap_or_else(|| (0..schema.fields().len()).collect());
    for (name, _) in ORIGIN {
        let column = schema.index_of(name)?;
        if !projection.contains(&column) {
            projection.push(column);
        }
    }
    let origin = ORIGIN.map(|(name, _)| Column::new(Some(scan.table_name.clone()), name));
    let scan = TableScanBuilder::new(scan.table_name, scan.source)
        .with_projection(Some(projection))
        .with_filters(scan.filters)
        .with_fetch(scan.fetch)
        .with_statistics_requests(scan.statistics_requests)
        .build()?;
    Ok(Carried { plan: LogicalPlan::TableScan(scan), origin: Some(origin) })
}

/// A plan's columns and what is computed from them.
fn with_computed(plan: LogicalPlan, computed: Vec<Expr>) -> Result<LogicalPlan> {
    if computed.is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let exprs = columns.chain(computed).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
}

/// Only the columns that a plan had before.
fn trim(plan: LogicalPlan, before: &LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == before.schema().fields().len() {
        return Ok(plan);
    }
    let columns = before.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

fn column_at(plan: &LogicalPlan, place: usize) -> Column {
    Column::from(plan.schema().qualified_field(place))
}

fn places_of(plan: &LogicalPlan, columns: &[Column; 3]) -> Result<[usize; 3]> {
    let [source, line, offset] = columns;
    let place = |column: &Column| plan.schema().index_of_column(column);
    Ok([place(source)?, place(line)?, place(offset)?])
}
