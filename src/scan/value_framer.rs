//! Cuts an object's bytes into chunks of JSON values that are not on lines of their own.
//!
//! ```text
//! bytes   {"a":1}{"a":2}\x1e{"a":\n3}     or     [{"a":1},{"a":2},{"a":\n3}]
//! Values  {"a":1}\n{"a":2}\n{"a": 3}\n     lines for the decoder, and the place of each
//! ```
//!
//! Values may stand side by side, or be parted by white space, commas or record separators. A line
//! end within a value becomes a blank, which means the same in JSON; rejects get the value's own
//! bytes back. A line's number is the value's number in the object.
//!
//! A value that is broken ends before the next line that has an object at its own indentation, or
//! before a record separator; so what follows is read, and no object within it passes for a row.

use std::io::Read;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::decompress::classify;
use super::frame::{BYTE_ORDER_MARK, End, FrameOptions, Framed, grow};
use super::json_scan::{JsonScan, RECORD_SEPARATOR, Scanned};
use super::memory_budget::{BudgetPermit, ObjectBudget};
use super::read::ReadBytes;
use super::values::{ValuePlace, Values};
use crate::base::error::Result;
use crate::decode::{Lines, Reject, RejectReason};

/// What the framer is in.
enum Within {
    /// Between values.
    Gap,
    /// A value with brackets or quotes.
    Value(JsonScan),
    /// Anything else, up to the line's end.
    Word,
    /// A broken value, before the next line that may begin another; its indentation, and how far
    /// the line is indented so far.
    Broken { indent: u64, column: Option<u64> },
}

/// A value with more bytes than a record may have.
struct LongValue {
    raw: Bytes,
    bytes: u64,
}

/// Cuts one object into values, on a blocking thread.
///
/// Memory: about two chunks or two values of `line_bytes_max`, whatever is more, besides what was
/// handed out.
pub(crate) struct ValueFramer {
    reader: Box<dyn Read + Send>,
    options: FrameOptions,
    read_bytes: ReadBytes,
    /// Whether the values are elements of an array.
    is_array: bool,
    in_array: bool,
    /// The bytes up to `filled` were read, those up to `at` were looked at, and those from `begin`
    /// on belong to the value that `within` is in.
    buffer: Vec<u8>,
    filled: usize,
    at: usize,
    begin: usize,
    within: Within,
    long: Option<LongValue>,
    /// Offset of the buffer's first byte in the object.
    offset: u64,
    /// How far the line is indented so far, if nothing but white space stands in it.
    column: Option<u64>,
    places: Vec<ValuePlace>,
    /// Values handed out.
    lines: u64,
    /// All bytes read.
    bytes: u64,
    end: Option<End>,
    /// A value that is too long, after those at `places`.
    waiting: Option<Reject>,
    budget: Option<ObjectBudget>,
    /// What the buffer takes of it, if it grew for a long value.
    grown: Option<BudgetPermit>,
}

impl ValueFramer {
    pub fn new(
        reader: Box<dyn Read + Send>,
        read_bytes: ReadBytes,
        options: FrameOptions,
        is_array: bool,
    ) -> Self {
        ValueFramer {
            reader,
            options,
            read_bytes,
            is_array,
            in_array: false,
            buffer: vec![0; options.chunk_bytes_target.max(16)],
            filled: 0,
            at: 0,
            begin: 0,
            within: Within::Gap,
            long: None,
            offset: 0,
            column: Some(0),
            places: Vec::new(),
            lines: 0,
            bytes: 0,
            end: None,
            waiting: None,
            budget: None,
            grown: None,
        }
    }

    /// Has buffers for long values wait for their share of the budget.
    pub fn with_budget(mut self, budget: Option<ObjectBudget>) -> Self {
        self.budget = budget;
        self
    }

    /// The next part; none at the object's end.
    ///
    /// # Errors
    /// As of [`super::Framer::next_framed`].
    pub fn next_framed(&mut self) -> Result<Option<Framed>> {
        loop {
            if self.waiting.is_none() {
                self.scan();
            }
            if let Some(values) = self.take_values() {
                return Ok(Some(values));
            }
            if let Some(reject) = self.waiting.take() {
                self.lines += 1;
                return Ok(Some(Framed::Reject(reject)));
            }
            match self.end.clone() {
                None => self.read_on(),
                Some(End::Failed(error)) => return Err(error),
                Some(End::Unreadable(unreadable)) => {
                    self.end = Some(End::Clean);
                    return Ok(Some(Framed::Unreadable(unreadable)));
                }
                Some(End::Damaged(damage)) => {
                    self.end = Some(End::Clean);
                    self.in_array = false;
                    let expected = "an undamaged compressed stream";
                    return Ok(Some(self.broken_off(expected, damage)));
                }
                Some(End::Clean) if !matches!(self.within, Within::Gap) => {
                    self.in_array = false;
                    self.end_value(self.filled);
                }
                Some(End::Clean) if std::mem::take(&mut self.in_array) => {
                    let found = "the object's end".to_owned();
                    return Ok(Some(self.broken_off("`]` at the array's end", found)));
                }
                Some(End::Clean) => return Ok(None),
            }
        }
    }

