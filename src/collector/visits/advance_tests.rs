use super::*;
use crate::base::ids::CountedIds;
use crate::collector::visits::{EventKind, ItemFacts, Touching};

const TTL: i64 = 30 * 60_000;

fn rules() -> VisitRules {
    VisitRules {
        short_ttl_ms: TTL,
        long_ttl_ms: 400 * 24 * 3_600_000,
        attribution: AttributionRules {
            touching: Touching::Last,
            via_ttl_ms: 1000,
            cart_ttl_ms: 1000,
            cart_items_max: 10,
        },
        record_bytes_max: 24 << 10,
    }
}

fn event(renews: bool) -> EventFacts {
    let (id, kind, via) = (None, EventKind::Other, None);
    EventFacts { id, kind, renews, is_passive: false, via, items: Vec::new() }
}

/// A visitor whose events are played one by one.
struct Visitor {
    known: Option<VisitorRecord>,
    ids: CountedIds,
}

impl Visitor {
    fn new() -> Self {
        Visitor { known: None, ids: CountedIds::default() }
    }

    /// The visit's number and the event's number within it.
    fn event_at(&mut self, now_ms: i64, renews: bool, cookie: Option<ShortCookie>) -> (u128, u64) {
        let long = Uuid::from_u64_pair(7, 7);
        let events = [event(renews)];
        let known = self.known.take();
        let (record, outcomes) = advance(known, long, cookie, &events, now_ms, &rules(), &self.ids);
        self.known = Some(record);
        (outcomes[0].short.as_u128(), outcomes[0].seq)
    }
}

#[test]
fn a_visit_ends_exactly_when_its_time_is_up() {
    let mut visitor = Visitor::new();
    assert_eq!(visitor.event_at(0, true, None), (1, 1));
    assert_eq!(visitor.event_at(TTL - 1, true, None), (1, 2));
    assert_eq!(visitor.event_at(2 * TTL - 2, true, None), (1, 3));
    assert_eq!(visitor.event_at(3 * TTL - 2, true, None), (2, 1));
}

#[test]
fn only_some_events_renew_a_visit() {
    let mut visitor = Visitor::new();
    assert_eq!(visitor.event_at(0, true, None), (1, 1));
    assert_eq!(visitor.event_at(TTL - 1, false, None), (1, 2));
    assert_eq!(visitor.event_at(TTL, false, None), (2, 1));
}

#[test]
fn a_clock_that_steps_back_ends_no_visit_and_shortens_none() {
    let mut visitor = Visitor::new();
    assert_eq!(visitor.event_at(10 * TTL, true, None), (1, 1));
    assert_eq!(visitor.event_at(10 * TTL - 5 * 60_000, true, None), (1, 2));
    assert_eq!(visitor.event_at(11 * TTL - 1, true, None), (1, 3));
}

#[test]
fn what_a_clock_a_year_ahead_left_lasts_no_longer_than_anything_else() {
    const YEAR: i64 = 365 * 24 * 3_600_000;
    for ahead in [3_600_000, YEAR, i64::MAX / 2] {
        let (ids, mut rules) = (CountedIds::default(), rules());
        rules.attribution.via_ttl_ms = 2 * TTL;
        rules.attribution.cart_ttl_ms = 2 * TTL;
        let mut known = None;
        let long = Uuid::from_u64_pair(7, 7);
        let mut at = |now_ms: i64, text: &str| {
            let (record, outcomes) =
                advance(known.take(), long, None, &[told(text)], now_ms, &rules, &ids);
            known = Some(record);
            (outcomes[0].short.as_u128(), outcomes[0].attribution.via.clone())
        };
        assert_eq!(at(ahead, "a: cart_add 7 via ad"), (1, Some("ad".into())));
        assert_eq!(at(0, "b: click"), (1, Some("ad".into())), "the visit goes on");
        assert_eq!(at(TTL, "c: click"), (2, Some("ad".into())), "and ends when its time is up");
        assert_eq!(at(2 * TTL, "d: click").1, None, "as what led here does");
        assert_eq!(at(2 * TTL, "e: purchase 7").1, None, "and what the cart remembers");
    }
}

