//! Decompresses an object, told by its first bytes and not by its name.
//!
//! | first bytes | means | source |
//! |---|---|---|
//! | `1f 8b` | gzip members, then maybe zero padding | RFC 1952, 2.3.1; gzip(1) |
//! | `28 b5 2f fd` | zstd frames | RFC 8878, 3.1.1 |
//! | `04 22 4d 18` | lz4 frames | lz4_Frame_format.md |
//! | `50` to `5f`, `2a 4d 18` | skippable frames, then zstd's or lz4's | RFC 8878, 3.1.2 |
//! | `BZh1` to `BZh9` | bzip2 streams | bzip2(1) |
//! | `fd` `7zXZ` `00` | xz streams | xz-file-format.txt, 2.1.1.1 |
//! | of zip, 7z, tar, Parquet, UTF-16, … | nothing of it is read: [`Unreadable`] | `formats` |
//! | anything else | plain bytes | |
//!
//! What comes out is looked at in the same way, as objects are packed twice by mistake, and what
//! was packed may be a tar archive.
//!
//! An object that ends inside of a packed format's magic number is damaged; no JSON text begins
//! with any of these bytes, so no good line is lost to that rule.

mod bzip2_streams;
mod formats;
mod gzip_members;
mod lz4_frames;
mod xz_streams;
mod zstd_frames;

use std::fmt;
use std::io::{self, BufReader, Cursor, Read};

use bzip2_streams::Bzip2Streams;
pub use formats::Unreadable;
use formats::{Content, HEAD_BYTES, Packing, tell};
use gzip_members::GzipMembers;
use lz4_frames::Lz4Frames;
use xz_streams::XzStreams;
use zstd_frames::ZstdFrames;

use super::memory_budget::ObjectBudget;
use super::read::{io_error, store_error};
use crate::base::error::Error;

/// Bytes of compressed data read at once.
const INPUT_BYTES: usize = 128 << 10;

/// How often an object may be packed.
const LAYERS_MAX: usize = 3;

/// Why reading an object failed.
#[derive(Debug, Clone)]
pub(crate) enum ReadFailure {
    /// The compressed data are damaged, in the decompressor's words: bad data, not an error.
    Damage(String),
    /// The object is of a kind that cannot be read: bad data, too.
    Unreadable(Unreadable),
    /// The store failed, the object changed or the run was stopped.
    Store(Error),
}

/// Tells bad data, as [`Decompressor`] reports them, from failures of the store.
///
/// An `io::Error` of neither kind is the reader's own and counts as the store's.
pub(crate) fn classify(error: &io::Error) -> ReadFailure {
    match store_error(error) {
        Some(Error::Data(reason)) => {
            let (format, reason) = ("withheld".to_owned(), reason.clone());
            return ReadFailure::Unreadable(Unreadable { format, reason });
        }
        Some(error) => return ReadFailure::Store(error.clone()),
        None => {}
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<BadData>()) {
        Some(BadData(failure)) => failure.clone(),
        None => ReadFailure::Store(Error::Unavailable(error.to_string())),
    }
}

/// Marks an `io::Error` as bad data.
#[derive(Debug)]
struct BadData(ReadFailure);

impl fmt::Display for BadData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ReadFailure::Damage(message) => f.write_str(message),
            ReadFailure::Unreadable(unreadable) => f.write_str(&unreadable.reason),
            ReadFailure::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BadData {}

impl From<ReadFailure> for io::Error {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Store(error) => io_error(error),
            failure => io::Error::new(io::ErrorKind::InvalidData, BadData(failure)),
        }
    }
}

/// Decompresses all of a reader's bytes in fixed memory; its errors are for [`classify`].
///
/// All bytes before a damage are handed out: gzip's up to the damaged symbol, the other formats'
/// up to the damaged block. Most check their sums only at the end of a member or frame, so a damage
/// that does not break the format shows there, after the bytes that it changed.
pub(crate) struct Decompressor<'r> {
    state: State<'r>,
    budget: Option<ObjectBudget>,
}

type Layer<'r> = Box<dyn Read + Send + 'r>;

