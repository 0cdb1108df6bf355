//! Values of an object as lines, and where each of them stands in it.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;

use crate::contract::OFFSET_COLUMN;
use crate::decode::{Decoded, Lines};

/// Some values as lines, and where each of them stands in its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// The values, a line each, with offsets from 0.
    pub lines: Lines,
    /// Where each value begins in the lines.
    pub(crate) starts: Vec<u64>,
    /// Where each value stands in `original`.
    pub(crate) places: Vec<ValuePlace>,
    /// The bytes that the values are from, and their offset in the object.
    pub(crate) original: Bytes,
    pub(crate) original_offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValuePlace {
    pub start: usize,
    pub length: usize,
}

impl Values {
    /// Puts the object's offsets and bytes in the place of the lines'.
    pub fn restore(&self, decoded: Decoded) -> Decoded {
        let Decoded { batch, mut rejects, mut dropped_items, .. } = decoded;
        let place_of = |line: u64| self.places[(line - self.lines.first_line) as usize];
        for reject in &mut rejects {
            let ValuePlace { start, length } = place_of(reject.line);
            reject.offset = self.original_offset + start as u64;
            reject.raw = self.original.slice(start..start + length);
        }
        for dropped in &mut dropped_items {
            let ValuePlace { start, .. } = place_of(dropped.reject.line);
            dropped.reject.offset = self.original_offset + start as u64;
        }
        Decoded { batch: self.restore_offsets(batch), rejects, dropped_items, ..decoded }
    }

    /// The offset in the object of the value that begins at `start` in the lines.
    pub(crate) fn offset_of(&self, start: u64) -> u64 {
        let number = self.starts.partition_point(|known| *known < start);
        self.original_offset + self.places[number].start as u64
    }

    fn restore_offsets(&self, batch: RecordBatch) -> RecordBatch {
        let Ok(column) = batch.schema().index_of(OFFSET_COLUMN) else { return batch };
        let offset = |start: i64| self.offset_of(start as u64) as i64;
        let offsets: Int64Array = batch.column(column).as_primitive::<Int64Type>().unary(offset);
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns[column] = Arc::new(offsets);
        // The column has the type and the length that it had before.
        RecordBatch::try_new(batch.schema(), columns).expect("one column took another's place")
    }
}
