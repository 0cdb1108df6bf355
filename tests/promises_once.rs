//! An event that comes again is taken once, whoever sends it by then; and none is taken for another.

use serde_json::{Value, json};

use crate::support::collector::{Browser, CONFIG, Collector, counts, event, folder, id, landed};

/// The landed lines of an id.
fn of<'a>(lines: &'a [Value], id: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event_id"] == id).collect()
}

/// The value of a counter.
fn counter(browser: &mut Browser, name: &str) -> f64 {
    let text = String::from_utf8(browser.get("/metrics").body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    value.trim().parse().unwrap()
}

#[test]
fn as_many_events_of_newcomers_as_configured_are_known_even_after_a_restart() {
    let folder = folder();
    let config = CONFIG.replace("[landing]", "[landing]\nrecent_ids_min = 1000");
    let send_all = |collector: &Collector| {
        for request in 0..99 {
            let events: Vec<Value> =
                (0..10).map(|number| event(request * 10 + number, "page_view")).collect();
            collector.browser().event(&json!(events));
        }
    };
    let collector = Collector::start(folder.path(), &config, &[]);
    send_all(&collector);
    send_all(&collector);
    assert!(collector.stop().success());
    let collector = Collector::start(folder.path(), &config, &[]);
    send_all(&collector);
    assert!(collector.stop().success());
    let counts = counts(&landed(&folder.path().join("raw")));
    assert_eq!(counts.len(), 990);
    assert!(counts.values().all(|count| *count == 1));
}

#[test]
fn an_event_that_comes_again_after_consent_was_taken_back_is_taken_once() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    // A beacon has no answer, so its events stay in the queue; then they go without cookies.
    let events = json!([event(2, "page_view"), event(3, "click")]);
    browser.event(&events);
    let anonymously = |body: &Value| {
        let path = "/v1/events?anonymous=1";
        let reply = collector.browser().send("POST", path, &[], body.to_string()).unwrap();
        assert_eq!(reply.status, 204);
        assert!(!reply.headers.contains_key("set-cookie"));
    };
    anonymously(&events);
    anonymously(&event(4, "click"));
    browser.event(&event(4, "click"));
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    assert!(counts(&lines).values().all(|count| *count == 1));
    assert!(of(&lines, &id(3))[0]["visit"].is_object() && of(&lines, &id(4))[0]["visit"].is_null());
}

#[test]
fn an_event_that_comes_again_of_a_visitor_whose_time_was_up_is_taken_once() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let other = json!({"v": 2, "event_id": "order-1", "event": "purchase", "service": "books"});
    for (number, event) in [event(1, "page_view"), other].iter().enumerate() {
        let mut browser = collector.browser();
        let old = format!("{}.1000", uuid::Uuid::from_u64_pair(3, number as u64));
        browser.cookies.insert("ashiato_long".to_owned(), old.clone());
        browser.event(event);
        assert_ne!(browser.cookies["ashiato_long"], old);
        browser.event(event);
        // The first answer was lost.
        browser.cookies = [("ashiato_long".to_owned(), old)].into();
        browser.event(event);
    }
    assert!(collector.stop().success());
    let counts = counts(&landed(&folder.path().join("raw")));
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn what_any_site_can_have_a_browser_load_keeps_out_no_event_of_the_visitors_own() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    let cart = json!({"items": [{"sku": "7", "quantity": 1}]});
    let mut added = event(1, "cart_add");
    (added["cart"], added["via"]) = (cart.clone(), json!("ad"));
    browser.event(&added);
    for id in ["order-1".to_owned(), "17".to_owned(), id(2)] {
        for _ in 0..2 {
            let pixel = format!("/v1/pixel.gif?v=2&event=purchase&service=books&event_id={id}");
            assert_eq!(browser.get(&pixel).status, 200);
        }
    }
    for id in [json!("order-1"), json!(17), json!(id(2))] {
        let mut purchase = event(0, "purchase");
        (purchase["event_id"], purchase["cart"]) = (id, cart.clone());
        browser.event(&purchase);
        browser.event(&purchase);
        browser.event(&added_again(&added));
    }
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    for id in ["order-1", "17", &id(2)] {
        let found = of(&lines, id);
        assert_eq!(found.len(), 2, "one by the pixel, one of the visitor's own: {id}");
        let own: Vec<&&Value> =
            found.iter().filter(|line| line["body"]["cart"].is_object()).collect();
        assert_eq!(own[0]["item_via"][0]["via"]["channel"], "ad", "{id}");
    }
}

/// The same in the cart once more.
fn added_again(added: &Value) -> Value {
    let mut again = added.clone();
    again["event_id"] = json!(uuid::Uuid::new_v4().to_string());
    again
}

#[test]
fn an_event_that_has_the_id_of_another_one_of_its_sender_is_counted() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    let name = "ashiato_collector_events_id_reused_total";
    let mut other = json!({"v": 2, "event_id": "e1", "event": "click", "service": "books"});
    let (first, again) = (other.clone(), other.clone());
    other["event"] = json!("page_view");
    browser.event(&json!([event(1, "page_view"), event(1, "click"), first, other, again]));
    assert_eq!(counter(&mut browser, name), 2.0);
    assert_eq!(counter(&mut browser, "ashiato_collector_events_known_total"), 1.0);
    browser.event(&json!([event(1, "page_view"), event(1, "purchase")]));
    assert_eq!(counter(&mut browser, name), 3.0);
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 2);
}

#[test]
fn the_name_that_a_page_gives_its_visitor_is_good_until_the_cookie_came_back() {
    let folder = folder();
    let key = [("ASHIATO_COOKIE_KEY", "0123456789abcdef0123456789abcdef".to_owned())];
    let collector = Collector::start(folder.path(), CONFIG, &key);
    let path = "/v1/events?first=0199f000-0000-4000-8000-000000000001";
    let post = |browser: &mut Browser, event: &Value| {
        let reply = browser.send("POST", path, &[], event.to_string()).unwrap();
        assert_eq!(reply.status, 204);
        reply.headers["ashiato-visit-long"].clone()
    };
    let (mut browser, mut stranger) = (collector.browser(), collector.browser());
    let visitor = post(&mut browser, &event(1, "page_view"));
    // Where cookies are blocked all pages are of the same visitor.
    assert_eq!(post(&mut collector.browser(), &event(2, "page_view")), visitor);
    assert_eq!(post(&mut browser, &event(3, "click")), visitor);
    // It stands in access logs: whoever finds it there is nobody but another newcomer.
    let mut order = json!({"v": 2, "event_id": "order-1", "event": "x", "service": "books"});
    let other = post(&mut stranger, &order);
    assert_ne!(other, visitor);
    assert_eq!(post(&mut stranger, &order), other, "whose own cookie counts");
    order["event"] = json!("purchase");
    assert_eq!(post(&mut browser, &order), visitor);
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    let orders = of(&lines, "order-1");
    let events: Vec<&Value> = orders.iter().map(|line| &line["body"]["event"]).collect();
    assert_eq!(events, ["x", "purchase"], "nor is the visitor's own event kept out");
}
