//! Xz streams (<https://tukaani.org/xz/xz-file-format.txt>), one after the other and padded with
//! zeros, with all bytes before a damage.

use std::io::{self, BufRead};

use liblzma::stream::{Action, CONCATENATED, Error, Status, Stream};

use super::{ReadFailure, Unpack, Unreadable, classify};
use crate::scan::memory_budget::{BudgetPermit, ObjectBudget};

/// Memory of one decoder. `xz -9` asks for 65 MiB to unpack what it made.
const MEMORY_MAX: u64 = 96 << 20;

/// Memory that is not counted; `xz -6`, the usual level, makes what asks for 9 MiB.
const MEMORY_FREE: u64 = 10 << 20;

pub(crate) struct XzStreams<R> {
    input: R,
    decoder: Stream,
    ended: bool,
    budget: Option<ObjectBudget>,
    /// What the decoder takes of it, once it has asked for much.
    taken: Option<BudgetPermit>,
    /// What broke the stream off whose last bytes were handed out.
    failure: Option<ReadFailure>,
}

impl<R: BufRead> XzStreams<R> {
    /// # Errors
    /// If there is no memory for a decoder.
    pub fn new(input: R, budget: Option<ObjectBudget>) -> io::Result<Self> {
        let memory = if budget.is_some() { MEMORY_FREE } else { MEMORY_MAX };
        let decoder = Stream::new_stream_decoder(memory, CONCATENATED)?;
        Ok(XzStreams { input, decoder, ended: false, budget, taken: None, failure: None })
    }

    fn step(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        let input = self.input.fill_buf().map_err(|error| classify(&error))?;
        let at_end = input.is_empty();
        let action = if at_end { Action::Finish } else { Action::Run };
        let (read_before, written_before) = (self.decoder.total_in(), self.decoder.total_out());
        let status = self.decoder.process(input, into, action);
        // Both are at most the slices' lengths.
        let read = (self.decoder.total_in() - read_before) as usize;
        let written = (self.decoder.total_out() - written_before) as usize;
        self.input.consume(read);
        match status {
            Ok(Status::StreamEnd) => self.ended = true,
            Ok(_) if written == 0 && at_end => {
                self.failure = Some(damage("the object ends inside of a stream"));
            }
            Ok(_) if written == 0 && read == 0 => {
                self.failure = Some(damage("the decompressor makes no progress"));
            }
            Ok(_) => {}
            // The decoder goes on where it was once it has more.
            Err(Error::MemLimit) if self.budget.is_some() && self.taken.is_none() => {
                self.taken = self.budget.as_ref().map(|budget| budget.take_buffer(MEMORY_MAX));
                if let Err(error) = self.decoder.set_memlimit(MEMORY_MAX) {
                    self.failure = Some(damage(&error.to_string()));
                }
            }
            Err(Error::MemLimit) => {
                let what = format!("xz with a dictionary of more than {} MiB", MEMORY_MAX >> 20);
                self.failure = Some(ReadFailure::Unreadable(Unreadable::new("xz", &what)));
            }
            Err(error) => self.failure = Some(damage(&error.to_string())),
        }
        Ok(written)
    }
}

impl<R: BufRead> Unpack for XzStreams<R> {
    fn unpack(&mut self, into: &mut [u8]) -> Result<usize, ReadFailure> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.ended {
                return Ok(0);
            }
            let written = self.step(into)?;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

fn damage(message: &str) -> ReadFailure {
    ReadFailure::Damage(format!("xz: {message}"))
}
