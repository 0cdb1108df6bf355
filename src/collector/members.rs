//! The few members of an event that the collector looks at: what its id, its items' names and
//! quantities and its `via` are, however clients write them.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::visits::Via;
use crate::json::{Json, JsonKind, read_json};

/// Bytes of an id that is written as it is; of a longer one, what stands for it is.
const ID_BYTES_MAX: usize = 128;
/// Bytes of an id as JSON, with its escapes, that is written as it is.
pub(super) const ID_JSON_BYTES_MAX: usize = 260;
/// Bytes of a `via` beyond which it is none.
pub(super) const VIA_BYTES_MAX: usize = 256;
/// Bytes of a name of an item; what stands for a longer one has fewer.
pub(super) const SKU_BYTES_MAX: usize = 128;
/// Levels of a `via`.
const VIA_DEPTH_MAX: usize = 64;
/// What scripts send as a text that forgot to make an id: it is nobody's own.
const NO_IDS: [&str; 5] = ["", "null", "undefined", "NaN", "[object Object]"];

/// What a client calls an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventName {
    /// A UUID as it is, of any other text what stands for it.
    pub id: Uuid,
    /// Whether the client's own text is to be written, and not [`Self::id`].
    pub is_written: bool,
}

impl EventName {
    /// The name that a JSON value gives: a text, or a number; other values give none.
    pub fn of(value: &[u8]) -> Option<Self> {
        let text = text_of(value)?;
        if let Ok(id) = Uuid::try_parse(&text) {
            let is_plain = *id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text;
            let id = Some(id).filter(|id| !id.is_nil() && !id.is_max())?;
            return Some(EventName { id, is_written: !is_plain });
        }
        if NO_IDS.contains(&&*text) {
            return None;
        }
        let is_short = text.len() <= ID_BYTES_MAX && value.len() <= ID_JSON_BYTES_MAX;
        Some(EventName { id: digest_of(b"ashiato event", &text), is_written: is_short })
    }
}

/// The version of UUIDs that stand for a text (RFC 9562: a custom one).
pub(super) const DIGEST_VERSION: u8 = 8;

/// What stands for a text, the same wherever and whenever it is made.
fn digest_of(what: &[u8], text: &str) -> Uuid {
    let digest = Sha256::new().chain_update(what).chain_update(text).finalize();
    let bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// An item's name: that of its `sku`, or of its `id`, as the contract reads it; empty if it has
/// none.
pub(super) type ItemName = String;

/// The first of two values that is a name: a text that is not empty, or a number.
pub(super) fn name_of_item(sku: Option<&[u8]>, id: Option<&[u8]>) -> ItemName {
    let text = |value: Option<&[u8]>| {
        let text = text_of(value?).filter(|text| !text.is_empty())?;
        Some(match text.len() <= SKU_BYTES_MAX {
            true => text.into_owned(),
            false => format!("sha256:{}", digest_of(b"ashiato item", &text).simple()),
        })
    };
    text(sku).or_else(|| text(id)).unwrap_or_default()
}

/// A string's text as the pipeline's decoder reads it: without its escapes.
pub(super) fn string_of(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    match read_json(std::str::from_utf8(value).ok()?, 1).ok()?.kind {
        JsonKind::String(text) => Some(text),
        _ => None,
    }
}

/// A string's text, or a number's.
fn text_of(value: &[u8]) -> Option<Cow<'_, str>> {
    match value.first()? {
        b'"' => string_of(value),
        b'0'..=b'9' | b'-' => std::str::from_utf8(value).ok().map(Cow::Borrowed),
        _ => None,
    }
}

/// A number, or a text that is one: `2`, `2.0`, `"2"`; less than none is none at all.
pub(super) fn quantity_of(value: &[u8]) -> Option<u64> {
    let text = text_of(value)?;
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    // A float that is too large or below 0 becomes the nearest number that there is.
    text.parse().ok().or_else(|| number().map(|number| number.ceil() as u64))
}

/// `"ad"` as `{"channel":"ad"}`, an object with its keys sorted; others, and long ones, are none.
pub(super) fn via_of(value: &[u8]) -> Option<Via> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= VIA_BYTES_MAX)?;
    let via = match value.first()? {
        b'"' if text.len() > 2 => format!("{{\"channel\":{text}}}"),
        b'{' if text.len() > 2 => text.to_owned(),
        _ => return None,
    };
    let json = read_json(&via, VIA_DEPTH_MAX).ok()?;
    let mut sorted = String::with_capacity(via.len());
    write_sorted(&json, &mut sorted);
    Some(sorted).filter(|via| via.len() > 2)
}

/// Writes a value without blanks and with sorted keys, of equal ones the last, so that what is
/// equal is the same text. Numbers stay as they are written.
fn write_sorted(json: &Json<'_>, out: &mut String) {
    let write_text = |text: &str, out: &mut String| {
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    };
    match &json.kind {
        JsonKind::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|one, other| one.key.cmp(&other.key));
            out.push('{');
            for (place, member) in members.iter().enumerate() {
                if members.get(place + 1).is_some_and(|next| next.key == member.key) {
                    continue;
                }
                if !out.ends_with('{') {
                    out.push(',');
                }
                write_text(&member.key, out);
                out.push(':');
                write_sorted(&member.value, out);
            }
            out.push('}');
        }
        JsonKind::Array(elements) => {
            out.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_sorted(element, out);
            }
            out.push(']');
        }
        JsonKind::String(text) => write_text(text, out),
        JsonKind::Null | JsonKind::Bool(_) | JsonKind::Number => out.push_str(json.raw),
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
