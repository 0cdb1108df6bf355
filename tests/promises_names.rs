//! Whatever a partition's value is: its rows lie in the directory that names it, or in the
//! quarantine, and nothing lies anywhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::parquet::record::RowAccessor;
use serde_json::{Value, json};

use crate::support::{Project, files_below};

/// Rows by `name`, in both formats, with the file's bytes in the clear.
const BY_NAME: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv", "parquet"]
partition_by = ["name"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
"#;

const DEFAULT: &str = "__HIVE_DEFAULT_PARTITION__";

/// Values that mean something to a path, a store, a shell or Hive, or differ by very little.
const ODD: [&str; 74] = [
    "/",
    "//",
    "a/b",
    "a%2Fb",
    "a%2fb",
    "a%252Fb",
    "/a",
    "a/",
    ".",
    "..",
    "...",
    "./a",
    "../a",
    "../..",
    "../../../escaped",
    ":",
    "a:b",
    "C:\\a",
    "%",
    "50%",
    "%41",
    "A",
    "a",
    "é",
    "e\u{301}",
    "Å",
    "\u{212b}",
    "\u{1}",
    "\t",
    "\n",
    "\r\n",
    "\u{1b}[2J",
    "\u{1f}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}a",
    "\u{fffd}",
    "\u{ffff}",
    "😀",
    "👨\u{200d}👩\u{200d}👧",
    "_a",
    ".a",
    "_SUCCESS",
    "_temporary",
    " ",
    " a",
    "a ",
    "a.",
    "=",
    "a=b",
    "name=a",
    "name=a/name=b",
    "\"",
    "'",
    "*",
    "?",
    "[a]",
    "{a}",
    "}",
    "^",
    "#",
    "~",
    "$HOME",
    "${OUT}",
    "-rf",
    "null",
    "NULL",
    "\\N",
    "__hive_default_partition__",
    "__HIVE_DEFAULT_PARTITION__ ",
    "a+b&c",
    "<a>|b",
];

/// Values that have just room in a directory's name, or just none.
fn long() -> [(String, bool); 9] {
    [
        ("x".repeat(250), true),
        ("x".repeat(251), false),
        ("/".repeat(83), true),
        ("/".repeat(84), false),
        ("本".repeat(83), true),
        ("本".repeat(84), false),
        ("x".repeat(4096), false),
        ("/".repeat(4096), false),
        ("😀".repeat(1024), false),
    ]
}

/// A value of each row by its id, and whether a directory can have its name. Each comes twice.
fn values(project: &Project) -> BTreeMap<i64, (Option<String>, bool)> {
    let below_root = project.path("escaped").to_str().unwrap().to_owned();
    let odd = ODD.iter().map(|value| ((*value).to_owned(), true));
    let named = odd.chain(long()).chain([(below_root, true), (DEFAULT.to_owned(), false)]);
    let mut values: Vec<_> = named.map(|(value, fits)| (Some(value), fits)).collect();
    values.extend([(None, true), (Some(String::new()), true)]);
    let twice = values.clone().into_iter().chain(values);
    (0..).zip(twice).collect()
}

fn lines(values: &BTreeMap<i64, (Option<String>, bool)>) -> String {
    let line = |(id, (name, _)): (&i64, &(Option<String>, bool))| {
        format!("{}\n", json!({ "id": id, "name": name }))
    };
    values.iter().map(line).collect()
}

/// Undoes Hive's `%XX`, as its `FileUtils.unescapePathName` does.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let code = std::str::from_utf8(&[*high, *low]).unwrap().to_owned();
                bytes.push(u8::from_str_radix(&code, 16).unwrap());
                rest = behind;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The ids in a table's file.
fn ids(name: &str, bytes: Vec<u8>) -> Vec<i64> {
    if name.ends_with(".tsv") {
        let text = String::from_utf8(bytes).unwrap();
        return text
            .lines()
            .map(|line| line.split('\t').next().unwrap().parse().unwrap())
            .collect();
    }
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().get_long(0).unwrap()).collect()
}

/// Ids by the value that their directory names; NULL is the empty text.
fn ids_by_value(root: &Path) -> BTreeMap<String, BTreeSet<i64>> {
    let mut found: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for (path, bytes) in files_below(root) {
        if path == "_SUCCESS" {
            continue;
        }
        let (folder, name) = path.split_once('/').unwrap();
        assert!(!name.contains('/') && name.starts_with("part-"), "{path:?}");
        let value = folder.strip_prefix("name=").unwrap_or_else(|| panic!("{path:?}"));
        let value = if value == DEFAULT { String::new() } else { unescape(value) };
        for id in ids(name, bytes) {
            let is_new = found.entry(value.clone()).or_default().insert(id);
            assert!(is_new, "row {id} stands twice in {folder:?}");
        }
    }
    found
}

