//! A table knows whose it is, and a state too; `adopt` takes over what was renamed or moved.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::support::servers;
use crate::support::{DAY, Finished, OUTPUT, Project, files_below, finish};

fn project() -> Project {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n{\"id\":2}\n");
    project.write("logs/dt=2026-11-22/a.ndjson", "{\"id\":3}\n");
    project
}

const ROWS: [&str; 2] = ["1\t\\N\t\\N", "2\t\\N\t\\N"];

/// A subcommand on the pipeline in another folder of the project.
fn ashiato(project: &Project, subcommand: &str, folder: &str, arguments: &[&str]) -> Finished {
    finish(&mut command(project, subcommand, folder, arguments))
}

fn command(project: &Project, subcommand: &str, folder: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command.arg(subcommand).arg(project.path(folder)).args(arguments);
    command.current_dir(project.path(""));
    command.env("SOURCE", project.path("logs")).env("OUT", project.path("out"));
    command
}

fn adopted(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    let result: Value = serde_json::from_str(finished.stdout.trim()).unwrap();
    assert_eq!(result["status"], "adopted");
    result
}

#[test]
fn what_a_renamed_pipeline_published_is_refused_until_it_is_adopted_and_then_replaced() {
    let project = project();
    project.run().published();
    let next = ["--date", "2026-11-22"];
    project.ashiato("run", &next).published();
    let before = files_below(&project.path("out"));
    fs::rename(project.path("shop"), project.path("store")).unwrap();
    for arguments in [&DAY[..], &next, &["--date", "2026-11-21", "--force"]] {
        let refused = ashiato(&project, "run", "store", arguments);
        refused.fails_with(78, &["output `rows`, tsv", "pipeline `shop`", "adopt", "--from shop"]);
    }
    let is_table = |(name, _): &(&String, &Vec<u8>)| name.starts_with("rows/");
    let after = files_below(&project.path("out"));
    assert!(before.iter().filter(is_table).eq(after.iter().filter(is_table)), "nothing changed");

    let planned = ashiato(&project, "adopt", "store", &["--from", "shop", "--dry-run"]);
    assert!(planned.stdout.contains("\"status\":\"planned\""), "{planned:#?}");
    let result = adopted(&ashiato(&project, "adopt", "store", &["--from", "shop"]));
    assert_eq!((&result["intervals"], &result["tables"][0]["rows"]), (&2.into(), &3.into()));
    let verified = ashiato(&project, "verify", "store", &DAY);
    assert_eq!(verified.code, Some(0), "{verified:#?}");

    project.write("logs/dt=2026-11-21/a.ndjson", "{\"id\":1}\n{\"id\":4}\n");
    ashiato(&project, "run", "store", &DAY).published();
    assert_eq!(project.rows(), ["1\t\\N\t\\N", "3\t\\N\t\\N", "4\t\\N\t\\N"]);
    for day in [&DAY[..], &next] {
        let verified = ashiato(&project, "verify", "store", day);
        assert_eq!(verified.code, Some(0), "{verified:#?}");
    }
    assert!(!project.path("out/state/shop/head.json").exists());
    // The old name is nobody's: who comes with it again is refused in turn.
    fs::rename(project.path("store"), project.path("shop")).unwrap();
    project.run().fails_with(78, &["pipeline `store`", "--from store"]);
    adopted(&project.ashiato("adopt", &["--from", "store"]));
    assert_eq!(project.run().result()["status"], "already_published");
}

#[test]
fn a_name_in_pipeline_toml_outlives_the_folders() {
    let project = project();
    let text = fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", format!("name = \"shop\"\n{text}"));
    project.run().published();
    fs::rename(project.path("shop"), project.path("release-43")).unwrap();
    let again = ashiato(&project, "run", "release-43", &DAY);
    assert_eq!(again.result()["status"], "already_published");
    symlink(project.path("release-43"), project.path("current")).unwrap();
    ashiato(&project, "run", "current", &["--date", "2026-11-21", "--force"]).published();
    assert_eq!(project.rows(), ROWS);
}

