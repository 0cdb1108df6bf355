//! A table's shape is all of its shape: names, types, places, partitions, formats and roots.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{Finished, Project, files_below};

/// Two rows of a day.
const LOGS: &str =
    "{\"id\":1,\"name\":\"a\",\"amount\":10}\n{\"id\":2,\"name\":\"b\",\"amount\":20}\n";
const POLICIES: [&str; 3] = ["freeze", "allow_added", "any"];

/// One output with keys of its own.
fn output(formats: &str, keys: &str) -> String {
    let plain = match formats.contains("tsv") {
        true => "[output.tsv]\ncompression = \"none\"\n",
        false => "",
    };
    format!(
        "[[output]]\nname = \"rows\"\nlocation = \"${{OUT}}/rows\"\nformats = {formats}\n\
         exclude = [\"_source\", \"_line\"]\n{keys}\n{plain}"
    )
}

fn policy(policy: &str) -> String {
    format!("on_schema_change = \"{policy}\"\n")
}

fn view(columns: &str) -> String {
    format!("SELECT {columns}, _source, _line FROM logs")
}

/// A project of which a day is published; the next one has logs, too.
fn published(pipeline: &str, columns: &str) -> Project {
    let project = Project::new().pipeline(pipeline).logs("a.ndjson", LOGS);
    project.write("logs/dt=2026-11-22/a.ndjson", LOGS);
    project.write("shop/rows.sql", view(columns));
    project.run().published();
    project
}

fn next_day(project: &Project) -> Finished {
    project.ashiato("run", &["--date", "2026-11-22"])
}

#[test]
fn in_tsv_a_column_that_leaves_its_place_is_refused_by_every_policy() {
    let moved = [
        ("name, id, amount", "`name` was number 2 of its columns and is number 1"),
        ("id, 1 AS new, name, amount", "`new` is new and takes the place of `name`"),
        ("id, amount", "`amount` was number 3"),
    ];
    for name in POLICIES {
        let project = published(&output("[\"tsv\"]", &policy(name)), "id, name, amount");
        let before = files_below(&project.path("out/rows"));
        for (columns, why) in moved {
            project.write("shop/rows.sql", view(columns));
            let finished = next_day(&project);
            finished.fails_with(78, &["pipeline.toml:", "output `rows`, tsv", why, "`location`"]);
        }
        assert_eq!(files_below(&project.path("out/rows")), before, "nothing was touched");
    }
}

#[test]
fn in_tsv_a_new_column_goes_last_wherever_the_partition_columns_are_selected() {
    let with = output("[\"tsv\"]", "partition_by = [\"name\"]");
    let project = published(&with, "id, amount, name");
    project.write("shop/rows.sql", view("id, amount, name, 7 AS seven"));
    let changes = next_day(&project).published()["outputs"]["rows"]["column_changes"].clone();
    assert_eq!(changes["added"], json!([{ "name": "seven", "type": "Int64" }]));
    project.write("shop/rows.sql", view("name, id, amount, 7 AS seven, 8 AS eight"));
    project.run().published();
    assert_eq!(project.rows(), ["1\t10\t7", "1\t10\t7\t8", "2\t20\t7", "2\t20\t7\t8"]);
}

#[test]
fn in_tsv_the_place_of_a_column_that_is_no_more_is_not_given_to_another() {
    let project = published(&output("[\"tsv\"]", &policy("any")), "id, name, amount");
    project.write("shop/rows.sql", view("id, name"));
    next_day(&project).published();
    project.write("shop/rows.sql", view("id, name, 1 AS other"));
    let why = "`other` is new and takes the place of `amount`, number 3";
    project.run().fails_with(78, &[why, "as NULL"]);
    project.write("shop/rows.sql", view("id, name, CAST(NULL AS BIGINT) AS amount, 1 AS other"));
    project.run().published();
}

