//! A number is never another number, and a row that SQL cannot reckon with is a reject.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{OUTPUT, Project, ROOT, finish, tsv_lines};

const MAX: i64 = i64::MAX;

const CONTRACT: &str = r#"
[[column]]
name = "id"
type = "int64"
required = true

[[column]]
name = "name"
type = "string"

[[column]]
name = "amount"
type = "int64"

[[column]]
name = "small"
type = "int32"

[[column]]
name = "exact"
type = "decimal(38,0)"

[[column]]
name = "at"
type = "timestamp"
"#;

/// A project whose view gives `columns` of rows with the given lines.
fn project(view: &str, lines: &[Value]) -> Project {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let project = Project::new().logs("a.ndjson", text);
    project.write("shop/contract.toml", CONTRACT);
    project.write("shop/rows.sql", format!("{view}\n"));
    let has_origin = view.contains("_source");
    let output = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
    project.pipeline(if has_origin { OUTPUT } else { &output })
}

/// Runs a view of which the second line of three must be a reject, and gives its record.
fn rejected(view: &str, lines: [Value; 3]) -> Value {
    let project = project(view, &lines);
    let result = project.run().published();
    let output = &result["outputs"]["rows"];
    assert_eq!(output["evaluation_error"], 1, "{view}: {result}");
    assert_eq!((&result["lines"], &result["rejected"]), (&json!(3), &json!(0)), "{view}");
    let records = project.quarantine();
    assert_eq!(records.len(), 1, "{view}: {records:?}");
    let record = records[0].clone();
    assert_eq!(record["reason"], "evaluation_error", "{view}");
    assert_eq!(record["output"], "rows", "{view}");
    assert_eq!(record["line"], 2, "{view}: {record}");
    assert_eq!(record["offset"], lines[0].to_string().len() + 1, "{view}");
    assert!(record["object"].as_str().unwrap().ends_with("a.ndjson"), "{view}: {record}");
    let message = record["message"].as_str().unwrap();
    assert!(message.starts_with("output rows, expression "), "{message}");
    assert!(message.contains(record["expression"].as_str().unwrap()), "{message}");
    record
}

#[test]
fn a_row_whose_integers_overflow_is_a_reject_with_its_place_and_its_expression() {
    let lines = |amount: i64| {
        [1, amount, 3].map(|n| json!({"id": n.min(9), "amount": n, "small": n.min(50_000_000)}))
    };
    for (expression, amount, shown) in [
        ("amount + 9223372036854775800", MAX, "(amount + 9223372036854775800)"),
        ("amount * 2", MAX, "(amount * 2)"),
        ("amount - 9", i64::MIN, "(amount - 9)"),
        ("-amount", i64::MIN, "(-amount)"),
        ("abs(amount)", i64::MIN, "abs(amount)"),
        ("small * CAST(50 AS INT)", MAX, "(small * 50)"),
        ("amount * amount", MAX, "(amount * amount)"),
        ("CAST(amount AS INT)", MAX, "CAST(amount AS Int32)"),
        ("amount / -1", i64::MIN, "(amount / -1)"),
        ("10 / (amount - 7)", 7, "(10 / (amount - 7))"),
        ("arrow_cast(amount, 'UInt8') + arrow_cast(250, 'UInt8')", 7, "+ 250"),
    ] {
        let small = if amount == i64::MIN { 2 } else { 50_000_000 };
        let mut lines = lines(amount);
        lines[1]["small"] = small.into();
        for origin in ["", ", _source, _line"] {
            let view = format!("SELECT id, {expression} AS x{origin} FROM logs");
            let record = rejected(&view, lines.clone());
            let found = record["expression"].as_str().unwrap();
            assert!(found.contains(shown), "{expression}: {found}");
            assert_eq!(record["row"]["amount"].as_i64().unwrap_or(amount), amount, "{record}");
        }
    }
}

#[test]
fn a_text_that_is_no_number_and_a_time_without_a_place_are_rejects() {
    let texts = |text: &str| ["1", text, "3"].map(|t| json!({"id": 1, "name": t}));
    let record = rejected("SELECT id, CAST(name AS INT) AS x FROM logs", texts("x"));
    assert!(record["message"].as_str().unwrap().contains("Cannot cast string 'x'"), "{record}");
    assert_eq!(record["row"]["name"], "x");
    rejected("SELECT id, CAST(name AS DECIMAL(5,2)) AS x FROM logs", texts("123456"));
    let times = |at: &str| {
        ["2026-11-21T00:00:00Z", at, "2026-11-22T00:00:00Z"].map(|at| json!({"id": 1, "at": at}))
    };
    let far = times("9999-12-31T00:00:00Z");
    rejected(
        "SELECT id, arrow_cast(at, 'Timestamp(Nanosecond, None)') AS x FROM logs",
        far.clone(),
    );
    let later = "arrow_cast(at + INTERVAL '255000 years', 'Int64')";
    rejected(&format!("SELECT id, {later} AS x FROM logs"), far);
}

#[test]
fn a_regular_expression_that_a_row_brings_fails_on_that_row_alone() {
    for call in ["regexp_like('abc', name)", "'abc' ~ name", "regexp_replace('abc', name, '')"] {
        let view = format!("SELECT id, {call} AS x FROM logs");
        let lines = ["b", "(", "^a"].map(|text| json!({"id": 1, "name": text}));
        let reject = rejected(&view, lines);
        assert!(reject["message"].as_str().unwrap().contains("gular expression"), "{reject}");
    }
}

