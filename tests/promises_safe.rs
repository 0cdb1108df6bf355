//! Safe by default: what is published when much is rejected, when a source is empty, or when an
//! interval is shorter than a table's grain.

use serde_json::{Value, json};

use crate::support::{DAY, Finished, OUTPUT, Project, files_below, tsv_lines};

const GOOD: &str = "{\"id\":1}\n{\"id\":2}\n";

fn good_and_bad(good: usize, bad: usize) -> String {
    "{\"id\":1}\n".repeat(good) + &"bad\n".repeat(bad)
}

#[test]
fn a_run_whose_lines_are_all_rejected_fails_and_a_good_day_stays() {
    let project = Project::new().logs("a.ndjson", GOOD);
    project.run().published();
    let before = files_below(&project.path("out/rows"));
    for text in ["bad\n".repeat(9), "bad\n\n\n".to_owned()] {
        project.write("logs/dt=2026-11-21/a.ndjson", text);
        let finished = project.run();
        finished.fails_with(65, &["lines: expected some that are not rejected", "--allow-rejects"]);
        project.run_again().fails_with(65, &["--allow-rejects"]);
        assert_eq!(files_below(&project.path("out/rows")), before);
    }
    let allowed = project.ashiato("run", &["--date", "2026-11-21", "--allow-rejects"]).published();
    assert_eq!(allowed["thresholds"]["ignored"], true);
    assert!(project.rows().is_empty());
}

#[test]
fn where_no_threshold_is_set_a_tenth_or_ten_rejects_are_taken_and_the_result_says_so() {
    let run = |good, bad| Project::new().logs("a.ndjson", good_and_bad(good, bad)).run();
    let result = run(1, 10).published();
    let thresholds = json!({
        "max_reject_ratio": 0.1, "max_rejects": null, "taken_at_least": 10, "ignored": false
    });
    assert_eq!(result["thresholds"], thresholds);
    run(99, 11).published();
    run(98, 11).fails_with(65, &["lines: expected at most a share of 0.1", "11 of 109"]);
}

#[test]
fn thresholds_that_are_set_are_those_that_count() {
    let run = |keys: &str, good, bad| {
        let project = Project::new().pipeline_with(keys, "", OUTPUT);
        project.logs("a.ndjson", good_and_bad(good, bad)).run()
    };
    let result = run("max_reject_ratio = 1", 0, 9).published();
    assert_eq!(result["thresholds"]["max_reject_ratio"], 1.0);
    assert!(result["thresholds"].get("taken_at_least").is_none());
    run("max_reject_ratio = 0.4", 1, 1).fails_with(65, &["share of 0.4"]);
    // A count alone lifts no share.
    run("max_rejects = 1000", 50, 50).fails_with(65, &["share of 0.1"]);
}

#[test]
fn an_output_whose_rows_are_all_rejected_fails_too() {
    let expect = "[[output.expectation]]\nname = \"large\"\npredicate = \"id > 5\"\n\
                  on_fail = \"reject\"\n";
    let project = Project::new().pipeline(&format!("{OUTPUT}{expect}")).logs("a.ndjson", GOOD);
    project.run().fails_with(65, &["output rows, rows: expected some", "--allow-rejects"]);
    project.ashiato("run", &["--date", "2026-11-21", "--allow-rejects"]).published();
}

#[test]
fn of_shards_only_all_together_are_held_against_the_share() {
    let project = Project::new().logs("a.ndjson", GOOD).logs("b.ndjson", "bad\n");
    let run = |arguments: &[&str]| {
        let day = ["--date", "2026-11-21"];
        project.ashiato(arguments[0], &[&day[..], &arguments[1..]].concat())
    };
    let shards = || {
        for shard in ["0/2", "1/2"] {
            let finished = run(&["run", "--shard", shard]);
            assert_eq!(finished.code, Some(0), "{finished:#?}");
        }
    };
    shards();
    run(&["publish", "--shards", "2"]).published();
    project.write("logs/dt=2026-11-21/a.ndjson", "bad\n");
    shards();
    run(&["publish", "--shards", "2"]).fails_with(65, &["found 2 of 2", "--allow-rejects"]);
    assert_eq!(project.rows().len(), 2);
    run(&["publish", "--shards", "2", "--allow-rejects"]).published();
}

fn emptied(on_empty: &str) -> Project {
    let keys =
        if on_empty.is_empty() { String::new() } else { format!("on_empty = \"{on_empty}\"") };
    let project = Project::new().pipeline_with("", &keys, OUTPUT).logs("a.ndjson", GOOD);
    let nothing = project.run();
    drop(nothing.published());
    std::fs::remove_file(project.path("logs/dt=2026-11-21/a.ndjson")).unwrap();
    project
}

fn said(finished: &Finished, on_empty: &str) {
    let emptied = &finished.result()["emptied"];
    assert_eq!((&emptied["on_empty"], &emptied["rows"]), (&json!(on_empty), &json!(2)));
    assert_eq!((&emptied["objects"], &emptied["files"]), (&json!(1), &json!(1)));
}

