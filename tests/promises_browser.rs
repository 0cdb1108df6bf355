//! A real browser: what its pages made is stored, each event once, in one visit.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::collector::{Collector, landed};
use crate::support::servers::free_port;
use crate::support::{ROOT, finish};

const CONFIG: &str = r#"
data = "data"
allowed_origins = ["*"]
[landing]
location = "raw"
[cookies]
secure = false
"#;

/// Plays a scenario in the browser against a collector; gives what it made and what was stored.
fn play(scenario: &str, folder: &TempDir, collector: Collector, port: u16) -> (Value, Vec<Value>) {
    let made = folder.path().join("made.json");
    let played = finish(
        Command::new("python3")
            .args(["tests/browser/drive.py", "--scenario", scenario, "--out"])
            .arg(&made)
            .args(["--collector", &format!("http://{}", collector.address)])
            .args(["--port", &port.to_string()])
            .current_dir(ROOT),
    );
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert!(collector.stop().success());
    let made = serde_json::from_slice(&fs::read(made).unwrap()).unwrap();
    (made, landed(&folder.path().join("raw")))
}

/// The visitors of events, and how many events have none.
fn visitors<'a>(lines: impl Iterator<Item = &'a Value>) -> (BTreeSet<String>, usize) {
    let (mut visitors, mut nameless) = (BTreeSet::new(), 0);
    for line in lines {
        match line["visit"]["long"].as_str() {
            Some(visitor) => drop(visitors.insert(visitor.to_owned())),
            None => nameless += 1,
        }
    }
    (visitors, nameless)
}

#[test]
fn a_browser_forgets_with_consent_and_another_site_changes_nothing() {
    let (folder, port) = (TempDir::new().unwrap(), free_port());
    let config = CONFIG.replace("\"*\"", &format!("\"http://127.0.0.1:{port}\""));
    let key = [("ASHIATO_COOKIE_KEY", "0123456789abcdef0123456789abcdef".to_owned())];
    let collector = Collector::start(folder.path(), &config, &key);
    let (made, stored) = play("consent", &folder, collector, port);
    let of_step = |step: &str| -> Vec<&Value> {
        let made = made["events"].as_array().unwrap().iter().filter(|one| one["step"] == step);
        let ids: Vec<&Value> = made.map(|event| &event["event_id"]).collect();
        assert!(!ids.is_empty(), "{step}");
        stored.iter().filter(|line| ids.contains(&&line["event_id"])).collect()
    };
    assert!(of_step("b").is_empty(), "the origin is not allowed");
    let (shopping, nameless) = visitors(of_step("a").into_iter().chain(of_step("c")));
    assert_eq!((shopping.len(), nameless), (1, 0));
    let (refused, nameless) = visitors(of_step("d").into_iter());
    assert_eq!((refused.len(), nameless > 0), (0, true));
    let (again, nameless) = visitors(of_step("e").into_iter());
    assert_eq!((again.len(), nameless), (1, 0));
    assert!(again.is_disjoint(&shopping));
    // The pixel came with the visitor's cookie, and changed nothing of what led to the purchase.
    let by_pixel: Vec<&Value> =
        stored.iter().filter(|line| line["via"]["channel"] == "evil").collect();
    assert_eq!(by_pixel.len(), 1);
    assert!(shopping.contains(by_pixel[0]["visit"]["long"].as_str().unwrap()));
    let purchase = stored.iter().find(|line| line["body"]["event"] == "purchase").unwrap();
    assert_eq!(purchase["via"]["channel"], "ad");
    assert_eq!(purchase["item_via"][0]["via"]["channel"], "ad");
}

#[test]
fn a_browser_that_keeps_no_cookies_is_one_visitor() {
    let (folder, port) = (TempDir::new().unwrap(), free_port());
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let (_, stored) = play("blocked", &folder, collector, port);
    assert!(stored.len() >= 5, "{}", stored.len());
    let (one, nameless) = visitors(stored.iter());
    assert_eq!((one.len(), nameless), (1, 0));
}

#[test]
fn events_of_a_browser_that_closes_tabs_and_goes_offline_are_stored_once_each() {
    let folder = TempDir::new().unwrap();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let played = finish(
        Command::new("python3")
            .args(["tests/browser/drive.py", "--out"])
            .arg(folder.path().join("made.json"))
            .args(["--collector", &format!("http://{}", collector.address)])
            .current_dir(ROOT),
    );
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert!(collector.stop().success());
    let made: Value =
        serde_json::from_slice(&fs::read(folder.path().join("made.json")).unwrap()).unwrap();
    let made = made["events"].as_array().unwrap();
    let stored = landed(&folder.path().join("raw"));
    assert!(made.len() > 10, "{} events", made.len());
    for event in made {
        let found: Vec<&Value> =
            stored.iter().filter(|line| line["event_id"] == event["event_id"]).collect();
        assert_eq!(found.len(), 1, "{event}");
        assert_eq!(found[0]["body"]["event"], event["event"]);
        assert_eq!(found[0]["body"], event["body"], "{event}");
        assert!(found[0]["user_agent"].as_str().unwrap().contains("Chrome"));
    }
    assert_eq!(stored.len(), made.len(), "nothing else is stored");
    let visitors: BTreeSet<String> =
        stored.iter().map(|line| line["visit"]["long"].to_string()).collect();
    assert_eq!(visitors.len(), 1, "one visitor: {visitors:?}");
    let visits: BTreeSet<String> =
        stored.iter().map(|line| line["visit"]["short"].to_string()).collect();
    assert_eq!(visits.len(), 1, "one visit: {visits:?}");
    let mut seqs: Vec<u64> =
        stored.iter().map(|line| line["visit"]["seq"].as_u64().unwrap()).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=stored.len() as u64).collect::<Vec<u64>>(), "each counted once");
    let bought = stored.iter().filter(|line| line["body"]["event"] == "purchase");
    for purchase in bought {
        assert!(purchase["item_via"].as_array().is_some_and(|items| !items.is_empty()));
    }
}

#[test]
fn the_tracker_keeps_what_it_promises() {
    let tested = finish(
        Command::new("node").args(["--test", "tests/browser/tracker.test.mjs"]).current_dir(ROOT),
    );
    assert_eq!(tested.code, Some(0), "{tested:#?}");
}
