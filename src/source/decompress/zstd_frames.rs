//! Zstd frames (RFC 8878), with all blocks before a damage.
//!
//! A call of `ZSTD_decompressStream` that meets a damage drops what it decompressed before, so
//! each call gets the input of one block only. (The `zstd` crate's `Read` types give it all there
//! is.)

use std::io::{self, BufRead};

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::{ReadFailure, Unpack, Unreadable, classify};

/// Zstd windows may have 2 to the power of this many bytes (128 MiB), which bounds the memory of
/// one decoder. It is zstd(1)'s own limit.
const WINDOW_LOG_MAX: u32 = 27;

/// RFC 8878, 3.1.1.2.
const BLOCK_HEADER_BYTES: usize = 3;

/// All frames, one behind the other; skippable ones are skipped, checksums checked.
pub(super) struct ZstdFrames<R> {
    input: R,
    decoder: Decoder<'static>,
    /// A frame has ended, none has begun.
    between_frames: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    /// # Errors
    /// If there is no memory for a decoder.
    pub fn new(input: R) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(ZstdFrames { input, decoder, between_frames: true })
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
            let length = input.len().min(bytes_to_block_end(hint));
            let done = self.decoder.run_on_buffers(&input[..length], into).map_err(damage)?;
            self.input.consume(done.bytes_read);
            self.between_frames = done.remaining == 0;
            (hint, written) = (done.remaining, done.bytes_written);
        }
        Ok(written)
    }
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
