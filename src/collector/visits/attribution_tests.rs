use super::*;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn rules(touching: Touching) -> AttributionRules {
    AttributionRules { touching, via_ttl_ms: DAY, cart_ttl_ms: 30 * DAY, cart_items_max: 3 }
}

/// An event as a case writes it: `cart_add(7, 8x2) via ad`.
fn event(text: &str) -> EventFacts {
    let (what, via) = text.split_once(" via ").map_or((text, None), |(w, v)| (w, Some(v)));
    let (name, items) = what.trim_end_matches(')').split_once('(').unwrap_or((what, ""));
    let item = |item: &str| {
        let (sku, quantity) = item.split_once('x').map_or((item, None), |(s, q)| (s, Some(q)));
        ItemFacts { sku: sku.into(), quantity: quantity.map(|q| q.parse().unwrap()) }
    };
    let items = items.split(", ").filter(|item| !item.is_empty()).map(item).collect();
    let (kind, via) = (EventKind::of(name), via.map(str::to_owned));
    EventFacts { id: None, kind, renews: true, is_passive: false, via, items }
}

/// What an event got, as a case writes it: `ad`, or `ad; 7=ad, 8=-` for items.
fn shown(attribution: &Attribution) -> String {
    let name = |via: &Option<Via>| via.clone().unwrap_or("-".into());
    let own = name(&attribution.via);
    let items: Vec<String> =
        attribution.items.iter().map(|item| format!("{}={}", item.sku, name(&item.via))).collect();
    if items.is_empty() { own } else { format!("{own}; {}", items.join(", ")) }
}

/// Plays events at their times; each must get what stands beside it.
fn play(touching: Touching, case: &str, steps: &[(i64, &str, &str)]) {
    let (mut touch, mut cart) = (None, Vec::new());
    for (at_ms, text, expected) in steps {
        let got = attribute(&mut touch, &mut cart, &event(text), *at_ms, &rules(touching));
        assert_eq!(shown(&got), *expected, "{case}: {text} at {at_ms}");
    }
}

/// A name, and events at their times, each with what it must get.
type Case = (&'static str, &'static [(i64, &'static str, &'static str)]);

