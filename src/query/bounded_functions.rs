//! Functions that make much of little, bounded before they make it.
//!
//! `repeat('x', 1000000000)` is ten words and a gigabyte, and a column of text of more than 2 GiB
//! ends the process with a panic in the middle of a kernel. These functions say how large their
//! result would be from their arguments; beyond the bound they are an error with their name. For
//! several rows the bound is small, so that [`super::evaluation`] halves their batch until the
//! parts are small enough; for constants, which are computed while a query is planned, it is
//! smaller still.
//!
//! ```text
//! repeat(name, 100000)        2,048 rows of 5 letters → 976 MiB → evaluated in 64 parts
//! repeat(name, 100000000)     477 MiB for a row       → the row is a reject
//! repeat('x', 1000000000)     954 MiB for a constant  → an error of `check`
//! ```
//!
//! What else of the engine's functions needs a hand before or after a call gets it here, too.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

/// Bytes of one function's results for several rows, if its arguments are small. A batch with more
/// is evaluated in parts where its rows are evaluated one by one anyway.
const ROWS_BYTES_MAX: u64 = 16 << 20;
/// Bytes of one function's result for one row.
const ROW_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a constant.
const CONSTANT_BYTES_MAX: u64 = 4 << 20;
/// How much larger than its arguments a result may always be.
const GROWTH_MAX: u64 = 4;

/// How large the result for one row would be, from the row's arguments.
type Measure = fn(&Arguments, usize) -> u64;

/// The functions that are bounded, by the name of the engine.
const BOUNDED: [(&str, Measure); 9] = [
    ("repeat", |all, row| all.length(0, row).saturating_mul(all.number(1, row))),
    ("lpad", |all, row| all.number(1, row)),
    ("rpad", |all, row| all.number(1, row)),
    ("replace", replaced_bytes),
    ("concat", |all, row| (0..all.count()).map(|n| all.length(n, row)).sum()),
    ("concat_ws", |all, row| {
        (0..all.count()).map(|n| all.length(n, row) + all.length(0, row)).sum()
    }),
    ("array_repeat", |all, row| all.number(1, row).saturating_mul(all.length(0, row).max(8))),
    ("array_resize", |all, row| all.number(1, row).saturating_mul(8)),
    ("range", |all, row| all.range_items(row).saturating_mul(8)),
];
/// As `range`, with its end.
const ALSO_RANGE: &str = "generate_series";

/// These take a length for an unsigned one; a negative one gives the empty text, as in PostgreSQL.
const PADDING: [&str; 2] = ["lpad", "rpad"];

/// Of texts these give instants without the zone that they promise, which is UTC.
const ZONED: [&str; 5] = [
    "to_timestamp",
    "to_timestamp_seconds",
    "to_timestamp_millis",
    "to_timestamp_micros",
    "to_timestamp_nanos",
];

fn not_negative(length: &ColumnarValue) -> ColumnarValue {
    match length {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(length))) => {
            ColumnarValue::Scalar(ScalarValue::Int64(Some((*length).max(0))))
        }
        ColumnarValue::Array(array) if array.data_type() == &DataType::Int64 => {
            let lengths = array.as_primitive::<Int64Type>();
            let lengths: Int64Array = lengths.unary(|length| length.max(0));
            ColumnarValue::Array(Arc::new(lengths))
        }
        other => other.clone(),
    }
}

/// Puts a bound on the functions of a context.
pub(crate) fn bound_functions(context: &SessionContext) {
    let state = context.state();
    let range = BOUNDED.iter().find(|(name, _)| *name == "range");
    let also = range.map(|(_, measure)| (ALSO_RANGE, *measure));
    let zoned = ZONED.map(|name| (name, (|_, _| 0) as Measure));
    for (name, measure) in BOUNDED.into_iter().chain(also).chain(zoned) {
        if let Some(function) = state.scalar_functions().get(name) {
            let bounded = Bounded { function: Arc::clone(function.inner()), measure };
            context.register_udf(ScalarUDF::from(bounded));
        }
    }
}

/// At most as often as the sought text stands in it.
fn replaced_bytes(all: &Arguments, row: usize) -> u64 {
    let (text, sought, by) = (all.text(0, row), all.text(1, row), all.text(2, row));
    let length = text.len() as u64;
    if by.len() <= sought.len() || sought.is_empty() {
        return length;
    }
    length + text.matches(sought).count() as u64 * (by.len() - sought.len()) as u64
}

/// Arguments of a call, as texts and as numbers.
struct Arguments {
    arrays: Vec<ArrayRef>,
    numbers: Vec<Option<ArrayRef>>,
}

