//! Zstd frames (RFC 8878), with all blocks before a damage.
//!
//! A call of `ZSTD_decompressStream` that meets a damage drops what it decompressed before, so
//! each call gets the input of one block only. (The `zstd` crate's `Read` types give it all there
//! is.)

use std::io::{self, BufRead};

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::formats::ZSTD_MAGIC;
use super::{ReadFailure, Unpack, Unreadable, classify};
use crate::scan::memory_budget::{BudgetPermit, ObjectBudget};

/// Zstd windows may have 2 to the power of this many bytes (128 MiB), which bounds the memory of
/// one decoder. It is zstd(1)'s own limit.
const WINDOW_LOG_MAX: u32 = 27;

/// RFC 8878, 3.1.1.2.
const BLOCK_HEADER_BYTES: usize = 3;

/// All frames, one after the other; skippable ones are skipped, checksums checked.
pub(crate) struct ZstdFrames<R> {
    input: R,
    decoder: Decoder<'static>,
    /// A frame has ended, none has begun.
    between_frames: bool,
    budget: Option<ObjectBudget>,
    /// What the decoder takes of it for its largest window so far.
    window: Option<(u64, BudgetPermit)>,
}

impl<R: BufRead> ZstdFrames<R> {
    /// # Errors
    /// If there is no memory for a decoder.
    pub fn new(input: R, budget: Option<ObjectBudget>) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(ZstdFrames { input, decoder, between_frames: true, budget, window: None })
    }

    /// Waits until the budget allows the window of the frame that begins with these bytes, if it is
    /// large.
    fn take_window(&mut self, bytes: u64) {
        let held = self.window.as_ref().map_or(WINDOW_BYTES_FREE, |(held, _)| *held);
        if let Some(budget) = &self.budget
            && (held + 1..=1 << WINDOW_LOG_MAX).contains(&bytes)
        {
            drop(self.window.take());
            self.window = Some((bytes, budget.take_buffer(bytes)));
        }
    }
}

impl<R: BufRead> Unpack for ZstdFrames<R> {
    fn unpack(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        // What the last call's block left over comes first, lest a damage behind it drops it.
        let left_over = self.decoder.run_on_buffers(b"", into).map_err(damage)?;
        let (mut hint, mut written) = (left_over.remaining, left_over.bytes_written);
        self.between_frames |= hint == 0;
        while written == 0 {
            let input = self.input.fill_buf().map_err(|error| classify(&error))?;
            if input.is_empty() && self.between_frames {
                return Ok(0);
            }
            if input.is_empty() {
                let message = "zstd: the object ends inside of a frame";
                return Err(ReadFailure::Damage(message.into()));
            }
            if self.between_frames
                && let Some(bytes) = window_bytes(input)
            {
                self.take_window(bytes);
            }
            let input = self.input.fill_buf().map_err(|error| classify(&error))?;
            let length = input.len().min(bytes_to_block_end(hint));
            let done = self.decoder.run_on_buffers(&input[..length], into).map_err(damage)?;
            self.input.consume(done.bytes_read);
            self.between_frames = done.remaining == 0;
            (hint, written) = (done.remaining, done.bytes_written);
        }
        Ok(written)
    }
}

/// Windows up to this are not counted; zstd's usual levels have no larger ones.
const WINDOW_BYTES_FREE: u64 = 8 << 20;

/// The window that a frame's header asks for (RFC 8878, 3.1.1.1), if all of that is there.
fn window_bytes(header: &[u8]) -> Option<u64> {
    let after = header.strip_prefix(ZSTD_MAGIC)?;
    let (descriptor, after) = after.split_first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = after.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut size = [0; 8];
    size[..length].copy_from_slice(after.get(dictionary..dictionary + length)?);
    Some(u64::from_le_bytes(size) + if length == 2 { 256 } else { 0 })
}

/// How much input ends at or before the current block's end.
///
/// Zstd's hint is the rest of the block and, but for a frame's last block, the next block's header;
/// which of the two cannot be seen, so that a last block may need two calls.
fn bytes_to_block_end(hint: usize) -> usize {
    if hint > BLOCK_HEADER_BYTES { hint - BLOCK_HEADER_BYTES } else { hint.max(1) }
}

/// The library's words for frames that are sound, but need more than the object.
const UNREADABLE: [(&str, &str); 2] = [
    ("too much memory", "zstd with a window of more than 128 MiB; made anew without `--long=28`"),
    ("Dictionary mismatch", "zstd with a dictionary; made anew without `-D`"),
];

fn damage(error: io::Error) -> ReadFailure {
    let message = error.to_string();
    match UNREADABLE.iter().find(|(words, _)| message.contains(words)) {
        Some((_, what)) => ReadFailure::Unreadable(Unreadable::new("zstd", what)),
        None => ReadFailure::Damage(format!("zstd: {message}")),
    }
}
