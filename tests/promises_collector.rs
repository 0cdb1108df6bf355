//! What is acknowledged is in object storage exactly once, whatever happens.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::collector::{
    CONFIG, Collector, counts, event, folder, id, landed, send_until, wait_until,
};
use crate::support::{ROOT, finish, servers};

#[test]
fn a_visit_goes_from_its_first_page_to_its_purchase() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    let mut page = event(1, "page_view");
    page["via"] = json!({"channel": "ad", "campaign": "fall"});
    let first = browser.event(&page);
    let cart = json!({"items": [{"sku": "7", "quantity": 1}]});
    let mut add = event(2, "cart_add");
    add["cart"] = cart.clone();
    let second = browser.event(&add);
    for header in ["ashiato-visit-short", "ashiato-visit-long"] {
        assert_eq!(first.headers[header], second.headers[header]);
    }
    // Another tab has the same cookies.
    let mut tab = collector.browser();
    tab.cookies = browser.cookies.clone();
    let mut mail = event(3, "page_view");
    mail["via"] = json!("mail");
    tab.event(&mail);
    let mut purchase = event(4, "purchase");
    purchase["cart"] = cart;
    tab.event(&purchase);
    assert!(collector.stop().success());
    let mut lines = landed(&folder.path().join("raw"));
    lines.sort_by_key(|line| line["visit"]["seq"].as_u64());
    let seqs: Vec<u64> = lines.iter().map(|line| line["visit"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    let vias: Vec<&str> =
        lines.iter().map(|line| line["via"]["channel"].as_str().unwrap()).collect();
    assert_eq!(vias, ["ad", "ad", "mail", "ad"]);
    assert_eq!(
        lines[3]["item_via"],
        json!([{"sku": "7", "via": {"channel": "ad", "campaign": "fall"}}])
    );
    assert_eq!(lines[3]["body"], purchase);
    assert_eq!(lines[0]["visit"]["short"], first.headers["ashiato-visit-short"].as_str());
}

#[test]
fn an_event_that_comes_again_is_stored_once_and_counts_once() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    let item = |name: &str, number: u64, via: Option<&str>| {
        let mut event = event(number, name);
        event["cart"] = json!({"items": [{"sku": "7", "quantity": 1}]});
        if let Some(via) = via {
            event["via"] = json!(via);
        }
        event
    };
    let add = item("cart_add", 1, Some("ad"));
    browser.event(&add);
    browser.event(&add);
    // All of it is gone, though it came twice: what is added next is led there by something else.
    browser.event(&item("cart_remove", 2, None));
    browser.event(&item("cart_add", 3, Some("mail")));
    let purchase = item("purchase", 4, None);
    browser.event(&purchase);
    browser.event(&purchase);
    assert!(collector.stop().success());
    let mut lines = landed(&folder.path().join("raw"));
    lines.sort_by_key(|line| line["visit"]["seq"].as_u64());
    let seqs: Vec<u64> = lines.iter().map(|line| line["visit"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(lines[3]["body"]["event"], "purchase");
    assert_eq!(lines[3]["item_via"], json!([{"sku": "7", "via": {"channel": "mail"}}]));
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_reason_and_never_acknowledged() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nbody_bytes_max = \"4KiB\"\nevents_max = 3\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let json = ("content-type", "application/json");
    let mut status = |headers: &[(&str, &str)], body: &[u8]| {
        let reply = browser.send("POST", "/v1/events", headers, body).unwrap();
        (reply.status, String::from_utf8(reply.body).unwrap())
    };
    let (code, body) = status(&[json], b"{\"a\":\n 1,}");
    assert_eq!(code, 400);
    assert!(body.contains(r#""at":{"byte":9,"line":2,"column":4}"#), "{body}");
    assert_eq!(status(&[json], &[b' '; 5000]).0, 413);
    assert_eq!(status(&[json], b"[{},{},{},{}]").0, 413);
    assert_eq!(status(&[("content-type", "image/gif")], b"{}").0, 415);
    assert_eq!(status(&[json, ("content-encoding", "br")], b"{}").0, 415);
    let bomb = zstd::encode_all(&vec![b' '; 100 << 20][..], 1).unwrap();
    assert_eq!(status(&[json, ("content-encoding", "zstd")], &bomb[..bomb.len().min(4000)]).0, 413);
    assert_eq!(status(&[json, ("content-encoding", "gzip")], b"{}").0, 400);
    assert_eq!(browser.get("/v1/events").status, 405);
    assert_eq!(browser.get("/elsewhere").status, 404);
    let mixed = browser.post(r#"[{"event":"a"},17]"#);
    assert_eq!(mixed.status, 202);
    assert_eq!(mixed.json()["accepted"], 1);
    assert_eq!(mixed.json()["results"][1]["status"], "refused");
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 1);
}

#[test]
fn who_does_not_consent_gets_no_cookie_and_no_ids() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    for header in [("dnt", "1"), ("sec-gpc", "1"), ("ashiato-anonymous", "1")] {
        let reply = browser.send("POST", "/v1/events", &[header], r#"{"event":"a"}"#).unwrap();
        assert_eq!(reply.status, 204);
        assert!(!reply.headers.contains_key("set-cookie"));
        assert!(!reply.headers.contains_key("ashiato-visit-long"));
    }
    collector.stop();
    for line in landed(&folder.path().join("raw")) {
        assert!(line.get("visit").is_none() && line.get("ip").is_none(), "{line}");
    }
}

#[test]
fn browsers_of_allowed_sites_may_ask_and_mail_may_use_the_pixel() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    let origin = ("origin", "https://shop.example");
    let preflight = browser.send("OPTIONS", "/v1/events", &[origin], "").unwrap();
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], origin.1);
    let stranger = ("origin", "https://evil.example");
    let refused = browser.send("OPTIONS", "/v1/events", &[stranger], "").unwrap();
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
    let pixel = browser.get("/v1/pixel.gif?event=mail_open&service=books&via=mail");
    assert_eq!((pixel.status, &pixel.body[..6]), (200, &b"GIF89a"[..]));
    assert_eq!(browser.get("/healthz").status, 200);
    assert_eq!(browser.get("/readyz").json()["ready"], true);
    let metrics = String::from_utf8(browser.get("/metrics").body).unwrap();
    assert!(metrics.contains("ashiato_collector_events_total 1"), "{metrics}");
    collector.stop();
    let lines = landed(&folder.path().join("raw"));
    assert_eq!(lines[0]["body"]["event"], "mail_open");
    assert_eq!(lines[0]["via"], json!({"channel": "mail"}));
}

#[test]
fn kills_at_200_random_moments_under_load_lose_and_double_nothing() {
    let folder = folder();
    let config = format!("{CONFIG}object_bytes_max = \"16KiB\"\n");
    let mut collector = Collector::start(folder.path(), &config, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let address = Arc::new(Mutex::new(collector.address));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let senders: Vec<_> = (0..4_u64)
        .map(|sender| {
            let (stop, address) = (Arc::clone(&stop), Arc::clone(&address));
            let acknowledged = Arc::clone(&acknowledged);
            std::thread::spawn(move || {
                send_until(&stop, &address, sender << 32, &acknowledged);
            })
        })
        .collect();
    let mut random = uuid::Uuid::new_v4().as_u128();
    for _ in 0..200 {
        random = random.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 96) as u64 % 120_000));
        collector.kill();
        collector = Collector::start(folder.path(), &config, &[]);
        *address.lock().unwrap() = collector.address;
    }
    stop.store(true, Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(collector.stop().success());
    let counts = counts(&landed(&folder.path().join("raw")));
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > 1000, "{}", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|id| !counts.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "twice: {doubled:?}");
}