    /// Values handed out so far, rejected ones among them.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Decompressed bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the stored object read so far.
    pub fn compressed_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Looks at all bytes that were read, up to a value that must be a reject.
    fn scan(&mut self) {
        while self.at < self.filled && self.waiting.is_none() {
            let rest = &self.buffer[self.at..self.filled];
            match &mut self.within {
                Within::Gap => self.scan_gap(),
                Within::Value(scan) => match scan.scan(rest) {
                    Scanned::GoesOn => self.at = self.filled,
                    Scanned::EndsAt(end) => {
                        self.at += end;
                        self.end_value(self.at);
                    }
                    Scanned::BreaksAt(place) => {
                        let (restart, indent) = (scan.restart, scan.indent);
                        self.at += place;
                        self.break_value(restart, indent);
                    }
                },
                Within::Word => {
                    let is_end = |byte: &u8| {
                        matches!(*byte, b'\n' | RECORD_SEPARATOR)
                            || self.in_array && matches!(byte, b',' | b']')
                    };
                    match rest.iter().position(is_end) {
                        None => self.at = self.filled,
                        Some(end) => {
                            self.at += end;
                            self.end_value(self.at);
                        }
                    }
                }
                Within::Broken { .. } => self.scan_broken(),
            }
        }
    }

    /// Goes to the next value's first byte.
    fn scan_gap(&mut self) {
        while self.at < self.filled {
            let byte = self.buffer[self.at];
            match byte {
                b'\n' | RECORD_SEPARATOR => self.column = Some(0),
                b' ' | b'\t' | b'\r' => self.column = self.column.map(|column| column + 1),
                b',' => {}
                b'[' if self.is_array && !self.in_array => {
                    (self.in_array, self.column) = (true, None);
                }
                b']' if self.in_array => (self.in_array, self.column) = (false, None),
                _ => {
                    let indent = self.column.take().unwrap_or(0);
                    self.begin = self.at;
                    self.within = match byte {
                        b'{' | b'[' | b'"' => Within::Value(JsonScan::new(indent)),
                        _ => Within::Word,
                    };
                    return;
                }
            }
            self.at += 1;
        }
    }

    /// The value cannot go on at `self.at`: it ends before the next one, which may lie before that.
    fn break_value(&mut self, restart: Option<u64>, indent: u64) {
        match restart.filter(|_| self.long.is_none()) {
            Some(restart) => {
                self.at = self.begin + restart as usize;
                self.end_before_next();
                self.column = Some(0);
            }
            None => self.within = Within::Broken { indent, column: None },
        }
    }

    /// Goes to the line that may begin the next value.
    fn scan_broken(&mut self) {
        let Within::Broken { indent, mut column } = self.within else { return };
        while self.at < self.filled {
            match (self.buffer[self.at], column) {
                (b'\n', _) => column = Some(0),
                (b' ' | b'\t' | b'\r', Some(so_far)) => column = Some(so_far + 1),
                (b',', Some(so_far)) if so_far == indent => {}
                (b'{', Some(so_far)) if so_far == indent => {
                    self.end_before_next();
                    self.column = Some(indent);
                    return;
                }
                (RECORD_SEPARATOR, _) => return self.end_value(self.at),
                (_, Some(_)) => column = None,
                (_, None) => {
                    let rest = &self.buffer[self.at..self.filled];
                    let stop = memchr2(b'\n', RECORD_SEPARATOR, rest);
                    self.at += stop.unwrap_or(rest.len());
                    continue;
                }
            }
            self.at += 1;
        }
        self.within = Within::Broken { indent, column };
    }

    /// A broken value ends before the next, which begins here, and before a comma between them that
    /// begins the next one's line.
    fn end_before_next(&mut self) {
        let has_comma = self.at > self.begin && self.buffer[self.at - 1] == b',';
        self.end_value(if has_comma { self.at - 1 } else { self.at });
    }

    /// The value ends before `end`; white space before that is none of it.
    fn end_value(&mut self, end: usize) {
        self.within = Within::Gap;
        let value = self.buffer[self.begin..end].trim_ascii_end();
        let offset = self.offset + self.begin as u64;
        let line_max = self.options.line_bytes_max;
        let too_long = match self.long.take() {
            Some(long) => Some((long.raw, long.bytes + value.len() as u64, offset - long.bytes)),
            None if value.len() <= line_max => None,
            None => Some((Bytes::copy_from_slice(&value[..line_max]), value.len() as u64, offset)),
        };
        match too_long {
            None => self.places.push(ValuePlace { start: self.begin, length: value.len() }),
            Some((raw, bytes, offset)) => {
                self.waiting = Some(Reject {
                    reason: RejectReason::LineTooLong,
                    path: None,
                    expected: format!("a line of at most {line_max} bytes"),
                    found: format!("{bytes} bytes"),
                    line: self.lines + self.places.len() as u64 + 1,
                    offset,
                    bytes_omitted: bytes - raw.len() as u64,
                    raw,
                });
            }
        }
    }

