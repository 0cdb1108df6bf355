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
