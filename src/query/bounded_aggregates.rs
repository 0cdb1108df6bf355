//! `string_agg` and `array_agg`, which gather what no row holds, with a bound on what they hold.
//!
//! The engine counts what an aggregate holds after each batch, but not what it merges from disk,
//! nor what a window makes of a batch:
//!
//! ```text
//! string_agg(name, ',') … GROUP BY id        all groups at once: at most what queries may take
//! string_agg(name, ',') OVER (ORDER BY at)   a text for each row, each longer than the last
//!   ─► the texts of a batch's rows           at most what queries may take
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator,
    LogicalPlan, ReversedUDAF, SetMonotonicity, Signature, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

/// Aggregates that gather their values.
const GATHERING: [&str; 2] = ["array_agg", "string_agg"];

/// Whether a plan gathers values. Groups are not handed from thread to thread then: the engine lays
/// as many of them together as it would numbers, and does not count their bytes.
pub(super) fn gathers_values(plan: &LogicalPlan) -> Result<bool> {
    let mut gathers = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            let is_gathering = |expr: &Expr| {
                expr.exists(|expr| {
                    Ok(match expr {
                        Expr::AggregateFunction(call) => GATHERING.contains(&call.func.name()),
                        _ => false,
                    })
                })
            };
            for expr in &aggregate.aggr_expr {
                gathers |= is_gathering(expr)?;
            }
        }
        Ok(if gathers { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(gathers)
}

/// Puts a bound on the aggregates of a context whose queries may take so many bytes, in batches of
/// so many rows.
pub(super) fn bound_aggregates(context: &SessionContext, pool_bytes: usize, batch_rows: usize) {
    let state = context.state();
    for name in GATHERING {
        if let Some(function) = state.aggregate_functions().get(name) {
            let function = Arc::clone(function.inner());
            let bounded = Bounded { function, bytes_max: pool_bytes, window_rows: None };
            context.register_udaf(AggregateUDF::from(bounded));
        }
    }
    context.add_analyzer_rule(Arc::new(BoundWindows { batch_rows }));
}

/// Tells the aggregates that stand in windows that they do.
#[derive(Debug)]
struct BoundWindows {
    batch_rows: usize,
}

impl AnalyzerRule for BoundWindows {
    fn name(&self) -> &str {
        "bound_windows"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let bounded = plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let bounded = expr.transform_up(|expr| Ok(self.bound(expr)))?;
                Ok(bounded.update_data(|expr| name.restore(expr)))
            })
        });
        bounded.map(|bounded| bounded.data)
    }
}

impl BoundWindows {
    fn bound(&self, expr: Expr) -> Transformed<Expr> {
        let Expr::WindowFunction(call) = expr else { return Transformed::no(expr) };
        let bounded = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                function.inner().downcast_ref::<Bounded>()
            }
            WindowFunctionDefinition::WindowUDF(_) => None,
        };
        let Some(bounded) = bounded else { return Transformed::no(Expr::WindowFunction(call)) };
        let window = Bounded { window_rows: Some(self.batch_rows), ..bounded.clone() };
        let fun = WindowFunctionDefinition::AggregateUDF(Arc::new(AggregateUDF::from(window)));
        Transformed::yes(Expr::from(WindowFunction { fun, params: call.params }))
    }
}

/// An aggregate of the engine with a bound on what it holds.
#[derive(Debug, Clone)]
struct Bounded {
    function: Arc<dyn AggregateUDFImpl>,
    bytes_max: usize,
    /// Rows of a batch, if it makes a value for each of them.
    window_rows: Option<usize>,
}

impl Bounded {
    fn with_function(&self, function: Arc<dyn AggregateUDFImpl>) -> Self {
        Bounded { function, ..self.clone() }
    }

    fn bound(&self, args: &AccumulatorArgs<'_>) -> Bound {
        Bound { call: args.name.to_owned(), bytes_max: self.bytes_max }
    }

