//! How large the results of functions would be, from their arguments.
//!
//! ```text
//! repeat('abc', 1000)                    3 × 1,000 bytes
//! regexp_replace(text, 'a', 'bb', 'g')   the text's bytes, and two for each `a` that it has
//! [a, b, c]                              what is in a, b and c
//! ```
//!
//! What is found is never less than what the function makes, and may be more.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes that a number or a time takes as text.
const SCALAR_TEXT_BYTES: u64 = 48;
/// Bytes that one byte of a pattern of times makes: `%c` makes 24 of two.
const TIME_PATTERN_GROWTH: u64 = 16;
/// Below it, what a regular expression may make at worst is exact enough.
const REGEX_AT_WORST_BYTES: u64 = 64 << 10;

/// Bytes that a call makes of a row.
type OfRow = fn(&Arguments, usize) -> u64;

/// How large a function's result for one row would be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Measure {
    /// What is in all of its arguments.
    Sum,
    /// What this function finds.
    By(OfRow),
}

impl Measure {
    pub fn is_sum(self) -> bool {
        matches!(self, Measure::Sum)
    }

    pub fn of_row(self, arguments: &Arguments, row: usize) -> u64 {
        match self {
            Measure::Sum => arguments.bytes_of_row(row),
            Measure::By(measure) => measure(arguments, row),
        }
    }
}

/// The functions of the engine whose results may be larger than a multiple of one argument.
pub(super) fn measures() -> impl Iterator<Item = (&'static str, Measure)> {
    const BY: [(&str, OfRow); 17] = [
        ("repeat", |all, row| all.bytes(0, row).saturating_mul(all.number(1, row))),
        ("lpad", padded_bytes),
        ("rpad", padded_bytes),
        ("replace", replaced_bytes),
        ("translate", translated_bytes),
        ("regexp_replace", regex_replaced_bytes),
        ("regexp_match", |all, row| all.bytes(0, row).saturating_mul(groups(all.text(1, row)))),
        ("to_char", |all, row| all.bytes(1, row).saturating_mul(TIME_PATTERN_GROWTH)),
        ("concat_ws", |all, row| {
            (1..all.count()).map(|n| all.bytes(n, row) + all.bytes(0, row)).sum()
        }),
        ("array_repeat", |all, row| all.number(1, row).saturating_mul(all.bytes(0, row).max(8))),
        ("array_resize", |all, row| {
            let added = all.number(1, row).saturating_mul(all.bytes(2, row).max(8));
            added.saturating_add(all.bytes(0, row))
        }),
        ("array_to_string", |all, row| {
            let item = all.bytes(1, row) + all.bytes(2, row) + SCALAR_TEXT_BYTES;
            all.items(0, row).saturating_mul(item).saturating_add(all.bytes(0, row))
        }),
        ("array_replace", |all, row| all.bytes_of_row(row)),
        ("array_replace_n", all_items_replaced),
        ("array_replace_all", all_items_replaced),
        ("range", |all, row| all.range_items(row).saturating_mul(8)),
        ("generate_series", |all, row| all.range_items(row).saturating_mul(8)),
    ];
    const SUM: [&str; 9] = [
        "concat",
        "overlay",
        "make_array",
        "array_append",
        "array_prepend",
        "array_concat",
        "array_union",
        "arrays_zip",
        "map",
    ];
    let by = BY.into_iter().map(|(name, measure)| (name, Measure::By(measure)));
    by.chain(SUM.into_iter().map(|name| (name, Measure::Sum)))
}

fn padded_bytes(all: &Arguments, row: usize) -> u64 {
    let fill = if all.count() > 2 { all.text(2, row) } else { " " };
    let times = all.number(1, row) / (fill.graphemes(true).count() as u64).max(1) + 1;
    times.saturating_mul(fill.len() as u64).saturating_add(all.bytes(0, row))
}

/// At most as often as the sought text stands in it.
fn replaced_bytes(all: &Arguments, row: usize) -> u64 {
    let (text, sought, by) = (all.text(0, row), all.text(1, row), all.text(2, row));
    let length = text.len() as u64;
    if by.len() <= sought.len() || sought.is_empty() {
        return length;
    }
    let added = (by.len() - sought.len()) as u64;
    (text.matches(sought).count() as u64).saturating_mul(added).saturating_add(length)
}

/// Each character may become the longest of the others, which may be made of several.
fn translated_bytes(all: &Arguments, row: usize) -> u64 {
    let longest = match all.text(2, row) {
        by if by.is_ascii() => 2,
        by => by.graphemes(true).map(str::len).max().unwrap_or(1),
    };
    all.bytes(0, row).saturating_mul(longest as u64)
}

fn all_items_replaced(all: &Arguments, row: usize) -> u64 {
    all.items(0, row).saturating_mul(all.bytes(2, row)).saturating_add(all.bytes(0, row))
}

/// Groups of a regular expression, at most, and its whole.
fn groups(pattern: &str) -> u64 {
    pattern.matches('(').count() as u64 + 1
}

