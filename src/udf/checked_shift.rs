//! Shifts that lose no bit to the left, and shift by no more bits than there are.
//!
//! The engine's own shift by the distance modulo the width: `1 << 64` would be 1.

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray,
};
use datafusion::arrow::datatypes::{
    ArrowNativeType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use std::sync::Arc;

type Shifted = Result<ArrayRef, ArrowError>;

/// Calls `shift` for the type of both operands, with closures of native values.
macro_rules! for_type {
    ($left:expr, $right:expr, $symbol:literal, $shift:expr; $($variant:ident: $arrow:ty),*) => {
        match ($left.get().0.data_type(), $right.get().0.data_type()) {
            $((DataType::$variant, DataType::$variant) => {
                shift::<$arrow>($left, $right, $symbol, $shift)
            })*
            (left, right) => Err(ArrowError::InvalidArgumentError(format!(
                "cannot shift {left} by {right}"
            ))),
        }
    };
    ($left:expr, $right:expr, $symbol:literal, $shift:expr) => {
        for_type!($left, $right, $symbol, $shift;
            Int8: Int8Type, Int16: Int16Type, Int32: Int32Type, Int64: Int64Type,
            UInt8: UInt8Type, UInt16: UInt16Type, UInt32: UInt32Type, UInt64: UInt64Type)
    };
}

/// `left << right`.
pub(super) fn shift_left(left: &dyn Datum, right: &dyn Datum) -> Shifted {
    for_type!(left, right, "<<", |value, by| {
        let shifted = value.checked_shl(by)?;
        (shifted >> by == value).then_some(shifted)
    })
}

/// `left >> right`.
pub(super) fn shift_right(left: &dyn Datum, right: &dyn Datum) -> Shifted {
    for_type!(left, right, ">>", |value, by| value.checked_shr(by))
}

fn shift<T: ArrowPrimitiveType>(
    left: &dyn Datum,
    right: &dyn Datum,
    symbol: &str,
    shift: impl Fn(T::Native, u32) -> Option<T::Native>,
) -> Shifted {
    let ((left, one_left), (right, one_right)) = (left.get(), right.get());
    let rows = if one_left { right.len() } else { left.len() };
    let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
    let at = |row: usize, is_one: bool| if is_one { 0 } else { row };
    let shifted = (0..rows).map(|row| {
        let (l, r) = (at(row, one_left), at(row, one_right));
        if left.is_null(l) || right.is_null(r) {
            return Ok(None);
        }
        let (value, by) = (left.value(l), right.value(r));
        let bits = by.to_usize().and_then(|by| u32::try_from(by).ok());
        bits.and_then(|bits| shift(value, bits)).map(Some).ok_or_else(|| {
            let message = format!("Overflow happened on: {value:?} {symbol} {by:?}");
            ArrowError::ArithmeticOverflow(message)
        })
    });
    Ok(Arc::new(shifted.collect::<Result<PrimitiveArray<T>, _>>()?))
}
