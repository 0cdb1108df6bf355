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

/// A project that joins its logs' `v` with a table's `code`.
fn joined(file: &str, table: &str, keys: &str, lines: &[&str]) -> Project {
    let project = project("type = \"string\"\n", "v", lines);
    let format = file.rsplit('.').next().unwrap();
    let reference = format!(
        "[[reference]]\nname = \"codes\"\nlocation = \"${{PIPELINE_DIR}}/{file}\"\n\
         format = \"{format}\"\n{keys}"
    );
    let project = project.pipeline(&format!("{}{reference}", crate::support::OUTPUT));
    project.write(&format!("shop/{file}"), table);
    project.write(
        "shop/rows.sql",
        "SELECT l.id, c.name, arrow_typeof(c.n) AS t, c.n, l._source, l._line\n\
         FROM logs l JOIN codes c ON l.v = c.code\n",
    );
    project
}

#[test]
fn a_reference_table_is_text_as_it_stands_unless_its_types_are_told() {
    let csv = "code,name,n\n0012,one,0.10\n12,two,\n";
    let ndjson =
        "{\"code\":\"0012\",\"name\":\"one\",\"n\":0.10}\n{\"code\":12,\"name\":\"two\"}\n";
    for (file, table) in [("codes.csv", csv), ("codes.ndjson", ndjson)] {
        let lines = ["\"0012\"", "\"12\""];
        let project = joined(file, table, "", &lines);
        project.run().published();
        assert_eq!(project.rows(), ["1\tone\tUtf8\t0.10", "2\ttwo\tUtf8\t\\N"], "{file}");
        let typed = joined(file, table, "types = { n = \"decimal(5,2)\" }\n", &lines);
        typed.run().published();
        let expected = ["1\tone\tDecimal128(5, 2)\t0.10", "2\ttwo\tDecimal128(5, 2)\t\\N"];
        assert_eq!(typed.rows(), expected, "{file}");
    }
}

#[test]
fn text_far_down_a_reference_table_is_text_or_a_fault_with_table_row_and_column() {
    let mut csv = "code,name,n\n".to_owned();
    for row in 1..3000 {
        let n = if row == 1500 { "many".to_owned() } else { row.to_string() };
        csv.push_str(&format!("c{row},\"name, {row}\",{n}\n"));
    }
    let lines = ["\"c1500\"", "\"c1501\""];
    let project = joined("codes.csv", &csv, "", &lines);
    project.run().published();
    assert_eq!(project.rows(), ["1\tname, 1500\tUtf8\tmany", "2\tname, 1501\tUtf8\t1501"]);
    let typed = joined("codes.csv", &csv, "types = { n = \"int64\" }\n", &lines);
    for subcommand in ["check", "run"] {
        let arguments: &[&str] = if subcommand == "run" { &crate::support::DAY } else { &[] };
        typed.ashiato(subcommand, arguments).fails_with(
            78,
            &[
                "pipeline.toml:",
                "reference table `codes`",
                "codes.csv: row 1500, column `n`: expected a number that int64 holds exactly, found \"many\"",
            ],
        );
    }
}

#[test]
fn what_is_wrong_with_a_reference_table_is_told_before_a_run() {
    let csv = "code,name,n\na,b,1\n";
    for (file, table, keys, expected) in [
        (
            "codes.csv",
            csv,
            "types = { m = \"int64\" }",
            "a column `m` that is not there; did you mean `n`?",
        ),
        (
            "codes.csv",
            csv,
            "types = { n = \"int46\" }",
            "unknown type `int46`; did you mean `int64`?",
        ),
        ("codes.csv", csv, "types = { n = 1 }", "expected a type's name for `n`"),
        (
            "codes.csv",
            "code,name,n\na,b\n",
            "",
            "codes.csv: row 1: expected 3 fields, as the header has, found 2",
        ),
        ("codes.csv", "code,code,n\n", "", "column 2 has the name of another one"),
        ("codes.csv", "", "", "expected a header line"),
        (
            "codes.csv",
            "code,name,n\na,b,2026-02-30\n",
            "types = { n = \"date\" }",
            "row 1, column `n`: expected a date",
        ),
        ("codes.ndjson", "{\"code\":1}\n{\"code\"}\n", "", "codes.ndjson: row 2: expected `:`"),
        ("codes.ndjson", "[1]\n", "", "codes.ndjson: row 1: expected an object"),
        ("codes.parquet", "x", "types = { n = \"int64\" }", "parquet has types of its own"),
    ] {
        let project = joined(file, table, &format!("{keys}\n"), &["\"a\""]);
        project.ashiato("check", &[]).fails_with(78, &[expected]);
    }
    let project = joined("codes.csv", csv, "", &["\"a\""]);
    std::fs::remove_file(project.path("shop/codes.csv")).unwrap();
    let expected = "reference table `codes`";
    let finished = project.ashiato("check", &[]);
    finished.fails_with(78, &[expected, "there is no such file or directory"]);
    assert!(!finished.stderr.contains("no table or view"), "{finished:#?}");
    project.write("shop/codes.csv", crate::support::gzip(csv.as_bytes()));
    project.ashiato("check", &[]).fails_with(78, &["expected text in UTF-8, found gzip"]);
}