    /// The object ends where it should not; what was begun is the last value.
    fn broken_off(&mut self, expected: &str, found: String) -> Framed {
        let in_value = !matches!(std::mem::replace(&mut self.within, Within::Gap), Within::Gap);
        let begin = if in_value { self.begin } else { self.filled };
        let value = &self.buffer[begin..self.filled];
        let kept = value.len().min(self.options.line_bytes_max);
        let mut raw = Bytes::copy_from_slice(&value[..kept]);
        let (mut omitted, mut offset) = ((value.len() - kept) as u64, self.offset + begin as u64);
        if let Some(long) = self.long.take() {
            omitted = long.bytes + value.len() as u64 - long.raw.len() as u64;
            offset -= long.bytes;
            raw = long.raw;
        }
        (self.at, self.begin) = (self.filled, self.filled);
        self.lines += 1;
        Framed::Reject(Reject {
            reason: RejectReason::DamagedStream,
            path: None,
            expected: expected.to_owned(),
            found,
            line: self.lines,
            offset,
            raw,
            bytes_omitted: omitted,
        })
    }

    /// The values that were found, as lines.
    fn take_values(&mut self) -> Option<Framed> {
        let places = std::mem::take(&mut self.places);
        let (first, last) = (places.first()?, places.last()?);
        let (from, to) = (first.start, last.start + last.length);
        let original = Bytes::copy_from_slice(&self.buffer[from..to]);
        let mut bytes = Vec::with_capacity(to - from + places.len());
        let mut starts = Vec::with_capacity(places.len());
        for place in &places {
            starts.push(bytes.len() as u64);
            let value = &self.buffer[place.start..place.start + place.length];
            bytes.extend_from_slice(value);
            let mut copy = &mut bytes[starts[starts.len() - 1] as usize..];
            // The scan has seen to it that no line end stands in a string.
            while let Some(line_end) = memchr(b'\n', copy) {
                copy[line_end] = b' ';
                copy = &mut copy[line_end + 1..];
            }
            bytes.push(b'\n');
        }
        let lines = Lines {
            bytes: bytes.into(),
            first_line: self.lines + 1,
            first_offset: 0,
            count: places.len() as u64,
        };
        self.lines += lines.count;
        let places = places.into_iter();
        let places =
            places.map(|place| ValuePlace { start: place.start - from, ..place }).collect();
        let original_offset = self.offset + from as u64;
        Some(Framed::Values(Values { lines, starts, places, original, original_offset }))
    }

    /// Makes space and reads on, until the buffer is full or the object ends.
    fn read_on(&mut self) {
        let keep = if matches!(self.within, Within::Gap) { self.at } else { self.begin };
        self.move_to_front(keep);
        let line_space = self.options.line_bytes_max.saturating_add(1);
        if self.filled == self.buffer.len() && self.filled < line_space {
            let space = self.buffer.len().saturating_mul(2).min(line_space);
            grow(&mut self.buffer, space, self.budget.as_ref(), &mut self.grown);
        } else if self.filled == self.buffer.len() || self.long.is_some() {
            self.put_long_value_aside();
        }
        while self.end.is_none() && self.filled < self.buffer.len() {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.end = Some(End::Clean),
                Ok(length) => {
                    self.filled += length;
                    self.bytes += length as u64;
                }
                Err(error) => self.end = Some(End::of(classify(&error), self.bytes)),
            }
        }
        let is_first = self.offset == 0 && self.at == 0 && self.lines == 0;
        if is_first && self.buffer[..self.filled].starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
        }
    }

    fn move_to_front(&mut self, keep: usize) {
        self.buffer.copy_within(keep..self.filled, 0);
        self.offset += keep as u64;
        self.filled -= keep;
        self.at -= keep;
        self.begin = self.begin.saturating_sub(keep);
    }

    /// Keeps the beginning of a value that is too long, and counts the rest.
    fn put_long_value_aside(&mut self) {
        let line_max = self.options.line_bytes_max;
        let some = &self.buffer[..self.filled];
        let long = self.long.get_or_insert_with(|| LongValue {
            raw: Bytes::copy_from_slice(&some[..some.len().min(line_max)]),
            bytes: 0,
        });
        long.bytes += self.filled as u64;
        self.offset += self.filled as u64;
        (self.filled, self.at, self.begin) = (0, 0, 0);
        self.buffer.truncate(self.options.chunk_bytes_target.max(16));
        self.buffer.shrink_to_fit();
        self.grown = None;
    }
}