#[test]
fn a_store_that_is_away_fills_the_spool_and_is_caught_up_with_oldest_first() {
    let folder = folder();
    let server = servers::s3();
    let config = CONFIG.replace(
        "location = \"raw\"",
        "location = \"s3://lake/raw\"\n\
         backlog_bytes_max = \"6KiB\"",
    );
    let mut away: Vec<(&'static str, String)> = server.environment.clone();
    away[0].1 = "http://127.0.0.1:9".into();
    away.push(("ASHIATO_RETRY_SECONDS", "1".into()));
    let collector = Collector::start(folder.path(), &config, &away);
    let mut browser = collector.browser();
    let mut taken = 0;
    let refused = loop {
        let reply = browser.post(event(taken, "page_view").to_string());
        if reply.status != 204 {
            break reply;
        }
        taken += 1;
        assert!(taken < 1000);
    };
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "5"));
    assert_eq!(browser.get("/readyz").status, 503);
    collector.kill();
    let collector = Collector::start(folder.path(), &config, &server.environment);
    let mut browser = collector.browser();
    wait_until("the backlog is landed", || browser.get("/readyz").json()["backlog_bytes"] == 0);
    assert_eq!(browser.post(event(taken, "page_view").to_string()).status, 204);
    assert!(collector.stop().success());
    let lines = server.lines("raw");
    assert_eq!(counts(&lines).len() as u64, taken + 1);
    assert_eq!(lines.len() as u64, taken + 1);
}