    fn accumulator_of(&self, inner: Box<dyn Accumulator>, bound: Bound) -> Box<dyn Accumulator> {
        let window = self.window_rows.map(|rows_max| WindowValues {
            rows_max,
            bytes: 0,
            last: VecDeque::new(),
            rows_since: 0,
        });
        Box::new(BoundedAccumulator { bound, inner, window })
    }
}

impl AggregateUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let bound = self.bound(&args);
        Ok(self.accumulator_of(self.function.accumulator(args)?, bound))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let bound = self.bound(&args);
        Ok(self.accumulator_of(self.function.create_sliding_accumulator(args)?, bound))
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let bound = self.bound(&args);
        let inner = self.function.create_groups_accumulator(args)?;
        Ok(Box::new(BoundedGroups { bound, inner }))
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial_ordering: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let function = Arc::clone(&self.function).with_beneficial_ordering(beneficial_ordering)?;
        Ok(function.map(|function| Arc::new(self.with_function(function)) as _))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.function.reverse_expr() {
            ReversedUDAF::Reversed(function) => {
                let reversed = self.with_function(Arc::clone(function.inner()));
                ReversedUDAF::Reversed(Arc::new(AggregateUDF::from(reversed)))
            }
            other => other,
        }
    }

    // All others are the function's own.

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.function.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.function.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.function.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.function.groups_accumulator_supported(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.function.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.function.simplify()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn is_descending(&self) -> Option<bool> {
        self.function.is_descending()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.function.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.function.supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.function.supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.function.set_monotonicity(data_type)
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        // The function tells its kinds apart that differ in how they are ordered.
        let same = self.function.as_ref().dyn_eq(other.function.as_ref());
        same && self.window_rows == other.window_rows
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
        self.window_rows.hash(state);
    }
}

/// How much a call may hold.
struct Bound {
    /// `string_agg(logs.name,Utf8(","))`
    call: String,
    bytes_max: usize,
}

impl Bound {
    /// # Errors
    /// The call and the size, if it is too large.
    fn check(&self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        let (call, most) = (&self.call, self.bytes_max);
        Err(DataFusionError::ResourcesExhausted(format!(
            "`{call}` gathers {bytes} bytes at once, more than {most}"
        )))
    }
}

/// The values that a window has made of a batch's rows so far.
struct WindowValues {
    rows_max: usize,
    bytes: usize,
    last: VecDeque<usize>,
    /// Rows that have come since the last value was made; if it is made once for all of them, it
    /// stands in each.
    rows_since: usize,
}

impl WindowValues {
    /// Bytes of the values of the last rows with this one.
    fn add(&mut self, value: &ScalarValue) -> usize {
        let bytes = value.size().saturating_mul(self.rows_since.max(1));
        self.rows_since = 0;
        self.bytes = self.bytes.saturating_add(bytes);
        self.last.push_back(bytes);
        if self.last.len() > self.rows_max {
            self.bytes -= self.last.pop_front().unwrap_or(0);
        }
        self.bytes
    }
}

struct BoundedAccumulator {
    bound: Bound,
    inner: Box<dyn Accumulator>,
    window: Option<WindowValues>,
}

impl fmt::Debug for BoundedAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedAccumulator").field("call", &self.bound.call).finish()
    }
}

impl Accumulator for BoundedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)?;
        match &mut self.window {
            // What it makes is more than what it holds.
            Some(window) => {
                window.rows_since += values.first().map_or(0, |values| values.len());
                Ok(())
            }
            None => self.bound.check(self.inner.size()),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)?;
        self.bound.check(self.inner.size())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        if let Some(window) = &mut self.window {
            self.bound.check(window.add(&value))?;
        }
        Ok(value)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

struct BoundedGroups {
    bound: Bound,
    inner: Box<dyn GroupsAccumulator>,
}

impl GroupsAccumulator for BoundedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, group_indices, opt_filter, total_num_groups)?;
        self.bound.check(self.inner.size())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)?;
        self.bound.check(self.inner.size())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
