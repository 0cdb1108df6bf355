//! A body's events: where each begins and ends, and the few members that the collector looks at.
//!
//! ```text
//! body     [{"event_id":"0199…","event":"cart_add","cart":{"items":[{"sku":"7"}]}}, 17]
//! events   Ok(0..70: id 0199…, cart_add of sku 7)
//!          Err("expected an object, found a number")
//! ```
//!
//! What is plain JSON on one line is checked by the decoder's own loops, without a tree. What they
//! give up on (line ends between tokens, or no JSON at all) is read once more by the reference
//! reader, which knows the place of a fault.

use std::borrow::Cow;
use std::ops::Range;

use super::claims::Claims;
use super::config::CollectorLimits;
use super::members::{EventName, ItemName, name_of_item, quantity_of, string_of, via_of};
use super::visits::{EventFacts, EventKind, ItemFacts};
use crate::json::scan::{Cpu, SCAN_PADDING, Span, scan_members};
use crate::json::{JsonFault, JsonFaultKind, read_json};

/// Items of an event that are looked at.
pub(super) const ITEMS_MAX: usize = 200;

/// A byte order mark, which is no part of the text (RFC 8259, 8.1).
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What stands after a body.
const PADDING: &str = match str::from_utf8(&[0; SCAN_PADDING]) {
    Ok(zeros) => zeros,
    Err(_) => panic!("zeros are UTF-8"),
};

/// A body, checked to be UTF-8, with some bytes more after it.
#[derive(Debug)]
pub struct Body {
    padded: String,
    length: usize,
    has_escapes: bool,
    /// Bytes that stood before the text.
    pub skipped: usize,
}

/// A body that is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUtf8 {
    /// What was expected and found.
    pub message: String,
    /// The text up to the place.
    pub before: String,
}

impl Body {
    /// Takes a body's bytes. Escapes of what no table can hold become `\ufffd`: U+0000, and half a
    /// surrogate pair, which `JSON.stringify` makes of a text that was cut within an emoji.
    ///
    /// # Errors
    /// Where they are not UTF-8.
    pub fn new(bytes: &[u8]) -> Result<Self, NotUtf8> {
        let skipped = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
        let bytes = &bytes[skipped..];
        let Ok(text) = simdutf8::basic::from_utf8(bytes) else {
            let at = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
            let found = bytes.get(at).copied().unwrap_or(0);
            let message = format!("expected UTF-8, found byte 0x{found:02x}");
            let before = String::from_utf8_lossy(&bytes[..at]).into_owned();
            return Err(NotUtf8 { message, before });
        };
        let has_escapes = memchr::memchr(b'\\', text.as_bytes()).is_some();
        let mended = if has_escapes { mend_escapes(text) } else { Cow::Borrowed(text) };
        let mut padded = String::with_capacity(mended.len() + PADDING.len());
        padded.push_str(&mended);
        padded.push_str(PADDING);
        Ok(Body { padded, length: mended.len(), has_escapes, skipped })
    }

    /// The text, without what was added.
    pub fn text(&self) -> &str {
        &self.padded[..self.length]
    }

    fn bytes(&self) -> &[u8] {
        self.text().as_bytes()
    }

    fn padded(&self) -> &[u8] {
        self.padded.as_bytes()
    }

    fn source(&self) -> EventSource<'_> {
        EventSource { bytes: self.padded(), has_escapes: self.has_escapes }
    }
}

/// What the places of members are places of.
#[derive(Debug, Clone, Copy)]
struct EventSource<'a> {
    /// The text, and some bytes more.
    bytes: &'a [u8],
    /// Whether there is any backslash in it.
    has_escapes: bool,
}

impl<'a> EventSource<'a> {
    /// A member's key as the pipeline's decoder compares it: without its escapes.
    fn key(self, span: &Span) -> Cow<'a, [u8]> {
        let key = &self.bytes[span.key.clone()];
        if self.has_escapes
            && memchr::memchr(b'\\', key).is_some()
            && let Some(text) = string_of(key)
        {
            return Cow::Owned(text.into_owned().into_bytes());
        }
        Cow::Borrowed(key.get(1..key.len().saturating_sub(1)).unwrap_or_default())
    }

    /// The value of an object's member; of equal keys the last counts.
    fn member(self, spans: &[Span], name: &[u8]) -> Option<Range<usize>> {
        let span = spans.iter().rev().find(|span| *self.key(span) == *name)?;
        Some(span.value.clone())
    }
}