#[test]
fn an_expression_is_shown_as_its_reader_knows_it() {
    let lines = [1, 7, 3].map(|n| json!({"id": 1, "amount": n}));
    for (view, shown) in [
        ("SELECT 1 % (amount - 7) AS x, 2.0 / (amount - 7) AS y FROM logs", "1 % (amount - 7)"),
        ("SELECT 1 / (i - 7) AS x FROM (SELECT unnest([amount]) AS i FROM logs)", "(unnest("),
    ] {
        let record = rejected(view, lines.clone());
        let found = record["expression"].as_str().unwrap();
        assert!(found.contains(shown) && !found.contains("__"), "{found}");
    }
}

#[test]
fn decimals_keep_to_their_digits() {
    let nines = "9".repeat(38);
    let raw = |digits: &str| serde_json::from_str::<Value>(&format!("\"{digits}\"")).unwrap();
    let lines = ["1", nines.as_str(), "3"].map(|n| json!({"id": 1, "name": raw(n)}));
    for expression in ["+ 1", "* 10", "- CAST(-1 AS DECIMAL(38,0))"] {
        let view = format!("SELECT id, CAST(name AS DECIMAL(38,0)) {expression} AS x FROM logs");
        rejected(&view, lines.clone());
    }
}

#[test]
fn rows_are_rejected_wherever_the_query_fails_on_them() {
    let lines = [1, MAX, 3].map(|n| json!({"id": 1, "amount": n, "name": "a", "small": 2}));
    for view in [
        "SELECT id FROM logs WHERE amount * 2 > 1",
        "SELECT id FROM logs WHERE id = 1 AND amount * 2 > 1 AND name = 'a'",
        "SELECT id, sum(amount * 2) AS x FROM logs GROUP BY id",
        "SELECT amount * 2 AS x, count(*) AS n FROM logs GROUP BY amount * 2",
        "SELECT id, sum(amount * 2) OVER (PARTITION BY name ORDER BY id) AS x FROM logs",
        "SELECT id, amount FROM logs ORDER BY amount * 2 LIMIT 5",
        "SELECT DISTINCT amount * 2 AS x FROM logs",
        "SELECT id, (SELECT max(amount * 2) FROM logs) AS x FROM logs",
        "SELECT id FROM logs WHERE amount > (SELECT min(amount * 2) FROM logs)",
        "SELECT id, item FROM (SELECT id, unnest([amount * 2, 1]) AS item FROM logs)",
        "SELECT id, item * 2 AS x FROM (SELECT id, amount, unnest([amount]) AS item FROM logs)",
        "WITH w AS (SELECT id, amount AS m FROM logs) SELECT v.m * 2 AS x FROM w AS v",
        "SELECT amount * small AS x FROM logs UNION ALL SELECT 1 AS x FROM logs WHERE id = 2",
        "SELECT l.amount * 2 AS x FROM logs l JOIN (VALUES (1, 'a')) AS t(k, name) ON l.id = t.k",
        "SELECT l.amount * 2 AS x FROM (VALUES (1)) AS t(k) LEFT JOIN logs l ON l.id = t.k",
        "SELECT amount * 2 AS x FROM logs WHERE name = 'a' AND id IN (SELECT id FROM logs)",
        "SELECT a.amount * 2 AS x FROM logs a JOIN logs b ON a.at IS NULL AND a.amount = b.amount",
        "SELECT x FROM (SELECT amount * 2 AS x, row_number() OVER (ORDER BY id) AS n FROM logs)",
        "SELECT count(DISTINCT amount * 2) AS x, max(amount * 3) FILTER (WHERE id = 1) AS y FROM logs",
    ] {
        rejected(view, lines.clone());
    }
}

#[test]
fn what_a_filter_or_a_case_keeps_out_is_no_reject() {
    let lines = [
        json!({"id": 1, "name": "x", "amount": 0}),
        json!({"id": 2, "name": "17", "amount": 5}),
        json!({"id": 3, "name": "99999999999999999999", "amount": 1}),
    ];
    for (view, expected) in [
        ("SELECT id FROM logs WHERE id < 3 AND name ~ '^[0-9]+$' AND CAST(name AS INT) > 5", "2"),
        ("SELECT CASE WHEN amount > 0 THEN 10 / amount END AS x FROM logs WHERE id < 3", "2 \\N"),
        ("SELECT sum(10 / amount) FILTER (WHERE amount > 0) AS x FROM logs WHERE id < 3", "2"),
        ("SELECT TRY_CAST(name AS INT) AS x FROM logs", "17 \\N \\N"),
        (
            "SELECT nullif(amount, 0) AS x FROM logs WHERE id < 3 AND 10 / nullif(amount, 0) > 1",
            "5",
        ),
    ] {
        let project = project(view, &lines);
        let result = project.run().published();
        assert_eq!(result["outputs"]["rows"]["evaluation_error"], 0, "{view}");
        assert_eq!(project.rows(), expected.split(' ').collect::<Vec<_>>(), "{view}");
    }
}

