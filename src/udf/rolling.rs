//! Aggregates of doubles over windows that move: aggregation over two stacks.
//!
//! The engine takes what leaves a window off its result again. Of doubles that is another number:
//! after 1e300, 1, 2 have been added and 1e300 is taken off, 0 is left and not 3. So nothing is
//! taken off here. The rows of a window lie on two stacks, and its result is that of both tops:
//!
//! ```text
//! window    a b c d e
//! leaving   abc bc c       the states of a..c, b..c and c: what leaves is the first of them
//! entering  de             one state, and the rows d and e
//! ```
//!
//! When `leaving` is used up, the rows of `entering` become it, from the last to the first; so each
//! row is aggregated twice, however long the window is. (Tangwongsan, Hirzel, Schneider, Wu:
//! General incremental sliding-window aggregation, VLDB 2015.)

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::prelude::SessionContext;

/// The functions of doubles by the engine's names, but `sum` and `avg`, which are our own.
const OF_DOUBLES: [&str; 16] = [
    "var",
    "var_pop",
    "stddev",
    "stddev_pop",
    "covar_samp",
    "covar_pop",
    "corr",
    "regr_slope",
    "regr_intercept",
    "regr_count",
    "regr_r2",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
];

/// Puts functions that take nothing off in the place of the engine's.
pub(super) fn register(engine: &SessionContext) {
    let state = engine.state();
    for name in OF_DOUBLES {
        if let Some(function) = state.aggregate_functions().get(name) {
            let function = Arc::clone(function.inner());
            engine.register_udaf(AggregateUDF::from(Rolling { function }));
        }
    }
}

/// An accumulator for a window that moves, of an aggregate whose own takes nothing off.
pub(super) fn rolling_accumulator(
    function: &Arc<dyn AggregateUDFImpl>,
    args: &AccumulatorArgs<'_>,
) -> Result<Box<dyn Accumulator>> {
    let call = Call {
        function: Arc::clone(function),
        return_field: Arc::clone(&args.return_field),
        schema: args.schema.clone(),
        ignore_nulls: args.ignore_nulls,
        order_bys: args.order_bys.to_vec(),
        is_reversed: args.is_reversed,
        name: args.name.to_owned(),
        is_distinct: args.is_distinct,
        exprs: args.exprs.to_vec(),
        expr_fields: args.expr_fields.to_vec(),
    };
    Ok(Box::new(TwoStacks::new(call)?))
}

/// [`AccumulatorArgs`] that live on.
struct Call {
    function: Arc<dyn AggregateUDFImpl>,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Call {
    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.function.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })
    }
}

struct TwoStacks {
    call: Call,
    /// States of the oldest rows: of the last of them first, of all of them last, each with what
    /// `older` comes to.
    leaving: Vec<State>,
    /// Rows that leave later, in blocks, the first ones last.
    older: Vec<Block>,
    /// The state of the newest rows.
    entering: Box<dyn Accumulator>,
    /// These rows.
    entered: Vec<Vec<ArrayRef>>,
    /// The last of them, a few at a time.
    entered_last: Vec<Vec<ArrayRef>>,
}

type State = Vec<ScalarValue>;

/// Rows, and the state of the rows after them but for the newest.
struct Block {
    rows: Vec<ArrayRef>,
    after: State,
}

/// Rows of a block: so many states are kept at a time.
const BLOCK_ROWS: usize = 1024;

impl TwoStacks {
    fn new(call: Call) -> Result<Self> {
        let entering = call.accumulator()?;
        Ok(TwoStacks {
            call,
            leaving: Vec::new(),
            older: Vec::new(),
            entering,
            entered: Vec::new(),
            entered_last: Vec::new(),
        })
    }

