//! Columns in the making → Arrow arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{ArrowNativeType, DataType};

use super::columns::{ColumnSlot, FixedColumn, Group, ListColumn, TextColumn};
use crate::contract::ColumnType;

impl Group {
    /// The arrays of the columns, none for those that are not built. The values leave the group.
    pub(super) fn take_arrays(&mut self) -> Vec<Option<ArrayRef>> {
        let nulls = self.take_nulls();
        let columns = 0..self.columns.len();
        columns.map(|column| self.take_array(column, nulls[column].clone())).collect()
    }

    /// Which records have a value, column by column; last, which records are no NULL.
    fn take_nulls(&mut self) -> Vec<Option<NullBuffer>> {
        let words = self.present.len();
        let mut bits: Vec<Vec<u64>> = vec![Vec::with_capacity(self.len / 64 + 1); words * 64];
        for records in self.presents.chunks(64 * words) {
            for word in 0..words {
                let mut square = [0; 64];
                for (row, record) in square.iter_mut().zip(records.chunks(words)) {
                    *row = record[word];
                }
                transpose(&mut square);
                for (column, sixty_four) in square.iter().enumerate() {
                    bits[word * 64 + column].push(sixty_four.to_le());
                }
            }
        }
        self.presents.clear();
        let len = self.len;
        let buffer = |bits: Vec<u64>| {
            let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, len));
            Some(nulls).filter(|nulls| nulls.null_count() > 0)
        };
        bits.into_iter().take(self.columns.len() + 1).map(buffer).collect()
    }

    fn take_array(&mut self, column: usize, nulls: Option<NullBuffer>) -> Option<ArrayRef> {
        let len = self.len;
        let column_type = &self.columns[column].reader.column().column_type;
        Some(match self.columns[column].slot {
            ColumnSlot::Text(at) => Arc::new(text_array(&mut self.texts[at], len, nulls)?),
            ColumnSlot::Int32(at) => {
                let values = self.int32s[at].take(len)?;
                match column_type {
                    ColumnType::Date { .. } => Arc::new(Date32Array::new(values, nulls)),
                    _ => Arc::new(Int32Array::new(values, nulls)),
                }
            }
            ColumnSlot::Int64(at) => {
                let values = self.int64s[at].take(len)?;
                match column_type {
                    ColumnType::Timestamp { .. } => {
                        let array = TimestampMicrosecondArray::new(values, nulls);
                        Arc::new(array.with_data_type(column_type.arrow_type()))
                    }
                    _ => Arc::new(Int64Array::new(values, nulls)),
                }
            }
            ColumnSlot::Float64(at) => {
                Arc::new(Float64Array::new(self.float64s[at].take(len)?, nulls))
            }
            ColumnSlot::Decimal(at) => {
                let array = Decimal128Array::new(self.decimals[at].take(len)?, nulls);
                Arc::new(array.with_data_type(column_type.arrow_type()))
            }
            ColumnSlot::Bool(at) => {
                let values = self.bools[at].take(len)?;
                let values = BooleanBuffer::collect_bool(len, |index| values[index] != 0);
                Arc::new(BooleanArray::new(values, nulls))
            }
            ColumnSlot::List(at) => {
                let data_type = column_type.arrow_type();
                Arc::new(list_array(&mut self.lists[at], len, nulls, &data_type)?)
            }
        })
    }
}

impl<T: ArrowNativeType> FixedColumn<T> {
    /// The values of `len` records, if they are built.
    fn take(&mut self, len: usize) -> Option<ScalarBuffer<T>> {
        let mut values = std::mem::take(&mut self.values);
        values.truncate(len);
        self.built.then(|| ScalarBuffer::from(values))
    }
}

/// The array of a text column, if it is built.
pub(super) fn text_array(
    column: &mut TextColumn,
    len: usize,
    nulls: Option<NullBuffer>,
) -> Option<StringArray> {
    if !column.built {
        return None;
    }
    let (bytes, ends) = column.take();
    let offsets = offsets(ends, len, nulls.is_none());
    debug_assert!(std::str::from_utf8(&bytes).is_ok());
    let values = Buffer::from_vec(bytes);
    // SAFETY: the offsets rise from 0 to the bytes' length at most. The bytes are UTF-8, and so is
    // each text, for a text is made of whole pieces only: of pieces between ASCII characters
    // (quotes and backslashes) of a line that was found to be UTF-8 before, of characters that
    // escapes stand for, encoded, and of `str`s from the contract and from the reference decoder.
    Some(unsafe { StringArray::new_unchecked(offsets, values, nulls) })
}

fn list_array(
    column: &mut ListColumn,
    len: usize,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Option<ListArray> {
    let DataType::List(element) = data_type else { return None };
    let DataType::Struct(fields) = element.data_type() else { return None };
    if !column.built {
        return None;
    }
    let elements = &mut column.elements;
    let present = elements.take_nulls();
    let columns = 0..elements.columns.len();
    let arrays = columns.filter_map(|at| elements.take_array(at, present[at].clone())).collect();
    let element_nulls = present.last().cloned().flatten();
    let structs = match fields.is_empty() {
        true => StructArray::new_empty_fields(elements.len, element_nulls),
        false => StructArray::new(fields.clone(), arrays, element_nulls),
    };
    let offsets = offsets(std::mem::take(&mut column.ends), len, nulls.is_none());
    Some(ListArray::new(Arc::clone(element), offsets, Arc::new(structs), nulls))
}

/// Offsets of `len` records of where each one's part ends, 0 for those that have none; `all` says
/// that each has one.
fn offsets(mut ends: Vec<i32>, len: usize, all: bool) -> OffsetBuffer<i32> {
    ends.truncate(len + 1);
    if !all {
        let mut last = 0;
        for end in &mut ends {
            last = last.max(*end);
            *end = last;
        }
    }
    if ends.is_empty() {
        ends.push(0);
    }
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

/// Swaps rows and columns of 64 times 64 bits: bit j of word i becomes bit i of word j.
///
/// Blocks of 32 times 32 bits change places, then within each of them blocks of 16 times 16, and so
/// on (Warren, "Hacker's Delight", 7-3).
fn transpose(square: &mut [u64; 64]) {
    let mut width = 32;
    let mut mask = u64::MAX >> 32;
    while width > 0 {
        for block in square.chunks_exact_mut(2 * width) {
            let (upper, lower) = block.split_at_mut(width);
            for (above, below) in upper.iter_mut().zip(lower) {
                let swap = (*above >> width ^ *below) & mask;
                *above ^= swap << width;
                *below ^= swap;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn transposing_swaps_rows_and_columns(rows in prop::collection::vec(any::<u64>(), 64)) {
            let mut square: [u64; 64] = rows.clone().try_into().unwrap();
            transpose(&mut square);
            for (i, row) in rows.iter().enumerate() {
                for (j, column) in square.iter().enumerate() {
                    prop_assert_eq!(row >> j & 1, column >> i & 1, "row {} column {}", i, j);
                }
            }
        }

        #[test]
        fn offsets_are_the_largest_end_so_far(ends in prop::collection::vec(0..99, 0..40)) {
            let all: Vec<i32> = [0].into_iter().chain(ends).collect();
            let len = all.len() - 1;
            let expected: Vec<i32> =
                (0..all.len()).map(|i| *all[..=i].iter().max().unwrap()).collect();
            prop_assert_eq!(&offsets(all, len, false)[..], &expected[..]);
        }
    }
}
