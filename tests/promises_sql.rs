//! SQL files: views read views, parameters are typed, reference tables can be joined.

use crate::support::{OUTPUT, Project};

const LOGS: &str =
    "{\"id\":1,\"name\":\"a\",\"amount\":10}\n{\"id\":2,\"name\":\"b\",\"amount\":20}\n";

#[test]
fn views_read_views_whatever_the_order_of_their_names() {
    let project = Project::new().logs("a.ndjson", LOGS);
    project.write("shop/zz_base.sql", "-- the base\nSELECT *, amount * 2 AS twice FROM logs;\n");
    project.write("shop/rows.sql", "SELECT id, twice, _source, _line FROM zz_base\n");
    project.run().published();
    assert_eq!(project.rows(), ["1\t20", "2\t40"]);
}

#[test]
fn parameters_and_the_intervals_bounds_are_typed_values() {
    let parameters = "[parameters]\nleast = { type = \"int64\", default = 0 }\n\
                      label = { type = \"string\", default = \"x\" }\n";
    let project = Project::new().logs("a.ndjson", LOGS).pipeline(&format!("{OUTPUT}{parameters}"));
    project.write(
        "shop/rows.sql",
        "SELECT id, $label AS label, to_char($interval_start, '%Y-%m-%dT%H:%M') AS s, \
         arrow_typeof($interval_end) AS t, _source, _line FROM logs WHERE amount >= $least\n",
    );
    let hostile = "label='; DROP TABLE logs; --";
    let arguments = ["--date", "2026-11-21", "--param", "least=15", "--param", hostile];
    project.ashiato("run", &arguments).published();
    let row = &project.rows()[0];
    assert!(row.starts_with("2\t'; DROP TABLE logs; --\t2026-11-20T15:00\tTimestamp("), "{row}");
    assert_eq!(project.rows().len(), 1);
    project
        .ashiato("run", &["--date", "2026-11-21", "--param", "least=many"])
        .fails_with(64, &["expected a 64-bit integer, found `many`"]);
}

#[test]
fn a_parameter_without_default_must_be_given() {
    let parameters = "[parameters]\nleast = { type = \"int64\" }\n";
    let project = Project::new().logs("a.ndjson", LOGS).pipeline(&format!("{OUTPUT}{parameters}"));
    project.run().fails_with(64, &["`least`", "--param least=VALUE"]);
}

#[test]
fn reference_tables_of_each_format_can_be_joined() {
    for (file, format, text) in [
        ("names.csv", "csv", "name,label\na,Anna\nb,Bernd\n"),
        (
            "names.ndjson",
            "ndjson",
            "{\"name\":\"a\",\"label\":\"Anna\"}\n{\"name\":\"b\",\"label\":\"Bernd\"}\n",
        ),
    ] {
        let reference = format!(
            "[[reference]]\nname = \"names\"\nlocation = \"${{PIPELINE_DIR}}/{file}\"\n\
             format = \"{format}\"\n"
        );
        let project =
            Project::new().logs("a.ndjson", LOGS).pipeline(&format!("{OUTPUT}{reference}"));
        project.write(&format!("shop/{file}"), text);
        project.write(
            "shop/rows.sql",
            "SELECT l.id, n.label, l._source, l._line FROM logs l JOIN names n USING (name)\n",
        );
        project.run().published();
        assert_eq!(project.rows(), ["1\tAnna", "2\tBernd"], "{format}");
    }
}

#[test]
fn a_total_without_a_place_says_which_and_publishes_nothing() {
    let project = Project::new().logs("a.ndjson", LOGS);
    project.write(
        "shop/rows.sql",
        "SELECT sum(CAST(repeat('9', 38) AS DECIMAL(38,0))) AS id, '' AS _source, 1 AS _line \
         FROM logs\n",
    );
    let parts = ["output rows", "expression sum(", "that fits DECIMAL(38, 0), found 1999999"];
    project.run().fails_with(65, &parts);
    project.run().fails_with(65, &["nothing was published"]);
    assert!(!project.path("out/rows").exists());
}

#[test]
fn an_unknown_tax_category_is_a_counted_warning_or_an_error_that_names_the_row() {
    let view = "SELECT id, consumption_tax(amount, name, TIMESTAMP '2026-11-21T00:00:00') AS tax, \
                _source, _line FROM logs\n";
    let project = Project::new().logs("a.ndjson", LOGS);
    project.write("shop/rows.sql", view);
    let result = project.run().published();
    assert_eq!(project.rows(), ["1\t\\N", "2\t\\N"]);
    let warnings = result["enrichment"]["warnings"].as_object().unwrap();
    assert_eq!(warnings.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 2, "{warnings:?}");
    let strict = format!("{OUTPUT}[enrichment]\ntax_unknown = \"error\"\n");
    let project = project.pipeline(&strict);
    project.run().fails_with(65, &["unknown category \"a\"", "a.ndjson", "line 1"]);
}

#[test]
fn an_output_reads_only_the_columns_that_its_views_use() {
    let project = Project::new().logs("a.ndjson", LOGS);
    project.write("shop/base.sql", "SELECT * FROM logs");
    project.write("shop/rows.sql", "SELECT id, _source, _line FROM base WHERE amount > 15\n");
    let finished = project.ashiato("run", &["--date", "2026-11-21", "--dry-run"]);
    let plan = &finished.result()["plan"]["outputs"][0];
    assert_eq!(plan["reads"], serde_json::json!(["id", "amount", "_source", "_line"]), "{plan:#}");
    assert_eq!(plan["shares_scan"], true);
    project.run().published();
    assert_eq!(project.rows(), ["2"]);
}

#[test]
fn a_function_whose_fields_are_taken_one_by_one_is_called_once_a_row() {
    let project = Project::new().logs("a.ndjson", LOGS);
    project.write(
        "shop/rows.sql",
        "WITH parsed AS (SELECT *, parse_user_agent(name) AS agent FROM logs)\n\
         SELECT id, agent['browser'] AS browser, agent['os'] AS os, agent['bot'] AS bot, _source, \
         _line FROM parsed\n",
    );
    let mut command = project.command("run", &crate::support::DAY);
    let finished = crate::support::finish(command.env("ASHIATO_LOG", "debug"));
    finished.published();
    let calls = finished.stderr.matches("parse_user_agent(").count();
    assert_eq!(calls, 1, "the plan in {}", finished.stderr);
}