#[test]
fn another_state_is_refused_until_the_old_one_is_adopted() {
    let project = project();
    project.run().published();
    let text = fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", text.replace("${OUT}/state", "${OUT}/state2"));
    project.run().fails_with(78, &["it holds", "says what is there", "--from-state"]);
    let wrong = project.path("nowhere").display().to_string();
    let nothing = project.ashiato("adopt", &["--from-state", &wrong]);
    nothing.fails_with(64, &["nothing was published under this name", "nowhere"]);
    let old = project.path("out/state").display().to_string();
    adopted(&project.ashiato("adopt", &["--from-state", &old]));
    assert_eq!(project.ashiato("verify", &DAY).code, Some(0));
    project.run().published();
    assert_eq!(project.rows(), ROWS);
}

#[test]
fn files_of_others_in_a_root_are_refused_at_the_first_publish_but_hidden_ones_are_not() {
    let foreign = ["part-0.tsv", "dt=1/part-0.tsv", "_SUCCESS", "_temporary/0/part-0", "notes.txt"];
    for name in foreign {
        let project = project();
        project.write(&format!("out/rows/{name}"), "x");
        project.run().fails_with(78, &["output `rows`, tsv", &format!("it holds {name}"), "adopt"]);
        let adopt = project.ashiato("adopt", &[]);
        adopt.fails_with(64, &["nothing was published under this name"]);
        fs::remove_file(project.path("out/rows").join(name)).unwrap();
        project.run().published();
    }
    let project = project();
    project.write("out/rows/.keep", "");
    fs::create_dir(project.path("out/rows/empty")).unwrap();
    project.run().published();
    // Later ones are nobody's to judge.
    project.write("out/rows/notes.txt", "x");
    project.run_again().published();
    // But they are named.
    let verified = project.ashiato("verify", &DAY);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    let named = "1 files that the pipeline did not write, the first notes.txt";
    assert!(verified.stderr.contains(named), "{verified:#?}");
}

#[test]
fn a_table_that_two_pipelines_claim_is_the_firsts() {
    let project = project();
    project.run().published();
    copy(&project, "shop", "other");
    let other = ashiato(&project, "run", "other", &DAY);
    other.fails_with(78, &["pipeline `shop`", "--from shop"]);
    assert_eq!(project.rows(), ROWS);
    assert_eq!(project.run().result()["status"], "already_published");
    assert_eq!(project.ashiato("verify", &DAY).code, Some(0));
}

fn copy(project: &Project, from: &str, to: &str) {
    for (name, bytes) in files_below(&project.path(from)) {
        project.write(&format!("{to}/{name}"), bytes);
    }
}

#[test]
fn two_pipelines_of_one_name_do_not_share_a_state() {
    let project = project();
    project.run().published();
    copy(&project, "shop", "other/shop");
    let other = "other/shop/pipeline.toml";
    let text = fs::read_to_string(project.path(other)).unwrap();
    project.write(other, text.replace("${OUT}/rows", "${OUT}/others"));
    let refused = ashiato(&project, "run", "other/shop", &DAY);
    refused.fails_with(78, &["two pipelines named `shop`", "`name`", "`[state]`", "adopt"]);
    assert!(!project.path("out/others").exists());
    assert_eq!(project.ashiato("verify", &DAY).code, Some(0), "the first one is left in peace");

    // With a name of its own it may use the state.
    let text = fs::read_to_string(project.path(other)).unwrap();
    project.write(other, format!("name = \"shop-2\"\n{text}"));
    ashiato(&project, "run", "other/shop", &DAY).published();
    assert_eq!(ashiato(&project, "verify", "other/shop", &DAY).code, Some(0));
    assert_eq!(project.ashiato("verify", &DAY).code, Some(0));
}

