//! `sum`, exact: it adds in a type that holds every sum, and refuses a result that has no place.
//!
//! The engine's own `sum` wraps around. This one lets it add in a wider type:
//!
//! | values            | added as              | the sum                                    |
//! |-------------------|-----------------------|--------------------------------------------|
//! | integers          | `DECIMAL(38, 0)`      | `DECIMAL(38, 0)`; it holds 10^19 addends   |
//! | `DECIMAL(p, s)`   | 38 or 76 digits       | `DECIMAL(min(38, p + 10), s)`, or an error |
//! | durations         | `DECIMAL(38, 0)`      | a duration, or an error                    |
//! | floats            | `DOUBLE`              | `DOUBLE`                                   |
//!
//! The order of the rows does not matter: only the whole sum must fit. [`super::exact_aggregates`]
//! takes a sum that may not as it was added and narrows it above, where it is known whose it is.

use std::fmt;
use std::sync::Arc;

use super::checked_avg::refuse_widest;
use super::rolling::rolling_accumulator;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
    DecimalType, Field, FieldRef, i256,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, not_impl_err, plan_err};
use datafusion::functions_aggregate::sum::{Sum, sum_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};

/// What integers and durations are added as: 10^19 of them fit.
const WIDE_INTEGER: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);
/// Decimals of so many digits can be added in 38 (10^10 of them).
const NARROW_DIGITS: u8 = DECIMAL128_MAX_PRECISION - 10;

/// The function as the engine takes it, in the place of its own.
pub(super) fn checked_sum() -> AggregateUDF {
    AggregateUDF::from(CheckedSum::default())
}

/// The same with its result as it was added, which has a place always.
pub(super) fn wide_sum() -> AggregateUDF {
    AggregateUDF::from(CheckedSum { is_wide: true, ..CheckedSum::default() })
}

/// Whether a function is the one that refuses sums, and may do so for values of a type: 10^10
/// decimals of 28 digits or fewer have a place.
pub(super) fn may_have_no_place(function: &AggregateUDF, value: &DataType) -> bool {
    let sum = function.inner().downcast_ref::<CheckedSum>();
    let is_narrow = matches!(value, DataType::Duration(_))
        || matches!(wide_type(value), DataType::Decimal256(..) if !is_widest(value));
    sum.is_some_and(|sum| !sum.is_wide) && is_narrow
}

fn is_widest(value: &DataType) -> bool {
    matches!(value, DataType::Decimal256(..))
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct CheckedSum {
    engine: Sum,
    is_wide: bool,
}

/// The type in which values of a type are added.
fn wide_type(value: &DataType) -> DataType {
    match value {
        value if value.is_integer() => WIDE_INTEGER,
        DataType::Duration(_) => WIDE_INTEGER,
        DataType::Decimal128(precision, scale) if *precision > NARROW_DIGITS => {
            DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale)
        }
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale),
        other => other.clone(),
    }
}

