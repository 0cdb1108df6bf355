//! Buffers that come back: a block's bytes are read over once nobody holds the block any more.
//!
//! So a large object is read through a few buffers, which are neither made nor zeroed anew for each
//! block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers of one size that nobody holds; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    bytes: usize,
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer that somebody holds a part of.
struct Held {
    buffer: Vec<u8>,
    /// The part's length, from the buffer's start.
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// Buffers of `bytes` each; none is made yet.
    pub(crate) fn new(bytes: usize) -> Self {
        Buffers { bytes, idle: Arc::default() }
    }

    /// A buffer of at least `bytes`, whatever they are.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let idle = if bytes <= self.bytes { self.idle().pop() } else { None };
        idle.unwrap_or_else(|| vec![0; bytes.max(self.bytes)])
    }

    /// The first `length` bytes of a buffer, which comes back when they are dropped.
    pub(crate) fn lend(&self, buffer: Vec<u8>, length: usize) -> Bytes {
        Bytes::from_owner(Held { buffer, length, home: self.clone() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // One that grew for a long line would hold its memory for good.
        if self.buffer.len() == self.home.bytes {
            self.home.idle().push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once_no_part_of_it_is_held() {
        let buffers = Buffers::new(4);
        let mut buffer = buffers.take(4);
        buffer.copy_from_slice(b"abcd");
        let address = buffer.as_ptr();
        let lent = buffers.lend(buffer, 3);
        let part = lent.slice(1..);
        assert_eq!((&lent[..], &part[..]), (&b"abc"[..], &b"bc"[..]));
        drop(lent);
        let other = buffers.take(4);
        assert_ne!(other.as_ptr(), address, "a part of it is held");
        drop(part);
        let again = buffers.take(2);
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn a_buffer_that_grew_is_given_up() {
        let buffers = Buffers::new(4);
        drop(buffers.lend(buffers.take(100), 100));
        assert!(buffers.idle().is_empty());
        assert_eq!(buffers.take(1).len(), 4);
    }
}
