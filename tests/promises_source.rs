//! What a run makes of its input, whatever form that has.

use crate::support::{OUTPUT, Project, finish, gzip};

const TWO: &[u8] =
    b"{\"id\":1,\"name\":\"a\",\"amount\":10}\n{\"id\":2,\"name\":\"b\",\"amount\":20}\n";
const TWO_ROWS: [&str; 2] = ["1\ta\t10", "2\tb\t20"];

fn rows_of(name: &str, bytes: Vec<u8>) -> Vec<String> {
    let project = Project::new().logs(name, bytes);
    project.run().published();
    project.rows()
}

#[test]
fn gzip_zstd_and_plain_are_told_by_their_bytes_and_not_by_their_names() {
    assert_eq!(rows_of("a.zst", gzip(TWO)), TWO_ROWS);
    assert_eq!(rows_of("a.gz", zstd::encode_all(TWO, 3).unwrap()), TWO_ROWS);
    assert_eq!(rows_of("a.gz", TWO.to_vec()), TWO_ROWS);
}

#[test]
fn the_result_says_what_was_asked_of_the_stores() {
    let result = Project::new().logs("a.gz", gzip(TWO)).run().published();
    let get = &result["store"]["get"];
    assert_eq!((&get["requests"], &get["retries"]), (&1.into(), &0.into()));
    assert_eq!(get["bytes"], gzip(TWO).len());
    assert_eq!(result["store"]["list"]["requests"], 1);
    assert!(result["store"].get("delete").is_none(), "nothing was deleted in a store");
}

#[test]
fn gzip_of_several_members_and_zstd_of_several_frames_are_read_to_the_end() {
    let (first, second) = TWO.split_at(40);
    let members = [gzip(first), gzip(second)].concat();
    assert_eq!(rows_of("a", members), TWO_ROWS);
    let pack = |bytes| zstd::encode_all(bytes, 3).unwrap();
    assert_eq!(rows_of("a", [pack(first), pack(second)].concat()), TWO_ROWS);
}

#[test]
fn line_ends_blank_lines_and_a_byte_order_mark_change_nothing() {
    let text = "\u{feff}{\"id\":1,\"name\":\"a\",\"amount\":10}\r\n\r\n   \n\
                {\"id\":2,\"name\":\"b\",\"amount\":20}";
    let project = Project::new().logs("a.ndjson", text);
    let result = project.run().published();
    assert_eq!(project.rows(), TWO_ROWS);
    assert_eq!((&result["lines"], &result["blank"]), (&4.into(), &2.into()));
    assert_eq!(result["sources"]["bytes"], text.len());
}

#[test]
fn only_the_intervals_objects_are_read() {
    let project = Project::new().logs("a.ndjson", TWO);
    project.write("logs/dt=2026-11-22/b.ndjson", "{\"id\":3}\n");
    let result = project.run().published();
    assert_eq!(result["sources"]["objects"], 1);
    let both = [
        "--interval-start",
        "2026-11-21T00:00:00+09:00",
        "--interval-end",
        "2026-11-23T00:00:00+09:00",
    ];
    let result = project.ashiato("run", &both).published();
    assert_eq!(result["sources"]["objects"], 2);
}

#[test]
fn an_interval_that_cuts_a_directory_is_refused_since_its_neighbour_would_read_it_again() {
    let project = Project::new().logs("a.ndjson", TWO);
    let hour = project.ashiato("run", &["--hour", "2026-11-21T13"]);
    hour.fails_with(64, &["only a part", "`dt=2026-11-21/`"]);
    assert!(project.rows().is_empty());
}

#[test]
fn nothing_is_written_into_the_source() {
    let output = OUTPUT.replace("${OUT}/rows", "${SOURCE}/rows");
    let project = Project::new().logs("a.ndjson", TWO).pipeline(&output);
    project.run().fails_with(78, &["must not contain one another", "the source"]);
}

#[test]
fn directories_of_the_source_are_columns_and_so_is_where_a_row_is_from() {
    let project = Project::new().logs("region=eu%2Fwest/a.ndjson", TWO).pipeline_with(
        "",
        "partition_columns = [\"region\"]",
        &OUTPUT.replace("exclude", "# exclude"),
    );
    project.write(
        "shop/rows.sql",
        "SELECT id, dt, region, split_part(_source, '/', -1) AS object, _line, _offset FROM logs\n",
    );
    project.run().published();
    let expected =
        ["1\t2026-11-21\teu/west\ta.ndjson\t1\t0", "2\t2026-11-21\teu/west\ta.ndjson\t2\t32"];
    assert_eq!(project.rows(), expected);
}

