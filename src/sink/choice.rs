//! How a column is encoded, chosen from its first values: with or without a dictionary, with or
//! without the least and greatest value.
//!
//! | column | dictionary | least and greatest value |
//! |---|---|---|
//! | event_id, all distinct | no: it would hold every value, and then be given up | no |
//! | ip, repeating | yes | no: every row group spans all of them, they rule nothing out |
//! | service, few short ones | yes | yes |
//! | load_ms, numbers | if they repeat | yes |
//! | any text that the table is sorted by | if it repeats | yes |
//!
//! The figures after the limits: hashing all values into a dictionary that is then given up costs
//! as much as compressing them, and comparing long texts took a fifth of all encoding.

use std::collections::HashSet;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;

/// Values that are looked at.
const SAMPLE_VALUES: usize = 4096;
/// Fewer values say nothing.
const SAMPLE_VALUES_MIN: usize = 64;
/// Percent of distinct values beyond which a dictionary does not pay.
const DISTINCT_PERCENT_MAX: usize = 75;
/// Numbers are short: a dictionary of theirs pays earlier or not at all.
const DISTINCT_NUMBERS_PERCENT_MAX: usize = 50;
/// Texts that are few and short enough to tell row groups and pages apart.
const PRUNING_TEXTS_MAX: usize = 256;
const PRUNING_TEXT_BYTES_MAX: usize = 32;

/// How a column is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnChoice {
    pub(crate) dictionary: bool,
    /// Whether statistics say the least and the greatest value; they always say how many are NULL.
    pub(crate) min_max: bool,
}

/// What is taken without knowing values.
const UNKNOWN: ColumnChoice = ColumnChoice { dictionary: true, min_max: true };

/// Chooses from the first values of `array`, a column of a stored type.
pub(crate) fn choose(array: &ArrayRef, is_sort_column: bool) -> ColumnChoice {
    let (distinct, values, bytes) = match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            count(array, |row| array.value(row).as_bytes())
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            count(array, |row| array.value(row))
        }
        other => match other.primitive_width() {
            None => return UNKNOWN,
            Some(width) => {
                let data = array.to_data();
                let start = data.offset() * width;
                let all = &data.buffers()[0][start..];
                count(array, |row| &all[row * width..(row + 1) * width])
            }
        },
    };
    if values < SAMPLE_VALUES_MIN {
        return UNKNOWN;
    }
    let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::Binary);
    let percent_max = if is_text { DISTINCT_PERCENT_MAX } else { DISTINCT_NUMBERS_PERCENT_MAX };
    let few_short = distinct <= PRUNING_TEXTS_MAX && bytes <= values * PRUNING_TEXT_BYTES_MAX;
    ColumnChoice {
        dictionary: distinct * 100 <= values * percent_max,
        min_max: !is_text || is_sort_column || few_short,
    }
}

/// Distinct values, values and bytes of values among the first.
fn count<'a>(array: &dyn Array, value: impl Fn(usize) -> &'a [u8]) -> (usize, usize, usize) {
    let mut distinct = HashSet::with_capacity(SAMPLE_VALUES);
    let (mut values, mut bytes) = (0, 0);
    for row in (0..array.len()).filter(|row| array.is_valid(*row)).take(SAMPLE_VALUES) {
        let value = value(row);
        values += 1;
        bytes += value.len();
        distinct.insert(value);
    }
    (distinct.len(), values, bytes)
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
