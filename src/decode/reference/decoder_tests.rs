use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;

use super::*;
use crate::base::config::ConfigFile;
use crate::contract::parse_contract;
use crate::decode::Decoder;
use crate::decode::reference::unknown::OTHER_UNKNOWN_FIELDS;
use crate::json::scan::Cpu;

fn contract(text: &str) -> Arc<Contract> {
    let file = ConfigFile { path: "contract.toml".into(), text: text.to_owned() };
    Arc::new(parse_contract(&file).unwrap())
}

fn lines(bytes: impl Into<Bytes>) -> Lines {
    let bytes = bytes.into();
    let count = split_lines(&bytes).count() as u64;
    Lines { bytes, first_line: 1, first_offset: 0, count }
}

/// What both decoders make of some lines: the rules are those of the fast one as well.
fn decode(contract_text: &str, bytes: impl Into<Bytes>) -> Decoded {
    let (contract, lines) = (contract(contract_text), lines(bytes));
    let decoded = ReferenceDecoder::new(Arc::clone(&contract)).decode(&lines);
    let all: Vec<usize> = (0..contract.arrow_schema().fields().len()).collect();
    for cpu in Cpu::available() {
        let fast = Decoder::on_cpu(Arc::clone(&contract), &all, cpu).decode(&lines);
        assert_eq!(fast, decoded, "{cpu:?}");
    }
    decoded
}

/// The one reject of one line.
fn reject(contract_text: &str, line: impl Into<Bytes>) -> Reject {
    let mut decoded = decode(contract_text, line);
    assert_eq!((decoded.rejects.len(), decoded.batch.num_rows()), (1, 0), "{decoded:#?}");
    decoded.rejects.remove(0)
}

/// Reason, path and what was found of the one reject of one line.
fn told(contract_text: &str, line: impl Into<Bytes>) -> (&'static str, String, String) {
    let reject = reject(contract_text, line);
    (reject.reason.as_str(), reject.path.unwrap_or_default(), reject.found)
}

/// The texts of a column, NULLs as `-`.
fn texts(decoded: &Decoded, column: &str) -> Vec<String> {
    let array = decoded.batch.column_by_name(column).unwrap().as_string::<i32>();
    array.iter().map(|text| text.unwrap_or("-").to_owned()).collect()
}

fn unknown(decoded: &Decoded) -> Vec<(&str, u64)> {
    decoded.unknown_fields.iter().map(|(path, count)| (path.as_str(), *count)).collect()
}

const A_STRING: &str = "[[column]]\nname = \"s\"\ntype = \"string\"\n";

const ALL_TYPES: &str = r#"
unknown_fields = "collect"
unknown_fields_column = "extra"
[[column]]
name = "s"
type = "string"
[[column]]
name = "b"
type = "bool"
[[column]]
name = "i"
type = "int32"
[[column]]
name = "l"
type = "int64"
[[column]]
name = "f"
type = "float64"
[[column]]
name = "d"
type = "decimal(12,2)"
[[column]]
name = "day"
type = "date"
[[column]]
name = "at"
paths = ["time", "ts"]
type = "timestamp"
[[column]]
name = "j"
type = "json"
[[column]]
name = "items"
type = "list"
[[column.item]]
name = "sku"
type = "string"
required = true
[[column.item]]
name = "tags"
type = "list"
[[column.item.item]]
name = "t"
type = "string"
"#;

