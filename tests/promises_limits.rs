//! What a query may take: its depth, its steps, what its functions make, and the disk that it
//! spills to.

use std::process::Command;

use crate::promises_crash::{NO_SMALL_DISK, say_not_run, unshare};
use crate::support::{DAY, OUTPUT, Project, files_below, finish};

/// The least memory that a run may be given.
const LITTLE_MEMORY: &str = "[resources]\nmemory_limit = \"256MiB\"\n";

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

/// Rows of which only the last one has an `id`, which the calls below multiply.
fn one_large_row() -> String {
    (0..20).map(|n| format!("{{\"id\":{},\"name\":\"abcdef\"}}\n", n / 19)).collect()
}

#[test]
fn each_function_that_makes_much_of_little_is_bounded_and_named() {
    let large = "repeat(name, id * 10000000)";
    let groups = format!("{}a|b|c|d|e|f{}", "(".repeat(20), ")".repeat(20));
    for (call, function) in [
        ("translate(repeat(name, id * 1000), 'a', 'e' || repeat(chr(769), 20000))", "translate"),
        (
            "regexp_replace(repeat(name, id * 1000), '.', repeat('xyz', 10000), 'g')",
            "regexp_replace",
        ),
        (&format!("regexp_match(repeat(name, id * 1000000), '{groups}')[1]"), "regexp_match"),
        (&format!("concat({large}, {large})"), "concat"),
        (&format!("{large} || {large}"), "||"),
        (&format!("overlay({large} PLACING {large} FROM 1)"), "overlay"),
        ("rpad(name, id * 40000000, '\u{e9}')", "rpad"),
        (&format!("array_length([{large}, {large}])"), "make_array"),
        (&format!("array_length(array_append([{large}], {large}))"), "array_append"),
        (&format!("array_length([{large}] || [{large}])"), "array_concat"),
        ("array_length(array_resize([name], id * 1000, repeat(name, 20000)))", "array_resize"),
        (
            "array_to_string(array_repeat('x', id * 100000), repeat(name, id * 200))",
            "array_to_string",
        ),
        (
            "array_length(array_replace_all(array_repeat('x', id * 1000), 'x', \
             repeat(name, 20000)))",
            "array_replace_all",
        ),
        ("to_char(TIMESTAMP '2026-11-21', repeat('%c', id * 10000000))", "to_char"),
    ] {
        let project = Project::new().pipeline(&format!("{OUTPUT}{LITTLE_MEMORY}"));
        let project = project.logs("a.ndjson", one_large_row());
        project.write("shop/rows.sql", format!("SELECT {call} AS s, _source, _line FROM logs"));
        let result = project.run().published();
        assert_eq!(result["outputs"]["rows"]["rows"], 19, "{call}");
        let rejects = project.quarantine();
        assert_eq!((rejects.len(), &rejects[0]["line"]), (1, &20.into()), "{call}");
        assert_eq!(rejects[0]["output"], "rows");
        let message = rejects[0]["message"].as_str().unwrap();
        for part in [&format!("function `{function}` would make"), "`memory_limit`"] {
            assert!(message.contains(part), "{call}: {message}");
        }
        let peak = result["peak_memory_bytes"].as_u64().unwrap();
        assert!(peak < 512 << 20, "{call}: {peak}");
    }
}

