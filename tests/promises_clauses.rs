//! Every clause of a SQL file and every key of a configuration is honoured or refused by `check`.

use crate::support::{OUTPUT, Project};

/// Checks one query a file, and asserts that each is refused at its place with its words.
fn each_is_refused(queries: &[(&str, &str, &str)]) {
    let project = Project::new();
    for (number, (query, ..)) in queries.iter().enumerate() {
        project.write(&format!("shop/v{number:03}.sql"), format!("{query}\n"));
    }
    let finished = project.ashiato("check", &[]);
    assert_eq!(finished.code, Some(78), "{finished:#?}");
    for (number, (query, place, words)) in queries.iter().enumerate() {
        let file = format!("v{number:03}.sql:{place}: ");
        let line = finished.stderr.lines().find(|line| line.contains(&file));
        let line = line.unwrap_or_else(|| panic!("nothing at {file}{query}: {}", finished.stderr));
        assert!(line.contains(words), "{query}: {line}");
    }
}

/// Checks queries that must all be sound.
fn each_is_taken(queries: &[&str]) {
    let project = Project::new();
    for (number, query) in queries.iter().enumerate() {
        project.write(&format!("shop/v{number:03}.sql"), format!("{query}\n"));
    }
    let finished = project.ashiato("check", &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
}

#[test]
fn clauses_of_a_query_that_would_have_no_effect_are_refused() {
    each_is_refused(&[
        ("SELECT id FROM logs WHERE id > ANY (SELECT id FROM logs)", "1:32", "`ANY`"),
        ("SELECT id FROM logs WHERE id <= SOME (SELECT id FROM logs)", "1:33", "`SOME`"),
        ("SELECT id FROM logs WHERE id <> ALL (SELECT id FROM logs)", "1:33", "`ALL`"),
        ("SELECT id FROM logs PREWHERE id > 5", "1:21", "`PREWHERE` is not supported; write"),
        ("SELECT id\nFROM logs\nWHERE id IN (SELECT id FROM logs\nPREWHERE id > 2)", "4:1", "PREW"),
        ("SELECT id, count(*) AS c FROM logs GROUP BY id WITH ROLLUP", "1:48", "BY ROLLUP (a, b)"),
        ("SELECT id, count(*) AS c FROM logs GROUP BY id WITH CUBE", "1:48", "`WITH CUBE`"),
        ("SELECT id, count(*) AS c FROM logs GROUP BY id WITH TOTALS", "1:48", "`WITH TOTALS`"),
        ("SELECT id FROM logs SETTINGS max_threads = 1", "1:21", "`SETTINGS`"),
        ("SELECT id FROM logs FORMAT JSON", "1:21", "`FORMAT`"),
        ("SELECT id FROM logs FOR UPDATE", "1:21", "`FOR UPDATE`"),
        ("SELECT id FROM logs FOR SHARE NOWAIT", "1:21", "`FOR SHARE`"),
        ("SELECT id FROM logs LATERAL VIEW explode(x) t AS a", "1:21", "unnest(list)"),
        ("SELECT id FROM logs ORDER BY id FETCH FIRST 5 ROWS WITH TIES", "1:33", "`LIMIT n`"),
        ("SELECT id FROM logs FETCH FIRST 5 PERCENT ROWS ONLY", "1:21", "`FETCH`"),
        ("SELECT id FROM logs LIMIT 1 BY name", "1:21", "`LIMIT BY`"),
        ("SELECT TOP 5 id FROM logs", "1:8", "`TOP` is not supported; write `LIMIT n`"),
        ("SELECT id INTO x FROM logs", "1:11", "`INTO`"),
        ("SELECT id FROM logs UNION ALL SELECT id INTO x FROM logs", "1:41", "`INTO`"),
        ("SELECT id FROM logs CONNECT BY PRIOR id = amount", "1:21", "`WITH RECURSIVE`"),
        ("SELECT id FROM logs ORDER BY id WITH FILL FROM 1 TO 5", "1:33", "`WITH FILL`"),
        ("SELECT id FROM logs SORT BY id", "1:21", "`sort_by`"),
        ("SELECT id FROM logs CLUSTER BY id", "1:21", "`CLUSTER BY`"),
        ("SELECT id FROM logs DISTRIBUTE BY id", "1:21", "`DISTRIBUTE BY`"),
        ("FROM logs", "1:1", "`SELECT * FROM`"),
        ("SELECT * ILIKE '%a%' FROM logs", "1:10", "`ILIKE`"),
        ("SELECT * REPLACE (1 AS nope) FROM logs", "1:10", "`* EXCLUDE (a)`"),
        ("SELECT * RENAME (id AS x) FROM logs", "1:10", "`RENAME`"),
        ("SELECT id FROM logs INTERSECT ALL SELECT amount FROM logs", "1:21", "`INTERSECT ALL`"),
        ("SELECT id FROM logs EXCEPT ALL SELECT amount FROM logs", "1:21", "`EXCEPT ALL`"),
        (
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5 LIMIT 2)\n\
             SELECT n FROM t",
            "1:76",
            "`LIMIT` is not supported; it would have no effect within a recursive query",
        ),
        ("SELECT id FROM logs |> AGGREGATE sum(id) AS s DESC GROUP BY id", "1:24", "|> ORDER BY"),
        ("SELECT id FROM logs; SELECT 2", "1:1", "expected one SELECT, found several"),
    ]);
}

