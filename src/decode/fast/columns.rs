//! Columns in the making: the values of records, by place.
//!
//! A group has the columns of the table, or of a list's elements. Its record in the making is the
//! one at `len`; what is written there counts once the record is accepted. Values of a fixed size
//! lie at their record's place; texts lie after each other, and at the record's place stands where
//! its text ends. So what is absent costs nothing: a zero, whose bit in `present` is not set.
//!
//! ```text
//! records       {"a":7,"s":"xy"}   {}   {"s":"z"}
//! present       0b11               0b00 0b10        one word (or more) a record, a bit a column
//! a   values    7                  0    0
//! s   bytes     xyz
//!     ends      2                  0    3           → offsets 0 2 2 3, each the largest so far
//! ```

use std::sync::Arc;

use super::forms::Forms;
use crate::contract::{ColumnReader, OnMismatch, Value};

/// The columns of the table or of a list's elements.
#[derive(Debug)]
pub(super) struct Group {
    pub columns: Vec<GroupColumn>,
    /// Whether the records are rows, not elements of lists.
    pub is_table: bool,
    /// Accepted records.
    pub len: usize,
    /// Records that the columns have space for.
    capacity: usize,
    /// Which columns the record in the making has values for; the bit after the columns' says that
    /// the record is no NULL.
    pub present: Vec<u64>,
    /// `present` of the accepted records, one after the other.
    pub presents: Vec<u64>,
    /// The columns without which a record is unhandled, as bits.
    required: Vec<u64>,
    /// The columns that have a default.
    defaulted: Vec<u64>,
    /// By which of its paths each column has its value, for columns of several paths.
    pub ranks: Vec<u8>,
    pub texts: Vec<TextColumn>,
    pub int32s: Vec<FixedColumn<i32>>,
    pub int64s: Vec<FixedColumn<i64>>,
    pub float64s: Vec<FixedColumn<f64>>,
    pub decimals: Vec<FixedColumn<i128>>,
    pub bools: Vec<FixedColumn<u8>>,
    pub lists: Vec<ListColumn>,
}

/// A column, whatever its type.
#[derive(Debug)]
pub(super) struct GroupColumn {
    pub reader: ColumnReader,
    pub default: Option<Value<'static>>,
    pub paths_count: usize,
    pub slot: ColumnSlot,
    pub forms: Forms,
    /// The name that mended values count under: `items.price`.
    pub name: Arc<str>,
    /// Whether a value may be mended, and then is counted.
    pub may_mend: bool,
}

/// Where a column's values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnSlot {
    Text(usize),
    Int32(usize),
    Int64(usize),
    Float64(usize),
    Decimal(usize),
    Bool(usize),
    List(usize),
}

/// Values of a fixed size.
#[derive(Debug)]
pub(super) struct FixedColumn<T> {
    /// One a record there is space for; none if the column is not built.
    pub values: Vec<T>,
    pub built: bool,
}

/// Texts.
#[derive(Debug)]
pub(super) struct TextColumn {
    pub bytes: Vec<u8>,
    /// Where each record's text ends in `bytes`, after a 0; 0 if it has none.
    pub ends: Vec<i32>,
    /// Where the text of the record in the making begins, if it has one.
    pub start: usize,
    /// Length of `bytes` before the row in the making.
    mark: usize,
    pub built: bool,
    /// Most bytes that a batch had; the next one's capacity.
    expected: usize,
}

/// Lists of records.
#[derive(Debug)]
pub(super) struct ListColumn {
    pub elements: Group,
    /// Where each record's elements end, after a 0; 0 if it has no list.
    pub ends: Vec<i32>,
    /// Elements before the row in the making.
    mark: usize,
    pub built: bool,
}

impl<T: Copy + Default> FixedColumn<T> {
    pub(super) fn new(built: bool) -> Self {
        FixedColumn { values: Vec::new(), built }
    }

    /// Writes the value of the record at `index`.
    #[inline(always)]
    pub(super) fn set(&mut self, index: usize, value: T) {
        if let Some(place) = self.values.get_mut(index) {
            *place = value;
        }
    }

    fn reserve(&mut self, capacity: usize) {
        if self.built {
            self.values.resize(capacity, T::default());
        }
    }
}

/// Bytes that a batch's texts may have to spare.
const SPARE_BYTES: usize = 1 << 20;

impl TextColumn {
    pub(super) fn new(built: bool) -> Self {
        TextColumn { bytes: Vec::new(), ends: Vec::new(), start: 0, mark: 0, built, expected: 0 }
    }

    /// Writes that the text of the record at `index` ends here.
    #[inline(always)]
    pub(super) fn end(&mut self, index: usize) {
        if let Some(end) = self.ends.get_mut(index + 1) {
            *end = self.bytes.len() as i32;
        }
    }

    fn set(&mut self, index: usize, text: &[u8]) {
        if self.built {
            self.start = self.bytes.len();
            self.bytes.extend_from_slice(text);
            self.end(index);
        }
    }

