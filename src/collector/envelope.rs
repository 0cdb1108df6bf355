//! The line that lands: what the collector knows, then the client's own object, byte for byte.
//!
//! ```json
//! {"event_id":"0199…","received_at":"2026-11-21T04:00:00.123Z","collector":"web-1",
//!  "user_agent":"Mozilla/5.0 …","ip":"2001:db8::1",
//!  "visit":{"short":"0199…","long":"0199…","seq":3},"via":{"channel":"ad"},
//!  "item_via":[{"sku":"7","via":{"channel":"ad"}}],"body":{"event":"cart_add",…}}
//! ```
//!
//! What is not known is left out. The line begins with the event's id, by which the spool knows it.

use std::io::Write;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use uuid::Uuid;

use crate::visits::{ItemVia, VisitOutcome};

/// What the events of a moment have in common.
#[derive(Debug)]
pub(super) struct Letterhead {
    /// `"received_at":"…","collector":"…"`.
    text: String,
}

impl Letterhead {
    pub fn new(collector: &str, received_ms: i64) -> Self {
        let received = DateTime::from_timestamp_millis(received_ms).unwrap_or_default();
        let received = received.to_rfc3339_opts(SecondsFormat::Millis, true);
        Letterhead { text: format!("\"received_at\":\"{received}\",\"collector\":\"{collector}\"") }
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
pub(super) struct Letter<'a> {
    pub id: Uuid,
    pub sender: &'a Sender,
    /// None for those whose ids are not taken.
    pub visit: Option<&'a VisitOutcome>,
    /// What led to the event where there is no visit.
    pub via: Option<&'a str>,
    pub body: &'a str,
}

/// Appends the line of an event.
pub(super) fn write_line(head: &Letterhead, letter: &Letter<'_>, lines: &mut Vec<u8>) {
    let put = |lines: &mut Vec<u8>, text: &str| lines.extend_from_slice(text.as_bytes());
    put(lines, "{\"event_id\":\"");
    put_id(letter.id, lines);
    put(lines, "\",");
    put(lines, &head.text);
    if let Some(user_agent) = &letter.sender.user_agent {
        put(lines, ",\"user_agent\":");
        put(lines, user_agent);
    }
    if let Some(ip) = letter.sender.ip {
        // Writing to memory does not fail.
        let _ = write!(lines, ",\"ip\":\"{ip}\"");
    }
    let mut via = letter.via;
    if let Some(visit) = letter.visit {
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
    let items = letter.visit.map_or(&[][..], |visit| &visit.attribution.items);
    if !items.is_empty() {
        write_items(items, lines);
    }
    put(lines, ",\"body\":");
    put(lines, letter.body);
    put(lines, "}\n");
}

fn put_id(id: Uuid, lines: &mut Vec<u8>) {
    let mut buffer = Uuid::encode_buffer();
    lines.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}

fn write_items(items: &[ItemVia], lines: &mut Vec<u8>) {
    lines.extend_from_slice(b",\"item_via\":[");
    for (place, item) in items.iter().enumerate() {
        lines.extend_from_slice(if place == 0 { b"{\"sku\":" } else { b",{\"sku\":" });
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *lines, &item.sku);
        if let Some(via) = &item.via {
            lines.extend_from_slice(b",\"via\":");
            lines.extend_from_slice(via.as_bytes());
        }
        lines.push(b'}');
    }
    lines.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visits::Attribution;

    #[test]
    fn a_line_is_json_that_holds_all_that_is_known_and_the_body_as_it_is() {
        let visit = VisitOutcome {
            long: Uuid::from_u64_pair(0, 1),
            short: Uuid::from_u64_pair(0, 2),
            seq: 3,
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
        let letter = Letter { id, sender: &sender, visit: Some(&visit), via: None, body };
        let mut lines = Vec::new();
        write_line(&Letterhead::new("web-1", 1_795_233_900_123), &letter, &mut lines);
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
        let letter = Letter { id, sender: &sender, visit: None, via: None, body: "{}" };
        let mut lines = Vec::new();
        write_line(&Letterhead::new("c", 0), &letter, &mut lines);
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["body", "collector", "event_id", "received_at"]);
    }
}
