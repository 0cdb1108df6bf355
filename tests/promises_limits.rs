//! What a query may take: its depth, what its functions make, and the disk that it spills to.

use crate::support::{OUTPUT, Project};

/// Many operands of an operator.
fn row(operand: impl Fn(usize) -> String, operator: &str, count: usize) -> String {
    (0..count).map(operand).collect::<Vec<_>>().join(operator)
}

#[test]
fn thousands_of_conditions_are_planned_and_run() {
    let project = Project::new().logs("a.ndjson", "{\"id\":7}\n{\"id\":5000}\n");
    let any = row(|n| format!("id = {n}"), " OR ", 4000);
    let all = row(|n| format!("id <> {}", n + 10), " AND ", 4000);
    let text = row(|_| "'a'".to_owned(), " || ", 1000);
    project.write(
        "shop/rows.sql",
        format!("SELECT id, length({text}) AS n, _source, _line FROM logs WHERE ({any}) AND {all}"),
    );
    project.run().published();
    assert_eq!(project.rows(), ["7\t1000"]);
}

#[test]
fn what_nests_too_deeply_is_refused_in_words() {
    let sum = row(|_| "id".to_owned(), " + ", 5000);
    let deeper = row(|_| "id".to_owned(), " + ", 40_000);
    let unions = row(|_| "SELECT id FROM logs".to_owned(), " UNION ALL ", 5000);
    let tables = row(|n| format!("logs t{n}"), ", ", 300);
    let words = "operators in a row, at most";
    for (query, words) in [
        (format!("SELECT {sum} AS s FROM logs"), words),
        (format!("SELECT {deeper} AS s FROM logs"), words),
        (format!("SELECT id{} AS s FROM logs", "::bigint".repeat(3000)), words),
        (format!("SELECT id{} AS s FROM logs", " IS NULL".repeat(3000)), words),
        (
            format!("SELECT id FROM logs WHERE {}", row(|_| "id > 1".to_owned(), " OR ", 15_000)),
            words,
        ),
        (unions, "a row of 4999 set operations"),
        (format!("SELECT t0.id FROM {tables}"), "joins 300 tables"),
        (format!("SELECT {}id{} AS s FROM logs", "(".repeat(3000), ")".repeat(3000)), "nests too"),
        (format!("SELECT 1 AS s FROM logs WHERE id IN ({})", "1,".repeat(150_000) + "1"), "signs"),
    ] {
        let project = Project::new();
        project.write("shop/rows.sql", query);
        project.ashiato("check", &[]).fails_with(78, &["rows.sql:", words]);
    }
    let expectation = format!("[[output.expectation]]\nname = \"e\"\npredicate = \"{sum} > 0\"\n");
    let project = Project::new().pipeline(&format!("{OUTPUT}{expectation}"));
    project.ashiato("check", &[]).fails_with(78, &["expectation `e`", words]);
}

#[test]
fn an_expression_of_hundreds_of_operators_is_run() {
    let project = Project::new().logs("a.ndjson", "{\"id\":2}\n");
    let sum = row(|_| "id".to_owned(), " + ", 390);
    project.write("shop/rows.sql", format!("SELECT {sum} AS s, _source, _line FROM logs"));
    project.run().published();
    assert_eq!(project.rows(), ["780"]);
}

#[test]
fn a_constant_that_would_be_huge_is_refused_by_check_with_its_function() {
    for (call, function) in [
        ("repeat('x', 1000000000)", "repeat"),
        ("lpad('x', 1000000000)", "lpad"),
        ("rpad('x', 1000000000, 'y')", "rpad"),
        ("array_length(range(0, 1000000000))", "range"),
        ("array_length(generate_series(1, 1000000000))", "generate_series"),
        ("array_length(array_repeat('x', 1000000000))", "array_repeat"),
        ("replace(repeat('x', 4000000), 'x', 'xxxxxxxxxxxxxxxx')", "replace"),
    ] {
        let project = Project::new();
        project.write("shop/rows.sql", format!("SELECT {call} AS s, _source, _line FROM logs"));
        let words = format!("function `{function}` would make");
        project.ashiato("check", &[]).fails_with(78, &["rows.sql:", &words]);
    }
}

#[test]
fn rows_that_grow_keep_within_the_memory_limit() {
    let lines: String =
        (0..2_000).map(|n| format!("{{\"id\":{n},\"name\":\"abcdef\"}}\n")).collect();
    let project = Project::new().logs("a.ndjson", lines);
    project.write(
        "shop/rows.sql",
        "SELECT id, repeat(name, 10000) AS s, lpad(name, 60000) AS p, _source, _line FROM logs",
    );
    let result = project.run().published();
    assert_eq!(result["outputs"]["rows"]["rows"], 2_000);
    let peak = result["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 512 << 20, "{peak}");
}

#[test]
fn a_row_that_would_grow_too_large_is_a_reject_with_the_functions_name() {
    for (call, function) in [
        ("repeat(name, id * 100000000)", "repeat"),
        ("lpad(name, id * 100000000)", "lpad"),
        ("array_length(range(0, id * 100000000))", "range"),
        ("replace(name, 'a', repeat(name, id * 100000000))", "repeat"),
    ] {
        let lines: String =
            (0..20).map(|n| format!("{{\"id\":{},\"name\":\"abcdef\"}}\n", n / 19)).collect();
        let project = Project::new().logs("a.ndjson", lines);
        project.write("shop/rows.sql", format!("SELECT {call} AS s, _source, _line FROM logs"));
        let result = project.run().published();
        assert_eq!(result["outputs"]["rows"]["rows"], 19, "{call}");
        let rejects = project.quarantine();
        assert_eq!(rejects.len(), 1, "{call}");
        assert_eq!(rejects[0]["line"], 20, "{call}");
        let message = rejects[0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("function `{function}` would make")), "{message}");
    }
}

#[test]
fn unnest_of_long_lists_keeps_its_rows_and_its_memory() {
    let lines: String = (0..200).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    let project = Project::new().logs("a.ndjson", lines);
    project.write("shop/wide.sql", "SELECT id, unnest(range(0, 100000)) AS n FROM logs\n");
    project.write(
        "shop/rows.sql",
        "SELECT count(*) AS c, sum(n) AS s, max(id) AS i, NULL AS _source, 1 AS _line FROM wide\n",
    );
    let result = project.run().published();
    assert_eq!(project.rows(), ["20000000\t999990000000\t199"]);
    let peak = result["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 512 << 20, "{peak}");
}

#[test]
fn a_folder_that_cannot_take_what_is_spilled_is_found_by_check_and_by_run() {
    let with_spill = |place: &str| format!("{OUTPUT}[resources]\nspill = \"{place}\"\n");
    for (place, words) in [
        ("${OUT}/no/such", "there is no such folder"),
        ("${PIPELINE_DIR}/rows.sql", "expected a folder, found a file"),
        ("/proc", "cannot be written to"),
    ] {
        let project = Project::new().pipeline(&with_spill(place)).logs("a.ndjson", "{\"id\":1}\n");
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:", "`spill`", words]);
        project.run().fails_with(78, &["`spill`", words]);
    }
}

#[test]
fn a_wrong_regular_expression_is_told_whole() {
    let project = Project::new();
    project.write("shop/a.sql", "SELECT name ~ '(a' AS m FROM logs\n");
    project.write("shop/b.sql", "SELECT regexp_like(name, '(\\w{500}){500}') AS m FROM logs\n");
    project.ashiato("check", &[]).fails_with(
        78,
        &["a.sql:1:15: the regular expression is wrong", "unclosed group", "b.sql:1:26", "too big"],
    );
}