#[test]
fn sums_of_integers_are_exact_whatever_their_size() {
    let lines = [9_000_000_000_000_000_000_i64; 2].map(|n| json!({"id": 1, "amount": n}));
    let view = "SELECT sum(amount) AS s, sum(amount) + 1 AS t, sum(DISTINCT amount) AS d FROM logs";
    let project = project(view, &lines);
    project.run().published();
    let sums = "18000000000000000000\t18000000000000000001\t9000000000000000000";
    assert_eq!(project.rows(), [sums]);
}

const NINES: &str = "99999999999999999999999999999999999999";

/// The records of rejects of a view over decimals of 38 digits, `x` in groups of `name`.
fn rejects_of_groups(query: &str, rows: &[&str]) -> Vec<Value> {
    let lines = [("a", NINES), ("a", NINES), ("b", "7")]
        .map(|(group, digits)| json!({"id": 1, "name": format!("{group},{digits}")}));
    let source = "(SELECT id, split_part(name, ',', 1) AS name, \
                  CAST(split_part(name, ',', 2) AS DECIMAL(38, 0)) AS x FROM logs)";
    let project = project(&query.replace("groups", source), &lines);
    project.run().published();
    assert_eq!(project.rows(), rows, "{query}");
    project.quarantine()
}

#[test]
fn a_group_whose_sum_or_average_has_no_place_is_a_reject_that_names_output_expression_and_group() {
    for (query, row, expression, found) in [
        ("SELECT name, sum(x) AS s FROM groups GROUP BY name", "b\t7", "sum(x)", "99998"),
        ("SELECT sum(x) AS s FROM groups GROUP BY name", "7", "sum(x)", "99998"),
        ("SELECT sum(x) AS s FROM groups GROUP BY name HAVING sum(x) > 1", "7", "sum(x)", "99998"),
        ("SELECT avg(x) AS s FROM groups GROUP BY name", "7.0000", "avg(x)", "9999.0000"),
        ("SELECT mean(x) + 1 AS s FROM groups GROUP BY name", "8.0000", "avg(x)", "9999.0000"),
        (
            "SELECT s FROM (SELECT upper(name) AS u, sum(x) AS s FROM groups GROUP BY name) \
             WHERE u <> 'C'",
            "7",
            "sum(x)",
            "99998",
        ),
    ] {
        let records = rejects_of_groups(query, &[row]);
        assert_eq!(records.len(), 1, "{query}: {records:?}");
        let message = records[0]["message"].as_str().unwrap();
        assert!(message.starts_with("output rows, expression "), "{query}: {message}");
        assert!(message.contains(expression), "{query}: {message}");
        assert!(message.contains("expected a value that fits DECIMAL(38, "), "{query}: {message}");
        assert!(message.ends_with(found), "{query}: {message}");
        assert_eq!(records[0]["row"]["name"], "a", "{query}: {records:?}");
    }
}

#[test]
fn a_window_whose_sum_or_average_has_no_place_is_a_reject_with_its_rows_place() {
    for (query, row) in [
        ("SELECT name, sum(x) OVER (PARTITION BY name) AS s FROM groups", "b\t7"),
        ("SELECT name, avg(x) OVER (PARTITION BY name) AS s FROM groups", "b\t7.0000"),
    ] {
        let records = rejects_of_groups(query, &[row]);
        let lines: Vec<&Value> = records.iter().map(|record| &record["line"]).collect();
        assert_eq!(lines, [&json!(1), &json!(2)], "{query}");
    }
}

#[test]
fn a_total_without_a_place_is_not_published() {
    let lines = [1, 2].map(|id| json!({"id": id, "name": NINES}));
    for total in ["sum(x)", "avg(x)", "sum(x) OVER ()"] {
        let source = "(SELECT id, CAST(name AS DECIMAL(38,0)) AS x FROM logs)";
        let view = format!("SELECT {total} AS s FROM {source}");
        let finished = project(&view, &lines).run();
        finished.fails_with(65, &["output rows", "nothing was published", &total[..6], "found "]);
    }
    let group = "SELECT sum(x) AS s FROM (SELECT name, CAST(name AS DECIMAL(38,0)) AS x FROM logs) \
                 GROUP BY name";
    let finished = project(group, &lines).run();
    finished.fails_with(65, &["expression sum(x)", "\"name\":\"9999", "the first that could not"]);
    let back = "SELECT sum(x) AS s, avg(x) AS a FROM (SELECT CAST(name AS DECIMAL(38,0)) AS x FROM \
                logs UNION ALL SELECT -CAST(name AS DECIMAL(38,0)) AS x FROM logs)";
    let project = project(back, &lines);
    project.run().published();
    assert_eq!(project.rows(), ["0\t0.0000"], "only the whole sum must fit, in whatever order");
}

#[test]
fn a_pair_of_rows_that_a_join_condition_fails_on_is_a_reject_that_names_both_rows() {
    let lines = [(1, 2), (2, MAX), (3, 3)].map(|(id, n)| json!({"id": id, "amount": n}));
    for view in [
        "SELECT a.id, b.id AS other FROM logs a JOIN logs b ON a.id < b.id AND a.amount * b.amount > 3",
        "SELECT a.id, b.id AS other FROM logs a JOIN logs b ON (a.at IS NOT DISTINCT FROM b.at) \
         AND a.amount * b.amount > 3 AND a.id < b.id",
        "SELECT a.id, b.id AS other FROM logs a, logs b WHERE a.id < b.id AND a.amount * b.amount > 3",
    ] {
        let project = project(view, &lines);
        let result = project.run().published();
        assert_eq!(project.rows(), ["1\t3"], "{view}");
        assert_eq!(result["outputs"]["rows"]["evaluation_error"], 2, "{view}");
        for (record, (line, other)) in project.quarantine().iter().zip([(1, 2), (2, 3)]) {
            let message = record["message"].as_str().unwrap();
            assert_eq!(record["line"], line, "{view}: {message}");
            assert!(message.contains(&format!("; joined with line {other} of ")), "{message}");
            assert!(message.contains("(amount * amount) > 3"), "{message}");
            let row = &record["row"];
            assert_eq!((&row["id"], &row["id #2"]), (&json!(line), &json!(other)), "{row}");
        }
    }
}

