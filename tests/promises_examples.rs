//! The pipelines that ship give what an independent script reads out of their fixtures.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Finished, ROOT, files_below, finish, tsv_lines};

fn example(pipeline: &str, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command
        .args(["run", &format!("sql/{pipeline}"), "--date", "2026-11-21"])
        .current_dir(ROOT)
        .env("ASHIATO_OUT", out);
    command
}

fn run_example(pipeline: &str, out: &Path, environment: &[(&str, &str)]) -> Finished {
    finish(example(pipeline, out).envs(environment.iter().copied()))
}

fn expected(name: &str) -> Value {
    let text = fs::read_to_string(Path::new(ROOT).join("fixtures").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn counts_match(result: &Value, expected: &Value) {
    for count in ["lines", "decoded", "rejected", "blank", "rejects_by_reason", "unknown_fields"] {
        assert_eq!(result[count], expected[count], "{count}");
    }
    assert_eq!(result["sources"]["objects"], expected["objects"].as_object().unwrap().len());
}

#[test]
fn action_log_gives_what_its_logs_hold() {
    let out = tempfile::tempdir().unwrap();
    let result = run_example("action_log", out.path(), &[]).published();
    let expected = expected("action_log.expected.json");
    counts_match(&result, &expected);
    for output in ["events", "purchases", "daily_sales"] {
        let rows = &expected["outputs"][output]["rows"];
        assert_eq!(&result["outputs"][output]["rows"], rows, "{output}");
    }
    assert!(out.path().join("action_log/events/_SUCCESS").exists());
    let tables = files_below(&out.path().join("action_log/purchases/tsv"));
    assert!(tables.keys().any(|name| name.starts_with("dt=2026-11-21/part-00000-")));
}

#[test]
fn access_log_gives_what_its_logs_hold() {
    let out = tempfile::tempdir().unwrap();
    let result = run_example("access_log", out.path(), &[]).published();
    let expected = expected("access_log.expected.json");
    counts_match(&result, &expected);
    let requests = &expected["outputs"]["requests"];
    assert_eq!(result["outputs"]["requests"]["rows"], requests["rows"]);
    let rejected = &result["outputs"]["requests"]["rejected"];
    assert_eq!(rejected, &requests["rejected_by_expectation"]);
    assert_eq!(result["enrichment"]["geoip"].as_array().unwrap().len(), 3);
    assert!(tsv_lines(&out.path().join("access_log/requests/tsv")).is_empty(), "it is packed");
}

#[test]
fn a_rerun_of_an_example_gives_the_same_tables() {
    let out = tempfile::tempdir().unwrap();
    let hashes = || {
        finish(example("action_log", out.path()).arg("--force")).published();
        let mut files: Vec<Vec<u8>> = files_below(&out.path().join("action_log/purchases/tsv"))
            .into_iter()
            .filter(|(name, _)| name.ends_with(".tsv.gz"))
            .map(|(_, bytes)| bytes)
            .collect();
        files.sort();
        files
    };
    assert_eq!(hashes(), hashes());
}

#[test]
fn the_key_of_pseudonyms_is_never_printed_or_stored() {
    let out = tempfile::tempdir().unwrap();
    let key = "a-very-secret-key-of-tonight";
    let finished = run_example(
        "action_log",
        out.path(),
        &[("ASHIATO_PSEUDONYM_KEY", key), ("ASHIATO_LOG", "trace")],
    );
    finished.published();
    assert!(finished.stderr.lines().count() >= 3, "{}", finished.stderr);
    assert!(!finished.stderr.contains(key) && !finished.stdout.contains(key));
    for (name, bytes) in files_below(out.path()) {
        let holds_key = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!holds_key, "{name}");
    }
}

#[test]
fn the_shipped_pipelines_are_sound() {
    for pipeline in ["sql/action_log", "sql/access_log"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        let checked = finish(command.args(["check", pipeline]).current_dir(ROOT));
        assert_eq!(checked.code, Some(0), "{checked:#?}");
    }
}

#[test]
fn the_shipped_pipelines_have_thresholds_grains_and_no_column_that_duckdb_reserves() {
    for pipeline in ["action_log", "access_log"] {
        let folder = Path::new(ROOT).join("sql").join(pipeline);
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert!(text("pipeline.toml").contains("\nmax_reject_ratio = "), "{pipeline}");
        assert!(!text("contract.toml").contains("name = \"at\""), "{pipeline}");
    }
    let out = tempfile::tempdir().unwrap();
    let mut by_hour = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    by_hour.args(["run", "sql/action_log", "--hour", "2026-11-21T13"]);
    let result = finish(by_hour.current_dir(ROOT).env("ASHIATO_OUT", out.path())).published();
    assert!(result["outputs"]["daily_sales"]["skipped"].is_string(), "{result}");
    assert!(!out.path().join("action_log/daily_sales").exists());
    assert!(
        run_example("action_log", out.path(), &[]).published()["outputs"]["daily_sales"]
            .get("skipped")
            .is_none()
    );
}

#[test]
fn the_pipeline_the_contract_and_the_view_of_the_readme_make_a_pipeline() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let block = |language: &str, number: usize| {
        let fence = format!("```{language}\n");
        let mut blocks = readme.split(fence.as_str()).skip(1);
        blocks.nth(number).and_then(|rest| rest.split("```").next()).unwrap().to_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let place = |name: &str| folder.path().join(name).display().to_string();
    // Its places, and files that are no part of it.
    let geoip = format!("{ROOT}/fixtures/geoip");
    let mut pipeline = block("toml", 0);
    for (theirs, ours) in [
        ("s3://logs/raw", place("raw")),
        ("s3://lake", place("lake")),
        ("/data/GeoLite2-City.mmdb", format!("{geoip}/made_up_city.mmdb")),
        ("/data/GeoLite2-ASN.mmdb", format!("{geoip}/made_up_asn.mmdb")),
        ("/data/spill", place("spill")),
    ] {
        assert!(pipeline.contains(theirs), "the README names no {theirs}");
        pipeline = pipeline.replace(theirs, &ours);
    }
    write("shop/pipeline.toml", &pipeline);
    write("shop/contract.toml", &block("toml", 1));
    write("shop/events.sql", &block("sql", 0));
    write("shop/shops.csv", "region,opened\neast,2001-04-01\n");
    write("shop/rates.csv", "category,from,rate\nstandard,2019-10-01,0.10\n");
    fs::create_dir(folder.path().join("spill")).unwrap();
    let line = r#"{"time":"2026-11-21T13:05:00+09:00","cart":{"price":"12.50"},"gift":"yes"}"#;
    let object = "raw/dt=2026-11-21/hr=13/region=east/a.gz";
    write(object, "");
    fs::write(folder.path().join(object), crate::support::gzip(format!("{line}\n").as_bytes()))
        .unwrap();
    let ashiato = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        finish(command.args(arguments).arg(folder.path().join("shop")).env("PSEUDONYM_KEY", "k"))
    };
    let checked = ashiato(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let result = ashiato(&["run", "--date", "2026-11-21"]).published();
    assert_eq!(result["outputs"]["events"]["rows"], 1, "{result}");
}
