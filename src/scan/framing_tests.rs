use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::decode::RejectReason;

/// Records, as text with the offset where each begins, and rejects of the framing.
#[derive(Debug, Default, PartialEq)]
struct Found {
    records: Vec<(u64, String)>,
    rejects: Vec<(u64, RejectReason, String)>,
    lines: u64,
}

fn frame_by(text: &[u8], options: FrameOptions) -> Found {
    let reader = Box::new(Cursor::new(text.to_vec()));
    let mut framer = ObjectFramer::new(reader, ReadBytes::default(), options, None).unwrap();
    let mut found = Found::default();
    while let Some(framed) = framer.next_framed().unwrap() {
        let (lines, values) = match framed {
            Framed::Lines(lines) => (lines, None),
            Framed::Values(values) => (values.lines.clone(), Some(values)),
            Framed::Reject(reject) => {
                let raw = String::from_utf8_lossy(&reject.raw).into_owned();
                found.lines += 1;
                assert_eq!(reject.line, found.lines);
                found.rejects.push((reject.offset, reject.reason, raw));
                continue;
            }
            Framed::Unreadable(unreadable) => panic!("{unreadable:?}"),
        };
        assert_eq!(lines.first_line, found.lines + 1);
        let rows = lines.bytes.split_inclusive(|byte| *byte == b'\n');
        let mut at = 0;
        for line in rows {
            let line_text = String::from_utf8_lossy(line).trim_ascii_end().to_owned();
            let offset = match &values {
                None => lines.first_offset + at,
                Some(values) => values.offset_of(at),
            };
            if !line_text.is_empty() {
                found.records.push((offset, line_text));
            }
            at += line.len() as u64;
        }
        found.lines += lines.count;
    }
    assert_eq!(framer.lines(), found.lines);
    assert_eq!(framer.bytes(), text.len() as u64);
    found
}

/// Frames with any size of chunks, which must make no difference.
fn frame_as(framing: Framing, text: &str) -> Found {
    let options = FrameOptions { framing, ..FrameOptions::default() };
    let at_once = frame_by(text.as_bytes(), options);
    for chunk_bytes_target in [1, 3, 17, 64] {
        let small = frame_by(text.as_bytes(), FrameOptions { chunk_bytes_target, ..options });
        assert_eq!(small, at_once, "chunks of {chunk_bytes_target} bytes of {text:?}");
    }
    for (offset, record) in &at_once.records {
        let there = &text.as_bytes()[*offset as usize..];
        assert_eq!(there[0], record.as_bytes()[0], "{record} of {text:?}");
    }
    at_once
}

fn records(framing: Framing, text: &str) -> Vec<String> {
    let found = frame_as(framing, text);
    assert_eq!(found.rejects, [], "{text:?}");
    found.records.into_iter().map(|(_, record)| record).collect()
}

#[test]
fn lines_are_lines_unless_the_first_says_otherwise() {
    for text in [
        "{\"a\":1}\n{\"a\":2}{\"a\":3}\n",
        "{\"a\":1} x\n{\"a\":2}\n",
        "x\n{\"a\":1}{\"a\":2}\n",
        "{\"a\":1\n{\"a\":2}\n",
        "{\"a\":\"1\n{\"a\":2}\n",
        "[1,2]\n[3]\n",
        "\r\n \n{\"a\":1}",
    ] {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(records(Framing::Auto, text), lines, "{text:?}");
    }
}

#[test]
fn values_side_by_side_over_lines_or_behind_separators_are_found() {
    let expected = ["{\"a\":1}", "{\"a\":{\"b\":[\"}\\\"{\"]}}", "{\"a\":3}"];
    for between in ["", " ", "\n", ",", ",\n", "\u{1e}", "\n\u{1e}", "\r\n\r\n"] {
        let text = expected.join(between);
        assert_eq!(records(Framing::Values, &text), expected, "{between:?}");
    }
    assert_eq!(records(Framing::Auto, &expected.concat()), expected);
    assert_eq!(records(Framing::Auto, &format!("\u{feff}{}", expected.concat())), expected);
    let sequence: String = expected.map(|text| format!("\u{1e}{text}\n")).concat();
    assert_eq!(records(Framing::Auto, &sequence), expected);
    let pretty =
        "{\n  \"a\": 1,\n  \"b\": [\n    {\n      \"c\": 2\n    }\n  ]\n}\n{\n  \"a\": 3\n}\n";
    let flat = ["{   \"a\": 1,   \"b\": [     {       \"c\": 2     }   ] }", "{   \"a\": 3 }"];
    assert_eq!(records(Framing::Auto, pretty), flat);
}