#[test]
fn without_a_record_the_cookie_says_which_visit_goes_on() {
    let cookie = ShortCookie { short: Uuid::from_u64_pair(0, 99), seen_ms: 1000, seq: 4 };
    assert_eq!(Visitor::new().event_at(1000 + TTL - 1, true, Some(cookie)), (99, 5));
    assert_eq!(Visitor::new().event_at(1000 + TTL, true, Some(cookie)), (1, 1));
    let mut known = Visitor::new();
    known.event_at(1000, true, None);
    assert_eq!(known.event_at(1001, true, Some(cookie)), (1, 2), "the record counts");
}

#[test]
fn a_store_that_lost_its_last_second_is_told_by_the_cookie() {
    let mut visitor = Visitor::new();
    assert_eq!(visitor.event_at(0, true, None), (1, 1));
    let lost = visitor.known.clone();
    assert_eq!(visitor.event_at(TTL, true, None), (2, 1));
    assert_eq!(visitor.event_at(TTL + 1, true, None), (2, 2));
    // The visit that began since is not in the store, but in the cookie.
    let cookie = ShortCookie { short: Uuid::from_u64_pair(0, 2), seen_ms: TTL + 1, seq: 2 };
    visitor.known = lost;
    assert_eq!(visitor.event_at(TTL + 2, true, Some(cookie)), (2, 3));
    // Of the same visit, events are not in the store that the cookie knows of.
    let ahead = ShortCookie { seq: 9, ..cookie };
    assert_eq!(visitor.event_at(TTL + 3, true, Some(ahead)), (2, 10));
    assert_eq!(visitor.event_at(TTL + 4, true, Some(cookie)), (2, 11), "an old cookie");
    // A cookie of a visit that is over brings it not back, and one of the future makes none.
    let over = ShortCookie { short: Uuid::from_u64_pair(0, 1), seen_ms: 0, seq: 1 };
    assert_eq!(visitor.event_at(TTL + 5, true, Some(over)), (2, 12));
    let future = ShortCookie { seen_ms: i64::MAX, ..ahead };
    assert_eq!(visitor.event_at(TTL + 6, false, Some(future)), (2, 13));
    assert_eq!(visitor.event_at(2 * TTL + 6, true, None).1, 1);
}

#[test]
fn events_that_a_store_lost_are_not_taken_for_others() {
    let (long, ids) = (Uuid::from_u64_pair(7, 7), CountedIds::default());
    let events = [told("a: click"), told("b: click"), told("c: click")];
    let play = |known, cookie, events: &[EventFacts]| {
        let (record, outcomes) = advance(known, long, cookie, events, 0, &rules(), &ids);
        (record, outcomes.iter().map(|one| one.seq).collect::<Vec<u64>>())
    };
    let (lost, _) = play(None, None, &events[..1]);
    let cookie = ShortCookie { short: lost.short, seen_ms: 0, seq: 2 };
    let (record, seqs) = play(Some(lost), Some(cookie), &events[2..]);
    assert_eq!(seqs, [3]);
    let (_, seqs) = play(Some(record), None, &events);
    assert_eq!(seqs, [1, 4, 3], "what was lost is counted anew, the others as they were");
}

#[test]
fn a_cookie_that_claims_the_future_makes_no_visit_without_end() {
    let cookie =
        ShortCookie { short: Uuid::from_u64_pair(0, 99), seen_ms: i64::MAX, seq: u64::MAX };
    let mut visitor = Visitor::new();
    assert_eq!(visitor.event_at(0, false, Some(cookie)), (99, u64::MAX));
    assert_eq!(visitor.event_at(TTL, false, None), (1, 1));
}

#[test]
fn a_record_is_kept_as_long_as_anything_in_it_counts() {
    let mut rules = rules();
    assert_eq!(rules.record_ttl_ms(), TTL);
    rules.attribution.cart_ttl_ms = 2 * TTL;
    assert_eq!(rules.record_ttl_ms(), 2 * TTL);
}

