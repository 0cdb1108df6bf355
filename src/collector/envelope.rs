//! The line that lands: what the collector knows, then the client's own object, byte for byte.
//!
//! ```json
//! {"event_id":"0199…","received_at":"2026-11-21T04:00:00.123Z","collector":"web-1",
//!  "user_agent":"Mozilla/5.0 …","ip":"2001:db8::1",
//!  "visit":{"short":"0199…","long":"0199…","seq":3},"via":{"channel":"ad"},
//!  "item_via":[{"sku":"7","via":{"channel":"ad"}}],"body":{"event":"cart_add",…}}
//! ```
//!
//! What is not known is left out. Where the client's time or service does not count (see `claims`),
//! `"time"` has the arrival's and `"client_time"` its own, and `"service"` is `other`, as is
//! `"event"` of one without a name.
//!
//! `item_via` has an element for each of the event's items, in their
//! order, and an item without a name has none there either. Where that makes many bytes, an element
//! has no `sku`, and instead of a `via` that an earlier one has, that one's number, from 1:
//!
//! ```json
//! "item_via":[{"via":{"channel":"ad"}},{"same_as":1},{},{"same_as":1}]
//! ```
//!
//! A line is never longer than is configured, so that whoever reads it can count on that: of very
//! many different `via`s those that have no room are left out, and counted.

use std::io::Write;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use uuid::Uuid;

use super::claims::Replaced;
use super::visits::{ItemVia, VisitOutcome};

/// What the events of a moment have in common.
#[derive(Debug)]
pub(super) struct EnvelopeHeader {
    /// `"received_at":"…","collector":"…"`.
    text: String,
    /// Bytes of a line.
    line_bytes_max: usize,
    received: String,
}

impl EnvelopeHeader {
    pub fn new(collector: &str, received_ms: i64, line_bytes_max: usize) -> Self {
        let received = DateTime::from_timestamp_millis(received_ms).unwrap_or_default();
        let received = received.to_rfc3339_opts(SecondsFormat::Millis, true);
        let text = format!("\"received_at\":\"{received}\",\"collector\":\"{collector}\"");
        EnvelopeHeader { text, received, line_bytes_max }
    }
}

/// Who sent a request, as far as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sender {
    pub ip: Option<IpAddr>,
    /// As a JSON string, with its quotes.
    pub user_agent: Option<String>,
}

/// What a line says of its event.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub id: Uuid,
    /// The client's own id as JSON, if it is another text or a number.
    pub id_text: Option<&'a str>,
    pub sender: &'a Sender,
    /// None for those whose ids are not taken.
    pub visit: Option<&'a VisitOutcome>,
    /// What led to the event where there is no visit.
    pub via: Option<&'a str>,
    /// What of the body does not count.
    pub replaced: Replaced<'a>,
    pub body: &'a str,
}

/// Bytes of all items' ways that are written in full.
pub(super) const WAYS_BYTES_FULL: usize = 4096;
/// What ends a line, around the event.
const TAIL_BYTES: usize = "],\"body\":}".len();

/// Appends the line of an event; gives how many items' `via` it has no room for.
pub(super) fn write_line(
    header: &EnvelopeHeader,
    envelope: &Envelope<'_>,
    lines: &mut Vec<u8>,
) -> usize {
    let start = lines.len();
    let put = |lines: &mut Vec<u8>, text: &str| lines.extend_from_slice(text.as_bytes());
    put(lines, "{\"event_id\":\"");
    match envelope.id_text {
        Some(text) => {
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            put(lines, inner.unwrap_or(text));
        }
        None => put_id(envelope.id, lines),
    }
    put(lines, "\",");
    put(lines, &header.text);
    if let Some(time) = envelope.replaced.time {
        for text in [",\"time\":\"", &header.received, "\",\"client_time\":", time] {
            put(lines, text);
        }
    }
    let Replaced { service, event, .. } = envelope.replaced;
    for (key, word) in [(",\"service\":\"", service), (",\"event\":\"", event)] {
        // A word of ours: it needs no escapes.
        if let Some(word) = word {
            [key, word, "\""].iter().for_each(|text| put(lines, text));
        }
    }
    if let Some(user_agent) = &envelope.sender.user_agent {
        put(lines, ",\"user_agent\":");
        put(lines, user_agent);
    }
    if let Some(ip) = envelope.sender.ip {
        // Writing to memory does not fail.
        let _ = write!(lines, ",\"ip\":\"{ip}\"");
    }
    let mut via = envelope.via;
    if let Some(visit) = envelope.visit {
        put(lines, ",\"visit\":{\"short\":\"");
        put_id(visit.short, lines);
        put(lines, "\",\"long\":\"");
        put_id(visit.long, lines);
        let _ = write!(lines, "\",\"seq\":{}}}", visit.seq);
        via = visit.attribution.via.as_deref();
    }
    if let Some(via) = via {
        put(lines, ",\"via\":");
        put(lines, via);
    }
    let items = envelope.visit.map_or(&[][..], |visit| &visit.attribution.items);
    let mut left_out = 0;
    if !items.is_empty() {
        let used = lines.len() - start + envelope.body.len() + TAIL_BYTES;
        left_out = write_items(items, header.line_bytes_max.saturating_sub(used), lines);
    }
    put(lines, ",\"body\":");
    put(lines, envelope.body);
    put(lines, "}\n");
    left_out
}

