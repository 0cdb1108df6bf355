//! Bad input is data: it lies in the quarantine, byte for byte, with its reason and place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{OUTPUT, Project, gzip};

/// Runs one bad line between two good ones and gives its record.
fn record_of(contract: &str, line: &[u8]) -> serde_json::Value {
    let text = [b"{\"id\":1}\n", line, b"\n{\"id\":2}\n"].concat();
    let project = Project::new().logs("a.ndjson", text);
    if !contract.is_empty() {
        project.write("shop/contract.toml", contract);
    }
    let result = project.run().published();
    assert_eq!((&result["decoded"], &result["rejected"]), (&2.into(), &1.into()), "{result}");
    assert_eq!(project.rows().len(), 2);
    let records = project.quarantine();
    assert_eq!(records.len(), 1);
    let record = records[0].clone();
    assert_eq!(record["line"], 2);
    assert_eq!(record["offset"], 9);
    assert!(record["object"].as_str().unwrap().ends_with("logs/dt=2026-11-21/a.ndjson"));
    let reason = record["reason"].as_str().unwrap();
    assert_eq!(result["rejects_by_reason"][reason], 1);
    let exact = match record.get("raw_base64") {
        Some(raw) => STANDARD.decode(raw.as_str().unwrap()).unwrap(),
        None => record["raw"].as_str().unwrap().as_bytes().to_vec(),
    };
    assert_eq!(exact, line, "the line is kept byte for byte");
    record
}

