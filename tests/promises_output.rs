//! What lies on disk after a run: hive paths, TSV to the byte, manifest, `_SUCCESS`, reruns.

use std::collections::BTreeSet;
use std::fs::File;

use datafusion::parquet::basic::Type;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use sha2::{Digest, Sha256};

use crate::support::{DAY, OUTPUT, Project, files_below, gzip};

/// Rows partitioned by `name`.
const BY_NAME: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv"]
partition_by = ["name"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
"#;

fn folders(project: &Project) -> BTreeSet<String> {
    files_below(&project.path("out/rows"))
        .into_keys()
        .filter_map(|name| name.rsplit_once('/').map(|(folder, _)| folder.to_owned()))
        .collect()
}

#[test]
fn partition_values_are_escaped_as_hive_does_and_never_leave_the_table() {
    let names = ["../../etc", "a/b", "x=y", "50%", "a b", "日本", "", "q?*", "c:d", "."];
    let lines: String = names
        .iter()
        .enumerate()
        .map(|(id, name)| format!("{}\n", serde_json::json!({ "id": id, "name": name })))
        .collect();
    let project = Project::new().pipeline(BY_NAME).logs("a.ndjson", lines + "{\"id\":99}\n");
    let result = project.run().published();
    let expected = [
        "name=..%2F..%2Fetc",
        "name=a%2Fb",
        "name=x%3Dy",
        "name=50%25",
        "name=a b",
        "name=日本",
        "name=__HIVE_DEFAULT_PARTITION__",
        "name=q%3F%2A",
        "name=c%3Ad",
        "name=.",
    ];
    assert_eq!(folders(&project), expected.map(str::to_owned).into());
    assert_eq!(result["outputs"]["rows"]["partitions"], 10);
    assert_eq!(project.rows().len(), 11);
}

#[test]
fn tsv_is_what_lazy_simple_serde_reads() {
    let name = "tab\there\\ new\nline \r cr \\N";
    let line = serde_json::json!({ "id": 1, "name": name, "at": "2026-11-21T00:00:00.120+09:00" });
    let project = Project::new().logs("a.ndjson", format!("{line}\n{{\"id\":2,\"name\":\"\"}}\n"));
    project.write("shop/rows.sql", "SELECT id, name, at, amount, _source, _line FROM logs\n");
    project.run().published();
    let files = files_below(&project.path("out/rows"));
    let (_, text) = files.iter().find(|(name, _)| name.ends_with(".tsv")).unwrap();
    let expected = "1\ttab\\\there\\\\ new\\nline \\r cr \\\\N\t2026-11-20 15:00:00.12\t\\N\n\
                    2\t\t\\N\t\\N\n";
    assert_eq!(String::from_utf8_lossy(text), expected);
}

#[test]
fn a_rerun_of_an_interval_replaces_only_its_own_files() {
    let project = Project::new().pipeline(BY_NAME).logs("a.ndjson", "{\"id\":1,\"name\":\"a\"}\n");
    project.write("logs/dt=2026-11-22/b.ndjson", "{\"id\":2,\"name\":\"a\"}\n");
    project.run().published();
    project.ashiato("run", &["--date", "2026-11-22"]).published();
    project.write("out/rows/name=a/by-hand.tsv", "77\tby hand\n");
    let before = files_below(&project.path("out/rows"));
    let project = project.logs("a.ndjson", "{\"id\":3,\"name\":\"b\"}\n");
    project.run().published();
    let after = files_below(&project.path("out/rows"));
    assert_eq!(project.rows(), ["2\t\\N", "3\t\\N", "77\tby hand"]);
    let kept = after.keys().filter(|name| before.contains_key(*name) && !name.starts_with('_'));
    assert_eq!(kept.count(), 2, "the other day's file and the one made by hand");
    assert!(after.contains_key("_SUCCESS"));
}

#[test]
fn no_file_name_is_used_again_for_other_bytes() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let mut names = BTreeSet::new();
    for _ in 0..3 {
        project.run_again().published();
        let files = files_below(&project.path("out/rows"));
        assert_eq!(files.len(), 2, "one file and _SUCCESS: {:?}", files.keys());
        names.extend(files.into_keys().filter(|name| name != "_SUCCESS"));
    }
    assert_eq!(names.len(), 3);
}