/// The same arguments for a sum of another type.
fn widened<'a>(args: &AccumulatorArgs<'a>, wide: &DataType) -> AccumulatorArgs<'a> {
    let field = args.return_field.as_ref().clone().with_data_type(wide.clone());
    AccumulatorArgs { return_field: Arc::new(field), ..args.clone() }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            value if value.is_integer() => Ok(WIDE_INTEGER),
            DataType::Interval(_) => plan_err!(
                "sum: intervals cannot be added up exactly, since months have no length; expected \
                 numbers or durations (the difference of two timestamps)"
            ),
            value if self.is_wide => Ok(wide_type(value)),
            value => {
                refuse_widest(self.name(), value)?;
                self.engine.return_type(types)
            }
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let checked = Widening::of(&args);
        let inner = self.engine.accumulator(widened(&args, &checked.wide))?;
        Ok(Box::new(CheckedAccumulator { checked, inner }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct && *args.return_type() != DataType::Float64 {
            return not_impl_err!(
                "{}: distinct values cannot be added up over a window that moves; use one that \
                 begins at UNBOUNDED PRECEDING",
                args.name
            );
        }
        if *args.return_type() == DataType::Float64 && !args.is_distinct {
            return rolling_accumulator(sum_udaf().inner(), &args);
        }
        let checked = Widening::of(&args);
        let inner = self.engine.create_sliding_accumulator(widened(&args, &checked.wide))?;
        Ok(Box::new(CheckedAccumulator { checked, inner }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let checked = Widening::of(&args);
        let inner = self.engine.create_groups_accumulator(widened(&args, &checked.wide))?;
        Ok(Box::new(CheckedGroups { checked, inner }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let wide = wide_type(args.input_fields[0].data_type());
        let field = Field::new(args.return_field.name(), wide, true);
        self.engine.state_fields(StateFieldsArgs { return_field: Arc::new(field), ..args })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.engine.set_monotonicity(data_type)
    }
}

/// From which type to which one and back.
struct Widening {
    /// `sum(logs.amount)`
    name: String,
    wide: DataType,
    result: DataType,
}

impl Widening {
    fn of(args: &AccumulatorArgs<'_>) -> Self {
        let value = args.expr_fields[0].data_type();
        let (wide, result) = (wide_type(value), args.return_type().clone());
        Widening { name: args.name.to_owned(), wide, result }
    }

    fn widen(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let values = &values[0];
        if *values.data_type() == self.wide {
            return Ok(vec![Arc::clone(values)]);
        }
        let values = match values.data_type() {
            DataType::Duration(_) => cast(values, &DataType::Int64)?,
            _ => Arc::clone(values),
        };
        // Decimals get more digits of the same scale, which needs no look at the values.
        Ok(vec![cast(&values, &self.wide)?])
    }

    fn narrow(&self, sums: ArrayRef) -> Result<ArrayRef> {
        if *sums.data_type() == self.result {
            return Ok(sums);
        }
        match (&self.wide, &self.result) {
            (DataType::Decimal256(..), DataType::Decimal128(precision, scale)) => {
                self.narrow_digits(&sums, *precision, *scale)
            }
            (_, DataType::Duration(_)) => {
                let options = CastOptions { safe: false, ..Default::default() };
                let counts = cast_with_options(&sums, &DataType::Int64, &options);
                counts.and_then(|counts| cast(&counts, &self.result)).map_err(|_| self.refused())
            }
            _ => {
                let options = CastOptions { safe: false, ..Default::default() };
                cast_with_options(&sums, &self.result, &options).map_err(|_| self.refused())
            }
        }
    }

    fn narrow_digits(&self, sums: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef> {
        let narrow = |sum| {
            let sum = i256::to_i128(sum)?;
            Decimal128Type::is_valid_decimal_precision(sum, precision).then_some(sum)
        };
        let sums = sums.as_primitive::<Decimal256Type>();
        let narrowed: Decimal128Array = sums.unary_opt(narrow);
        if narrowed.null_count() > sums.null_count() {
            return Err(self.refused());
        }
        Ok(Arc::new(narrowed.with_precision_and_scale(precision, scale)?))
    }

    fn refused(&self) -> datafusion::common::DataFusionError {
        let (name, result) = (&self.name, &self.result);
        exec_datafusion_err!("{name}: expected a sum that fits {result}, found a larger one")
    }
}

struct CheckedAccumulator {
    checked: Widening,
    inner: Box<dyn Accumulator>,
}

impl fmt::Debug for CheckedAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedAccumulator").field("name", &self.checked.name).finish()
    }
}

impl Accumulator for CheckedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&self.checked.widen(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&self.checked.widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?;
        if sum.data_type() == self.checked.result {
            return Ok(sum);
        }
        ScalarValue::try_from_array(&self.checked.narrow(sum.to_array()?)?, 0)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

struct CheckedGroups {
    checked: Widening,
    inner: Box<dyn GroupsAccumulator>,
}

impl GroupsAccumulator for CheckedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = self.checked.widen(values)?;
        self.inner.update_batch(&values, group_indices, opt_filter, total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.checked.narrow(self.inner.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.checked.widen(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