#[test]
fn sigterm_answers_what_was_begun_refuses_what_is_new_and_lands_the_rest() {
    let folder = folder();
    let config = CONFIG.replace("200ms", "1h");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    let mut slow = TcpStream::connect(collector.address).unwrap();
    let body = event(2, "click").to_string();
    let head =
        format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&body.as_bytes()[..5]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    collector.ask_to_stop();
    std::thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(collector.address).is_err(), "no new connections");
    slow.write_all(&body.as_bytes()[5..]).unwrap();
    let mut reply = String::new();
    slow.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 204"), "{reply}");
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 2);
}

#[test]
fn slow_and_idle_connections_are_bounded_and_harm_nobody() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nrequest_time_max = \"1s\"\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut slow = TcpStream::connect(collector.address).unwrap();
    slow.write_all(b"POST /v1/events HTTP/1.1\r\nhost: x\r\n").unwrap();
    let mut half = TcpStream::connect(collector.address).unwrap();
    half.write_all(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{").unwrap();
    let idle: Vec<TcpStream> =
        (0..2000).map(|_| TcpStream::connect(collector.address).unwrap()).collect();
    let began = Instant::now();
    collector.browser().event(&event(1, "page_view"));
    assert!(began.elapsed() < Duration::from_secs(1));
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // Who is slow, who is silent, and who only begins are all closed when their time is up.
    let mut began = TcpStream::connect(collector.address).unwrap();
    began.write_all(b"PRI * HT").unwrap();
    for mut one in [slow, began].into_iter().chain(idle.into_iter().rev().take(100)) {
        one.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        one.read_to_end(&mut Vec::new()).unwrap();
    }
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 1);
}

#[test]
fn requests_of_one_http2_connection_are_answered_side_by_side() {
    use http_body_util::Full;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let target = format!("http://{}/v1/events", collector.address);
    let statuses = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let stream = tokio::net::TcpStream::connect(collector.address).await.unwrap();
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let requests = (0..50).map(|number| {
            let mut sender = sender.clone();
            let body = Full::new(bytes::Bytes::from(event(number, "page_view").to_string()));
            let request = hyper::Request::post(&target).body(body).unwrap();
            async move { sender.send_request(request).await.unwrap().status().as_u16() }
        });
        futures::future::join_all(requests).await
    });
    assert_eq!(statuses, [204; 50]);
    assert!(collector.stop().success());
    assert_eq!(counts(&landed(&folder.path().join("raw"))).len(), 50);
}

