//! A visitor is one visitor: whatever the browser's cookies, the ids of events and the names of
//! items are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::promises_collector::rows;
use crate::support::collector::{
    Browser, CONFIG, Collector, Redis, Reply, event, folder, id, landed,
};
use crate::support::servers::free_port;
use crate::support::{ROOT, finish};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const NEXT_KEY: &str = "fedcba9876543210fedcba9876543210";

fn start(folder: &TempDir, environment: &[(&'static str, String)]) -> Collector {
    Collector::start(folder.path(), CONFIG, environment)
}

/// What landed, in the order of the events' numbers within their visits.
fn stored(folder: &TempDir, collector: Collector) -> Vec<Value> {
    assert!(collector.stop().success());
    let mut lines = landed(&folder.path().join("raw"));
    lines.sort_by_key(|line| line["visit"]["seq"].as_u64());
    lines
}

fn seqs(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["visit"]["seq"].as_u64().unwrap()).collect()
}

/// Posts an event with headers instead of the browser's own cookies.
fn post(collector: &Collector, headers: &[(&str, &str)], event: &Value) -> Reply {
    let reply = collector.browser().send("POST", "/v1/events", headers, event.to_string()).unwrap();
    assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
    reply
}

fn visitor(reply: &Reply) -> String {
    reply.headers["ashiato-visit-long"].clone()
}

fn visit(reply: &Reply) -> String {
    reply.headers["ashiato-visit-short"].clone()
}

fn cookies_of(browser: &Browser) -> (String, String) {
    let cookie = |name: &str| format!("{name}={}", browser.cookies[name]);
    (cookie("ashiato_long"), cookie("ashiato_short"))
}

#[test]
fn a_visitor_is_known_whatever_other_cookies_the_site_has() {
    let folder = folder();
    let collector = start(&folder, &[("ASHIATO_COOKIE_KEY", KEY.into())]);
    let mut browser = collector.browser();
    let first = browser.event(&event(0, "page_view"));
    let (long, short) = cookies_of(&browser);
    let junk = "ashiato_long=00000000-0000-4000-8000-000000000001.1";
    let mut number = 0;
    for cookies in [
        vec![format!("name=山田太郎; {long}; {short}")],
        vec![format!("{long};{short};name=\"a;b\"")],
        vec![format!("x=\"{{\\\"a\\\":1}}\"; {short}; {long}; =; ;")],
        vec![format!("{long}; {junk}; {short}; ashiato_short=x")],
        vec![format!("{junk}; {long}"), short.clone()],
        vec![short.clone(), "name=山田".to_owned(), long.clone()],
    ] {
        number += 1;
        let headers: Vec<(&str, &str)> = cookies.iter().map(|c| ("cookie", c.as_str())).collect();
        let reply = post(&collector, &headers, &event(number, "click"));
        assert_eq!(
            (visitor(&reply), visit(&reply)),
            (visitor(&first), visit(&first)),
            "{cookies:?}"
        );
        assert_eq!(reply.headers["ashiato-visit-cookie"], "kept");
    }
    // What is no UTF-8 at all: Latin-1, as an old page wrote it.
    let body = event(99, "click").to_string();
    let mut request = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncookie: name=Andr\xe9; ".to_vec();
    let length = body.len();
    request.extend_from_slice(
        format!("{long}; {short}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .as_bytes(),
    );
    let mut stream = TcpStream::connect(collector.address).unwrap();
    stream.write_all(&request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(&visitor(&first)) && answer.contains(&visit(&first)), "{answer}");
    assert_eq!(seqs(&stored(&folder, collector)), (1..=8).collect::<Vec<u64>>());
}

#[test]
fn nobody_passes_for_another_and_keys_change_without_losing_anybody() {
    let folder = folder();
    let collector = start(&folder, &[]);
    let mut old = collector.browser();
    let unsigned = old.event(&event(1, "page_view"));
    let unsigned_cookies = cookies_of(&old);
    assert!(collector.stop().success());

    let collector = start(&folder, &[("ASHIATO_COOKIE_KEY", KEY.into())]);
    let mut browser = collector.browser();
    let first = browser.event(&event(2, "page_view"));
    let long = visitor(&first);
    let (own_long, own_short) = cookies_of(&browser);
    for forged in [
        format!("ashiato_long={long}.1795233900000"),
        format!("ashiato_long={long}"),
        format!("{}; {}", unsigned_cookies.0, unsigned_cookies.1),
    ] {
        let reply = post(&collector, &[("cookie", &forged)], &event(3, "page_view"));
        assert_ne!(visitor(&reply), long, "{forged}");
        assert_ne!(visitor(&reply), visitor(&unsigned), "{forged}");
    }
    let reply = post(&collector, &[("ashiato-visit-long", &long)], &event(4, "page_view"));
    assert_ne!(visitor(&reply), long);
    // A client that keeps no cookies has the proof from an answer.
    let token = first.headers["ashiato-visit-token"].clone();
    let reply = post(&collector, &[("ashiato-visit-token", &token)], &event(5, "page_view"));
    assert_eq!(visitor(&reply), long);
    // A visit that claims another number than it has is none of ours.
    let (before, _) = own_short.rsplit_once('.').unwrap();
    let (before, tag) = (before.rsplit_once('.').unwrap().0, own_short.rsplit_once('.').unwrap().1);
    let forged = format!("{own_long}; {before}.18446744073709551615.{tag}");
    let reply = post(&collector, &[("cookie", &forged)], &event(6, "page_view"));
    assert_eq!(visit(&reply), visit(&first));
    assert!(collector.stop().success());

    let keys = [
        ("ASHIATO_COOKIE_KEY", NEXT_KEY.to_owned()),
        ("ASHIATO_COOKIE_KEY_PREVIOUS", KEY.to_owned()),
    ];
    let collector = start(&folder, &keys);
    let cookies = format!("{own_long}; {own_short}");
    let reply = post(&collector, &[("cookie", &cookies)], &event(7, "page_view"));
    assert_eq!((visitor(&reply), visit(&reply)), (long.clone(), visit(&first)));
    assert!(collector.stop().success());

    let lenient = format!("{CONFIG}[cookies]\naccept_unsigned = true\n");
    let collector = Collector::start(folder.path(), &lenient, &keys[..1]);
    let cookies = format!("{}; {}", unsigned_cookies.0, unsigned_cookies.1);
    let reply = post(&collector, &[("cookie", &cookies)], &event(8, "page_view"));
    assert_eq!(visitor(&reply), visitor(&unsigned), "from before there was a key");
    let lines = stored(&folder, collector);
    assert!(seqs(&lines).iter().all(|seq| *seq < 10), "{lines:?}");
}

#[test]
fn without_a_key_what_cookies_claim_is_bounded_and_the_log_says_what_is_missing() {
    let folder = folder();
    let collector = start(&folder, &[]);
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    let (long, _) = cookies_of(&browser);
    for (number, claim) in
        ["18446744073709551615", "9223372036854775807", "-1", "4294967296"].into_iter().enumerate()
    {
        let id = "0199f000-0000-7000-8000-000000000001";
        let cookies = format!("{long}; ashiato_short={id}.1795233900000.{claim}");
        post(&collector, &[("cookie", &cookies)], &event(10 + number as u64, "click"));
    }
    assert_eq!(seqs(&stored(&folder, collector)), [1, 2, 3, 4, 5]);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("ASHIATO_COOKIE_KEY"), "{log}");
}

#[test]
fn a_redis_that_lost_its_last_second_changes_no_visit() {
    let folder = folder();
    let redis = Redis::start(folder.path(), free_port());
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let config = format!("{CONFIG}[visit_store]\nkind = \"redis\"\nurl = \"{url}\"\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let mut store = redis::Client::open(url).unwrap().get_connection().unwrap();
    let first = browser.event(&event(1, "page_view"));
    let key = format!("ashiato:visit:{}", visitor(&first));
    let get = |store: &mut redis::Connection| -> String {
        redis::cmd("GET").arg(&key).query(store).unwrap()
    };
    let before = get(&mut store);
    browser.event(&event(2, "page_view"));
    // The record is what it was an event ago.
    let _: () = redis::cmd("SET").arg(&key).arg(&before).query(&mut store).unwrap();
    assert_eq!(visit(&browser.event(&event(3, "click"))), visit(&first));
    // The record is gone.
    let _: () = redis::cmd("DEL").arg(&key).query(&mut store).unwrap();
    assert_eq!(visit(&browser.event(&event(4, "click"))), visit(&first));
    // The record is that of an older visit: another one began, of which only the cookie knows.
    let _: () = redis::cmd("DEL").arg(&key).query(&mut store).unwrap();
    browser.cookies.remove("ashiato_short");
    let second = browser.event(&event(5, "page_view"));
    assert_eq!((visitor(&second), visit(&second) != visit(&first)), (visitor(&first), true));
    let _: () = redis::cmd("SET").arg(&key).arg(&before).query(&mut store).unwrap();
    let third = browser.event(&event(6, "click"));
    assert_eq!(visit(&third), visit(&second));
    assert!(get(&mut store).contains(&visit(&second)));
    let lines = stored(&folder, collector);
    let of = |visit: String| {
        let lines: Vec<Value> =
            lines.iter().filter(|line| line["visit"]["short"] == visit).cloned().collect();
        seqs(&lines)
    };
    assert_eq!((of(visit(&first)), of(visit(&second))), (vec![1, 2, 3, 4], vec![1, 2]));
    drop(redis);
}

#[test]
fn each_item_has_its_own_way_whatever_it_is_called() {
    let folder = folder();
    let config = CONFIG.replace("object_age_max", "time_zone = \"Asia/Tokyo\"\nobject_age_max");
    let collector = Collector::start(folder.path(), &config, &[]);
    let named = |name: Value, tag: &str| {
        let mut item = json!({"name": tag, "price": 100, "quantity": 1, "amount": 100});
        item.as_object_mut().unwrap().extend(name.as_object().unwrap().clone());
        item
    };
    let names = [
        json!({"sku": "a"}),
        json!({"id": "a"}),
        json!({"sku": "", "id": "a"}),
        json!({"sku": ""}),
        json!({"sku": null}),
        json!({}),
        json!({"sku": null, "id": "a"}),
        json!({"sku": "x".repeat(129)}),
        json!({"sku": "足".repeat(60)}),
    ];
    let mut number = 0;
    let mut next = |name: &str, items: Value, via: Option<&str>| {
        number += 1;
        let mut event = event(number, name);
        event["time"] = json!("2026-11-21T13:05:00+09:00");
        event["cart"] = json!({"items": items});
        if let Some(via) = via {
            event["via"] = json!(via);
        }
        event
    };
    for name in &names {
        let (a, b) = (named(name.clone(), "A"), named(json!({"sku": "b"}), "B"));
        let mut browser = collector.browser();
        browser.event(&next("cart_add", json!([a]), Some("ad")));
        browser.event(&next("cart_add", json!([b]), Some("mail")));
        browser.event(&next("purchase", json!([a, b]), None));
    }
    let lines = stored(&folder, collector);
    for line in lines.iter().filter(|line| line["body"]["event"] == "purchase") {
        assert_eq!(line["item_via"].as_array().unwrap().len(), 2, "{line}");
    }
    let purchases = purchases_of(&folder.path().join("raw"), folder.path(), &lines[0]);
    assert_eq!(purchases.len(), names.len() * 2);
    for row in purchases {
        let expected = if row["name"] == "A" { "ad" } else { "mail" };
        assert_eq!(row["via_channel"], expected, "{row}");
    }
}

/// The table of purchases, made of what landed in the hour of a line.
fn purchases_of(raw: &Path, out: &Path, line: &Value) -> Vec<Value> {
    let received = line["received_at"].as_str().unwrap();
    let received = chrono::DateTime::parse_from_rfc3339(received).unwrap();
    let day = received.with_timezone(&chrono_tz::Asia::Tokyo).format("%Y-%m-%d").to_string();
    finish(
        Command::new(env!("CARGO_BIN_EXE_ashiato"))
            .args(["run", "sql/action_log", "--date", &day])
            .current_dir(ROOT)
            .env("ASHIATO_SOURCE", raw)
            .env("ASHIATO_OUT", out.join("out")),
    )
    .published();
    rows(&out.join("out/action_log/purchases/parquet"))
}

#[test]
fn of_many_items_that_one_way_led_to_the_cart_each_has_it_in_the_table() {
    let folder = folder();
    let config = CONFIG.replace("object_age_max", "time_zone = \"Asia/Tokyo\"\nobject_age_max");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let item = |at: usize| {
        json!({"sku": format!("sku-{at:03}"), "name": "n".repeat(60), "category": "standard",
            "price": 100, "quantity": 1, "amount": 100})
    };
    let campaign = |letter: &str| json!({"channel": "ad", "campaign": letter.repeat(100)});
    let items: Vec<Value> = (0..150).map(item).collect();
    let (even, odd): (Vec<_>, Vec<_>) = (0..100).partition(|at| at % 2 == 0);
    for (number, letter, chosen) in [(1, "a", even), (2, "b", odd)] {
        let chosen: Vec<Value> = chosen.into_iter().map(item).collect();
        let mut add = event(number, "cart_add");
        add["via"] = campaign(letter);
        add["cart"] = json!({"items": chosen});
        browser.event(&add);
    }
    let mut purchase = event(3, "purchase");
    purchase["time"] = json!("2026-11-21T13:05:00+09:00");
    purchase["via"] = campaign("c");
    purchase["cart"] = json!({"items": items});
    assert!((20_000..40_000).contains(&purchase.to_string().len()));
    browser.event(&purchase);
    let lines = stored(&folder, collector);
    assert!(lines[2].to_string().len() < 64 << 10, "{}", lines[2].to_string().len());
    let rows = purchases_of(&folder.path().join("raw"), folder.path(), &lines[2]);
    assert_eq!(rows.len(), 150);
    for row in rows {
        let at = row["item_number"].as_u64().unwrap() - 1;
        let letter = match at {
            100.. => "c",
            _ if at % 2 == 0 => "a",
            _ => "b",
        };
        assert_eq!(row["sku"], format!("sku-{at:03}"));
        assert_eq!(row["via_campaign"], letter.repeat(100), "{at}");
    }
}

#[test]
fn an_event_is_taken_once_by_whatever_id_and_nobody_suppresses_anothers() {
    let folder = folder();
    let collector = start(&folder, &[]);
    let ids = ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "evt_1", "ajs-next-1732682400000-4c", "足\"\\ a"];
    let (mut one, mut other) = (collector.browser(), collector.browser());
    one.event(&event(1, "page_view"));
    other.event(&event(2, "page_view"));
    for browser in [&mut one, &mut other] {
        for id in ids {
            for _ in 0..2 {
                let mut event = event(0, "click");
                event["event_id"] = json!(id);
                browser.event(&event);
            }
        }
    }
    // Who has no id yet sends again what got no answer; another one behind the same address does
    // not send the same.
    for label in ["mine", "mine", "another's"] {
        let body = json!({"event": "page_view", "event_id": "evt_1", "label": label});
        post(&collector, &[], &body);
    }
    let mixed = one.post(r#"[{"event_id":"evt_9","event":"a"},{"event_id":17,"event":"a"},17]"#);
    assert_eq!(mixed.json()["results"][0]["event_id"], "evt_9");
    assert_eq!(mixed.json()["results"][1]["event_id"], "17");
    // What was taken is known after a crash, too.
    collector.kill();
    let collector = start(&folder, &[]);
    let mut again = collector.browser();
    again.cookies.clone_from(&one.cookies);
    again.event(&json!({"event": "click", "event_id": "evt_1", "service": "books", "v": 2}));
    let lines = stored(&folder, collector);
    for id in ids {
        let found = lines.iter().filter(|line| line["event_id"] == id);
        let visitors: Vec<&Value> = found.map(|line| &line["visit"]["long"]).collect();
        let expected = if id == "evt_1" { 4 } else { 2 };
        assert_eq!(visitors.len(), expected, "{id}");
        assert_ne!(visitors[0], visitors[1]);
    }
    assert_eq!(lines.iter().filter(|line| line["event_id"] == "17").count(), 1);
    assert_eq!(lines.len(), 2 + 2 * ids.len() + 2 + 2);
}

#[test]
fn events_that_a_beacon_and_the_queue_both_send_count_once() {
    let folder = folder();
    let collector = start(&folder, &[]);
    let events: Vec<Value> = (0..200)
        .map(|number| {
            let mut event = event(number, if number % 10 == 0 { "cart_add" } else { "click" });
            event["cart"] = json!({"items": [{"sku": "7", "quantity": 1}]});
            event
        })
        .collect();
    let mut browser = collector.browser();
    let first = "/v1/events?first=0199f000-0000-4000-8000-000000000001";
    let send = |browser: &mut Browser, events: &[Value]| {
        let reply = browser.send("POST", first, &[], json!(events).to_string()).unwrap();
        assert_eq!(reply.status, 204);
    };
    // Beacons take all along, then the queue sends them, twenty at a time, while the page goes on.
    for part in events.chunks(60) {
        send(&mut collector.browser(), part);
    }
    for (at, part) in events.chunks(20).enumerate() {
        send(&mut browser, part);
        send(&mut browser, &[event(1000 + at as u64, "click")]);
    }
    // All that was added is what is removed: the next one that comes was led here by a mail.
    let mut remove = event(2000, "cart_remove");
    remove["cart"] = json!({"items": [{"sku": "7", "quantity": 20}]});
    send(&mut browser, &[remove]);
    let mut add = event(2001, "cart_add");
    add["via"] = json!("mail");
    add["cart"] = json!({"items": [{"sku": "7", "quantity": 1}]});
    send(&mut browser, &[add]);
    let lines = stored(&folder, collector);
    assert_eq!(seqs(&lines), (1..=212).collect::<Vec<u64>>());
    assert_eq!(lines[211]["item_via"], json!([{"sku": "7", "via": {"channel": "mail"}}]));
    let order: Vec<String> = (0..200).map(id).collect();
    let found: Vec<&str> =
        lines.iter().take(200).map(|line| line["event_id"].as_str().unwrap()).collect();
    assert_eq!(found, order);
}

#[test]
fn who_takes_no_cookies_is_one_visitor_by_the_name_that_the_page_made_up() {
    let folder = folder();
    let collector = start(&folder, &[("ASHIATO_COOKIE_KEY", KEY.into())]);
    let path = "/v1/events?first=0199f000-0000-4000-8000-000000000001";
    let ask = |number: u64| {
        let body = event(number, "click").to_string();
        collector.browser().send("POST", path, &[], body).unwrap()
    };
    let replies: Vec<Reply> = (0..4).map(ask).collect();
    for reply in &replies {
        assert_eq!((visitor(reply), visit(reply)), (visitor(&replies[0]), visit(&replies[0])));
        assert_eq!(reply.headers["ashiato-visit-cookie"], "new");
    }
    assert_eq!(seqs(&stored(&folder, collector)), [1, 2, 3, 4]);
}

#[test]
fn the_pixel_changes_nothing_of_what_led_to_a_purchase() {
    let folder = folder();
    let collector = start(&folder, &[]);
    let mut browser = collector.browser();
    let cart = json!({"items": [{"sku": "7", "quantity": 1}, {"sku": "8", "quantity": 1}]});
    let mut add = event(1, "cart_add");
    add["via"] = json!("ad");
    add["cart"] = json!({"items": [{"sku": "7", "quantity": 1}]});
    browser.event(&add);
    // A page of another site has the browser come here, with its cookies.
    for query in [
        "event=page_view&via=evil",
        "event=cart_clear&via=evil",
        "event=cart_update&cart.items=&via=evil",
        "event=purchase&cart=%7B%22items%22%3A%5B%7B%22sku%22%3A%227%22%7D%5D%7D&via.channel=evil",
    ] {
        let headers = [("sec-fetch-site", "cross-site"), ("referer", "https://evil.example/")];
        let path = format!("/v1/pixel.gif?service=books&v=2&{query}");
        assert_eq!(browser.send("GET", &path, &headers, "").unwrap().status, 200);
    }
    // Nor can it have a newcomer be somebody whom it knows.
    let name = "/v1/pixel.gif?event=page_view&first=0199f000-0000-4000-8000-000000000001";
    let one = visitor(&collector.browser().get(name));
    assert_ne!(one, visitor(&collector.browser().get(name)));
    let mut purchase = event(2, "purchase");
    purchase["cart"] = cart;
    browser.event(&purchase);
    let lines = stored(&folder, collector);
    let purchase = lines.iter().find(|line| line["event_id"] == id(2)).unwrap();
    let ad = json!({"channel": "ad"});
    assert_eq!(purchase["via"], ad);
    assert_eq!(purchase["item_via"], json!([{"sku": "7", "via": ad}, {"sku": "8", "via": ad}]));
    let evil: Vec<&Value> = lines.iter().filter(|line| line["via"]["channel"] == "evil").collect();
    assert_eq!(evil.len(), 4, "each has its own all the same");
}

#[test]
fn a_cart_update_adds_up_its_lines_and_equal_ways_are_equal() {
    let folder = folder();
    let collector = start(&folder, &[]);
    let mut browser = collector.browser();
    let mut number = 0;
    let mut send = |name: &str, items: Value, via: Option<&str>| {
        number += 1;
        let mut event = event(number, name).to_string();
        event.pop();
        event += &format!(",\"cart\":{}", json!({"items": items}));
        event += &via.map_or(String::new(), |via| format!(",\"via\":{via}"));
        let reply = browser.post(event + "}");
        assert_eq!(reply.status, 204);
    };
    let items = |quantities: &[u64]| -> Value {
        quantities.iter().map(|quantity| json!({"sku": "7", "quantity": quantity})).collect()
    };
    let ad = r#"{"channel":"ad","campaign":"fall"}"#;
    send("cart_update", items(&[1, 2]), Some(ad));
    send("cart_remove", items(&[2]), None);
    // One is left, so it is still there by way of the advertisement.
    send("cart_add", items(&[1]), Some("\"mail\""));
    let other = json!([{"sku": "8"}]);
    send("cart_add", other, Some(r#"{ "campaign":"f\u0061ll", "channel":"ad" }"#));
    send("purchase", json!([{"sku": "7"}, {"sku": "8"}]), Some("\"mail\""));
    let lines = stored(&folder, collector);
    let ad = json!({"channel": "ad", "campaign": "fall"});
    assert_eq!(lines[2]["item_via"], json!([{"sku": "7", "via": ad}]));
    assert_eq!(lines[4]["via"], ad, "both items agree");
}