    fn reserve(&mut self, capacity: usize) {
        if self.built {
            self.ends.resize(capacity + 1, 0);
            self.bytes.reserve(self.expected);
        }
    }

    /// Takes the texts out for a batch.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<i32>) {
        let length = self.bytes.len();
        // A little more than it was: a batch is like the one before, but not the same. What one
        // long line took is soon forgotten, and what it grew by too much is given back.
        self.expected = (length + length / 8).max(self.expected / 2);
        if self.bytes.capacity() > length + length / 4 + SPARE_BYTES {
            self.bytes.shrink_to(length);
        }
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends))
    }
}

impl ListColumn {
    pub(super) fn new(elements: Group, built: bool) -> Self {
        ListColumn { elements, ends: Vec::new(), mark: 0, built }
    }

    /// Writes that the list of the record at `index` ends here.
    #[inline(always)]
    pub(super) fn end(&mut self, index: usize) {
        if let Some(end) = self.ends.get_mut(index + 1) {
            *end = self.elements.len as i32;
        }
    }
}

/// A bit among words.
#[inline(always)]
pub(super) fn bit(column: usize) -> (usize, u64) {
    (column / 64, 1 << (column % 64))
}

impl Group {
    /// A group of these columns, whose types' columns are yet to be added.
    pub(super) fn new(columns: Vec<GroupColumn>, required: &[bool]) -> Self {
        let words = columns.len() / 64 + 1;
        let (mut required_bits, mut defaulted) = (vec![0; words], vec![0; words]);
        for (index, column) in columns.iter().enumerate() {
            let (word, bit) = bit(index);
            required_bits[word] |= if required[index] { bit } else { 0 };
            defaulted[word] |= if column.default.is_some() { bit } else { 0 };
        }
        Group {
            ranks: vec![0; columns.len()],
            columns,
            is_table: false,
            len: 0,
            capacity: 0,
            present: vec![0; words],
            presents: Vec::new(),
            required: required_bits,
            defaulted,
            texts: Vec::new(),
            int32s: Vec::new(),
            int64s: Vec::new(),
            float64s: Vec::new(),
            decimals: Vec::new(),
            bools: Vec::new(),
            lists: Vec::new(),
        }
    }

    /// Reserves space for one more record.
    #[inline(always)]
    pub(super) fn reserve_row(&mut self) {
        if self.len == self.capacity {
            self.reserve((self.capacity * 2).max(64));
        }
    }

    /// Reserves space for so many records in all.
    #[cold]
    pub(super) fn reserve(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.presents.reserve(capacity * self.present.len() - self.presents.len());
        self.texts.iter_mut().for_each(|column| column.reserve(capacity));
        self.int32s.iter_mut().for_each(|column| column.reserve(capacity));
        self.int64s.iter_mut().for_each(|column| column.reserve(capacity));
        self.float64s.iter_mut().for_each(|column| column.reserve(capacity));
        self.decimals.iter_mut().for_each(|column| column.reserve(capacity));
        self.bools.iter_mut().for_each(|column| column.reserve(capacity));
        for list in self.lists.iter_mut().filter(|list| list.built) {
            list.ends.resize(capacity + 1, 0);
        }
    }

    /// Begins a new batch, the columns' values having been taken out.
    pub(super) fn begin(&mut self) {
        self.len = 0;
        self.capacity = 0;
        self.presents.clear();
        self.lists.iter_mut().for_each(|list| list.elements.begin());
    }

    /// Takes the record in the making for good, if it has all that it needs.
    #[inline(always)]
    pub(super) fn accept(&mut self) -> bool {
        let (last_word, last_bit) = bit(self.columns.len());
        let mut incomplete = false;
        let mut defaults = false;
        for (index, present) in self.present.iter().enumerate() {
            incomplete |= self.required[index] & !present != 0;
            defaults |= self.defaulted[index] & !present != 0;
        }
        if incomplete {
            return false;
        }
        if defaults {
            self.set_defaults();
        }
        self.present[last_word] |= last_bit;
        self.append_present();
        true
    }

    #[inline(always)]
    fn append_present(&mut self) {
        for word in &mut self.present {
            self.presents.push(std::mem::take(word));
        }
        self.len += 1;
    }

    /// Appends a NULL.
    pub(super) fn append_null(&mut self) {
        self.reserve_row();
        self.present.fill(0);
        self.append_present();
    }

    fn set_defaults(&mut self) {
        for index in 0..self.columns.len() {
            let (word, bit) = bit(index);
            if self.defaulted[word] & !self.present[word] & bit != 0 {
                let default = self.columns[index].default.take();
                if let Some(value) = &default {
                    self.set(index, value);
                }
                self.columns[index].default = default;
            }
        }
    }

