//! Rows gathered for the encoders: many small batches become one block.
//!
//! ```text
//! batches   2,048 rows each, of all partitions       cut where the block is full
//! block     up to 32,768 rows or its bytes           each column laid together once
//! part      the rows of one partition                [3, 8, 11, …], gathered column by column
//! ```
//!
//! Where a block ends depends on its rows alone, not on how batches cut them: so the same rows
//! make the same files.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, GenericByteViewArray, RecordBatch, UInt32Array,
};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{ByteViewType, DataType, Field, SchemaRef, UInt32Type};
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::sink::route::take_rows;
use crate::sink::stored::{cast_column, stored_in_block};

/// Rows of a block; more made nothing faster, and fewer did not fill the encoders.
const ROWS_MAX: usize = 32 << 10;

/// Rows that wait to be routed and encoded together.
pub(crate) struct Block {
    stored: SchemaRef,
    batches: Vec<Arrived>,
    rows: usize,
    bytes: u64,
    bytes_max: u64,
}

/// A batch, or what is left of it, in two forms that mostly share their arrays.
pub(crate) struct Arrived {
    /// As it came.
    batch: RecordBatch,
    /// In types that [`bytes_of_rows`] knows.
    columns: Vec<ArrayRef>,
}

impl Block {
    /// A block for rows that are stored as `stored`; it holds `bytes_max` bytes, or one row.
    pub(crate) fn new(stored: SchemaRef, bytes_max: u64) -> Self {
        Block { stored, batches: Vec::new(), rows: 0, bytes: 0, bytes_max }
    }

    /// Bytes that the rows take, and take once more while they are laid together.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.bytes * 2
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Makes a batch ready to be added.
    pub(crate) fn arrive(&self, batch: &RecordBatch) -> Result<Arrived> {
        let fields = batch.columns().iter().zip(self.stored.fields());
        let columns = fields.map(|(array, field)| stored_in_block(array, field));
        Ok(Arrived { batch: batch.clone(), columns: columns.collect::<Result<_>>()? })
    }

    /// Adds the rows that fit; returns the others, for which the block must be emptied.
    pub(crate) fn add(&mut self, arrived: Arrived) -> Option<Arrived> {
        let rows = arrived.batch.num_rows();
        let fits = |rows: usize| self.bytes + arrived.bytes_of(rows) <= self.bytes_max;
        let space = rows.min(ROWS_MAX - self.rows);
        let mut taken = space;
        if !fits(space) {
            // The last number of rows that fits.
            let (mut fit, mut no_fit) = (0, space);
            while no_fit - fit > 1 {
                let middle = fit.midpoint(no_fit);
                *(if fits(middle) { &mut fit } else { &mut no_fit }) = middle;
            }
            taken = fit;
        }
        if taken == 0 && self.is_empty() && rows > 0 {
            taken = 1;
        }
        let rest = (taken < rows).then(|| arrived.slice(taken, rows - taken));
        if taken > 0 {
            let taken = if rest.is_some() { arrived.slice(0, taken) } else { arrived };
            self.rows += taken.batch.num_rows();
            self.bytes += taken.bytes_of(taken.batch.num_rows());
            self.batches.push(taken);
        }
        rest
    }

    /// One column of all rows, as it is stored.
    pub(crate) fn column(&self, index: usize) -> Result<ArrayRef> {
        let pieces = self.batches.iter().map(|arrived| arrived.columns[index].clone()).collect();
        lay_together(pieces, self.stored.field(index))
    }

    /// Takes the pieces of some columns out; [`lay_together`] makes one of each.
    pub(crate) fn pieces(&self, columns: &[usize]) -> Vec<Vec<ArrayRef>> {
        let pieces_of = |index: &usize| {
            self.batches.iter().map(|arrived| arrived.columns[*index].clone()).collect()
        };
        columns.iter().map(pieces_of).collect()
    }