#[test]
fn a_reference_table_of_text_keeps_within_the_memory_limit() {
    let csv: String = (0..200_000).map(|row| format!("{row},name of {row},{row}\n")).collect();
    let project = joined(
        "codes.csv",
        &format!("code,name,n\n{csv}"),
        "[resources]\nmemory_limit = \"64MiB\"\n",
        &["\"a\""],
    );
    project.ashiato("check", &[]).fails_with(78, &["codes.csv:", "`parquet`", "`memory_limit`"]);
}

#[test]
fn typed_columns_of_a_reference_table_have_values_of_each_type() {
    let table = "code,name,n\na,TRUE,2026-11-21\nb,false,\"\"\n";
    let keys = "types = { name = \"bool\", n = \"date\" }\n";
    let project = joined("codes.csv", table, keys, &["\"a\"", "\"b\""]);
    project.run().published();
    assert_eq!(project.rows(), ["1\ttrue\tDate32\t2026-11-21", "2\tfalse\tDate32\t\\N"]);
}

#[test]
fn a_number_is_taken_as_its_own_text_where_the_contract_asks_for_it() {
    let lines = ["10017", "1.50", "1e3", "\"A-1\"", "true"];
    let asked = project("type = \"string\"\nnumber_as_text = true\n", "v", &lines);
    let result = asked.run().published();
    assert_eq!(asked.rows(), ["1\t10017", "2\t1.50", "3\t1e3", "4\tA-1"]);
    assert_eq!(result["mended"], serde_json::json!({ "v": { "number_as_text": 3 } }));
    let unasked = project("type = \"string\"\n", "v", &lines);
    let result = unasked.run().published();
    assert_eq!(unasked.rows(), ["4\tA-1"]);
    assert_eq!(result["mended"], serde_json::json!({}));
    let date = "type = \"date\"\nformats = [\"%Y%m%d\"]\nnumber_as_text = true\n";
    let (rows, _) = read(date, "v", &["20261121", "\"20261121\""]);
    assert_eq!(rows, ["1\t2026-11-21", "2\t2026-11-21"]);
}

#[test]
fn truth_may_be_spelled_as_the_contract_says_and_in_no_other_way() {
    let column = "type = \"bool\"\ntrue_values = [\"true\", \"yes\", \"1\", 1]\n\
                  false_values = [\"no\", 0]\n";
    let lines =
        ["true", "\"true\"", "\"yes\"", "\"1\"", "1", "0", "\"no\"", "\"Yes\"", "2", "\"0\""];
    let project = project(column, "v", &lines);
    let result = project.run().published();
    let expected: Vec<String> = (1..6)
        .map(|id| format!("{id}\ttrue"))
        .chain((6..8).map(|id| format!("{id}\tfalse")))
        .collect();
    assert_eq!(project.rows(), expected);
    assert_eq!(result["mended"], serde_json::json!({ "v": { "spelled_bool": 6 } }));
    let rejects = project.quarantine();
    assert_eq!(rejects.len(), 3);
    let expected =
        "v: expected true, false or one of \"true\", \"yes\", \"1\", 1, \"no\", 0, found \"Yes\"";
    assert_eq!(rejects[0]["message"], expected);
}

