//! `ashiato check` finds all errors, each with its file and line, and touches no data.

use crate::support::{CONTRACT, OUTPUT, Project, files_below};

#[test]
fn a_sound_pipeline_is_ok_without_its_source() {
    let project = Project::new();
    std::fs::remove_dir_all(project.path("logs")).unwrap();
    let finished = project.ashiato("check", &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert_eq!(finished.result()["status"], "ok");
}

#[test]
fn all_errors_are_found_at_once_each_with_its_place() {
    let pipeline = OUTPUT
        .replace("formats = [\"tsv\"]", "formats = [\"tvs\"]\npartition_by = [\"nam\"]")
        + "[resources]\nthreds = 2\n[enrichment]\ntax_unknown = \"nul\"\n";
    let project = Project::new().pipeline(&pipeline);
    project.write(
        "shop/contract.toml",
        "[[column]]\nname = \"id\"\ntype = \"int46\"\n[[column]]\nname = \"b\"\ntyp = \"bool\"\n",
    );
    let finished = project.ashiato("check", &[]);
    finished.fails_with(
        78,
        &[
            "pipeline.toml:15:13",
            "unknown format `tvs`; did you mean `tsv`?",
            "unknown key `threds`; did you mean `threads`?",
            "unknown tax_unknown `nul`; did you mean `null`?",
            "contract.toml:3:",
            "int46",
            "did you mean `int64`?",
            "unknown key `typ`; did you mean `type`?",
        ],
    );
}

#[test]
fn sql_errors_name_file_line_and_column_and_near_names() {
    let project = Project::new();
    project.write("shop/a.sql", "SELECT id,\n       amonut\nFROM logs\n");
    project.write("shop/b.sql", "SELECT id\nFROM lugs\n");
    project.write("shop/c.sql", "SELECT id FROM WHERE\n");
    project.write("shop/d.sql", "SELECT $leest AS x FROM logs\n");
    project.write("shop/e.sql", "DELETE FROM logs\n");
    project.write("shop/f.sql", "SELECT consumption_tex(1, 'x', now()) AS t FROM logs\n");
    project.write("shop/g.sql", "SELECT * FROM h\n");
    project.write("shop/h.sql", "SELECT * FROM g\n");
    project.write("shop/i.sql", "SELECT id, name AS id FROM logs\n");
    let finished = project.ashiato("check", &[]);
    finished.fails_with(
        78,
        &[
            "a.sql:2:8: no column `amonut`; did you mean `amount`?",
            "b.sql:2:6: no table or view `lugs`; did you mean `logs`?",
            "c.sql:1:",
            "d.sql:1:8: no parameter `$leest`",
            "e.sql:1:1: expected one SELECT",
            "f.sql:1:",
            "consumption_tax",
            "g.sql:1:15: view `g` reads itself through `h`",
            "i.sql:1:",
        ],
    );
}

#[test]
fn outputs_and_expectations_are_type_checked() {
    let wrong = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv"]
partition_by = ["nmae"]
[[output.expectation]]
name = "a number"
predicate = "amount + 1"
[[output.expectation]]
name = "a typo"
predicate = "amuont > 1"
on_fail = "warn"
"#;
    let project = Project::new().pipeline(wrong);
    project.ashiato("check", &[]).fails_with(
        78,
        &[
            "view `rows` has no column `nmae`; did you mean `name`?",
            "expectation `a number`",
            "expected a predicate (true or false), found BIGINT",
            "expectation `a typo`",
            "did you mean `amount`?",
        ],
    );
}

#[test]
fn rejecting_rows_needs_to_know_where_they_come_from() {
    let output = OUTPUT.replace("exclude = [\"_source\", \"_line\"]\n", "")
        + "[[output.expectation]]\nname = \"e\"\npredicate = \"id > 0\"\n";
    let project = Project::new().pipeline(&output);
    project.write("shop/rows.sql", "SELECT id FROM logs\n");
    project.ashiato("check", &[]).fails_with(78, &["select `_source` and `_line`"]);
}

#[test]
fn state_and_quarantine_must_lie_outside_of_every_table() {
    let output = OUTPUT.replace("${OUT}/rows", "${OUT}");
    let project = Project::new().pipeline(&output);
    let finished = project.ashiato("check", &[]);
    finished.fails_with(78, &["quarantine", "state"]);
}

#[test]
fn an_undefined_variable_is_an_error_that_names_it_and_its_place() {
    let project = Project::new().pipeline(&OUTPUT.replace("${OUT}/rows", "${NOWHERE}/rows"));
    project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:", "NOWHERE is not set"]);
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let project = Project::new();
    std::fs::remove_file(project.path("shop/contract.toml")).unwrap();
    project.ashiato("check", &[]).fails_with(78, &["contract.toml", "cannot read"]);
    std::fs::remove_dir_all(project.path("shop")).unwrap();
    project.ashiato("check", &[]).fails_with(78, &["no such directory"]);
}

#[test]
fn a_corrupt_database_of_places_is_an_error_at_start() {
    let geoip = format!("{OUTPUT}[enrichment]\ngeoip = [\"${{PIPELINE_DIR}}/broken.mmdb\"]\n");
    let project = Project::new().pipeline(&geoip).logs("a.ndjson", "{\"id\":1}\n");
    project.write("shop/broken.mmdb", b"this is no database");
    project.write("shop/rows.sql", "SELECT idd FROM logs");
    // Named where it is named, and it does not hide what else is wrong.
    project.ashiato("check", &[]).fails_with(
        78,
        &[
            "pipeline.toml:20:11: ",
            "broken.mmdb: the GeoIP database cannot be used",
            "rows.sql:1:8",
        ],
    );
    project.run().fails_with(78, &["broken.mmdb"]);
}

#[test]
fn places_that_cannot_be_written_are_found_and_nothing_is_made() {
    let project = Project::new();
    project.write("out/a_file", "x");
    let output = OUTPUT.replace("${OUT}/rows", "${OUT}/a_file/rows");
    let project = project.pipeline(&output);
    let before = files_below(&project.path(""));
    let finished = project.ashiato("check", &[]);
    finished.fails_with(
        78,
        &["pipeline.toml:", "output `rows`, tsv:", "cannot be written", "Not a directory"],
    );
    assert_eq!(files_below(&project.path("")), before);
    let project = project.pipeline(OUTPUT);
    assert_eq!(project.ashiato("check", &[]).code, Some(0));
    assert_eq!(files_below(&project.path("")).len(), before.len());
    assert!(!project.path("out/state").exists() && !project.path("out/rows").exists());
}

#[test]
fn names_of_a_source_that_nothing_can_have_are_refused_with_their_place() {
    for (keys, words) in [
        ("glob = \"/raw/*.gz\"", "no name begins with `/`; write it from `path` on"),
        ("glob = \"../*\"", "no name has a part `..`"),
        ("glob = \"a**b\"", "`**` stands alone between `/`"),
        ("glob = \"x/\"", "objects are matched, not folders; write `/**`"),
        ("glob = 'x\\*.gz'", "separates no folders"),
        ("glob = \"_x*\"", "are not read"),
        ("glob = \"\"", "it is empty and would match nothing"),
    ] {
        let project = Project::new().pipeline_with("", keys, OUTPUT);
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:5:", words]);
    }
    let project = Project::new();
    let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", text.replace("dt=%Y-%m-%d/", "dt=yyyy-MM-dd/"));
    let finished = project.ashiato("check", &[]);
    finished.fails_with(78, &["pipeline.toml:4:", "a folder of this very name", "`%Y-%m-%d`"]);
}

#[test]
fn slips_of_a_configuration_are_answered_with_the_key_that_was_meant() {
    let with = |old: &str, new: &str| OUTPUT.replace(old, new);
    let formats = "formats = [\"tsv\"]";
    for (output, words) in [
        (with("[\"tsv\"]", "\"tsv\""), "`formats`: expected an array, found string; write it in"),
        (with(formats, &format!("{formats}\non_empty = \"keep\"")), "it belongs to `[source]`"),
        (with(formats, &format!("{formats}\norder_by = []")), "did you mean `sort_by`?"),
        (with("\"rows\"", "5"), "`name`: expected a string, found integer; write it in quotes"),
        (format!("{OUTPUT}[resources]\nmemory_limit = 4\n"), "256MiB (268435456 bytes), found 4"),
        (with("${OUT}", "hdfs://nn"), "`ashiato distcp --target` brings published tables"),
    ] {
        let project = Project::new().pipeline(&output);
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml", words]);
    }
    for (column, words) in [
        ("type = \"bigint\"", "did you mean `int64`?"),
        ("type = \"varchar\"", "did you mean `string`?"),
        ("type = \"array<string>\"", "`list` with `[[column.item]]`"),
        ("type = \"string\"\nnullable = false", "write `required = true`"),
        ("type = \"string\"\npath = \"$.a.b\"", "paths begin with the first key: write `a.b`"),
    ] {
        let project = Project::new();
        let contract = format!("{CONTRACT}[[column]]\nname = \"more\"\n{column}\n");
        project.write("shop/contract.toml", contract);
        project.ashiato("check", &[]).fails_with(78, &["contract.toml:", words]);
    }
}

#[test]
fn a_variable_that_is_not_set_is_the_only_finding_about_its_place() {
    let project = Project::new().pipeline(&OUTPUT.replace("${OUT}", "${NOWHERE}"));
    let finished = project.ashiato("check", &[]);
    finished.fails_with(78, &["environment variable NOWHERE is not set"]);
    assert!(!finished.stderr.contains("DistCp"), "{finished:#?}");
}

#[test]
fn a_path_that_several_times_share_is_refused_with_what_it_leaves_out() {
    for (path, what) in [
        ("%m/%d/", "no year"),
        ("%H/", "no year"),
        ("%Y/%H/", "an hour without its day"),
        ("%Y/%V/", "a week without its year"),
    ] {
        let project = Project::new();
        let file = project.path("shop/pipeline.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("dt=%Y-%m-%d/", path)).unwrap();
        let words = format!("`path` = `{path}`: it names {what}");
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:4:", &words]);
        project.run().fails_with(78, &["pipeline.toml:4:", &words]);
    }
}

#[test]
fn an_expectation_looks_at_one_row() {
    for predicate in ["sum(id) > 1", "count(*) > 0", "row_number() OVER () > 1"] {
        let expectation =
            format!("{OUTPUT}[[output.expectation]]\nname = \"e\"\npredicate = \"{predicate}\"\n");
        let project = Project::new().pipeline(&expectation);
        let finished = project.ashiato("check", &[]);
        finished.fails_with(78, &["expectation `e`", "compute it as a column of the view"]);
    }
}

#[test]
fn a_pipelines_name_has_room_in_the_names_of_the_states_files() {
    let named = |characters: usize| {
        let project = Project::new();
        let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
        let name = "n".repeat(characters);
        project.write("shop/pipeline.toml", format!("name = \"{name}\"\n{text}"));
        project
    };
    named(201).ashiato("check", &[]).fails_with(78, &["201 characters, at most 200", "shorter"]);
    let longest = named(200).logs("a.ndjson", "{\"id\":1}\n");
    longest.run().published();
}
