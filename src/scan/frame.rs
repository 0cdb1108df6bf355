//! Cuts an object's bytes into chunks of whole lines.
//!
//! ```text
//! bytes   EF BB BF {"a":1}\r\n{"a":2}\n\n{"a":"…too long…"}\n{"a":
//! Lines   lines 1 to 3 from offset 3: {"a":1}\r\n{"a":2}\n\n
//! Reject  line 4, LineTooLong: the first `line_bytes_max` bytes, the others counted
//! Lines   line 5: {"a":           (or a DamagedStream reject if the stream breaks off here)
//! ```
//!
//! A line ends at LF; a CR before it belongs to the line end. Order is the object's order.

use std::io::Read;

use bytes::{Buf, Bytes};
use memchr::{memchr, memchr_iter, memrchr};

use super::buffers::Buffers;
use super::decompress::{ReadFailure, Unreadable, classify};
use super::memory_budget::{BudgetPermit, ObjectBudget};
use super::read::ReadBytes;
use super::values::Values;
use crate::base::error::{Error, Result};
use crate::decode::{Lines, Reject, RejectReason};
use crate::pipeline::Framing;

/// U+FEFF in UTF-8; at an object's start it is no part of the first line.
pub(crate) const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// How records are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameOptions {
    /// What makes a record; [`Framer`] knows lines only.
    pub framing: Framing,
    /// A line with more bytes, not counting its line end, is a reject. At least 1.
    pub line_bytes_max: usize,
    /// Bytes of a chunk, which is smaller at the object's end and before a reject, and larger
    /// only if it holds a longer line. At least 1.
    pub chunk_bytes_target: usize,
}

impl Default for FrameOptions {
    /// Lines of at most 16 MiB, chunks of 1 MiB.
    fn default() -> Self {
        FrameOptions {
            framing: Framing::Auto,
            line_bytes_max: 16 << 20,
            chunk_bytes_target: 1 << 20,
        }
    }
}

/// The next part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// Whole lines, at least one.
    Lines(Lines),
    /// The same of values that are not on lines of their own.
    Values(Values),
    /// One line that cannot be decoded: too long, or broken off by a damage.
    Reject(Reject),
    /// Nothing of the object can be read; it has no other part.
    Unreadable(Unreadable),
}

/// Cuts one object into [`Framed`] parts, on a blocking thread.
///
/// Memory: about two chunks or two lines of `line_bytes_max`, whatever is more, besides what was
/// handed out.
pub(crate) struct Framer {
    input: BlockReader,
    /// Whole lines that were not handed out yet.
    block: Bytes,
    /// Lines handed out.
    lines: u64,
    /// Offset of the next line.
    offset: u64,
    read_bytes: ReadBytes,
}

impl Framer {
    /// Frames what `reader` yields, whose errors [`classify`] knows.
    ///
    /// # Errors
    /// [`Error::Bug`] if `options` allow no line or no chunk.
    pub(crate) fn new(
        reader: Box<dyn Read + Send>,
        read_bytes: ReadBytes,
        options: FrameOptions,
    ) -> Result<Self> {
        if options.line_bytes_max == 0 || options.chunk_bytes_target == 0 {
            return Err(Error::Bug(format!(
                "framing lines: expected limits of at least 1 byte, found {options:?}"
            )));
        }
        let input = BlockReader::new(reader, options);
        Ok(Framer { input, block: Bytes::new(), lines: 0, offset: 0, read_bytes })
    }

    /// Has buffers for long lines wait for their share of the budget.
    pub(crate) fn with_budget(mut self, budget: Option<ObjectBudget>) -> Self {
        self.input.budget = budget;
        self
    }

    /// The next part; none at the object's end.
    ///
    /// A damage is a part too, the last one: a reject of the line that it broke off.
    ///
    /// # Errors
    /// Failures of the store, an object that changed after it was listed, a cancellation; each
    /// further call fails likewise. The lines before are not all handed out.
    pub fn next_framed(&mut self) -> Result<Option<Framed>> {
        if self.input.is_unread() && self.input.skip_byte_order_mark() {
            self.offset = BYTE_ORDER_MARK.len() as u64;
        }
        if self.block.is_empty() {
            match self.input.next_block()? {
                Block::Lines(block) => self.block = block,
                Block::Unfit(line) => return Ok(Some(Framed::Reject(self.reject(line)))),
                Block::Unreadable(unreadable) => return Ok(Some(Framed::Unreadable(unreadable))),
                Block::End => return Ok(None),
            }
        }
        Ok(Some(self.next_in_block()))
    }