#[test]
fn clauses_of_tables_and_joins_that_would_have_no_effect_are_refused() {
    each_is_refused(&[
        ("SELECT id FROM logs TABLESAMPLE BERNOULLI (1)", "1:21", "`TABLESAMPLE`"),
        ("SELECT id FROM (SELECT id FROM logs) x TABLESAMPLE (10 ROWS)", "1:40", "`TABLESAMPLE`"),
        ("SELECT id FROM logs SAMPLE 0.1", "1:21", "`SAMPLE`"),
        ("SELECT id FROM logs FINAL", "1:21", "`FINAL`"),
        ("SELECT logs.id FROM logs POSITIONAL JOIN logs b", "1:26", "`POSITIONAL`"),
        ("SELECT id FROM logs WITH (NOLOCK)", "1:21", "hints of tables"),
        ("SELECT id FROM logs PARTITION (p0)", "1:21", "`PARTITION`"),
        ("SELECT x.a FROM (SELECT id FROM logs) AS x (a INT)", "1:45", "the type of `a`"),
        ("SELECT id FROM logs, unnest([1,2]) WITH ORDINALITY AS t(a, b)", "1:36", "ORDINALITY"),
        ("SELECT id FROM logs, unnest([1,2]) WITH OFFSET AS o", "1:36", "`WITH OFFSET`"),
        ("SELECT a.id FROM logs a GLOBAL JOIN logs b ON a.id = b.id", "1:25", "`GLOBAL`"),
        ("SELECT a.id FROM logs a SEMI JOIN logs b ON a.id = b.id", "1:25", "LEFT SEMI JOIN"),
        ("SELECT a.id FROM logs a CROSS APPLY (SELECT 1) b", "1:25", "CROSS JOIN LATERAL"),
        (
            "SELECT a.id FROM logs a ASOF JOIN logs b MATCH_CONDITION (a.at >= b.at) ON a.id = b.id",
            "1:25",
            "`ASOF JOIN` is not supported; write a `LEFT JOIN`",
        ),
        ("SELECT a.id FROM logs a FULL JOIN logs b USING (id)", "1:42", "coalesce(a.key, b.key)"),
        ("SELECT a.id FROM logs a RIGHT JOIN logs b USING (id)", "1:43", "coalesce(a.key, b.key)"),
        ("SELECT a.id FROM logs a NATURAL FULL JOIN logs b", "1:25", "`NATURAL`"),
        (
            "SELECT * FROM logs l LEFT JOIN (SELECT id, 1 AS one FROM logs) a USING (id)",
            "1:66",
            "`*` is not supported with `LEFT JOIN` and `USING`",
        ),
        ("SELECT * FROM logs PIVOT (sum(amount) FOR name IN ('a', 'b'))", "1:20", "FILTER (WHERE"),
        ("SELECT * FROM logs UNPIVOT (v FOR k IN (id, amount))", "1:20", "UNION ALL"),
    ]);
}

#[test]
fn clauses_of_functions_that_do_not_take_them_are_refused() {
    each_is_refused(&[
        (
            "SELECT abs(DISTINCT id) AS a FROM logs",
            "1:12",
            "`DISTINCT` is not supported with `abs`",
        ),
        ("SELECT abs(id) FILTER (WHERE id > 1) AS a FROM logs", "1:16", "`FILTER`"),
        (
            "SELECT to_timestamp_millis(name, '%Y') AS a FROM logs",
            "1:8",
            "`to_timestamp_millis` takes no pattern; write `to_timestamp(text, pattern)`",
        ),
        ("SELECT abs(id) OVER () AS a FROM logs", "1:16", "`OVER`"),
        ("SELECT upper(name ORDER BY id) AS a FROM logs", "1:19", "`ORDER BY`"),
        ("SELECT coalesce(name) IGNORE NULLS AS a FROM logs", "1:23", "`IGNORE NULLS`"),
        (
            "SELECT row_number() FILTER (WHERE id > 1) OVER (ORDER BY id) AS a FROM logs",
            "1:21",
            "`FILTER` is not supported with `row_number`",
        ),
        ("SELECT rank() IGNORE NULLS OVER (ORDER BY id) AS a FROM logs", "1:15", "`IGNORE NULLS`"),
        ("SELECT lag(DISTINCT id) OVER (ORDER BY id) AS a FROM logs", "1:12", "`DISTINCT`"),
        (
            "SELECT row_number() OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS a \
             FROM logs",
            "1:39",
            "the whole partition",
        ),
        ("SELECT sum(id) IGNORE NULLS OVER (ORDER BY id) AS a FROM logs", "1:16", "IGNORE NULLS"),
        ("SELECT corr(DISTINCT id, amount) AS a FROM logs", "1:13", "`DISTINCT`"),
        ("SELECT count(DISTINCT *) AS a FROM logs", "1:14", "`DISTINCT`"),
        ("SELECT count(l.*) AS a FROM logs l", "1:8", "`count(*)`"),
        (
            "SELECT id FROM logs WINDOW w AS (ORDER BY id) QUALIFY row_number() OVER w = 1",
            "1:68",
            "window `w` is not known outside of the SELECT list",
        ),
        (
            "SELECT id FROM logs WINDOW w AS (ORDER BY id) ORDER BY sum(id) OVER w",
            "1:64",
            "window `w`",
        ),
        (
            "SELECT sum(id) OVER (w ORDER BY amount) AS a FROM logs WINDOW w AS (PARTITION BY name)",
            "1:22",
            "window `w` cannot be extended",
        ),
        ("SELECT array(SELECT id FROM logs) AS a FROM logs", "1:8", "no query"),
        ("SELECT quantile(0.9)(id) AS a FROM logs", "1:8", "no second list of parameters"),
        (
            "SELECT percentile_cont(id, 0.5 ORDER BY amount) AS a FROM logs",
            "1:32",
            "WITHIN GROUP (ORDER BY value)",
        ),
        ("SELECT id FROM range(1, 3, x => 2)", "1:28", "by its place"),
        ("SELECT trim(name, 'a', 'b') AS a FROM logs", "1:8", "`TRIM` takes two arguments"),
    ]);
}

