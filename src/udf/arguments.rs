//! Arguments of functions: which types are taken, and how their values are read row by row.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array, LargeStringArray,
    StringArray, StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, Result, exec_err, internal_err, plan_err};

use crate::enrich::rounding::SCALE_MAX;
use crate::enrich::tax::day_in_tokyo;

/// The type that a text argument is cast to: texts of any encoding stay as they are.
pub(super) fn text_type(function: &str, argument: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(given.clone()),
        DataType::Dictionary(_, values) if is_text(values) => Ok(given.clone()),
        DataType::Null => Ok(DataType::Utf8),
        other => plan_err!("{function}: expected a text as `{argument}`, found {other}"),
    }
}

/// Whether values of a type are texts.
pub(super) fn is_text(given: &DataType) -> bool {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The type that an amount is cast to: `Int32`, `Int64` or `Decimal128`.
pub(super) fn amount_type(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => {
            Ok(DataType::Int32)
        }
        DataType::Int32 | DataType::Int64 => Ok(given.clone()),
        DataType::UInt32 | DataType::UInt64 | DataType::Null => Ok(DataType::Int64),
        DataType::Decimal128(_, scale) => match u8::try_from(*scale) {
            Ok(0..=SCALE_MAX) => Ok(given.clone()),
            _ => plan_err!(
                "{function}: expected an amount of 0 to {SCALE_MAX} decimals, found {given}; \
                 cast it to DECIMAL(38, {SCALE_MAX}) or less"
            ),
        },
        DataType::Dictionary(_, values) => amount_type(function, values),
        other => plan_err!(
            "{function}: expected an amount of type INT, BIGINT or DECIMAL, found {other}; cast it \
             (floats are not exact)"
        ),
    }
}

/// The type that a day or an instant is cast to.
pub(super) fn day_type(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Ok(given.clone()),
        DataType::Null => Ok(DataType::Date32),
        other => plan_err!(
            "{function}: expected a DATE (a day in Japan) or a TIMESTAMP as `at`, found {other}"
        ),
    }
}

/// A column of texts in any encoding.
pub(super) enum Texts<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Dictionary(Vec<Option<usize>>, Box<Texts<'a>>),
    Nulls,
}

impl<'a> Texts<'a> {
    /// Reads a column of a type that [`text_type`] takes.
    pub(super) fn of(array: &'a dyn Array) -> Result<Texts<'a>> {
        match array.data_type() {
            DataType::Utf8 => Ok(Texts::Utf8(array.as_string())),
            DataType::LargeUtf8 => Ok(Texts::LargeUtf8(array.as_string())),
            DataType::Utf8View => Ok(Texts::Utf8View(array.as_string_view())),
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary();
                let keys = dictionary.normalized_keys().into_iter().enumerate();
                let keys = keys.map(|(row, key)| array.is_valid(row).then_some(key)).collect();
                let values: &'a dyn Array = dictionary.values().as_ref();
                Ok(Texts::Dictionary(keys, Box::new(Texts::of(values)?)))
            }
            DataType::Null => Ok(Texts::Nulls),
            other => internal_err!("expected a column of texts, found {other}"),
        }
    }

    /// The text of a row; none for NULL.
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Texts::Utf8(array) => array.is_valid(row).then(|| array.value(row)),
            Texts::LargeUtf8(array) => array.is_valid(row).then(|| array.value(row)),
            Texts::Utf8View(array) => array.is_valid(row).then(|| array.value(row)),
            Texts::Dictionary(keys, values) => values.get(keys[row]?),
            Texts::Nulls => None,
        }
    }
}

/// A column of amounts, as counts of units of `10^-scale`.
pub(super) enum Amounts {
    Integer(Int64Array),
    Decimal(Decimal128Array, u8),
}

impl Amounts {
    /// Reads a column of a type that [`amount_type`] takes.
    pub(super) fn of(array: &ArrayRef) -> Result<Amounts> {
        match array.data_type() {
            DataType::Decimal128(_, scale) => match u8::try_from(*scale) {
                Ok(scale) => Ok(Amounts::Decimal(array.as_primitive().clone(), scale)),
                Err(_) => internal_err!("expected a scale of at least 0, found {scale}"),
            },
            _ => Ok(Amounts::Integer(cast(array, &DataType::Int64)?.as_primitive().clone())),
        }
    }

    /// How many decimals the amounts have.
    pub(super) fn scale(&self) -> u8 {
        match self {
            Amounts::Integer(_) => 0,
            Amounts::Decimal(_, scale) => *scale,
        }
    }

    /// The amount of a row; none for NULL.
    pub(super) fn get(&self, row: usize) -> Option<i128> {
        match self {
            Amounts::Integer(array) => array.is_valid(row).then(|| array.value(row).into()),
            Amounts::Decimal(array, _) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// Makes a column of amounts of a type that [`amount_type`] gave; none are NULL. An amount that the
/// type cannot hold is an error, `too_large`.
pub(super) fn amounts_to_array(
    amounts: &[Option<i128>],
    wanted: &DataType,
    too_large: impl Fn() -> DataFusionError,
) -> Result<ArrayRef> {
    let rows = amounts.iter();
    match wanted {
        DataType::Int32 => {
            let fit = rows.map(|amount| {
                amount.map(|a| i32::try_from(a).map_err(|_| too_large())).transpose()
            });
            Ok(Arc::new(fit.collect::<Result<Int32Array>>()?))
        }
        DataType::Int64 => {
            let fit = rows.map(|amount| {
                amount.map(|a| i64::try_from(a).map_err(|_| too_large())).transpose()
            });
            Ok(Arc::new(fit.collect::<Result<Int64Array>>()?))
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let fits = |amount: &i128| amount.unsigned_abs() < limit.unsigned_abs();
            if !rows.flatten().all(fits) {
                return Err(too_large());
            }
            let array: Decimal128Array = amounts.iter().copied().collect();
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
        }
        other => internal_err!("expected a type of amounts, found {other}"),
    }
}

/// A column of days in Asia/Tokyo. A date is such a day; a timestamp is an instant (in UTC if its
/// type has no zone), and its day is the one in Asia/Tokyo.
pub(super) struct Days {
    values: Int64Array,
    unit: DayUnit,
}

enum DayUnit {
    Days,
    PerDay(i64),
    InstantsPerSecond(i64),
}

impl Days {
    /// Reads a column of a type that [`day_type`] takes.
    pub(super) fn of(array: &ArrayRef) -> Result<Days> {
        let (array, unit) = match array.data_type() {
            DataType::Date32 | DataType::Null => (cast(array, &DataType::Int32)?, DayUnit::Days),
            DataType::Date64 => (Arc::clone(array), DayUnit::PerDay(86_400_000)),
            DataType::Timestamp(unit, _) => {
                let per_second = match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                };
                (Arc::clone(array), DayUnit::InstantsPerSecond(per_second))
            }
            other => return exec_err!("expected a column of days or instants, found {other}"),
        };
        Ok(Days { values: cast(&array, &DataType::Int64)?.as_primitive().clone(), unit })
    }

    /// The day of a row, in days since 1970-01-01; none for NULL.
    pub(super) fn get(&self, row: usize) -> Option<i32> {
        let value = self.values.is_valid(row).then(|| self.values.value(row))?;
        match self.unit {
            DayUnit::Days => i32::try_from(value).ok(),
            DayUnit::PerDay(per_day) => i32::try_from(value.div_euclid(per_day)).ok(),
            DayUnit::InstantsPerSecond(per) => Some(day_in_tokyo(value.div_euclid(per))),
        }
    }
}
