//! Gzip members (RFC 1952), with all bytes before a damage.
//!
//! `flate2`'s `Read` types drop what a call decompressed before it met the damage, which may be
//! many lines; its `Decompress` does not.

use std::io::BufRead;

use flate2::{Decompress, FlushDecompress, Status};

use super::{ReadFailure, Unpack, classify};

/// The largest window that deflate knows, 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// All members, one after the other, then maybe zeros up to the end, as tapes and block devices
/// leave them; gzip(1) ignores those, too. Anything else there is damage.
pub(crate) struct GzipMembers<R> {
    input: R,
    /// Checks header, checksum and length of a member.
    inflate: Decompress,
    in_member: bool,
    /// What broke a member off whose last bytes were handed out.
    damage: Option<String>,
}

impl<R: BufRead> GzipMembers<R> {
    pub fn new(input: R) -> Self {
        let inflate = Decompress::new_gzip(WINDOW_BITS);
        GzipMembers { input, inflate, in_member: false, damage: None }
    }

    /// One step in a member; what it finds wrong is left in `damage`, behind the bytes written.
    fn inflate_some(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        let input = self.input.fill_buf().map_err(|error| classify(&error))?;
        let at_end = input.is_empty();
        let flush = if at_end { FlushDecompress::Finish } else { FlushDecompress::None };
        let (read_before, written_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, into, flush);
        // Both are at most the slices' lengths.
        let read = (self.inflate.total_in() - read_before) as usize;
        let written = (self.inflate.total_out() - written_before) as usize;
        self.input.consume(read);
        match status {
            Ok(Status::StreamEnd) => self.in_member = false,
            Ok(_) if written == 0 && at_end => {
                self.damage = Some("the object ends inside of a member".into());
            }
            Ok(_) if written == 0 && read == 0 => {
                self.damage = Some("the decompressor makes no progress".into());
            }
            Ok(_) => {}
            Err(error) => self.damage = Some(what_is_wrong(error.message()).into()),
        }
        Ok(written)
    }

    /// Goes to the next member's start; false at the object's end.
    fn find_member(&mut self) -> Result<bool, ReadFailure> {
        let mut padded = false;
        loop {
            let bytes = self.input.fill_buf().map_err(|error| classify(&error))?;
            match bytes.first() {
                None => return Ok(false),
                Some(0) => {
                    padded = true;
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    self.input.consume(zeros);
                }
                Some(_) if padded => {
                    let message = "gzip: data behind the zero padding after the last member";
                    return Err(ReadFailure::Damage(message.into()));
                }
                Some(_) => {
                    self.inflate = Decompress::new_gzip(WINDOW_BITS);
                    self.in_member = true;
                    return Ok(true);
                }
            }
        }
    }
}

impl<R: BufRead> Unpack for GzipMembers<R> {
    fn unpack(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        loop {
            if let Some(damage) = self.damage.take() {
                return Err(ReadFailure::Damage(format!("gzip: {damage}")));
            }
            if !self.in_member && !self.find_member()? {
                return Ok(0);
            }
            let written = self.inflate_some(into)?;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

/// The decompressor's words; those of zlib-rs's fast loop get lost after a message of no use.
fn what_is_wrong(message: Option<&str>) -> &str {
    message.filter(|message| *message != "repeated call with bad state").unwrap_or("corrupt data")
}