#[test]
fn a_condition_of_an_outer_join_that_fails_ends_the_run_and_names_both_rows() {
    let lines = [(1, 2), (2, MAX)].map(|(id, n)| json!({"id": id, "amount": n}));
    let condition = "a.id < b.id AND a.amount * b.amount > 3";
    for view in [
        format!("SELECT a.id FROM logs a LEFT JOIN logs b ON {condition}"),
        format!("SELECT a.id FROM logs a FULL JOIN logs b ON a.at = b.at OR {condition}"),
        format!("SELECT id FROM logs a WHERE EXISTS (SELECT 1 FROM logs b WHERE {condition})"),
        format!(
            "SELECT id FROM logs a WHERE id NOT IN (SELECT id - 1 FROM logs b WHERE {condition})"
        ),
    ] {
        let parts = ["output rows", "join condition", "(amount * amount) > 3", "between line "];
        let finished = project(&view, &lines).run();
        finished.fails_with(65, &parts);
        finished.fails_with(65, &["line 1 of ", " and ", "line 2 of ", "a.ndjson"]);
    }
    // What another part of the condition keeps out need not be evaluated.
    let view = "SELECT a.id, b.id AS other FROM logs a LEFT JOIN logs b ON a.amount * b.amount > 3 \
                AND a.id = 1 AND b.id = 1";
    let project = project(view, &lines);
    project.run().published();
    assert_eq!(project.rows(), ["1\t1", "2\t\\N"]);
}

#[test]
fn a_recursive_query_counts_the_rows_of_all_its_rounds() {
    let view = "WITH RECURSIVE doubled AS (SELECT id, amount FROM logs UNION ALL SELECT id, \
                amount * 2 AS amount FROM doubled) SELECT id, max(amount) AS m FROM doubled GROUP BY id";
    let project = project(view, &[json!({"id": 1, "amount": 1})]);
    let result = project.run().published();
    assert_eq!(project.rows(), ["1\t4611686018427387904"]);
    assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1);
}

#[test]
fn a_reject_shows_no_name_that_only_the_engine_knows() {
    let lines = [1, MAX, 3].map(|n| json!({"id": 1, "amount": n, "small": 2}));
    for view in [
        "SELECT amount + 1 AS x, (amount + 1) * small AS y, (amount + 1) * 3 AS z FROM logs",
        "SELECT small * 2 + amount AS x, small * 2 + 1 AS y FROM logs",
        "SELECT i * 2 AS x FROM (SELECT unnest([amount, 1]) AS i FROM logs)",
        "SELECT amount * 3 AS x, sum(small * 5) OVER (ORDER BY small * 5) AS y FROM logs",
    ] {
        let record = rejected(view, lines.clone());
        let row = record["row"].as_object().unwrap();
        assert!(row.keys().all(|name| !name.starts_with("__")), "{view}: {record}");
    }
}

#[test]
fn a_rejected_row_keeps_all_digits_of_its_decimals() {
    let view = "SELECT name, CAST(sum(x) AS BIGINT) AS s FROM groups GROUP BY name";
    let view = view.replace("sum(x)", "max(x)");
    let records = rejects_of_groups(&view, &["b\t7"]);
    assert_eq!(records[0]["row"]["max(x)"], NINES, "{records:?}");
}

#[test]
fn an_integer_that_a_double_cannot_hold_does_not_become_another_one() {
    const ODD: i64 = (1 << 53) + 1;
    let lines = [5, ODD, 1 << 53].map(|n| json!({"id": 1, "amount": n, "name": n.to_string()}));
    for expression in [
        "amount * 1.0",
        "amount / 2.0",
        "amount % 2.5",
        "coalesce(amount, 0.5)",
        "greatest(amount, 0.5)",
        "nullif(amount, 0.5)",
        "sqrt(amount)",
        "CASE WHEN id > 0 THEN amount ELSE 0.5 END",
        "CAST(name AS DECIMAL(38,0)) * 1.0",
        "arrow_cast(name, 'UInt64') * 1.0",
    ] {
        let record = rejected(&format!("SELECT id, {expression} AS x FROM logs"), lines.clone());
        let message = record["message"].as_str().unwrap();
        assert!(message.contains("expected a number that a DOUBLE holds"), "{message}");
        assert!(message.contains(&ODD.to_string()), "{message}");
    }
    rejected(
        "SELECT amount AS x FROM logs UNION ALL SELECT 0.5 AS x FROM logs WHERE id = 2",
        lines.clone(),
    );
    for (view, expected) in [
        (
            "SELECT CAST(amount AS DOUBLE) = CAST(9007199254740992 AS DOUBLE) AS x FROM logs WHERE id = 1",
            "false true true",
        ),
        ("SELECT amount > 0.5 AS x FROM logs", "true true true"),
        ("SELECT floor(amount) AS x FROM logs", "5 9007199254740993 9007199254740992"),
        ("SELECT ceil(amount) AS x FROM logs", "5 9007199254740993 9007199254740992"),
        ("SELECT trunc(amount) AS x FROM logs", "5 9007199254740993 9007199254740992"),
        ("SELECT round(amount) AS x FROM logs", "5 9007199254740993 9007199254740992"),
        ("SELECT floor(amount * 0.5) AS x FROM logs WHERE amount = 5", "2.0"),
        ("SELECT id AS x FROM logs WHERE amount IN (SELECT avg(5) FROM logs)", "1"),
        ("SELECT id AS x FROM logs WHERE amount < (SELECT avg(amount) FROM logs)", "1"),
    ] {
        let project = project(view, &lines);
        let result = project.run().published();
        assert_eq!(result["outputs"]["rows"]["evaluation_error"], 0, "{view}");
        let mut expected: Vec<&str> = expected.split(' ').collect();
        expected.sort_unstable();
        assert_eq!(project.rows(), expected, "{view}");
    }
}