/// Puts `\ufffd` for escapes of U+0000 and of half a surrogate pair; all else stays where it is.
fn mend_escapes(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let unit_at = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let Some(mut at) = memchr::memchr(b'\\', bytes) else { return Cow::Borrowed(text) };
    let mut mended = Cow::Borrowed(bytes);
    while at < bytes.len() {
        // Every escape is a backslash and what follows, so that `\\ud800` is none.
        at += match unit_at(at) {
            Some(0xd800..0xdc00) if matches!(unit_at(at + 6), Some(0xdc00..0xe000)) => 12,
            Some(0 | 0xd800..0xe000) => {
                mended.to_mut()[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            _ => 2,
        };
        let rest = bytes.get(at..).unwrap_or_default();
        at += memchr::memchr(b'\\', rest).unwrap_or(rest.len());
    }
    match mended {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        // ASCII took ASCII's place.
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// Why a whole body is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// Whether it would be taken if it were shorter.
    pub is_too_large: bool,
    /// What was expected and found.
    pub message: String,
    /// Where, in bytes from 0.
    pub at: usize,
}

/// Where an event's text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventText {
    /// In the body, on one line.
    InBody(Range<usize>),
    /// As its own, as it had line ends, which are blanks now.
    Own(String),
}

/// An event that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its text: an object on one line.
    pub text: EventText,
    /// Where in the body, or in its own text, its id stands as JSON; none if it has none, or one
    /// that is written as [`EventFacts::id`] is.
    pub id_text: Option<Range<usize>>,
    /// What the rules of visits need to know.
    pub facts: EventFacts,
    /// What decides where it lies.
    pub claims: Claims,
}

/// Why an event is refused; the others of the body are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRefusal {
    /// What was expected and found.
    pub reason: String,
}

/// A body's events in their order.
pub type Events = Vec<Result<Event, EventRefusal>>;

/// Finds a body's events.
#[derive(Debug, Clone)]
pub struct EventReader<'a> {
    /// What is refused.
    pub limits: &'a CollectorLimits,
    /// Events that renew a visit; all if empty.
    pub renewing: &'a [String],
    /// The machine's instructions.
    pub cpu: Cpu,
}

