//! What one client sends costs that client: bytes, memory, connections and files are bounded.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::collector::{CONFIG, Collector, event, folder, id, landed, wait_until};
use crate::support::{ROOT, finish};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The resident memory of a process, in bytes.
fn memory(collector: &Collector) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", collector.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    crate::support::files_below(folder).values().map(|bytes| bytes.len() as u64).sum()
}

/// Purchases of 200 items each, with as long a `via` as may be.
fn purchases(count: usize) -> String {
    let items = vec![r#"{"sku":1}"#; 200].join(",");
    let via = "a".repeat(236);
    let purchase = format!(
        r#"{{"event":"purchase","via":{{"channel":"{via}"}},"cart":{{"items":[{items}]}}}}"#
    );
    format!("[{}]", vec![purchase; count].join(","))
}

#[test]
fn a_few_bytes_that_would_become_many_are_refused_or_charged_to_their_client() {
    let folder = folder();
    let config = CONFIG.replace("200ms", "1h");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut evil = collector.browser();
    let headers = [("content-encoding", "gzip")];
    let mut send = |body: &[u8]| evil.send("POST", "/v1/events", &headers, body).unwrap();
    let refused = send(&gzip(&purchases(500)));
    assert_eq!(refused.status, 413, "{}", String::from_utf8_lossy(&refused.body));
    let (packed, mut statuses) = (gzip(&purchases(200)), Vec::new());
    assert!(packed.len() < 3000, "{}", packed.len());
    for _ in 0..40 {
        statuses.push(send(&packed).status);
    }
    let taken = statuses.iter().filter(|status| **status == 204).count();
    let late = statuses.iter().filter(|status| **status == 429).count();
    assert!(taken >= 1 && late > 20 && taken + late == 40, "{statuses:?}");
    let spooled = bytes_below(&folder.path().join("data/spool"));
    assert!(spooled < 24 << 20, "{spooled} bytes");
    // What is in proportion to what was sent is taken from the same address all the same.
    let mut honest = collector.browser();
    for number in 0..20 {
        honest.event(&event(number, "page_view"));
    }
    assert!(collector.stop().success());
}

#[test]
fn visitors_with_huge_carts_take_little_memory_each() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nclient_surplus_max = 0\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let item = |number: usize| json!({"sku": format!("{number}-{}", "s".repeat(110))});
    let items: Vec<_> = (0..150).map(item).collect();
    let mut visitors = collector.browser();
    let mut visit = |number: u64| {
        visitors.cookies.clear();
        for (name, number) in [("cart_add", 2 * number), ("purchase", 2 * number + 1)] {
            let mut event = event(number, name);
            event["via"] = json!({"channel": "a".repeat(230)});
            event["cart"] = json!({"items": items});
            visitors.event(&event);
        }
    };
    (0..20).for_each(&mut visit);
    let before = memory(&collector);
    (20..620).for_each(&mut visit);
    let grown = memory(&collector).saturating_sub(before);
    assert!(grown < 90 << 20, "{grown} bytes of 600 visitors");
    assert!(collector.stop().success());
}

#[test]
fn connections_are_bounded_by_the_files_that_may_be_open_and_the_spool_has_its_own() {
    let folder = folder();
    let mut command = Command::new("sh");
    let script = "ulimit -n 160 && exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_ashiato")]);
    let collector = Collector::start_by(command, folder.path(), CONFIG, &[]);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("taking fewer connections") && log.contains("files=160"), "{log}");
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    let many: Vec<TcpStream> =
        (0..400).filter_map(|_| TcpStream::connect(collector.address).ok()).collect();
    for number in 2..6 {
        browser.event(&event(number, "page_view"));
        std::thread::sleep(Duration::from_millis(300));
    }
    wait_until("events land meanwhile", || landed(&folder.path().join("raw")).len() > 3);
    drop(many);
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 5);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("could not be accepted") && !log.contains("refused"), "{log}");
}

#[test]
fn one_client_may_be_kept_from_taking_all_connections() {
    let folder = folder();
    let config = format!(
        "trusted_proxies = [\"127.0.0.2/32\"]\n{CONFIG}[limits]\nclient_connections_max = 3\n"
    );
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut taken: Vec<_> = (0..3).map(|_| collector.browser()).collect();
    for browser in &mut taken {
        assert_eq!(browser.get("/healthz").status, 200);
    }
    let ask = || collector.browser().send("GET", "/healthz", &[], "");
    assert!(ask().is_err(), "a fourth one is closed");
    drop(taken);
    wait_until("its connections are given back", || ask().is_ok());
}