#[test]
fn a_constant_that_a_double_cannot_hold_is_refused_by_check() {
    for expression in ["9007199254740993 * 1.0", "amount IN (0.5, 9007199254740993)"] {
        let view = format!("SELECT {expression} AS x FROM logs");
        let project = project(&view, &[json!({"id": 1})]);
        project.ashiato("check", &[]).fails_with(78, &["rows.sql", "9007199254740993", "DOUBLE"]);
    }
}

#[test]
fn a_group_that_cannot_be_evaluated_is_a_reject_and_the_others_are_written() {
    let lines = [
        json!({"id": 1, "name": "a", "amount": MAX}),
        json!({"id": 2, "name": "a", "amount": MAX}),
        json!({"id": 3, "name": "b", "amount": 5}),
    ];
    let view = "SELECT name, CAST(sum(amount) AS BIGINT) AS s FROM logs GROUP BY name";
    let project = project(view, &lines);
    let result = project.run().published();
    assert_eq!(project.rows(), ["b\t5"]);
    assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1);
    let record = &project.quarantine()[0];
    assert_eq!((&record["object"], &record["row"]["name"]), (&Value::Null, &json!("a")));
}

#[test]
fn a_predicate_that_fails_rejects_its_row_and_no_other() {
    let lines = [1, MAX, 3].map(|n| json!({"id": n, "amount": n}));
    let expectation = format!(
        "{OUTPUT}[[output.expectation]]\nname = \"positive\"\npredicate = \"amount * 2 > 0\"\n\
         on_fail = \"reject\"\n"
    );
    let view = "SELECT id, amount, _source, _line FROM logs";
    let project = project(view, &lines).pipeline(&expectation);
    let result = project.run().published();
    assert_eq!(project.rows(), ["1\t1", "3\t3"]);
    assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1);
    let record = &project.quarantine()[0];
    assert_eq!(record["line"], 2);
    assert!(record["expression"].as_str().unwrap().starts_with("((amount * 2) > 0)"), "{record}");
}

#[test]
fn a_guard_that_cannot_be_evaluated_on_a_row_stops_the_run() {
    let lines = [1, 0, 3].map(|n| json!({"id": n, "amount": n}));
    // The second has a part that the optimizer computes once, in a column of its own.
    for predicate in ["10 / amount > 0", "10 / amount > 0 AND 10 / amount < 99"] {
        let expectation = format!(
            "{OUTPUT}[[output.expectation]]\nname = \"guard\"\npredicate = \"{predicate}\"\n\
             on_fail = \"fail\"\n"
        );
        let view = "SELECT id, amount, _source, _line FROM logs";
        let project = project(view, &lines).pipeline(&expectation);
        let finished = project.run();
        finished.fails_with(65, &["output rows: expectation `guard` (10 / amount", "line 2 of"]);
        finished.fails_with(65, &["cannot be evaluated on the row", "nothing was published"]);
        assert!(project.rows().is_empty(), "{finished:#?}");
        // A row that the view itself cannot be evaluated on is no row that is guarded.
        let view = "SELECT id, 10 / amount AS share, _source, _line FROM logs";
        let of_view = expectation.replace("10 / amount", "share");
        let project = self::project(view, &lines).pipeline(&of_view);
        assert_eq!(project.run().published()["outputs"]["rows"]["evaluation_error"], 1);
    }
}

#[test]
fn a_row_that_fails_in_one_output_is_in_the_others() {
    let lines = [1, MAX, 3].map(|n| json!({"id": n, "amount": n}));
    let project = project("SELECT id, amount * 2 AS x FROM logs", &lines);
    project.write("shop/all.sql", "SELECT id, amount FROM logs\n");
    let both = "[[output]]\nname = \"all\"\nlocation = \"${OUT}/all\"\nformats = [\"tsv\"]\n\
                [output.tsv]\ncompression = \"none\"\n";
    let rows = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
    let project = project.pipeline(&format!("{rows}{both}"));
    let result = project.run().published();
    assert_eq!(tsv_lines(&project.path("out/all")).len(), 3);
    assert_eq!(project.rows(), ["1\t2", "3\t6"]);
    assert_eq!(result["outputs"]["all"]["evaluation_error"], 0);
}