#[test]
fn a_mismatch_that_becomes_null_is_counted_by_column() {
    let column = "type = \"int64\"\non_mismatch = \"null\"\n";
    let project = project(column, "v", &["1", "\"x\"", "1.5", "null", "{\"a\":[]}"]);
    let result = project.run().published();
    assert_eq!(project.rows(), ["1\t1", "2\t\\N", "3\t\\N", "4\t\\N", "5\t\\N"]);
    assert_eq!(result["mended"], serde_json::json!({ "v": { "mismatch_to_null": 3 } }));
}

#[test]
fn one_bad_element_of_a_list_is_left_out_and_quarantined_with_its_index() {
    let item = "[[column.item]]\nname = \"price\"\ntype = \"int64\"\nrequired = true\n";
    let drop = format!("type = \"list\"\non_item_mismatch = \"drop\"\n{item}");
    let fifty = |bad: &str| {
        let good: Vec<String> = (0..50).map(|n| format!("{{\"price\":{n}}}")).collect();
        let records: Vec<&str> =
            (0..50).map(|n| if n == 10 { bad } else { good[n].as_str() }).collect();
        format!("[{}]", records.join(","))
    };
    let (bad, worse) = (fifty("{\"price\":\"x\"}"), fifty("7"));
    let lines = [bad.as_str(), "[{\"price\":1}]", worse.as_str()];
    let dropping = project(&drop, "array_length(v)", &lines);
    let result = dropping.run().published();
    assert_eq!(dropping.rows(), ["1\t49", "2\t1", "3\t49"]);
    assert_eq!(result["mended"], serde_json::json!({ "v": { "item_dropped": 2 } }));
    assert_eq!((&result["rejected"], &result["decoded"]), (&0.into(), &3.into()));
    let records = dropping.quarantine();
    assert_eq!(records.len(), 2, "{records:#?}");
    assert_eq!(records[0]["item"], "v[10]");
    assert_eq!(records[0]["path"], "v[10].price");
    assert_eq!(records[0]["reason"], "type_mismatch");
    assert_eq!(records[0]["line"], 1);
    assert_eq!(records[0]["raw"], "{\"price\":\"x\"}");
    assert_eq!((&records[1]["item"], &records[1]["raw"]), (&"v[10]".into(), &"7".into()));
    let rejecting = project(&format!("type = \"list\"\n{item}"), "array_length(v)", &lines);
    rejecting.run().published();
    assert_eq!(rejecting.rows(), ["2\t1"]);
}

#[test]
fn one_bad_byte_or_half_a_surrogate_is_replaced_where_the_contract_asks_for_it() {
    let mut logs = b"{\"id\":1,\"v\":\"a\xffb\"}\n{\"id\":2,\"v\":\"half \\ud83d\"}\n".to_vec();
    logs.extend_from_slice(b"{\"id\":3,\"v\":\"sound \xe6\x9c\xac\"}\n{\"id\":4,\"x\":\"\xff\"}\n");
    let policy = "on_invalid_text = \"replace\"\n";
    for (policy, rows) in [
        (policy, &["1\ta\u{fffd}b", "2\thalf \u{fffd}", "3\tsound 本", "4\t\\N"][..]),
        ("", &["3\tsound 本"][..]),
    ] {
        let project = project("type = \"string\"\n", "v", &[]).logs("a.ndjson", &logs);
        project.write("shop/contract.toml", format!("{policy}{COLUMNS}type = \"string\"\n"));
        let result = project.run().published();
        assert_eq!(project.rows(), rows);
        if !policy.is_empty() {
            let mended = serde_json::json!({
                "v": { "invalid_text_replaced": 2 }, "…": { "invalid_text_replaced": 1 },
            });
            assert_eq!(result["mended"], mended);
        }
    }
}