#[test]
fn each_kind_of_bad_line_has_its_reason() {
    let deep = format!("{{\"id\":3,\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let cases: [(&[u8], &str); 12] = [
        (b"{\"id\":3", "invalid_json"),
        (b"{\"id\":03}", "invalid_json"),
        (b"{\"id\":3} {}", "invalid_json"),
        (b"[1]", "not_an_object"),
        (b"{\"id\":3,\"name\":\"\xff\xfe\"}", "invalid_utf8"),
        (b"{\"id\":3,\"name\":\"\\ud83d\"}", "lone_surrogate"),
        (b"{\"id\":3,\"name\":\"a\\u0000b\"}", "nul_character"),
        (deep.as_bytes(), "too_deep"),
        (b"{\"name\":\"x\"}", "missing_required"),
        (b"{\"id\":\"3\"}", "type_mismatch"),
        (b"{\"id\":9223372036854775808}", "out_of_range"),
        (b"{\"id\":3,\"at\":\"yesterday\"}", "invalid_timestamp"),
    ];
    for (line, reason) in cases {
        assert_eq!(record_of("", line)["reason"], reason, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn a_message_names_path_expected_and_found() {
    let record = record_of("", b"{\"id\":3,\"amount\":\"twelve\"}");
    assert_eq!(record["path"], "amount");
    let message = record["message"].as_str().unwrap();
    for part in ["amount", "int64", "twelve"] {
        assert!(message.contains(part), "{message} lacks {part}");
    }
}

#[test]
fn duplicate_keys_and_unknown_fields_are_rejected_where_the_contract_says_so() {
    let strict = format!(
        "unknown_fields = \"reject\"\nduplicate_keys = \"reject\"\n{}",
        crate::support::CONTRACT
    );
    assert_eq!(record_of(&strict, b"{\"id\":3,\"id\":4}")["reason"], "duplicate_key");
    let unknown = record_of(&strict, b"{\"id\":3,\"page\":{\"url\":1}}");
    assert_eq!(unknown["reason"], "unknown_field");
    assert_eq!(unknown["path"], "page");
}

#[test]
fn a_line_that_is_too_long_is_cut_and_says_how_much_is_missing() {
    let contract = format!("line_bytes_max = 100\n{}", crate::support::CONTRACT);
    let long = format!("{{\"id\":3,\"name\":\"{}\"}}", "x".repeat(500));
    let project = Project::new().logs("a.ndjson", format!("{{\"id\":1}}\n{long}\n{{\"id\":2}}\n"));
    project.write("shop/contract.toml", contract);
    let result = project.run().published();
    assert_eq!(result["rejects_by_reason"]["line_too_long"], 1);
    assert_eq!(project.rows().len(), 2);
    let record = &project.quarantine()[0];
    assert_eq!(record["raw"], long[..100]);
    assert_eq!(record["bytes_omitted"], long.len() - 100);
}

#[test]
fn a_damaged_stream_keeps_the_lines_before_the_damage_and_rejects_the_rest_as_one() {
    let lines: String =
        (0..5000).map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\"}}\n")).collect();
    let whole = gzip(lines.as_bytes());
    let half = &whole[..whole.len() / 2];
    let project = Project::new().logs("a.gz", half).logs("b.gz", gzip(b"{\"id\":-1}\n"));
    let result = project.run().published();
    assert_eq!(result["rejects_by_reason"]["damaged_stream"], 1);
    let damaged = result["sources"]["damaged"].as_array().unwrap();
    assert!(damaged.len() == 1 && damaged[0].as_str().unwrap().contains("logs/"), "{damaged:?}");
    let decoded = result["decoded"].as_u64().unwrap();
    assert!((1000..5000).contains(&decoded), "{decoded} lines before the damage");
    assert_eq!(result["lines"], decoded + 1);
    let record = &project.quarantine()[0];
    assert_eq!(record["line"], decoded, "the damage begins behind the last whole line");
    let raw = record["raw"].as_str().unwrap();
    let at = record["offset"].as_u64().unwrap() as usize;
    assert!(lines[at..].starts_with(raw), "the torn line is kept as far as it goes");
}

#[test]
fn unknown_fields_are_counted_by_path_or_collected() {
    let text = "{\"id\":1,\"page\":{\"url\":1},\"x\":null}\n{\"id\":2,\"page\":2}\n";
    let project = Project::new().logs("a.ndjson", text);
    let result = project.run().published();
    assert_eq!(result["unknown_fields"]["page"], 2);
    assert_eq!(result["unknown_fields"]["x"], 1);
    let collect = "unknown_fields = \"collect\"\nunknown_fields_column = \"extra\"\n";
    project.write("shop/contract.toml", format!("{collect}{}", crate::support::CONTRACT));
    project.write("shop/rows.sql", "SELECT *, extra AS more FROM logs\n");
    project.run().published();
    let rows = project.rows();
    let extra = rows.iter().map(|row| row.split('\t').next_back().unwrap().to_owned());
    let expected = ["{\"page\":{\"url\":1},\"x\":null}", "{\"page\":2}"];
    assert_eq!(extra.collect::<Vec<_>>(), expected);
}

#[test]
fn rows_that_break_an_expectation_lie_in_the_quarantine_with_their_line() {
    let expect = |on_fail: &str| {
        format!(
            "{OUTPUT}[[output.expectation]]\nname = \"positive\"\npredicate = \"amount > $least\"\n\
             on_fail = \"{on_fail}\"\n[parameters]\nleast = {{ type = \"int64\", default = 0 }}\n"
        )
    };
    let text = "{\"id\":1,\"amount\":5}\n{\"id\":2,\"amount\":-5}\n{\"id\":3}\n";
    let project = Project::new().logs("a.ndjson", text).pipeline(&expect("reject"));
    let result = project.run().published();
    assert_eq!(project.rows(), ["1\t\\N\t5"]);
    assert_eq!(result["outputs"]["rows"]["rejected"]["positive"], 2);
    assert_eq!(result["rejected"], 0, "the lines themselves were decoded");
    let records = project.quarantine();
    assert_eq!(records.iter().map(|r| r["line"].clone()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(records[0]["reason"], "expectation");
    assert_eq!(records[0]["row"]["amount"], -5);
    assert!(records[0]["object"].as_str().unwrap().ends_with("a.ndjson"));

    let project = project.pipeline(&expect("warn"));
    let result = project.run().published();
    assert_eq!(project.rows().len(), 3);
    assert_eq!(result["outputs"]["rows"]["warned"]["positive"], 2);

    let project = project.pipeline(&expect("fail"));
    project.run().fails_with(65, &["positive", "line 2 of", "a.ndjson", "nothing was published"]);
    assert_eq!(project.rows().len(), 3, "the earlier run's rows are still there");
    let least = ["--date", "2026-11-21", "--param", "least=-9"];
    project.ashiato("run", &least).fails_with(65, &["line 3 of"]);
}

#[test]
fn without_rejects_the_quarantine_stays_empty() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    project.run().published();
    assert!(project.quarantine().is_empty());
    assert!(!project.path("out/quarantine").exists());
}