#[test]
fn elements_of_an_array_are_found_whatever_stands_between_them() {
    for text in [
        "[{\"a\":1},{\"a\":[2]},{}]",
        "[ {\"a\":1} , {\"a\":[2]} , {} ]\n",
        "[\n  {\"a\":1},\n  {\"a\":[2]},\n  {}\n]\n",
        "[{\"a\":1}]\n[{\"a\":[2]},{}]\n",
        "\u{feff}[{\"a\":1}\n,{\"a\":[2]}\n,{}]",
    ] {
        assert_eq!(records(Framing::Auto, text), ["{\"a\":1}", "{\"a\":[2]}", "{}"], "{text:?}");
        assert_eq!(records(Framing::Array, text).len(), 3, "{text:?}");
    }
    assert!(records(Framing::Auto, "[]").is_empty());
    let mixed = records(Framing::Array, "[1,\"a]b\",null,[2],{\"a\":1}]");
    assert_eq!(mixed, ["1", "\"a]b\"", "null", "[2]", "{\"a\":1}"]);
}

#[test]
fn an_array_that_is_cut_off_is_told_and_keeps_what_was_before() {
    let found = frame_as(Framing::Auto, "[{\"a\":1},{\"a\":2},");
    assert_eq!(found.records.len(), 2);
    assert_eq!(found.rejects, [(17, RejectReason::DamagedStream, String::new())]);
    let found = frame_as(Framing::Auto, "[{\"a\":1},{\"a\":");
    let texts: Vec<&str> = found.records.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["{\"a\":1}", "{\"a\":"]);
}

#[test]
fn a_broken_value_ends_before_the_next_line_that_may_begin_one() {
    for (text, expected) in [
        ("{\"a\":1\n{\"a\":2}\n{\"a\":3}\n", vec!["{\"a\":1", "{\"a\":2}", "{\"a\":3}"]),
        ("{\"a\":\"1\n{\"a\":2}\n", vec!["{\"a\":\"1", "{\"a\":2}"]),
        ("{\"a\":1]\n{\"a\":2}\n", vec!["{\"a\":1]", "{\"a\":2}"]),
        ("{\"a\":1}x\n{\"a\":2}\n", vec!["{\"a\":1}", "x", "{\"a\":2}"]),
        ("\u{1e}{\"a\":\n\u{1e}{\"a\":2}\n", vec!["{\"a\":", "{\"a\":2}"]),
        ("\u{1e}{\"a\":\"t\u{1e}{\"a\":2}\n", vec!["{\"a\":\"t", "{\"a\":2}"]),
        // No object within a broken one passes for a record.
        (
            "{\n  \"a\": 1\n  \"b\": [\n    {\"a\":9}\n  ]\n}\n{\"a\":2}\n",
            vec!["{   \"a\": 1   \"b\": [     {\"a\":9}   ] }", "{\"a\":2}"],
        ),
        // Only one reject where nothing says where the next value begins.
        ("{\"a\":1}{\"a\"{\"a\":2}{\"a\":3}", vec!["{\"a\":1}", "{\"a\"{\"a\":2}{\"a\":3}"]),
    ] {
        assert_eq!(records(Framing::Values, text), expected, "{text:?}");
    }
    let array = "[\n  {\"a\":1},\n  {\"a\":2,\n  {\"a\":3}\n]\n";
    let expected = ["{\"a\":1}", "{\"a\":2,", "{\"a\":3}"];
    assert_eq!(records(Framing::Array, array), expected);
    for (second, indent) in
        [("{\"a\":2,}", ""), ("{\"a\":2", ""), ("{\"a\":\"2", ""), ("{2}", "  ")]
    {
        let between = format!("\n{indent},");
        let array = format!("[\n{indent}{{\"a\":1}}{between}{second}{between}{{\"a\":3}}\n]");
        let expected = ["{\"a\":1}", second, "{\"a\":3}"];
        assert_eq!(records(Framing::Array, &array), expected, "{array}");
    }
}

