//! Integers that SQL makes a DOUBLE by itself are the same number there, or an error.
//!
//! A DOUBLE has 53 bits, so that of two neighbours beyond 2^53 one becomes the other. Where types
//! are mixed, the engine converts without being told to; where it is told to, it rounds:
//!
//! ```text
//! amount * 1.0, coalesce(amount, 0.5), sqrt(amount)
//!   ─► KeepCasts      (before types are coerced)     there is no CAST to keep
//!   ─► coercion       CAST(amount AS DOUBLE) * 1.0
//!   ─► ExactDoubles   exact_double(amount) * 1.0     2^53 + 1 → an error: a reject
//!
//! CAST(amount AS DOUBLE) * 1.0
//!   ─► KeepCasts      rounded_double(amount) * 1.0
//!   ─► ExactDoubles   CAST(amount AS DOUBLE) * 1.0   2^53 + 1 → 2^53, as it was asked for
//! ```
//!
//! Comparisons with columns and the arguments of aggregates (`stddev`, `corr`) are left as they
//! are: they give no number that is taken for the integer. A constant that is not exact is refused.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DecimalType, Int64Type, UInt64Type, i256,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// Keeps apart what the user casts, before types are coerced.
#[derive(Debug, Default)]
pub struct KeepCasts;

impl AnalyzerRule for KeepCasts {
    fn name(&self) -> &str {
        "keep_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, |expr, _| {
            Ok(match expr {
                Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
                    Transformed::yes(call(&ROUNDED, *cast.expr))
                }
                other => Transformed::no(other),
            })
        })
    }
}

/// Puts checked conversions in the place of those that coercion has added.
#[derive(Debug, Default)]
pub(super) struct ExactDoubles;

impl AnalyzerRule for ExactDoubles {
    fn name(&self) -> &str {
        "exact_doubles"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, check_conversion)
    }
}

fn rewrite(
    plan: LogicalPlan,
    change: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let is_join = matches!(node, LogicalPlan::Join(_));
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| change(expr, &schema))?;
            // The keys of a join are compared.
            let changed = if is_join { changed.map_data(by_engine)? } else { changed };
            Ok(changed.update_data(|expr| name.restore(expr)))
        })
    });
    rewritten.map(|rewritten| rewritten.data)
}

fn check_conversion(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => {
            if let Expr::Literal(value, _) = cast.expr.as_ref() {
                let found = exact_doubles(&value.to_array()?);
                found.map_err(|error| DataFusionError::Plan(error.message().into_owned()))?;
                return Ok(Transformed::no(Expr::Cast(cast)));
            }
            match cast.expr.get_type(schema) {
                Ok(from) if !is_exact_always(&from) => {
                    Ok(Transformed::yes(call(&EXACT, *cast.expr)))
                }
                _ => Ok(Transformed::no(Expr::Cast(cast))),
            }
        }
        Expr::ScalarFunction(mut function) if function.func == *ROUNDED => {
            let operand = function.args.pop().unwrap_or_default();
            Ok(Transformed::yes(double_of(operand)))
        }
        Expr::BinaryExpr(mut binary) if is_comparison(binary.op) => {
            *binary.left = by_engine(std::mem::take(&mut binary.left))?;
            *binary.right = by_engine(std::mem::take(&mut binary.right))?;
            Ok(Transformed::yes(Expr::BinaryExpr(binary)))
        }
        compared @ (Expr::InList(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::Between(_)
        | Expr::AggregateFunction(_)
        | Expr::WindowFunction(_)) => {
            Ok(compared.map_children(|child| by_engine(child).map(Transformed::yes))?)
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Types of whole numbers of which a DOUBLE holds each, and those that are no whole numbers.
fn is_exact_always(from: &DataType) -> bool {
    match from {
        DataType::Int64 | DataType::UInt64 => false,
        DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            precision.cast_signed().saturating_sub(*scale) <= 15
        }
        _ => true,
    }
}

/// The engine's conversion, if an expression is a checked one.
fn by_engine(expr: Expr) -> Result<Expr> {
    Ok(match expr {
        Expr::ScalarFunction(mut function) if function.func == *EXACT => {
            double_of(function.args.pop().unwrap_or_default())
        }
        other => other,
    })
}

fn double_of(operand: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(operand), DataType::Float64))
}

