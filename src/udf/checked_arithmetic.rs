//! Checked arithmetic: `+`, `-`, `*`, `/`, `<<` and `>>` never give another number.
//!
//! The engine's own operators wrap around when integers overflow, and do not look at the digits of
//! decimals. So a rule of the analyzer puts functions in their place, after types were coerced and
//! before constants fold:
//!
//! ```text
//! SELECT price * quantity FROM logs        (int32, int32)
//!   ─► SELECT *(price, quantity) AS "price * quantity"
//!   ─► 50000000 * 50   ─► error "Overflow happened on: 50000000 * 50"; the row becomes a reject
//! ```
//!
//! Casts that lose something are marked on the way, for [`super::kept_cast`].
//!
//! What the engine does right (floats, dates, times, intervals) it still does.

use std::sync::{Arc, LazyLock};

use super::checked_shift::{shift_left, shift_right};
use super::kept_cast::keep_cast;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::kernels::numeric::{add, div, mul, neg, sub};
use datafusion::arrow::datatypes::{
    DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION,
    DECIMAL256_MAX_PRECISION, DataType, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Field, FieldRef, Schema,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self, Column, Literal};
use datafusion::physical_expr_common::datum::apply;

/// Puts checked arithmetic in the place of the engine's.
#[derive(Debug, Default)]
pub struct CheckArithmetic;

impl AnalyzerRule for CheckArithmetic {
    fn name(&self) -> &str {
        "check_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(check_node).map(|transformed| transformed.data)
    }
}

fn check_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    let schema = merge_schema(&plan.inputs());
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let checked = expr.transform_up(|expr| check_operator(expr, &schema))?;
        Ok(checked.update_data(|expr| name.restore(expr)))
    })
}

fn check_operator(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::Cast(Cast { expr: inner, field }) | Expr::TryCast(TryCast { expr: inner, field }) =
        &expr
    {
        let kept = keep_cast(expr.clone(), &inner.get_type(schema)?, field.data_type());
        return Ok(kept.map_or_else(|| Transformed::no(expr), Transformed::yes));
    }
    let (function, args) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match checked_operator(op) {
            Some(function) => (function, vec![*left, *right]),
            None => {
                let same = Expr::BinaryExpr(BinaryExpr { left, op, right });
                return Ok(Transformed::no(same));
            }
        },
        Expr::Negative(operand) => (Arc::clone(&NEGATE), vec![*operand]),
        other => return Ok(Transformed::no(other)),
    };
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: function, args })))
}

static ADD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arithmetic::udf(Operator::Plus));
static SUBTRACT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arithmetic::udf(Operator::Minus));
static MULTIPLY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arithmetic::udf(Operator::Multiply));
static DIVIDE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arithmetic::udf(Operator::Divide));
static SHIFT_LEFT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arithmetic::udf(Operator::BitwiseShiftLeft));
static SHIFT_RIGHT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arithmetic::udf(Operator::BitwiseShiftRight));
static NEGATE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::from(Negation { signature }))
});

/// `||` as a function.
pub(crate) fn concatenation() -> Arc<ScalarUDF> {
    Arithmetic::udf(Operator::StringConcat)
}

fn checked_operator(op: Operator) -> Option<Arc<ScalarUDF>> {
    match op {
        Operator::Plus => Some(Arc::clone(&ADD)),
        Operator::Minus => Some(Arc::clone(&SUBTRACT)),
        Operator::Multiply => Some(Arc::clone(&MULTIPLY)),
        Operator::Divide => Some(Arc::clone(&DIVIDE)),
        Operator::BitwiseShiftLeft => Some(Arc::clone(&SHIFT_LEFT)),
        Operator::BitwiseShiftRight => Some(Arc::clone(&SHIFT_RIGHT)),
        _ => None,
    }
}

/// The operator that a function of this file stands for, for showing an expression.
pub(crate) fn operator_of(function: &ScalarUDF) -> Option<&'static str> {
    let arithmetic = function.inner().downcast_ref::<Arithmetic>();
    let negation = function.inner().downcast_ref::<Negation>();
    match (arithmetic.map(|arithmetic| arithmetic.op), negation) {
        (Some(op), _) => Some(symbol(op)),
        (None, Some(_)) => Some("-"),
        // It stands in another function.
        (None, None) if function.name() == CONCATENATION => Some(CONCATENATION),
        (None, None) => None,
    }
}

/// The operator of texts and lists.
const CONCATENATION: &str = "||";

fn symbol(op: Operator) -> &'static str {
    match op {
        Operator::Plus => "+",
        Operator::Minus => "-",
        Operator::Multiply => "*",
        Operator::BitwiseShiftLeft => "<<",
        Operator::BitwiseShiftRight => ">>",
        Operator::StringConcat => CONCATENATION,
        _ => "/",
    }
}

/// One of `+`, `-`, `*`, `/`, `<<`, `>>`, `||`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    op: Operator,
    signature: Signature,
}

