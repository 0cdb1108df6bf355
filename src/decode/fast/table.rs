//! Blocks of lines → rows, and those lines that are none or unhandled.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use memchr::{memchr, memrchr};

use super::arrays::text_array;
use super::columns::TextColumn;
use super::plan::Plan;
use super::record::{Reader, Rules};
use super::short::SHORT;
use super::time::LastDate;
use crate::contract::{Contract, DuplicateKeys, MendKind, UnknownFields};
use crate::decode::reference::{Findings, LinePlace, ReferenceDecoder, Row};
use crate::decode::{Lines, Mended, Reject, count_mended};
use crate::json::scan::cpu::{Cpu, Kernel, Task};
use crate::json::scan::input::{Unhandled, after_space, byte};

/// Bytes whose UTF-8 is validated in one go: few enough to be in the cache when they are decoded.
const WINDOW: usize = 256 << 10;
/// Bytes that can be read after a line's end.
const PADDING: usize = SHORT;

/// What came of a block besides rows.
#[derive(Debug, Default)]
pub(in crate::decode) struct Outcome {
    pub rejects: Vec<Reject>,
    pub blank: u64,
    pub findings: Findings,
}

/// The rows in the making, and all that the fast path knows and remembers.
#[derive(Debug)]
pub(in crate::decode) struct Table {
    plan: Plan,
    rules: Rules,
    collected: Collected,
    lines: Vec<i64>,
    offsets: Vec<i64>,
    last_date: LastDate,
    /// The last lines of a block with padding after them.
    tail: Vec<u8>,
}

/// The column that collects unknown fields.
#[derive(Debug)]
struct Collected {
    column: TextColumn,
    present: Vec<bool>,
}

impl Table {
    /// The table of a contract; `is_built` says which of the columns in [`Contract::arrow_schema`]
    /// are built.
    pub(in crate::decode) fn new(contract: &Contract, is_built: impl Fn(usize) -> bool) -> Self {
        let collects = matches!(contract.unknown_fields, UnknownFields::Collect(_));
        let builds_collected = collects && is_built(contract.columns.len());
        Table {
            plan: Plan::new(contract, is_built),
            rules: Rules {
                depth_max: contract.depth_max,
                duplicates_unhandled: contract.duplicate_keys == DuplicateKeys::Reject,
                unknown_unhandled: contract.unknown_fields == UnknownFields::Reject,
                collects: builds_collected,
            },
            collected: Collected { column: TextColumn::new(builds_collected), present: Vec::new() },
            lines: Vec::new(),
            offsets: Vec::new(),
            last_date: LastDate::default(),
            tail: Vec::new(),
        }
    }

    /// Decodes a block with a cpu's instructions; `reference` decodes what is unhandled.
    pub(in crate::decode) fn decode(
        &mut self,
        cpu: Cpu,
        lines: &Lines,
        reference: &ReferenceDecoder,
    ) -> Outcome {
        // A line has at least its end, so no count reserves more than the bytes are worth.
        let rows_max = usize::try_from(lines.count).unwrap_or(usize::MAX).min(lines.bytes.len());
        self.plan.group.begin();
        self.plan.group.reserve(rows_max.max(1));
        self.lines = Vec::with_capacity(rows_max);
        self.offsets = Vec::with_capacity(rows_max);
        self.collected.column.ends.push(0);
        let outcome = Outcome::default();
        cpu.run(Pass { table: self, reference, lines, outcome, index: 0 })
    }

    /// How many rows there are.
    pub(in crate::decode) fn len(&self) -> usize {
        self.plan.group.len
    }

    /// The arrays of all columns in the order of [`Contract::arrow_schema`], none for those that
    /// are not built. They leave the table.
    pub(in crate::decode) fn take_arrays(&mut self, contract: &Contract) -> Vec<Option<ArrayRef>> {
        let len = self.len();
        let mut arrays = self.plan.group.take_arrays();
        if let UnknownFields::Collect(_) = contract.unknown_fields {
            let nulls = NullBuffer::from(std::mem::take(&mut self.collected.present));
            let array = text_array(&mut self.collected.column, len, Some(nulls));
            arrays.push(array.map(|array| Arc::new(array) as ArrayRef));
        }
        self.collected.column.ends.clear();
        for places in [&mut self.lines, &mut self.offsets] {
            arrays.push(Some(Arc::new(Int64Array::from(std::mem::take(places)))));
        }
        arrays
    }

    /// Appends a row that the reference decoder has made.
    fn append(&mut self, row: &Row<'_>, line: u64, offset: u64) {
        self.plan.group.append(&row.values);
        if let (true, Some(text)) = (self.collected.column.built, &row.collected) {
            self.collected.column.bytes.extend_from_slice(text.as_bytes());
        }
        self.finish_row(row.collected.is_some(), line, offset);
    }

    #[inline(always)]
    fn finish_row(&mut self, collected: bool, line: u64, offset: u64) {
        if self.collected.column.built {
            let end = if collected { self.collected.column.bytes.len() as i32 } else { 0 };
            self.collected.column.ends.push(end);
            self.collected.present.push(collected);
        }
        self.lines.push(saturating_i64(line));
        self.offsets.push(saturating_i64(offset));
    }
}

/// Objects have fewer than 2^63 bytes and so fewer lines.
fn saturating_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One way through a block.
struct Pass<'p> {
    table: &'p mut Table,
    reference: &'p ReferenceDecoder,
    lines: &'p Lines,
    outcome: Outcome,
    /// Lines before the one at hand.
    index: u64,
}

