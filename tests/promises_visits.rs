//! Visits keep their ids while their store fails, restarts, and moves to another.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use std::process::Command;
use tempfile::TempDir;

use crate::support::collector::{Browser, Collector, Redis, landed, wait_until};
use crate::support::finish;
use crate::support::servers::free_port;

const CONFIG: &str = "data = \"data\"\nstop_delay = \"0s\"\n[landing]\nlocation = \"raw\"\n\
                      object_age_max = \"200ms\"\n";

fn page() -> Value {
    json!({"v": 2, "event": "page_view", "service": "books"})
}

/// The visit that an event belongs to; it is sent until it is taken.
fn visit_of(browser: &mut Browser) -> String {
    let began = Instant::now();
    loop {
        if let Ok(reply) = browser.send("POST", "/v1/events", &[], page().to_string())
            && reply.status == 204
        {
            return reply.headers["ashiato-visit-short"].clone();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no event is taken");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn collectors_that_share_a_redis_never_make_two_visits_of_one() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let redis = Redis::start(folder.path(), free_port());
    let config = format!(
        "{CONFIG}[visit_store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\n",
        redis.port
    );
    let collectors = [
        Collector::start(folder.path(), &config, &[]),
        Collector::start(other.path(), &config, &[]),
    ];
    let mut first = collectors[0].browser();
    let visit = visit_of(&mut first);
    let long = first.cookies["ashiato_long"].clone();
    std::thread::scope(|scope| {
        for collector in [&collectors[0], &collectors[1], &collectors[0], &collectors[1]] {
            let (visit, long) = (&visit, &long);
            scope.spawn(move || {
                for _ in 0..50 {
                    let mut browser = collector.browser();
                    // Only the visitor is known: the store has to say which visit it is.
                    browser.cookies.insert("ashiato_long".into(), long.clone());
                    assert_eq!(visit_of(&mut browser), *visit);
                }
            });
        }
    });
    let [one, two] = collectors;
    assert!(one.stop().success() && two.stop().success());
    let mut lines = landed(&folder.path().join("raw"));
    lines.extend(landed(&other.path().join("raw")));
    let mut seqs: Vec<u64> =
        lines.iter().map(|line| line["visit"]["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=201).collect::<Vec<u64>>());
}

#[test]
fn a_redis_that_is_slow_or_gone_refuses_and_recovers_by_itself() {
    let folder = TempDir::new().unwrap();
    let redis = Redis::start(folder.path(), free_port());
    let config = format!(
        "{CONFIG}[visit_store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\n\
         timeout = \"300ms\"\n",
        redis.port
    );
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let visit = visit_of(&mut browser);
    redis.pause(true);
    let began = Instant::now();
    let refused = browser.post(page().to_string());
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "5"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(browser.get("/readyz").status, 503);
    // Who gives no ids needs no store.
    let anonymous = [("ashiato-anonymous", "1")];
    let taken = browser.send("POST", "/v1/events", &anonymous, page().to_string()).unwrap();
    assert_eq!(taken.status, 204);
    redis.pause(false);
    // Nobody sends events to a collector that is not ready: it must be so again without any.
    wait_until("it is ready again", || browser.get("/readyz").status == 200);
    assert_eq!(visit_of(&mut browser), visit);
    let redis = redis.restart();
    assert_eq!(visit_of(&mut browser), visit);
    drop(redis);
    assert!(collector.stop().success());
}

fn visits(folder: &TempDir, arguments: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command.arg("visits").args(["--config", "collector.toml"]).args(arguments);
    let finished = finish(command.current_dir(folder.path()));
    let last = finished.stdout.lines().last().unwrap_or("null");
    (finished.code.unwrap(), serde_json::from_str(last).unwrap())
}

#[test]
fn visits_move_to_another_store_while_traffic_flows_and_stores_fail() {
    let folder = TempDir::new().unwrap();
    let mut redis = Redis::start(folder.path(), free_port());
    let config = format!(
        "{CONFIG}[visit_store]\nkind = \"migrating\"\n[visit_store.old]\nkind = \"embedded\"\n\
         [visit_store.new]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\ntimeout = \"300ms\"\n",
        redis.port
    );
    let mut collector = Collector::start(folder.path(), &config, &[]);
    // Some come once and again at the end, some all the time.
    let mut quiet: Vec<(Browser, String)> = (0..200)
        .map(|_| {
            let mut browser = collector.browser();
            let visit = visit_of(&mut browser);
            (browser, visit)
        })
        .collect();
    let mut busy = collector.browser();
    let visit = visit_of(&mut busy);
    assert_eq!(visits(&folder, &["backfill"]).0, 78, "old: the backfill would be outrun");
    for phase in ["dual", "new_first", "new"] {
        assert_eq!(visits(&folder, &["phase", phase]).0, 0, "{phase}");
        assert_eq!(visits(&folder, &["status"]).1["phase"], phase);
        assert_eq!(visit_of(&mut busy), visit, "{phase}");
        if phase != "new" {
            redis = redis.restart();
            assert_eq!(visit_of(&mut busy), visit, "{phase}: redis was restarted");
        }
        collector.kill();
        collector = Collector::start(folder.path(), &config, &[]);
        let cookies = std::mem::take(&mut busy.cookies);
        busy = collector.browser();
        busy.cookies = cookies;
        assert_eq!(visit_of(&mut busy), visit, "{phase}: the collector was killed");
        if phase == "dual" {
            let (code, report) = visits(&folder, &["report"]);
            assert_eq!((code, &report["safe"]), (65, &json!(false)), "{report}");
            let (code, done) = visits(&folder, &["backfill"]);
            assert_eq!((code, &done["done"]), (0, &json!(true)), "{done}");
            let (code, report) = visits(&folder, &["report"]);
            assert_eq!((code, &report["safe"]), (0, &json!(true)), "{report}");
        }
    }
    for (browser, visit) in &mut quiet {
        let mut again = collector.browser();
        // Without the cookie of the visit, only the new store can know it.
        again.cookies.insert("ashiato_long".into(), browser.cookies["ashiato_long"].clone());
        assert_eq!(visit_of(&mut again), *visit);
    }
    wait_until("metrics", || {
        let metrics = String::from_utf8(busy.get("/metrics").body).unwrap();
        metrics.contains("ashiato_collector_visits_phase{phase=\"new\"} 1")
    });
    assert!(collector.stop().success());
    // The next move does not begin where this one ended.
    let next = config.replace("127.0.0.1", "localhost").replace(
        "old]\nkind = \"embedded\"",
        &format!("old]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{}\"", redis.port),
    );
    std::fs::write(folder.path().join("collector.toml"), next).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command.args(["collect", "--config", "collector.toml", "--listen", "127.0.0.1:0"]);
    finish(command.current_dir(folder.path()))
        .fails_with(78, &["is of a move from data/visits", "in phase new", "remove it"]);
}