#[test]
fn a_source_that_has_become_empty_is_said_and_keeps_replaces_or_fails() {
    for setting in ["", "keep"] {
        let project = emptied(setting);
        let finished = project.run();
        assert_eq!((finished.code, project.rows().len()), (Some(99), 2), "{finished:#?}");
        said(&finished, "keep");
    }

    let project = emptied("fail");
    let finished = project.run();
    finished.fails_with(65, &["the source has no lines for this interval now", "`on_empty`"]);
    said(&finished, "fail");
    assert_eq!(project.rows().len(), 2);

    let project = emptied("replace");
    let finished = project.run();
    finished.published();
    said(&finished, "replace");
    assert!(project.rows().is_empty() && project.path("out/rows/_SUCCESS").exists());
    assert_eq!(project.ashiato("verify", &DAY).code, Some(0));
    let again = project.run();
    assert_eq!(again.code, Some(99), "nothing is left to replace: {again:#?}");
    assert!(again.result().get("emptied").is_none());
}

#[test]
fn objects_without_a_line_are_an_empty_source_too() {
    let project = emptied("keep").logs("a.ndjson", "\n\n");
    let finished = project.run();
    assert_eq!((finished.code, project.rows().len()), (Some(99), 2), "{finished:#?}");
    said(&finished, "keep");
    let project = emptied("replace").logs("a.ndjson", "\n");
    said(&project.run(), "replace");
    assert!(project.rows().is_empty());
    // Where nothing was published before, an empty table is what the source says.
    Project::new().logs("a.ndjson", "\n").run().published();
}

#[test]
fn what_is_published_already_is_told_with_its_counts() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1,\"x\":2}\nbad\n\n{\"id\":3}\n");
    let first = project.run().published();
    let again = project.run();
    assert_eq!(again.code, Some(0));
    let again = again.result();
    assert_eq!(again["status"], "already_published");
    let counts = [
        "lines",
        "decoded",
        "rejected",
        "blank",
        "rejects_by_reason",
        "unknown_fields",
        "sources",
        "outputs",
        "quarantine",
        "enrichment",
    ];
    for key in counts {
        assert_eq!(again[key], first[key], "{key}");
    }
    assert_eq!((&again["lines"], &again["published_by"]), (&json!(4), &first["attempt"]));
    assert_ne!(again["attempt"], first["attempt"]);
}

/// Rows of the day's hours 0 and 1, and a table that counts them by day.
fn hours(grain: &str) -> Project {
    let totals = format!(
        "[[output]]\nname = \"totals\"\nlocation = \"${{OUT}}/totals\"\nformats = [\"tsv\"]\n\
         partition_by = [\"dt\"]\n{grain}\n[output.tsv]\ncompression = \"none\"\n"
    );
    let project = Project::new().pipeline(&format!("{OUTPUT}{totals}"));
    let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", text.replace("dt=%Y-%m-%d/", "dt=%Y-%m-%d/hr=%H/"));
    project.write("shop/totals.sql", "SELECT count(*) AS n, dt FROM logs GROUP BY dt");
    project.write("logs/dt=2026-11-21/hr=00/a.ndjson", GOOD);
    project.write("logs/dt=2026-11-21/hr=01/a.ndjson", GOOD);
    project
}

fn hour(project: &Project, hour: &str) -> Value {
    project.ashiato("run", &["--hour", hour]).published()
}

#[test]
fn an_hours_run_skips_an_output_by_day_and_a_days_run_writes_it_once() {
    let project = hours("grain = \"day\"");
    for name in ["2026-11-21T00", "2026-11-21T01"] {
        let result = hour(&project, name);
        let why = result["outputs"]["totals"]["skipped"].as_str().unwrap();
        assert!(why.contains("its grain is `day`") && why.contains("Asia/Tokyo"), "{why}");
        assert_eq!(result["outputs"]["rows"]["rows"], 2);
    }
    assert!(!project.path("out/totals").exists(), "nothing, and no marker");
    let again = project.ashiato("run", &["--hour", "2026-11-21T00"]).result();
    assert_eq!(again["status"], "already_published");
    let result = project.run().published();
    assert!(result["outputs"]["totals"].get("skipped").is_none());
    assert_eq!(tsv_lines(&project.path("out/totals")), ["4"]);
    assert_eq!(project.rows().len(), 4);
}

#[test]
fn without_a_grain_each_interval_writes_and_a_run_that_would_write_nothing_is_refused() {
    let project = hours("grain = \"none\"");
    hour(&project, "2026-11-21T00");
    hour(&project, "2026-11-21T01");
    assert_eq!(tsv_lines(&project.path("out/totals")), ["2", "2"]);

    let project = hours("grain = \"hour\"");
    hour(&project, "2026-11-21T00");
    assert_eq!(tsv_lines(&project.path("out/totals")), ["2"]);

    let project = hours("grain = \"month\"");
    assert!(project.run().published()["outputs"]["totals"]["skipped"].is_string());
    let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", text.replace(OUTPUT, ""));
    project.run().fails_with(64, &["writes nothing", "output `totals`", "its grain is `month`"]);

    let project = hours("grain = \"fortnight\"");
    project.run().fails_with(78, &["pipeline.toml:", "grain", "`fortnight`"]);
}