    /// Makes the newest rows the older ones.
    fn turn(&mut self) -> Result<()> {
        self.gather_last()?;
        let mut state = self.call.accumulator()?;
        if !self.entered.is_empty() {
            let rows = concatenated(&std::mem::take(&mut self.entered))?;
            let starts = (0..rows[0].len()).step_by(BLOCK_ROWS);
            for start in starts.rev() {
                let length = BLOCK_ROWS.min(rows[0].len() - start);
                let block: Vec<_> = rows.iter().map(|column| column.slice(start, length)).collect();
                let after = state.state()?;
                state.update_batch(&block)?;
                self.older.push(Block { rows: block, after });
            }
        }
        self.entering = self.call.accumulator()?;
        Ok(())
    }

    /// Puts the rows of the oldest block on their stack.
    fn open_block(&mut self) -> Result<()> {
        let Some(Block { rows, after }) = self.older.pop() else { return Ok(()) };
        let mut state = self.call.accumulator()?;
        merge(state.as_mut(), &after)?;
        for row in (0..rows[0].len()).rev() {
            let row: Vec<_> = rows.iter().map(|column| column.slice(row, 1)).collect();
            state.update_batch(&row)?;
            self.leaving.push(state.state()?);
        }
        Ok(())
    }

    /// Rows that entered alone are kept together.
    fn gather_last(&mut self) -> Result<()> {
        if !self.entered_last.is_empty() {
            self.entered.push(concatenated(&std::mem::take(&mut self.entered_last))?);
        }
        Ok(())
    }

    fn whole(&mut self) -> Result<Box<dyn Accumulator>> {
        let mut whole = self.call.accumulator()?;
        if let Some(oldest) = self.leaving.last() {
            merge(whole.as_mut(), oldest)?;
        }
        merge(whole.as_mut(), &self.entering.state()?)?;
        Ok(whole)
    }
}

fn concatenated(parts: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let columns = 0..parts[0].len();
    let column = |index: usize| {
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part[index].as_ref()).collect();
        Ok(concat(&parts)?)
    };
    columns.map(column).collect()
}

fn merge(into: &mut dyn Accumulator, state: &[ScalarValue]) -> Result<()> {
    let state = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>()?;
    into.merge_batch(&state)
}

impl fmt::Debug for TwoStacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TwoStacks({})", self.call.name)
    }
}

impl Accumulator for TwoStacks {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if values[0].is_empty() {
            return Ok(());
        }
        self.entering.update_batch(values)?;
        self.entered_last.push(values.to_vec());
        if self.entered_last.len() == BLOCK_ROWS { self.gather_last() } else { Ok(()) }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..values[0].len() {
            if self.leaving.is_empty() {
                self.turn()?;
                self.open_block()?;
            }
            let left = self.leaving.pop();
            left.ok_or_else(|| internal_datafusion_err!("a row leaves a window that is empty"))?;
            if self.leaving.is_empty() {
                self.open_block()?;
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.leaving.is_empty() {
            true => self.entering.evaluate(),
            false => self.whole()?.evaluate(),
        }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.whole()?.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.entering.merge_batch(states)
    }

    fn size(&self) -> usize {
        let states = self.leaving.iter().chain(self.older.iter().map(|block| &block.after));
        let states = states.flatten().map(ScalarValue::size).sum::<usize>();
        let entered = self.entered.iter().chain(&self.entered_last);
        let rows = entered.chain(self.older.iter().map(|block| &block.rows));
        let rows =
            rows.flatten().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0));
        size_of_val(self) + self.entering.size() + states + rows.sum::<usize>()
    }
}

/// One of the engine's functions, whose windows move without taking anything off.
#[derive(Debug)]
struct Rolling {
    function: Arc<dyn AggregateUDFImpl>,
}

impl AggregateUDFImpl for Rolling {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn is_nullable(&self) -> bool {
        self.function.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.function.default_value(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.function.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.function.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.is_distinct {
            true => self.function.create_sliding_accumulator(args),
            false => rolling_accumulator(&self.function, &args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.function.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.function.create_groups_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.function.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.function.reverse_expr()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.function.set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

impl PartialEq for Rolling {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Rolling {}

impl Hash for Rolling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}