#[test]
fn types_and_literals_that_would_lose_something_are_refused() {
    each_is_refused(&[
        ("SELECT CAST(name AS VARCHAR(3)) AS c FROM logs", "1:21", "type `VARCHAR(3)`"),
        ("SELECT TRY_CAST(name AS VARCHAR(3)) AS c FROM logs", "1:25", "`left(text, n)`"),
        ("SELECT name::char(3) AS c FROM logs", "1:14", "type `CHAR(3)`"),
        ("SELECT CAST(name AS STRING(3)) AS c FROM logs", "1:21", "type `STRING(3)`"),
        ("SELECT CAST([name] AS VARCHAR(3)[]) AS c FROM logs", "1:23", "type `VARCHAR(3)`"),
        ("SELECT CAST(id AS INT(3)) AS c FROM logs", "1:19", "type `INT(3)`"),
        ("SELECT CAST(id AS FLOAT(53)) AS c FROM logs", "1:19", "`DOUBLE`"),
        ("SELECT CAST(at AS TIMESTAMP(1)) AS c FROM logs", "1:19", "0, 3, 6 or 9"),
        ("SELECT 99999999999999999999 AS c FROM logs", "1:8", "would lose digits"),
        ("SELECT 0.12345678901234567890 AS c FROM logs", "1:8", "would lose digits"),
        ("SELECT -INTERVAL '1 day 2 hours' + at AS c FROM logs", "1:9", "'-1 day -2 hours'"),
        ("SELECT name COLLATE \"de\" AS c FROM logs", "1:13", "`COLLATE`"),
        ("SELECT name SIMILAR TO 'a%' AS c FROM logs", "1:13", "`SIMILAR TO`"),
        ("SELECT name LIKE 'a#%' ESCAPE '#' AS c FROM logs", "1:24", "backslash"),
        ("SELECT EXTRACT(WEEK(MONDAY) FROM at) AS c FROM logs", "1:16", "`WEEK(MONDAY)`"),
        ("SELECT name->>'a' AS c FROM logs", "1:8", "operator `->>` is not supported"),
    ]);
}

#[test]
fn what_the_engine_honours_is_taken() {
    each_is_taken(&[
        "SELECT * EXCLUDE (id) FROM logs",
        "SELECT DISTINCT ON (name) id FROM logs ORDER BY name, id",
        "SELECT id FROM logs QUALIFY row_number() OVER (ORDER BY id) = 1",
        "SELECT sum(id) OVER w AS s FROM logs WINDOW w AS (PARTITION BY name)",
        "SELECT string_agg(DISTINCT name, ',') AS q, count(DISTINCT id) AS c FROM logs",
        "SELECT first_value(name) IGNORE NULLS OVER (ORDER BY id ROWS 2 PRECEDING) AS f FROM logs",
        "SELECT name, count(*) FILTER (WHERE id > 1) AS c FROM logs GROUP BY ROLLUP (name)",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id) AS p FROM logs",
        "SELECT id FROM logs UNION ALL BY NAME SELECT id FROM logs ORDER BY id LIMIT 5 OFFSET 1",
        "SELECT CAST(id AS DECIMAL(38, 2)) AS d, CAST(name AS TEXT) AS t FROM logs",
        "SELECT a.id FROM logs a LEFT JOIN logs b USING (id) JOIN logs c ON a.id = c.id",
        "SELECT at - INTERVAL '1 day 2 hours' AS t, -INTERVAL '1' DAY AS i FROM logs",
        "SELECT id FROM logs final_name, LATERAL (SELECT 1 AS one) x",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5)\n\
         SELECT n FROM t ORDER BY n LIMIT 3",
        "SELECT name LIKE 'a\\%' ESCAPE '\\' AS l, name ~ '^a+$' AS r, trim(BOTH 'x' FROM name) AS t \
         FROM logs",
    ]);
}