fn put_id(id: Uuid, lines: &mut Vec<u8>) {
    let mut buffer = Uuid::encode_buffer();
    lines.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}

/// Appends what led each item to the cart, in at most `room` bytes, if all that is left out makes
/// it so; gives how many `via`s are.
fn write_items(items: &[ItemVia], bytes_max: usize, lines: &mut Vec<u8>) -> usize {
    let start = lines.len();
    lines.extend_from_slice(b",\"item_via\":[");
    let begun = lines.len();
    if write_items_in_full(items, start + bytes_max.min(WAYS_BYTES_FULL), lines) {
        return 0;
    }
    lines.truncate(begun);
    write_items_by_number(items, start + bytes_max, lines)
}

/// Whether all items have room before `end`.
fn write_items_in_full(items: &[ItemVia], end: usize, lines: &mut Vec<u8>) -> bool {
    for (place, item) in items.iter().enumerate() {
        lines.extend_from_slice(if place == 0 { b"{" } else { b",{" });
        if !item.sku.is_empty() {
            lines.extend_from_slice(b"\"sku\":");
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(&mut *lines, &item.sku);
        }
        if let Some(via) = &item.via {
            lines.extend_from_slice(if item.sku.is_empty() { b"\"via\":" } else { b",\"via\":" });
            lines.extend_from_slice(via.as_bytes());
        }
        lines.push(b'}');
        if lines.len() > end {
            return false;
        }
    }
    lines.push(b']');
    lines.len() <= end
}

