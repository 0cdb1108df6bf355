//! The rules of visits: when one goes on, when another begins, and how its events count.

use uuid::Uuid;

use super::attribution::{Attribution, AttributionRules, EventFacts, attribute, is_over};
use super::ids::Ids;
use super::record::{ShortCookie, VisitorRecord};

/// How visits and their attribution go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitRules {
    /// How long a visit lasts without an event that renews it, in milliseconds. It is over from
    /// the millisecond on at which this time is up.
    pub short_ttl_ms: i64,
    /// How long a visitor is known without an event, in milliseconds.
    pub long_ttl_ms: i64,
    /// How `via` is attributed.
    pub attribution: AttributionRules,
}

impl VisitRules {
    /// How long a visitor's record is of use, in milliseconds: whatever lasts longest of what it
    /// holds. The long id needs no record, as the visitor brings it.
    pub fn record_ttl_ms(&self) -> i64 {
        let AttributionRules { via_ttl_ms, cart_ttl_ms, .. } = self.attribution;
        self.short_ttl_ms.max(via_ttl_ms).max(cart_ttl_ms)
    }
}

/// What an event is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitOutcome {
    /// The visitor.
    pub long: Uuid,
    /// The visit.
    pub short: Uuid,
    /// The event's number within the visit, from 1.
    pub seq: u64,
    /// What led to it.
    pub attribution: Attribution,
}

/// Applies events of one visitor, in their order, to what is known.
///
/// Without a record the cookie says which visit goes on, if it does. A clock that steps back ends
/// no visit: a visit's time never goes back.
pub(super) fn advance(
    known: Option<VisitorRecord>,
    long: Uuid,
    cookie: Option<ShortCookie>,
    events: &[EventFacts],
    now_ms: i64,
    rules: &VisitRules,
    ids: &dyn Ids,
) -> (VisitorRecord, Vec<VisitOutcome>) {
    let mut record = known
        .or_else(|| cookie.map(|cookie| of_cookie(cookie, now_ms)))
        .unwrap_or_else(|| fresh(now_ms));
    if record.short.is_nil() || is_over(record.seen_ms, rules.short_ttl_ms, now_ms) {
        record.short = ids.next(now_ms);
        record.seq = 0;
        record.seen_ms = now_ms;
    }
    record.revision += 1;
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        record.seq = record.seq.saturating_add(1);
        if event.renews {
            record.seen_ms = record.seen_ms.max(now_ms);
        }
        let VisitorRecord { touch, cart, .. } = &mut record;
        let attribution = attribute(touch, cart, event, now_ms, &rules.attribution);
        outcomes.push(VisitOutcome { long, short: record.short, seq: record.seq, attribution });
    }
    (record, outcomes)
}

fn fresh(now_ms: i64) -> VisitorRecord {
    let short = Uuid::nil();
    VisitorRecord { short, seq: 0, seen_ms: now_ms, revision: 0, touch: None, cart: Vec::new() }
}

/// Who brings the cookie may have written it: a time to come would make a visit without end.
fn of_cookie(cookie: ShortCookie, now_ms: i64) -> VisitorRecord {
    let ShortCookie { short, seen_ms, seq } = cookie;
    let seen_ms = seen_ms.min(now_ms);
    VisitorRecord { short, seq, seen_ms, revision: 0, touch: None, cart: Vec::new() }
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