impl Arguments {
    /// Constants stay single values.
    fn of(args: &ScalarFunctionArgs) -> Result<Self> {
        let arrays: Vec<ArrayRef> = args
            .args
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Array(array) => Ok(Arc::clone(array)),
                ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1),
            })
            .collect::<Result<_>>()?;
        let as_number = |array: &ArrayRef| match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => None,
            _ => cast(array, &DataType::Int64).ok(),
        };
        let numbers = arrays.iter().map(as_number).collect();
        Ok(Arguments { arrays, numbers })
    }

    fn count(&self) -> usize {
        self.arrays.len()
    }

    fn row_of(array: &dyn Array, row: usize) -> usize {
        if array.len() == 1 { 0 } else { row }
    }

    /// The text of an argument; none is empty.
    fn text(&self, number: usize, row: usize) -> &str {
        let Some(array) = self.arrays.get(number) else { return "" };
        let row = Self::row_of(array, row);
        if array.is_null(row) {
            return "";
        }
        match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().value(row),
            DataType::LargeUtf8 => array.as_string::<i64>().value(row),
            DataType::Utf8View => array.as_string_view().value(row),
            _ => "",
        }
    }

    fn length(&self, number: usize, row: usize) -> u64 {
        self.text(number, row).len() as u64
    }

    fn signed(&self, number: usize, row: usize) -> Option<i64> {
        let array = self.numbers.get(number)?.as_ref()?;
        let row = Self::row_of(array, row);
        (!array.is_null(row)).then(|| array.as_primitive::<Int64Type>().value(row))
    }

    fn number(&self, number: usize, row: usize) -> u64 {
        self.signed(number, row).map_or(0, |found| found.max(0).unsigned_abs())
    }

    /// How many items `range(end)`, `range(start, end)` or `range(start, end, step)` makes.
    fn range_items(&self, row: usize) -> u64 {
        let (start, end) = match self.count() {
            1 => (Some(0), self.signed(0, row)),
            _ => (self.signed(0, row), self.signed(1, row)),
        };
        let (Some(start), Some(end)) = (start, end) else { return 0 };
        let step = match self.arrays.get(2).map(|step| step.data_type()) {
            None => 1,
            Some(DataType::Interval(_)) => self.interval_step(row),
            Some(_) => self.number(2, row).max(self.signed(2, row).map_or(0, i64::unsigned_abs)),
        };
        end.abs_diff(start).checked_div(step).unwrap_or(0)
    }

    /// An interval in the unit of the start: days of a date, or the unit of a timestamp.
    fn interval_step(&self, row: usize) -> u64 {
        use datafusion::arrow::datatypes::{IntervalMonthDayNanoType, TimeUnit};
        let array = &self.arrays[2];
        if !matches!(
            array.data_type(),
            DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano)
        ) {
            return 1;
        }
        let step = array.as_primitive::<IntervalMonthDayNanoType>();
        let step = step.value(Self::row_of(step, row));
        let days = i128::from(step.months) * 28 + i128::from(step.days);
        let nanoseconds = days * 86_400_000_000_000 + i128::from(step.nanoseconds);
        let unit = match self.arrays[0].data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
            DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => 1,
            _ => 86_400_000_000_000,
        };
        u64::try_from((nanoseconds.abs() / unit).max(1)).unwrap_or(u64::MAX)
    }
}

/// A function of the engine with a bound on what it makes.
#[derive(Debug)]
struct Bounded {
    function: Arc<dyn ScalarUDFImpl>,
    measure: Measure,
}

impl Bounded {
    /// # Errors
    /// The function's name and the size, if its result would be too large.
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let is_constant =
            args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arguments = Arguments::of(args)?;
        let rows = if is_constant { 1 } else { args.number_rows };
        let sizes = (0..rows).map(|row| (self.measure)(&arguments, row));
        let bytes = sizes.fold(0_u64, u64::saturating_add);
        if bytes <= CONSTANT_BYTES_MAX {
            return Ok(());
        }
        let sizes = arguments.arrays.iter().map(|array| array.get_array_memory_size() as u64);
        let given = if is_constant { 0 } else { sizes.sum::<u64>().saturating_mul(GROWTH_MAX) };
        let most = match rows {
            _ if is_constant => CONSTANT_BYTES_MAX,
            1 => ROW_BYTES_MAX.max(given),
            _ => ROWS_BYTES_MAX.max(given),
        };
        if bytes <= most {
            return Ok(());
        }
        Err(DataFusionError::Execution(format!(
            "function `{}` would make {bytes} bytes of {rows} rows, more than {most}: make shorter \
             texts or lists",
            self.function.name()
        )))
    }

    /// The arguments, if all are constants.
    fn constants(args: &[Expr]) -> Option<Vec<ColumnarValue>> {
        let constant = |expression: &Expr| match expression {
            Expr::Literal(value, _) => Some(ColumnarValue::Scalar(value.clone())),
            _ => None,
        };
        args.iter().map(constant).collect()
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if ZONED.contains(&self.name()) {
            let promised = args.return_field.data_type().clone();
            return self.function.invoke_with_args(args)?.cast_to(&promised, None);
        }
        self.check(&args)?;
        if !PADDING.contains(&self.name()) {
            return self.function.invoke_with_args(args);
        }
        let mut args = args;
        if let Some(length) = args.args.get_mut(1) {
            *length = not_negative(length);
        }
        self.function.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let Some(constants) = Self::constants(&args) {
            let field = Arc::new(datafusion::arrow::datatypes::Field::new(
                self.name(),
                DataType::Null,
                true,
            ));
            self.check(&ScalarFunctionArgs {
                args: constants,
                arg_fields: Vec::new(),
                number_rows: 1,
                return_field: field,
                config_options: Arc::new(ConfigOptions::default()),
            })?;
        }
        self.function.simplify(args, info)
    }

    // All others are the function's own.

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.function.is_strict()
    }

    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.function.preimage(args, literal, info)
    }

    fn short_circuits(&self) -> bool {
        self.function.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.function.evaluate_bounds(input)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.function.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.function.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.function.placement(args)
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}
