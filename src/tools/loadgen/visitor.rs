//! Visitors: what they do, in which order, and the cookies they were given.

use std::fmt::Write;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};
use uuid::Uuid;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 \
     Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/143.0.0.0 Safari/537.36",
];
const SERVICES: [&str; 4] = ["books", "fashion", "food", "beauty"];
const CHANNELS: [&str; 5] = ["search", "recommendation", "mail", "ad", "social"];
/// Events of the longest visit; half of the visits have fewer than half of them.
const VISIT_EVENTS_MAX: u32 = 24;

/// One visitor on a connection.
#[derive(Debug)]
pub(super) struct SimulatedVisitor {
    random: Pcg64Mcg,
    /// `ashiato_short=…; ashiato_long=…`, as the collector gave them.
    pub cookies: String,
    service: &'static str,
    agent: &'static str,
    /// Events that are left of the visit.
    left: u32,
    /// The item that is looked at.
    item: u32,
    /// Items in the cart.
    cart: Vec<u32>,
}

impl SimulatedVisitor {
    /// The visitor of a number; the same one does the same.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (service, agent) = (pick(&mut random, &SERVICES), pick(&mut random, &AGENTS));
        let left = 1 + random.next_u32() % VISIT_EVENTS_MAX;
        let (cookies, cart) = (String::new(), Vec::new());
        SimulatedVisitor { random, cookies, service, agent, left, item: 1, cart }
    }

    /// Whether the visit is over.
    pub fn is_gone(&self) -> bool {
        self.left == 0
    }

    pub fn agent(&self) -> &'static str {
        self.agent
    }

    /// The body of the next request: one event, or an array of some.
    pub fn next_body(&mut self, events: usize, now_ms: i64) -> String {
        if events == 1 {
            return self.next_event(now_ms);
        }
        let events: Vec<String> = (0..events).map(|_| self.next_event(now_ms)).collect();
        format!("[{}]", events.join(","))
    }

    fn next_event(&mut self, now_ms: i64) -> String {
        self.left = self.left.saturating_sub(1);
        let kind = match (self.left, self.cart.len(), self.random.next_u32() % 10) {
            (0, 1.., _) => "purchase",
            (_, ..3, 0) => "cart_add",
            (_, _, 1 | 2) => "search",
            (_, _, 3..=5) => "click",
            _ => "page_view",
        };
        if kind == "page_view" {
            self.item = self.random.next_u32() % 1000;
        }
        let (service, item) = (self.service, self.item);
        let time = chrono::DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
        let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let mut bits = [0; 16];
        self.random.fill_bytes(&mut bits);
        let id = uuid::Builder::from_random_bytes(bits).into_uuid();
        let mut buffer = Uuid::encode_buffer();
        let id = id.hyphenated().encode_lower(&mut buffer);
        let mut event = String::with_capacity(900);
        // Writing to memory does not fail.
        let _ = write!(
            event,
            concat!(
                r#"{{"v":2,"event_id":"{id}","time":"{time}","#,
                r#""service":"{service}","event":"{kind}","user":{{"id":null}},"#,
                r#""device":{{"screen":"393x852","language":"ja"}},"page":{{"url":"#,
                r#""https://{service}.ashiato.example/商品/{service}-{item:04}?from=list","#,
                r#""title":"季節のおすすめ {item} | 足跡","#,
                r#""referrer":"https://{service}.ashiato.example/"}}"#,
            ),
            id = id,
            time = time,
            service = service,
            kind = kind,
            item = item,
        );
        if self.random.next_u32().is_multiple_of(5) {
            let channel = pick(&mut self.random, &CHANNELS);
            let _ = write!(event, r#","via":{{"channel":"{channel}","campaign":"c-{item}"}}"#);
        }
        match kind {
            "cart_add" => {
                self.cart.push(item);
                push_cart(&mut event, service, &[item]);
            }
            "purchase" => {
                push_cart(&mut event, service, &std::mem::take(&mut self.cart));
                let _ = write!(event, r#","order":{{"id":"O-{id}","payment":"card"}}"#);
            }
            _ => {}
        }
        event.push_str(r#","perf":{"load_ms":80.93}}"#);
        event
    }
}

fn push_cart(event: &mut String, service: &str, items: &[u32]) {
    event.push_str(r#","cart":{"items":["#);
    for (place, item) in items.iter().enumerate() {
        event.push_str(if place == 0 { "" } else { "," });
        let price = 100 + item;
        let _ = write!(
            event,
            concat!(
                r#"{{"sku":"{service}-{item:04}","name":"足跡の本 {item}","category":"standard","#,
                r#""price":{price},"quantity":1,"amount":{price}}}"#,
            ),
            service = service,
            item = item,
            price = price,
        );
    }
    event.push_str("]}");
}

fn pick(random: &mut Pcg64Mcg, from: &[&'static str]) -> &'static str {
    from[random.next_u32() as usize % from.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn visitors_send_events_that_are_whole_and_never_the_same() {
        let mut ids = std::collections::HashSet::new();
        let (mut added, mut bought) = (0, 0);
        for number in 0..50 {
            let mut visitor = SimulatedVisitor::new(1, number);
            while !visitor.is_gone() {
                let event: Value = serde_json::from_str(&visitor.next_event(0)).unwrap();
                assert!(ids.insert(event["event_id"].as_str().unwrap().to_owned()));
                assert_eq!(event["time"], "1970-01-01T00:00:00.000Z");
                let items = event["cart"]["items"].as_array().map_or(0, Vec::len);
                match event["event"].as_str().unwrap() {
                    "cart_add" => added += items,
                    "purchase" => bought += items,
                    _ => assert_eq!(items, 0),
                }
            }
            let many: Value = serde_json::from_str(&visitor.next_body(3, 0)).unwrap();
            assert_eq!(many.as_array().unwrap().len(), 3);
        }
        assert!(bought > 10 && bought <= added, "{bought} of {added}");
    }
}