enum State<'r> {
    /// Nothing was read yet.
    Start(Layer<'r>),
    /// Beneath it all is plain.
    Open(Layer<'r>),
    End,
    Failed(ReadFailure),
}

impl<'r> Decompressor<'r> {
    /// Decompresses what `reader` yields; reads nothing yet.
    pub fn new(reader: impl Read + Send + 'r) -> Self {
        Decompressor { state: State::Start(Box::new(Marked(reader))), budget: None }
    }

    /// Has decoders with large windows wait for their share of the budget.
    pub fn with_budget(mut self, budget: Option<ObjectBudget>) -> Self {
        self.budget = budget;
        self
    }

    fn read_state(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        if matches!(self.state, State::Start(_))
            && let State::Start(reader) = std::mem::replace(&mut self.state, State::End)
        {
            self.state = State::Open(unpack_all(reader, self.budget.as_ref())?);
        }
        match &mut self.state {
            State::Open(reader) => reader.read(into).map_err(|error| classify(&error)),
            State::Start(_) | State::End => Ok(0),
            State::Failed(failure) => Err(failure.clone()),
        }
    }
}

impl Read for Decompressor<'_> {
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

/// Unpacks layer by layer until what comes out is plain.
fn unpack_all<'r>(
    mut layer: Layer<'r>,
    budget: Option<&ObjectBudget>,
) -> Result<Layer<'r>, ReadFailure> {
    for layers in 0.. {
        let (head, rest) = peek(layer)?;
        let input = Cursor::new(head.clone()).chain(rest);
        match tell(&head) {
            Content::Plain => return Ok(Box::new(input)),
            Content::Unreadable(unreadable) => return Err(ReadFailure::Unreadable(unreadable)),
            Content::Torn(packing) => {
                let name = packing.name();
                let message = format!("{name}: the object ends inside of the magic number");
                return Err(ReadFailure::Damage(message));
            }
            Content::Packed(packing) if layers == LAYERS_MAX => {
                let what = format!("packed more than {LAYERS_MAX} times over");
                let unreadable = Unreadable::new(packing.name(), &what);
                return Err(ReadFailure::Unreadable(unreadable));
            }
            Content::Packed(packing) => layer = unpack(packing, input, budget)?,
        }
    }
    Ok(layer)
}

/// The first bytes, and what comes after them; a damage among them comes after those before it.
fn peek(mut layer: Layer<'_>) -> Result<(Vec<u8>, Layer<'_>), ReadFailure> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    match layer.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head) {
        Ok(_) => Ok((head, layer)),
        Err(error) => match classify(&error) {
            ReadFailure::Store(error) => Err(ReadFailure::Store(error)),
            failure if head.is_empty() => Err(failure),
            failure => Ok((head, Box::new(Failing(failure)))),
        },
    }
}

fn unpack<'r>(
    packing: Packing,
    input: impl Read + Send + 'r,
    budget: Option<&ObjectBudget>,
) -> Result<Layer<'r>, ReadFailure> {
    let input = BufReader::with_capacity(INPUT_BYTES, input);
    let unmade = |error: io::Error| {
        let message = format!("making a decoder of {}: {error}", packing.name());
        ReadFailure::Store(Error::Unavailable(message))
    };
    Ok(match packing {
        Packing::Gzip => Box::new(Unpacked(GzipMembers::new(input))),
        Packing::Zstd => {
            Box::new(Unpacked(ZstdFrames::new(input, budget.cloned()).map_err(unmade)?))
        }
        Packing::Bzip2 => Box::new(Unpacked(Bzip2Streams::new(input))),
        Packing::Xz => Box::new(Unpacked(XzStreams::new(input, budget.cloned()).map_err(unmade)?)),
        Packing::Lz4 => Box::new(Unpacked(Lz4Frames::new(input))),
    })
}

/// A decoder of one format.
trait Unpack {
    /// Decompresses into `into`, which must not be empty; 0 is the end.
    fn unpack(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure>;
}

/// What a decoder gives, as a reader.
struct Unpacked<U>(U);

impl<U: Unpack> Read for Unpacked<U> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() { Ok(0) } else { Ok(self.0.unpack(into)?) }
    }
}

/// The end of a layer that is damaged.
pub(crate) struct Failing(pub(crate) ReadFailure);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.clone().into())
    }
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