#[test]
fn expectations_are_held_to_the_same() {
    for (predicate, words) in [
        ("CAST(name AS VARCHAR(3)) = 'abc'", "type `VARCHAR(3)` is not supported"),
        ("abs(amount) FILTER (WHERE id > 1) > 0", "`FILTER` is not supported with `abs`"),
        ("name SIMILAR TO 'a%'", "`SIMILAR TO` is not supported"),
        ("id > 0 AS positive", "a predicate has no name"),
        ("name ~ '(a'", "unclosed group"),
    ] {
        let expectation =
            format!("{OUTPUT}[[output.expectation]]\nname = \"e\"\npredicate = \"{predicate}\"\n");
        let project = Project::new().pipeline(&expectation);
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:", "expectation `e`", words]);
    }
}

#[test]
fn a_run_refuses_what_check_refuses() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1,\"name\":\"abcdef\"}\n");
    project.write("shop/rows.sql", "SELECT id, _source, _line FROM logs PREWHERE id > 5\n");
    project.run().fails_with(78, &["rows.sql:1:37: `PREWHERE` is not supported"]);
}

#[test]
fn columns_and_functions_that_are_not_there_are_answered_with_what_to_write() {
    let project = Project::new();
    project.write(
        "shop/contract.toml",
        "[[column]]\nname = \"userId\"\ntype = \"string\"\n[[column]]\nname = \"id\"\ntype = \
         \"int64\"\n",
    );
    project.write("shop/rows.sql", "SELECT id, _source, _line FROM logs\n");
    project.write("shop/a.sql", "SELECT userId FROM logs\n");
    project.write("shop/b.sql", "SELECT a.id FROM logs l\n");
    project.write("shop/c.sql", "SELECT id FROM logs a JOIN logs b ON a.id = b.id\n");
    project.write("shop/d.sql", "SELECT *, id + 1 AS id FROM logs\n");
    project.write("shop/e.sql", "SELECT json_extract(\"userId\", '$.a') AS x FROM logs\n");
    project.write("shop/f.sql", "SELECT ifnull(id, 1) AS x, group_concat(id) AS y FROM logs\n");
    project.write("shop/g.sql", "SELECT id, count(*) AS c FROM logs\n");
    project.ashiato("check", &[]).fails_with(
        78,
        &[
            "a.sql:1:8: no column `userid`; the column is `userId`: write \"userId\" in double \
             quotes, as names without quotes are read in lower case",
            "b.sql:1:8: no column `id` in a table `a` here; there is `l.id`",
            "c.sql:1:8: column `id` is in several of the joined tables; say whose it is",
            "column `id` stands more than once in the result; give each a name of its own with AS",
            "e.sql:1:8: no function `json_extract`; name the field in contract.toml as a column's",
            "no function `group_concat`; write `string_agg(a, ',')`",
            "g.sql:1:8: column `id` stands neither in GROUP BY nor in an aggregate",
        ],
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    for name in ["rows.sql", "pipeline.toml", "contract.toml"] {
        let path = project.path(&format!("shop/{name}"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
    }
    project.run().published();
    project.write("shop/rows.sql", b"S\0E\0L\0\xff\xfe");
    project.ashiato("check", &[]).fails_with(78, &["rows.sql", "not UTF-8"]);
}

#[test]
fn keys_that_would_have_no_effect_are_refused() {
    let expectation = "[[output.expectation]]\nname = \"e\"\npredicate = \"id > 0\"\n";
    let output = OUTPUT.replace("formats =", "sort_by = [\"id\", \"id\"]\nformats =");
    let rest =
        format!("{output}[output.parquet]\ncompression = \"snappy\"\n{expectation}{expectation}");
    let project = Project::new().pipeline_with("", "glob = \"*.ndjson\"", &rest);
    let pipeline = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", pipeline.replace("${SOURCE}", "${SOURCE}/*/*.ndjson"));
    project.ashiato("check", &[]).fails_with(
        78,
        &[
            "pipeline.toml:3:13: `path` has no effect: `location` has a wildcard",
            "pipeline.toml:3:13: `glob` has no effect: `location` has a wildcard",
            "`sort_by`: column `id` stands twice",
            "`[output.parquet]` has no effect: `formats` has no `parquet`",
            "expectation `e` is defined twice",
        ],
    );
}

#[test]
fn a_pattern_or_a_file_as_location_is_read_without_path_and_glob_only() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let pipeline = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    let object = "${SOURCE}/dt=2026-11-21/a.ndjson";
    let with_file = pipeline.replace("${SOURCE}", object);
    project.write("shop/pipeline.toml", &with_file);
    let words = "`path` has no effect: `location` is a file; name its folder";
    project.ashiato("check", &[]).fails_with(78, &[words]);
    project.write("shop/pipeline.toml", with_file.replace("path = \"dt=%Y-%m-%d/\"\n", ""));
    project.run().published();
}

#[test]
fn findings_come_as_one_json_document_if_asked_for() {
    let project = Project::new();
    let sound = project.ashiato("check", &["--json"]);
    assert_eq!(sound.code, Some(0), "{sound:#?}");
    assert_eq!(sound.result(), serde_json::json!({ "status": "ok", "findings": [] }));
    project.write("shop/rows.sql", "SELECT id,\n amonut FROM logs\n");
    let wrong = project.ashiato("check", &["--json"]);
    assert_eq!(wrong.code, Some(78), "{wrong:#?}");
    let result = wrong.result();
    assert_eq!(result["status"], "error");
    let finding = &result["findings"][0];
    assert!(finding["file"].as_str().unwrap().ends_with("rows.sql"), "{finding}");
    assert_eq!((&finding["line"], &finding["column"]), (&2.into(), &2.into()), "{finding}");
    assert_eq!(finding["message"], "no column `amonut`");
    assert_eq!(finding["help"], "did you mean `amount`?");
    assert_eq!(finding["severity"], "error");
    assert_eq!(wrong.stderr, "");
}

#[test]
fn a_time_zone_that_is_none_is_answered_with_the_one_that_was_meant() {
    for (name, zone) in [("JST", "write `Asia/Tokyo`"), ("UTC+9", "write `Etc/GMT-9`")] {
        let project = Project::new();
        let pipeline = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
        project.write("shop/pipeline.toml", pipeline.replace("Asia/Tokyo", name));
        let words = format!("unknown time zone `{name}`");
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:1:14", &words, zone]);
    }
}

#[test]
fn a_reader_that_has_gone_ends_a_command_silently() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_ashiato"))
        .arg("functions")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nothing was written yet, or at most what the pipe holds.
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(0));
}

/// A day's logs and a view of them.
fn compared(logs: &str, view: &str) -> Project {
    let project = Project::new().logs("a.ndjson", logs);
    project.write("shop/rows.sql", format!("{view}\n"));
    project.pipeline(&OUTPUT.replace("exclude = [\"_source\", \"_line\"]", ""))
}

#[test]
fn a_number_is_compared_with_a_text_only_after_a_cast_says_what_is_meant() {
    let logs = "{\"id\":12,\"name\":\"0012\"}\n";
    for (view, place) in [
        ("SELECT a.id FROM logs a JOIN logs b ON a.id = b.name", (1, 40)),
        ("SELECT a.id FROM logs a JOIN (SELECT name AS id FROM logs) b USING (id)", (1, 1)),
        ("SELECT id FROM logs WHERE id = '0012'", (1, 27)),
        ("SELECT id FROM logs WHERE name <> 12", (1, 27)),
        ("SELECT id FROM logs WHERE id IN (1, '12')", (1, 27)),
        ("SELECT id FROM logs WHERE id BETWEEN 1 AND '12'", (1, 27)),
        ("SELECT id FROM logs WHERE id IN (SELECT name FROM logs)", (1, 27)),
        ("SELECT CASE id WHEN '12' THEN 1 END AS x FROM logs", (1, 13)),
        ("SELECT nullif(name, 12) AS x FROM logs", (1, 15)),
        ("SELECT id FROM logs INTERSECT SELECT name FROM logs", (1, 1)),
    ] {
        let project = compared(logs, view);
        let at = format!("rows.sql:{}:{}: a number, ", place.0, place.1);
        project.run().fails_with(78, &[&at, "is compared with a text"]);
    }
    let sound = "SELECT id FROM logs WHERE id = 12.0 AND name = '0012' AND id IN (12, 13) \
                 AND CAST(id AS VARCHAR) <> name AND CAST(name AS BIGINT) = id AND name <> ''";
    let project = compared(logs, sound);
    project.run().published();
    assert_eq!(project.rows(), ["12"]);
}

#[test]
fn four_hundred_branches_of_logs_end() {
    let project = compared("{\"id\":1}\n", &vec!["SELECT id FROM logs"; 400].join(" UNION ALL "));
    project.run().published();
    assert_eq!(project.rows().len(), 400);
}

#[test]
fn a_join_with_nothing_ends() {
    let logs: String =
        (0..30_000).map(|id| format!("{{\"id\":{id},\"name\":\"{id}\"}}\n")).collect();
    for view in [
        "SELECT a.id FROM logs a JOIN logs b ON a.id = b.id + 0 WHERE a.name = 'none'",
        "SELECT a.id FROM logs a JOIN nothing b ON a.id + 0 = CAST(b.id AS BIGINT)",
        "SELECT a.id FROM nothing b JOIN logs a ON a.name = b.id",
    ] {
        let project = compared(&logs, view);
        project.write("shop/nothing.csv", "id\n");
        let nothing = "[[reference]]\nname = \"nothing\"\nlocation = \"${PIPELINE_DIR}/nothing.csv\"\n\
                       format = \"csv\"\n";
        let output = OUTPUT.replace("exclude = [\"_source\", \"_line\"]", "");
        let result = project.pipeline(&format!("{output}{nothing}")).run().published();
        assert_eq!(result["outputs"]["rows"]["rows"], 0, "{view}");
    }
}

#[test]
fn words_of_other_databases_are_answered_with_what_to_write() {
    each_is_refused(&[
        ("SELECT a.id FROM logs a ASOF JOIN logs b ON a.id = b.id", "1:25", "`ASOF JOIN` is not"),
        ("SELECT a.id FROM logs a ASOF LEFT JOIN logs b USING (id)", "1:25", "a `LEFT JOIN` on"),
        ("PIVOT logs ON name USING sum(amount)", "1:1", "`PIVOT` is not supported; write one"),
        ("UNPIVOT logs ON id INTO NAME k VALUE v", "1:1", "`UNPIVOT`"),
        ("SELECT * FROM (PIVOT logs ON name USING sum(id))", "1:16", "`PIVOT`"),
        ("SELECT id DIV 2 AS x FROM logs", "1:11", "write `a / b`"),
        ("SELECT name REGEXP 'a' AS x FROM logs", "1:13", "`REGEXP` is not supported; write `a ~"),
        ("SELECT len(name) AS x FROM logs", "1:8", "no function `len`; write `length(text)`"),
        ("SELECT year(at) AS x FROM logs", "1:8", "write `date_part('year', at)`"),
        ("SELECT timestamp_trunc(at, DAY) AS x FROM logs", "1:8", "`date_trunc('day', at)`"),
        ("SELECT unix_timestamp(at) AS x FROM logs", "1:8", "`to_unixtime(at)`"),
        ("SELECT size(name) AS x FROM logs", "1:8", "`cardinality(list)`"),
        ("SELECT parse_date('%Y', name) AS x FROM logs", "1:8", "`to_date(text, '%Y-%m-%d')`"),
        ("SELECT startswith(name, 'a') AS x FROM logs", "1:8", "`starts_with(text, part)`"),
        ("SELECT row_number() AS x FROM logs", "1:8", "`row_number` needs a window; write"),
        ("SELECT CAST(name AS INT64) AS x FROM logs", "1:21", "write `BIGINT`"),
        ("SELECT CAST(name AS FLOAT64) AS x FROM logs", "1:21", "write `DOUBLE`"),
        ("SELECT CAST(name AS DATETIME) AS x FROM logs", "1:21", "write `TIMESTAMP`"),
        ("SELECT CAST(name AS VARIANT) AS x FROM logs", "1:21", "contract.toml"),
        ("CREATE TABLE x AS SELECT id FROM logs", "1:1", "the file's name is the view's"),
        ("INSERT INTO x SELECT id FROM logs", "1:1", "an `[[output]]` of pipeline.toml writes"),
        ("MERGE INTO x USING logs ON x.id = logs.id WHEN MATCHED THEN DELETE", "1:1", "a run re"),
        ("SET x = 1", "1:1", "`[parameters]`"),
        ("SELECT @x AS x FROM logs", "1:1", "no variable `@x`; write a parameter"),
        ("SELECT ${x} AS x FROM logs", "1:9", "nothing is replaced in a SQL file"),
        ("SELECT {{ ds }} AS x FROM logs", "1:9", "`$interval_start`"),
        ("SELECT id FROM shop.logs", "1:16", "no table or view `shop.logs`"),
        ("SELECT id FROM logs HAVING id > 1", "1:21", "write the condition in `WHERE`"),
    ]);
}

#[test]
fn hints_are_refused_wherever_they_stand() {
    each_is_refused(&[
        ("SELECT /*+ BROADCAST(a) */ id FROM logs a", "1:8", "the hint `/*+ BROADCAST(a) */`"),
        ("SELECT id\nFROM logs /*+ OPTIONS(x) */", "2:11", "would have no effect; leave it out"),
        ("SELECT id --+ INDEX(a)\nFROM logs", "1:11", "the hint `--+ INDEX(a)`"),
        ("SELECT id FROM (SELECT /*+ NO_MERGE */ id FROM logs) x", "1:24", "NO_MERGE"),
    ]);
    each_is_taken(&[
        "SELECT /* + no hint */ id FROM logs -- a + b",
        "SELECT id, '/*+ a text */' AS t FROM logs",
    ]);
}

#[test]
fn constants_that_no_row_could_be_evaluated_with_are_refused() {
    each_is_refused(&[
        ("SELECT to_char(at, 'YYYY-MM-DD') AS x FROM logs", "1:20", "has no directive; directives"),
        ("SELECT to_date(name, 'yyyy-MM-dd') AS x FROM logs", "1:22", "`%Y-%m-%d %H:%M:%S`"),
        (
            "SELECT to_timestamp(name, '%!') AS x FROM logs",
            "1:27",
            "has an unknown directive, `%!`",
        ),
        ("SELECT date_trunc('dayy', at) AS x FROM logs", "1:19", "did you mean `day`?"),
        ("SELECT date_trunc(at, 'day') AS x FROM logs", "1:8", "write `date_trunc('day', at)`"),
        ("SELECT DATE_TRUNC(at, MONTH) AS x FROM logs", "1:8", "write `date_trunc('month', at)`"),
        ("SELECT date_part('yeer', at) AS x FROM logs", "1:18", "did you mean `year`?"),
        ("SELECT EXTRACT(DAYOFWEEK FROM at) AS x FROM logs", "1:31", "`dow` (0 is Sunday)"),
        ("SELECT at AT TIME ZONE 'Tokyo' AS x FROM logs", "1:24", "did you mean `Asia/Tokyo`?"),
        ("SELECT from_unixtime(id, 'yyyy') AS x FROM logs", "1:26", "unknown time zone `yyyy`"),
    ]);
    each_is_taken(&[
        "SELECT to_char(at, '%Y-%m-%d %%') AS x, to_date(name, '%Y/%m/%d') AS y FROM logs",
        "SELECT date_trunc('MONTH', at) AS x, date_trunc('week', at) AS y FROM logs",
        "SELECT date_part('doy', at) AS x, date_part('years', at) AS y FROM logs",
        "SELECT EXTRACT(EPOCH FROM at) AS x, EXTRACT(ISODOW FROM at) AS y FROM logs",
        "SELECT EXTRACT(QUARTER FROM at) AS x, EXTRACT(MILLISECOND FROM at) AS y FROM logs",
        "SELECT at AT TIME ZONE '+09:00' AS x, at AT TIME ZONE 'Asia/Tokyo' AS y FROM logs",
        "SELECT to_timestamp(name, '%F %T', '%s') AS x, to_char(at, '%G-W%V') AS y FROM logs",
    ]);
}

#[test]
fn arguments_of_a_type_that_a_function_does_not_take_are_told_in_sqls_words() {
    each_is_refused(&[
        ("SELECT sum(name) AS x FROM logs", "1:8", "`sum` takes no VARCHAR, expected DECIMAL"),
        ("SELECT id, avg(name) AS x FROM logs GROUP BY id", "1:12", "`TRY_CAST(a AS BIGINT)`"),
        ("SELECT to_char(id, '%Y') AS x FROM logs", "1:8", "of the types BIGINT, VARCHAR; write"),
        ("SELECT date_format(id, '%Y') AS x FROM logs", "1:8", "`to_char` takes no arguments"),
        ("SELECT url_path(id) AS x FROM logs", "1:8", "expected a text as `url`, found BIGINT"),
    ]);
}

#[test]
fn a_query_that_nests_too_deeply_is_told_as_such_whatever_the_parser_says() {
    let case = format!(
        "SELECT {}1{} AS x FROM logs",
        "CASE WHEN id > 1 THEN ".repeat(50),
        " END".repeat(50)
    );
    let not = format!("SELECT {}true AS x FROM logs", "NOT ".repeat(3000));
    let nested = format!("SELECT {}id{} AS x FROM logs", "abs(".repeat(60), ")".repeat(60));
    let deep = "the query nests too deeply";
    each_is_refused(&[
        (case.as_str(), "1:998", deep),
        (not.as_str(), "1:188", deep),
        (nested.as_str(), "1:191", deep),
    ]);
    let case = format!(
        "SELECT {}1{} AS x FROM logs",
        "CASE WHEN id > 1 THEN ".repeat(40),
        " END".repeat(40)
    );
    let not = format!("SELECT {}true AS x FROM logs", "NOT ".repeat(40));
    each_is_taken(&[case.as_str(), not.as_str()]);
    // A fault of another kind stays one.
    each_is_refused(&[("SELECT ((id) FROM logs", "1:14", "expected: ), found: FROM")]);
}

#[test]
fn a_syntax_error_says_where_and_what_may_have_been_meant() {
    each_is_refused(&[
        ("SELECT id FORM logs", "1:16", "found: logs; did you mean `FROM` at 1:11?"),
        ("SELEC id FROM logs", "1:1", "did you mean `SELECT` at 1:1?"),
        ("SELECT id\nFROM logs\nWHERE", "3:6", "found: the end of the file"),
        ("SELECT id FROM logs WHERE name IN ()", "1:36", "at least one value"),
        ("SELECT id FROM logs WHERE name = \"a\"", "1:34", "a text stands in single quotes"),
        ("-- none", "1:1", "expected a SELECT, found nothing"),
    ]);
}

#[test]
fn numbers_meet_no_texts_and_no_times_in_rows_lists_and_functions_either() {
    each_is_refused(&[
        ("SELECT id FROM logs WHERE (id, 1) = (name, 1)", "1:28", "is compared with a text"),
        ("SELECT id FROM logs WHERE (id, 1) IN ((name, 1))", "1:28", "is compared with a text"),
        ("SELECT array_has(make_array('0012'), id) AS x FROM logs", "1:38", "write 0012 without"),
        (
            "SELECT array_position(make_array(name), 7) AS x FROM logs",
            "1:34",
            "write '7' in quotes",
        ),
        ("SELECT id FROM logs WHERE id = ANY(ARRAY['0012'])", "1:27", "is compared with a text"),
        ("SELECT coalesce(id, name) AS x FROM logs", "1:17", "TRY_CAST(logs.name AS BIGINT)"),
        ("SELECT nvl(name, 1) AS x FROM logs", "1:12", "write '1' in quotes"),
        ("SELECT greatest(id, amount, name) AS x FROM logs", "1:17", "with a text, `logs.name`"),
        ("SELECT least(id, '5') AS x FROM logs", "1:14", "write 5 without quotes"),
        ("SELECT make_array(id, name) AS x FROM logs", "1:19", "with a text, `logs.name`"),
        ("SELECT id FROM logs WHERE at = id", "1:32", "is compared with a date or time"),
        ("SELECT id FROM logs WHERE CAST(at AS DATE) > 20261121", "1:32", "stands in quotes"),
        (
            "SELECT lag(id, 1, 0.5) OVER (ORDER BY id) AS x FROM logs",
            "1:12",
            "default of `lag`, 0.5",
        ),
        (
            "SELECT lead(id, 1, 'x') OVER (ORDER BY id) AS x FROM logs",
            "1:13",
            "write a number for x",
        ),
    ]);
    each_is_taken(&[
        "SELECT coalesce(id, amount, 0) AS a, coalesce(name, 'x') AS b FROM logs",
        "SELECT coalesce(CAST(id AS DOUBLE), 0.5) AS a, nvl(name, 'x') AS b FROM logs",
        "SELECT lag(id, 1, 0) OVER (ORDER BY id) AS a FROM logs",
        "SELECT lag(id, 1, NULL) OVER (ORDER BY id) AS a FROM logs",
        "SELECT lag(id) OVER (ORDER BY id) AS a FROM logs",
        "SELECT lag(CAST(id AS DOUBLE), 1, 0.5) OVER (ORDER BY id) AS a FROM logs",
        "SELECT id FROM logs WHERE (id, name) IN ((1, '0012'))",
        "SELECT array_has(make_array(1, 2), id) AS a FROM logs",
        "SELECT array_has(make_array(name), '0012') AS a FROM logs",
        "SELECT id FROM logs WHERE at > '2026-11-21' AND CAST(at AS DATE) = '2026-11-21'",
    ]);
}

#[test]
fn a_number_becomes_a_time_only_where_it_is_said_what_it_counts() {
    each_is_refused(&[
        ("SELECT CAST(id AS TIMESTAMP) AS x FROM logs", "1:13", "`to_timestamp_seconds(logs.id)`"),
        (
            "SELECT TRY_CAST(id AS TIMESTAMP) AS x FROM logs",
            "1:17",
            "`to_timestamp_millis(logs.id)`",
        ),
        ("SELECT id::TIMESTAMP(3) AS x FROM logs", "1:8", "without saying its unit"),
        ("SELECT CAST(id / 2.0 AS TIMESTAMP) AS x FROM logs", "1:13", "`to_timestamp_micros(CAST("),
        ("SELECT TRY_CAST(CAST(id AS DECIMAL(9,2)) AS TIMESTAMP) AS x FROM logs", "1:22", "round("),
    ]);
    each_is_taken(&[
        "SELECT to_timestamp_seconds(id) AS a, to_timestamp_millis(id) AS b FROM logs",
        "SELECT to_timestamp_micros(CAST(round(id / 2.0 * 1000000) AS BIGINT)) AS a FROM logs",
        "SELECT TRY_CAST(name AS TIMESTAMP) AS a, CAST(at AS BIGINT) AS b FROM logs",
    ]);
}

#[test]
fn a_query_that_reads_too_much_once_its_views_stand_in_it_is_refused_before_it_is_planned() {
    let doubling = |twice: &str| {
        let mut query = "WITH c0 AS (SELECT * FROM logs)".to_owned();
        for level in 1..=40 {
            query += &format!(", c{level} AS ({})", twice.replace('@', &format!("c{}", level - 1)));
        }
        query + " SELECT 1 AS x FROM c40"
    };
    let nested = "SELECT id FROM logs WHERE id IN (".repeat(20) + "1" + &")".repeat(20);
    let queries = [
        doubling("SELECT id FROM @ UNION ALL SELECT id FROM @"),
        doubling("SELECT a.id FROM @ a JOIN @ b ON a.id = b.id"),
        doubling("SELECT id FROM @ WHERE id IN (SELECT id FROM @)"),
        nested,
    ];
    for query in queries {
        let project = Project::new();
        project.write("shop/rows.sql", &query);
        let finished = project.ashiato("check", &[]);
        finished.fails_with(78, &["rows.sql:1:", "the query reads more than 4000 tables"]);
    }
    let project = Project::new();
    project.write("shop/rows.sql", doubling("SELECT a.*, b.* FROM @ a CROSS JOIN @ b"));
    let words = "`SELECT` takes more than 2000 columns by `*`";
    project.ashiato("check", &[]).fails_with(78, &["rows.sql:1:", words]);
    // Views are put into the views that read them.
    let project = Project::new();
    project.write("shop/v0.sql", "SELECT id FROM logs");
    for level in 1..=40 {
        let query = format!("SELECT a.id FROM v{0} a, v{0} b", level - 1);
        project.write(&format!("shop/v{level}.sql"), query);
    }
    project.ashiato("check", &[]).fails_with(78, &["v12.sql:1:25: the query reads more than"]);
}

#[test]
fn what_cannot_be_planned_is_told_in_words_and_not_as_the_engine_shows_it() {
    for query in [
        "SELECT l.*, x.i FROM logs l CROSS JOIN LATERAL (SELECT CAST(l.name AS INT) AS i) x",
        "SELECT l.* FROM logs l WHERE id = (SELECT max(id) FROM logs m WHERE m.id < l.id)",
        "SELECT (SELECT m.name FROM logs m WHERE m.id < l.id LIMIT 1) AS x, l.* FROM logs l",
    ] {
        let project = Project::new();
        project.write("shop/rows.sql", query);
        let finished = project.ashiato("check", &[]);
        assert!(!finished.stderr.contains("OuterReference"), "{query}: {}", finished.stderr);
        assert!(!finished.stderr.contains("nothing was published"), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("cannot be planned; join"),
            "{query}: {}",
            finished.stderr
        );
    }
    let project = Project::new();
    project.write("shop/rows.sql", "SELECT ntile(0) OVER (ORDER BY id) AS a, * FROM logs");
    let finished = project.ashiato("check", &[]);
    finished.fails_with(78, &["its query cannot be planned: NTILE requires a positive integer"]);
    assert!(!finished.stderr.contains("nothing was published"), "{}", finished.stderr);
}
