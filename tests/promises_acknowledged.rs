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
fn run_shipped(folder: &Path, lines: &[Value], arguments: &[&str]) -> Vec<Value> {
    let day_of = |line: &Value| {
        let received = line["received_at"].as_str().unwrap();
        let received = chrono::DateTime::parse_from_rfc3339(received).unwrap();
        received.with_timezone(&chrono_tz::Asia::Tokyo).format("%Y-%m-%d").to_string()
    };
    let days: std::collections::BTreeSet<String> = lines.iter().map(day_of).collect();
    let run = |day: &String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        command.args(["run", "sql/action_log", "--date", day]).args(arguments).current_dir(ROOT);
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
    let results = run_shipped(folder.path(), &lines, &[]);
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

/// Events that no specification would expect: each member may be missing, twice, or any JSON.
struct OddEvents(u64);

impl OddEvents {
    const NUMBERS: [&str; 16] = [
        "0",
        "-0",
        "1",
        "-1",
        "99.5",
        "1.0",
        "1e2",
        "-5",
        "1e400",
        "1e-400",
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "1000000001",
        "123456789012345678901234567890.000000000000000001",
    ];
    const TEXTS: [&str; 15] = [
        r#""""#,
        r#""7""#,
        r#"" 7""#,
        r#""099""#,
        r#""1e3""#,
        r#""a\u0000b""#,
        r#""\ud83d""#,
        r#""\ude00x""#,
        r#""山田""#,
        r#""\"\\""#,
        r#""2026-11-21""#,
        r#""true""#,
        r#""null""#,
        "\"\u{7f}\u{feff}\"",
        r#""http://[::1/?a=%ff""#,
    ];
    const OTHERS: [&str; 10] = [
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "[1]",
        "[null]",
        r#"{"a":[{}]}"#,
        r#"{"":null}"#,
        "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
    ];
    /// What is no event's id, so that none is taken for another one sent again.
    const NO_IDS: [&str; 6] = ["null", r#""""#, "[]", "{}", "true", r#"{"event_id":1}"#];

    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }

    fn one_of(&mut self, values: &[&str]) -> String {
        values[self.below(values.len() as u64) as usize].to_owned()
    }

    fn odd(&mut self) -> String {
        match self.below(4) {
            0 => self.one_of(&Self::TEXTS),
            1 => self.one_of(&Self::OTHERS),
            _ => self.one_of(&Self::NUMBERS),
        }
    }

    /// A value by its usual form, or another one.
    fn value(&mut self, usual: &str) -> String {
        if self.below(5) > 0 { usual.to_owned() } else { self.odd() }
    }

    /// An object of some of these members, some of them twice.
    fn object(&mut self, members: &[(&str, &str)]) -> String {
        let mut written = Vec::new();
        for (key, usual) in members {
            for _ in 0..[0, 1, 1, 1, 1, 1, 1, 2][self.below(8) as usize] {
                let value = self.value(usual);
                written.push(format!("\"{key}\":{value}"));
            }
        }
        format!("{{{}}}", written.join(","))
    }

    fn cart(&mut self) -> String {
        const ITEM: [(&str, &str); 7] = [
            ("sku", r#""s-1""#),
            ("id", "17"),
            ("name", r#""n""#),
            ("category", r#""standard""#),
            ("price", "1000"),
            ("quantity", r#""2""#),
            ("amount", "2000"),
        ];
        let count = self.below(5);
        let mut item = |_| if self.below(12) == 0 { self.odd() } else { self.object(&ITEM) };
        let items: Vec<String> = (0..count).map(&mut item).collect();
        let items = format!("[{}]", items.join(","));
        self.object(&[("items", &items), ("coupon", r#"{"code":"a","rate":0.1}"#)])
    }

    fn event(&mut self, number: u64) -> String {
        const NAMES: [&str; 5] =
            [r#""purchase""#, r#""purchase""#, r#""cart_add""#, r#""cart_update""#, r#""click""#];
        let event_id = match self.below(3) {
            0 => self.one_of(&Self::NO_IDS),
            1 => format!("\"odd-{number}\""),
            _ => format!("\"{}\"", id(number)),
        };
        let name = self.one_of(&NAMES);
        let time = format!("\"{}\"", chrono::Utc::now().to_rfc3339());
        let user = self.object(&[("id", r#""m-1""#), ("member", "true")]);
        let via = self.object(&[("channel", r#""ad""#), ("campaign", r#""c""#)]);
        let page = self.object(&[("url", r#""https://shop.example/a""#), ("title", r#""t""#)]);
        let order = self.object(&[
            ("id", r#""o-1""#),
            ("payment", r#""card""#),
            ("points", "5"),
            ("shipping_fee", "500.00"),
            ("deliver_on", r#""2026-11-30""#),
        ]);
        let target = self.object(&[("sku", r#""s""#), ("position", "3")]);
        let search = self.object(&[("query", r#""q""#), ("hits", "3")]);
        let cart = self.cart();
        let members = self.object(&[
            ("v", "2"),
            ("event", &name),
            ("event", &name),
            ("service", r#""books""#),
            ("time", &time),
            ("user", &user),
            ("via", &via),
            ("page", &page),
            ("order", &order),
            ("target", &target),
            ("search", &search),
            ("cart", &cart),
            ("cart", &cart),
            ("trace", "17"),
            ("perf", r#"{"load_ms":12.5}"#),
            ("device", r#"{"screen":"1x1","language":"ja"}"#),
            ("received_at", "5"),
            ("item_via", "5"),
            ("visit", "5"),
            ("", "1"),
        ]);
        format!("{{\"event_id\":{event_id},{}", &members[1..]).replace(",}", "}")
    }
}

#[test]
fn whatever_is_acknowledged_is_decoded_and_what_sums_cannot_take_is_told_by_name() {
    let mut refused: std::collections::BTreeMap<String, u64> = Default::default();
    for seed in [1, 20_261_121, 0x9e37_79b9_7f4a_7c15] {
        let folder = folder();
        let config = CONFIG.replace("[landing]", "[landing]\ntime_zone = \"Asia/Tokyo\"");
        let collector = Collector::start(folder.path(), &config, &[]);
        let (mut odd, mut browser) = (OddEvents(seed), collector.browser());
        for body in 0..20 {
            let events: Vec<String> = (0..25).map(|place| odd.event(body * 25 + place)).collect();
            let reply = browser.post(format!("[{}]", events.join(",")));
            assert_eq!(reply.status, 204, "{:?}: {}", reply.body, events.join("\n"));
        }
        assert!(collector.stop().success());
        let lines = arrivals(&folder.path().join("raw"));
        assert_eq!(lines.len(), 500, "seed {seed}");
        let results = run_shipped(folder.path(), &lines, &["--allow-rejects"]);
        let sum = |of: &dyn Fn(&Value) -> &Value| {
            results.iter().map(|result| of(result).as_u64().unwrap_or(0)).sum::<u64>()
        };
        assert_eq!(sum(&|result| &result["rejected"]), 0, "seed {seed}: {results:#?}");
        assert_eq!(sum(&|result| &result["outputs"]["events"]["rows"]), 500, "seed {seed}");
        assert!(sum(&|result| &result["outputs"]["purchases"]["rows"]) > 20, "seed {seed}");
        for result in &results {
            let rejected = result["outputs"]["purchases"]["rejected"].as_object();
            for (name, count) in rejected.into_iter().flatten() {
                *refused.entry(name.clone()).or_default() += count.as_u64().unwrap();
            }
        }
        // Nothing of an order vanishes: each is in the table, or in the quarantine.
        let events = rows(&folder.path().join("out/action_log/events"));
        let is_bought =
            |row: &&Value| row["event"] == "purchase" && row["items"].as_u64() != Some(0);
        let bought = ids_of(events.iter().filter(is_bought));
        let mut told = ids_of(&rows(&folder.path().join("out/action_log/purchases/parquet")));
        told.extend(quarantined_ids(folder.path()));
        let missing: Vec<_> = bought.difference(&told).collect();
        assert!(missing.is_empty() && bought.len() > 50, "seed {seed}: {missing:?}");
    }
    for name in
        ["item_is_whole", "quantity_is_positive", "quantity_is_plausible", "amount_is_plausible"]
    {
        assert!(refused[name] > 0, "{name}: {refused:?}");
    }
}

fn ids_of<'a>(rows: impl IntoIterator<Item = &'a Value>) -> std::collections::BTreeSet<String> {
    rows.into_iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
}

/// When each line arrived that landed; what else it holds may be more than a [`Value`] can.
fn arrivals(folder: &Path) -> Vec<Value> {
    let mut arrivals = Vec::new();
    for bytes in crate::support::files_below(folder).values() {
        let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        arrivals.extend(text.lines().map(|line| {
            let (_, rest) = line.split_once("\"received_at\":\"").unwrap();
            json!({"received_at": rest.split_once('"').unwrap().0})
        }));
    }
    arrivals
}

/// The events of which rows are in the quarantine.
fn quarantined_ids(folder: &Path) -> Vec<String> {
    let files = crate::support::files_below(&folder.join("out/quarantine"));
    let files = files.iter().filter(|(name, _)| name.ends_with(".zst"));
    let mut ids = Vec::new();
    for (_, bytes) in files {
        let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            ids.extend(record["row"]["event_id"].as_str().map(str::to_owned));
        }
    }
    ids
}

#[test]
fn one_visitors_orders_stop_no_days_sales() {
    let folder = folder();
    let config = CONFIG.replace("[landing]", "[landing]\ntime_zone = \"Asia/Tokyo\"");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let max = i64::MAX;
    let orders = [
        (1000, 1, "standard"),
        (-1009, 1, "standard"),
        (-99_999, 1, "reduced"),
        (10, max, "exempt"),
        (10, max, "exempt"),
        (max, 1, "reduced"),
        (-max, 1, "reduced"),
        (1_000_000_000, 1_000_000, ""),
        (-1_000_000_000, 1_000_000, "standard"),
        (100, 1, "books"),
        (-99, 1, "books"),
    ];
    let order = |(number, (amount, quantity, category)): (usize, &(i64, i64, &str))| {
        let mut order = event(number as u64, "purchase");
        order["cart"] = json!({"items": [{"sku": "s", "price": 1, "category": category,
                                          "amount": amount, "quantity": quantity}]});
        order
    };
    let orders: Vec<Value> = orders.iter().enumerate().map(order).collect();
    browser.event(&json!(orders));
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    let results = run_shipped(folder.path(), &lines, &["--allow-rejects"]);
    let of = |result: &Value| result["outputs"]["purchases"]["rows"].as_u64().unwrap();
    assert_eq!(results.iter().map(of).sum::<u64>(), 7, "{results:#?}");
    assert!(!rows(&folder.path().join("out/action_log/daily_sales")).is_empty());
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
    let version = "type = \"int32\"\ndefault = 1\nnumber_in_string = true\non_mismatch = \"null\"";
    assert!(contract.contains(paths) && contract.contains(version));
    let own = contract
        .replace(paths, r#"path = "body.event""#)
        .replace(version, version.trim_end_matches("\non_mismatch = \"null\""));
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
    let warned = |said: &str| warnings.iter().any(|one| one.as_str().unwrap().contains(said));
    assert!(
        warned("column `event` is required: events without `body.event` are acknowledged")
            && warned("column `event`: events whose `body.event` is no string are acknowledged")
            && warned("column `version`: events whose `body.v` is no int32 are acknowledged"),
        "{warnings:?}"
    );
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn a_collectors_file_is_checked_without_its_secrets() {
    let folder = folder();
    let own = folder.path().join("collector.toml");
    let text = "[landing]\ntime_zone = \"Asia/Tokyo\"\n[cookies]\nkey_variable = \"SHOP_KEY\"\n\
                previous_key_variable = \"SHOP_KEY_OLD\"\n";
    fs::write(&own, text).unwrap();
    let checked =
        |variables: &[(&str, &str)]| finish(check(&own, "out/raw").envs(variables.iter().copied()));
    let not_checked = |variables: &[(&str, &str)]| {
        let warnings = checked(variables).result()["collector_warnings"].clone();
        let warnings: Vec<String> = serde_json::from_value(warnings).unwrap();
        let about_keys = |one: &&String| one.starts_with("the key was not checked: ");
        warnings.iter().filter(about_keys).map(|one| one.replace('`', "")).collect::<Vec<_>>()
    };
    let absent =
        |name: &str| format!("the key was not checked: the environment has no variable {name}");
    let (key, old) = (("SHOP_KEY", "0123456789abcdef"), ("SHOP_KEY_OLD", "0123456789abcdef"));
    assert_eq!(not_checked(&[]), [absent("SHOP_KEY"), absent("SHOP_KEY_OLD")]);
    assert_eq!(not_checked(&[old]), [absent("SHOP_KEY")]);
    assert_eq!(not_checked(&[key, old]), [""; 0]);
    // What is there is looked at, and who collects needs it.
    checked(&[("SHOP_KEY", "short")]).fails_with(78, &["the key in `SHOP_KEY`"]);
    let mut collect = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    collect.args(["collect", "--config"]).arg(&own).current_dir(folder.path());
    finish(&mut collect).fails_with(78, &["no variable `SHOP_KEY`", "no variable `SHOP_KEY_OLD`"]);
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

#[test]
fn what_is_written_with_escapes_goes_round_no_bound() {
    let folder = folder();
    let config = CONFIG.replace("[landing]", "[landing]\ntime_zone = \"Asia/Tokyo\"");
    let config = format!("{config}[limits]\nservices = [\"books\", \"本\"]\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let mut ids = Vec::new();
    for number in 0..8_u64 {
        let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
        let id = id(number);
        let body =
            format!(r#"{{"v":2,"event":"click","service":"books","\u0073ervice":"evil{number}","#)
                + &format!(r#""time":"{now}","\u0074ime":"203{number}-01-01T00:00:00Z","#)
                + &format!(r#""\u0065vent_id":"{id}"}}"#);
        // Sent again, it is known.
        for _ in 0..2 {
            assert_eq!(browser.post(body.clone()).status, 204, "{body}");
        }
        ids.push(id);
    }
    let body = format!(r#"{{"v":2,"event_id":"{}","event":"a","service":"\u672c"}}"#, id(90));
    assert_eq!(browser.post(body).status, 204);
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    let own = |line: &&Value| ids.iter().any(|id| line["event_id"] == **id);
    assert_eq!(lines.iter().filter(own).count(), 8);
    for line in lines.iter().filter(own) {
        assert_eq!((&line["service"], &line["time"]), (&json!("other"), &line["received_at"]));
    }
    run_shipped(folder.path(), &lines, &[]);
    assert_eq!(rows(&folder.path().join("out/action_log/events")).len(), 9);
    let tables = crate::support::files_below(&folder.path().join("out"));
    assert!(!tables.keys().any(|name| name.contains("evil") || name.contains("dt=203")));
    assert!(tables.keys().any(|name| name.contains("service=other")));
}

#[test]
fn each_event_is_in_the_table_once_though_its_object_lost_its_end_before_a_crash() {
    let folder = folder();
    let config = CONFIG.replace("[landing]", "[landing]\ntime_zone = \"Asia/Tokyo\"");
    let config = config.replace("200ms", "1h");
    let spool = folder.path().join("data/spool");
    let collector = Collector::start(folder.path(), &config, &[]);
    let mut browser = collector.browser();
    let mut random = 1_u64;
    for batch in 0..20_u64 {
        let mut bodies = Vec::new();
        for number in 0..200 {
            let mut body = event(batch * 200 + number, "page_view");
            let mut next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                format!("{random:x}")
            };
            body["pad"] = json!((0..20).map(|_| next()).collect::<String>());
            bodies.push(body);
        }
        browser.event(&json!(bodies));
    }
    collector.kill();
    let segment = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|e| e == "spool"));
    let segment = segment.unwrap();
    let kept = fs::read(&segment).unwrap();
    assert!(Collector::start(folder.path(), &config, &[]).stop().success());
    let lines = landed(&folder.path().join("raw"));
    assert_eq!(lines.len(), 4000);
    let (name, object) =
        crate::support::files_below(&folder.path().join("raw")).pop_first().unwrap();
    fs::write(folder.path().join("raw").join(&name), &object[..object.len() * 2 / 3]).unwrap();
    // As a crash leaves it that comes before the segment is removed.
    fs::write(&segment, kept).unwrap();
    assert!(Collector::start(folder.path(), &config, &[]).stop().success());
    let objects = crate::support::files_below(&folder.path().join("raw"));
    assert_eq!(objects.len(), 2, "{:?}", objects.keys());
    run_shipped(folder.path(), &lines, &[]);
    assert_eq!(rows(&folder.path().join("out/action_log/events")).len(), 4000);
}