#[test]
fn a_value_beyond_the_limit_is_a_reject_that_keeps_its_beginning() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
    let text = format!("{{\"a\":1}}{long}{{\"a\":2}}\n{long}");
    for chunk_bytes_target in [1, 50, 1 << 20] {
        let options =
            FrameOptions { framing: Framing::Values, line_bytes_max: 100, chunk_bytes_target };
        let found = frame_by(text.as_bytes(), options);
        let texts: Vec<&str> = found.records.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["{\"a\":1}", "{\"a\":2}"]);
        let begin = |offset| (offset, RejectReason::LineTooLong, long[..100].to_owned());
        let second = (7 + long.len() + 8) as u64;
        assert_eq!(found.rejects, [begin(7), begin(second)], "{chunk_bytes_target}");
        assert_eq!(found.lines, 4);
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(Into::into),
        "[a-z\"\\\\{}\\[\\],:\n\u{1e}]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-z\"{]{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = std::collections::BTreeMap<String, serde_json::Value>> {
    prop::collection::btree_map("[a-z]{1,3}", json(), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_values_are_written_in_a_row_come_out_again(
        values in prop::collection::vec(object(), 1..6),
        is_pretty in any::<bool>(),
        chunk in 1_usize..80,
    ) {
        let values: Vec<serde_json::Value> = values
            .into_iter()
            .map(|map| serde_json::Value::Object(map.into_iter().collect()))
            .collect();
        let write = |value: &serde_json::Value| match is_pretty {
            true => serde_json::to_string_pretty(value).unwrap(),
            false => value.to_string(),
        };
        let texts: Vec<String> = values.iter().map(write).collect();
        let array = format!("[{}]", texts.join(","));
        for (framing, text) in [
            (Framing::Values, texts.concat()),
            (Framing::Values, texts.join("\n")),
            (Framing::Array, array),
        ] {
            let options =
                FrameOptions { framing, chunk_bytes_target: chunk, ..FrameOptions::default() };
            let found = frame_by(text.as_bytes(), options);
            prop_assert_eq!(found.rejects.len(), 0);
            let read: Vec<serde_json::Value> = found
                .records
                .iter()
                .map(|(_, record)| serde_json::from_str(record).unwrap())
                .collect();
            prop_assert_eq!(&read, &values);
        }
    }

    #[test]
    fn no_byte_is_lost_whatever_the_text(
        text in "[a\\[\\]{}\",:\\\\ \n\u{1e}1]{0,60}",
        chunk in 1_usize..40,
    ) {
        for framing in [Framing::Values, Framing::Array] {
            let options =
                FrameOptions { framing, chunk_bytes_target: chunk, ..FrameOptions::default() };
            let found = frame_by(text.as_bytes(), options);
            let kept: usize = found.records.iter().map(|(_, record)| record.len()).sum();
            let gaps = b"[], \n\r\t\x1e";
            let dropped = text.bytes().filter(|byte| gaps.contains(byte)).count();
            prop_assert!(kept + dropped >= text.len(), "{kept} and {dropped} of {text:?}");
        }
    }
}

#[test]
fn a_first_value_of_some_mebibytes_tells_the_framing_as_a_short_one_does() {
    let long = "x".repeat(3 << 20);
    let object = format!("{{\"a\":\"{long}\"}}");
    for (text, framing) in [
        (format!("{object}{{\"a\":1}}\n"), Framing::Values),
        (format!("{{\"a\":\"{long}\",\n\"b\":1}}\n{{\"a\":1}}\n"), Framing::Values),
        (format!("{}[{object},{object}]", " ".repeat(2 << 20)), Framing::Array),
        (format!("{object}\n{{\"a\":1}}\n"), Framing::Lines),
        (object.clone(), Framing::Lines),
    ] {
        let options = FrameOptions { framing: Framing::Auto, ..FrameOptions::default() };
        let told = frame_by(text.as_bytes(), options);
        let said = frame_by(text.as_bytes(), FrameOptions { framing, ..options });
        assert_eq!(told.rejects, []);
        assert!(told == said, "{framing:?}: {} of {} records", told.lines, said.lines);
    }
}

#[test]
fn no_more_is_looked_at_than_a_record_may_have() {
    let endless = std::io::repeat(b' ').take(1 << 40);
    let reader: Box<dyn Read + Send> = Box::new(Cursor::new(b"{\"a\":\"").chain(endless));
    let (framing, mut reader) = tell_framing(reader, 1 << 20, None);
    assert_eq!(framing, Framing::Lines);
    let mut begin = [0; 6];
    reader.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"{\"a\":\"");
}
