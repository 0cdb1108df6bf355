//! JSON text → a tree that borrows from it.
//!
//! Strict RFC 8259, with every number as its own text and every object as the members that stand
//! in it, so that no rule about exactness or duplicate keys is decided here. One value:
//!
//! ```text
//! text     {"n":1.50,"s":"\u8db3跡"}
//! tree     Object [ n → Number (raw "1.50"), s → String "足跡" (raw "\"\\u8db3跡\"") ]
//! ```
//!
//! The reader stops at the first fault from left to right. It recurses, but never deeper than
//! [`DEPTH_LIMIT`], so no text can overflow the stack.

mod read;
pub mod scan;

use std::borrow::Cow;
use std::ops::Range;

pub use read::{is_json_number, read_json};

/// Levels of objects and arrays that are read at most, whatever a contract allows.
pub const DEPTH_LIMIT: usize = 256;

/// Characters that an excerpt of a text has at most.
const EXCERPT_CHARACTERS: usize = 200;

/// One JSON value and its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Json<'a> {
    /// The value as it stands in the text, byte for byte, without white space around it.
    pub raw: &'a str,
    /// What it is.
    pub kind: JsonKind<'a>,
}

/// What a JSON value is.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonKind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; its digits are in [`Json::raw`].
    Number,
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object's members in order, with every duplicate.
    Object(Vec<Member<'a>>),
}

/// One key of an object and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: Json<'a>,
}

impl Json<'_> {
    /// Where the value stands in `text`, the text that it was read from, in bytes.
    pub fn range_in(&self, text: &str) -> Range<usize> {
        let start = self.raw.as_ptr() as usize - text.as_ptr() as usize;
        start..start + self.raw.len()
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, JsonKind::Null)
    }
}

/// Why a text is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonFaultKind {
    /// The text breaks RFC 8259.
    Invalid,
    /// A string holds half a surrogate pair (`"\ud800"`), which UTF-8 cannot hold.
    LoneSurrogate,
    /// Objects and arrays nest too deep.
    TooDeep,
}

/// The first fault of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    /// Why the text is no value.
    pub kind: JsonFaultKind,
    /// Where, in bytes from 0.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
    /// What was found there, with the place: `` `}` at byte 14 ``.
    pub found: String,
}

/// A text for messages: as it is if it has at most 200 characters, else its beginning and `…`.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(EXCERPT_CHARACTERS) {
        None => Cow::Borrowed(text),
        Some(_) => text.chars().take(EXCERPT_CHARACTERS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