#[test]
fn unfinished_heads_are_bounded_all_together_and_small_ones_always_have_room() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nheads_bytes_max = \"1MiB\"\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    collector.browser().event(&event(1, "page_view"));
    let before = memory(&collector);
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\nx-a: {}", "a".repeat(15_000));
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(collector.address).unwrap();
        let _ = stream.write_all(head.as_bytes());
        open.push(stream);
    }
    let is_closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        // What was not read is answered with a reset.
        match stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    wait_until("most are closed", || {
        open.iter_mut().map(&is_closed).filter(|closed| *closed).count() > 800
    });
    let grown = memory(&collector).saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes");
    // Who sends a small head slowly is served meanwhile.
    let body = event(2, "page_view").to_string();
    let whole = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut slow = TcpStream::connect(collector.address).unwrap();
    for piece in whole.as_bytes().chunks(20) {
        slow.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let metrics = String::from_utf8(collector.browser().get("/metrics").body).unwrap();
    let cut = metrics.lines().find(|line| line.starts_with("ashiato_collector_connections_cut"));
    assert!(cut.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    assert!(collector.stop().success());
}

#[test]
fn a_connection_may_be_idle_longer_than_a_request_may_take() {
    let folder = folder();
    let limits = "[limits]\nrequest_time_max = \"1s\"\nidle_time_max = \"4s\"\n";
    let collector = Collector::start(folder.path(), &format!("{CONFIG}{limits}"), &[]);
    let mut stream = TcpStream::connect(collector.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{count}");
    };
    for pause_ms in [0, 2000, 2500, 10] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        ask(&mut stream);
    }
    // The next head begins, and does not end.
    let mut slow = TcpStream::connect(collector.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    ask(&mut slow);
    std::thread::sleep(Duration::from_millis(1500));
    let began = Instant::now();
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let _ = slow.read_to_end(&mut Vec::new());
    let took = began.elapsed();
    assert!((500..3500).contains(&took.as_millis()), "{took:?}");
    // Who is idle for longer is closed.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert!(collector.stop().success());
}

#[test]
fn what_a_client_claims_makes_no_more_partitions_than_may_be() {
    let folder = folder();
    let zone = "location = \"raw\"\ntime_zone = \"Asia/Tokyo\"";
    let config = CONFIG.replace("location = \"raw\"", zone);
    let config = format!("{config}[limits]\nservices_max = 3\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let events: Vec<_> = (0..400)
        .map(|number| {
            let mut event = event(number, "page_view");
            event["time"] = json!(format!("{}-11-21T00:00:00Z", 1000 + number));
            event["service"] = json!(format!("service-{number}"));
            event
        })
        .collect();
    browser.event(&json!(events));
    let mut plain = event(1000, "page_view");
    let time = chrono::Utc::now() - chrono::Duration::hours(3);
    plain["time"] = json!(time.to_rfc3339());
    plain["service"] = json!("service-1");
    browser.event(&plain);
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    let named = |line: &serde_json::Value| match line.get("service") {
        Some(service) => service.as_str().unwrap().to_owned(),
        None => line["body"]["service"].as_str().unwrap().to_owned(),
    };
    let services: std::collections::BTreeSet<String> = lines.iter().map(named).collect();
    assert_eq!(services.len(), 4, "{services:?}");
    for line in &lines {
        if line["event_id"] == id(1000) {
            assert!(line.get("time").is_none() && line.get("service").is_none(), "{line}");
            continue;
        }
        assert_eq!(line["time"], line["received_at"]);
        assert_eq!(line["client_time"], line["body"]["time"], "the client's own is kept");
    }
    // The shipped pipeline makes as few partitions of it.
    let out = folder.path().join("out");
    let date = chrono::Utc::now().with_timezone(&chrono_tz::Asia::Tokyo);
    let date = date.format("%Y-%m-%d").to_string();
    let ran = finish(
        Command::new(env!("CARGO_BIN_EXE_ashiato"))
            .args(["run", "sql/action_log", "--date", &date])
            .current_dir(ROOT)
            .env("ASHIATO_SOURCE", folder.path().join("raw"))
            .env("ASHIATO_OUT", &out),
    )
    .published();
    assert_eq!(ran["decoded"], 401);
    let files = crate::support::files_below(&out.join("action_log/events"));
    let folders: std::collections::BTreeSet<_> =
        files.keys().filter_map(|name| name.rsplit_once('/')).map(|(folder, _)| folder).collect();
    assert!(folders.len() <= 8, "{folders:?}");
}

#[test]
fn ids_stay_apart_though_their_requests_are_refused() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nrequest_lines_bytes_max = \"4KiB\"\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let mut large = event(1, "purchase");
    large["cart"] = json!({"items": vec![json!({"sku": "7"}); 40]});
    let refused = browser.post(large.to_string());
    assert_eq!(refused.status, 413);
    assert!(String::from_utf8_lossy(&refused.body).contains("send fewer"), "{refused:?}");
    browser.event(&event(1, "purchase"));
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    assert_eq!((lines.len(), lines[0]["event_id"].as_str()), (1, Some(&*id(1))));
    assert_eq!(lines[0]["visit"]["seq"], 1, "what was refused has not counted");
}

/// A connection of HTTP/2, spoken byte by byte.
struct Http2(TcpStream);

impl Http2 {
    fn open(collector: &Collector) -> Self {
        let mut stream = TcpStream::connect(collector.address).unwrap();
        // Longer than the test needs, and shorter than an idle connection may be.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut connection = Http2(stream);
        connection.send(&frame(4, 0, 0, &[])).unwrap();
        connection
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// The next frame's type, stream and payload; none if there is no other.
    fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the connection is open, and nothing comes")
            }
            Err(_) => return None,
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some((head[3], stream, payload))
    }

    /// Waits for so many answers.
    fn answers(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let (kind, _, payload) = self.next().expect("the connection was closed");
            assert_ne!(kind, 7, "GOAWAY: {payload:?}");
            left -= usize::from(kind == HEADERS);
        }
    }
}

