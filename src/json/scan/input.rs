//! Reading bytes at a place, without ever failing: after the end there are zeros, which nothing
//! in a good line is made of, so that such a line is never taken for good.

use super::cpu::BLOCK;

/// A line that the fast path does not prove to be good; the reference decoder has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unhandled;

/// The byte at a place.
#[inline(always)]
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    match bytes.get(at) {
        Some(byte) => *byte,
        None => 0,
    }
}

/// Eight bytes from a place on, the first one in the lowest bits.
#[inline(always)]
pub(crate) fn eight(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => 0,
    }
}

/// Sixteen bytes from a place on, the first one in the lowest bits.
#[inline(always)]
pub(crate) fn sixteen(bytes: &[u8], at: usize) -> u128 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u128::from_le_bytes(*chunk),
        None => 0,
    }
}

/// A block of bytes from a place on; none near the end.
#[inline(always)]
pub(crate) fn block(bytes: &[u8], at: usize) -> Result<&[u8; BLOCK], Unhandled> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Unhandled)
}

/// The first place from `at` on that is no white space within a line.
#[inline(always)]
pub(crate) fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while let b' ' | b'\t' | b'\r' = byte(bytes, at) {
        at += 1;
    }
    at
}