#[test]
fn a_longer_interval_replaces_the_shorter_ones_in_it_which_are_then_refused() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    project.write("logs/dt=2026-11-22/b.ndjson", "{\"id\":2}\n");
    for day in ["2026-11-21", "2026-11-22"] {
        project.ashiato("run", &["--date", day]).published();
    }
    let both = [
        "--interval-start",
        "2026-11-21T00:00:00+09:00",
        "--interval-end",
        "2026-11-23T00:00:00+09:00",
    ];
    let result = project.ashiato("run", &both).published();
    assert_eq!(result["replaced_intervals"].as_array().unwrap().len(), 2);
    assert_eq!(project.rows().len(), 2, "no row stands twice");
    project.run().fails_with(64, &["20261120T150000Z-20261122T150000Z"]);
    assert_eq!(project.rows().len(), 2);
}

#[test]
fn the_manifest_names_every_file_with_its_rows_bytes_and_hash() {
    let project = Project::new()
        .pipeline(BY_NAME)
        .logs("a.ndjson", "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n");
    project.run().published();
    let state = files_below(&project.path("out/state/shop/manifests"));
    let manifest = state.iter().find(|(name, _)| name.ends_with("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(manifest.1).unwrap();
    let files = manifest["tables"][0]["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    let tables = files_below(&project.path("out/rows"));
    for file in files {
        let bytes = &tables[file["path"].as_str().unwrap()];
        assert_eq!(file["bytes"], bytes.len());
        assert_eq!(file["rows"], 1);
        assert_eq!(file["sha256"], hex::encode(Sha256::digest(bytes)));
    }
    let ddl = state.iter().find(|(name, _)| name.ends_with("create_table.sql")).unwrap();
    let ddl = String::from_utf8_lossy(ddl.1);
    assert!(ddl.contains("CREATE EXTERNAL TABLE") && ddl.contains("`id`"), "{ddl}");
    assert!(ddl.contains("'serialization.escape.crlf' = 'true'"), "{ddl}");
    let listing = state.iter().find(|(name, _)| name.contains("distcp")).unwrap();
    let listing = String::from_utf8_lossy(listing.1);
    assert_eq!(listing.lines().count(), 2);
    for line in listing.lines() {
        assert!(line.starts_with("file:///") && line.contains("/rows/name="), "{listing}");
    }
    assert!(files_below(&project.path("out/state/shop/staging")).is_empty());
}

#[test]
fn both_formats_of_an_output_hold_the_same_rows() {
    let both = BY_NAME.replace("[\"tsv\"]", "[\"tsv\", \"parquet\"]");
    let lines: String =
        (0..100).map(|id| format!("{{\"id\":{id},\"name\":\"{}\"}}\n", id % 3)).collect();
    let project = Project::new().pipeline(&both).logs("a.ndjson", lines);
    let result = project.run().published();
    assert_eq!(result["outputs"]["rows"]["rows"], 100);
    assert_eq!(result["outputs"]["rows"]["files"], 6);
    let tsv = crate::support::tsv_lines(&project.path("out/rows/tsv"));
    assert_eq!(tsv.len(), 100);
    let parquet = files_below(&project.path("out/rows/parquet"));
    let rows: i64 = parquet
        .iter()
        .filter(|(name, _)| name.ends_with(".parquet"))
        .map(|(_, bytes)| {
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes.clone())).unwrap();
            reader.metadata().file_metadata().num_rows()
        })
        .sum();
    assert_eq!(rows, 100);
}

#[test]
fn sorted_outputs_are_sorted_within_their_files() {
    let sorted = BY_NAME.replace("exclude", "sort_by = [\"id\"]\nexclude");
    let lines: String = (0..5000)
        .map(|id| format!("{{\"id\":{},\"name\":\"{}\"}}\n", (id * 7919) % 5000, id % 3))
        .collect();
    let project = Project::new().pipeline(&sorted).logs("a.gz", gzip(lines.as_bytes()));
    project.run().published();
    for (name, bytes) in files_below(&project.path("out/rows")) {
        if name.ends_with(".tsv") {
            let text = String::from_utf8(bytes).unwrap();
            let ids: Vec<i64> = text
                .lines()
                .map(|line| line.split('\t').next().unwrap().parse().unwrap())
                .collect();
            assert!(ids.is_sorted() && ids.len() > 1600, "{name}");
        }
    }
}

#[test]
fn any_number_of_hive_paths_needs_few_open_files_and_makes_one_file_each() {
    let few = format!("{BY_NAME}[resources]\nmax_open_writers = 4\n");
    let lines: String =
        (0..6000).map(|id| format!("{{\"id\":{id},\"name\":\"n{}\"}}\n", id % 300)).collect();
    let project = Project::new().pipeline(&few).logs("a.ndjson", lines);
    let result = project.run().published();
    assert_eq!(result["outputs"]["rows"]["partitions"], 300);
    assert_eq!(result["outputs"]["rows"]["files"], 300, "one file a hive path");
    assert_eq!(project.rows().len(), 6000);
}

#[test]
fn hive2_has_timestamps_and_decimals_that_its_own_serde_reads() {
    let hive2 = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["parquet"]
[output.parquet]
target = "hive2"
"#;
    let line = "{\"id\":1,\"at\":\"2026-11-21T00:00:00+09:00\",\"amount\":12}\n";
    let project = Project::new().pipeline(hive2).logs("a.ndjson", line);
    project.write(
        "shop/rows.sql",
        "SELECT id, at, CAST(amount AS DECIMAL(9, 2)) AS price FROM logs\n",
    );
    project.run().published();
    let (name, _) = files_below(&project.path("out/rows"))
        .into_iter()
        .find(|(name, _)| name.ends_with(".parquet"))
        .unwrap();
    let file = File::open(project.path("out/rows").join(name)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr();
    let types: Vec<Type> = schema.columns().iter().map(|c| c.physical_type()).collect();
    assert_eq!(types, [Type::INT64, Type::INT96, Type::FIXED_LEN_BYTE_ARRAY]);
}

#[test]
fn memory_stays_within_its_limit_however_large_the_input_and_its_sorts() {
    let sorted = BY_NAME.replace("exclude", "sort_by = [\"id\"]\nexclude");
    let limited = format!("{sorted}[resources]\nmemory_limit = \"256MiB\"\nthreads = 2\n");
    let mut project = Project::new().pipeline(&limited);
    for part in 0..4u64 {
        let lines: String = (0..150_000u64)
            .map(|n| {
                let id = (n * 4 + part).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                format!("{{\"id\":{id},\"name\":\"{}\",\"amount\":{n}}}\n", "x".repeat(200))
            })
            .collect();
        project =
            project.logs(&format!("{part}.zst"), zstd::encode_all(lines.as_bytes(), 1).unwrap());
    }
    let result = project.ashiato("run", &DAY).published();
    assert_eq!(result["outputs"]["rows"]["rows"], 600_000);
    let peak = result["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak < 256 << 20, "{} MiB", peak >> 20);
}

#[test]
fn changed_columns_are_told_and_taken_only_as_far_as_the_policy_allows() {
    let logs = "{\"id\":1,\"name\":\"a\",\"amount\":10}\n";
    let with = |policy: &str| OUTPUT.replace("[output.tsv]", &format!("{policy}\n[output.tsv]"));
    let project = Project::new().logs("a.ndjson", logs);
    let first = project.run().published();
    assert!(first["outputs"]["rows"].get("column_changes").is_none());

    project
        .write("shop/rows.sql", "SELECT id, name, amount, 1.5 AS rate, _source, _line FROM logs");
    let changes = project.run().published()["outputs"]["rows"]["column_changes"].clone();
    assert_eq!(changes["added"], serde_json::json!([{ "name": "rate", "type": "Float64" }]));
    assert!(project.run_again().published()["outputs"]["rows"].get("column_changes").is_none());

    project.write("shop/rows.sql", "SELECT CAST(id AS TEXT) AS id, name, _source, _line FROM logs");
    let rows = project.rows();
    project.run().fails_with(
        78,
        &["removed `amount` Int64, `rate` Float64", "retyped `id` Int64 → Utf8", "allow_added"],
    );
    assert_eq!(project.rows(), rows, "nothing was touched");
    let project = project.pipeline(&with("on_schema_change = \"any\""));
    project.run().published();
    assert_eq!(project.rows(), ["1\ta"]);
    project.write("shop/rows.sql", "SELECT id, name, 2 AS two, _source, _line FROM logs");
    let project = project.pipeline(&with("on_schema_change = \"freeze\""));
    project.run().fails_with(78, &["added `two` Int64", "freeze"]);
}
