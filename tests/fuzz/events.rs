//! Any bytes as a request's body, beside another reader of JSON, and as its cookies.
//!
//! The first byte picks the CPU, and whether each line stands for itself.

#![no_main]
// The modules are the program's own; what of them is used nowhere here is used there.
#![allow(dead_code, unused_imports, missing_docs)]

mod base;
mod collector;
#[path = "../../src/contract/mod.rs"]
mod contract;
#[path = "../../src/decode/mod.rs"]
mod decode;
#[path = "../../src/json/mod.rs"]
mod json;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::collector::CookieKeys;
use crate::collector::config::{CollectorConfig, CollectorLimits};
use crate::collector::events::{Body, EventReader, EventText};
use crate::collector::visits::{EventFacts, EventKind, ShortCookie};
use crate::json::scan::Cpu;

static LIMITS: LazyLock<CollectorLimits> = LazyLock::new(|| {
    let limits = CollectorConfig::default().limits;
    CollectorLimits { event_bytes_max: 2048, depth_max: 6, ..limits }
});

static KEYS: LazyLock<CookieKeys> = LazyLock::new(|| {
    let mut keys = CookieKeys::default();
    assert!(keys.push(&[7; 32]));
    keys
});

/// Whatever other cookies stand beside them, a visitor's own are found, and nobody else's are
/// believed.
fn check_cookies(bytes: &[u8]) {
    let (long, short) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let short = ShortCookie { short, seen_ms: 5, seq: 3 };
    let own = collector::cookies_of(long, short, &KEYS);
    let joined = [own.as_bytes(), b";", bytes].concat();
    let found = (Some(long), Some(short));
    assert_eq!(collector::read_cookies(&[&joined], &KEYS), found);
    assert_eq!(collector::read_cookies(&[own.as_bytes(), bytes], &KEYS), found);
    assert_eq!(collector::read_cookies(&[bytes], &KEYS), (None, None));
    // Without a key they are only bounded.
    let (_, visit) = collector::read_cookies(&[bytes], &CookieKeys::default());
    assert!(visit.is_none_or(|visit| visit.seq <= u64::from(u32::MAX) && visit.seen_ms >= 0));
}

fuzz_target!(|data: &[u8]| {
    let Some((&pick, bytes)) = data.split_first() else { return };
    check_cookies(bytes);
    let cpus = Cpu::available();
    let cpu = cpus[usize::from(pick) % cpus.len()];
    let is_ndjson = pick >= 192;
    let body = match Body::new(bytes) {
        Ok(body) => body,
        Err(fault) => {
            assert!(std::str::from_utf8(bytes).is_err());
            assert!(fault.before.len() < bytes.len());
            return;
        }
    };
    let reader = EventReader { limits: &LIMITS, renewing: &[], cpu };
    let is_json = is_json_text(body.text());
    match reader.read(&body, is_ndjson) {
        Err(fault) => {
            assert!(fault.at <= body.text().len());
            // All JSON of objects is taken; what is too deep or too long says so.
            let bounded = fault.message.contains("too deep") || fault.message.contains("at most");
            let object = body.text().trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
            assert!(!(is_json && object) || bounded, "{}", fault.message);
        }
        Ok(events) => {
            for event in events.into_iter().flatten() {
                let text = match &event.text {
                    EventText::InBody(range) => &body.text()[range.clone()],
                    EventText::Own(text) => text,
                };
                let own = match &event.text {
                    EventText::InBody(_) => body.text(),
                    EventText::Own(text) => text,
                };
                // An id that is written as it stands is a text or a number, and not long.
                let id = event.id_text.clone().map(|range| &own[range]);
                assert!(id.is_none_or(|id| is_json_text(id) && id.len() <= 260), "{id:?}");
                // It becomes a part of a line: an object, whole, on one line.
                assert!(text.starts_with('{') && text.ends_with('}'));
                assert!(!text.contains(['\n', '\r']) && text.len() <= 2048);
                assert!(is_json_text(text), "{text}");
                check_facts(&event.facts, text);
            }
        }
    }
});

/// An event is taken for what another reader finds in it, whatever of it is escaped.
fn check_facts(facts: &EventFacts, text: &str) {
    // That reader has no numbers that are too large for a double.
    let Ok(found) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let kind = EventKind::of(found["event"].as_str().unwrap_or_default());
    // One that does not say what the cart is is no update of it.
    assert!(facts.kind == kind || kind == EventKind::CartUpdate, "{text}");
    let id = &found["event_id"];
    assert!(facts.id.is_none() || id.is_string() || id.is_number(), "{text}");
}

/// Whether another reader calls it JSON, whatever its numbers' size.
fn is_json_text(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
