//! Frames an object as lines or as values, told by its first value unless the pipeline says which.
//!
//! | the object begins with | it is framed as |
//! |---|---|
//! | an object on a line of its own, or anything that is none of the following | lines |
//! | an object with line ends in it, or with another value after it on its line | values |
//! | a record separator (RFC 7464) | values |
//! | `[` and an object, or `[]` | the elements of an array |

use std::io::{self, Read};

use super::decompress::{Failing, classify};
use super::frame::{BYTE_ORDER_MARK, FrameOptions, Framed, Framer};
use super::json_scan::{JsonScan, RECORD_SEPARATOR, Scanned};
use super::memory_budget::{BudgetPermit, ObjectBudget};
use super::read::ReadBytes;
use super::value_framer::ValueFramer;
use crate::base::error::{Error, Result};
use crate::pipeline::Framing;

/// Cuts one object into [`Framed`] parts, on a blocking thread.
pub struct ObjectFramer(State);

enum State {
    /// Nothing was read yet.
    Start(Option<Box<Start>>, ReadBytes),
    Lines(Box<Framer>),
    Values(Box<ValueFramer>),
}

/// What a framer is made of.
struct Start {
    reader: Box<dyn Read + Send>,
    options: FrameOptions,
    budget: Option<ObjectBudget>,
}

impl ObjectFramer {
    /// Frames what `reader` yields; reads nothing yet.
    ///
    /// # Errors
    /// [`Error::Bug`] if `options` allow no line or no chunk.
    pub(crate) fn new(
        reader: Box<dyn Read + Send>,
        read_bytes: ReadBytes,
        options: FrameOptions,
        budget: Option<ObjectBudget>,
    ) -> Result<Self> {
        if options.line_bytes_max == 0 || options.chunk_bytes_target == 0 {
            return Err(Error::Bug(format!(
                "framing records: expected limits of at least 1 byte, found {options:?}"
            )));
        }
        let start = Box::new(Start { reader, options, budget });
        Ok(ObjectFramer(State::Start(Some(start), read_bytes)))
    }

    /// The next part; none at the object's end.
    ///
    /// A damage is a part too, the last one: a reject of the record that it broke off.
    ///
    /// # Errors
    /// Failures of the store, an object that changed after it was listed, a cancellation; each
    /// further call fails likewise. The records before are not all handed out.
    pub fn next_framed(&mut self) -> Result<Option<Framed>> {
        if let State::Start(start, read_bytes) = &mut self.0
            && let Some(start) = start.take()
        {
            self.0 = open(*start, read_bytes.clone())?;
        }
        match &mut self.0 {
            State::Start(..) => Ok(None),
            State::Lines(framer) => framer.next_framed(),
            State::Values(framer) => framer.next_framed(),
        }
    }

    /// Records handed out so far: good, blank and rejected ones.
    pub fn lines(&self) -> u64 {
        match &self.0 {
            State::Start(..) => 0,
            State::Lines(framer) => framer.lines(),
            State::Values(framer) => framer.lines(),
        }
    }

    /// Decompressed bytes read so far.
    pub fn bytes(&self) -> u64 {
        match &self.0 {
            State::Start(..) => 0,
            State::Lines(framer) => framer.bytes(),
            State::Values(framer) => framer.bytes(),
        }
    }

    /// Bytes of the stored object read so far.
    pub fn compressed_bytes(&self) -> u64 {
        match &self.0 {
            State::Start(_, read_bytes) => read_bytes.get(),
            State::Lines(framer) => framer.compressed_bytes(),
            State::Values(framer) => framer.compressed_bytes(),
        }
    }
}

