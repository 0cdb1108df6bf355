//! What comes behind a publish: copies by DistCp, verification, history, housekeeping.
//!
//! `hadoop` is a stand-in that does what was measured of the real one: `support/bin/hadoop`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Finished, Project, ROOT, files_below, finish};

const OUTPUT: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/r o/rows"
formats = ["tsv", "parquet"]
partition_by = ["name", "amount"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "gzip"
[[output]]
name = "ids"
location = "${OUT}/ids"
formats = ["tsv"]
"#;

const TARGET: &str = "hdfs://namenode/ware house";

fn project() -> Project {
    let project = Project::new().pipeline(OUTPUT).logs("a.ndjson", logs(1));
    project.write("shop/ids.sql", "SELECT id FROM logs");
    project
}

/// Rows of two hive paths, one with what Hadoop and shells trip over; the same size for each digit.
fn logs(digit: u32) -> String {
    format!(
        "{{\"id\":{digit},\"name\":\"it's }} 50% / a:b\",\"amount\":1}}\n\
         {{\"id\":{digit},\"name\":\"本 x\",\"amount\":2}}\n"
    )
}

fn with_hadoop<'c>(project: &Project, command: &'c mut Command) -> &'c mut Command {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{ROOT}/tests/support/bin:{path}");
    command.env("PATH", path).env("HDFS_ROOT", project.path("hdfs"))
}

/// Runs `ashiato distcp`, then the commands that it printed, as the README says.
fn copy(project: &Project, date: &str) -> Value {
    let mut command = project.command("distcp", &["--date", date, "--target", TARGET]);
    let planned = finish(&mut command);
    assert_eq!(planned.code, Some(0), "{planned:#?}");
    let mut lines: Vec<&str> = planned.stdout.lines().collect();
    let result = serde_json::from_str(lines.pop().unwrap()).unwrap();
    let script = lines.join("\n");
    let mut bash = Command::new("bash");
    let ended = finish(with_hadoop(project, bash.args(["-euo", "pipefail", "-c", &script])));
    assert_eq!(ended.code, Some(0), "{script}\n{ended:#?}");
    result
}

fn verify(project: &Project, date: &str, at: Option<&str>) -> Finished {
    let mut arguments = vec!["--date", date, "--deep"];
    arguments.extend(at.into_iter().flat_map(|at| ["--at", at]));
    finish(with_hadoop(project, &mut project.command("verify", &arguments)))
}

/// The target has the files of the tables' folders, no more and no less.
fn assert_copied(project: &Project) {
    let at = |folder: &str, place: &str| files_below(&project.path(folder).join(place));
    for (table, copy) in
        [("r o/rows/tsv", "rows/tsv"), ("r o/rows/parquet", "rows/parquet"), ("ids", "ids")]
    {
        assert_eq!(at("out", table), at("hdfs/ware house", copy), "{table}");
    }
}

#[test]
fn distcp_brings_a_target_exactly_to_the_published_files_however_it_was_before() {
    let project = project();
    project.run().published();
    let result = copy(&project, "2026-11-21");
    assert_eq!(result["tables"].as_array().unwrap().len(), 3);
    assert_copied(&project);
    assert_eq!(verify(&project, "2026-11-21", Some(TARGET)).code, Some(0));
    // The target is there; nothing is new.
    copy(&project, "2026-11-21");
    assert_copied(&project);
    // A second day, into the same partitions among others.
    project.write("logs/dt=2026-11-22/b.ndjson", logs(2).replace("\"amount\":2", "\"amount\":3"));
    project.ashiato("run", &["--date", "2026-11-22"]).published();
    copy(&project, "2026-11-22");
    assert_copied(&project);
    // Two reruns with other input of the same size, of which only the second is copied.
    for digit in [3, 4] {
        project.write("logs/dt=2026-11-21/a.ndjson", logs(digit));
        project.run().published();
    }
    let stale = verify(&project, "2026-11-21", Some(TARGET));
    stale.fails_with(65, &["replaced but still there", "missing"]);
    let result = copy(&project, "2026-11-21");
    assert_eq!(result["tables"][0]["removed_files"], 4);
    assert_copied(&project);
    for day in ["2026-11-21", "2026-11-22"] {
        let verified = verify(&project, day, Some(TARGET));
        assert_eq!(verified.code, Some(0), "{verified:#?}");
        assert_eq!(verify(&project, day, None).code, Some(0));
    }
}

#[test]
fn a_day_that_replaced_its_hours_takes_their_files_from_the_target() {
    let project = project();
    project.write("logs/dt=2026-11-22/b.ndjson", logs(2));
    for day in ["2026-11-21", "2026-11-22"] {
        project.ashiato("run", &["--date", day]).published();
        copy(&project, day);
    }
    let both = ["--interval-start", "2026-11-21T00:00:00+09:00"];
    let both = [&both[..], &["--interval-end", "2026-11-23T00:00:00+09:00"]].concat();
    project.ashiato("run", &both).published();
    let arguments = [&both[..], &["--target", TARGET]].concat();
    let planned = project.ashiato("distcp", &arguments);
    let script = planned.stdout.lines().filter(|line| line.starts_with("hadoop"));
    let script = script.collect::<Vec<_>>().join("\n");
    let mut bash = Command::new("bash");
    let ended = finish(with_hadoop(&project, bash.args(["-euo", "pipefail", "-c", &script])));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_copied(&project);
}

