//! The most common case by itself: the key that was guessed, a short plain string for a text, and
//! then another key; as many of them as there are in a row.
//!
//! ```text
//! "service":"food","event":…     128 bytes, whose being there is checked once
//! "service":                     the guessed key's pattern, for a text
//!            food"               no quote, backslash or control character before the end, at 4
//!                 ,              another key follows; or else the texts end here
//! ```
//!
//! Whatever is otherwise is left to the general way, `record`, as if this had not been tried. It is
//! a function of its own: what it needs fits into registers.

use super::columns::{Group, bit};
use super::keys::{Kind, ShortKeys};
use crate::json::scan::cpu::{BLOCK, Kernel, Task};

/// Bytes that a short key and a short string lie within.
pub(super) const SHORT: usize = 2 * BLOCK;

/// Takes short texts from `at` on, after the key `before`.
pub(super) struct ShortTexts<'r> {
    pub bytes: &'r [u8],
    pub keys: ShortKeys<'r>,
    pub group: &'r mut Group,
    pub before: u32,
    pub at: usize,
}

/// What comes after short texts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ahead {
    /// Whatever, at this place, after the comma of this key's value.
    Any(u32, usize),
    /// The value of this key, which was expected, at this place.
    Value(u32, usize),
    /// No comma, at this place, after this key's value.
    End(u32, usize),
}

impl Task for ShortTexts<'_> {
    type Output = Ahead;

    #[inline(always)]
    fn with<K: Kernel>(self, kernel: K) -> Ahead {
        let ShortTexts { bytes, mut keys, group, mut before, mut at } = self;
        let Group { len, present, ranks, texts, .. } = group;
        let (end, texts, present) = (*len + 1, &mut texts[..], &mut present[..]);
        while let Some(bytes) = bytes.get(at..).and_then(<[u8]>::first_chunk::<SHORT>)
            && let Some(first) = bytes.first_chunk()
            && let Some(key) = keys.next(before, first)
        {
            let start = key.length();
            let found = Ahead::Value(key.number, at + start);
            let action = key.action();
            if action.kind != Kind::Text || bytes[start] != b'"' {
                return found;
            }
            let Some(text) = bytes[start + 1..].first_chunk::<BLOCK>() else { return found };
            let length = kernel.specials(text).trailing_zeros() as usize;
            if length >= BLOCK || text[length] != b'"' {
                return found;
            }
            let Some(column) = texts.get_mut(action.place as usize) else { return found };
            let has_room = column.bytes.capacity() - column.bytes.len() >= BLOCK;
            if column.built && !has_room {
                return found;
            }
            let (word, bit) = bit(action.column as usize);
            let Some(present) = present.get_mut(word) else { return found };
            if *present & bit != 0 || !keys.meet(key) {
                return found;
            }
            *present |= bit;
            if action.ranked {
                ranks[action.column as usize] = action.rank;
            }
            if has_room {
                column.start = column.bytes.len();
                // The whole block, whatever it is: a fixed length is copied by two instructions.
                column.bytes.extend_from_slice(text);
                column.bytes.truncate(column.start + length);
                if let Some(end) = column.ends.get_mut(end) {
                    *end = (column.start + length) as i32;
                }
            }
            let after = start + length + 2;
            if bytes[after] != b',' {
                return Ahead::End(key.number, at + after);
            }
            (before, at) = (key.number, at + after + 1);
        }
        Ahead::Any(before, at)
    }
}
