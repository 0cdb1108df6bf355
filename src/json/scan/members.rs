//! A structural scan of objects and arrays: checked to be JSON, with the places of their members.
//!
//! For who takes JSON in and passes it on as it is, and needs to know a few members of it: the same
//! loops that skip what no column takes, so that checking a text costs what decoding it does.

use std::ops::Range;

use super::cpu::{BLOCK, Cpu, Kernel, Task};
use super::input::{Unhandled, after_space, byte};
use super::skip::{SkipRules, skip_value};
use super::text::check_text;

/// Bytes that a text must have after its end (any, but for the text's own) to be looked into.
pub const SCAN_PADDING: usize = BLOCK;

/// A member of an object: where its key stands, with its quotes, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The key with its quotes; empty for an element of an array.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

/// Checks the object or array at a place, and notes where its members stand; gives the place
/// after it.
///
/// `bytes` is UTF-8 with [`SCAN_PADDING`] bytes more. None for what is no JSON, but also for what
/// is only unusual: line ends between tokens, more than `levels_max` (at most 64) objects and
/// arrays within each other; another reader has to say.
pub fn scan_members(
    cpu: Cpu,
    bytes: &[u8],
    at: usize,
    levels_max: usize,
    spans: &mut Vec<Span>,
) -> Option<usize> {
    spans.clear();
    let depth_left = levels_max.checked_sub(1)?;
    let rules = SkipRules { depth_left, duplicates_unhandled: false };
    cpu.run(MemberScan { bytes, at, rules, spans }).ok()
}

struct MemberScan<'b> {
    bytes: &'b [u8],
    at: usize,
    rules: SkipRules,
    spans: &'b mut Vec<Span>,
}

impl Task for MemberScan<'_> {
    type Output = Result<usize, Unhandled>;

    #[inline(always)]
    fn with<K: Kernel>(self, kernel: K) -> Self::Output {
        let MemberScan { bytes, at, rules, spans } = self;
        let opening = byte(bytes, at);
        if opening != b'{' && opening != b'[' {
            return Err(Unhandled);
        }
        let closing = opening + 2;
        let mut at = after_space(bytes, at + 1);
        if byte(bytes, at) == closing {
            return Ok(at + 1);
        }
        loop {
            let mut key = at..at;
            if opening == b'{' {
                if byte(bytes, at) != b'"' {
                    return Err(Unhandled);
                }
                key.end = check_text(kernel, bytes, at + 1, false)?;
                at = after_space(bytes, key.end);
                if byte(bytes, at) != b':' {
                    return Err(Unhandled);
                }
                at = after_space(bytes, at + 1);
            }
            let end = skip_value(kernel, bytes, at, rules)?;
            spans.push(Span { key, value: at..end });
            at = after_space(bytes, end);
            match byte(bytes, at) {
                b',' => at = after_space(bytes, at + 1),
                found if found == closing => return Ok(at + 1),
                _ => return Err(Unhandled),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::{JsonKind, read_json};

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(text.len() + SCAN_PADDING, 0);
        bytes
    }

    /// Keys and values of the outermost level, as texts; none if the text is unhandled.
    fn scanned(cpu: Cpu, text: &str) -> Option<Vec<(String, String)>> {
        let bytes = padded(text);
        let mut spans = Vec::new();
        let end = scan_members(cpu, &bytes, 0, 64, &mut spans)?;
        let of = |span: &Span| (text[span.key.clone()].into(), text[span.value.clone()].into());
        (end == text.len()).then(|| spans.iter().map(of).collect())
    }

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        match read_json(text, 64).ok()?.kind {
            JsonKind::Object(members) => {
                let of = |m: &crate::json::Member<'_>| (m.key.to_string(), m.value.raw.to_string());
                Some(members.iter().map(of).collect())
            }
            JsonKind::Array(elements) => {
                Some(elements.iter().map(|e| (String::new(), e.raw.to_string())).collect())
            }
            _ => None,
        }
    }

    #[test]
    fn members_and_elements_are_found_in_their_places() {
        for cpu in Cpu::available() {
            let of = |text| scanned(cpu, text);
            let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let found = of(r#"{ "a" : [1,{"b":2}] ,"足":"x\"}"}"#).unwrap();
            assert_eq!(found, [pair("\"a\"", r#"[1,{"b":2}]"#), pair("\"足\"", r#""x\"}""#)]);
            assert_eq!(of("[1, null]").unwrap(), [pair("", "1"), pair("", "null")]);
            assert_eq!(of("{}").unwrap(), []);
            for unhandled in
                ["", "1", "{", "{]", "[1,]", "{\"a\"}", "{1:2}", "[1}", "[01]", "[\"\\x\"]"]
            {
                assert_eq!(of(unhandled), None, "{unhandled}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_scanned_is_what_the_reference_reader_reads(
            text in concat!(
                r#"[{\[]([\[\]{},:" a0-9.eE+\-\\un足]|"[a-z\\]{0,3}"|true|null|"k":)"#,
                r#"{0,24}[}\]]"#,
            ),
        ) {
            for cpu in Cpu::available() {
                if let Some(found) = scanned(cpu, &text) {
                    let expected = read(&text);
                    prop_assert!(expected.is_some(), "{text}");
                    let values = |list: &[(String, String)]| -> Vec<String> {
                        list.iter().map(|(_, value)| value.clone()).collect()
                    };
                    prop_assert_eq!(values(&found), values(&expected.unwrap()));
                }
            }
        }
    }
}