#[test]
fn views_that_double_their_text_one_after_the_other_end_at_the_bound() {
    let project = Project::new().pipeline(&format!("{OUTPUT}{LITTLE_MEMORY}"));
    let project = project.logs("a.ndjson", one_large_row());
    let first = "SELECT id, repeat(name, id * 1000000) AS s, _source, _line FROM logs";
    project.write("shop/v0.sql", first);
    for n in 1..12 {
        let last = n - 1;
        let twice = if n % 2 == 0 { "concat(s, s)" } else { "s || s" };
        let view = format!("SELECT id, {twice} AS s, _source, _line FROM v{last}");
        project.write(&format!("shop/v{n}.sql"), view);
    }
    project.write("shop/rows.sql", "SELECT id, length(s) AS n, _source, _line FROM v11");
    let result = project.run().published();
    assert_eq!(result["outputs"]["rows"]["rows"], 19);
    let peak = result["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 768 << 20, "{peak}");
}

#[test]
fn a_constant_of_megabytes_has_room_in_each_row() {
    let lines: String =
        (0..2_000).map(|n| format!("{{\"id\":{n},\"name\":\"abcdef\"}}\n")).collect();
    let project = Project::new().pipeline(&format!("{OUTPUT}{LITTLE_MEMORY}"));
    let project = project.logs("a.ndjson", lines);
    project.write(
        "shop/rows.sql",
        "SELECT id, length(CASE WHEN id < 5000 THEN repeat('x', 2000000) ELSE name END || name) \
         AS n, _source, _line FROM logs",
    );
    let result = project.run().published();
    assert_eq!(project.rows().len(), 2_000);
    assert!(project.rows()[7].ends_with("\t2000006"));
    let peak = result["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 384 << 20, "{peak}");
}

#[test]
fn what_is_gathered_to_texts_and_lists_is_bounded_in_groups_and_in_windows() {
    let name = "abcdef".repeat(100);
    let lines: String =
        (0..6_000).map(|n| format!("{{\"id\":{n},\"name\":\"{name}\"}}\n")).collect();
    let grouped = "max(_source) AS _source, 1 AS _line FROM logs GROUP BY id % 7";
    let by_row = "_source, _line FROM logs";
    for (query, words) in [
        (format!("length(string_agg(repeat(name, 200), ',')) AS s, {grouped}"), "need more memory"),
        (format!("array_length(array_agg(repeat(name, 200))) AS s, {grouped}"), "need more memory"),
        (
            format!("length(string_agg(name, ',') OVER (ORDER BY id)) AS s, {by_row}"),
            "`string_agg(logs.name",
        ),
        (
            format!("array_length(array_agg(name) OVER ()) AS s, {by_row}"),
            "`array_agg(logs.name) ROWS",
        ),
    ] {
        let project = Project::new().pipeline(&format!("{OUTPUT}{LITTLE_MEMORY}"));
        let project = project.logs("a.ndjson", &lines);
        project.write("shop/rows.sql", format!("SELECT {query}"));
        let ended = project.run();
        ended.fails_with(78, &["output rows: ", words, "raise `memory_limit`"]);
        let peak = ended.result()["peak_memory_bytes"].as_u64().unwrap();
        assert!(peak < 512 << 20, "{query}: {peak}");
    }
}

#[test]
fn windows_over_small_partitions_gather_what_they_like() {
    let lines: String = (0..6_000).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    let project = Project::new().pipeline(&format!("{OUTPUT}{LITTLE_MEMORY}"));
    let project = project.logs("a.ndjson", lines);
    project.write(
        "shop/rows.sql",
        "SELECT id, array_length(array_agg(id) OVER (PARTITION BY id % 600 ORDER BY id)) AS n, \
         length(string_agg(repeat('x', 3000), '') OVER (PARTITION BY id % 600)) AS t, _source, \
         _line FROM logs",
    );
    project.run().published();
    let rows = project.rows();
    assert_eq!(rows.len(), 6_000);
    assert!(rows.contains(&"599\t1\t30000".to_owned()));
    assert!(rows.contains(&"5999\t10\t30000".to_owned()));
}

#[test]
fn a_recursive_query_without_an_end_is_ended_with_its_name() {
    let endless = "WITH RECURSIVE steps AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM steps) \
                   SELECT n, _source, _line FROM steps CROSS JOIN logs";
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    project.write("shop/rows.sql", endless);
    let words = ["output rows: `WITH RECURSIVE steps` has not ended after 10000 steps", "raise"];
    project.run().fails_with(78, &words);

    let few = format!("{OUTPUT}[resources]\nrecursion_steps_max = 9\n");
    let project = Project::new().pipeline(&few).logs("a.ndjson", "{\"id\":1}\n");
    project.write("shop/rows.sql", endless.replace("FROM steps)", "FROM steps WHERE n < 10)"));
    project.run().fails_with(78, &["has not ended after 9 steps", "`recursion_steps_max`"]);
    project.write("shop/rows.sql", endless.replace("FROM steps)", "FROM steps WHERE n < 9)"));
    project.run().published();
    assert_eq!(project.rows().len(), 9);

    let none = format!("{OUTPUT}[resources]\nrecursion_steps_max = 0\n");
    let words = ["`recursion_steps_max`: expected at least 1"];
    Project::new().pipeline(&none).ashiato("check", &[]).fails_with(78, &words);
}

/// A sort that spills some 60 MB, and writes a single row.
fn spilling_sort() -> Project {
    let name = "abcdef".repeat(50);
    let lines: String = (0..200_000)
        .map(|n| format!("{{\"id\":{},\"name\":\"{name}\"}}\n", (n * 7919) % 200_000))
        .collect();
    let spill = "[resources]\nmemory_limit = \"256MiB\"\nthreads = 2\nspill = \"${SPILL}\"\n";
    let project = Project::new().pipeline(&format!("{OUTPUT}{spill}")).logs("a.ndjson", lines);
    std::fs::create_dir(project.path("spill")).unwrap();
    project.write(
        "shop/rows.sql",
        "SELECT sum(n) AS n, max(name) = min(name) AS same, max(_source) AS _source, 1 AS _line \
         FROM (SELECT row_number() OVER (ORDER BY name, id DESC) * id AS n, name, _source \
         FROM logs)",
    );
    project
}

/// The sum of a spilling sort's row numbers, each times its `id`.
const SORTED: &str = "1333333333300000\ttrue";

#[test]
fn a_spill_folder_without_room_is_a_passing_failure_that_leaves_nothing_wrong() {
    let project = spilling_sort();
    let spill = project.path("spill");
    // No file may be longer than 2 MiB: what a quota of the disk does, and any user may set.
    let limited = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_ashiato"), "run"]).arg(project.path("shop"));
    command.args(DAY).env("SOURCE", project.path("logs")).env("OUT", project.path("out"));
    let ended = finish(command.env("SPILL", &spill));
    let folder = spill.display().to_string();
    ended.fails_with(75, &["spilling a sort", &folder, "`spill` under `[resources]`"]);
    assert!(project.rows().is_empty(), "{ended:?}");
    assert!(!project.path("out/rows/_SUCCESS").exists());

    finish(project.command("run", &DAY).env("SPILL", &spill)).published();
    assert_eq!(project.rows(), [SORTED]);
    assert_eq!(files_below(&spill).len(), 0, "what was spilled is gone");
}

#[test]
fn a_full_disk_of_spilled_rows_is_a_passing_failure_and_right_once_there_is_room() {
    let Some(way) = unshare() else {
        let test = "a_full_disk_of_spilled_rows_is_a_passing_failure_and_right_once_there_is_room";
        return say_not_run(test, NO_SMALL_DISK);
    };
    let project = spilling_sort();
    let spill = project.path("spill").display().to_string();
    let script = format!(
        "set -eu; mount -t tmpfs -o size=8m none '{spill}'\n\
         code=0; \"$0\" \"$@\" > /dev/null || code=$?\n\
         [ $code = 75 ] || {{ echo \"exit $code\" >&2; exit 1; }}\n\
         [ ! -e \"$OUT/rows/_SUCCESS\" ] || {{ echo 'published' >&2; exit 1; }}\n\
         mount -o remount,size=400m '{spill}'; exec \"$0\" \"$@\"",
    );
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", &script, env!("CARGO_BIN_EXE_ashiato"), "run"]);
    command.arg(project.path("shop")).args(DAY);
    command.env("SOURCE", project.path("logs")).env("OUT", project.path("out"));
    let ended = finish(command.env("SPILL", &spill));
    ended.published();
    for words in [&format!("to disk at {spill}"), "no space left on device", "under `[resources]`"]
    {
        assert!(ended.stderr.contains(words), "{words}: {ended:#?}");
    }
    assert_eq!(project.rows(), [SORTED]);
}

#[test]
fn sorts_of_several_outputs_spill_and_merge_within_the_least_memory_whatever_the_threads() {
    let lines = (0..40_000).map(|id| {
        let name = "n".repeat(1 + id % 40);
        format!("{{\"id\":{},\"name\":\"{name}\",\"amount\":{id}}}\n", id * 7919 % 5_000)
    });
    let window = "SELECT id, amount, sum(amount) OVER (PARTITION BY id ORDER BY amount) AS s, \
                  _source, _line FROM logs\n";
    let outputs = ["more", "most"].map(|name| {
        OUTPUT
            .replace("name = \"rows\"", &format!("name = \"{name}\"\nview = \"rows\""))
            .replace("${OUT}/rows", &format!("${{OUT}}/{name}"))
    });
    let rest = format!(
        "[resources]\nmemory_limit = \"256MiB\"\nthreads = 8\n{OUTPUT}{}{}",
        outputs[0], outputs[1]
    );
    let project = Project::new().pipeline(&rest).logs("a.ndjson", lines.collect::<String>());
    project.write("shop/rows.sql", window);
    let published = project.run().published();
    for name in ["rows", "more", "most"] {
        assert_eq!(published["outputs"][name]["rows"], 40_000, "{published}");
    }
}
