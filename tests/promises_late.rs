//! Rows that come late: a run is over the interval in which logs landed, and each row goes to the
//! partition of its own time, however long ago that is.

use std::collections::BTreeMap;

use crate::support::{Project, files_below};

const BY_DAY: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv"]
partition_by = ["day"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
"#;

const VIEW: &str = "SELECT id, CAST(at + INTERVAL '9 hours' AS DATE) AS day, _source, _line FROM \
                    logs\n";

const NEXT_DAY: [&str; 2] = ["--date", "2026-11-22"];

fn line(id: u8, day: &str) -> String {
    format!("{{\"id\":{id},\"at\":\"{day}T12:00:00+09:00\"}}\n")
}

/// Two days' logs; the second day brings a row of the first and one of a month before.
fn project() -> Project {
    let project = Project::new().pipeline(BY_DAY).logs("a.ndjson", line(1, "2026-11-21"));
    let late = line(2, "2026-11-22") + &line(3, "2026-11-21") + &line(4, "2026-10-01");
    project.write("logs/dt=2026-11-22/b.ndjson", late);
    project.write("shop/rows.sql", VIEW);
    project
}

/// The table's files without the marker, by their paths.
fn files(project: &Project) -> BTreeMap<String, String> {
    let files = files_below(&project.path("out/rows")).into_iter();
    let files = files.filter(|(name, _)| name != "_SUCCESS");
    files.map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// Folder and rows of each file, sorted.
fn rows_by_folder(project: &Project) -> Vec<(String, String)> {
    let folder = |name: String| name.rsplit_once('/').unwrap().0.to_owned();
    let mut rows: Vec<_> =
        files(project).into_iter().map(|(name, text)| (folder(name), text)).collect();
    rows.sort();
    rows
}

fn expected(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(day, ids)| (format!("day={day}"), format!("{ids}\n"))).collect()
}

#[test]
fn late_rows_join_the_partition_of_their_own_time_beside_what_is_there() {
    let project = project();
    project.run().published();
    let before = files(&project);
    let result = project.ashiato("run", &NEXT_DAY).published();
    assert_eq!(result["outputs"]["rows"]["partitions"], 3);
    let after = files(&project);
    assert!(before.iter().all(|(name, text)| after.get(name) == Some(text)), "{after:?}");
    let rows = [("2026-10-01", "4"), ("2026-11-21", "1"), ("2026-11-21", "3"), ("2026-11-22", "2")];
    assert_eq!(rows_by_folder(&project), expected(&rows));
}

#[test]
fn a_rerun_of_the_older_interval_leaves_the_late_rows_alone() {
    let project = project();
    project.run().published();
    project.ashiato("run", &NEXT_DAY).published();
    let before = files(&project);
    let project = project.logs("a.ndjson", line(11, "2026-11-21"));
    project.run().published();
    let rows =
        [("2026-10-01", "4"), ("2026-11-21", "11"), ("2026-11-21", "3"), ("2026-11-22", "2")];
    assert_eq!(rows_by_folder(&project), expected(&rows));
    let kept = files(&project).into_keys().filter(|name| before.contains_key(name)).count();
    assert_eq!(kept, 3, "the late run's files are the same ones");
}

#[test]
fn a_rerun_of_the_late_interval_replaces_its_rows_in_older_partitions_and_only_these() {
    let project = project();
    project.run().published();
    let on_time = files(&project);
    project.ashiato("run", &NEXT_DAY).published();
    // The row of October is gone, and the one of the day before is another.
    project.write("logs/dt=2026-11-22/b.ndjson", line(13, "2026-11-21"));
    project.ashiato("run", &NEXT_DAY).published();
    let rows = [("2026-11-21", "1"), ("2026-11-21", "13")];
    assert_eq!(rows_by_folder(&project), expected(&rows));
    let after = files(&project);
    assert!(on_time.keys().all(|name| after.contains_key(name)), "{after:?}");
}

#[test]
fn the_copy_listing_of_a_late_run_names_the_older_days_folders_too() {
    let project = project();
    project.run().published();
    project.ashiato("run", &NEXT_DAY).published();
    let state = files_below(&project.path("out/state/shop/manifests"));
    let listing_of = |interval: &str| {
        let path = format!("{interval}/rows.tsv/distcp-listing.txt");
        let text = String::from_utf8(state[&path].clone()).unwrap();
        let folder = |line: &str| line.rsplit_once('/').unwrap().1.to_owned();
        text.lines().map(folder).collect::<Vec<_>>()
    };
    assert_eq!(listing_of("20261120T150000Z-20261121T150000Z"), ["day=2026-11-21"]);
    let late = ["day=2026-10-01", "day=2026-11-21", "day=2026-11-22"];
    assert_eq!(listing_of("20261121T150000Z-20261122T150000Z"), late);
}