/// Writes each `via` once.
fn write_items_by_number(items: &[ItemVia], end: usize, lines: &mut Vec<u8>) -> usize {
    let mut written: Vec<(&str, usize)> = Vec::new();
    let mut left_out = 0;
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            lines.push(b',');
        }
        let rest = (items.len() - place - 1) * ",{}".len() + "]".len();
        let begun = lines.len();
        if let Some(via) = item.via.as_deref() {
            match written.iter().find(|(one, _)| *one == via) {
                // Writing to memory does not fail.
                Some((_, number)) => drop(write!(lines, "{{\"same_as\":{number}}}")),
                None => drop(write!(lines, "{{\"via\":{via}}}")),
            }
            if lines.len() + rest > end {
                lines.truncate(begun);
                left_out += 1;
            } else if lines[begun..].starts_with(b"{\"via\"") {
                written.push((via, place + 1));
            }
        }
        if lines.len() == begun {
            lines.extend_from_slice(b"{}");
        }
    }
    lines.push(b']');
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::visits::attribution::Attribution;

    #[test]
    fn a_line_is_json_that_holds_all_that_is_known_and_the_body_as_it_is() {
        let visit = VisitOutcome {
            long: Uuid::from_u64_pair(0, 1),
            short: Uuid::from_u64_pair(0, 2),
            seq: 3,
            seen_ms: 4,
            attribution: Attribution {
                via: Some(r#"{"channel":"ad"}"#.into()),
                items: vec![ItemVia { sku: "7\"".into(), via: None }],
            },
        };
        let sender = Sender {
            ip: Some("2001:db8::1".parse().unwrap()),
            user_agent: Some(r#""a\"b""#.into()),
        };
        let (id, body) = (Uuid::from_u64_pair(0, 9), r#"{"price":1.50,"名":"足"}"#);
        let replaced = Replaced::default();
        let (sender, visit, id_text) = (&sender, Some(&visit), None);
        let envelope = Envelope { id, id_text, sender, visit, via: None, replaced, body };
        let mut lines = Vec::new();
        write_line(&EnvelopeHeader::new("web-1", 1_795_233_900_123, 65_536), &envelope, &mut lines);
        let expected = concat!(
            r#"{"event_id":"00000000-0000-0000-0000-000000000009","#,
            r#""received_at":"2026-11-21T04:05:00.123Z","collector":"web-1","#,
            r#""user_agent":"a\"b","ip":"2001:db8::1","#,
            r#""visit":{"short":"00000000-0000-0000-0000-000000000002","#,
            r#""long":"00000000-0000-0000-0000-000000000001","seq":3},"#,
            r#""via":{"channel":"ad"},"item_via":[{"sku":"7\""}],"#,
            r#""body":{"price":1.50,"名":"足"}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let (id, sender) = (Uuid::from_u64_pair(0, 9), Sender::default());
        let (id_text, body) = (Some("\"evt_1\""), "{}");
        let other = Some("other");
        let replaced = Replaced { time: Some("\"2031\""), service: other, event: other };
        let sender = &sender;
        let envelope = Envelope { id, id_text, sender, visit: None, via: None, replaced, body };
        let mut lines = Vec::new();
        write_line(&EnvelopeHeader::new("c", 0, 65_536), &envelope, &mut lines);
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        assert_eq!((&line["time"], &line["client_time"]), (&line["received_at"], &"2031".into()));
        assert_eq!((&line["service"], &line["event"]), (&"other".into(), &"other".into()));
        let envelope = Envelope { replaced: Replaced::default(), ..envelope };
        let mut lines = Vec::new();
        write_line(&EnvelopeHeader::new("c", 0, 65_536), &envelope, &mut lines);
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["body", "collector", "event_id", "received_at"]);
        assert_eq!(line["event_id"], "evt_1");
    }

    fn items(count: usize, via: impl Fn(usize) -> Option<String>) -> Vec<ItemVia> {
        (0..count).map(|at| ItemVia { sku: format!("sku-{at}"), via: via(at) }).collect()
    }

    /// What is written for items, and how many are left out.
    fn written(items: &[ItemVia], bytes_max: usize) -> (serde_json::Value, usize) {
        let mut lines = b"{\"a\":1".to_vec();
        let before = lines.len();
        let left_out = write_items(items, bytes_max, &mut lines);
        assert!(lines.len() - before <= bytes_max, "{} of {bytes_max}", lines.len() - before);
        lines.push(b'}');
        let value: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        (value["item_via"].clone(), left_out)
    }

    #[test]
    fn each_item_keeps_its_place_and_one_without_a_name_has_none() {
        let mut items = items(3, |at| Some(format!("{{\"n\":{at}}}")));
        items[0].sku.clear();
        items[1].via = None;
        let expected = serde_json::json!([
            {"via": {"n": 0}}, {"sku": "sku-1"}, {"sku": "sku-2", "via": {"n": 2}}
        ]);
        assert_eq!(written(&items, 60_000), (expected, 0));
    }

    #[test]
    fn many_bytes_of_the_same_via_are_written_once() {
        let (ad, mail) = ("{\"n\":\"ad\"}", format!("{{\"n\":\"{}\"}}", "m".repeat(240)));
        let items = items(200, |at| match at % 3 {
            0 => Some(ad.to_owned()),
            1 => Some(mail.clone()),
            _ => None,
        });
        let (value, left_out) = written(&items, 60_000);
        assert_eq!(left_out, 0);
        let value = value.as_array().unwrap();
        assert_eq!(value.len(), 200);
        assert_eq!(value[0], serde_json::json!({"via": {"n": "ad"}}));
        assert_eq!(value[1]["via"]["n"].as_str().unwrap().len(), 240);
        for (at, found) in value.iter().enumerate().skip(3) {
            let expected = [serde_json::json!({"same_as": 1}), serde_json::json!({"same_as": 2})];
            assert_eq!(found, expected.get(at % 3).unwrap_or(&serde_json::json!({})), "{at}");
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_and_counted() {
        let items = items(200, |at| Some(format!("{{\"n\":\"{}{at}\"}}", "m".repeat(240))));
        let (value, left_out) = written(&items, 20_000);
        let value = value.as_array().unwrap();
        assert_eq!(value.len(), 200);
        assert!(value[0]["via"].is_object() && left_out > 100 && left_out < 150, "{left_out}");
        assert_eq!(value.iter().filter(|one| one["via"].is_object()).count(), 200 - left_out);
        let least = ",\"item_via\":[{}".len() + 199 * ",{}".len() + "]".len();
        assert_eq!(written(&items, least).1, 200);
    }

    #[test]
    fn an_envelope_has_room_for_the_longest_of_all_that_stands_around_an_event() {
        let (id, via) = (Uuid::max(), format!("{{\"channel\":\"{}\"}}", "v".repeat(254)));
        let items = items(crate::collector::events::ITEMS_MAX, |_| Some(via.clone()));
        let attribution = Attribution { via: Some(via), items };
        let (short, long, seq) = (id, id, u64::MAX);
        let visit = VisitOutcome { short, long, seq, seen_ms: 0, attribution };
        let ip = Some("2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap());
        let agent = serde_json::to_string(&"\"".repeat(1024)).ok();
        let sender = Sender { ip, user_agent: agent };
        let id_text = format!("\"{}\"", "i".repeat(crate::collector::members::ID_JSON_BYTES_MAX));
        let body = format!("{{\"a\":\"{}\"}}", "b".repeat(1000));
        let header = EnvelopeHeader::new(
            &"c".repeat(64),
            1_795_233_900_123,
            body.len() + crate::collector::config::ENVELOPE_BYTES_MAX,
        );
        let (id_text, visit) = (Some(id_text.as_str()), Some(&visit));
        let time = format!("\"{}\"", "9".repeat(62));
        let other = Some("other");
        let replaced = Replaced { time: Some(&time), service: other, event: other };
        let (sender, body) = (&sender, &*body);
        let envelope = Envelope { id, id_text, sender, visit, via: None, replaced, body };
        let mut lines = Vec::new();
        write_line(&header, &envelope, &mut lines);
        assert!(lines.len() <= header.line_bytes_max + 1, "{}", lines.len());
        serde_json::from_slice::<serde_json::Value>(&lines).unwrap();
    }
}
