//! Decompresses an object, told by its first bytes and not by its name.
//!
//! | first bytes | means | source |
//! |---|---|---|
//! | `1f 8b` | gzip members, then maybe zero padding | RFC 1952, 2.3.1; gzip(1) |
//! | `28 b5 2f fd` | zstd frames | RFC 8878, 3.1.1 |
//! | `50` to `5f`, `2a 4d 18` | a skippable frame, then zstd frames | RFC 8878, 3.1.2 |
//! | anything else | plain bytes | |
//!
//! An object that ends inside of gzip's or zstd's magic number is damaged; no JSON text begins
//! with any of these bytes, so no good line is lost to that rule.

mod gzip_members;
mod zstd_frames;

use std::fmt;
use std::io::{self, BufReader, Chain, Cursor, Read};

use gzip_members::GzipMembers;
use zstd_frames::ZstdFrames;

use super::read::{io_error, store_error};
use crate::error::Error;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const MAGIC_BYTES_MAX: usize = 4;

/// Bytes of compressed data read at once.
const INPUT_BYTES: usize = 128 << 10;

/// Why reading an object failed.
#[derive(Debug, Clone)]
pub(super) enum ReadFailure {
    /// The compressed data are damaged, in the decompressor's words: bad data, not an error.
    Damage(String),
    /// The store failed, the object changed or the run was stopped.
    Store(Error),
}

/// Tells damaged data, as [`Decompressor`] reports them, from failures of the store.
///
/// An `io::Error` of neither kind is the reader's own and counts as the store's.
pub(super) fn classify(error: &io::Error) -> ReadFailure {
    if let Some(error) = store_error(error) {
        return ReadFailure::Store(error.clone());
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
        Some(Damage(message)) => ReadFailure::Damage(message.clone()),
        None => ReadFailure::Store(Error::Unavailable(error.to_string())),
    }
}

/// Marks an `io::Error` as damaged data.
#[derive(Debug)]
struct Damage(String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damage {}

impl From<ReadFailure> for io::Error {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Damage(message) => {
                io::Error::new(io::ErrorKind::InvalidData, Damage(message))
            }
            ReadFailure::Store(error) => io_error(error),
        }
    }
}

/// Decompresses all of a reader's bytes in fixed memory; its errors are for [`classify`].
///
/// All bytes before a damage are handed out: gzip's up to the damaged symbol, zstd's up to the
/// damaged block. Both check their sums only at the end of a member or frame, so a damage that
/// does not break the format shows there, behind the bytes that it changed.
pub(super) struct Decompressor<R: Read> {
    state: State<R>,
}

type Input<R> = BufReader<Chain<Cursor<Vec<u8>>, Marked<R>>>;

enum State<R: Read> {
    /// Nothing was read yet.
    Start(Marked<R>),
    Plain(Input<R>),
    Gzip(GzipMembers<Input<R>>),
    Zstd(ZstdFrames<Input<R>>),
    End,
    Failed(ReadFailure),
}

impl<R: Read> Decompressor<R> {
    /// Decompresses what `reader` yields; reads nothing yet.
    pub fn new(reader: R) -> Self {
        Decompressor { state: State::Start(Marked(reader)) }
    }

    fn read_state(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        if matches!(self.state, State::Start(_))
            && let State::Start(reader) = std::mem::replace(&mut self.state, State::End)
        {
            self.state = tell_by_magic(reader)?;
        }
        match &mut self.state {
            State::Plain(input) => input.read(into).map_err(|error| classify(&error)),
            State::Gzip(members) => members.read(into),
            State::Zstd(frames) => frames.read(into),
            State::Start(_) | State::End => Ok(0),
            State::Failed(failure) => Err(failure.clone()),
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        match self.read_state(into) {
            Ok(0) => self.state = State::End,
            Ok(length) => return Ok(length),
            Err(failure) => {
                self.state = State::Failed(failure.clone());
                return Err(failure.into());
            }
        }
        Ok(0)
    }
}

/// Looks at the first bytes, which then are read again.
fn tell_by_magic<R: Read>(mut reader: Marked<R>) -> Result<State<R>, ReadFailure> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES_MAX);
    let peeked = reader.by_ref().take(MAGIC_BYTES_MAX as u64).read_to_end(&mut magic);
    peeked.map_err(|error| classify(&error))?;
    for (format, whole) in [("gzip", GZIP_MAGIC), ("zstd", ZSTD_MAGIC)] {
        if !magic.is_empty() && magic.len() < whole.len() && whole.starts_with(&magic) {
            let message = format!("{format}: the object ends inside of the magic number");
            return Err(ReadFailure::Damage(message));
        }
    }
    let is_gzip = magic.starts_with(GZIP_MAGIC);
    let is_zstd = magic == ZSTD_MAGIC || is_skippable_frame(&magic);
    let input = BufReader::with_capacity(INPUT_BYTES, Cursor::new(magic).chain(reader));
    Ok(if is_gzip {
        State::Gzip(GzipMembers::new(input))
    } else if is_zstd {
        State::Zstd(ZstdFrames::new(input).map_err(|error| {
            ReadFailure::Store(Error::Unavailable(format!("making a zstd decoder: {error}")))
        })?)
    } else {
        State::Plain(input)
    })
}

/// RFC 8878, 3.1.2: the magic number is `0x184d2a50` to `0x184d2a5f`, little-endian.
fn is_skippable_frame(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18])
}

/// Marks all errors of a reader as the store's, so that [`classify`] never takes one for damage,
/// and takes interruptions away.
struct Marked<R>(R);

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if store_error(&error).is_none() => {
                    return Err(io_error(Error::Unavailable(error.to_string())));
                }
                read => return read,
            }
        }
    }
}

#[cfg(test)]
#[path = "decompress_tests.rs"]
mod tests;
