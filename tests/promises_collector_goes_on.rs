//! Nothing that fails stops what works: segments, logs, stores; and readiness tells the truth.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::collector::{
    CONFIG, Collector, Redis, counts, event, folder, id, landed, wait_until,
};
use crate::support::servers::{self, free_port};
use crate::support::{DAY, ROOT};

fn metric(collector: &Collector, name: &str) -> f64 {
    let text = String::from_utf8(collector.browser().get("/metrics").body).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap()
}

/// The files of a collector's spool with an extension.
fn spooled(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("data/spool")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// A segment that a collector which died has left, with some events, each in a frame of its own.
fn leave_a_segment(folder: &Path, events: u64) -> PathBuf {
    let collector = Collector::start(folder, &CONFIG.replace("200ms", "1h"), &[]);
    for number in 0..events {
        collector.browser().event(&event(number, "page_view"));
    }
    collector.kill();
    spooled(folder, "spool").remove(0)
}

#[test]
fn a_bit_that_flips_in_the_last_frame_is_no_broken_write_and_nothing_is_thrown_away() {
    for events in [1, 3] {
        let folder = folder();
        let segment = leave_a_segment(folder.path(), events);
        let mut bytes = fs::read(&segment).unwrap();
        let place = bytes.len() - 20;
        bytes[place] ^= 4;
        fs::write(&segment, &bytes).unwrap();
        let collector = Collector::start(folder.path(), CONFIG, &[]);
        collector.browser().event(&event(9, "page_view"));
        let raw = folder.path().join("raw");
        wait_until("the others land", || landed(&raw).len() as u64 == events);
        wait_until("it is put aside", || !spooled(folder.path(), "damaged").is_empty());
        let damaged = spooled(folder.path(), "damaged");
        assert_eq!(fs::read(&damaged[0]).unwrap(), bytes);
        wait_until("it is counted", || {
            metric(&collector, "ashiato_collector_segments_damaged_total") == 1.0
        });
        assert!(log(folder.path()).contains("ERROR"), "{}", log(folder.path()));
        assert!(collector.stop().success());
        assert!(!counts(&landed(&raw)).contains_key(&id(events - 1)));
    }
}

#[test]
fn an_object_that_has_a_segments_name_keeps_nothing_from_landing() {
    let folder = folder();
    let segment = leave_a_segment(folder.path(), 2);
    let name = segment.file_stem().unwrap().to_str().unwrap();
    let (path, rest) = name.rsplit_once(',').unwrap();
    let object = folder.path().join("raw").join(path.replace(',', "/"));
    fs::create_dir_all(&object).unwrap();
    let object = object.join(format!("{}.ndjson.zst", rest.replacen('.', "-", 1)));
    let foreign = zstd::encode_all(&b"{\"event_id\":\"another\"}\n"[..], 1).unwrap();
    fs::write(&object, &foreign).unwrap();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    collector.browser().event(&event(9, "page_view"));
    let raw = folder.path().join("raw");
    wait_until("all land", || landed(&raw).len() == 4);
    assert_eq!(metric(&collector, "ashiato_collector_landing_conflicts_total"), 1.0);
    assert!(collector.stop().success());
    assert_eq!(fs::read(&object).unwrap(), foreign, "nothing is overwritten");
    assert!(log(folder.path()).contains("another object has the name"));
}

/// A pipe that nobody reads, and that has no room any more.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // As much as a pipe holds on Linux.
    writer.write_all(&vec![b'\n'; 65_536]).unwrap();
    (reader, writer)
}

#[test]
fn a_log_that_nobody_reads_stops_no_answer_and_no_end() {
    let folder = folder();
    let (mut reader, writer) = full_pipe();
    let port = free_port();
    let redis = format!("[visit_store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n");
    let collector = Collector::start_with_log(
        Command::new(env!("CARGO_BIN_EXE_ashiato")),
        folder.path(),
        &format!("{CONFIG}{redis}"),
        &[],
        writer.into(),
    );
    let mut browser = collector.browser();
    for number in 0..10 {
        // Each is a line in the log.
        assert_eq!(browser.post(event(number, "page_view").to_string()).status, 503);
    }
    let _redis = Redis::start(folder.path(), port);
    wait_until("it is ready", || browser.get("/readyz").status == 200);
    browser.event(&event(1, "page_view"));
    assert!(metric(&collector, "ashiato_collector_log_lines_dropped_total") >= 0.0);
    let began = Instant::now();
    assert!(collector.stop().success());
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(landed(&folder.path().join("raw")).len(), 1);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() <= 65_536, "nothing had room");
}

#[test]
fn a_run_whose_log_nobody_reads_ends_all_the_same() {
    let folder = folder();
    let (_reader, writer) = full_pipe();
    let ran = Command::new(env!("CARGO_BIN_EXE_ashiato"))
        .args(["run", "sql/action_log"])
        .args(DAY)
        .current_dir(ROOT)
        .env("ASHIATO_LOG", "trace")
        .env("ASHIATO_OUT", folder.path())
        .stderr(writer)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{:?}", ran.status);
    let result: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(result["status"], "published");
}