#[test]
fn stopping_takes_no_longer_than_it_may_and_the_next_start_lands_the_rest() {
    let (folder, server) = (folder(), servers::s3());
    let config = CONFIG.replace("location = \"raw\"", "location = \"s3://lake/raw\"");
    let config = format!("stop_time_max = \"2s\"\n{config}");
    let mut away = server.environment.clone();
    away[0].1 = "http://127.0.0.1:9".into();
    let collector = Collector::start(folder.path(), &config, &away);
    for number in 0..3 {
        collector.browser().event(&event(number, "page_view"));
        std::thread::sleep(Duration::from_millis(800));
    }
    // Who is in the midst of a body is waited for, and no longer than may be.
    let mut slow = TcpStream::connect(collector.address).unwrap();
    slow.write_all(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    assert!(collector.stop().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let collector = Collector::start(folder.path(), &config, &server.environment);
    let mut browser = collector.browser();
    wait_until("the backlog is landed", || browser.get("/readyz").json()["backlog_bytes"] == 0);
    assert!(collector.stop().success());
    assert_eq!((server.lines("raw").len(), counts(&server.lines("raw")).len()), (3, 3));
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nclient_rate_max = 3\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let mut statuses = Vec::new();
    for number in 0..6 {
        let reply = browser.post(event(number, "page_view").to_string());
        if reply.status == 429 {
            assert!(reply.headers.contains_key("retry-after"));
        }
        statuses.push(reply.status);
    }
    assert_eq!(statuses[..3], [204, 204, 204]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn traffic_for_trials_is_answered_counted_and_stored() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let load = |arguments: &[&str]| {
        let target = collector.address.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        finish(command.args(["load", "--target", &target]).args(arguments))
    };
    let quick = ["--rate", "300", "--duration", "2s", "--warm-up", "10ms", "--visitors", "50"];
    let report = load(&[&quick[..], &["--connections", "10", "--events", "3"]].concat()).result();
    let requests = report["requests"].as_u64().unwrap();
    assert!((590..=610).contains(&requests), "{report}");
    assert_eq!(report["statuses"]["204"], requests, "{report}");
    assert!(report["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
    load(&["--rate", "0"]).fails_with(64, &["expected a rate"]);
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    assert!(lines.len() as u64 >= requests * 3, "{}", lines.len());
    let visitors: BTreeSet<String> =
        lines.iter().map(|line| line["visit"]["long"].to_string()).collect();
    let visits: BTreeSet<String> =
        lines.iter().map(|line| line["visit"]["short"].to_string()).collect();
    assert_eq!(visits.len(), visitors.len(), "a visitor who goes on goes on with the visit");
    assert!(visitors.len() < lines.len() / 3);
}

#[test]
fn traffic_for_trials_says_what_limited_it_and_opens_what_it_needs() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let load = |arguments: &[&str]| {
        let target = collector.address.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        let base = ["load", "--target", &target, "--duration", "1s", "--warm-up", "10ms"];
        finish(command.args(base).args(arguments)).result()
    };
    let few = load(&["--rate", "3000", "--connections", "1", "--seed", "7"]);
    assert_eq!((&few["connections"], &few["seed"]), (&json!(1), &json!(7)), "{few}");
    assert!(few["limited_by"].is_string(), "one connection is too few: {few}");
    assert!(few["waited_for_connection"].as_u64().unwrap() > 100, "{few}");
    let enough = load(&["--rate", "20"]);
    assert!(enough["connections"].as_u64().unwrap() >= 8, "{enough}");
    let other = load(&["--rate", "20"]);
    assert_ne!(enough["seed"], other["seed"]);
    let known = |collector: &Collector| {
        let metrics = String::from_utf8(collector.browser().get("/metrics").body).unwrap();
        let line =
            metrics.lines().find(|line| line.starts_with("ashiato_collector_events_known_total"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(known(&collector), 0, "no event is another trial's");
    assert!(collector.stop().success());
}

#[test]
fn a_browsers_request_reaches_the_table_with_all_its_fields() {
    let (folder, server) = (folder(), servers::s3());
    let config = CONFIG
        .replace("location = \"raw\"", "location = \"s3://lake/raw\"\ntime_zone = \"Asia/Tokyo\"");
    let collector = Collector::start(folder.path(), &config, &server.environment);
    let mut browser = collector.browser();
    let mut add = event(1, "cart_add");
    let items = json!([{"sku": "b-1", "name": "本", "category": "standard", "price": 1000,
        "quantity": 2, "amount": 2000}]);
    add["via"] = json!({"channel": "recommendation", "campaign": "rec-7"});
    add["cart"] = json!({"items": items});
    browser.event(&add);
    let mut purchase = event(2, "purchase");
    // A time near the arrival counts as it is.
    let time = chrono::Utc::now() - chrono::Duration::minutes(20);
    let tokyo = time.with_timezone(&chrono_tz::Asia::Tokyo);
    purchase["time"] = json!(tokyo.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    purchase["user"] = json!({"id": "u1", "member": true});
    purchase["device"] = json!({"screen": "390x844", "language": "ja-JP"});
    purchase["page"] = json!({"url": "https://books.example/thanks?utm_campaign=x",
        "title": "ありがとう", "referrer": "https://www.example.org/"});
    purchase["order"] = json!({"id": "O1", "payment": "card", "points": 3, "shipping_fee": 500.5,
        "deliver_on": "2026-11-24"});
    purchase["cart"] = json!({"items": items});
    purchase["perf"] = json!({"load_ms": 12.5});
    let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1";
    let reply =
        browser.send("POST", "/v1/events", &[("user-agent", agent)], purchase.to_string()).unwrap();
    assert_eq!(reply.status, 204);
    assert!(collector.stop().success());
    let lines = server.lines("raw");
    let received = lines.iter().find(|line| line["event_id"] == id(2)).unwrap();
    let hour = received["received_at"].as_str().unwrap();
    let hour = chrono::DateTime::parse_from_rfc3339(hour).unwrap();
    let hour = hour.with_timezone(&chrono_tz::Asia::Tokyo).format("%Y-%m-%dT%H").to_string();
    let ran = finish(
        Command::new(env!("CARGO_BIN_EXE_ashiato"))
            .args(["run", "sql/action_log", "--hour", &hour])
            .current_dir(ROOT)
            .env("ASHIATO_SOURCE", "s3://lake/raw")
            .env("ASHIATO_OUT", folder.path().join("out"))
            .envs(server.environment.iter().map(|(name, value)| (*name, value))),
    )
    .published();
    assert_eq!(ran["decoded"], 2);
    let events = rows(&folder.path().join("out/action_log/events"));
    let row = events.iter().find(|row| row["event_id"] == id(2)).unwrap();
    let expected = json!({
        "event_id": id(2), "occurred_at": time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
        "event": "purchase", "version": 2,
        "member": true, "visit_id": reply.headers["ashiato-visit-short"],
        "visitor_id": reply.headers["ashiato-visit-long"], "visit_seq": 2,
        "via_channel": "recommendation",
        "via_campaign": "rec-7", "language": "ja-JP", "screen": "390x844",
        "browser": "Mobile Safari", "os": "iOS", "device_kind": "smartphone", "bot": false,
        "url": "https://books.example/thanks?utm_campaign=x", "page_path": "/thanks",
        "utm_campaign": "x", "title": "ありがとう", "referrer_host": "www.example.org",
        "load_ms": 12.5, "order_id": "O1", "items": 1
    });
    for (name, value) in expected.as_object().unwrap() {
        let found = &row[name];
        let starts_alike = || found.as_str().unwrap().starts_with(value.as_str().unwrap());
        let same = found == value || name == "occurred_at" && starts_alike();
        assert!(same, "{name}: expected {value}, found {found} in {row}");
    }
    assert!(row["user_pseudonym"].as_str().is_some_and(|text| text != "u1"));
    let purchases = rows(&folder.path().join("out/action_log/purchases/parquet"));
    assert_eq!(purchases.len(), 1);
    assert_eq!(purchases[0]["sku"], "b-1");
    assert_eq!(purchases[0]["amount_yen"], 2000);
    assert_eq!(purchases[0]["tax_yen"], 200);
    let expected = json!({
        "event_id": id(2), "item_number": 1, "order_id": "O1", "payment": "card", "points": 3,
        "visit_id": row["visit_id"], "visitor_id": row["visitor_id"], "name": "本",
        "via_channel": "recommendation", "via_campaign": "rec-7", "category": "standard",
        "price_yen": 1000, "quantity": 2, "deliver_on": "2026-11-24"
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&purchases[0][name], value, "{name}");
    }
}

/// The rows of all Parquet files below a folder, as JSON objects.
pub fn rows(folder: &Path) -> Vec<Value> {
    use datafusion::arrow::json::ArrayWriter;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let mut rows = Vec::new();
    for (name, bytes) in crate::support::files_below(folder) {
        if !name.ends_with(".parquet") {
            continue;
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        let mut writer = ArrayWriter::new(Vec::new());
        for batch in reader.build().unwrap() {
            writer.write(&batch.unwrap()).unwrap();
        }
        writer.finish().unwrap();
        let read: Vec<Value> = serde_json::from_slice(&writer.into_inner()).unwrap_or_default();
        rows.extend(read);
    }
    rows
}