fn regex_replaced_bytes(all: &Arguments, row: usize) -> u64 {
    let (text, by, flags) = (all.text(0, row), all.text(2, row), all.text(3, row));
    let length = text.len() as u64;
    // Matches do not overlap, so that a reference to a group adds the text once at most.
    let references = by.matches(['\\', '$']).count() as u64 + 1;
    let copied = length.saturating_mul(references);
    let made = |matches: u64| matches.saturating_mul(by.len() as u64).saturating_add(copied);
    if !flags.contains('g') {
        return made(1);
    }
    let at_worst = made(length + 1);
    if at_worst <= REGEX_AT_WORST_BYTES {
        return at_worst;
    }
    all.matches(text, all.text(1, row), flags).map_or(at_worst, made)
}

/// Bytes of all rows of the arguments, or more.
pub(super) fn total_at_most(arguments: &[ColumnarValue], rows: usize) -> u64 {
    let bytes = arguments.iter().map(|argument| match argument {
        ColumnarValue::Array(array) => array.get_array_memory_size() as u64,
        ColumnarValue::Scalar(scalar) => (scalar.size() as u64).saturating_mul(rows as u64),
    });
    bytes.fold(0_u64, u64::saturating_add)
}

/// Arguments of a call, as texts and as numbers.
pub(super) struct Arguments {
    arrays: Vec<ArrayRef>,
    numbers: Vec<Option<ArrayRef>>,
    /// The regular expression of the last row: it rarely differs.
    regex: RefCell<Option<(String, Option<regex::Regex>)>>,
}

impl Arguments {
    /// Constants stay single values.
    pub fn of(arguments: &[ColumnarValue]) -> Result<Self> {
        let arrays = arguments.iter().map(|argument| match argument {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1),
        });
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let as_number = |array: &ArrayRef| match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => None,
            data_type if data_type.is_nested() => None,
            _ => cast(array, &DataType::Int64).ok(),
        };
        let numbers = arrays.iter().map(as_number).collect();
        Ok(Arguments { arrays, numbers, regex: RefCell::default() })
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

    /// Bytes of an argument: of a text its own, of a list those of its items.
    fn bytes(&self, number: usize, row: usize) -> u64 {
        let Some(array) = self.arrays.get(number) else { return 0 };
        match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                self.text(number, row).len() as u64
            }
            _ => bytes_of(&array.slice(Self::row_of(array, row), 1)),
        }
    }

    /// Bytes of all arguments.
    pub fn bytes_of_row(&self, row: usize) -> u64 {
        (0..self.count()).map(|number| self.bytes(number, row)).sum()
    }

    /// How many items the list has.
    fn items(&self, number: usize, row: usize) -> u64 {
        let Some(array) = self.arrays.get(number) else { return 0 };
        let row = Self::row_of(array, row);
        if array.is_null(row) {
            return 0;
        }
        match array.data_type() {
            DataType::List(_) => array.as_list::<i32>().value_length(row).unsigned_abs().into(),
            DataType::LargeList(_) => array.as_list::<i64>().value_length(row).unsigned_abs(),
            DataType::FixedSizeList(_, length) => length.unsigned_abs().into(),
            _ => 0,
        }
    }

    fn signed(&self, number: usize, row: usize) -> Option<i64> {
        let array = self.numbers.get(number)?.as_ref()?;
        let row = Self::row_of(array, row);
        (!array.is_null(row)).then(|| array.as_primitive::<Int64Type>().value(row))
    }

    fn number(&self, number: usize, row: usize) -> u64 {
        self.signed(number, row).map_or(0, |found| found.max(0).unsigned_abs())
    }

    /// How often a regular expression matches; none for one that is wrong.
    fn matches(&self, text: &str, pattern: &str, flags: &str) -> Option<u64> {
        let flags: String = flags.chars().filter(|flag| *flag != 'g').collect();
        let whole =
            if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
        let mut last = self.regex.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| *known != whole) {
            let regex = regex::Regex::new(&whole).ok();
            *last = Some((whole, regex));
        }
        let (_, regex) = last.as_ref()?;
        Some(regex.as_ref()?.find_iter(text).count() as u64)
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
            Some(_) => self.signed(2, row).map_or(0, i64::unsigned_abs),
        };
        end.abs_diff(start).checked_div(step).unwrap_or(0)
    }

    /// An interval in the unit of the start: days of a date, or the unit of a timestamp.
    fn interval_step(&self, row: usize) -> u64 {
        let array = &self.arrays[2];
        if !matches!(array.data_type(), DataType::Interval(IntervalUnit::MonthDayNano)) {
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

/// Bytes of all values of an array, without what it only shares.
fn bytes_of(array: &ArrayRef) -> u64 {
    /// Of an item's offset or place.
    const PLACE: u64 = 8;
    let rows = array.len() as u64;
    match array.data_type() {
        DataType::Utf8View => {
            let views = array.as_string_view().views().iter();
            // The length stands in a view's low 32 bits.
            views.map(|view| u64::from(*view as u32) + PLACE).sum()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            bytes_of(&list.values().slice(start as usize, (end - start) as usize)) + rows * PLACE
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let (start, end) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            bytes_of(&list.values().slice(start as usize, (end - start) as usize)) + rows * PLACE
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(bytes_of).sum(),
        _ => {
            let whole = |_| array.get_array_memory_size();
            array.to_data().get_slice_memory_size().unwrap_or_else(whole) as u64
        }
    }
}