#[test]
fn ready_means_that_an_event_could_be_taken_now() {
    let folder = folder();
    let port = free_port();
    let config = format!(
        "{CONFIG}[visit_store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n\
         timeout = \"500ms\"\n"
    );
    let collector = Collector::start(folder.path(), &config, &[]);
    let ready = || collector.browser().get("/readyz").status == 200;
    let stays = |expected: bool| {
        for _ in 0..30 {
            assert_eq!(ready(), expected);
            std::thread::sleep(Duration::from_millis(250));
        }
    };
    // It was never there, and nobody sends anything.
    stays(false);
    assert_eq!(collector.browser().post(event(1, "page_view").to_string()).status, 503);
    assert!(!ready());
    let redis = Redis::start(folder.path(), port);
    wait_until("it is ready once Redis is there", ready);
    collector.browser().event(&event(1, "page_view"));
    stays(true);
    redis.pause(true);
    wait_until("it is not, once Redis is away", || !ready());
    stays(false);
    redis.pause(false);
    wait_until("it is ready again", ready);
    collector.browser().event(&event(2, "page_view"));
    assert!(collector.stop().success());
}

#[test]
fn sigterm_is_seen_before_the_port_closes() {
    let folder = folder();
    let config = CONFIG.replace("\"0s\"", "\"3s\"");
    let collector = Collector::start(folder.path(), &config, &[]);
    collector.browser().event(&event(1, "page_view"));
    assert_eq!(collector.browser().get("/readyz").status, 200);
    let began = Instant::now();
    collector.ask_to_stop();
    wait_until("it is not ready", || collector.browser().get("/readyz").status == 503);
    assert_eq!(collector.browser().get("/readyz").json()["reasons"][0], "stopping");
    let mut number = 2;
    while began.elapsed() < Duration::from_secs(2) {
        // Each by a new connection.
        collector.browser().event(&event(number, "page_view"));
        number += 1;
    }
    wait_until("the port closes", || TcpStream::connect(collector.address).is_err());
    assert!(began.elapsed() > Duration::from_millis(2900), "{:?}", began.elapsed());
    // It is asked once more than need be.
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len() as u64, number - 1);
}

#[test]
fn a_second_signal_ends_the_delay() {
    let folder = folder();
    let config = CONFIG.replace("\"0s\"", "\"20s\"");
    let collector = Collector::start(folder.path(), &config, &[]);
    collector.browser().event(&event(1, "page_view"));
    collector.ask_to_stop();
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    assert!(collector.stop().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(landed(&folder.path().join("raw")).len(), 1);
}

#[test]
fn sighup_has_the_configuration_read_again_and_a_wrong_one_changes_nothing() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    let (path, two) = (folder.path().join("collector.toml"), "[{\"a\":1},{\"a\":2}]");
    let reload = |config: &str, said: &str| {
        let before = log(folder.path()).matches(said).count();
        fs::write(&path, config).unwrap();
        kill(Pid::from_raw(collector.pid() as i32), Signal::SIGHUP).unwrap();
        wait_until(said, || log(folder.path()).matches(said).count() > before);
    };
    reload(&format!("{CONFIG}[limits]\nevents_max = 1\n"), "was read again");
    // On the connection that was open, too.
    assert_eq!(browser.post(two).status, 413);
    reload("allowed_origins = 5", "the configuration stays as it was");
    assert_eq!(browser.post(two).status, 413);
    let other = CONFIG.replace("https://shop.example", "https://other.example");
    reload(&format!("log = \"debug\"\nname = \"x\"\n{other}"), "keys that need a restart");
    assert_eq!(browser.post(two).status, 204);
    let origin = [("origin", "https://other.example")];
    let preflight = browser.send("OPTIONS", "/v1/events", &origin, "").unwrap();
    assert_eq!(preflight.headers["access-control-allow-origin"], origin[0].1);
    wait_until("it logs more", || {
        let mut broken = TcpStream::connect(collector.address).unwrap();
        broken.write_all(b"\x16\x03\x01 no request\r\n\r\n").unwrap();
        log(folder.path()).contains("DEBUG")
    });
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 3);
}

#[test]
fn the_first_failure_of_the_object_store_is_told_and_counted() {
    let (folder, server) = (folder(), servers::s3());
    let config = CONFIG.replace("location = \"raw\"", "location = \"s3://lake/raw\"");
    let config = format!("stop_time_max = \"2s\"\n{config}");
    let mut away = server.environment.clone();
    away[0].1 = "http://127.0.0.1:9".into();
    let collector = Collector::start(folder.path(), &config, &away);
    let began = Instant::now();
    collector.browser().event(&event(1, "page_view"));
    wait_until("it is counted", || {
        metric(&collector, "ashiato_collector_landing_retries_total") > 0.0
    });
    wait_until("it is told", || log(folder.path()).contains("the store failed"));
    assert!(began.elapsed() < Duration::from_secs(15), "long before it gives up");
    wait_until("its age is told", || {
        metric(&collector, "ashiato_collector_backlog_oldest_age_seconds") > 1.0
    });
    assert_eq!(collector.browser().get("/readyz").status, 200, "events are taken meanwhile");
}

#[test]
fn metrics_are_in_the_format_that_is_asked_for() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    let plain = browser.get("/metrics");
    assert_eq!(plain.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(plain.body).unwrap();
    assert!(text.contains("# TYPE ashiato_collector_events_total counter\n"), "{text}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = browser.send("GET", "/metrics", &accept, "").unwrap();
    assert!(open.headers["content-type"].starts_with("application/openmetrics-text"));
    let text = String::from_utf8(open.body).unwrap();
    assert!(text.ends_with("# EOF\n") && text.contains("process_open_fds"), "{text}");
}