fn call(function: &Arc<ScalarUDF>, operand: Expr) -> Expr {
    let func = Arc::clone(function);
    Expr::ScalarFunction(ScalarFunction { func, args: vec![operand] })
}

/// Whether a function is a conversion that SQL does not show.
pub(crate) fn is_conversion(function: &ScalarUDF) -> bool {
    function.inner().is::<ToDouble>()
}

static EXACT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| ToDouble::udf("exact_double"));
static ROUNDED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| ToDouble::udf("rounded_double"));

/// A conversion to DOUBLE; the rounded one is never evaluated.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToDouble {
    name: &'static str,
    signature: Signature,
}

impl ToDouble {
    fn udf(name: &'static str) -> Arc<ScalarUDF> {
        let signature = Signature::any(1, Volatility::Immutable);
        Arc::new(ScalarUDF::from(ToDouble { name, signature }))
    }
}

impl ScalarUDFImpl for ToDouble {
    fn name(&self) -> &str {
        self.name
    }

    /// As that of a cast: its operand's.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(exact_doubles(array)?)),
            ColumnarValue::Scalar(scalar) => {
                let doubles = exact_doubles(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&doubles, 0)?))
            }
        }
    }
}

fn exact_doubles(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Int64 => check::<Int64Type>(array, |n| is_double(n.into()))?,
        DataType::UInt64 => check::<UInt64Type>(array, |n| is_double(n.into()))?,
        DataType::Decimal64(_, scale) => {
            return exact_doubles(&cast(array, &DataType::Decimal128(38, *scale))?);
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.pow(u32::from(scale.max(&0).unsigned_abs()));
            check_decimals::<Decimal128Type>(array, |n| {
                is_near(n / unit) || (n % unit == 0 && is_double(n / unit))
            })?;
        }
        DataType::Decimal256(_, scale) => {
            let unit = i256::from_i128(10).wrapping_pow(u32::from(scale.max(&0).unsigned_abs()));
            check_decimals::<Decimal256Type>(array, |n| {
                let (whole, rest) = (n.wrapping_div(unit), n.wrapping_rem(unit));
                let whole = whole.to_i128();
                whole.is_some_and(|n| is_near(n) || (rest == i256::ZERO && is_double(n)))
            })?;
        }
        _ => {}
    }
    Ok(cast(array, &DataType::Float64)?)
}

/// Integers up to here are doubles all.
const NEAR: i128 = 1 << f64::MANTISSA_DIGITS;

fn is_near(number: i128) -> bool {
    (-NEAR..=NEAR).contains(&number)
}

fn is_double(number: i128) -> bool {
    let significant = i128::BITS - number.unsigned_abs().leading_zeros();
    let zeros = number.trailing_zeros();
    is_near(number) || significant - zeros <= f64::MANTISSA_DIGITS
}

fn check<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    is_exact: impl Fn(T::Native) -> bool,
) -> Result<()>
where
    T::Native: std::fmt::Display,
{
    let inexact = array.as_primitive::<T>().iter().flatten().find(|number| !is_exact(*number));
    inexact.map_or(Ok(()), |number| Err(refused(&number.to_string())))
}

fn check_decimals<T: DecimalType>(
    array: &ArrayRef,
    is_exact: impl Fn(T::Native) -> bool,
) -> Result<()> {
    let decimals = array.as_primitive::<T>();
    let is_inexact = |row: &usize| decimals.is_valid(*row) && !is_exact(decimals.value(*row));
    let inexact = (0..decimals.len()).find(is_inexact);
    inexact.map_or(Ok(()), |row| Err(refused(&decimals.value_as_string(row))))
}

fn refused(found: &str) -> DataFusionError {
    exec_datafusion_err!(
        "expected a number that a DOUBLE holds, found {found}; keep it with CAST(… AS \
         DECIMAL(38, 2)), or round it with CAST(… AS DOUBLE)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_53_bits_and_zeros_are_doubles() {
        let two = |power: u32| 1_i128 << power;
        for number in [0, 1, -1, two(53), -two(53), two(53) + 2, two(63), -two(63), two(120) * 3] {
            assert!(is_double(number), "{number}");
        }
        for number in [two(53) + 1, -two(53) - 1, two(63) - 1, 1 - two(63), two(64) - 1] {
            assert!(!is_double(number), "{number}");
        }
    }
}
