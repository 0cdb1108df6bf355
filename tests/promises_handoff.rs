//! What comes after a publish: copies by DistCp, verification, history, housekeeping.
//!
//! `hadoop` is a stand-in that does what was measured of the real one: `support/bin/hadoop`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use parquet::file::reader::{FileReader, SerializedFileReader};
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

/// Runs `ashiato distcp`, then the commands that it printed, as `docs/hadoop.md` says.
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

#[test]
fn verify_knows_tables_whose_output_was_renamed_or_moved_since() {
    let output = |name: &str, place: &str| {
        format!(
            "[[output]]\nname = \"{name}\"\nview = \"rows\"\nlocation = \"${{OUT}}/{place}\"\n\
             formats = [\"parquet\"]\n"
        )
    };
    for (name, place) in [("lines", "rows"), ("rows", "elsewhere")] {
        let project = Project::new().pipeline(&output("rows", "rows")).logs("a.ndjson", logs(1));
        project.write("logs/dt=2026-11-22/b.ndjson", logs(2));
        project.run().published();
        let project = project.pipeline(&output(name, place));
        project.ashiato("run", &["--date", "2026-11-22"]).published();
        for date in ["2026-11-21", "2026-11-22"] {
            let verdict = verify(&project, date, None);
            assert_eq!(verdict.code, Some(0), "{name} at {place}, {date}: {verdict:#?}");
        }
    }
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

/// The statements of a definition.
fn definition(project: &Project, table: &str) -> String {
    let state = files_below(&project.path("out/state/shop/manifests"));
    let name = format!("/{table}/create_table.sql");
    let mut found = state.iter().filter(|(path, _)| path.ends_with(&name));
    String::from_utf8(found.next_back().unwrap().1.clone()).unwrap()
}

#[test]
fn a_definition_names_the_intervals_partitions_and_a_table_of_its_own_for_each_format() {
    let project = project();
    project.run().published();
    let (tsv, parquet) = (definition(&project, "rows.tsv"), definition(&project, "rows.parquet"));
    assert!(tsv.starts_with("CREATE EXTERNAL TABLE IF NOT EXISTS `rows_tsv` ("), "{tsv}");
    assert!(parquet.starts_with("CREATE EXTERNAL TABLE IF NOT EXISTS `rows_parquet` ("));
    assert!(definition(&project, "ids.tsv").contains("EXISTS `ids` ("));
    for (sql, format) in [(tsv, "tsv"), (parquet, "parquet")] {
        assert!(!sql.contains("MSCK"), "{sql}");
        let add = format!("ALTER TABLE `rows_{format}` ADD IF NOT EXISTS\n");
        assert_eq!(sql.matches(&add).count(), 1, "{sql}");
        // Escaped in the folder's name, and only there.
        let value = r"PARTITION (`name` = 'it\'s } 50% / a:b', `amount` = '1') LOCATION 'file://";
        assert!(sql.contains(value), "{sql}");
        let folder = format!("r o/rows/{format}/name=it%27s }} 50%25 %2F a%3Ab/amount=1'");
        assert!(sql.contains(&folder), "{sql}");
    }
}

#[test]
fn a_copy_comes_with_a_definition_of_its_own_place() {
    let project = project();
    project.run().published();
    let planned = copy(&project, "2026-11-21");
    let arguments = ["--date", "2026-11-21", "--target", TARGET, "--run"];
    let done = finish(with_hadoop(&project, &mut project.command("distcp", &arguments)));
    for result in [planned, done.result()] {
        for table in result["tables"].as_array().unwrap() {
            let sql = fs::read_to_string(table["definition"].as_str().unwrap()).unwrap();
            let target = table["target"].as_str().unwrap();
            assert!(sql.contains(&format!("LOCATION '{target}'")), "{sql}");
            assert!(!sql.contains("file://"), "{sql}");
            if table["output"] == "rows" {
                assert_eq!(sql.matches(&format!("LOCATION '{target}/name=")).count(), 2, "{sql}");
            }
        }
    }
}

#[test]
fn columns_that_a_publish_adds_come_with_a_statement_for_tables_that_lack_them() {
    let project = project();
    project.run().published();
    let view = "SELECT id, name, amount, _source, _line, id + 1 AS next, at FROM logs";
    project.write("shop/rows.sql", view);
    project.write("logs/dt=2026-11-22/b.ndjson", logs(2));
    project.ashiato("run", &["--date", "2026-11-22"]).published();
    let planned = copy(&project, "2026-11-22");
    let added: Vec<&Value> =
        planned["tables"].as_array().unwrap().iter().map(|table| &table["add_columns"]).collect();
    assert_eq!(added[2], &Value::Null);
    for (path, format) in added.iter().zip(["tsv", "parquet"]) {
        let sql = fs::read_to_string(path.as_str().unwrap()).unwrap();
        let expected = format!(
            "ALTER TABLE `rows_{format}` ADD COLUMNS (\n  `next` BIGINT,\n  `at` TIMESTAMP\n) \
             CASCADE;\n"
        );
        assert_eq!(sql, expected);
    }
    assert_eq!(copy(&project, "2026-11-21")["tables"][0]["add_columns"], Value::Null);
}

#[test]
fn outputs_whose_tables_would_have_one_name_in_hive_are_refused() {
    let twin = OUTPUT.replace("name = \"ids\"", "name = \"rows-tsv\"\nview = \"ids\"");
    let project = Project::new().pipeline(&twin);
    project.write("shop/ids.sql", "SELECT id FROM logs");
    project.ashiato("check", &[]).fails_with(78, &["`rows_tsv`", "pipeline.toml:"]);
}

#[test]
fn names_that_hives_serde_cannot_take_are_refused_for_hive_alone() {
    let output = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["parquet"]
[output.parquet]
target = "hive2"
"#;
    for name in ["a b", "a,b", "a:b", "a.b", "a``b", "a;b", "日本", "x (y)", "a=b"] {
        for (target, code) in [("hive2", 78), ("hive3", 78), ("spark", 0), ("trino", 0)] {
            let project = Project::new().pipeline(&output.replace("hive2", target));
            project.write("shop/rows.sql", format!("SELECT id, name AS \"{name}\" FROM logs"));
            let checked = project.ashiato("check", &[]);
            assert_eq!(checked.code, Some(code), "{name}, {target}: {checked:#?}");
            if code == 78 {
                checked.fails_with(78, &["Hive's SerDe", "column `", "rename it with AS"]);
            }
        }
    }
    let project = Project::new().pipeline(output);
    let view = "SELECT id, named_struct('sku-1', name) AS item FROM logs";
    project.write("shop/rows.sql", view);
    project.ashiato("check", &[]).fails_with(78, &["field `sku-1`", "column `item`"]);
}

#[test]
fn a_partition_column_beyond_ascii_is_warned_of() {
    let output = OUTPUT.replace("[\"name\", \"amount\"]", "[\"店\"]");
    let project = Project::new().pipeline(&output);
    project.write("shop/ids.sql", "SELECT id FROM logs");
    project.write("shop/rows.sql", "SELECT id, name AS \"店\", _source, _line FROM logs");
    let checked = project.ashiato("check", &[]);
    checked.fails_with(0, &["warning:", "pipeline.toml:", "partition column `店` is not ASCII"]);
    assert_eq!(checked.result()["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn partition_columns_are_kept_in_parquet_files_on_wish_and_in_no_others() {
    let kept = OUTPUT.replacen("exclude", "keep_partition_columns = true\nexclude", 1);
    let project = Project::new().pipeline(&kept).logs("a.ndjson", logs(1) + "{\"id\":2}\n");
    project.write("shop/ids.sql", "SELECT id FROM logs");
    project.run().published();
    let mut rows = Vec::new();
    for (path, bytes) in files_below(&project.path("out/r o/rows/parquet")) {
        if path == "_SUCCESS" {
            continue;
        }
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        rows.extend(file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()));
    }
    rows.sort();
    let expected = [
        "{id: 1, name: \"it's } 50% / a:b\", amount: 1}",
        "{id: 1, name: \"本 x\", amount: 2}",
        "{id: 2, name: null, amount: null}",
    ];
    assert_eq!(rows, expected);
    let tsv = files_below(&project.path("out/r o/rows/tsv"));
    let gzip = tsv.iter().find(|(path, _)| path.contains("amount=1/")).unwrap().1;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut text).unwrap();
    assert_eq!(text, "1\n");
    let sql = definition(&project, "rows.parquet");
    assert!(sql.contains("(\n  `id` BIGINT\n)\nPARTITIONED BY (\n  `name` STRING,\n"), "{sql}");

    let ids = OUTPUT.replace("name = \"ids\"", "name = \"ids\"\nkeep_partition_columns = true");
    let refused = Project::new().pipeline(&ids);
    refused.write("shop/ids.sql", "SELECT id FROM logs");
    refused.ashiato("check", &[]).fails_with(78, &["`keep_partition_columns`"]);
}

#[test]
fn places_are_where_the_pipeline_is_and_not_where_an_orchestrator_runs_it() {
    let toml = fs::read_to_string(project().path("shop/pipeline.toml")).unwrap();
    for (out, code) in [("../lake", 0), ("${NONE:-../lake}", 0), ("${WHERE}", 78)] {
        let project = project();
        let toml = toml.replace("${OUT}", out).replace("${SOURCE}", "../logs");
        project.write("shop/pipeline.toml", toml);
        fs::create_dir(project.path("elsewhere")).unwrap();
        let mut command = project.command("run", &["--date", "2026-11-21"]);
        command.current_dir(project.path("elsewhere")).env("WHERE", "lake");
        let run = finish(command.env("AIRFLOW_CTX_DAG_ID", "shop"));
        assert_eq!(run.code, Some(code), "{out}: {run:#?}");
        assert_eq!(files_below(&project.path("elsewhere")).len(), 0, "{out}");
        assert_eq!(project.path("lake/ids/_SUCCESS").exists(), code == 0, "{out}");
        if code != 0 {
            run.fails_with(78, &["removes after the task", "absolute path"]);
            // By hand it is where whoever set the variable stands.
            let mut command = project.command("run", &["--date", "2026-11-21"]);
            command.current_dir(project.path("elsewhere")).env("WHERE", "lake");
            finish(&mut command).published();
            assert!(project.path("elsewhere/lake/ids/_SUCCESS").exists());
        }
    }
}

#[test]
fn a_pipeline_has_the_same_places_from_wherever_it_is_run() {
    let project = project();
    let toml = fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    let toml = toml.replace("${OUT}", "../lake").replace("${SOURCE}", "../logs");
    project.write("shop/pipeline.toml", toml);
    project.run().published();
    for (at, pipeline) in [(".", "shop"), ("shop", "."), ("logs", "../shop/"), ("/", "")] {
        let pipeline = match pipeline {
            "" => project.path("shop").display().to_string(),
            relative => relative.to_owned(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        command.args(["run", &pipeline, "--date", "2026-11-21"]).current_dir(project.path(at));
        let run = finish(&mut command);
        assert_eq!(run.code, Some(0), "{at}: {run:#?}");
        let left: Vec<String> = files_below(&project.path("lake/ids")).into_keys().collect();
        assert_eq!(left.len(), 2, "{at}: {left:?}");
        assert!(["out", "shop/lake", "logs/lake"].iter().all(|out| !project.path(out).exists()));
    }
}