#[test]
fn in_parquet_columns_are_found_by_name_so_their_order_is_free() {
    let project = published(&output("[\"parquet\"]", &policy("freeze")), "id, name, amount");
    project.write("shop/rows.sql", view("amount, id, name"));
    next_day(&project).published();
    project.write("shop/rows.sql", view("amount, id, name, 1 AS new"));
    project.run().fails_with(78, &["added `new` Int64", "freeze"]);
}

#[test]
fn other_partition_columns_at_the_same_place_are_refused_by_every_policy() {
    let by = |columns: &str, name: &str| {
        let keys = format!("partition_by = {columns}\n{}", policy(name));
        output("[\"parquet\", \"tsv\"]", &keys)
    };
    for name in POLICIES {
        let mut project = published(&by("[\"name\"]", name), "id, name, amount");
        for columns in ["[\"name\", \"id\"]", "[\"id\", \"name\"]", "[\"id\"]", "[]"] {
            project = project.pipeline(&by(columns, name));
            let texts = ["parquet: it was partitioned by `name`", "tsv: it was", "`location`"];
            next_day(&project).fails_with(78, &texts);
        }
        let elsewhere = by("[\"name\", \"id\"]", name).replace("${OUT}/rows", "${OUT}/anew");
        next_day(&project.pipeline(&elsewhere)).published();
    }
}

#[test]
fn formats_that_would_move_a_tables_root_are_refused_by_every_policy() {
    let changes = [
        ("[\"parquet\"]", "[\"parquet\", \"tsv\"]", "was published at"),
        ("[\"tsv\"]", "[\"parquet\", \"tsv\"]", "was published at"),
        ("[\"parquet\", \"tsv\"]", "[\"parquet\"]", "was published at"),
        ("[\"parquet\"]", "[\"tsv\"]", "holds parquet"),
        ("[\"tsv\"]", "[\"parquet\"]", "holds tsv"),
    ];
    for (before, after, why) in changes {
        for name in POLICIES {
            let project = published(&output(before, &policy(name)), "id, name, amount");
            let files = files_below(&project.path("out/rows"));
            let project = project.pipeline(&output(after, &policy(name)));
            next_day(&project).fails_with(78, &["output `rows`", why, "`location`"]);
            project.run().fails_with(78, &[why]);
            assert_eq!(files_below(&project.path("out/rows")), files, "{before} to {after}");
        }
    }
}

#[test]
fn a_second_format_in_an_output_of_its_own_is_fine_and_so_is_another_location() {
    let parquet = output("[\"parquet\"]", "");
    let project = published(&parquet, "id, name, amount");
    let tsv = output("[\"tsv\"]", "view = \"rows\"")
        .replace("name = \"rows\"", "name = \"text\"")
        .replace("${OUT}/rows", "${OUT}/text");
    let project = project.pipeline(&format!("{parquet}{tsv}"));
    project.run().published();
    let project = project.pipeline(&output("[\"parquet\", \"tsv\"]", "").replace("/rows", "/both"));
    project.run().published();
    // What lies at the first place is known for good.
    let project = project.pipeline(&output("[\"tsv\"]", ""));
    project.run().fails_with(78, &["holds parquet"]);
    project.pipeline(&parquet).run().published();
}

#[test]
fn a_location_within_the_old_one_is_refused_also_through_a_link_until_the_old_one_is_gone() {
    let mut project = published(&output("[\"parquet\"]", ""), "id, name, amount");
    symlink(project.path("out/rows"), project.path("out/link")).unwrap();
    for within in ["${OUT}/rows/v2", "${OUT}/link/v2"] {
        project = project.pipeline(&output("[\"parquet\"]", "").replace("${OUT}/rows", within));
        next_day(&project).fails_with(78, &["was published at", "keep `formats` and `location`"]);
    }
    std::fs::remove_dir_all(project.path("out/rows")).unwrap();
    project = project.pipeline(&output("[\"parquet\"]", "").replace("/rows", "/rows/v2"));
    next_day(&project).published();
}

