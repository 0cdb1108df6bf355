//! Casts that lose something stay where they are.
//!
//! The optimizer takes the cast off a column that is compared with a constant, whatever the cast
//! does. So a rule of the analyzer puts a function around each cast of numbers that rounds, cuts
//! off or may fail, which gives its argument as it is:
//!
//! ```text
//! CAST(price AS INT) > 4       a price of 4.5 is cast to 4, which is not greater
//!   ─► price > 4               the optimizer's, by which it is; and 10^30 is, too, not a reject
//!   ─► kept(CAST(price AS INT)) > 4
//! ```

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The function's name, which no SQL can call.
pub(crate) const KEPT_CAST: &str = "kept";

static KEEP: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::from(KeptCast { signature }))
});

/// A cast of values of a type, with the function around it if it loses something.
pub(super) fn keep_cast(cast: Expr, from: &DataType, to: &DataType) -> Option<Expr> {
    let loses = from.is_numeric() && to.is_numeric() && !holds_all(from, to);
    loses
        .then(|| Expr::ScalarFunction(ScalarFunction { func: Arc::clone(&KEEP), args: vec![cast] }))
}

/// Whether each number of one type is one of the other.
fn holds_all(from: &DataType, to: &DataType) -> bool {
    // Of doubles there is `exact_double`.
    if from == to || to.is_floating() {
        return true;
    }
    if let (Some(from), Some(to)) = (integer_bits(from), integer_bits(to)) {
        return to.0 >= from.0 && to.1 >= from.1;
    }
    match (digits(from), digits(to)) {
        (Some((whole, scale)), Some((whole_to, scale_to))) => {
            !to.is_integer() && whole_to >= whole && scale_to >= scale
        }
        _ => false,
    }
}

/// Bits of an integer type for negative numbers and for positive ones.
fn integer_bits(kind: &DataType) -> Option<(usize, usize)> {
    let bits = kind.is_integer().then(|| kind.primitive_width())?? * 8;
    Some(if kind.is_signed_integer() { (bits - 1, bits - 1) } else { (0, bits) })
}

/// Whole and fractional digits of a number that is exact.
fn digits(kind: &DataType) -> Option<(i16, i16)> {
    match kind {
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    }
}

/// Gives its argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KeptCast {
    signature: Signature,
}

impl ScalarUDFImpl for KeptCast {
    fn name(&self) -> &str {
        KEPT_CAST
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [cast] = args else { return internal_err!("one cast is kept") };
        Ok(cast.schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let cast = &args.arg_fields[0];
        Ok(Arc::new(Field::new(KEPT_CAST, cast.data_type().clone(), cast.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args[0].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_casts_that_lose_nothing_may_go() {
        use DataType::*;
        let holding = [
            (Int32, Int64),
            (UInt32, Int64),
            (UInt8, UInt16),
            (Int64, Decimal128(19, 0)),
            (Int64, Decimal128(38, 10)),
            (Decimal128(12, 2), Decimal128(20, 2)),
            (Decimal128(12, 2), Decimal128(14, 4)),
            (Float32, Float64),
            (Int64, Float64),
        ];
        let losing = [
            (Int64, Int32),
            (UInt64, Int64),
            (Int8, UInt64),
            (Int64, Decimal128(18, 0)),
            (Int64, Decimal128(20, 2)),
            (Decimal128(12, 2), Int64),
            (Decimal128(3, 0), Int64),
            (Decimal128(12, 2), Decimal128(12, 3)),
            (Decimal128(12, 2), Decimal128(38, 1)),
            (Float64, Int64),
        ];
        for (from, to) in holding {
            assert!(holds_all(&from, &to), "{from} to {to}");
        }
        for (from, to) in losing {
            assert!(!holds_all(&from, &to), "{from} to {to}");
        }
    }
}
