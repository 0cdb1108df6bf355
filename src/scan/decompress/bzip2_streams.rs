//! Bzip2 streams, one after the other, with all bytes before a damage.
//!
//! As with gzip, the crate's `Read` types drop what a call unpacked before it met the damage.
//! A decoder takes at most 4 MiB.

use std::io::BufRead;

use bzip2::{Decompress, Status};

use super::{ReadFailure, Unpack, classify};

pub(crate) struct Bzip2Streams<R> {
    input: R,
    decoder: Decompress,
    in_stream: bool,
    /// What broke a stream off whose last bytes were handed out.
    damage: Option<String>,
}

impl<R: BufRead> Bzip2Streams<R> {
    pub fn new(input: R) -> Self {
        Bzip2Streams { input, decoder: Decompress::new(false), in_stream: false, damage: None }
    }

    /// One step in a stream; what it finds wrong is left in `damage`, behind the bytes written.
    fn step(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        let input = self.input.fill_buf().map_err(|error| classify(&error))?;
        let at_end = input.is_empty();
        let (read_before, written_before) = (self.decoder.total_in(), self.decoder.total_out());
        let status = self.decoder.decompress(input, into);
        // Both are at most the slices' lengths.
        let read = (self.decoder.total_in() - read_before) as usize;
        let written = (self.decoder.total_out() - written_before) as usize;
        self.input.consume(read);
        match status {
            Ok(Status::StreamEnd) => self.in_stream = false,
            Ok(_) if written == 0 && at_end => {
                self.damage = Some("the object ends inside of a stream".into());
            }
            Ok(_) if written == 0 && read == 0 => {
                self.damage = Some("the decompressor makes no progress".into());
            }
            Ok(_) => {}
            Err(error) => self.damage = Some(error.to_string()),
        }
        Ok(written)
    }
}

impl<R: BufRead> Unpack for Bzip2Streams<R> {
    fn unpack(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        loop {
            if let Some(damage) = self.damage.take() {
                return Err(ReadFailure::Damage(format!("bzip2: {damage}")));
            }
            if !self.in_stream {
                if self.input.fill_buf().map_err(|error| classify(&error))?.is_empty() {
                    return Ok(0);
                }
                self.decoder = Decompress::new(false);
                self.in_stream = true;
            }
            let written = self.step(into)?;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}