#[test]
fn a_line_of_every_type_becomes_a_row() {
    let line = r#"{"s":"足","b":true,"i":1,"l":9007199254740993,"f":1.5,"d":19.5,"day":"1970-01-02",
        "ts":"1970-01-01T00:00:01Z","j":[1, 2],"x":{"y":1},
        "items":[{"sku":"a","tags":[{"t":"x"},null],"qty":2},null,{"sku":"b"}]}"#;
    let text = format!("{}\n{{}}\n", line.replace('\n', ""));
    let decoded = decode(ALL_TYPES, text);
    assert_eq!(decoded.rejects, []);
    let batch = &decoded.batch;
    assert_eq!(batch.schema(), contract(ALL_TYPES).arrow_schema());
    assert_eq!(texts(&decoded, "s"), ["足", "-"]);
    assert!(batch["b"].as_boolean().value(0));
    assert_eq!(batch["i"].as_primitive::<Int32Type>().value(0), 1);
    assert_eq!(batch["l"].as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
    assert_eq!(batch["f"].as_primitive::<Float64Type>().value(0), 1.5);
    assert_eq!(batch["d"].as_primitive::<Decimal128Type>().value(0), 1950);
    assert_eq!(batch["day"].as_primitive::<Date32Type>().value(0), 1);
    assert_eq!(batch["at"].as_primitive::<TimestampMicrosecondType>().value(0), 1_000_000);
    assert_eq!(texts(&decoded, "j"), ["[1, 2]", "-"]);
    assert_eq!(texts(&decoded, "extra"), [r#"{"x":{"y":1},"items[0].qty":2}"#, "-"]);
    let items = &batch["items"].as_list::<i32>();
    assert_eq!((items.value_length(0), items.is_null(1)), (3, true));
    let elements = items.values().as_struct();
    assert_eq!(
        (elements.is_null(0), elements.is_null(1), elements.is_null(2)),
        (false, true, false)
    );
    let skus: Vec<_> = elements.column(0).as_string::<i32>().iter().collect();
    assert_eq!(skus, [Some("a"), None, Some("b")]);
    let tags = elements.column(1).as_list::<i32>();
    assert_eq!((tags.value_length(0), tags.is_null(1), tags.is_null(2)), (2, true, true));
    for column in &batch.columns()[..batch.num_columns() - 2] {
        assert!(column.is_null(1));
    }
    assert_eq!(unknown(&decoded), [("items[].qty", 1), ("x", 1)]);
}

#[test]
fn rows_rejects_and_blanks_tell_their_places_through_every_line_end() {
    let text = "{\"s\":\"a\"}\r\n\r\n  \t\n{\"s\":1}\r\n{\"s\":\"b\"}\n\nx\n{\"s\":\"c\"}";
    let block = Lines { bytes: text.into(), first_line: 41, first_offset: 5000, count: 8 };
    let decoded = ReferenceDecoder::new(contract(A_STRING)).decode(&block);
    assert_eq!(texts(&decoded, "s"), ["a", "b", "c"]);
    assert_eq!(decoded.blank, 3);
    let numbers = decoded.batch["_line"].as_primitive::<Int64Type>();
    assert_eq!(numbers.values(), &[41, 45, 48]);
    let offsets = decoded.batch["_offset"].as_primitive::<Int64Type>();
    assert_eq!(offsets.values(), &[5000, 5026, 5039]);
    let places: Vec<_> =
        decoded.rejects.iter().map(|r| (r.line, r.offset, r.raw.as_ref())).collect();
    assert_eq!(places, [(44, 5017, b"{\"s\":1}".as_ref()), (47, 5037, b"x".as_ref())]);
    let shared = decoded.rejects[0].raw.as_ptr();
    assert_eq!(shared, block.bytes[17..].as_ptr(), "the raw line is copied");
    assert_eq!(decoded.rejects[0].bytes_omitted, 0);
}

#[test]
fn no_lines_make_an_empty_batch() {
    let decoded = decode(ALL_TYPES, "");
    assert_eq!((decoded.batch.num_rows(), decoded.rejects.len(), decoded.blank), (0, 0, 0));
    assert_eq!(decoded.batch.schema(), contract(ALL_TYPES).arrow_schema());
}

#[test]
fn a_decoder_keeps_nothing_from_one_block_to_the_next() {
    let mut decoder = ReferenceDecoder::new(contract(A_STRING));
    let block = lines("{\"s\":\"a\",\"x\":1}\n{\"s\":1}\n\n");
    let first = decoder.decode(&block);
    let second = decoder.decode(&block);
    assert_eq!((first.batch, first.rejects), (second.batch, second.rejects));
    assert_eq!((first.blank, first.unknown_fields), (second.blank, second.unknown_fields));
}

#[test]
fn what_is_wrong_with_a_whole_line_is_told_without_a_path() {
    let deep = "depth_max = 3\n".to_owned() + A_STRING;
    let long_reject = reject(A_STRING, format!("[{}]", "足".repeat(300)));
    assert_eq!(long_reject.reason, RejectReason::InvalidJson);
    let cases: [(&[u8], &str, &str); 14] = [
        (b"{\"s\":\"\xff\"}", "invalid_utf8", "0xff at byte 6"),
        (b"{\"skipped\":\"\xc3\x28\"}", "invalid_utf8", "0xc3 at byte 12"),
        (b"{\"s\":\"\xe8\xb6", "invalid_utf8", "0xe8 at byte 6"),
        (b"{\"s\":\"\xed\xa0\x80\"}", "invalid_utf8", "0xed at byte 6"),
        (b"not json", "invalid_json", "`o` at byte 1"),
        (b"{\"s\":\"a\"", "invalid_json", "the end of the text"),
        (b"{\"s\":\"a\"} {\"s\":\"b\"}", "invalid_json", "`{` at byte 10"),
        (b"{\"s\":\"a\",\"skipped\":[01]}", "invalid_json", "`1` at byte 21"),
        (b"{\"s\":\"a\",\"skipped\":\"\\ud800\"}", "lone_surrogate", "`\\ud800` at byte 20"),
        (b"{\"\\udead\":1}", "lone_surrogate", "`\\udead` at byte 2"),
        (b"{\"skipped\":[[[]]]}", "too_deep", "`[` at byte 13"),
        (b"[1]", "not_an_object", "[1]"),
        (b" null ", "not_an_object", "null"),
        (b"\"s\"", "not_an_object", "\"s\""),
    ];
    for (line, reason, found) in cases {
        let told = told(&deep, line.to_vec());
        assert_eq!(told, (reason, String::new(), found.to_owned()), "{}", line.escape_ascii());
    }
    let too_deep = reject(&deep, "{\"a\":{\"a\":{\"a\":{}}}}");
    assert_eq!(too_deep.expected, "at most 3 levels of objects and arrays");
    assert_eq!(decode(&deep, "{\"a\":{\"a\":{\"a\":1}}}").batch.num_rows(), 1);
}

#[test]
fn a_byte_order_mark_is_left_to_the_framer() {
    let told = told(A_STRING, "\u{feff}{\"s\":\"a\"}");
    assert_eq!(told.0, "invalid_json");
}

#[test]
fn depth_is_rejected_not_crashed_on() {
    let limits = [("", 64), ("depth_max = 256\n", 256)];
    for (limit, levels) in limits {
        let text = limit.to_owned() + A_STRING;
        let nested = |depth: usize| format!("{}1{}", "{\"s\":".repeat(depth), "}".repeat(depth));
        assert_eq!(reject(&text, nested(levels)).reason, RejectReason::TypeMismatch);
        assert_eq!(reject(&text, nested(levels + 1)).reason, RejectReason::TooDeep);
        assert_eq!(reject(&text, nested(500_000)).reason, RejectReason::TooDeep);
    }
}

#[test]
fn of_duplicate_keys_the_last_counts_or_the_line_is_a_reject() {
    let column = "[[column]]\nname = \"n\"\npath = \"a.b\"\ntype = \"int64\"\n\
                  [[column]]\nname = \"j\"\ntype = \"json\"\n";
    let line = r#"{"a":{"b":1},"j":{"k":1,"k":2},"x":1,"\u0061":{"b":"?","b":2},"x":2}"#;
    let collect = "unknown_fields = \"collect\"\nunknown_fields_column = \"extra\"\n".to_owned();
    let decoded = decode(&(collect + column), line);
    assert_eq!(decoded.batch["n"].as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(texts(&decoded, "j"), [r#"{"k":1,"k":2}"#]);
    assert_eq!(texts(&decoded, "extra"), [r#"{"x":2}"#]);
    assert_eq!(unknown(&decoded), [("x", 1)]);

    let strict = format!("duplicate_keys = \"reject\"\n{column}");
    let cases = [
        (line, "a"),
        (r#"{"a":{"b":1,"b":1}}"#, "a.b"),
        (r#"{"j":[{"k":1,"k":2}]}"#, "j[0].k"),
        (r#"{"skipped":{"c.d":1,"c.d":2}}"#, "skipped.\"c.d\""),
    ];
    for (line, path) in cases {
        let expected = ("duplicate_key", path.to_owned(), "the key twice".to_owned());
        assert_eq!(told(&strict, line), expected, "{line}");
    }
}

#[test]
fn the_first_fault_in_the_order_of_columns_is_told() {
    let text = r#"
unknown_fields = "reject"
[[column]]
name = "first"
type = "int32"
[[column]]
name = "second"
type = "string"
required = true
[[column]]
name = "at"
paths = ["time", "ts"]
type = "timestamp"
"#;
    let cases = [
        (r#"{"ts":"x","second":1,"first":"1","x":1}"#, "type_mismatch", "first", "\"1\""),
        (r#"{"ts":"x","first":1e10}"#, "out_of_range", "first", "1e10"),
        (r#"{"ts":"x"}"#, "missing_required", "second", "nothing"),
        (r#"{"ts":"x","second":null}"#, "missing_required", "second", "nothing"),
        (r#"{"ts":"x","second":"\u0000"}"#, "nul_character", "second", "\"\\u0000\""),
        (r#"{"ts":"x","second":"","y":1}"#, "invalid_timestamp", "ts", "\"x\""),
        (r#"{"y":[1, 2],"second":"","x":1}"#, "unknown_field", "y", "[1, 2]"),
    ];
    for (line, reason, path, found) in cases {
        let expected = (reason, path.to_owned(), found.to_owned());
        assert_eq!(told(text, line), expected, "{line}");
    }
    let expected = reject(text, r#"{"second":"","time":1}"#).expected;
    assert_eq!(expected, "a timestamp as `rfc3339`");
}

#[test]
fn nul_characters_harm_only_in_strings_that_a_column_takes() {
    let text = A_STRING.to_owned() + "[[column]]\nname = \"j\"\ntype = \"json\"\n";
    let decoded = decode(&text, r#"{"s":"a","j":"\u0000","x":"\u0000","\u0000":1}"#);
    assert_eq!(decoded.rejects, []);
    assert_eq!(texts(&decoded, "j"), [r#""\u0000""#]);
    assert_eq!(unknown(&decoded), [("\0", 1), ("x", 1)]);
}

const PATHS: &str = r#"
[[column]]
name = "id"
paths = ["session.id", "sid"]
type = "string"
[[column]]
name = "all"
path = "whole"
type = "json"
[[column]]
name = "part"
path = "whole.part"
type = "string"
[[column]]
name = "items"
type = "list"
on_mismatch = "null"
[[column.item]]
name = "sku"
path = "product.sku"
type = "string"
[[column]]
name = "count"
path = "items.count"
type = "string"
"#;

#[test]
fn unknown_fields_count_at_their_topmost_key() {
    let cases: [(&str, &[(&str, u64)]); 12] = [
        (r#"{"session":{"id":"a"},"sid":"b","whole":{"x":1},"items":[]}"#, &[]),
        (r#"{"session":{"id":"a","x":{"y":{"z":1}}}}"#, &[("session.x", 1)]),
        (r#"{"a":{"b":1,"c":2}}"#, &[("a", 1)]),
        (
            r#"{"items":[{"product":{"sku":"a","x":1},"y":[1]},{"y":2},null]}"#,
            &[("items[].product.x", 1), ("items[].y", 2)],
        ),
        (r#"{"session":"s1"}"#, &[("session", 1)]),
        (r#"{"session":["s1"]}"#, &[("session", 1)]),
        (r#"{"session":null}"#, &[]),
        (r#"{"session":{}}"#, &[]),
        (r#"{"items":{"count":"1","x":1}}"#, &[("items.x", 1)]),
        (r#"{"items":"none"}"#, &[]),
        (r#"{"items":["none"]}"#, &[]),
        (
            r#"{"a.b":1,"":2,"c[0]":3,"d\"":4,"e f":5}"#,
            &[("\"\"", 1), ("\"a.b\"", 1), ("\"c[0]\"", 1), ("\"d\\\"\"", 1), ("e f", 1)],
        ),
    ];
    for (line, expected) in cases {
        let decoded = decode(PATHS, line);
        assert_eq!(decoded.rejects, [], "{line}");
        assert_eq!(unknown(&decoded), expected, "{line}");
    }
}

#[test]
fn unknown_fields_of_rejects_do_not_count() {
    let decoded = decode(A_STRING, "{\"s\":1,\"x\":1}\n{\"y\":1}\n{\"y\":1,\"s\":\"\"}\n");
    assert_eq!(unknown(&decoded), [("y", 2)]);
}

#[test]
fn unknown_paths_beyond_a_thousand_count_together_and_long_ones_are_cut() {
    let fields: Vec<String> = (0..1_200).map(|number| format!("\"f{number}\":0")).collect();
    let decoded = decode(A_STRING, format!("{{{}}}", fields.join(",")));
    assert_eq!(decoded.unknown_fields.len(), 1_001);
    assert_eq!(decoded.unknown_fields[OTHER_UNKNOWN_FIELDS], 200);
    let decoded = decode(A_STRING, format!("{{\"{}\":0}}", "k".repeat(1_000)));
    assert_eq!(unknown(&decoded), [(("k".repeat(199) + "…").as_str(), 1)]);
}

#[test]
fn collected_fields_are_one_object_of_paths_and_texts_as_they_stand() {
    let text = format!("unknown_fields = \"collect\"\nunknown_fields_column = \"extra\"\n{PATHS}");
    let cases = [
        (r#"{"sid":"a"}"#, "-"),
        (r#"{"x": 1.50 , "y" : { "z" : [ 1,2 ] }}"#, r#"{"x":1.50,"y":{ "z" : [ 1,2 ] }}"#),
        (
            r#"{"session":{"x":"\u8db3\/","y":null}}"#,
            r#"{"session.x":"\u8db3\/","session.y":null}"#,
        ),
        (r#"{"items":[{"q":1},null,{"q":2}]}"#, r#"{"items[0].q":1,"items[2].q":2}"#),
        (r#"{"a.b":1,"c\"\u0000":2,"足":3}"#, r#"{"\"a.b\"":1,"\"c\\\"\u0000\"":2,"足":3}"#),
    ];
    for (line, expected) in cases {
        let decoded = decode(&text, line);
        assert_eq!(texts(&decoded, "extra"), [expected], "{line}");
    }
}

#[test]
fn unknown_fields_are_rejects_where_the_contract_says_so() {
    let text = format!("unknown_fields = \"reject\"\n{PATHS}");
    let cases = [
        (r#"{"sid":"a","x":{"y":1},"z":1}"#, "x", "{\"y\":1}"),
        (r#"{"items":[{},{"q":true}]}"#, "items[1].q", "true"),
        (r#"{"session":7}"#, "session", "7"),
    ];
    for (line, path, found) in cases {
        let expected = ("unknown_field", path.to_owned(), found.to_owned());
        assert_eq!(told(&text, line), expected, "{line}");
    }
    assert_eq!(decode(&text, r#"{"sid":"a","items":[null]}"#).batch.num_rows(), 1);
}

#[test]
fn texts_of_rejects_are_cut_at_200_characters() {
    let value = format!("\"{}\"", "足".repeat(1_000));
    let strict = format!("unknown_fields = \"reject\"\nduplicate_keys = \"reject\"\n{A_STRING}");
    let long_key = "k".repeat(1_000);
    let lines = [
        value.clone(),
        format!("{{\"s\":[{value}]}}"),
        format!("{{\"x\":{value}}}"),
        format!("{{\"{long_key}\":1}}"),
        format!("{{\"{long_key}\":1,\"{long_key}\":1}}"),
    ];
    for line in lines {
        let reject = reject(&strict, line.clone());
        for text in [reject.found, reject.expected, reject.path.unwrap_or_default()] {
            assert!(text.chars().count() <= 200, "{text}");
        }
        assert_eq!(reject.raw, line);
    }
}

#[test]
fn a_reject_in_a_late_column_leaves_no_trace_in_early_ones() {
    let text = format!("{A_STRING}[[column]]\nname = \"n\"\ntype = \"int64\"\n");
    let decoded =
        decode(&text, "{\"s\":\"a\",\"n\":1}\n{\"s\":\"b\",\"n\":\"x\"}\n{\"s\":\"c\",\"n\":3}\n");
    assert_eq!(texts(&decoded, "s"), ["a", "c"]);
    assert_eq!(decoded.batch["n"].as_primitive::<Int64Type>().values(), &[1, 3]);
}

/// What the decoder must make of a member of a line, told from serde_json's value alone.
fn expected_text(value: Option<&serde_json::Value>) -> Result<Option<&str>, ()> {
    match value {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) if !text.contains('\0') => Ok(Some(text)),
        Some(_) => Err(()),
    }
}

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
        "\\PC{0,3}".prop_map(serde_json::Value::from),
    ]
}

/// A record whose members are often what the contract of all types has.
fn record() -> impl Strategy<Value = serde_json::Value> {
    let item = (any::<String>(), scalar())
        .prop_map(|(sku, qty)| serde_json::json!({"sku": sku, "qty": qty}));
    let known = prop_oneof![
        (prop::sample::select(vec!["s", "b", "l", "f", "j", "x"]), scalar()),
        ("\\PC{0,5}").prop_map(|text| ("s", text.into())),
        any::<i64>().prop_map(|number| ("l", number.into())),
        any::<f64>().prop_map(|number| ("f", number.into())),
        prop::collection::vec(item, 0..3).prop_map(|items| ("items", items.into())),
    ];
    prop::collection::vec(known, 0..5).prop_map(|members| {
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
        members.collect::<serde_json::Map<_, _>>().into()
    })
}

fn assert_balance(decoded: &Decoded, bytes: &[u8]) -> Result<(), TestCaseError> {
    let count = bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let settled = decoded.batch.num_rows() + decoded.rejects.len();
    prop_assert_eq!(settled as u64 + decoded.blank, count);
    for reject in &decoded.rejects {
        let start = usize::try_from(reject.offset).unwrap();
        prop_assert_eq!(&bytes[start..start + reject.raw.len()], reject.raw.as_ref());
        let before = bytes[..start].iter().filter(|byte| **byte == b'\n').count() as u64;
        prop_assert_eq!(reject.line, before + 1);
    }
    prop_assert!(pretty_format_batches(std::slice::from_ref(&decoded.batch)).is_ok());
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_rows_rejects_and_blanks_in_balance(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        assert_balance(&decode(ALL_TYPES, bytes.clone()), &bytes)?;
    }

    #[test]
    fn damaged_records_are_rows_rejects_and_blanks_in_balance(
        records in prop::collection::vec(record(), 0..6),
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\n\n", " \r\n"]),
    ) {
        let lines: Vec<String> = records.iter().map(|r| format!("{r}{line_end}")).collect();
        let mut bytes = lines.concat().into_bytes();
        for (place, byte) in damages {
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
        }
        assert_balance(&decode(ALL_TYPES, bytes.clone()), &bytes)?;
    }

    #[test]
    fn rows_hold_what_serde_json_reads(record in record()) {
        let decoded = decode(ALL_TYPES, record.to_string());
        let text = expected_text(record.get("s"));
        let items: Vec<_> = match record.get("items") {
            Some(items) => items.as_array().unwrap().iter().collect(),
            None => Vec::new(),
        };
        let skus: Result<Vec<_>, ()> =
            items.iter().map(|item| expected_text(item.get("sku"))).collect();
        let fits = |key, test: fn(&serde_json::Value) -> bool| match record.get(key) {
            None => true,
            Some(value) => value.is_null() || test(value),
        };
        let is_integral = |value: &serde_json::Value| {
            let double = value.as_f64().unwrap_or(0.5);
            value.is_i64() || double.fract() == 0.0 && double.abs() < 9.2e18
        };
        let is_row = text.is_ok()
            && skus.is_ok()
            && fits("b", serde_json::Value::is_boolean)
            && fits("f", serde_json::Value::is_number)
            && fits("l", is_integral);
        prop_assert_eq!(decoded.batch.num_rows(), usize::from(is_row), "{:?}", decoded.rejects);
        if !is_row {
            return Ok(());
        }
        let batch = &decoded.batch;
        let strings = |column: &str| {
            let array = batch[column].as_string::<i32>();
            array.is_valid(0).then(|| array.value(0).to_owned())
        };
        prop_assert_eq!(strings("s"), text.unwrap().map(str::to_owned));
        let json = record.get("j").filter(|json| !json.is_null());
        prop_assert_eq!(strings("j"), json.map(ToString::to_string));
        if let Some(integer) = record.get("l").and_then(serde_json::Value::as_i64) {
            prop_assert_eq!(batch["l"].as_primitive::<Int64Type>().value(0), integer);
        }
        if let Some(double) = record.get("f").and_then(serde_json::Value::as_f64) {
            let decoded = batch["f"].as_primitive::<Float64Type>().value(0);
            prop_assert_eq!(decoded.to_bits(), double.to_bits());
        }
        let elements = batch["items"].as_list::<i32>().values().as_struct().column(0).clone();
        let decoded_skus: Vec<_> = elements.as_string::<i32>().iter().collect();
        prop_assert_eq!(decoded_skus, skus.unwrap());
        prop_assert_eq!(decoded.unknown_fields.contains_key("x"), record.get("x").is_some());
        let unknown_items = decoded.unknown_fields.get("items[].qty").copied().unwrap_or_default();
        prop_assert_eq!(unknown_items, items.len() as u64);
    }
}