#[test]
fn a_pipeline_in_another_folder_that_writes_the_same_tables_is_the_same_one() {
    let project = project();
    project.run().published();
    copy(&project, "shop", "checkout/shop");
    let arguments = ["--date", "2026-11-21", "--force"];
    ashiato(&project, "run", "checkout/shop", &arguments).published();
    assert_eq!(project.rows(), ROWS);
}

#[test]
fn moved_files_are_adopted_at_their_new_place() {
    let project = project();
    project.run().published();
    fs::rename(project.path("out/rows"), project.path("out/moved")).unwrap();
    let project = project.pipeline(&OUTPUT.replace("${OUT}/rows", "${OUT}/moved/"));
    project.run().fails_with(78, &["it holds", "adopt"]);
    let result = adopted(&project.ashiato("adopt", &[]));
    let table = &result["tables"][0];
    assert!(table["moved_from"].as_str().unwrap().ends_with("out/rows"), "{table}");
    assert_eq!(project.ashiato("verify", &["--date", "2026-11-21", "--deep"]).code, Some(0));
    project.run_again().published();
    assert_eq!(crate::support::tsv_lines(&project.path("out/moved")), ROWS);
    assert!(!project.path("out/rows").exists());
}

#[test]
fn adopt_refuses_a_table_with_other_files_than_its_manifests_say() {
    let project = project();
    project.run().published();
    fs::rename(project.path("shop"), project.path("store")).unwrap();
    project.write("out/rows/by-hand.tsv", "9\n");
    let adopt = || ashiato(&project, "adopt", "store", &["--from", "shop"]);
    adopt().fails_with(78, &["by-hand.tsv", "no manifest names"]);
    fs::remove_file(project.path("out/rows/by-hand.tsv")).unwrap();
    let files = files_below(&project.path("out/rows"));
    let part = files.keys().find(|name| name.starts_with("part-")).unwrap();
    let part = project.path("out/rows").join(part);
    let bytes = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    adopt().fails_with(78, &["lacks files that were published", "part-00000"]);
    fs::write(&part, bytes).unwrap();
    adopted(&adopt());
    adopt().fails_with(64, &["nothing was published under this name"]);
}

#[test]
fn a_pipeline_that_has_published_takes_nothing_over() {
    let project = project();
    project.run().published();
    copy(&project, "shop", "store");
    let text = fs::read_to_string(project.path("store/pipeline.toml")).unwrap();
    project.write("store/pipeline.toml", text.replace("${OUT}/rows", "${OUT}/rows2"));
    ashiato(&project, "run", "store", &DAY).published();
    let adopt = ashiato(&project, "adopt", "store", &["--from", "shop"]);
    adopt.fails_with(78, &["pipeline `store` has published tables of its own"]);
}

#[test]
fn in_an_object_store_a_table_knows_whose_it_is_too() {
    let server = servers::s3();
    let project = project();
    let run = |subcommand: &str, folder: &str, arguments: &[&str]| {
        let mut command = command(&project, subcommand, folder, arguments);
        let out = format!("{}/{}", server.bucket, "owner");
        command.env("OUT", out);
        finish(server.set(&mut command))
    };
    run("run", "shop", &DAY).published();
    fs::rename(project.path("shop"), project.path("store")).unwrap();
    run("run", "store", &DAY).fails_with(78, &["pipeline `shop`", "--from shop"]);
    adopted(&run("adopt", "store", &["--from", "shop"]));
    assert_eq!(run("verify", "store", &DAY).code, Some(0));
    let forced = ["--date", "2026-11-21", "--force"];
    let result = run("run", "store", &forced).published();
    assert_eq!(result["outputs"]["rows"]["rows"], 2);
    let verified = run("verify", "store", &["--date", "2026-11-21", "--deep"]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    assert!(verified.stdout.contains("\"unknown\":[]"), "no file of before is left: {verified:#?}");
}
