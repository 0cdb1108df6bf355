//! What SQL cannot be evaluated on: how much of it is too much, how it is shown, what it ends.

use serde_json::{Value, json};

use crate::support::{OUTPUT, Project};

const CONTRACT: &str = r#"
[[column]]
name = "n"
type = "int64"

[[column]]
name = "k"
type = "string"

[[column]]
name = "v"
type = "string"

[[column]]
name = "m"
type = "decimal(38,4)"

[[column]]
name = "t"
type = "timestamp"

[[column]]
name = "d"
type = "date"

[[column]]
name = "f"
type = "float64"
"#;

/// A project whose view is `view`, over lines that are numbered by `_line`.
fn project(view: &str, lines: &[Value]) -> Project {
    project_with(view, lines, "", "")
}

fn project_with(view: &str, lines: &[Value], thresholds: &str, expectation: &str) -> Project {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let project = Project::new().logs("a.ndjson", text);
    project.write("shop/contract.toml", CONTRACT);
    project.write("shop/rows.sql", format!("{view}\n"));
    let output = if view.contains("_source, _line") {
        OUTPUT.to_owned()
    } else {
        OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "")
    };
    project.pipeline_with(thresholds, "", &format!("{output}{expectation}"))
}

/// 20,000 lines, of which `kept` have `k` = `x`; every other `n` is 0.
fn many(kept: usize) -> Vec<Value> {
    let line = |number: usize| json!({"n": number % 2, "k": if number < kept { "x" } else { "y" }, "v": "1"});
    (0..20_000).map(line).collect()
}

#[test]
fn a_place_that_sees_many_rows_does_not_hide_that_another_fails_on_all_of_its_few() {
    let lines = many(200);
    for view in [
        // A filter above, below and beside what fails; groups; windows; joins; one of two queries.
        "SELECT 100 / (n - n) AS x FROM logs WHERE upper(k) = 'X'",
        "SELECT k, 100 / (sum(n) - sum(n)) AS x FROM logs WHERE upper(k) >= 'X' GROUP BY k",
        "SELECT k FROM logs WHERE upper(k) >= 'X' GROUP BY k HAVING 1 / (count(*) - count(*)) > 0",
        "SELECT sum(100 / (n - n)) AS x FROM logs WHERE upper(k) = 'X'",
        "SELECT sum(100 / (n - n)) OVER (ORDER BY n) AS x FROM logs WHERE upper(k) = 'X'",
        "SELECT 1 / (a.n - b.n) AS x FROM (SELECT DISTINCT n, k FROM logs WHERE upper(k) = 'X') a \
         JOIN (SELECT DISTINCT n FROM logs WHERE lower(k) = 'y') b ON a.n = b.n",
        "SELECT 100 / (n - n) AS x FROM logs WHERE upper(k) = 'X' \
         UNION ALL SELECT n AS x FROM logs WHERE upper(k) = 'Y'",
    ] {
        let finished = project(view, &lines).run();
        finished
            .fails_with(65, &["output rows", "nothing was published", "could not be evaluated"]);
    }
}

#[test]
fn each_place_of_a_query_is_held_against_the_ratio_of_its_own_rows() {
    let lines = many(200);
    let half = "SELECT 100 / n AS x FROM logs WHERE upper(k) = 'X'";
    for thresholds in ["", "max_reject_ratio = 0.01", "max_reject_ratio = 0.49"] {
        let finished = project_with(half, &lines, thresholds, "").run();
        finished.fails_with(65, &["output rows", "found 100 of 200"]);
    }
    let result = project_with(half, &lines, "max_reject_ratio = 0.5", "").run().published();
    let output = &result["outputs"]["rows"];
    assert_eq!((&output["rows"], &output["evaluation_error"]), (&json!(100), &json!(100)));
    assert_eq!(output["rows_evaluated"], 20_000);
    // Rows of the view count by themselves, too: the filter does not hide broken ones.
    let view = "SELECT n, _source, _line FROM logs WHERE upper(k) = 'X'";
    let expectation = "[[output.expectation]]\nname = \"e\"\npredicate = \"n > 0\"\n\
                       on_fail = \"reject\"\n";
    let finished = project_with(view, &lines, "max_reject_ratio = 0.49", expectation).run();
    finished.fails_with(65, &["found 100 of 200"]);
}