    /// Lines handed out so far: good, blank and rejected ones.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Decompressed bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.input.bytes
    }

    /// Bytes of the stored object read so far.
    pub fn compressed_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Hands out the block's lines up to its first over-long one, or that one.
    fn next_in_block(&mut self) -> Framed {
        let line_max = self.input.options.line_bytes_max;
        let fit = fitting_lines(&self.block, line_max);
        if fit.count > 0 {
            let lines = Lines {
                bytes: self.block.split_to(fit.bytes),
                first_line: self.lines + 1,
                first_offset: self.offset,
                count: fit.count,
            };
            self.lines += fit.count;
            self.offset += fit.bytes as u64;
            return Framed::Lines(lines);
        }
        let (content, whole) = first_line(&self.block);
        let line = UnfitLine {
            raw: Bytes::copy_from_slice(&self.block[..content.min(line_max)]),
            content_bytes: content as u64,
            whole_bytes: whole as u64,
            damage: None,
        };
        self.block.advance(whole);
        Framed::Reject(self.reject(line))
    }

    fn reject(&mut self, line: UnfitLine) -> Reject {
        let UnfitLine { raw, content_bytes, whole_bytes, damage } = line;
        let (reason, expected, found) = match damage {
            Some(damage) => {
                let expected = "an undamaged compressed stream".to_owned();
                (RejectReason::DamagedStream, expected, damage)
            }
            None => {
                let line_max = self.input.options.line_bytes_max;
                let expected = format!("a line of at most {line_max} bytes");
                (RejectReason::LineTooLong, expected, format!("{content_bytes} bytes"))
            }
        };
        let bytes_omitted = content_bytes - raw.len() as u64;
        self.lines += 1;
        let (line, offset) = (self.lines, self.offset);
        self.offset += whole_bytes;
        Reject { reason, path: None, expected, found, line, offset, raw, bytes_omitted }
    }
}

/// The first line's bytes without and with its line end; `bytes` begins at a line's start and
/// holds the whole line.
fn first_line(bytes: &[u8]) -> (usize, usize) {
    match memchr(b'\n', bytes) {
        Some(end) => (content_bytes(&bytes[..end]), end + 1),
        None => (bytes.len(), bytes.len()),
    }
}

/// Bytes of what stands before an LF, without the CR of a CRLF.
fn content_bytes(before_line_feed: &[u8]) -> usize {
    before_line_feed.strip_suffix(b"\r").unwrap_or(before_line_feed).len()
}

/// The lines before the first over-long one.
#[derive(Default)]
struct FittingLines {
    count: u64,
    bytes: usize,
}

fn fitting_lines(block: &[u8], line_max: usize) -> FittingLines {
    let mut fit = FittingLines::default();
    for end in memchr_iter(b'\n', block) {
        if content_bytes(&block[fit.bytes..end]) > line_max {
            return fit;
        }
        fit.bytes = end + 1;
        fit.count += 1;
    }
    // The object's last line may have no line end.
    if (1..=line_max).contains(&(block.len() - fit.bytes)) {
        fit.bytes = block.len();
        fit.count += 1;
    }
    fit
}

/// A line that is a reject: too long, or broken off by a damage.
struct UnfitLine {
    /// Its first bytes, at most `line_bytes_max`.
    raw: Bytes,
    /// Its bytes without the line end.
    content_bytes: u64,
    /// Its bytes with the line end.
    whole_bytes: u64,
    /// What broke it off.
    damage: Option<String>,
}

enum Block {
    /// Whole lines, at least one; some may be over-long and yet fit the buffer.
    Lines(Bytes),
    /// One line that does not fit the buffer, or the last one of a damaged object.
    Unfit(UnfitLine),
    Unreadable(Unreadable),
    End,
}