const HEADERS: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The head of a request (RFC 7541: fields of the static table, and a path as it is).
fn head(method: u8, path: &str, is_all: bool, stream: u32) -> Vec<u8> {
    let mut fields = vec![method, 0x86, 0x04, path.len() as u8];
    fields.extend(path.as_bytes());
    frame(HEADERS, 4 | u8::from(is_all), stream, &fields)
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

#[test]
fn frames_that_bring_nothing_close_their_connection_and_no_other() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut other = Http2::open(&collector);
    other.send(&head(GET, "/healthz", true, 1)).unwrap();
    other.answers(1);
    let begun = head(POST, "/v1/events", false, 3);
    let cancelled = [begun.clone(), frame(3, 0, 3, &8_u32.to_be_bytes())].concat();
    let unfinished = frame(HEADERS, 0, 3, &[POST]);
    for (what, first, flood) in [
        ("PING", &[][..], frame(6, 0, 0, &[7; 8])),
        ("answers to no PING", &[], frame(6, 1, 0, &[7; 8])),
        ("SETTINGS", &[], frame(4, 0, 0, &[])),
        ("SETTINGS with some", &[], frame(4, 0, 0, &[0, 4, 0, 1, 0, 0].repeat(100))),
        ("PRIORITY", &[], frame(2, 0, 5, &[0, 0, 0, 1, 9])),
        ("WINDOW_UPDATE", &[], frame(8, 0, 0, &1_u32.to_be_bytes())),
        ("WINDOW_UPDATE of a stream", &begun, frame(8, 0, 3, &1_u32.to_be_bytes())),
        ("RST_STREAM", &cancelled, frame(3, 0, 3, &8_u32.to_be_bytes())),
        ("empty DATA", &begun, frame(0, 0, 3, &[])),
        ("empty CONTINUATION", &unfinished, frame(9, 0, 3, &[])),
        ("unknown frames", &[], frame(0xfe, 0, 0, &[0; 1000])),
    ] {
        let mut connection = Http2::open(&collector);
        connection.send(&head(GET, "/healthz", true, 1)).unwrap();
        connection.answers(1);
        connection.send(first).unwrap();
        // It may be closed before all of it is sent.
        let _ = connection.send(&flood.repeat(2000));
        let (mut goodbye, mut answered) = (None, 0);
        while let Some((kind, _, payload)) = connection.next() {
            answered += 1;
            if kind == 7 {
                goodbye = Some(payload);
            }
        }
        assert!(answered < 1200, "{what}: {answered}");
        if let Some(goodbye) = goodbye {
            assert_eq!(goodbye[4..8], 11_u32.to_be_bytes(), "{what}: ENHANCE_YOUR_CALM");
        }
    }
    other.send(&head(GET, "/healthz", true, 3)).unwrap();
    other.answers(1);
    let metrics = String::from_utf8(collector.browser().get("/metrics").body).unwrap();
    let cut = metrics.lines().find(|line| line.starts_with("ashiato_collector_connections_cut"));
    let cut: u64 = cut.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((7..=11).contains(&cut), "{metrics}");
    assert!(collector.stop().success());
}

#[test]
fn who_sends_requests_may_send_any_number_of_frames_in_proportion() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut connection = Http2::open(&collector);
    let mut number = 0;
    for _ in 0..30 {
        let mut sent = Vec::new();
        for _ in 0..100 {
            let stream = 2 * number + 1;
            let body = event(u64::from(number), "page_view").to_string();
            sent.extend(frame(2, 0, stream, &[0, 0, 0, 0, 9]));
            sent.extend(head(POST, "/v1/events", false, stream));
            sent.extend(frame(8, 0, 0, &1_u32.to_be_bytes()));
            body.as_bytes().chunks(30).for_each(|piece| sent.extend(frame(0, 0, stream, piece)));
            sent.extend(frame(0, 1, stream, &[]));
            number += 1;
        }
        sent.extend(frame(6, 0, 0, &[7; 8]));
        connection.send(&sent).unwrap();
        connection.answers(100);
    }
    drop(connection);
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 3000);
}
