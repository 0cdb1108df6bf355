//! What a `sum` or an `avg` comes to, from the exact sum and the number of its addends.
//!
//! ```text
//! sum(x)   DECIMAL(38, 0)   exact_sum(sum(x))             the sum, or an error if it has 39 digits
//! avg(x)   BIGINT           exact_avg(sum(x), count(x))   the DOUBLE that is nearest to it
//! avg(x)   DECIMAL(12, 2)   exact_avg(sum(x), count(x))   DECIMAL(16, 6), cut off as `/` does
//! ```
//!
//! They are functions of a row, a group's or a window's: one without a place is a reject.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
    DecimalType, i256,
};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

/// `sum` or `avg` of the given type, which SQL calls `shown`.
pub(super) fn exact_result(args: Vec<Expr>, result: DataType, shown: String) -> Expr {
    let signature = Signature::any(args.len(), Volatility::Immutable);
    let func = Arc::new(ScalarUDF::from(ExactResult { result, shown, signature }));
    Expr::ScalarFunction(ScalarFunction { func, args })
}

/// How SQL calls what a function of this file gives, for showing an expression.
pub(crate) fn aggregate_of(function: &ScalarUDF) -> Option<&str> {
    let exact = function.inner().downcast_ref::<ExactResult>();
    exact.map(|exact| exact.shown.as_str())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactResult {
    result: DataType,
    /// `sum(logs.amount)`
    shown: String,
    signature: Signature,
}

impl ScalarUDFImpl for ExactResult {
    fn name(&self) -> &str {
        match self.signature.type_signature {
            TypeSignature::Any(1) => "exact_sum",
            _ => "exact_avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let values = match arrays.as_slice() {
            [sums] => self.sums(sums)?,
            [sums, counts] => self.averages(sums, counts.as_primitive())?,
            _ => return internal_err!("{} arguments of {}", arrays.len(), self.name()),
        };
        Ok(ColumnarValue::Array(values))
    }
}

impl ExactResult {
    fn sums(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        let values: Vec<Option<i256>> = wide_values(sums)?;
        self.fit(values, |number| shown_number(number, scale_of(sums)))
    }

    fn averages(&self, sums: &ArrayRef, counts: &Int64Array) -> Result<ArrayRef> {
        let values = wide_values(sums)?.into_iter().zip(counts.iter());
        if self.result == DataType::Float64 {
            let doubles = values.map(|(sum, count)| Some(quotient(sum?.to_i128()?, count?)));
            return Ok(Arc::new(doubles.collect::<Float64Array>()));
        }
        let more_digits = match &self.result {
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale) => *scale - scale_of(sums),
            _ => 0,
        };
        let unit = i256::from_i128(10).wrapping_pow(u32::from(more_digits.unsigned_abs()));
        // The sum of 2^63 values of 38 digits, and four digits more, are 61 digits.
        let average = |(sum, count): (Option<i256>, Option<i64>)| {
            sum?.checked_mul(unit)?.checked_div(i256::from_i128(i128::from(count?)))
        };
        let scale = scale_of(sums) + more_digits;
        self.fit(values.map(average).collect(), |number| shown_number(number, scale))
    }

    /// The numbers in the type of the result.
    fn fit(&self, values: Vec<Option<i256>>, show: impl Fn(i256) -> String) -> Result<ArrayRef> {
        let (precision, scale) = match &self.result {
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => (*precision, *scale),
            DataType::Duration(_) => (DECIMAL128_MAX_PRECISION, 0),
            other => return internal_err!("{} of {other}", self.name()),
        };
        let is_duration = matches!(self.result, DataType::Duration(_));
        let fit = |value: Option<i256>| {
            let Some(value) = value else { return Ok(None) };
            let narrow = value.to_i128().filter(|narrow| match is_duration {
                true => i64::try_from(*narrow).is_ok(),
                false => Decimal128Type::is_valid_decimal_precision(*narrow, precision),
            });
            narrow.map(Some).ok_or_else(|| self.refused(&show(value)))
        };
        let values = values.into_iter().map(fit).collect::<Result<Decimal128Array>>()?;
        let values: ArrayRef = Arc::new(values.with_precision_and_scale(precision, scale)?);
        Ok(match is_duration {
            true => cast(&cast(&values, &DataType::Int64)?, &self.result)?,
            false => cast(&values, &self.result)?,
        })
    }

    fn refused(&self, found: &str) -> DataFusionError {
        let result = match &self.result {
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
            other => other.to_string(),
        };
        exec_datafusion_err!("expected a value that fits {result}, found {found}")
    }
}

fn scale_of(sums: &ArrayRef) -> i8 {
    match sums.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

fn wide_values(sums: &ArrayRef) -> Result<Vec<Option<i256>>> {
    match sums.data_type() {
        DataType::Decimal128(..) => {
            let sums = sums.as_primitive::<Decimal128Type>().iter();
            Ok(sums.map(|sum| sum.map(i256::from_i128)).collect())
        }
        DataType::Decimal256(..) => Ok(sums.as_primitive::<Decimal256Type>().iter().collect()),
        other => internal_err!("an exact sum is a decimal, found {other}"),
    }
}

fn shown_number(number: i256, scale: i8) -> String {
    Decimal256Type::format_decimal(number, DECIMAL256_MAX_PRECISION, scale)
}

/// The double that is nearest to a quotient; of two, the even one (IEEE 754).
fn quotient(sum: i128, count: i64) -> f64 {
    let (dividend, divisor) = (sum.unsigned_abs(), u128::from(count.unsigned_abs()));
    if dividend == 0 || divisor == 0 {
        return 0.0;
    }
    // So many bits that the quotient has 64 or more, of which the last one says whether anything
    // follows: then it is rounded only once.
    let shift = dividend.leading_zeros();
    let dividend = dividend << shift;
    let exact = (dividend / divisor) | u128::from(dividend % divisor != 0);
    let nearest = exact as f64 * 2_f64.powi(-shift.cast_signed());
    if sum < 0 { -nearest } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_is_the_nearest_double() {
        for (sum, count, expected) in [
            (0, 7, 0.0),
            (1, 3, 1.0 / 3.0),
            (-10, 4, -2.5),
            (i128::from(i64::MAX) * 2, 2, 9_223_372_036_854_775_807.0),
            // Halfway between two doubles, and a little more.
            ((1 << 53) + 1, 1, 9_007_199_254_740_992.0),
            (((1 << 53) + 1) * 3 + 1, 3, 9_007_199_254_740_994.0),
            (10_i128.pow(37) * 9, i64::MAX, 9.757_819_552_369_54e18),
        ] {
            assert_eq!(quotient(sum, count).to_bits(), f64::to_bits(expected), "{sum} / {count}");
        }
    }
}