/// What came after the bytes that were read.
#[derive(Clone)]
pub(crate) enum End {
    Clean,
    Damaged(String),
    Unreadable(Unreadable),
    Failed(Error),
}

impl End {
    /// What a failure after so many bytes of an object means.
    pub(crate) fn of(failure: ReadFailure, bytes: u64) -> Self {
        match failure {
            ReadFailure::Damage(damage) => End::Damaged(damage),
            ReadFailure::Unreadable(unreadable) if bytes == 0 => End::Unreadable(unreadable),
            ReadFailure::Unreadable(unreadable) => End::Damaged(unreadable.reason),
            ReadFailure::Store(error) => End::Failed(error),
        }
    }
}

/// Makes a buffer larger, once the budget allows it.
pub(crate) fn grow(
    buffer: &mut Vec<u8>,
    space: usize,
    budget: Option<&ObjectBudget>,
    grown: &mut Option<BudgetPermit>,
) {
    // The bytes move, so that for a while there are both buffers.
    let bytes = (buffer.len() + space) as u64;
    drop(grown.take());
    *grown = budget.map(|budget| budget.take_buffer(bytes));
    buffer.reserve_exact(space - buffer.len());
    buffer.resize(space, 0);
}

/// Cuts the reader's bytes into blocks at line ends.
struct BlockReader {
    reader: Box<dyn Read + Send>,
    options: FrameOptions,
    buffers: Buffers,
    /// The bytes up to `filled` were read and belong to no block yet.
    buffer: Vec<u8>,
    filled: usize,
    /// Those up to here are whole lines.
    whole: usize,
    /// All bytes read.
    bytes: u64,
    end: Option<End>,
    budget: Option<ObjectBudget>,
    /// What the buffer takes of it, if it grew for a long line.
    grown: Option<BudgetPermit>,
    /// The same of the block that was handed out last, until the next is asked for: by then it has
    /// one of its own.
    handed: Option<BudgetPermit>,
}

impl BlockReader {
    fn new(reader: Box<dyn Read + Send>, options: FrameOptions) -> Self {
        BlockReader {
            reader,
            buffers: Buffers::new(options.chunk_bytes_target.max(BYTE_ORDER_MARK.len())),
            options,
            buffer: Vec::new(),
            filled: 0,
            whole: 0,
            bytes: 0,
            end: None,
            budget: None,
            grown: None,
            handed: None,
        }
    }

    /// Nothing was read yet; the first buffer comes with the first read.
    fn is_unread(&self) -> bool {
        self.buffer.is_empty() && self.end.is_none()
    }

    /// Reads the object's first bytes; true if they were a byte order mark, which then is gone.
    fn skip_byte_order_mark(&mut self) -> bool {
        self.buffer = self.buffers.take(BYTE_ORDER_MARK.len());
        while self.end.is_none() && self.filled < BYTE_ORDER_MARK.len() {
            self.read_more();
        }
        let marked = self.buffer[..self.filled].starts_with(BYTE_ORDER_MARK);
        if marked {
            self.begin_behind(BYTE_ORDER_MARK.len());
        }
        marked
    }

    /// Reads until the buffer is full or the object ends, so that blocks do not get small if
    /// reads are.
    fn next_block(&mut self) -> Result<Block> {
        self.handed = None;
        while self.end.is_none() {
            if self.filled < self.buffer.len() {
                self.read_more();
            } else if self.whole > 0 {
                return Ok(Block::Lines(self.split_off_lines(self.whole)));
            } else if self.filled < self.line_space() {
                let space = self.buffer.len().saturating_mul(2).min(self.line_space());
                grow(&mut self.buffer, space, self.budget.as_ref(), &mut self.grown);
            } else {
                return self.skip_long_line().map(Block::Unfit);
            }
        }
        match self.end.clone() {
            Some(End::Failed(error)) => Err(error),
            Some(End::Unreadable(unreadable)) => {
                self.end = Some(End::Clean);
                Ok(Block::Unreadable(unreadable))
            }
            Some(End::Damaged(damage)) if self.whole == 0 => {
                Ok(Block::Unfit(self.take_broken_line(damage)))
            }
            Some(End::Damaged(_)) => Ok(Block::Lines(self.split_off_lines(self.whole))),
            _ if self.filled == 0 => Ok(Block::End),
            _ => Ok(Block::Lines(self.split_off_lines(self.filled))),
        }
    }

