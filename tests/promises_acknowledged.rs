//! What is acknowledged gets into the table: whatever clients write, what the collector takes is
//! what the shipped contract reads.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::promises_collector::rows;
use crate::support::collector::{CONFIG, Collector, event, folder, id, landed};
use crate::support::{ROOT, finish};

/// What a run of the shipped pipeline says of all that landed, on the days at which it may have.
fn run_shipped(folder: &Path, lines: &[Value]) -> Vec<Value> {
    let day_of = |line: &Value| {
        let received = line["received_at"].as_str().unwrap();
        let received = chrono::DateTime::parse_from_rfc3339(received).unwrap();
        received.with_timezone(&chrono_tz::Asia::Tokyo).format("%Y-%m-%d").to_string()
    };
    let days: std::collections::BTreeSet<String> = lines.iter().map(day_of).collect();
    let run = |day: &String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        command.args(["run", "sql/action_log", "--date", day]).current_dir(ROOT);
        command.env("ASHIATO_SOURCE", folder.join("raw")).env("ASHIATO_OUT", folder.join("out"));
        finish(&mut command).published()
    };
    days.iter().map(run).collect()
}

#[test]
fn what_clients_write_otherwise_than_agreed_gets_into_the_table_all_the_same() {
    let folder = folder();
    let config = CONFIG.replace("[landing]", "[landing]\ntime_zone = \"Asia/Tokyo\"");
    let collector = Collector::start(folder.path(), &config, &[]);
    let item = json!({"sku": 7, "name": "a\0b", "price": "100", "quantity": 1, "amount": 100});
    let changes = [
        json!({"page": {"title": "a\0b", "url": ["x"]}}),
        json!({"page": "x", "user": 5, "cart": []}),
        json!({"event_id": "a\0b"}),
        json!({"event_id": {"a": 1}}),
        json!({"event": null}),
        json!({"event": ""}),
        json!({"event": 5}),
        json!({"event": "a\0"}),
        json!({"service": null}),
        json!({"service": 5}),
        json!({"service": "a\0"}),
        json!({"service": "__HIVE_DEFAULT_PARTITION__"}),
        json!({"time": {"a": 1}}),
        json!({"time": "2016-12-31T23:59:60Z"}),
        json!({"time": chrono::Utc::now().format("%Y-%m-%dT%H:%M:60Z").to_string()}),
        json!({"time": format!("+{}", chrono::Utc::now().timestamp_millis())}),
        json!({"time": format!("0{}", chrono::Utc::now().timestamp_millis())}),
        json!({"time": chrono::Utc::now().format("%Y-%m-%d %H:%M:%Sz").to_string()}),
        json!({"via": {"channel": 5, "campaign": {"a": [1]}}}),
        json!({"via": {"channel": "a\0", "campaign": true}}),
        json!({"via": ["x"]}),
        json!({"v": "2", "user": {"id": 12, "member": "yes"}, "trace": "17"}),
        json!({"target": {"sku": 7, "position": "3"}, "search": {"query": 1.50, "hits": 1.5}}),
        json!({"order": {"id": 99, "points": "many", "shipping_fee": "x", "deliver_on": "soon"}}),
        json!({"event": "purchase", "cart": {"items": [item.clone()]}}),
        json!({"event": "purchase", "via": {"channel": 5}, "cart": {"items": [item]}}),
    ];
    let mut browser = collector.browser();
    let mut bodies: Vec<String> = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let mut body = event(number as u64, "click");
        let change = change.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(change);
        bodies.push(body.to_string());
    }
    bodies.push(json!({"event_id": id(900)}).to_string());
    bodies.push("{}".to_owned());
    bodies.push(r#"{"event":"a","event":5,"service":"books","service":null}"#.to_owned());
    bodies.push(r#"{"event":"\u0000","service":"b\u006foks","t\u0000":"\u0000"}"#.to_owned());
    for body in &bodies {
        let reply = browser.post(body.clone());
        assert_eq!(reply.status, 204, "{body}: {}", String::from_utf8_lossy(&reply.body));
    }
    for query in ["", "event=%00", "event=open&service=", "event=open&page.title=%00&user=1"] {
        let path = format!("/v1/pixel.gif?{query}");
        assert_eq!(browser.send("GET", &path, &[], "").unwrap().status, 200, "{query}");
    }
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    let results = run_shipped(folder.path(), &lines);
    let sum = |key: &str| results.iter().map(|result| result[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("rejected"), 0, "{results:#?}");
    assert_eq!(sum("decoded"), bodies.len() as u64 + 4);
    let rows = rows(&folder.path().join("out/action_log/events"));
    assert_eq!(rows.len(), bodies.len() + 4);
    let named = |key: &str| rows.iter().filter(|row| row[key] == "other").count();
    assert_eq!(named("event"), 7, "null, \"\", 5, none twice, 5 again, and a picture without one");
    assert!(rows.iter().any(|row| row["event"] == "a\u{fffd}"));
    assert!(rows.iter().any(|row| row["via_channel"] == "5"));
    assert!(rows.iter().any(|row| row["title"] == "a\u{fffd}b"));
}

#[test]
fn a_contract_that_requires_what_events_may_lack_is_told_apart() {
    let folder = folder();
    let pipeline = folder.path().join("pipeline");
    fs::create_dir(&pipeline).unwrap();
    for file in fs::read_dir(Path::new(ROOT).join("sql/action_log")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), pipeline.join(file.file_name())).unwrap();
        }
    }
    let contract = fs::read_to_string(pipeline.join("contract.toml")).unwrap();
    let paths = r#"paths = ["event", "action", "body.event"]"#;
    assert!(contract.contains(paths));
    let own = contract.replace(paths, r#"path = "body.event""#);
    fs::write(pipeline.join("contract.toml"), own).unwrap();
    let config = Path::new(ROOT).join("fixtures/tracker/collector.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command.arg("check").arg(&pipeline).arg("--collector").arg(config).current_dir(ROOT);
    command.env("ASHIATO_SOURCE", "out/raw").env_remove("ASHIATO_OUT");
    let fixtures = format!("{ROOT}/fixtures");
    let pipeline_toml = fs::read_to_string(pipeline.join("pipeline.toml")).unwrap();
    let absolute = pipeline_toml.replace("${PIPELINE_DIR}/../../fixtures", &fixtures);
    fs::write(pipeline.join("pipeline.toml"), absolute).unwrap();
    let checked = finish(&mut command).result();
    let warnings = checked["collector_warnings"].as_array().unwrap();
    let said = "column `event` is required: events without `body.event` are acknowledged";
    assert!(warnings.iter().any(|one| one.as_str().unwrap().contains(said)), "{warnings:?}");
}

fn check(collector: &Path, source: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command
        .args(["check", "sql/action_log", "--collector"])
        .arg(collector)
        .current_dir(ROOT)
        .env("ASHIATO_SOURCE", source);
    command
}

#[test]
fn what_is_acknowledged_has_room_in_the_contract() {
    let folder = folder();
    let shipped = Path::new(ROOT).join("fixtures/tracker/collector.toml");
    let checked = finish(check(&shipped, "out/raw").env_remove("ASHIATO_OUT")).result();
    assert_eq!(checked["status"], "ok");
    assert_eq!(checked["collector_warnings"], json!([]));
    let elsewhere = finish(&mut check(&shipped, "s3://lake/raw")).result();
    assert!(elsewhere["collector_warnings"][0].as_str().unwrap().contains("s3://lake/raw"));
    let own = folder.path().join("collector.toml");
    let zone = "time_zone = \"Asia/Tokyo\"\n";
    for (config, expected) in [
        (
            format!("[landing]\n{zone}[limits]\nline_bytes_max = \"65KiB\"\n"),
            "`line_bytes_max`: expected at least 66560",
        ),
        (format!("[landing]\n{zone}[limits]\nevent_bytes_max = \"1MiB\"\n"), "`line_bytes_max`"),
        (
            format!("[landing]\n{zone}[limits]\ndepth_max = 64\n"),
            "`depth_max`: expected at least 65",
        ),
        (String::new(), "lands in `dt=2026-01-01/hr=00/`"),
        (format!("[landing]\n{zone}path = \"day=%Y-%m-%d/hr=%H\"\n"), "`day=2026-01-01/hr=09/`"),
        (format!("[landing]\n{zone}path = \"dt=%Y-%m-%d\"\n"), "`dt=2026-01-01/`"),
    ] {
        fs::write(&own, &config).unwrap();
        finish(&mut check(&own, "out/raw")).fails_with(78, &[expected]);
    }
    fs::write(&own, format!("[landing]\n{zone}path = \"dt=%Y-%m-%d/hr=%H/x\"\n")).unwrap();
    assert_eq!(finish(&mut check(&own, "out/raw")).result()["status"], "ok", "it lies below");
    fs::write(&own, "[limits]\nevent_bytes_max = \"60KiB\"\nline_bytes_max = \"60KiB\"\n").unwrap();
    let expected = "`line_bytes_max`: expected at least 65536 bytes";
    finish(&mut check(&own, "out/raw")).fails_with(78, &[expected]);
}

#[test]
fn no_line_is_longer_than_the_contract_allows() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    // As many different ways as a cart can have, each as long as it can be.
    let mut number = 0;
    for round in 0..100 {
        number += 1;
        let mut add = event(number, "cart_add");
        add["via"] = json!({"channel": format!("{round:03}{}", "v".repeat(230))});
        add["cart"] = json!({"items": [{"sku": format!("{round:03}{}", "\"".repeat(100))}]});
        browser.event(&add);
    }
    let agent = "\"".repeat(1024);
    let headers = [("user-agent", agent.as_str())];
    let item = |round: usize| json!({"sku": format!("{:03}{}", round % 100, "\"".repeat(100))});
    let mut send = |purchase: &serde_json::Value| {
        browser.send("POST", "/v1/events", &headers, purchase.to_string()).unwrap().status
    };
    for fill in [0, 10_000] {
        let mut purchase = event(1000 + fill as u64, "purchase");
        purchase["cart"] = json!({"items": (0..200).map(item).collect::<Vec<_>>()});
        let room = (60 << 10) - purchase.to_string().len() - 20;
        purchase["note"] = json!("n".repeat(fill.min(room)));
        assert_eq!(send(&purchase), 204);
        purchase["event_id"] = json!(format!("full-{fill}"));
        purchase["note"] = json!("n".repeat(room));
        assert_eq!(send(&purchase), 204);
    }
    assert!(collector.stop().success());
    for (name, bytes) in crate::support::files_below(&folder.path().join("raw")) {
        let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        for line in text.lines() {
            assert!(line.len() <= 64 << 10, "{name}: {}", line.len());
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if line["body"]["event"] == "purchase" {
                assert_eq!(line["item_via"].as_array().unwrap().len(), 200);
            }
        }
    }
}