#[test]
fn few_failures_of_many_are_published_and_few_of_a_few_are_no_share() {
    let lines: Vec<Value> = (0..100).map(|n| json!({"n": n, "k": "x", "v": "1"})).collect();
    for view in [
        "SELECT 100 / n AS x FROM logs WHERE upper(k) = 'X'",
        // One of four in one place, by the default share: ten are taken, but never all.
        "SELECT 100 / n AS x FROM logs WHERE upper(k) = 'X' AND n < 4",
    ] {
        let result = project(view, &lines).run().published();
        assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1, "{view}");
    }
    // Nothing is left.
    let none = "SELECT 100 / n AS x FROM logs WHERE upper(k) = 'X' AND n < 1";
    project(none, &lines).run().fails_with(65, &["expected some that are not rejected"]);
}

#[test]
fn shards_count_each_place_together() {
    let lines = many(200);
    let view = "SELECT 100 / n AS x FROM logs WHERE upper(k) = 'X'";
    let project = project_with(view, &lines[..100], "max_reject_ratio = 0.3", "");
    let more = |name: &str, lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let folder = "logs/dt=2026-11-21/";
        project.write(&format!("{folder}{name}"), text);
    };
    more("b.ndjson", &lines[100..200]);
    more("c.ndjson", &lines[200..]);
    let day = crate::support::DAY;
    for shard in ["0/3", "1/3", "2/3"] {
        let finished = project.ashiato("run", &[&day[..], &["--shard", shard]].concat());
        assert_eq!(finished.code, Some(0), "{finished:#?}");
    }
    let finished = project.ashiato("publish", &[&day[..], &["--shards", "3"]].concat());
    finished.fails_with(65, &["output rows", "found 100 of 200"]);
}

#[test]
fn a_row_is_a_reject_whatever_its_values_are_and_its_record_shows_them() {
    let lines = [json!({"n": 5}), json!({"n": i64::MAX})];
    let shown = "9223372036854775807 (Timestamp(s, \"UTC\"))";
    let project = project("SELECT to_timestamp_seconds(n) AS a FROM logs", &lines);
    let result = project.run().published();
    assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1);
    assert_eq!(project.quarantine()[0]["row"]["a"], shown);
    // Within a list and a struct, and where an expectation rejects.
    let expectation = "[[output.expectation]]\nname = \"e\"\npredicate = \"n < 9\"\n\
                       on_fail = \"reject\"\n";
    let view = "SELECT n, arrow_cast(n, 'Timestamp(Second, None)') AS a, _source, _line FROM logs";
    let project = project_with(view, &lines, "", expectation);
    assert_eq!(project.run().published()["outputs"]["rows"]["rows"], 1);
    assert_eq!(project.quarantine()[0]["row"]["n"], i64::MAX);
    assert!(project.quarantine()[0]["row"]["a"].is_string(), "{:?}", project.quarantine());
    let view = "SELECT 10 / (n - 5) AS x, a['t'] AS t FROM (SELECT n, \
                named_struct('t', to_timestamp_seconds(9223372036854775807)) AS a FROM logs)";
    let project = self::project(view, &[json!({"n": 5}), json!({"n": 6})]);
    project.run().fails_with(65, &["found 2 of 2"]);
}

