//! The most common case by itself: the key that was guessed, a short plain string for a text, and
//! then another key.
//!
//! ```text
//! "service":"food","event":…     128 bytes, whose being there is checked once
//! "service":                     the guessed key's pattern, for a text
//!            food"               no quote, backslash or control character before the end, at 4
//!                 ,              another key follows
//! ```
//!
//! Whatever is otherwise is left to the general way, `record`, as if this had not been tried.

use super::columns::{Group, bit};
use super::cpu::{BLOCK, Kernel};
use super::keys::Found;
use super::record::Reader;

/// Bytes that a short key and a short string lie within.
pub(super) const SHORT: usize = 2 * BLOCK;

/// Bytes of a short key's pattern at most, as a mask: no place within [`SHORT`] needs a check.
const PATTERN_MASK: usize = 31;

impl<K: Kernel> Reader<'_, K> {
    /// Takes a key and its string; gives the key and the place behind the comma. None, if it is not
    /// that case; then nothing has changed.
    #[inline(always)]
    pub(super) fn take_short_text(
        &mut self,
        group: &mut Group,
        record: u64,
        before: u32,
        at: usize,
    ) -> Option<Found> {
        let bytes: &[u8; SHORT] = self.bytes.get(at..)?.first_chunk()?;
        let guess = self.keys.short_text(before, bytes.first_chunk()?)?;
        let start = guess.length as usize & PATTERN_MASK;
        let text: &[u8; BLOCK] = bytes[start + 1..].first_chunk()?;
        let length = self.kernel.specials(text).trailing_zeros() as usize;
        if bytes[start] != b'"' || length >= BLOCK || text[length] != b'"' {
            return None;
        }
        let comma = start + length + 2;
        if bytes[comma] != b',' {
            return None;
        }
        let (word, bit) = bit(guess.column as usize);
        let present = group.present.get_mut(word)?;
        let met = self.keys.met.get_mut(guess.name as usize)?;
        if *present & bit != 0 || *met == record {
            return None;
        }
        *present |= bit;
        *met = record;
        if guess.ranked {
            group.ranks[guess.column as usize] = guess.rank;
        }
        let column = &mut group.texts[guess.place as usize];
        if column.built {
            column.start = column.bytes.len();
            column.push_block(text, length);
            column.end(group.len);
        }
        Some(Found { key: guess.key, behind: at + comma + 1 })
    }
}
