//! Aggregates whose result may have no place give what they can hold, and the result is computed
//! above them, where a group or a row that has none is a reject.
//!
//! ```text
//! Aggregate [name], [sum(x)]                                      x: DECIMAL(38, 2)
//!   ─► Projection [name, exact_sum(sum(x)) AS sum(x)]
//!        Aggregate [name], [sum(x) of 76 digits]
//!
//! Window [avg(n) OVER w]                                          n: BIGINT
//!   ─► Projection […, exact_avg(sum(n) OVER w, count(n) OVER w) AS avg(n) OVER w]
//!        Window [sum(n) OVER w, count(n) OVER w]
//! ```

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::logical_plan::{Aggregate, Projection, Window};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;

use super::checked_avg::CheckedAvg;
use super::checked_sum::{checked_sum, may_have_no_place, wide_sum};
use super::exact_results::exact_result;

/// Computes the results of `sum` and `avg` above what adds.
#[derive(Debug, Default)]
pub struct ExactAggregates;

impl AnalyzerRule for ExactAggregates {
    fn name(&self) -> &str {
        "exact_aggregates"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(aggregate) => rewrite_aggregate(aggregate),
            LogicalPlan::Window(window) => rewrite_window(window),
            other => Ok(Transformed::no(other)),
        })
        .map(|transformed| transformed.data)
    }
}

fn rewrite_aggregate(aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let before = Arc::clone(&aggregate.schema);
    let mut adding = Adding::default();
    let results = adding.replace_all(&aggregate.aggr_expr, aggregate.input.schema())?;
    let Some(results) = results else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let Aggregate { input, group_expr, .. } = aggregate;
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, adding.exprs)?);
    project(plan, &before, results)
}

fn rewrite_window(window: Window) -> Result<Transformed<LogicalPlan>> {
    let before = Arc::clone(&window.schema);
    let mut adding = Adding::default();
    let results = adding.replace_all(&window.window_expr, window.input.schema())?;
    let Some(results) = results else {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    };
    let plan = LogicalPlan::Window(Window::try_new(adding.exprs, window.input)?);
    project(plan, &before, results)
}

/// The columns that a node had before: those that it passes on, then the results.
fn project(
    plan: LogicalPlan,
    before: &DFSchema,
    results: Vec<Expr>,
) -> Result<Transformed<LogicalPlan>> {
    let passed_on = before.fields().len() - results.len();
    let columns = plan.schema().columns().into_iter().take(passed_on).map(Expr::Column);
    let results = results.into_iter().zip(before.iter().skip(passed_on));
    let results = results
        .map(|(expr, (qualifier, field))| expr.alias_qualified(qualifier.cloned(), field.name()));
    let exprs = columns.chain(results).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?)))
}

/// What is added up instead.
#[derive(Default)]
struct Adding {
    exprs: Vec<Expr>,
}

impl Adding {
    /// The results of a node's expressions; none, if all may stay.
    fn replace_all(&mut self, exprs: &[Expr], input: &DFSchema) -> Result<Option<Vec<Expr>>> {
        let mut is_changed = false;
        let mut results = Vec::new();
        for expr in exprs {
            let replaced = self.replace(expr, input)?;
            is_changed |= replaced.is_some();
            results.push(match replaced {
                Some(result) => result,
                None => self.column(expr.clone()),
            });
        }
        Ok(is_changed.then_some(results))
    }

    fn replace(&mut self, expr: &Expr, input: &DFSchema) -> Result<Option<Expr>> {
        let call = expr.clone().unalias_nested().data;
        let Some((function, arg)) = call_of(&call) else { return Ok(None) };
        let value = arg.get_type(input)?;
        let is_avg = function.inner().is::<CheckedAvg>() && is_exact(&value);
        if !is_avg && !may_have_no_place(function, &value) {
            return Ok(None);
        }
        let sum = if value.is_integer() { checked_sum() } else { wide_sum() };
        let mut args = vec![self.column(with_function(&call, sum.into()))];
        if is_avg {
            args.push(self.column(with_function(&call, count_udaf())));
        }
        let (result, shown) = (expr.get_type(input)?, expr.schema_name().to_string());
        Ok(Some(exact_result(args, result, shown)))
    }

    /// The column that an expression is added up as; of two that are the same there is one.
    fn column(&mut self, expr: Expr) -> Expr {
        let name = |expr: &Expr| {
            let (relation, name) = expr.qualified_name();
            Column::new(relation, name)
        };
        let known = self.exprs.iter().find(|known| {
            Expr::clone(known).unalias_nested().data == expr.clone().unalias_nested().data
        });
        if let Some(known) = known {
            return Expr::Column(name(known));
        }
        let mut own = expr.clone();
        while self.exprs.iter().any(|other| name(other) == name(&own)) {
            own = expr.clone().alias(format!("{} #{}", name(&own).name, self.exprs.len()));
        }
        let column = Expr::Column(name(&own));
        self.exprs.push(own);
        column
    }
}

/// An aggregate's function and its argument.
fn call_of(expr: &Expr) -> Option<(&AggregateUDF, &Expr)> {
    let (function, args) = match expr {
        Expr::AggregateFunction(call) => (&call.func, &call.params.args),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => (function, &call.params.args),
            WindowFunctionDefinition::WindowUDF(_) => return None,
        },
        _ => return None,
    };
    let [arg] = args.as_slice() else { return None };
    Some((function, arg))
}

fn with_function(call: &Expr, function: Arc<AggregateUDF>) -> Expr {
    let mut call = call.clone();
    match &mut call {
        Expr::AggregateFunction(call) => call.func = function,
        Expr::WindowFunction(call) => call.fun = WindowFunctionDefinition::AggregateUDF(function),
        _ => {}
    }
    call
}

/// Whether values are added up exactly.
fn is_exact(value: &DataType) -> bool {
    let is_widest = matches!(value, DataType::Decimal256(..));
    let is_decimal = value.is_decimal() && !is_widest;
    value.is_integer() || is_decimal || matches!(value, DataType::Duration(_))
}