fn open(Start { reader, options, budget }: Start, read_bytes: ReadBytes) -> Result<State> {
    let (framing, reader) = match options.framing {
        Framing::Auto => {
            // A longer value is none of any record.
            let bytes_max = options.line_bytes_max.max(HEAD_BYTES_MIN);
            tell_framing(reader, bytes_max, budget.as_ref())
        }
        framing => (framing, reader),
    };
    Ok(match framing {
        Framing::Auto | Framing::Lines => {
            let framer = Framer::new(reader, read_bytes, options)?;
            State::Lines(Box::new(framer.with_budget(budget)))
        }
        Framing::Values | Framing::Array => {
            let is_array = framing == Framing::Array;
            let framer = ValueFramer::new(reader, read_bytes, options, is_array);
            State::Values(Box::new(framer.with_budget(budget)))
        }
    })
}

/// Bytes that are read at first to tell the framing, and then twice as many each time.
const HEAD_BYTES: usize = 64 << 10;

/// Bytes that may be read to tell it, however short records must be.
const HEAD_BYTES_MIN: usize = 1 << 20;

/// What was read to tell the framing, and then the rest.
struct Head {
    bytes: Vec<u8>,
    at: usize,
    rest: Box<dyn Read + Send>,
    /// The part of the budget that the bytes take, if they are many.
    permit: Option<BudgetPermit>,
}

impl Read for Head {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.bytes.len() {
            (self.bytes, self.at, self.permit) = (Vec::new(), 0, None);
            return self.rest.read(buffer);
        }
        let length = (&self.bytes[self.at..]).read(buffer)?;
        self.at += length;
        Ok(length)
    }
}

/// Tells the framing by the object's first value, which then is read again. A value that is longer
/// than `bytes_max` is told by what is known so far.
fn tell_framing(
    mut reader: Box<dyn Read + Send>,
    bytes_max: usize,
    object: Option<&ObjectBudget>,
) -> (Framing, Box<dyn Read + Send>) {
    let (mut bytes, mut filled, mut permit) = (vec![0; HEAD_BYTES.min(bytes_max)], 0, None);
    let mut rest: Option<Box<dyn Read + Send>> = None;
    let framing = loop {
        while rest.is_none() && filled < bytes.len() {
            match reader.read(&mut bytes[filled..]) {
                Ok(0) => rest = Some(Box::new(io::empty())),
                Ok(length) => filled += length,
                Err(error) => rest = Some(Box::new(Failing(classify(&error)))),
            }
        }
        let is_last = rest.is_some() || bytes.len() >= bytes_max;
        match framing_of(&bytes[..filled], is_last) {
            Some(framing) => break framing,
            None if is_last => break Framing::Lines,
            None => {
                let larger = (bytes.len() * 2).min(bytes_max);
                drop(permit.take());
                permit = object.map(|object| object.take_buffer(larger as u64));
                bytes.resize(larger, 0);
            }
        }
    };
    bytes.truncate(filled);
    let rest = rest.unwrap_or(reader);
    (framing, Box::new(Head { bytes, at: 0, rest, permit }))
}

/// The framing of an object that begins with `head`; none if that is too little to tell. The last
/// head is all that is looked at.
fn framing_of(head: &[u8], is_last: bool) -> Option<Framing> {
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(&RECORD_SEPARATOR) => Some(Framing::Values),
        Some(b'[') => match text[1..].trim_ascii_start().first() {
            Some(b'{' | b']') => Some(Framing::Array),
            Some(_) => Some(Framing::Lines),
            None => None,
        },
        Some(b'{') => framing_by_object(text, is_last),
        Some(_) => Some(Framing::Lines),
        None => None,
    }
}

fn framing_by_object(text: &[u8], is_last: bool) -> Option<Framing> {
    let mut scan = JsonScan::new(0);
    match scan.scan(text) {
        Scanned::BreaksAt(_) => Some(Framing::Lines),
        Scanned::GoesOn => (is_last && scan.has_lines).then_some(Framing::Values),
        Scanned::EndsAt(_) if scan.has_lines => Some(Framing::Values),
        Scanned::EndsAt(end) => {
            let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
            match text[end..].iter().find(|byte| !is_blank(byte))? {
                b'{' | b'[' | b',' | &RECORD_SEPARATOR => Some(Framing::Values),
                _ => Some(Framing::Lines),
            }
        }
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