#[test]
fn thresholds_count_rows_that_cannot_be_evaluated() {
    let lines = [MAX, 2, 3].map(|n| json!({"id": n, "amount": n}));
    let rows = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
    for (view, threshold, code) in [
        ("SELECT amount * 2 AS x FROM logs", "max_reject_ratio = 0.3", 65),
        ("SELECT amount * 2 AS x FROM logs", "max_reject_ratio = 0.4", 0),
        ("SELECT amount * 2 AS x FROM logs", "max_rejects = 0", 65),
        ("SELECT sum(amount * 2) AS x FROM logs", "max_reject_ratio = 0.4", 0),
        ("SELECT sum(amount * 2) AS x FROM logs", "max_reject_ratio = 0.3", 65),
    ] {
        let project = project(view, &lines).pipeline_with(threshold, "", &rows);
        let finished = project.run();
        assert_eq!(finished.code, Some(code), "{view} {threshold}: {finished:#?}");
        if code != 0 {
            finished.fails_with(65, &["output rows", "rejects"]);
        }
    }
}

#[test]
fn many_failing_rows_among_many_are_each_found_in_their_order() {
    let line = |id: i64| {
        let amount = if id % 7 == 0 { MAX } else { id };
        json!({"id": id, "amount": amount, "name": "x".repeat(50)})
    };
    let lines: Vec<Value> = (1..=5000).map(line).collect();
    let output = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
    let project = project("SELECT id, amount + 1 AS x FROM logs", &lines).pipeline_with(
        "max_reject_ratio = 0.2",
        "",
        &output,
    );
    let result = project.run().published();
    assert_eq!(result["outputs"]["rows"]["evaluation_error"], 714);
    assert_eq!(result["outputs"]["rows"]["rows"], 5000 - 714);
    let numbers: Vec<u64> =
        project.quarantine().iter().map(|record| record["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=714).map(|n| n * 7).collect::<Vec<u64>>());
    assert_eq!(project.rows().len(), 5000 - 714);
}

#[test]
fn a_sum_over_rows_that_all_fail_is_not_published() {
    let lines = [MAX, MAX].map(|n| json!({"id": 1, "amount": n}));
    let finished = project("SELECT sum(amount * 2) AS x FROM logs", &lines).run();
    finished.fails_with(65, &["output rows", "found 2 of 2", "nothing was published"]);
}

/// The shipped pipeline over lines of an object.
fn action_log(lines: &[Value]) -> (tempfile::TempDir, crate::support::Finished) {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs/dt=2026-11-21/hr=13");
    std::fs::create_dir_all(&logs).unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(logs.join("a.ndjson"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    command
        .args(["run", "sql/action_log", "--date", "2026-11-21"])
        .current_dir(ROOT)
        .env("ASHIATO_SOURCE", folder.path().join("logs"))
        .env("ASHIATO_OUT", folder.path().join("out"));
    let finished = finish(&mut command);
    (folder, finished)
}

fn purchase(number: usize, items: &[i64]) -> Value {
    let item = |amount: &i64| {
        json!({"sku": "s", "name": "n", "category": "standard", "price": amount, "quantity": 1,
               "amount": amount})
    };
    let items: Vec<Value> = items.iter().map(item).collect();
    json!({"v": 2, "event_id": format!("e{number}"), "time": "2026-11-21T04:00:00Z",
           "service": "books", "event": "purchase", "order": {"id": "o"}, "cart": {"items": items}})
}

#[test]
fn an_amount_that_cannot_be_true_is_a_reject_and_the_days_other_sales_are_published() {
    let mut lines: Vec<Value> = (0..100).map(|number| purchase(number, &[1000])).collect();
    lines.extend((100..102).map(|number| purchase(number, &[MAX])));
    let (folder, finished) = action_log(&lines);
    let result = finished.published();
    let rejected = &result["outputs"]["purchases"]["rejected"];
    assert_eq!(rejected["amount_is_plausible"], 2, "{result}");
    assert_eq!(result["outputs"]["purchases"]["rows"], 100);
    assert_eq!(result["outputs"]["daily_sales"]["rows"], 1);
    drop(folder);
}

#[test]
fn one_order_whose_tax_has_no_place_is_a_reject_among_a_hundred() {
    let mut lines: Vec<Value> = (0..100).map(|number| purchase(number, &[1000])).collect();
    lines.insert(50, purchase(100, &[MAX; 11]));
    let (folder, finished) = action_log(&lines);
    let result = finished.published();
    assert_eq!(result["outputs"]["purchases"]["evaluation_error"], 1, "{result}");
    assert_eq!(result["outputs"]["daily_sales"]["rows"], 1);
    assert_eq!(result["outputs"]["purchases"]["rows"], 100);
    assert_eq!(result["outputs"]["events"]["rows"], 101, "the event itself is a row");
    drop(folder);
}

#[test]
fn sql_reckons_as_pythons_integers_and_decimals_do() {
    for seed in ["1", "20261121"] {
        let script = Path::new(ROOT).join("tests/arithmetic/reckon.py");
        let output = Command::new("python3").arg(script).arg(seed).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let case: Value = serde_json::from_slice(&output.stdout).unwrap();
        for view in case["views"].as_object().unwrap().keys() {
            check_against_python(&case, view, seed);
        }
        check_expectations_against_python(&case, seed);
    }
}

/// The project of the logs that are reckoned with.
fn project_of(case: &Value) -> Project {
    let lines = case["logs"].as_array().unwrap();
    let text: String = lines.iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect();
    let project = Project::new().logs("a.ndjson", text);
    let columns = ["a", "b"]
        .map(|name| format!("\n[[column]]\nname = \"{name}\"\ntype = \"string\"\n"))
        .concat();
    let id = "[[column]]\nname = \"id\"\ntype = \"int64\"\nrequired = true\n";
    project.write("shop/contract.toml", format!("{id}{columns}"));
    project
}

fn check_against_python(case: &Value, view: &str, seed: &str) {
    let lines = case["logs"].as_array().unwrap();
    let project = project_of(case);
    project.write("shop/rows.sql", case["views"][view].as_str().unwrap());
    let output = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
    let project = project.pipeline_with("max_reject_ratio = 1.0", "", &output);
    project.run().published();

    let rows = project.rows();
    let mut found: BTreeMap<(String, String), &str> = BTreeMap::new();
    for row in &rows {
        let [kind, id, value] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let known = found.insert((kind.to_owned(), id.to_owned()), value);
        assert!(known.is_none(), "{row} twice");
    }
    for (kind, values) in case["expected"][view].as_object().unwrap() {
        for line in lines {
            let line: Value = serde_json::from_str(line.as_str().unwrap()).unwrap();
            let id = line["id"].to_string();
            let found = found.remove(&(kind.clone(), id.clone()));
            let (expected, may_fail) = match values.get(&id) {
                Some(Value::Array(value)) => (value[0].as_str(), true),
                Some(value) => (value.as_str(), false),
                None => (None, false),
            };
            let double = |text: Option<&str>| text.map(|text| text.parse::<f64>().unwrap());
            let is_same = found == expected
                || (kind.starts_with("double") && double(found) == double(expected));
            let agrees = is_same || (may_fail && found.is_none());
            assert!(
                agrees,
                "seed {seed}, {kind} of {line}: expected {expected:?}, found {found:?}"
            );
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

fn check_expectations_against_python(case: &Value, seed: &str) {
    let project = project_of(case);
    project.write("shop/rows.sql", case["expectations"]["view"].as_str().unwrap());
    let checks = case["expectations"]["checks"].as_object().unwrap();
    let output = |(name, check): (&String, &Value)| {
        format!(
            "[[output]]\nname = \"{name}\"\nview = \"rows\"\nlocation = \"${{OUT}}/{name}\"\n\
             formats = [\"tsv\"]\n[output.tsv]\ncompression = \"none\"\n\
             [[output.expectation]]\nname = \"large\"\npredicate = {}\non_fail = \"reject\"\n",
            check["predicate"]
        )
    };
    let outputs: String = checks.iter().map(output).collect();
    let project = project.pipeline_with("max_reject_ratio = 1.0", "", &outputs);
    project.run().published();
    let records = project.quarantine();
    for (name, check) in checks {
        let ids = |fate: &str| -> Vec<u64> {
            check[fate].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
        };
        let rejects = |reason: &str| -> Vec<u64> {
            let is_one = |record: &&Value| record["output"] == *name && record["reason"] == reason;
            let id = |record: &Value| record["line"].as_u64().unwrap() - 1;
            let mut ids: Vec<u64> = records.iter().filter(is_one).map(id).collect();
            ids.sort_unstable();
            ids
        };
        let rows = tsv_lines(&project.path(&format!("out/{name}")));
        let id = |row: &String| row.split('\t').next().unwrap().parse().unwrap();
        let mut kept: Vec<u64> = rows.iter().map(id).collect();
        kept.sort_unstable();
        let what = format!("seed {seed}, {}", check["predicate"]);
        assert_eq!(rejects("evaluation_error"), ids("failed"), "{what}: failed");
        assert_eq!(rejects("expectation"), ids("broken"), "{what}: broken");
        assert_eq!(kept, ids("kept"), "{what}: kept");
    }
}

#[test]
fn a_value_that_no_file_can_hold_is_a_reject_and_the_other_rows_go_on() {
    let lines = [1, 2, 3].map(|n| json!({"id": n, "at": "2026-11-21T00:00:00Z"}));
    let seconds = |number: u64| format!("arrow_cast({number}, 'Timestamp(Second, None)')");
    let unsigned = |number: u64| format!("arrow_cast({number}, 'UInt64')");
    for (odd, sound, shown) in [
        (unsigned(1 << 63), unsigned(1), "9223372036854775808"),
        (seconds(9_000_000_000_000_000), seconds(1), "9000000000000000"),
    ] {
        let view =
            format!("SELECT id, CASE WHEN id = 2 THEN {odd} ELSE {sound} END AS t FROM logs");
        let record = rejected(&view, lines.clone());
        assert!(record["message"].as_str().unwrap().contains(shown), "{record}");
    }
    let year = "CASE WHEN id = 2 THEN at + INTERVAL '9000 years' ELSE at END AS t";
    let project = project(&format!("SELECT id, {year}, _source, _line FROM logs"), &lines);
    assert_eq!(project.run().published()["outputs"]["rows"]["evaluation_error"], 1);
    let record = project.quarantine().remove(0);
    assert_eq!((&record["line"], &record["row"]["id"]), (&json!(2), &json!(2)), "{record}");
    assert!(record["message"].as_str().unwrap().contains("a year from 0001 to 9999"), "{record}");
}

#[test]
fn a_list_that_no_file_can_hold_is_a_reject_and_its_neighbours_are_not() {
    let lines = [1, 2, 3].map(|n| json!({"id": n}));
    let list = "make_array(CASE WHEN id = 2 THEN arrow_cast(9223372036854775808, 'UInt64') \
                ELSE arrow_cast(id, 'UInt64') END)";
    let project = project(&format!("SELECT id, {list} AS t, _source, _line FROM logs"), &lines);
    let result = project.pipeline(&OUTPUT.replace("tsv", "parquet")).run().published();
    assert_eq!(result["outputs"]["rows"]["rows"], 2);
    assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1);
}

#[test]
fn a_shift_loses_no_bit() {
    let lines = [1, 3, 1].map(|n| json!({"id": n, "amount": n, "small": n}));
    for (expression, shown) in [
        ("amount << 62", "(amount << 62)"),
        ("small << CAST(30 AS INT)", "(small << 30)"),
        ("1 << (amount * 32)", "(1 << (amount * 32))"),
        ("1 >> (amount * 32)", "(1 >> (amount * 32))"),
        ("amount << (2 - amount)", "(amount << (2 - amount))"),
    ] {
        let record = rejected(&format!("SELECT id, {expression} AS x FROM logs"), lines.clone());
        assert_eq!(record["expression"], shown);
    }
    let view = "SELECT amount << 3 AS a, -amount << 3 AS b, -amount >> 1 AS c FROM logs";
    let project = project(view, &lines);
    project.run().published();
    assert_eq!(project.rows()[0], "24\t-24\t-2");
}

#[test]
fn a_comparison_sees_what_a_cast_gives_and_not_what_it_was_given() {
    let lines = [
        json!({"id": 1, "amount": 3, "exact": 4}),
        json!({"id": 2, "amount": 5_000_000_000_i64, "exact": 12_345_678}),
        json!({"id": 3, "amount": 4, "exact": 15}),
    ];
    for view in [
        "SELECT id FROM logs WHERE CAST(amount AS INT) < 10",
        "SELECT id FROM logs WHERE CAST(amount AS INT) IN (3, 4)",
        "SELECT id FROM logs WHERE CAST(amount AS INT) BETWEEN 1 AND 9",
        "SELECT id FROM (SELECT id, CAST(amount AS INT) AS x FROM logs) WHERE x < 10",
        "SELECT id, CASE WHEN CAST(amount AS INT) > 3 THEN 'y' END AS x FROM logs",
        "SELECT id FROM logs WHERE CAST(exact AS DECIMAL(5,0)) > 3",
        "SELECT id, CAST(CAST(amount AS DECIMAL(9,0)) AS BIGINT) > 3 AS x FROM logs",
    ] {
        let record = rejected(view, lines.clone());
        let shown = record["expression"].as_str().unwrap();
        assert!(shown.contains("CAST(") && !shown.contains("kept"), "{shown}");
    }
    for (view, expected) in [
        ("SELECT id FROM logs WHERE TRY_CAST(amount AS INT) > 3", "3"),
        ("SELECT id FROM logs WHERE (TRY_CAST(amount AS INT) > 3) IS NULL", "2"),
        ("SELECT id FROM logs WHERE CAST(CAST(amount AS DECIMAL(20,1)) / 2 AS BIGINT) = 1", "1"),
        ("SELECT id FROM logs WHERE CAST(CAST(exact AS DECIMAL(38,2)) / 4 AS INT) > 3", "2"),
        ("SELECT id FROM logs WHERE CAST(exact AS DECIMAL(38,0)) / 10 > 1", "2 3"),
    ] {
        let project = project(view, &lines);
        project.run().published();
        assert_eq!(project.rows(), expected.split(' ').collect::<Vec<_>>(), "{view}");
    }
}

#[test]
fn a_text_is_padded_to_no_length_if_that_is_negative() {
    let lines = [-1, 3, i64::MIN].map(|n| json!({"id": 1, "name": "abcd", "amount": n}));
    let view = "SELECT '<' || lpad(name, amount, 'x') || rpad('', amount, name) || \
                lpad('a', -2) || '>' AS x FROM logs";
    let project = project(view, &lines);
    project.run().published();
    assert_eq!(project.rows(), ["<>", "<>", "<abcabc>"]);
}

#[test]
fn an_instant_is_read_from_a_text_and_one_that_is_none_is_a_reject() {
    let lines = ["2026-11-21T13:05:00+09:00", "noon", "2026-11-21"]
        .map(|text| json!({"id": 1, "name": text}));
    for unit in ["", "_seconds", "_millis", "_micros", "_nanos"] {
        let record =
            rejected(&format!("SELECT to_timestamp{unit}(name) AS x FROM logs"), lines.clone());
        assert!(record["message"].as_str().unwrap().contains("noon"), "{record}");
        let view = format!("SELECT to_timestamp{unit}(name) AS x FROM logs WHERE name <> 'noon'");
        let project = project(&view, &lines);
        project.run().published();
        assert_eq!(project.rows(), ["2026-11-21 00:00:00", "2026-11-21 04:05:00"], "{unit}");
    }
}