impl EventReader<'_> {
    /// The events of a body that is an object, an array of them, or objects on lines of their own.
    ///
    /// With `is_ndjson` each line stands for itself; else the first value decides. Of too many
    /// events one more than may be is looked at.
    ///
    /// # Errors
    /// The fault, if the body is none of these; nothing of it is taken then.
    pub fn read(&self, body: &Body, is_ndjson: bool) -> Result<Events, BodyError> {
        let bytes = body.bytes();
        let start = skip_whitespace(bytes, 0);
        if start == bytes.len() {
            let message = "expected an object, an array or lines of them, found nothing".to_owned();
            return Err(BodyError { is_too_large: false, message, at: start });
        }
        let mut spans = Vec::new();
        if is_ndjson {
            return Ok(self.lines(body, &mut spans));
        }
        if bytes[start] == b'[' {
            return self.array(body, start, &mut spans);
        }
        let line_end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        if skip_whitespace(bytes, line_end) == bytes.len() {
            return self.whole(body, start..bytes.len(), &mut spans).map(|event| vec![event]);
        }
        // More than a line: lines of objects if the first one is whole, else one that is laid out.
        match scan_members(self.cpu, body.padded(), start, self.limits.depth_max, &mut spans) {
            Some(end) if skip_blanks(bytes, end) == line_end => Ok(self.lines(body, &mut spans)),
            _ => self.whole(body, start..bytes.len(), &mut spans).map(|event| vec![event]),
        }
    }

    /// One value that is the whole body.
    fn whole(
        &self,
        body: &Body,
        range: Range<usize>,
        spans: &mut Vec<Span>,
    ) -> Result<Result<Event, EventRefusal>, BodyError> {
        match self.event(body, range.clone(), spans) {
            Ok(event) => Ok(Ok(event)),
            Err(EventError::Syntax(fault)) => Err(at_place(&fault, range.start)),
            Err(EventError::Refused(refusal)) => Err(BodyError {
                is_too_large: range.len() > self.limits.event_bytes_max,
                message: refusal.reason,
                at: range.start,
            }),
        }
    }

    /// Each line by itself.
    fn lines(&self, body: &Body, spans: &mut Vec<Span>) -> Events {
        let (bytes, mut events, mut start) = (body.bytes(), Vec::new(), 0);
        while start < bytes.len() && events.len() <= self.limits.events_max {
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
            let (first, last) = (skip_blanks(bytes, start).min(end), end);
            if first < last {
                events.push(self.event(body, first..last, spans).map_err(EventError::into_refusal));
            }
            start = end + 1;
        }
        events
    }

    /// The elements of an array.
    fn array(&self, body: &Body, start: usize, spans: &mut Vec<Span>) -> Result<Events, BodyError> {
        let bytes = body.bytes();
        let levels_max = self.limits.depth_max + 1;
        let scanned = scan_members(self.cpu, body.padded(), start, levels_max, spans);
        let whole = scanned.is_some_and(|end| skip_whitespace(bytes, end) == bytes.len());
        let elements: Vec<Range<usize>> = if whole {
            spans.iter().map(|span| span.value.clone()).collect()
        } else {
            let text = body.text();
            let value = read_json(&text[start..], usize::MAX);
            let value = value.map_err(|fault| at_place(&fault, start))?;
            match &value.kind {
                crate::json::JsonKind::Array(elements) => {
                    elements.iter().map(|element| element.range_in(text)).collect()
                }
                _ => Vec::new(),
            }
        };
        let event = |element: Range<usize>| {
            self.event(body, element, spans).map_err(EventError::into_refusal)
        };
        Ok(elements.into_iter().take(self.limits.events_max + 1).map(event).collect())
    }

    /// The event in a range that holds one value and white space.
    fn event(
        &self,
        body: &Body,
        range: Range<usize>,
        spans: &mut Vec<Span>,
    ) -> Result<Event, EventError> {
        let bytes = body.bytes();
        if range.len() > self.limits.event_bytes_max {
            let (found, max) = (range.len(), self.limits.event_bytes_max);
            return Err(refused(format!("expected at most {max} bytes, found {found}")));
        }
        let depth_max = self.limits.depth_max;
        if bytes[range.start] == b'{'
            && let Some(end) = scan_members(self.cpu, body.padded(), range.start, depth_max, spans)
            && skip_whitespace(bytes, end).min(range.end) == range.end
            && end <= range.end
            // A carriage return ends a line for some who read it.
            && memchr::memchr(b'\r', &bytes[range.start..end]).is_none()
        {
            let (facts, id_text, claims) = self.look_into(body.source(), spans);
            return Ok(Event { text: EventText::InBody(range.start..end), id_text, facts, claims });
        }
        self.read_by_reference(&body.text()[range])
    }

    /// An event that the fast reader gives up on.
    fn read_by_reference(&self, text: &str) -> Result<Event, EventError> {
        let value = read_json(text, self.limits.depth_max).map_err(EventError::Syntax)?;
        if !value.raw.starts_with('{') {
            let found = crate::json::excerpt(value.raw);
            return Err(refused(format!("expected an object, found `{found}`")));
        }
        // Between tokens a line end is as good as a blank, and nowhere else can one stand.
        let text = value.raw.replace(['\n', '\r'], " ");
        let mut padded = text.clone().into_bytes();
        padded.resize(text.len() + SCAN_PADDING, 0);
        let mut spans = Vec::new();
        let scanned = scan_members(self.cpu, &padded, 0, self.limits.depth_max, &mut spans);
        debug_assert!(scanned.is_some(), "the two readers disagree about {text}");
        let has_escapes = memchr::memchr(b'\\', &padded).is_some();
        let source = EventSource { bytes: &padded, has_escapes };
        let (facts, id_text, claims) = self.look_into(source, &mut spans);
        Ok(Event { text: EventText::Own(text), id_text, facts, claims })
    }

    /// What the collector needs of an event's members, where its id stands if that has to be known,
    /// and what it claims; of equal keys the last counts.
    fn look_into(
        &self,
        source: EventSource<'_>,
        spans: &mut Vec<Span>,
    ) -> (EventFacts, Option<Range<usize>>, Claims) {
        let bytes = source.bytes;
        let (mut id, mut id_text, mut via, mut cart) = (None, None, None, None);
        let (mut name, mut claims) = (Cow::Borrowed(""), Claims::default());
        for span in spans.iter() {
            let value = &span.value;
            let value_bytes = &bytes[value.clone()];
            match &*source.key(span) {
                b"event_id" => {
                    let named = EventName::of(value_bytes);
                    id_text = named.filter(|name| name.is_written).map(|_| value.clone());
                    id = named.map(|name| name.id);
                }
                b"event" => {
                    name = string_of(value_bytes).unwrap_or_default();
                    claims.set_event(value_bytes);
                }
                b"via" => via = via_of(value_bytes),
                b"time" => claims.set_time(bytes, value.clone()),
                b"service" => claims.set_service(bytes, value.clone()),
                b"cart" => cart = Some(value.start),
                _ => {}
            }
        }
        let mut kind = EventKind::of(&name);
        let renews = self.renewing.is_empty() || self.renewing.iter().any(|known| *known == name);
        let items = match cart {
            Some(cart) if kind != EventKind::Other => self.items(source, cart, spans),
            _ => None,
        };
        if items.is_none() && kind == EventKind::CartUpdate {
            // It does not say what the cart is; an empty list would.
            kind = EventKind::Other;
        }
        let items = items.unwrap_or_default();
        (EventFacts { id, kind, renews, is_passive: false, via, items }, id_text, claims)
    }

    /// The items of a cart: `{"items":[{"sku":"7","quantity":2}]}`; none if there is no list. Each
    /// element has its place, whatever it is.
    fn items(
        &self,
        source: EventSource<'_>,
        cart: usize,
        spans: &mut Vec<Span>,
    ) -> Option<Vec<ItemFacts>> {
        let (bytes, depth_max) = (source.bytes, self.limits.depth_max);
        if bytes[cart] != b'{' {
            return None;
        }
        scan_members(self.cpu, bytes, cart, depth_max, spans)?;
        let list = source.member(spans, b"items")?;
        if bytes[list.start] != b'[' {
            return None;
        }
        scan_members(self.cpu, bytes, list.start, depth_max, spans)?;
        let elements: Vec<usize> =
            spans.iter().take(ITEMS_MAX).map(|span| span.value.start).collect();
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            if bytes[element] != b'{'
                || scan_members(self.cpu, bytes, element, depth_max, spans).is_none()
            {
                // It is no item, and puts none into the cart.
                items.push(ItemFacts { sku: ItemName::new(), quantity: Some(0) });
                continue;
            }
            let value = |name: &[u8]| source.member(spans, name).map(|value| &bytes[value]);
            let sku = name_of_item(value(b"sku"), value(b"id"));
            let quantity = value(b"quantity").and_then(quantity_of);
            items.push(ItemFacts { sku, quantity });
        }
        Some(items)
    }
}

/// Why an event is refused.
enum EventError {
    Syntax(JsonFault),
    Refused(EventRefusal),
}

impl EventError {
    fn into_refusal(self) -> EventRefusal {
        match self {
            EventError::Refused(refusal) => refusal,
            EventError::Syntax(JsonFault { expected, found, .. }) => {
                EventRefusal { reason: format!("expected {expected}, found {found}") }
            }
        }
    }
}

fn refused(reason: String) -> EventError {
    EventError::Refused(EventRefusal { reason })
}

fn at_place(fault: &JsonFault, start: usize) -> BodyError {
    let message = match fault.kind {
        JsonFaultKind::TooDeep => "objects and arrays nest too deep".to_owned(),
        _ => {
            // The reader counts from where it began; the place is told beside it.
            let found = fault.found.split(" at byte").next().unwrap_or_default();
            format!("expected {}, found {found}", fault.expected)
        }
    };
    BodyError { is_too_large: false, message, at: start + fault.at }
}

fn skip_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