impl Arithmetic {
    fn udf(op: Operator) -> Arc<ScalarUDF> {
        let signature = Signature::any(2, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Arithmetic { op, signature }))
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        symbol(self.op)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [left, right] = args else { return internal_err!("{} has two operands", self.op) };
        Ok(format!("{} {} {}", left.schema_name(), self.op, right.schema_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = types else { return internal_err!("{} has two operands", self.op) };
        BinaryTypeCoercer::new(left, &self.op, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        return_field(self, &args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return internal_err!("{} has two operands", self.op);
        };
        let are_numbers = left.data_type().is_numeric() && right.data_type().is_numeric();
        let value = match kernel(self.op) {
            Some(kernel) if are_numbers => apply(left, right, kernel)
                .map_err(|error| self.with_decimals(error, left, right))?,
            _ => self.by_engine(left, right, args.number_rows)?,
        };
        check_digits(&value)?;
        Ok(value)
    }
}

impl Arithmetic {
    /// An overflow of two decimals as they are written: the kernels show them without their point.
    fn with_decimals(
        &self,
        error: DataFusionError,
        left: &ColumnarValue,
        right: &ColumnarValue,
    ) -> DataFusionError {
        let is_overflow = |error: &DataFusionError| match error.find_root() {
            DataFusionError::ArrowError(error, _) => {
                matches!(error.as_ref(), ArrowError::ArithmeticOverflow(_))
            }
            _ => false,
        };
        if !left.data_type().is_decimal() || !is_overflow(&error) {
            return error;
        }
        match (only_value(left), only_value(right)) {
            (Some(left), Some(right)) => {
                let message = format!("Overflow happened on: {left} {} {right}", self.op);
                ArrowError::ArithmeticOverflow(message).into()
            }
            // The rows that it happens on are not known yet.
            _ => error,
        }
    }
}

fn only_value(operand: &ColumnarValue) -> Option<String> {
    match operand {
        ColumnarValue::Array(array) if array.len() != 1 => None,
        ColumnarValue::Array(array) => array_value_to_string(array, 0).ok(),
        ColumnarValue::Scalar(scalar) => array_value_to_string(&scalar.to_array().ok()?, 0).ok(),
    }
}

type Kernel = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

fn kernel(op: Operator) -> Option<Kernel> {
    match op {
        Operator::Plus => Some(add),
        Operator::Minus => Some(sub),
        Operator::Multiply => Some(mul),
        Operator::Divide => Some(div),
        Operator::BitwiseShiftLeft => Some(shift_left),
        Operator::BitwiseShiftRight => Some(shift_right),
        _ => None,
    }
}

impl Arithmetic {
    /// Dates, times, intervals and texts, for which the engine has rules of its own.
    fn by_engine(
        &self,
        left: &ColumnarValue,
        right: &ColumnarValue,
        rows: usize,
    ) -> Result<ColumnarValue> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        let mut operand = |value: &ColumnarValue| -> Arc<dyn PhysicalExpr> {
            match value {
                ColumnarValue::Scalar(scalar) => Arc::new(Literal::new(scalar.clone())),
                ColumnarValue::Array(array) => {
                    let index = columns.len();
                    fields.push(Field::new("operand", array.data_type().clone(), true));
                    columns.push(Arc::clone(array));
                    Arc::new(Column::new("operand", index))
                }
            }
        };
        let (left, right) = (operand(left), operand(right));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let expr = expressions::BinaryExpr::new(left, self.op, right);
        expr.with_fail_on_overflow(true).evaluate(&batch)
    }
}

/// The minus sign before an operand.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Negation {
    signature: Signature,
}

impl ScalarUDFImpl for Negation {
    fn name(&self) -> &str {
        "-"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [operand] = args else { return internal_err!("a negation has one operand") };
        Ok(format!("(- {})", operand.schema_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        return_field(self, &args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Scalar(scalar) if scalar.is_null() => Ok(args.args[0].clone()),
            ColumnarValue::Scalar(scalar) => {
                let negated = neg(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&negated, 0)?))
            }
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(neg(array)?)),
        }
    }
}

/// NULL if an operand may be NULL, as the engine's operators say.
fn return_field(function: &dyn ScalarUDFImpl, args: &ReturnFieldArgs<'_>) -> Result<FieldRef> {
    let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
    let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    Ok(Arc::new(Field::new(function.name(), function.return_type(&types)?, nullable)))
}

/// Refuses decimals with more digits than their type has. Only the widest types need it: the
/// results of others are given room for what their operands can make.
fn check_digits(value: &ColumnarValue) -> Result<()> {
    let is_widest = match value.data_type() {
        DataType::Decimal32(precision, _) => precision == DECIMAL32_MAX_PRECISION,
        DataType::Decimal64(precision, _) => precision == DECIMAL64_MAX_PRECISION,
        DataType::Decimal128(precision, _) => precision == DECIMAL128_MAX_PRECISION,
        DataType::Decimal256(precision, _) => precision == DECIMAL256_MAX_PRECISION,
        _ => false,
    };
    if !is_widest {
        return Ok(());
    }
    match value {
        ColumnarValue::Array(array) => check_array_digits(array),
        ColumnarValue::Scalar(scalar) => check_array_digits(&scalar.to_array()?),
    }
}

fn check_array_digits(array: &dyn Array) -> Result<()> {
    match array.data_type() {
        DataType::Decimal32(precision, _) => {
            array.as_primitive::<Decimal32Type>().validate_decimal_precision(*precision)?;
        }
        DataType::Decimal64(precision, _) => {
            array.as_primitive::<Decimal64Type>().validate_decimal_precision(*precision)?;
        }
        DataType::Decimal128(precision, _) => {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?;
        }
        DataType::Decimal256(precision, _) => {
            array.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)?;
        }
        _ => {}
    }
    Ok(())
}