impl Task for Pass<'_> {
    type Output = Outcome;

    /// Reads the block's lines where they stand, but for the last ones: after a line, there must
    /// be bytes to read on, so these are copied to where there are.
    #[inline(always)]
    fn with<K: Kernel>(mut self, kernel: K) -> Outcome {
        let block = &self.lines.bytes[..];
        let padded = block.len().saturating_sub(PADDING);
        let split = memrchr(b'\n', &block[..padded]).map_or(0, |end| end + 1);
        let mut tail = std::mem::take(&mut self.table.tail);
        tail.clear();
        tail.extend_from_slice(&block[split..]);
        tail.resize(tail.len() + PADDING, b'\n');
        for (bytes, end, offset) in [(block, split, 0), (&tail, block.len() - split, split)] {
            let mut start = 0;
            while start < end {
                let window = start..window_end(bytes, start, end);
                start = window.end;
                self.read_window(kernel, bytes, window, offset);
            }
        }
        self.table.tail = tail;
        self.table.plan.unknown.move_counts_to(&mut self.outcome.findings.unknown_fields);
        self.outcome
    }
}

/// The end of the window from `start` on: after a line.
fn window_end(bytes: &[u8], start: usize, end: usize) -> usize {
    if end - start <= WINDOW {
        return end;
    }
    let middle = start + WINDOW;
    if let Some(last) = memrchr(b'\n', &bytes[start..middle]) {
        return start + last + 1;
    }
    memchr(b'\n', &bytes[middle..end]).map_or(end, |first| middle + first + 1)
}

impl Pass<'_> {
    /// Reads the lines of a window; `offset` is where `bytes` begins in the block.
    #[inline(always)]
    fn read_window<K: Kernel>(
        &mut self,
        kernel: K,
        bytes: &[u8],
        window: Range<usize>,
        offset: usize,
    ) {
        let valid = simdutf8::basic::from_utf8(&bytes[window.clone()]).is_ok();
        let mut at = window.start;
        while at < window.end {
            let line = at;
            let is_text = valid || is_utf8(&bytes[at..line_end(bytes, at, window.end)]);
            let read =
                if is_text { self.read_line(kernel, bytes, line, offset) } else { Err(Unhandled) };
            at = match read {
                Ok(after) => after,
                Err(Unhandled) => {
                    let end = line_end(bytes, line, window.end);
                    self.read_fallback(line..end, bytes, offset);
                    end + 1
                }
            };
            self.index += 1;
        }
    }

    /// Reads a line that is UTF-8; gives the place after its LF.
    #[inline(always)]
    fn read_line<K: Kernel>(
        &mut self,
        kernel: K,
        bytes: &[u8],
        line: usize,
        offset: usize,
    ) -> Result<usize, Unhandled> {
        let start = after_space(bytes, line);
        match byte(bytes, start) {
            b'{' => {}
            b'\n' => {
                self.outcome.blank += 1;
                return Ok(start + 1);
            }
            _ => return Err(Unhandled),
        }
        let table = &mut *self.table;
        let Plan { group, keys, unknown, root } = &mut table.plan;
        group.reserve_row();
        unknown.begin_line();
        let (rules, last_date) = (table.rules, &mut table.last_date);
        let mut reader = Reader { kernel, bytes, keys, unknown, last_date, rules };
        let end = after_space(bytes, reader.read_record(group, *root, start + 1)?);
        if byte(bytes, end) != b'\n' || !group.accept() {
            return Err(Unhandled);
        }
        unknown.count_line();
        if !unknown.mends.is_empty() {
            count_mends(&mut unknown.mends, &mut self.outcome.findings.mended);
        }
        let collected =
            rules.collects && unknown.write_line(bytes, &mut table.collected.column.bytes);
        let place = self.lines.first_offset + (offset + line) as u64;
        table.finish_row(collected, self.lines.first_line + self.index, place);
        Ok(end + 1)
    }

    /// Has an unhandled line decoded by the reference decoder.
    #[cold]
    #[inline(never)]
    fn read_fallback(&mut self, line: Range<usize>, bytes: &[u8], offset: usize) {
        self.table.plan.group.roll_back();
        // Counts have an order: the first thousand paths have one each.
        self.table.plan.unknown.move_counts_to(&mut self.outcome.findings.unknown_fields);
        let start = offset + line.start;
        let raw = &bytes[line];
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let number = self.lines.first_line + self.index;
        let place = self.lines.first_offset + start as u64;
        let table = &mut *self.table;
        let append = &mut |row: Row<'_>| table.append(&row, number, place);
        let place = LinePlace { line: number, offset: place };
        let decoded = self.reference.decode_line(raw, place, &mut self.outcome.findings, append);
        if let Err(fault) = decoded {
            let raw = self.lines.bytes.slice(start..start + raw.len());
            self.outcome.rejects.push(fault.of_line(place, raw));
        }
    }
}

/// Counts what was mended in a line that is a row.
#[cold]
fn count_mends(mends: &mut Vec<(Arc<str>, MendKind)>, mended: &mut Mended) {
    for (column, kind) in mends.drain(..) {
        count_mended(mended, &column, kind, 1);
    }
}

/// The place of the LF that ends a line, or `end`.
fn line_end(bytes: &[u8], line: usize, end: usize) -> usize {
    memchr(b'\n', &bytes[line..end]).map_or(end, |length| line + length)
}

fn is_utf8(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}
