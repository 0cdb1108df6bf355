//! Reruns and shards: what is published again, and what is not.

use serde_json::Value;

use crate::support::{DAY, Project, files_below, finish};

fn status(result: &Value) -> &str {
    result["status"].as_str().unwrap()
}

fn project() -> Project {
    Project::new().logs("a.ndjson", "{\"id\":1}\n").logs("b.ndjson", "{\"id\":2}\n")
}

#[test]
fn a_rerun_without_changes_publishes_nothing_and_tells_what_is_published() {
    let project = project();
    let first = project.run().published();
    let before = files_below(&project.path("out"));
    let finished = project.run();
    assert_eq!(finished.code, Some(0));
    let again = finished.result();
    assert_eq!(status(&again), "already_published");
    assert_eq!(again["published_by"], first["attempt"]);
    for key in ["rows", "files", "bytes", "partitions", "locations"] {
        assert_eq!(again["outputs"]["rows"][key], first["outputs"]["rows"][key], "{key}");
    }
    let locks = |name: &str| name.ends_with(".lock");
    let after = files_below(&project.path("out"));
    let contents = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        files.clone().into_iter().filter(|(name, _)| !locks(name)).collect::<Vec<_>>()
    };
    assert_eq!(contents(&before), contents(&after), "nothing was written");
}

#[test]
fn a_forced_rerun_of_the_same_input_gives_the_same_bytes_under_new_names() {
    let out = "[[output]]\nname = \"rows\"\nlocation = \"${OUT}/rows\"\n\
               formats = [\"tsv\", \"parquet\"]\nexclude = [\"_source\", \"_line\"]\n";
    let project = project().pipeline(out);
    let files = || -> (Vec<String>, Vec<Vec<u8>>) {
        let files = files_below(&project.path("out/rows")).into_iter();
        files.filter(|(name, _)| !name.ends_with("_SUCCESS")).unzip()
    };
    project.run().published();
    let (names, bytes) = files();
    project.run_again().published();
    let (new_names, new_bytes) = files();
    assert_eq!(bytes, new_bytes);
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| !new_names.contains(name)), "{names:?}, {new_names:?}");
}

#[test]
fn a_change_of_input_sql_contract_parameters_or_place_is_published() {
    let project = project();
    project.run().published();
    // As large as before.
    project.write("logs/dt=2026-11-21/b.ndjson", "{\"id\":3}\n");
    project.run().published();
    assert_eq!(project.rows().len(), 2);
    project
        .write("shop/rows.sql", "SELECT id, name, amount + 0 AS amount, _source, _line FROM logs");
    project.run().published();
    let contract = format!("# new\n{}", crate::support::CONTRACT);
    project.write("shop/contract.toml", contract);
    project.run().published();
    assert_eq!(status(&project.run().result()), "already_published");
}

#[test]
fn a_marker_that_is_missing_or_anothers_is_made_right_by_a_rerun_without_changes() {
    let project = project();
    project.run().published();
    let marker = project.path("out/rows/_SUCCESS");
    let text = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    assert_eq!(status(&project.run().result()), "already_published");
    assert_eq!(std::fs::read(&marker).unwrap(), text);
    std::fs::write(&marker, "{\"attempt\":\"another\"}").unwrap();
    assert_eq!(status(&project.run().result()), "already_published");
    assert_eq!(std::fs::read(&marker).unwrap(), text);
}