#[test]
fn a_source_may_be_one_object_or_a_glob() {
    let project = Project::new().logs("a.ndjson", TWO).logs("b.ndjson", "{\"id\":3}\n");
    let project = project.without_path();
    for (pattern, rows) in [("logs/dt=2026-11-21/a.ndjson", 2), ("logs/*/?.ndjson", 3)] {
        let mut command = project.command("run", &crate::support::DAY);
        command.env("SOURCE", project.path(pattern));
        let result = crate::support::finish(&mut command).published();
        assert_eq!(result["outputs"]["rows"]["rows"], rows, "{pattern}");
    }
}

#[test]
fn what_one_interval_published_another_one_does_not_publish_again() {
    let one_line = "{\"id\":1}\n";
    let project = Project::new().without_path().logs("a.ndjson", one_line);
    let run = |date| {
        let source = project.path("logs/*/a.ndjson");
        finish(project.command("run", &["--date", date]).env("SOURCE", source))
    };
    run("2026-11-21").published();
    run("2026-11-22").fails_with(64, &["a.ndjson", "20261120T150000Z-20261121T150000Z already"]);
    assert_eq!(run("2026-11-21").result()["status"], "already_published");
    assert_eq!(project.rows().len(), 1);
    let both_days = [
        "--interval-start",
        "2026-11-21T00:00:00+09:00",
        "--interval-end",
        "2026-11-23T00:00:00+09:00",
    ];
    let source = project.path("logs/*/a.ndjson");
    finish(project.command("run", &both_days).env("SOURCE", source)).published();
    assert_eq!(project.rows().len(), 1);
}

#[test]
fn an_interval_whose_objects_vanished_keeps_its_rows_and_says_so() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    project.run().published();
    std::fs::remove_file(project.path("logs/dt=2026-11-21/a.ndjson")).unwrap();
    project.run().fails_with(99, &["its rows stay", "manifest.json"]);
    assert_eq!(project.rows().len(), 1);
}

#[test]
fn every_line_is_accounted_for_even_if_no_query_wants_it() {
    let project =
        Project::new().pipeline_with("max_reject_ratio = 0.5", "", crate::support::OUTPUT);
    let project = project.logs("a.ndjson", "{\"id\":1}\nbad\n\n".repeat(5000));
    project.write("shop/rows.sql", "SELECT 1 AS id, 'x' AS name, '_' AS _source, 1 AS _line\n");
    let result = project.run().published();
    let counts = ["lines", "decoded", "rejected", "blank"].map(|key| result[key].as_u64().unwrap());
    assert_eq!(counts, [15_000, 5000, 5000, 5000]);
}

#[test]
fn a_query_that_reads_the_logs_twice_has_all_rows_and_nothing_is_counted_twice() {
    let lines: String = (0..20_000).map(|id| format!("{{\"id\":{id},\"amount\":1}}\n")).collect();
    let twice = r#"
[[output]]
name = "totals"
location = "${OUT}/totals"
formats = ["tsv"]
[output.tsv]
compression = "none"
"#;
    let project = Project::new().logs("a.ndjson", lines).pipeline(&format!("{OUTPUT}{twice}"));
    project.write(
        "shop/totals.sql",
        "SELECT count(*) AS n, sum(a.amount) AS s FROM logs a JOIN logs b ON a.id = b.id\n",
    );
    let result = project.run().published();
    assert_eq!(result["lines"], 20_000);
    assert_eq!(project.rows().len(), 20_000);
    assert_eq!(crate::support::tsv_lines(&project.path("out/totals")), ["20000\t20000"]);
}

#[test]
fn the_same_run_twice_gives_the_same_rows_in_the_same_order() {
    let project = Project::new();
    let mut project = project;
    for part in 0..6 {
        let lines: String = (0..3000)
            .map(|id| format!("{{\"id\":{},\"name\":\"n\"}}\n", part * 3000 + id))
            .collect();
        project = project.logs(&format!("{part}.ndjson.gz"), gzip(lines.as_bytes()));
    }
    let in_order = || {
        project.run_again().published();
        crate::support::files_below(&project.path("out/rows"))
            .into_iter()
            .filter(|(name, _)| name.ends_with(".tsv"))
            .map(|(_, bytes)| bytes)
            .collect::<Vec<_>>()
    };
    assert_eq!(in_order(), in_order());
}