    /// The given rows (ascending) as they came, in batches no larger than those were.
    pub(crate) fn as_they_came(&self, rows: &[u32]) -> Result<Vec<RecordBatch>> {
        let mut found = Vec::new();
        let (mut rest, mut start) = (rows, 0);
        for Arrived { batch, .. } in &self.batches {
            let end = start + batch.num_rows();
            let (here, later) = rest.split_at(rest.partition_point(|row| (*row as usize) < end));
            if here.len() == batch.num_rows() {
                found.push(batch.clone());
            } else if !here.is_empty() {
                let here = here.iter().map(|row| row - start as u32).collect();
                found.push(take_rows(batch, here)?);
            }
            (rest, start) = (later, end);
        }
        Ok(found)
    }

    /// Empties the block.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        (self.rows, self.bytes) = (0, 0);
    }
}

impl Arrived {
    fn bytes_of(&self, rows: usize) -> u64 {
        self.columns.iter().map(|column| bytes_of_rows(column, 0, rows)).sum()
    }

    fn slice(&self, start: usize, rows: usize) -> Arrived {
        let columns = self.columns.iter().map(|column| column.slice(start, rows)).collect();
        Arrived { batch: self.batch.slice(start, rows), columns }
    }
}

/// The pieces of a column as one array of the stored type.
pub(crate) fn lay_together(pieces: Vec<ArrayRef>, field: &Field) -> Result<ArrayRef> {
    let whole = match &pieces[..] {
        [one] => Arc::clone(one),
        many => {
            let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
            concat(&many).map_err(|err| {
                Error::Bug(format!("laying pieces of column `{}` together: {err}", field.name()))
            })?
        }
    };
    drop(pieces);
    cast_column(&whole, field)
}

/// Bytes of values that the Parquet encoder may take by their row numbers: it cuts pages only
/// after them.
const BORROWED_BYTES_MAX: u64 = 1 << 20;

/// The given rows of a stored column; all of them without `rows`.
///
/// Texts are not copied but numbered: a dictionary whose keys are the rows.
pub(crate) fn gather(column: &ArrayRef, rows: Option<&UInt32Array>) -> Result<ArrayRef> {
    let Some(rows) = rows else { return Ok(Arc::clone(column)) };
    let is_text = matches!(column.data_type(), DataType::Utf8 | DataType::Binary);
    let gathered = if is_text && bytes_of_rows(column, 0, column.len()) <= BORROWED_BYTES_MAX * 8 {
        DictionaryArray::<UInt32Type>::try_new(rows.clone(), Arc::clone(column))
            .map(|numbered| Arc::new(numbered) as ArrayRef)
    } else {
        take(column, rows, None)
    };
    gathered.map_err(|err| Error::Bug(format!("taking rows of a partition: {err}")))
}

/// Bytes of the values of rows `from..to`, the same however the rows are cut into arrays.
pub(crate) fn bytes_of_rows(array: &dyn Array, from: usize, to: usize) -> u64 {
    let rows = (to - from) as u64;
    let span = |offsets: &[i32]| (offsets[from] as usize, offsets[to] as usize);
    match array.data_type() {
        DataType::Boolean => rows,
        DataType::Utf8 => {
            let (start, end) = span(array.as_string::<i32>().value_offsets());
            (end - start) as u64 + 4 * rows
        }
        DataType::Binary => {
            let (start, end) = span(array.as_binary::<i32>().value_offsets());
            (end - start) as u64 + 4 * rows
        }
        DataType::Utf8View => view_bytes(array.as_string_view(), from, to),
        DataType::BinaryView => view_bytes(array.as_binary_view(), from, to),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (start, end) = span(list.value_offsets());
            4 * rows + bytes_of_rows(list.values(), start, end)
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let (start, end) = span(map.value_offsets());
            4 * rows + bytes_of_rows(map.entries(), start, end)
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|field| bytes_of_rows(field, from, to)).sum()
        }
        other => rows * other.primitive_width().unwrap_or(0) as u64,
    }
}

fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>, from: usize, to: usize) -> u64 {
    // The length stands in a view's low 32 bits.
    array.views()[from..to].iter().map(|view| 16 + u64::from(*view as u32)).sum()
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