fn shard(project: &Project, shard: &str) -> Value {
    let finished = project.ashiato("run", &["--date", "2026-11-21", "--shard", shard]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.result()
}

#[test]
fn shards_in_processes_of_their_own_one_of_them_tried_twice_make_one_publish() {
    let project = project().logs("c.ndjson", "{\"id\":3}\nbad\n");
    assert_eq!(status(&shard(&project, "0/2")), "written");
    assert!(project.rows().is_empty(), "nothing is visible before the publish");
    let given_up = shard(&project, "1/2");
    let taken = shard(&project, "1/2");
    assert_eq!((&taken["lines"], &taken["decoded"]), (&1.into(), &1.into()));
    let published = project.ashiato("publish", &["--date", "2026-11-21", "--shards", "2"]);
    let published = published.published();
    let counts = ["lines", "decoded", "rejected", "blank"].map(|key| published[key].clone());
    assert_eq!(counts, [4, 3, 1, 0].map(Value::from));
    assert_eq!(published["sources"]["objects"], 3);
    assert_eq!(published["outputs"]["rows"]["files"], 2);
    let ids = ["1\t\\N\t\\N", "2\t\\N\t\\N", "3\t\\N\t\\N"];
    assert_eq!(project.rows(), ids);
    let names = files_below(&project.path("out")).into_keys().collect::<Vec<_>>().join("\n");
    let of_table = |attempt: &Value| names.contains(&format!("{}.tsv", attempt.as_str().unwrap()));
    assert!(of_table(&taken["attempt"]) && !of_table(&given_up["attempt"]), "{names}");
    assert!(!names.contains("/staging/") && !names.contains("/pending/"), "{names}");

    // The whole run in one process would make the same.
    assert_eq!(status(&project.run().result()), "already_published");
    assert_eq!(status(&shard(&project, "0/2")), "already_published");
    let again = project.ashiato("publish", &["--date", "2026-11-21", "--shards", "2"]);
    assert_eq!((again.code, status(&again.result())), (Some(0), "already_published"));
}

#[test]
fn a_publish_of_shards_that_is_killed_before_any_act_is_completed_by_the_next_one() {
    let project = project();
    for act in 0.. {
        project.write("logs/dt=2026-11-21/b.ndjson", format!("{{\"id\":{}}}\n", act + 100));
        shard(&project, "0/2");
        shard(&project, "1/2");
        let arguments = ["--date", "2026-11-21", "--shards", "2"];
        let mut publish = project.command("publish", &arguments);
        let ended = finish(publish.env("ASHIATO_TEST_KILL_AT", act.to_string()));
        let next = project.ashiato("publish", &arguments);
        assert_eq!(next.code, Some(0), "killed before act {act}: {next:#?}");
        let expected = ["1\t\\N\t\\N".to_owned(), format!("{}\t\\N\t\\N", act + 100)];
        assert_eq!(project.rows(), expected, "killed before act {act}");
        if ended.code == Some(0) {
            assert!(act > 12, "all acts of a publish were tried: {act}");
            return;
        }
    }
}

#[test]
fn a_publish_without_all_shards_says_which_are_missing_and_publishes_nothing() {
    let project = project();
    shard(&project, "1/3");
    let publish = project.ashiato("publish", &["--date", "2026-11-21", "--shards", "3"]);
    publish.fails_with(75, &["--shard 0/3, --shard 2/3", "run these first"]);
    assert!(project.rows().is_empty());
}

#[test]
fn shards_that_saw_other_objects_are_not_published_together() {
    let project = project();
    shard(&project, "0/2");
    let project = project.logs("late.ndjson", "{\"id\":9}\n");
    shard(&project, "1/2");
    let publish = || project.ashiato("publish", &["--date", "2026-11-21", "--shards", "2"]);
    publish().fails_with(75, &["shard 1/2 saw other objects", "run that shard again"]);
    shard(&project, "0/2");
    publish().published();
    assert_eq!(project.rows().len(), 3);
}

#[test]
fn an_output_that_gathers_rows_is_not_run_in_shards() {
    let project = project();
    project.write("shop/rows.sql", "SELECT count(*) AS n, 'x' AS _source, 1 AS _line FROM logs");
    let arguments = ["--date", "2026-11-21", "--shard", "0/2"];
    project.ashiato("run", &arguments).fails_with(64, &["gathers rows", "without --shard"]);
    project.ashiato("run", &DAY).published();
}

#[test]
fn a_shard_must_be_an_index_below_its_count() {
    let arguments = ["--date", "2026-11-21", "--shard", "2/2"];
    project().ashiato("run", &arguments).fails_with(64, &["INDEX/COUNT"]);
}