#[test]
fn a_number_of_38_digits_stands_in_the_quarantine_with_all_of_them() {
    let digits = "1234567890123456789012345678901234.5678";
    let lines = format!("{{\"m\":{digits},\"n\":1}}\n{{\"m\":0.5,\"n\":2}}\n");
    let project = Project::new().logs("a.ndjson", lines);
    project.write("shop/contract.toml", CONTRACT);
    project.write("shop/rows.sql", "SELECT m * 1000 AS x, n FROM logs\n");
    let output = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
    let project = project.pipeline(&output);
    project.run().published();
    let record = &project.quarantine()[0];
    assert_eq!(record["row"]["m"], digits, "{record}");
    let message = record["message"].as_str().unwrap();
    assert!(message.contains(&format!("{digits} * 1000")), "{message}");
}

#[test]
fn a_row_that_a_warning_cannot_be_evaluated_on_is_written_and_counted() {
    let lines: Vec<Value> = (0..30).map(|n| json!({"n": n})).collect();
    // The second has a part that the optimizer would compute by itself.
    for predicate in ["n / (n - 1) > -5", "n / (n - 1) > -5 AND n / (n - 1) < 5"] {
        let expectation = format!(
            "[[output.expectation]]\nname = \"e\"\npredicate = \"{predicate}\"\n\
             on_fail = \"warn\"\n"
        );
        let project = project_with("SELECT n, _source, _line FROM logs", &lines, "", &expectation);
        let result = project.run().published();
        let output = &result["outputs"]["rows"];
        assert_eq!((&output["rows"], &output["warned"]["e"]), (&json!(30), &json!(1)), "{output}");
        assert_eq!(output["evaluation_error"], 0, "{output}");
        assert_eq!(project.quarantine().len(), 0);
        // A row that the view itself cannot be evaluated on is no row.
        let view = "SELECT n, n / (n - 1) AS share, _source, _line FROM logs";
        let project = project_with(view, &lines, "", &expectation);
        assert_eq!(project.run().published()["outputs"]["rows"]["evaluation_error"], 1);
    }
}

#[test]
fn the_text_of_a_value_does_not_decide_the_exit_code() {
    let join = "SELECT a.n FROM logs a LEFT JOIN logs b ON CAST(a.v AS INT) + b.n > 1";
    let cube = "SELECT k, count(*) AS c FROM logs GROUP BY CUBE (CAST(v AS INT), k)";
    for value in ["No space left on device (os error 28)", "my regex", "offset overflow"] {
        let lines = [json!({"n": 1, "k": "a", "v": value})];
        project(join, &lines).run().fails_with(65, &["output rows", value]);
        project(cube, &lines).run().fails_with(65, &["output rows", value]);
    }
}

#[test]
fn a_row_that_a_key_of_grouping_sets_fails_on_is_a_reject() {
    let lines = ["1", "x", "1"].map(|v| json!({"n": 1, "k": "a", "v": v}));
    for (sets, rows) in [
        ("CUBE (CAST(v AS INT), k)", 4),
        ("ROLLUP (CAST(v AS INT), k)", 3),
        ("GROUPING SETS ((CAST(v AS INT)), (CAST(v AS INT), k))", 2),
    ] {
        let view =
            format!("SELECT CAST(v AS INT) AS v, k, count(*) AS c FROM logs GROUP BY {sets}");
        let project = project(&view, &lines);
        let result = project.run().published();
        assert_eq!(result["outputs"]["rows"]["rows"], rows, "{sets}: {result}");
        assert!(project.rows().iter().all(|row| row.ends_with("\t2")), "{:?}", project.rows());
        let record = &project.quarantine()[0];
        assert_eq!(record["line"], 2, "{record}");
        assert!(record["expression"].as_str().unwrap().contains("CAST(v"), "{record}");
    }
}