/// A visitor's events, written as `a: cart_add 7 via ad` with an id, a kind, a sku and a `via`.
fn told(text: &str) -> EventFacts {
    let (id, rest) = text.split_once(": ").unwrap();
    let (what, via) = rest.split_once(" via ").map_or((rest, None), |(w, v)| (w, Some(v)));
    let (name, sku) = what.split_once(' ').unwrap_or((what, ""));
    let items = match sku {
        "" => Vec::new(),
        sku => vec![ItemFacts { sku: sku.into(), quantity: Some(1) }],
    };
    let id = Some(Uuid::from_u64_pair(1, id.bytes().next().unwrap().into()));
    let (kind, via) = (EventKind::of(name), via.map(str::to_owned));
    EventFacts { id, kind, renews: true, is_passive: false, via, items }
}

/// Plays events at their times; each must get its number within the visit and its `via`.
fn play(case: &str, steps: &[(i64, &str, u64, &str)]) {
    let (mut known, ids) = (None, CountedIds::default());
    let mut rules = rules();
    rules.attribution.via_ttl_ms = 10 * TTL;
    rules.attribution.cart_ttl_ms = 10 * TTL;
    for (now_ms, text, seq, via) in steps {
        let long = Uuid::from_u64_pair(7, 7);
        let (record, outcomes) = advance(known, long, None, &[told(text)], *now_ms, &rules, &ids);
        // As the store keeps it.
        known = Some(VisitorRecord::decode(&record.encode().unwrap()).unwrap());
        let found = outcomes[0].attribution.via.as_deref().unwrap_or("-");
        assert_eq!((outcomes[0].seq, found), (*seq, *via), "{case}: {text}");
    }
}

#[test]
fn an_event_that_comes_again_counts_once() {
    play(
        "an item that was added once is gone when one is removed",
        &[
            (0, "a: cart_add 7 via ad", 1, "ad"),
            (1, "a: cart_add 7 via ad", 1, "ad"),
            (2, "b: cart_remove 7", 2, "ad"),
            (3, "c: cart_add 7 via mail", 3, "mail"),
        ],
    );
    play(
        "a purchase gets what it got, though its items have left the cart",
        &[
            (0, "a: cart_add 7 via ad", 1, "ad"),
            (1, "b: page_view via mail", 2, "mail"),
            (2, "c: purchase 7", 3, "ad"),
            (3, "d: click", 4, "mail"),
            (4, "c: purchase 7", 3, "ad"),
        ],
    );
    play(
        "a purchase that comes again takes off nothing that was added since",
        &[
            (0, "a: cart_add 7 via ad", 1, "ad"),
            (1, "b: purchase 7", 2, "ad"),
            (2, "c: cart_add 7 via mail", 3, "mail"),
            (3, "b: purchase 7", 2, "ad"),
            (4, "d: purchase 7 via search", 4, "mail"),
        ],
    );
    play(
        "a touch that another one followed is not in force again",
        &[
            (0, "a: page_view via ad", 1, "ad"),
            (1, "b: page_view via mail", 2, "mail"),
            (2, "a: page_view via ad", 1, "mail"),
            (3, "c: cart_add 7", 3, "mail"),
        ],
    );
    play(
        "one of a visit that is over has a number in the next one, and changes nothing else",
        &[
            (0, "a: cart_add 7 via ad", 1, "ad"),
            (1, "b: click", 2, "ad"),
            (2 * TTL, "a: cart_add 7 via ad", 1, "ad"),
            (2 * TTL, "a: cart_add 7 via ad", 1, "ad"),
            (2 * TTL, "c: cart_remove 7", 2, "ad"),
            (2 * TTL, "d: cart_add 7 via mail", 3, "mail"),
        ],
    );
}

#[test]
fn what_another_site_may_have_had_sent_counts_for_no_event_of_the_visitors_own() {
    let long = Uuid::from_u64_pair(7, 7);
    let passive = EventFacts { is_passive: true, ..told("c: purchase 7") };
    let events = [told("a: cart_add 7 via ad"), passive.clone(), told("c: purchase 7"), passive];
    let (record, outcomes) =
        advance(None, long, None, &events, 0, &rules(), &CountedIds::default());
    let seqs: Vec<u64> = outcomes.iter().map(|outcome| outcome.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 2], "and it is known itself when it comes again");
    assert_eq!(outcomes[2].attribution.items[0].via.as_deref(), Some("ad"));
    assert!(record.cart.is_empty());
}