/// Asserts that every row is in the directory that names its value, or in the quarantine.
fn check_rows(project: &Project, values: &BTreeMap<i64, (Option<String>, bool)>, result: &Value) {
    let mut expected: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let (fit, unusable): (Vec<_>, Vec<_>) = values.iter().partition(|(_, (_, fits))| *fits);
    for (id, (value, _)) in &fit {
        expected.entry(value.clone().unwrap_or_default()).or_default().insert(**id);
    }
    for format in ["tsv", "parquet"] {
        assert_eq!(ids_by_value(&project.path("out/rows").join(format)), expected, "{format}");
    }
    let records = project.quarantine();
    for record in &records {
        assert_eq!(record["reason"], "unusable_partition");
        assert_eq!((&record["output"], &record["column"]), (&json!("rows"), &json!("name")));
        let line = record["line"].as_i64().unwrap();
        assert_eq!(record["row"]["id"], line - 1);
        assert_eq!(record["row"]["name"], json!(values[&(line - 1)].0));
        assert!(record["object"].as_str().unwrap().ends_with("a.ndjson"));
    }
    let rejected: Vec<_> = records.iter().map(|r| r["row"]["id"].as_i64().unwrap()).collect();
    assert_eq!(rejected, unusable.iter().map(|(id, _)| **id).collect::<Vec<_>>());
    let output = &result["outputs"]["rows"];
    assert_eq!(
        (&output["rows"], &output["unusable_partition"]),
        (&json!(fit.len()), &json!(rejected.len()))
    );
    assert_eq!(output["partitions"], expected.len());
    assert_eq!(
        (&result["lines"], &result["decoded"]),
        (&json!(values.len()), &json!(values.len()))
    );
}

/// Asserts that nothing lies beside the tables, the state and the quarantine, and that no name that
/// was written anywhere has an empty part.
fn check_places(project: &Project) {
    let places = ["logs/dt=", "shop/", "out/rows/", "out/quarantine/shop/", "out/state/shop/"];
    for (path, bytes) in files_below(&project.path("")) {
        assert!(places.iter().any(|place| path.starts_with(place)), "{path:?}");
        if path.ends_with("manifest.json") {
            let manifest: Value = serde_json::from_slice(&bytes).unwrap();
            let files = manifest["tables"].as_array().unwrap().iter();
            let files = files.flat_map(|table| table["files"].as_array().unwrap());
            for file in files.map(|file| file["path"].as_str().unwrap()) {
                let is_plain = |name: &str| !name.is_empty() && !name.starts_with(['.', '_']);
                assert!(file.split('/').all(is_plain), "{file:?}");
            }
        }
    }
    assert!(!project.path("escaped").exists());
}

#[test]
fn rows_lie_in_the_directory_that_names_their_value_or_in_the_quarantine_and_nowhere_else() {
    let sorted = BY_NAME.replace("exclude", "sort_by = [\"id\"]\nexclude");
    let few_files = format!("{BY_NAME}[resources]\nmax_open_writers = 4\n");
    for pipeline in [BY_NAME, &sorted, &few_files] {
        let project = Project::new().pipeline(pipeline);
        let values = values(&project);
        let project = project.logs("a.ndjson", lines(&values));
        let result = project.run().published();
        check_rows(&project, &values, &result);
        check_places(&project);
    }
}

#[test]
fn a_record_says_which_column_what_was_expected_and_what_was_found() {
    let long = "x".repeat(300);
    let text = [DEFAULT, &long].map(|name| format!("{}\n", json!({ "id": 1, "name": name })));
    let any = "max_reject_ratio = 1";
    let project = Project::new().pipeline_with(any, "", BY_NAME).logs("a.ndjson", text.concat());
    project.run().published();
    let records = project.quarantine();
    let said = |number: usize, key: &str| records[number][key].as_str().unwrap().to_owned();
    assert_eq!(said(0, "expected"), "a value that Hive can tell from NULL");
    assert_eq!(said(0, "found"), "the text \"__HIVE_DEFAULT_PARTITION__\"");
    assert_eq!(said(1, "expected"), "a directory name of at most 255 bytes");
    assert!(said(1, "found").starts_with("305 bytes for the value that begins \"xxx"));
    assert!(said(1, "message").starts_with("output rows, partition column name: expected a dir"));
}

