//! A real browser: what its pages made is stored, each event once, in one visit.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::collector::{Collector, landed};
use crate::support::{ROOT, finish};

const CONFIG: &str = r#"
data = "data"
allowed_origins = ["*"]
[landing]
location = "raw"
[cookies]
secure = false
"#;

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
