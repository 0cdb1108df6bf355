//! Values are what they say: times, parts of URLs, look-ups and mended values.

use crate::support::Project;

const COLUMNS: &str = "[[column]]\nname = \"id\"\ntype = \"int64\"\n[[column]]\nname = \"v\"\n";

/// A project whose output has `id` and what a view makes of the column `v`.
fn project(column: &str, view: &str, lines: &[&str]) -> Project {
    let logs: String =
        (1..).zip(lines).map(|(id, v)| format!("{{\"id\":{id},\"v\":{v}}}\n")).collect();
    let lenient = "max_reject_ratio = 1.0";
    let project =
        Project::new().pipeline_with(lenient, "", crate::support::OUTPUT).logs("a.ndjson", logs);
    project.write("shop/contract.toml", format!("{COLUMNS}{column}"));
    project.write("shop/rows.sql", format!("SELECT id, {view} AS v, _source, _line FROM logs\n"));
    project
}

/// What becomes of values of a timestamp column: the rows, and the rejects' reasons.
fn times(formats: &str, lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let column = format!("type = \"timestamp\"\nformats = [{formats}]\n");
    read(&column, "CAST(v AS TEXT)", lines)
}

fn read(column: &str, view: &str, lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let project = project(column, view, lines);
    project.run().published();
    let reasons = project.quarantine();
    let reasons = reasons.iter().map(|record| record["reason"].as_str().unwrap().to_owned());
    (project.rows(), reasons.collect())
}

fn check_fails(column: &str, texts: &[&str]) {
    project(column, "v", &["1"]).ashiato("check", &[]).fails_with(78, texts);
}

#[test]
fn a_comma_and_three_digits_are_milliseconds() {
    let formats = "\"%Y-%m-%dT%H:%M:%S,%f\"]\nassumed_time_zone = \"UTC\"\n#";
    let (rows, _) = times(formats, &["\"2026-11-21T13:05:00,123\""]);
    assert_eq!(rows, ["1\t2026-11-21T13:05:00.123Z"]);
    check_fails(
        "type = \"timestamp\"\nformats = [\"%Y-%m-%dT%H:%M:%S,%N\"]\n",
        &["contract.toml:7:", "unknown directive, `%N`", "`%f`"],
    );
}

#[test]
fn a_zone_in_a_text_is_applied_or_rejects_the_line() {
    let lines = ["UTC", "PST", "-08:00", "America/New_York", "UTC+9", "xyz!", "IST"];
    let lines: Vec<String> =
        lines.iter().map(|zone| format!("\"2026-11-21 13:05:00 {zone}\"")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let formats = "\"%Y-%m-%d %H:%M:%S %Z\"]\nassumed_time_zone = \"Asia/Tokyo\"\n#";
    let (rows, reasons) = times(formats, &lines);
    let hours = ["13", "21", "21", "18", "04"];
    let expected: Vec<String> =
        (1..).zip(hours).map(|(id, hour)| format!("{id}\t2026-11-21T{hour}:05:00Z")).collect();
    assert_eq!(rows, expected);
    assert_eq!(reasons, ["invalid_timestamp", "invalid_timestamp"]);
}

#[test]
fn timestamps_as_databases_write_them_are_rfc_3339() {
    let lines = [
        "\"2026-11-21 13:05:00+09\"",
        "\"2026-11-21 13:05:00.5+0900\"",
        "\"2026-11-21 24:00:00Z\"",
    ];
    let (rows, _) = times("\"rfc3339\"", &lines);
    assert_eq!(
        rows,
        ["1\t2026-11-21T04:05:00Z", "2\t2026-11-21T04:05:00.500Z", "3\t2026-11-22T00:00:00Z"]
    );
}

#[test]
fn a_year_of_two_digits_is_no_year_of_four() {
    let formats = "\"%Y/%m/%d %H:%M%z\"";
    let (rows, reasons) = times(formats, &["\"26/11/21 13:05Z\"", "\"2026/11/21 13:05Z\""]);
    assert_eq!(
        (rows.as_slice(), reasons.as_slice()),
        (&["2\t2026-11-21T13:05:00Z".to_owned()][..], &["invalid_timestamp".to_owned()][..],)
    );
    let (rows, _) = times("\"%y/%m/%d %H:%M%z\"", &["\"26/11/21 13:05Z\""]);
    assert_eq!(rows, ["1\t2026-11-21T13:05:00Z"]);
}

#[test]
fn a_form_that_is_never_reached_is_refused_and_units_are_told_apart() {
    check_fails(
        "type = \"timestamp\"\nformats = [\"epoch_ms\", \"epoch_s\"]\n",
        &["contract.toml:7:", "`epoch_s` is never reached", "write `epoch_s` first"],
    );
    let formats = "\"epoch_s\", \"epoch_ms\", \"epoch_us\", \"epoch_ns\"";
    let lines = ["1795233900", "1795233900123", "1795233900123456", "1795233900123456789"];
    let (rows, _) = times(formats, &lines);
    assert_eq!(
        rows,
        [
            "1\t2026-11-21T04:05:00Z",
            "2\t2026-11-21T04:05:00.123Z",
            "3\t2026-11-21T04:05:00.123456Z",
            "4\t2026-11-21T04:05:00.123456Z",
        ]
    );
}

#[test]
fn dates_have_forms_of_their_own() {
    let column =
        "type = \"date\"\nformats = [\"rfc3339\", \"%Y%m%d\", \"%Y/%m/%d\", \"%d.%m.%Y\"]\n";
    let lines =
        ["\"2026-11-21\"", "\"20261121\"", "\"2026/11/21\"", "\"21.11.2026\"", "\"21/11/26\""];
    let (rows, reasons) = read(column, "v", &lines);
    let expected: Vec<String> = (1..5).map(|id| format!("{id}\t2026-11-21")).collect();
    assert_eq!(rows, expected);
    assert_eq!(reasons, ["invalid_timestamp"]);
}

#[test]
fn a_request_targets_path_is_what_was_asked_for() {
    let lines = [
        "\"//wp-includes/x.xml\"",
        "\"//index.php?a=1\"",
        "\"///a/b\"",
        "\"/\\\\evil.example/x\"",
        "\"*\"",
        "\"http://h/a\"",
    ];
    let (rows, _) = read("type = \"string\"\n", "url_path(v)", &lines);
    // TSV writes a backslash as two.
    let expected = [
        "1\t//wp-includes/x.xml",
        "2\t//index.php",
        "3\t///a/b",
        "4\t/\\\\evil.example/x",
        "5\t\\N",
        "6\t/a",
    ];
    assert_eq!(rows, expected);
}
