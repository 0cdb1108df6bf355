//! The rules of visits: when one goes on, when another begins, and how its events count.

use uuid::Uuid;

use super::attribution::{Attribution, AttributionRules, EventFacts, attribute, is_over};
use super::counted::CountedEvents;
use super::record::{ShortCookie, VisitorRecord};
use crate::base::ids::Ids;

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
    /// Bytes of a visitor's record beyond which it forgets what is oldest.
    pub record_bytes_max: usize,
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
    /// When the visit was renewed last, in milliseconds since 1970.
    pub seen_ms: i64,
    /// What led to it.
    pub attribution: Attribution,
}

/// Applies events of one visitor, in their order, to what is known.
///
/// Without a record the cookie says which visit goes on, if it does; so it does where it is newer
/// than the record, as a store may have lost its last second. An event that comes again counts
/// once. A clock that steps back a little ends no visit: a visit's time does not go back then. What
/// a clock far ahead left is taken to be of now.
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
        .map(|known| of_clock(known, now_ms))
        .or_else(|| cookie.map(|cookie| of_cookie(cookie, now_ms)))
        .unwrap_or_else(|| fresh(now_ms));
    if let Some(cookie) = cookie {
        catch_up(&mut record, cookie, now_ms);
    }
    if record.short.is_nil() || is_over(record.seen_ms, rules.short_ttl_ms, now_ms) {
        record.short = ids.next(now_ms);
        record.seq = 0;
        record.seen_ms = now_ms;
    }
    record.revision += 1;
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        if event.renews {
            record.seen_ms = record.seen_ms.max(now_ms);
        }
        let (seq, attribution) = count(&mut record, event, now_ms, &rules.attribution);
        let VisitorRecord { short, seen_ms, .. } = record;
        outcomes.push(VisitOutcome { long, short, seq, seen_ms, attribution });
    }
    (record, outcomes)
}

/// Counts an event, unless it was counted already; gives its number and what led to it.
fn count(
    record: &mut VisitorRecord,
    event: &EventFacts,
    now_ms: i64,
    rules: &AttributionRules,
) -> (u64, Attribution) {
    let id = event.counted_id();
    let VisitorRecord { touch, cart, counted, seq, .. } = record;
    let ago = counted.ago(id);
    if let Some(ago) = ago.filter(|ago| ago < seq) {
        return (*seq - ago, attribute_again(record, event, now_ms, rules));
    }
    // Of a visit that is over it gets a number in the present one, but that is all it changes.
    *seq = seq.saturating_add(1);
    counted.count(id);
    let seq = *seq;
    if ago.is_some() {
        return (seq, attribute_again(record, event, now_ms, rules));
    }
    let attribution = attribute(touch, cart, event, now_ms, rules);
    if event.kind.takes_off() {
        counted.keep(event.id, &attribution);
    }
    (seq, attribution)
}

/// What led to an event that was counted already.
fn attribute_again(
    record: &VisitorRecord,
    event: &EventFacts,
    now_ms: i64,
    rules: &AttributionRules,
) -> Attribution {
    if let Some(attribution) = record.counted.attribution(event.counted_id()) {
        return attribution.clone();
    }
    // What it put into the cart is there, with its `via`; its own is in force or was followed.
    let via = event.via.clone().filter(|_| event.is_passive);
    let event = EventFacts { via, ..event.clone() };
    let (mut touch, mut cart) = (record.touch.clone(), record.cart.clone());
    attribute(&mut touch, &mut cart, &event, now_ms, rules)
}

/// Takes over what the cookie knows and the record does not: the cookie was written after the
/// record, and so has what the record was when it says more.
fn catch_up(record: &mut VisitorRecord, cookie: ShortCookie, now_ms: i64) {
    let seen_ms = cookie.seen_ms.min(now_ms);
    let known = match record.short == cookie.short {
        true => record.seq,
        false if seen_ms > record.seen_ms => 0,
        false => return,
    };
    if cookie.seq < known || cookie.short.is_nil() {
        return;
    }
    record.counted.skip(cookie.seq - known);
    record.short = cookie.short;
    record.seq = cookie.seq;
    record.seen_ms = record.seen_ms.max(seen_ms);
}

fn fresh(now_ms: i64) -> VisitorRecord {
    of_visit(Uuid::nil(), 0, now_ms)
}

/// A record that knows of the visit alone.
fn of_visit(short: Uuid, seq: u64, seen_ms: i64) -> VisitorRecord {
    let (touch, cart, counted) = (None, Vec::new(), CountedEvents::default());
    VisitorRecord { short, seq, seen_ms, revision: 0, touch, cart, counted, is_kept: false }
}

/// How far ahead of the present a record's times may be: clocks of several machines differ, and one
/// may be set back.
const AHEAD_MS_MAX: i64 = 5 * 60_000;

/// A record without times to come: a clock that was a year ahead for a moment would otherwise have
/// left a visit, and a touch, that last as long.
fn of_clock(mut record: VisitorRecord, now_ms: i64) -> VisitorRecord {
    let bound = |at_ms: &mut i64| {
        if at_ms.saturating_sub(now_ms) > AHEAD_MS_MAX {
            *at_ms = now_ms;
        }
    };
    bound(&mut record.seen_ms);
    record.touch.iter_mut().for_each(|touch| bound(&mut touch.at_ms));
    record.cart.iter_mut().for_each(|item| bound(&mut item.at_ms));
    record
}

/// Who brings the cookie may have written it: a time to come would make a visit without end.
fn of_cookie(cookie: ShortCookie, now_ms: i64) -> VisitorRecord {
    let ShortCookie { short, seen_ms, seq } = cookie;
    of_visit(short, seq, seen_ms.min(now_ms))
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