    /// Writes a column's value in the record in the making; NULL and values of other types leave
    /// it absent.
    pub(super) fn set(&mut self, column: usize, value: &Value<'_>) {
        let index = self.len;
        match (self.columns[column].slot, value) {
            (ColumnSlot::Text(at), Value::Text(text)) => self.texts[at].set(index, text.as_bytes()),
            (ColumnSlot::Int32(at), Value::Int32(value) | Value::Date(value)) => {
                self.int32s[at].set(index, *value);
            }
            (ColumnSlot::Int64(at), Value::Int64(value) | Value::Timestamp(value)) => {
                self.int64s[at].set(index, *value);
            }
            (ColumnSlot::Float64(at), Value::Float64(value)) => {
                self.float64s[at].set(index, *value)
            }
            (ColumnSlot::Decimal(at), Value::Decimal(value)) => {
                self.decimals[at].set(index, *value)
            }
            (ColumnSlot::Bool(at), Value::Bool(value)) => {
                self.bools[at].set(index, u8::from(*value))
            }
            (ColumnSlot::List(at), Value::List(elements)) => {
                self.lists[at].append(elements, index);
            }
            _ => return,
        }
        let (word, bit) = bit(column);
        self.present[word] |= bit;
    }

    /// Appends a record of these values.
    pub(super) fn append(&mut self, values: &[Value<'_>]) {
        self.reserve_row();
        self.present.fill(0);
        for (column, value) in values.iter().enumerate() {
            self.set(column, value);
        }
        let (word, bit) = bit(self.columns.len());
        self.present[word] |= bit;
        self.append_present();
    }

    /// Whether a value that does not fit leaves the column NULL without more ado.
    pub(super) fn may_be_null(&self, column: usize) -> bool {
        let column = &self.columns[column];
        let null = column.reader.column().on_mismatch == OnMismatch::Null;
        null && column.paths_count == 1 && column.default.is_none()
    }

    /// Drops what was written of the row in the making.
    pub(super) fn roll_back(&mut self) {
        for column in 0..self.columns.len() {
            let (word, bit) = bit(column);
            if self.present[word] & bit != 0 {
                self.clear(self.columns[column].slot);
            }
        }
        self.present.fill(0);
    }

    fn clear(&mut self, slot: ColumnSlot) {
        let index = self.len;
        match slot {
            ColumnSlot::Text(at) => self.texts[at].drop_text(index),
            ColumnSlot::Int32(at) => self.int32s[at].set(index, 0),
            ColumnSlot::Int64(at) => self.int64s[at].set(index, 0),
            ColumnSlot::Float64(at) => self.float64s[at].set(index, 0.0),
            ColumnSlot::Decimal(at) => self.decimals[at].set(index, 0),
            ColumnSlot::Bool(at) => self.bools[at].set(index, 0),
            ColumnSlot::List(at) => {
                let list = &mut self.lists[at];
                list.elements.return_to(list.mark);
                if let Some(end) = list.ends.get_mut(index + 1) {
                    *end = 0;
                }
            }
        }
    }

    /// Drops all records from `len` on, which was the length at the mark.
    fn return_to(&mut self, len: usize) {
        // The record in the making may have been written to, too.
        let dirty = len..self.len + 1;
        self.present.fill(0);
        self.presents.truncate(len * self.present.len());
        for column in &mut self.texts {
            column.bytes.truncate(column.mark);
            clear_range(&mut column.ends, len + 1..self.len + 2);
        }
        self.int32s.iter_mut().for_each(|c| clear_range(&mut c.values, dirty.clone()));
        self.int64s.iter_mut().for_each(|c| clear_range(&mut c.values, dirty.clone()));
        self.float64s.iter_mut().for_each(|c| clear_range(&mut c.values, dirty.clone()));
        self.decimals.iter_mut().for_each(|c| clear_range(&mut c.values, dirty.clone()));
        self.bools.iter_mut().for_each(|c| clear_range(&mut c.values, dirty.clone()));
        for list in &mut self.lists {
            list.elements.return_to(list.mark);
            clear_range(&mut list.ends, len + 1..self.len + 2);
        }
        self.len = len;
    }
}

fn clear_range<T: Default + Copy>(values: &mut [T], range: std::ops::Range<usize>) {
    let end = range.end.min(values.len());
    if let Some(values) = values.get_mut(range.start..end) {
        values.fill(T::default());
    }
}

impl TextColumn {
    /// Drops the text of the record in the making.
    pub(super) fn drop_text(&mut self, index: usize) {
        self.bytes.truncate(self.start);
        if let Some(end) = self.ends.get_mut(index + 1) {
            *end = 0;
        }
    }
}

impl ListColumn {
    /// Remembers where the row in the making begins, here and in all lists below.
    pub(super) fn mark(&mut self) {
        self.mark = self.elements.len;
        for column in &mut self.elements.texts {
            column.mark = column.bytes.len();
        }
        self.elements.lists.iter_mut().for_each(ListColumn::mark);
    }

    fn append(&mut self, elements: &[Option<Vec<Value<'_>>>], index: usize) {
        for element in elements.iter().filter(|_| self.built) {
            match element {
                Some(values) => self.elements.append(values),
                None => self.elements.append_null(),
            }
        }
        self.end(index);
    }
}