#[test]
fn a_pattern_means_the_same_in_sql_as_in_the_contract() {
    let readings = [
        ("%Y-%m-%dT%H:%M:%S,%f", "2026-11-21T13:05:00,123"),
        ("%d/%b/%Y:%H:%M:%S %z", "21/Nov/2026:13:05:00 +0900"),
        ("%y%m%d %I:%M %p", "261121 1:05 PM"),
        ("%F %T %Z", "2026-11-21 13:05:00 JST"),
        ("%A %e %B %Y %R", "Saturday 21 November 2026 13:05"),
        ("%Y %j %k%M", "2026 325 1305"),
        ("%s", "1795233900"),
    ];
    let (mut contract, mut fields, mut same) = (CONTRACT_ID.to_owned(), vec![], vec![]);
    for (n, (pattern, text)) in readings.iter().enumerate() {
        contract += &format!(
            "[[column]]\nname = \"s{n}\"\npath = \"v{n}\"\ntype = \"string\"\n[[column]]\n\
             name = \"t{n}\"\npath = \"v{n}\"\ntype = \"timestamp\"\nformats = [\"{pattern}\"]\n"
        );
        if !pattern.contains(['z', 'Z', 's']) {
            contract += "assumed_time_zone = \"UTC\"\n";
        }
        fields.push(format!("\"v{n}\":\"{text}\""));
        same.push(format!("to_timestamp(s{n}, '{pattern}') = t{n} AS same{n}"));
    }
    let project = Project::new().logs("a.ndjson", format!("{{\"id\":1,{}}}\n", fields.join(",")));
    project.write("shop/contract.toml", contract);
    let view = format!("SELECT {}, _source, _line FROM logs", same.join(", "));
    project.write("shop/rows.sql", view);
    project.run().published();
    assert_eq!(project.rows(), [vec!["true"; readings.len()].join("\t")]);
}

/// The contract of one column, `id`.
const CONTRACT_ID: &str = "[[column]]\nname = \"id\"\ntype = \"int64\"\nrequired = true\n";

#[test]
fn times_in_sql_are_what_they_say_or_rejects() {
    let lines = "{\"id\":1,\"name\":\"26/11/21\"}\n{\"id\":2,\"name\":\"2026/11/21\"}\n\
                 {\"id\":3,\"name\":\"2026/02/30\"}\n{\"id\":4,\"name\":\"21.11.2026\"}\n";
    let project = Project::new().logs("a.ndjson", lines);
    project.write(
        "shop/rows.sql",
        "SELECT id, to_date(name, '%Y/%m/%d', '%d.%m.%Y') AS day, \
         to_unixtime(name, '%Y/%m/%d', '%d.%m.%Y') AS seconds, \
         to_char(TIMESTAMP '2026-11-21 13:05:00.012', '%d.%m.%y %H:%M:%S.%f') AS written, \
         _source, _line FROM logs",
    );
    project.run().published();
    let row = "2026-11-21\t1795219200\t21.11.26 13:05:00.012000";
    assert_eq!(project.rows(), [format!("2\t{row}"), format!("4\t{row}")]);
    let rejects = project.quarantine();
    let messages: Vec<_> = rejects.iter().map(|reject| reject["message"].as_str()).collect();
    let expected = "to_date: expected a text as `%Y/%m/%d` or `%d.%m.%Y`, found \"26/11/21\"";
    assert_eq!(messages.len(), 2);
    assert!(messages[0].is_some_and(|message| message.ends_with(expected)), "{messages:?}");
}

#[test]
fn a_pattern_that_sql_cannot_honour_is_refused_by_check() {
    for (call, words) in [
        ("to_date(name, '%Q')", "pattern `%Q` has an unknown directive"),
        ("to_date(name, '%m/%d')", "names no year"),
        ("to_timestamp(name, '%Y-%m-%d %H')", "names no minute"),
        ("to_timestamp(name, '%Y-%m-%d %I:%M')", "not its half"),
        ("to_timestamp(name, '%FT%TZ')", "has `Z` as mere text"),
        ("to_unixtime(name, '%c')", "it depends on the locale"),
        ("CAST(to_time(name, '%F %T') AS VARCHAR)", "names more than a time of day"),
        ("to_char(at, '%Q')", "pattern `%Q` has an unknown directive"),
        ("date_format(at, '%i')", "minutes are `%M`"),
        ("to_char(CAST(at AS TIMESTAMP), '%F %z')", "names what Timestamp"),
    ] {
        let project = Project::new();
        project.write("shop/rows.sql", format!("SELECT {call} AS a, _source, _line FROM logs"));
        project.ashiato("check", &[]).fails_with(78, &["rows.sql:1:", words]);
    }
}