#[test]
fn what_is_not_published_is_neither_copied_nor_verified() {
    let project = project();
    let arguments = ["--date", "2026-11-21", "--target", TARGET];
    project.ashiato("distcp", &arguments).fails_with(64, &["is not published", "ashiato runs"]);
    project.ashiato("verify", &["--date", "2026-11-21"]).fails_with(64, &["is not published"]);
}

#[test]
fn verify_names_what_is_missing_cut_changed_or_back_from_the_dead() {
    let project = project();
    project.run().published();
    let table = project.path("out/ids");
    let file = only_file(&table);
    let right = fs::read(&file).unwrap();
    let verdict = |project: &Project| {
        let verified = verify(project, "2026-11-21", None);
        let result: Value = serde_json::from_str(verified.stdout.lines().last().unwrap()).unwrap();
        let table = result["tables"].as_array().unwrap().last().unwrap().clone();
        (verified, table)
    };
    let mut changed = right.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&file, &changed).unwrap();
    let (verified, table) = verdict(&project);
    verified.fails_with(65, &["1 files different", "publish, or copy"]);
    assert!(table["different"][0].as_str().unwrap().contains("SHA-256"), "{table}");
    fs::write(&file, &right[1..]).unwrap();
    assert!(verdict(&project).1["different"][0].as_str().unwrap().contains("bytes, not"));
    fs::remove_file(&file).unwrap();
    assert_eq!(verdict(&project).1["missing"].as_array().unwrap().len(), 1);
    project.ashiato("run", &["--date", "2026-11-21", "--force"]).published();
    fs::write(&file, &right).unwrap();
    verdict(&project).0.fails_with(65, &["replaced but still there"]);
    fs::remove_file(&file).unwrap();
    fs::remove_file(project.path("out/ids/_SUCCESS")).unwrap();
    verdict(&project).0.fails_with(65, &["_SUCCESS is missing"]);
    project.run();
    assert_eq!(verdict(&project).0.code, Some(0), "the rerun put it back");
}

fn only_file(table: &Path) -> std::path::PathBuf {
    let names = files_below(table).into_keys();
    let names: Vec<String> = names.filter(|name| name != "_SUCCESS").collect();
    assert_eq!(names.len(), 1);
    table.join(&names[0])
}

#[test]
fn runs_tells_what_was_published_when_from_what_and_made_with_what() {
    let project = project();
    let first = project.run().published();
    project.write("logs/dt=2026-11-21/a.ndjson", logs(5));
    let second = project.run().published();
    let runs = |arguments: &[&str]| {
        let finished = project.ashiato("runs", arguments);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished.stdout
    };
    let current = runs(&["--inputs"]);
    let attempt = |result: &Value| result["attempt"].as_str().unwrap().to_owned();
    for text in ["current, published", &attempt(&second), "inputs    1 objects", "a.ndjson"] {
        assert!(current.contains(text), "{text}: {current}");
    }
    for text in ["contract  ", "rows", "ids", "tax table bundled", "2 rows in 1 files"] {
        assert!(current.contains(text), "{text}: {current}");
    }
    assert!(!current.contains("replaced, published"), "{current}");
    let all = runs(&["--all", "--json", "--date", "2026-11-21"]);
    let all: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = all.iter().map(|run| (run["standing"].clone(), run["attempt"].clone()));
    let told: Vec<_> = told.collect();
    let expected = [("replaced", attempt(&first)), ("current", attempt(&second))];
    assert_eq!(told, expected.map(|(standing, attempt)| (standing.into(), attempt.into())));
    assert_eq!(all[1]["previous"]["attempt"], all[0]["attempt"]);
    let input = &all[1]["inputs"][0];
    assert!(input["bytes"].as_u64() > Some(0) && input["e_tag"].is_string(), "{input}");
    assert_eq!(all[0]["provenance"]["contract"], all[1]["provenance"]["contract"]);
    assert_eq!(runs(&["--date", "2026-11-20"]), "");
}

#[test]
fn gc_removes_what_dead_attempts_staged_and_nothing_that_is_published() {
    let project = project();
    project.run().published();
    let published: BTreeMap<_, _> = files_below(&project.path("out")).into_iter().collect();
    project.write("logs/dt=2026-11-21/a.ndjson", logs(6));
    let mut command = project.command("run", &["--date", "2026-11-21"]);
    let killed = finish(command.env("ASHIATO_TEST_KILL_AT", "1"));
    assert_eq!(killed.code, None);
    let gc = |arguments: &[&str]| project.ashiato("gc", arguments).result();
    assert_eq!(gc(&["--dry-run"])["pending_records"], serde_json::json!([]), "it is too young");
    let told = gc(&["--dry-run", "--older-than", "0"]);
    for kind in ["pending_records", "intents"] {
        assert_eq!(told[kind].as_array().unwrap().len(), 1, "{kind}: {told}");
    }
    let removed = gc(&["--older-than", "0"]);
    assert_eq!(removed["pending_records"], told["pending_records"]);
    let nothing = gc(&["--older-than", "0"]);
    assert!(nothing.as_object().unwrap().values().all(|list| list == &serde_json::json!([])));
    let left: BTreeMap<_, _> = files_below(&project.path("out")).into_iter().collect();
    let without_locks = |files: BTreeMap<String, Vec<u8>>| {
        files.into_iter().filter(|(name, _)| !name.ends_with(".lock")).collect::<Vec<_>>()
    };
    assert_eq!(without_locks(left), without_locks(published));
}