    /// Buffer that any legal line fits, and whose filling without an LF proves that the line is
    /// too long: its last byte may yet be the CR of a CRLF, but not the one before.
    fn line_space(&self) -> usize {
        self.options.line_bytes_max.saturating_add(2)
    }

    /// Reads once into the buffer's free part, which must not be empty.
    fn read_more(&mut self) {
        match self.reader.read(&mut self.buffer[self.filled..]) {
            Ok(0) => self.end = Some(End::Clean),
            Ok(length) => {
                let from = self.filled;
                self.filled += length;
                self.bytes += length as u64;
                self.mark_whole_lines(from);
            }
            Err(error) => {
                self.end = Some(End::of(classify(&error), self.bytes));
            }
        }
    }

    /// Looks for the last line end after `from`.
    fn mark_whole_lines(&mut self, from: usize) {
        if let Some(last) = memrchr(b'\n', &self.buffer[from..self.filled]) {
            self.whole = from + last + 1;
        }
    }

    /// Hands the buffer over without copying, but for what is behind `at`, which begins the next.
    fn split_off_lines(&mut self, at: usize) -> Bytes {
        let rest = self.filled - at;
        let mut next = match self.end {
            None => self.buffers.take(rest),
            Some(_) => vec![0; rest],
        };
        next[..rest].copy_from_slice(&self.buffer[at..self.filled]);
        let lines = std::mem::replace(&mut self.buffer, next);
        self.filled = rest;
        self.whole = 0;
        self.handed = self.grown.take();
        self.buffers.lend(lines, at)
    }

    /// Keeps the beginning of the over-long line that fills the buffer, and reads on after it.
    fn skip_long_line(&mut self) -> Result<UnfitLine> {
        let mut line = self.begin_unfit_line();
        let mut last = self.buffer[self.filled - 1];
        self.buffer.truncate(self.options.chunk_bytes_target.max(BYTE_ORDER_MARK.len()));
        self.buffer.shrink_to_fit();
        self.grown = None;
        loop {
            self.filled = 0;
            self.read_more();
            match self.end.clone() {
                Some(End::Failed(error)) => return Err(error),
                Some(End::Damaged(damage)) => line.damage = Some(damage),
                Some(End::Clean | End::Unreadable(_)) => {}
                None => {
                    let Some(end) = memchr(b'\n', &self.buffer[..self.filled]) else {
                        line.content_bytes += self.filled as u64;
                        last = self.buffer[self.filled - 1];
                        continue;
                    };
                    last = if end > 0 { self.buffer[end - 1] } else { last };
                    line.content_bytes += end as u64;
                    line.whole_bytes = line.content_bytes + 1;
                    line.content_bytes -= u64::from(last == b'\r');
                    self.begin_behind(end + 1);
                    return Ok(line);
                }
            }
            // The line is the object's last, and a damage is told with it.
            self.end = Some(End::Clean);
            line.whole_bytes = line.content_bytes;
            return Ok(line);
        }
    }

    /// Drops the buffer's bytes before `at`, a line's start.
    fn begin_behind(&mut self, at: usize) {
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        self.whole = 0;
        self.mark_whole_lines(0);
    }

    /// The incomplete line in the buffer becomes the object's end.
    fn take_broken_line(&mut self, damage: String) -> UnfitLine {
        let line = UnfitLine { damage: Some(damage), ..self.begin_unfit_line() };
        self.filled = 0;
        self.end = Some(End::Clean);
        line
    }

    /// The buffer's bytes as (the beginning of) one line.
    fn begin_unfit_line(&self) -> UnfitLine {
        let raw = &self.buffer[..self.filled.min(self.options.line_bytes_max)];
        UnfitLine {
            raw: Bytes::copy_from_slice(raw),
            content_bytes: self.filled as u64,
            whole_bytes: self.filled as u64,
            damage: None,
        }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