#[test]
fn a_day_in_a_year_that_hive_cannot_read_ends_no_run_and_needs_no_origin() {
    let by_day = BY_NAME.replace("\"name\"]", "\"day\"]").replace("exclude", "#");
    let text =
        "{\"id\":1,\"at\":\"9999-12-31T23:30:00Z\"}\n{\"id\":2,\"at\":\"2026-11-21T23:30:00Z\"}\n";
    let project = Project::new().pipeline(&by_day).logs("a.ndjson", text);
    project.write(
        "shop/rows.sql",
        "SELECT id, CAST(at + INTERVAL '9 hours' AS DATE) AS day FROM logs\n",
    );
    let result = project.run().published();
    let output = &result["outputs"]["rows"];
    assert_eq!((&output["rows"], &output["unusable_partition"]), (&json!(1), &json!(1)));
    let folders = files_below(&project.path("out/rows/tsv"));
    assert!(folders.keys().any(|name| name.starts_with("day=2026-11-22/")), "{:?}", folders.keys());
    let record = &project.quarantine()[0];
    assert_eq!((&record["column"], &record["row"]["id"]), (&json!("day"), &json!(1)));
    assert!(record["object"].is_null() && record["line"].is_null() && record["raw"].is_null());
    assert!(record["expected"].as_str().unwrap().contains("0001 to 9999"), "{record}");
}

#[test]
fn a_hive_path_longer_than_the_metastore_and_a_key_of_s3_take_ends_no_run() {
    let by_four = BY_NAME.replace("[\"name\"]", "[\"a\", \"b\", \"c\", \"d\"]");
    let line =
        |id: u8, bytes: usize| format!("{}\n", json!({ "id": id, "name": "x".repeat(bytes) }));
    let text = line(1, 189) + &line(2, 190);
    let project = Project::new().pipeline(&by_four).logs("a.ndjson", text);
    let columns = ["a", "b", "c", "d"].map(|column| format!("name AS {column}")).join(", ");
    project.write("shop/rows.sql", format!("SELECT id, {columns}, _source, _line FROM logs\n"));
    project.run().published();
    let files = files_below(&project.path("out/rows/tsv"));
    let file = files.keys().find(|name| name.starts_with("a=")).unwrap();
    assert_eq!(file.rsplit_once('/').unwrap().0.len(), 4 * 191 + 3);
    assert!(file.len() + 200 <= 1024, "a key of S3 has room for the table's place");
    let record = &project.quarantine()[0];
    assert_eq!((&record["row"]["id"], &record["line"]), (&json!(2), &json!(2)));
    assert_eq!(record["expected"], "a hive path of at most 767 bytes");
}

#[test]
fn rows_without_a_partition_count_against_the_thresholds() {
    let bad = format!("{}\n", json!({ "id": 1, "name": DEFAULT }));
    let text = format!("{bad}{bad}{{\"id\":2,\"name\":\"a\"}}\n");
    let strict = |limit: &str| {
        Project::new().pipeline_with(limit, "", BY_NAME).logs("a.ndjson", &text).run()
    };
    let limits = ["max_rejects = 1", "max_reject_ratio = 0.5"];
    for limit in limits {
        strict(limit).fails_with(65, &["output rows, rows: expected at most", "found 2"]);
    }
    strict("max_rejects = 2\nmax_reject_ratio = 0.7").published();
}

#[test]
fn a_row_that_breaks_an_expectation_is_not_counted_again_for_its_partition() {
    let expect = "[[output.expectation]]\nname = \"positive\"\npredicate = \"amount > 0\"\n\
                  on_fail = \"reject\"\n";
    let line = |amount: i8, name: &str| {
        format!("{}\n", json!({ "id": 1, "name": name, "amount": amount }))
    };
    let text = line(-1, DEFAULT) + &line(1, DEFAULT) + &line(-1, "a") + &line(1, "a");
    let project = Project::new().pipeline(&format!("{BY_NAME}{expect}")).logs("a.ndjson", text);
    let output = project.run().published()["outputs"]["rows"].clone();
    assert_eq!(output["rejected"]["positive"], 2);
    assert_eq!((&output["unusable_partition"], &output["rows"]), (&json!(1), &json!(1)));
    let reasons: Vec<_> = project.quarantine().iter().map(|r| r["reason"].clone()).collect();
    assert_eq!(reasons, ["expectation", "unusable_partition", "expectation"]);
}

#[test]
fn a_partition_column_whose_directories_readers_pass_over_is_refused_beforehand() {
    let hidden = BY_NAME.replace("[\"name\"]", "[\"_name\"]");
    let project = Project::new().pipeline(&hidden);
    project.write("shop/rows.sql", "SELECT id, name AS _name, _source, _line FROM logs\n");
    project.ashiato("check", &[]).fails_with(78, &["column `_name`: readers pass over"]);
}