#[test]
fn the_same_place_by_another_name_is_the_same_table() {
    let mut project = published(&output("[\"tsv\"]", ""), "id, name, amount");
    symlink(project.path("out/rows"), project.path("out/link")).unwrap();
    for place in ["${OUT}/rows/", "${OUT}/./rows", "${OUT}/link", "file://${OUT}/rows"] {
        project = project.pipeline(&output("[\"tsv\"]", "").replace("${OUT}/rows", place));
        project.run_again().published();
        assert_eq!(project.rows(), ["1\ta\t10", "2\tb\t20"], "{place}: a rerun replaces");
    }
}

/// A list of structs, as the contract has it.
fn items(fields: &[&str]) -> String {
    let field = |name: &&str| format!("[[column.item]]\nname = \"{name}\"\ntype = \"string\"\n");
    let fields: String = fields.iter().map(field).collect();
    format!("{}[[column]]\nname = \"items\"\ntype = \"list\"\n{fields}", crate::support::CONTRACT)
}

fn changes(finished: &Finished) -> Value {
    finished.published()["outputs"]["rows"]["column_changes"].clone()
}

#[test]
fn a_field_that_a_struct_in_a_list_gains_is_added_and_not_retyped() {
    let line = "{\"id\":1,\"items\":[{\"sku\":\"x\",\"note\":\"n\",\"by\":\"b\"}]}\n";
    let project = Project::new().pipeline(&output("[\"parquet\"]", "")).logs("a.ndjson", line);
    project.write("shop/contract.toml", items(&["sku", "by"]));
    let struct_of = |fields| view(&format!("id, items, struct({fields}) AS s"));
    project.write("shop/rows.sql", struct_of("id"));
    project.run().published();
    project.write("shop/contract.toml", items(&["sku", "by", "note"]));
    project.write("shop/rows.sql", struct_of("id, name"));
    let changes = changes(&project.run());
    let added = ["items[].note", "s.c1"].map(|name| json!({ "name": name, "type": "Utf8" }));
    assert_eq!((&changes["added"], &changes["retyped"]), (&json!(added), &json!([])));

    project.write("shop/contract.toml", items(&["note", "by", "sku"]));
    assert!(changes_of_next(&project).is_null(), "their order is free");
    project.write("shop/contract.toml", items(&["sku", "note"]));
    project.run().fails_with(78, &["removed `items[].by` Utf8"]);
    let project = project.pipeline(&output("[\"parquet\"]", &policy("freeze")));
    project.write("shop/contract.toml", items(&["sku", "by", "note", "more"]));
    project.run().fails_with(78, &["added `items[].more` Utf8"]);
}

fn changes_of_next(project: &Project) -> Value {
    changes(&project.run_again())
}

#[test]
fn timestamps_in_another_form_are_another_type() {
    let target = |target: &str, name: &str| {
        format!(
            "{}[output.parquet]\ntarget = \"{target}\"\n",
            output("[\"parquet\"]", &policy(name))
        )
    };
    let mut project = published(&target("spark", "allow_added"), "id, at");
    project = project.pipeline(&target("duckdb", "allow_added"));
    next_day(&project).published();
    project = project.pipeline(&target("hive2", "allow_added"));
    next_day(&project).fails_with(78, &["retyped `at`", "as int64 →", "as int96"]);
    next_day(&project.pipeline(&target("hive2", "any"))).published();
}

#[test]
fn an_output_that_takes_the_place_of_another_one_is_refused() {
    let named = |name: &str, place: &str| {
        output("[\"parquet\"]", &format!("view = \"rows\"\n{}", policy("any")))
            .replace("name = \"rows\"", &format!("name = \"{name}\""))
            .replace("${OUT}/rows", &format!("${{OUT}}/{place}"))
    };
    let both = |a, b| format!("{}{}", named("a", a), named("b", b));
    let project = published(&both("x", "y"), "id, name, amount");
    let project = project.pipeline(&both("y", "x"));
    next_day(&project).fails_with(78, &["holds `b.parquet`", "holds `a.parquet`", "elsewhere now"]);
    // Under another name only, it is the same table.
    next_day(&project.pipeline(&named("c", "x"))).published();
}