#[test]
fn the_table_of_cases_holds() {
    let cases: &[Case] = &[
        ("nothing led here", &[(0, "page_view", "-"), (1, "cart_add(7)", "-; 7=-")]),
        (
            "a touch is in force for the events that follow",
            &[(0, "page_view via ad", "ad"), (1, "click", "ad"), (2, "search", "ad")],
        ),
        (
            "the last touch counts",
            &[
                (0, "page_view via ad", "ad"),
                (1, "click via search", "search"),
                (2, "click", "search"),
            ],
        ),
        (
            "a touch is over exactly when its time is up",
            &[(0, "page_view via ad", "ad"), (DAY - 1, "click", "ad"), (DAY, "click", "-")],
        ),
        (
            "events do not renew a touch, another touch does",
            &[
                (0, "page_view via ad", "ad"),
                (DAY / 2, "click", "ad"),
                (DAY / 2, "click via ad", "ad"),
                (DAY, "click", "ad"),
                (DAY + DAY / 2, "click", "-"),
            ],
        ),
        (
            "the cart fixes what is in force, and the purchase carries it days later",
            &[
                (0, "page_view via recommendation", "recommendation"),
                (1, "cart_add(7)", "recommendation; 7=recommendation"),
                (2, "page_view via mail", "mail"),
                (9 * DAY, "purchase(7)", "recommendation; 7=recommendation"),
            ],
        ),
        (
            "a cart event's own via comes before its items are fixed",
            &[(0, "cart_add(7) via ad", "ad; 7=ad"), (1, "purchase(7)", "ad; 7=ad")],
        ),
        (
            "no touch is fixed, too",
            &[
                (0, "cart_add(7)", "-; 7=-"),
                (1, "page_view via ad", "ad"),
                (2, "purchase(7)", "-; 7=-"),
            ],
        ),
        (
            "more of an item that is in the cart stays fixed as it is",
            &[
                (0, "cart_add(7) via ad", "ad; 7=ad"),
                (1, "cart_add(7) via mail", "ad; 7=ad"),
                (2, "cart_remove(7x1)", "ad; 7=ad"),
                (3, "purchase(7)", "ad; 7=ad"),
            ],
        ),
        (
            "what is taken off is fixed anew",
            &[
                (0, "cart_add(7x2) via ad", "ad; 7=ad"),
                (1, "cart_remove(7x2)", "ad; 7=ad"),
                (2, "cart_add(7) via mail", "mail; 7=mail"),
            ],
        ),
        (
            "taking off without a number takes all off",
            &[
                (0, "cart_add(7x9) via ad", "ad; 7=ad"),
                (1, "cart_remove(7)", "ad; 7=ad"),
                (2, "cart_add(7) via mail", "mail; 7=mail"),
            ],
        ),
        (
            "an emptied cart forgets its items",
            &[
                (0, "cart_add(7, 8) via ad", "ad; 7=ad, 8=ad"),
                (1, "cart_clear", "ad"),
                (2, "cart_add(7) via mail", "mail; 7=mail"),
            ],
        ),
        (
            "items have their own, and the event what they agree about",
            &[
                (0, "cart_add(7) via ad", "ad; 7=ad"),
                (1, "cart_add(8) via mail", "mail; 8=mail"),
                (2, "cart_add(9)", "mail; 9=mail"),
                (3, "purchase(8, 9)", "mail; 8=mail, 9=mail"),
                (4, "cart_add(8)", "mail; 8=mail"),
                (5, "purchase(7, 8)", "-; 7=ad, 8=mail"),
            ],
        ),
        (
            "what was bought leaves the cart, and what is bought at once has what is in force",
            &[
                (0, "cart_add(7) via ad", "ad; 7=ad"),
                (1, "purchase(7)", "ad; 7=ad"),
                (2, "page_view via mail", "mail"),
                (3, "purchase(7)", "mail; 7=mail"),
            ],
        ),
        (
            "some of many may be bought",
            &[
                (0, "cart_add(7x3) via ad", "ad; 7=ad"),
                (1, "purchase(7x1)", "ad; 7=ad"),
                (2, "purchase(7x2) via mail", "ad; 7=ad"),
                (3, "purchase(7x1)", "mail; 7=mail"),
            ],
        ),
        (
            "a changed cart keeps what stays, drops what leaves, fixes what is new",
            &[
                (0, "cart_add(7, 8) via ad", "ad; 7=ad, 8=ad"),
                (1, "cart_update(7x5, 9) via mail", "-; 7=ad, 9=mail"),
                (2, "cart_add(8)", "mail; 8=mail"),
                (3, "cart_update(7x0)", "ad; 7=ad"),
                (4, "cart_add(7)", "mail; 7=mail"),
            ],
        ),
        (
            "a cart forgets an item exactly when its time is up",
            &[
                (0, "cart_add(7) via ad", "ad; 7=ad"),
                (30 * DAY - 1, "cart_remove(7x0)", "ad; 7=ad"),
                (30 * DAY, "purchase(7)", "-; 7=-"),
            ],
        ),
        (
            "of too many items the oldest are forgotten",
            &[
                (0, "cart_add(1, 2, 3, 4) via ad", "ad; 1=ad, 2=ad, 3=ad, 4=ad"),
                (1, "purchase(1, 2) via mail", "-; 1=mail, 2=ad"),
            ],
        ),
        (
            "none of an item puts nothing into the cart",
            &[
                (0, "cart_add(7x0) via ad", "ad; 7=ad"),
                (1, "cart_update(7x0)", "ad; 7=ad"),
                (2, "cart_add(7) via mail", "mail; 7=mail"),
            ],
        ),
        (
            "an item on two lines of an update is as many as they say together",
            &[
                (0, "cart_update(7x1, 7x2) via ad", "ad; 7=ad, 7=ad"),
                (1, "cart_remove(7x2)", "ad; 7=ad"),
                (2, "cart_add(7) via mail", "ad; 7=ad"),
                (3, "cart_remove(7x2)", "ad; 7=ad"),
                (4, "cart_add(7)", "mail; 7=mail"),
            ],
        ),
        (
            "an item whose first line of an update is none keeps what led it there",
            &[
                (0, "cart_add(7, 8) via ad", "ad; 7=ad, 8=ad"),
                (1, "cart_update(7x0, 8, 7x1) via mail", "ad; 7=ad, 8=ad, 7=ad"),
                (2, "purchase(7)", "ad; 7=ad"),
            ],
        ),
        (
            "lines of an update without a number are one each",
            &[
                (0, "cart_update(7, 7) via ad", "ad; 7=ad, 7=ad"),
                (1, "cart_remove(7x1)", "ad; 7=ad"),
                (2, "cart_add(7) via mail", "ad; 7=ad"),
            ],
        ),
        (
            "an item on two lines of a purchase is one item",
            &[
                (0, "cart_add(7) via ad", "ad; 7=ad"),
                (1, "purchase(7x1, 7x1) via mail", "ad; 7=ad, 7=ad"),
                (2, "purchase(7)", "mail; 7=mail"),
            ],
        ),
        (
            "a purchase that names no items has what is in force",
            &[(0, "page_view via ad", "ad"), (1, "purchase", "ad")],
        ),
    ];
    for (case, steps) in cases {
        play(Touching::Last, case, steps);
    }
}

#[test]
fn by_first_touch_the_first_one_counts_until_it_is_over() {
    let steps = [
        (0, "page_view via ad", "ad"),
        (1, "click via search", "ad"),
        (2, "cart_add(7) via mail", "ad; 7=ad"),
        (DAY - 1, "page_view via search", "ad"),
        (DAY, "page_view via search", "search"),
        (DAY + 1, "page_view via mail", "search"),
        (DAY + 2, "purchase(7)", "ad; 7=ad"),
    ];
    play(Touching::First, "first touch", &steps);
}

#[test]
fn a_passive_event_has_its_own_via_and_changes_neither_touch_nor_cart() {
    let (mut touch, mut cart) = (None, Vec::new());
    let mut got = |text: &str, is_passive: bool| {
        let event = EventFacts { is_passive, ..event(text) };
        shown(&attribute(&mut touch, &mut cart, &event, 0, &rules(Touching::Last)))
    };
    assert_eq!(got("mail_open via evil", true), "evil");
    assert_eq!(got("cart_add(7) via ad", false), "ad; 7=ad");
    for text in ["page_view", "cart_clear", "cart_update", "purchase(7)", "cart_remove(7)"] {
        assert_eq!(got(&format!("{text} via evil"), true), "evil");
        assert_eq!(got(text, true), "ad");
    }
    assert_eq!(got("click", false), "ad");
    assert_eq!(got("page_view via mail", false), "mail");
    assert_eq!(got("purchase(7)", false), "ad; 7=ad");
}