#[test]
fn a_pattern_that_is_too_large_is_the_reject_of_its_row() {
    let lines = [
        json!({"n": 1, "k": "xa", "v": "_a"}),
        json!({"n": 2, "k": "xa", "v": "_%a".repeat(200_000)}),
        json!({"n": 3, "k": "xa", "v": "b%"}),
    ];
    for (operator, rows) in [("LIKE", 1), ("NOT LIKE", 1), ("ILIKE", 1)] {
        let view = format!("SELECT n FROM logs WHERE k {operator} v");
        let project = project(&view, &lines);
        let result = project.run().published();
        assert_eq!(result["outputs"]["rows"]["rows"], rows, "{operator}: {result}");
        assert_eq!(result["outputs"]["rows"]["evaluation_error"], 1, "{operator}");
        assert_eq!(project.quarantine()[0]["line"], 2);
    }
}

/// What a function gives of the values of a frame.
type OfFrame = fn(&[f64]) -> f64;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviations(values: &[f64]) -> f64 {
    values.iter().map(|value| (value - mean(values)).powi(2)).sum()
}

#[test]
fn a_window_that_moves_forgets_what_has_left_it() {
    const FUNCTIONS: [(&str, OfFrame); 9] = [
        ("sum(f)", |values| values.iter().sum()),
        ("avg(f)", mean),
        ("var_pop(f)", |values| deviations(values) / values.len() as f64),
        ("var(f)", |values| deviations(values) / (values.len() - 1) as f64),
        ("stddev(f)", |values| (deviations(values) / (values.len() - 1) as f64).sqrt()),
        ("covar_pop(f, f)", |values| deviations(values) / values.len() as f64),
        ("corr(f, f)", |values| if deviations(values) > 0.0 { 1.0 } else { f64::NAN }),
        ("regr_avgx(f, f)", mean),
        ("regr_sxx(f, f)", deviations),
    ];
    // Frames that move by a row, by more, and with more rows than are kept at a time.
    for (count, before) in [(40, 1), (40, 7), (5000, 1500)] {
        let value = |row: usize| match row {
            5 => 1e150,
            _ => (row % 17) as f64 + 0.5,
        };
        let values: Vec<f64> = (0..count).map(value).collect();
        let lines = values.iter().enumerate().map(|(n, f)| json!({"n": n, "f": f}));
        let lines: Vec<Value> = lines.collect();
        let window = format!("OVER (ORDER BY n ROWS BETWEEN {before} PRECEDING AND CURRENT ROW)");
        let columns = FUNCTIONS.iter().enumerate();
        let columns: Vec<_> =
            columns.map(|(c, (sql, _))| format!("{sql} {window} AS c{c}")).collect();
        let project = project(&format!("SELECT n, {} FROM logs", columns.join(", ")), &lines);
        project.run().published();
        let rows = project.rows();
        assert_eq!(rows.len(), count);
        for row in rows {
            let mut cells = row.split('\t');
            let n: usize = cells.next().unwrap().parse().unwrap();
            let frame = &values[n.saturating_sub(before)..=n];
            for ((sql, of_frame), cell) in FUNCTIONS.iter().zip(cells) {
                let (found, expected) = (cell.parse::<f64>(), of_frame(frame));
                let is_same = match found {
                    Ok(found) => (found - expected).abs() <= 1e-9 * expected.abs(),
                    Err(_) => !expected.is_finite(),
                };
                let outlier = expected.is_finite() && expected.abs() < 1e100;
                assert!(
                    is_same || !outlier,
                    "{sql} of row {n}, {before} before: {cell}, {expected}"
                );
            }
        }
    }
}

#[test]
fn a_moving_average_of_integers_is_that_of_its_frame() {
    let numbers = [i64::MAX, 1, 2, 3, 4];
    let lines: Vec<Value> = (0..5).map(|row| json!({"f": row, "n": numbers[row]})).collect();
    let view = "SELECT CAST(f AS BIGINT) AS f, avg(n) OVER (ORDER BY f ROWS BETWEEN 1 PRECEDING AND \
                CURRENT ROW) AS a FROM logs";
    let project = project(view, &lines);
    project.run().published();
    assert_eq!(project.rows()[2..], ["2\t1.5", "3\t2.5", "4\t3.5"]);
}
