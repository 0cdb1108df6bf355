//! Functions that make much of little, bounded before they make it.
//!
//! `repeat('x', 1000000000)` is ten words and a gigabyte, and a column of text of more than 2 GiB
//! ends the process with a panic in the middle of a kernel. These functions say how large their
//! result would be from their arguments ([`result_sizes`]); beyond the bound they are an error with
//! their name. For several rows the bound is small, so that [`super::evaluation`] halves their
//! batch until the parts are small enough; for constants, which are computed while a query is
//! planned, it is smaller still.
//!
//! ```text
//! repeat(name, 100000)        2,048 rows of 5 letters → 976 MiB → evaluated in 64 parts
//! repeat(name, 100000000)     477 MiB for a row       → the row is a reject
//! repeat('x', 1000000000)     954 MiB for a constant  → an error of `check`
//! ```
//!
//! What else of the engine's functions needs a hand before or after a call gets it here, too.
//!
//! No result may be larger than the bound because its arguments are large, too: else a chain of
//! calls that double their text each would have none.
//!
//! [`result_sizes`]: super::result_sizes

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, ExpressionPlacement, LogicalPlan, Operator,
    ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

use super::result_sizes::{Arguments, Measure, measures, total_at_most};
use crate::udf::concatenation;

/// Bytes of one function's results for several rows, if its arguments are small. A batch with more
/// is evaluated in parts where its rows are evaluated one by one anyway.
const ROWS_BYTES_MAX: u64 = 16 << 20;
/// Bytes of one function's result for one row, at least.
const ROW_BYTES_MAX: u64 = 64 << 20;
/// Share of the memory for queries that one function's result for one row may take.
const ROW_PERCENT: u64 = 25;
/// Bytes of a constant.
const CONSTANT_BYTES_MAX: u64 = 4 << 20;
/// How much larger than their arguments the results of several rows may always be.
const GROWTH_MAX: u64 = 4;

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

/// Puts a bound on the functions of a context whose queries may take so many bytes.
pub(super) fn bound_functions(context: &SessionContext, pool_bytes: usize) {
    let row_bytes_max = ROW_BYTES_MAX.max(pool_bytes as u64 / 100 * ROW_PERCENT);
    let bounded = |function: &ScalarUDF, measure| {
        let function = Arc::clone(function.inner());
        Arc::new(ScalarUDF::from(Bounded { function, measure, row_bytes_max }))
    };
    let state = context.state();
    let mut functions = HashMap::new();
    let zoned = ZONED.map(|name| (name, Measure::By(|_, _| 0)));
    for (name, measure) in measures().chain(zoned) {
        if let Some(function) = state.scalar_functions().get(name) {
            let function = bounded(function, measure);
            context.register_udf(function.as_ref().clone());
            functions.insert(name, function);
        }
    }
    let concatenate = bounded(&concatenation(), Measure::Sum);
    context.add_analyzer_rule(Arc::new(BoundFunctions { functions, concatenate }));
}

/// Bounds also what the engine's planner calls without asking the context: `||`, `[a, b]`.
#[derive(Debug)]
struct BoundFunctions {
    functions: HashMap<&'static str, Arc<ScalarUDF>>,
    concatenate: Arc<ScalarUDF>,
}

impl AnalyzerRule for BoundFunctions {
    fn name(&self) -> &str {
        "bound_functions"
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

impl BoundFunctions {
    fn bound(&self, expr: Expr) -> Transformed<Expr> {
        let (func, args) = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                (Arc::clone(&self.concatenate), vec![*left, *right])
            }
            Expr::ScalarFunction(call) => match self.functions.get(call.func.name()) {
                Some(bounded) if !call.func.inner().is::<Bounded>() => {
                    (Arc::clone(bounded), call.args)
                }
                _ => return Transformed::no(Expr::ScalarFunction(call)),
            },
            other => return Transformed::no(other),
        };
        Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
    }
}

/// A function of the engine with a bound on what it makes.
#[derive(Debug, Clone)]
struct Bounded {
    function: Arc<dyn ScalarUDFImpl>,
    measure: Measure,
    row_bytes_max: u64,
}

impl Bounded {
    /// # Errors
    /// The function's name and the size, if its result would be too large.
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let is_constant =
            args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        if self.measure.is_sum() && total_at_most(&args.args, rows) <= CONSTANT_BYTES_MAX {
            return Ok(());
        }
        let arguments = Arguments::of(&args.args)?;
        let sizes = (0..rows).map(|row| self.measure.of_row(&arguments, row));
        let bytes = sizes.fold(0_u64, u64::saturating_add);
        if bytes <= CONSTANT_BYTES_MAX {
            return Ok(());
        }
        let most = match rows {
            _ if is_constant => CONSTANT_BYTES_MAX,
            1 => self.row_bytes_max,
            _ => {
                let given = (0..rows).map(|row| arguments.bytes_of_row(row));
                let given = given.fold(0_u64, u64::saturating_add).saturating_mul(GROWTH_MAX);
                ROWS_BYTES_MAX.max(given.min(self.row_bytes_max))
            }
        };
        if bytes <= most {
            return Ok(());
        }
        let advice = match is_constant {
            true => "make shorter texts or lists",
            false => {
                "make shorter texts or lists, or raise `memory_limit` under `[resources]` in \
                 pipeline.toml"
            }
        };
        Err(DataFusionError::Execution(format!(
            "function `{}` would make {bytes} bytes of {rows} rows, more than {most}: {advice}",
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

    /// What the function makes simpler calls the function itself again.
    fn bound_simplified(&self, expr: Expr) -> Result<Expr> {
        let bounded = expr.transform_up(|expr| match expr {
            Expr::ScalarFunction(call)
                if call.func.name() == self.name() && !call.func.inner().is::<Bounded>() =>
            {
                let func = Arc::new(ScalarUDF::from(self.clone()));
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, ..call })))
            }
            other => Ok(Transformed::no(other)),
        });
        bounded.map(|bounded| bounded.data)
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
        match self.function.simplify(args, info)? {
            ExprSimplifyResult::Simplified(expr) => {
                self.bound_simplified(expr).map(ExprSimplifyResult::Simplified)
            }
            original => Ok(original),
        }
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
