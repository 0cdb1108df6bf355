//! Lz4 frames, one after the other; frames to be skipped are skipped, checksums checked.
//! <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>
//!
//! The crate's own reader of frames takes a frame that breaks off between two blocks for one that
//! ended, so frames are read here, and only blocks by the crate.

use std::hash::Hasher;
use std::io::BufRead;

use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::formats::LZ4_MAGIC;
use super::{ReadFailure, Unpack, Unreadable, classify};

/// What a block may refer to before it.
const WINDOW_BYTES: usize = 64 << 10;

pub(crate) struct Lz4Frames<R> {
    input: R,
    frame: Option<Frame>,
    /// A block as it is stored.
    stored: Vec<u8>,
    /// Unpacked bytes, of which those up to `read` were handed out.
    block: Vec<u8>,
    read: usize,
    /// The last bytes before `block`.
    window: Vec<u8>,
}

/// What a frame's header says of its blocks.
struct Frame {
    block_bytes_max: usize,
    are_linked: bool,
    has_block_checksums: bool,
    bytes_left: Option<u64>,
    checksum: Option<XxHash32>,
}

impl<R: BufRead> Lz4Frames<R> {
    pub fn new(input: R) -> Self {
        let (stored, block, window) = (Vec::new(), Vec::new(), Vec::new());
        Lz4Frames { input, frame: None, stored, block, read: 0, window }
    }

    fn at_end(&mut self) -> Result<bool, ReadFailure> {
        Ok(self.input.fill_buf().map_err(|error| classify(&error))?.is_empty())
    }

    fn fill(&mut self, mut into: &mut [u8]) -> Result<(), ReadFailure> {
        while !into.is_empty() {
            let some = self.input.fill_buf().map_err(|error| classify(&error))?;
            if some.is_empty() {
                return Err(damage("the object ends inside of a frame"));
            }
            let length = some.len().min(into.len());
            let (now, later) = into.split_at_mut(length);
            now.copy_from_slice(&some[..length]);
            into = later;
            self.input.consume(length);
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32, ReadFailure> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a frame's header, or skips a frame.
    fn begin_frame(&mut self) -> Result<(), ReadFailure> {
        let magic = self.number()?.to_le_bytes();
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18] = magic {
            let mut left = u64::from(self.number()?);
            let mut skipped = [0; 4096];
            while left > 0 {
                let length = left.min(skipped.len() as u64) as usize;
                self.fill(&mut skipped[..length])?;
                left -= length as u64;
            }
            return Ok(());
        }
        if magic != LZ4_MAGIC {
            return Err(damage("data behind the last frame that are no frame"));
        }
        let mut header = [0; 11];
        self.fill(&mut header[..2])?;
        let [flags, sizes] = [header[0], header[1]];
        if flags >> 6 != 1 || flags & 2 != 0 {
            return Err(damage("a frame of an unknown version"));
        }
        if flags & 1 != 0 {
            let what = "lz4 with a dictionary; made anew without `-D`";
            return Err(ReadFailure::Unreadable(Unreadable::new("lz4", what)));
        }
        let has_size = flags & 8 != 0;
        let length = if has_size { 10 } else { 2 };
        self.fill(&mut header[2..=length])?;
        if header[length] != (xxh32(&header[..length]) >> 8) as u8 {
            return Err(damage("a frame's header does not fit its checksum"));
        }
        let bytes_left = has_size.then(|| {
            let mut size = [0; 8];
            size.copy_from_slice(&header[2..10]);
            u64::from_le_bytes(size)
        });
        let block_bytes_max = match (sizes >> 4) & 7 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err(damage("a frame with blocks of an unknown size")),
        };
        self.window.clear();
        self.frame = Some(Frame {
            block_bytes_max,
            are_linked: flags & 0x20 == 0,
            has_block_checksums: flags & 0x10 != 0,
            bytes_left,
            checksum: (flags & 4 != 0).then(|| XxHash32::with_seed(0)),
        });
        Ok(())
    }

    /// Unpacks the next block, or ends the frame; false at its end.
    fn next_block(&mut self, mut frame: Frame) -> Result<(), ReadFailure> {
        let header = self.number()?;
        if header == 0 {
            return self.end_frame(frame);
        }
        let (is_packed, length) = (header >> 31 == 0, (header & 0x7fff_ffff) as usize);
        if length > frame.block_bytes_max {
            return Err(damage("a block larger than its frame allows"));
        }
        let mut stored = std::mem::take(&mut self.stored);
        stored.resize(length, 0);
        self.fill(&mut stored)?;
        if frame.has_block_checksums && self.number()? != xxh32(&stored) {
            return Err(damage("a block does not fit its checksum"));
        }
        if frame.are_linked {
            self.keep_window();
        }
        if is_packed {
            self.block.resize(frame.block_bytes_max, 0);
            let unpacked = if self.window.is_empty() {
                decompress_into(&stored, &mut self.block)
            } else {
                decompress_into_with_dict(&stored, &mut self.block, &self.window)
            };
            let length = unpacked.map_err(|error| {
                self.block.clear();
                damage(&error.to_string())
            })?;
            self.block.truncate(length);
            self.stored = stored;
        } else {
            self.stored = std::mem::replace(&mut self.block, stored);
        }
        self.read = 0;
        if let Some(checksum) = &mut frame.checksum {
            checksum.write(&self.block);
        }
        if let Some(left) = &mut frame.bytes_left {
            let bytes = self.block.len() as u64;
            *left = left.checked_sub(bytes).ok_or_else(|| damage("more bytes than announced"))?;
        }
        self.frame = Some(frame);
        Ok(())
    }

    fn end_frame(&mut self, frame: Frame) -> Result<(), ReadFailure> {
        if frame.bytes_left.is_some_and(|left| left > 0) {
            return Err(damage("a frame has fewer bytes than it announces"));
        }
        match frame.checksum {
            Some(checksum) if u64::from(self.number()?) != checksum.finish() => {
                Err(damage("a frame does not fit its checksum"))
            }
            _ => Ok(()),
        }
    }

    fn keep_window(&mut self) {
        self.window.extend_from_slice(&self.block);
        let surplus = self.window.len().saturating_sub(WINDOW_BYTES);
        self.window.drain(..surplus);
    }
}

impl<R: BufRead> Unpack for Lz4Frames<R> {
    fn unpack(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        while self.read == self.block.len() {
            match self.frame.take() {
                Some(frame) => self.next_block(frame)?,
                None if self.at_end()? => return Ok(0),
                None => {
                    (self.read, self.block) = (0, Vec::new());
                    self.begin_frame()?;
                }
            }
        }
        let length = into.len().min(self.block.len() - self.read);
        into[..length].copy_from_slice(&self.block[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}

fn xxh32(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

fn damage(message: &str) -> ReadFailure {
    ReadFailure::Damage(format!("lz4: {message}"))
}
