use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// The same tree as serde_json has it, with numbers from their text by `number`.
fn to_serde(json: &Json<'_>, number: fn(&str) -> serde_json::Value) -> serde_json::Value {
    match &json.kind {
        JsonKind::Null => serde_json::Value::Null,
        JsonKind::Bool(value) => (*value).into(),
        JsonKind::Number => number(json.raw),
        JsonKind::String(text) => text.as_ref().into(),
        JsonKind::Array(elements) => elements.iter().map(|e| to_serde(e, number)).collect(),
        JsonKind::Object(members) => members
            .iter()
            .map(|member| (member.key.to_string(), to_serde(&member.value, number)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// serde_json's own number, whose doubles are not always the nearest.
fn serde_number(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn nearest_number(text: &str) -> serde_json::Value {
    let integer = text.parse::<i64>().map(serde_json::Value::from);
    let integer = integer.or_else(|_| text.parse::<u64>().map(serde_json::Value::from));
    integer.unwrap_or_else(|_| text.parse::<f64>().unwrap().into())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| {
                members.into_iter().collect::<serde_json::Map<_, _>>().into()
            }),
        ]
    })
}

/// Texts that are almost JSON: pieces of its grammar in any order.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just("\"a\""),
        Just("\"a\":"),
        Just("\\u00"),
        Just("\"\\ud83d\\ude00\""),
        Just("\"\\ud83d\""),
        Just("\\ude00"),
        Just("0"),
        Just("1"),
        Just("-"),
        Just("."),
        Just("e"),
        Just("+"),
        Just("1.5"),
        Just("true"),
        Just("null"),
        Just("nul"),
        Just(" "),
        Just("\n"),
        Just("\u{1}"),
        Just("足"),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn assert_agrees_with_serde(text: &str) -> Result<(), TestCaseError> {
    let ours = read_json(text, DEPTH_LIMIT);
    let syntax = serde_json::from_str::<IgnoredAny>(text);
    match ours {
        Ok(json) => {
            prop_assert!(syntax.is_ok(), "{text:?} is no JSON: {syntax:?}");
            prop_assert_eq!(&text[json.range_in(text)], json.raw);
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
                prop_assert_eq!(to_serde(&json, serde_number), value);
            }
        }
        Err(fault) => {
            prop_assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
            prop_assert!(fault.at <= text.len());
            if fault.kind == JsonFaultKind::Invalid {
                prop_assert!(syntax.is_err(), "{text:?} is JSON, but {fault:?}");
            }
        }
    }
    Ok(())
}

const NUMBER: &str = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?";

proptest! {
    #[test]
    fn every_value_reads_as_serde_json_reads_it(value in any_json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let json = read_json(&text, DEPTH_LIMIT).unwrap();
            prop_assert_eq!(to_serde(&json, nearest_number), value.clone());
            prop_assert_eq!(json.raw, text.as_str());
        }
    }

    #[test]
    fn texts_with_a_character_changed_are_taken_or_refused_as_by_serde_json(
        value in any_json(), place in any::<prop::sample::Index>(), change in ".{0,2}",
    ) {
        let mut characters: Vec<char> = value.to_string().chars().collect();
        let at = place.index(characters.len());
        characters.splice(at..=at, change.chars());
        assert_agrees_with_serde(&characters.into_iter().collect::<String>())?;
    }

    #[test]
    fn pieces_of_json_in_any_order_are_taken_or_refused_as_by_serde_json(text in almost_json()) {
        assert_agrees_with_serde(&text)?;
    }

    #[test]
    fn any_text_is_taken_or_refused_as_by_serde_json(text in any::<String>()) {
        assert_agrees_with_serde(&text)?;
    }

    #[test]
    fn numbers_keep_their_text(text in NUMBER) {
        prop_assert!(is_json_number(&text));
        let in_array = format!("[ {text} ]");
        let JsonKind::Array(elements) = read_json(&in_array, 1).unwrap().kind else { panic!() };
        prop_assert_eq!(elements[0].raw, text.as_str());
        prop_assert_eq!(&elements[0].kind, &JsonKind::Number);
    }
}

#[test]
fn members_stay_in_order_with_every_duplicate() {
    let text = r#"{"b":1,"a":2,"\u0062":3}"#;
    let JsonKind::Object(members) = read_json(text, 1).unwrap().kind else { panic!() };
    let pairs: Vec<_> = members.iter().map(|m| (m.key.as_ref(), m.value.raw)).collect();
    assert_eq!(pairs, [("b", "1"), ("a", "2"), ("b", "3")]);
}

#[test]
fn strings_without_escapes_are_borrowed_and_others_unescaped() {
    let string = |text| match read_json(text, 1).unwrap().kind {
        JsonKind::String(string) => string,
        other => panic!("{other:?}"),
    };
    assert!(matches!(string("\"足跡\""), Cow::Borrowed("足跡")));
    assert_eq!(string(r#""a\"\\\/\b\f\n\r\tz""#), "a\"\\/\u{8}\u{c}\n\r\tz");
    assert_eq!(string(r#""\u8db3跡\uD83D\ude00\u0000""#), "足跡😀\0");
}

#[test]
fn faults_tell_what_was_expected_and_found_and_where() {
    use JsonFaultKind::{Invalid, LoneSurrogate, TooDeep};

    let cases = [
        ("", Invalid, "a value", "the end of the text"),
        ("nan", Invalid, "`true`, `false` or `null`", "`a` at byte 1"),
        ("NaN", Invalid, "a value", "`N` at byte 0"),
        ("01", Invalid, "the end of the value", "`1` at byte 1"),
        ("+1", Invalid, "a value", "`+` at byte 0"),
        ("-", Invalid, "a digit", "the end of the text"),
        ("1.", Invalid, "a digit", "the end of the text"),
        ("1e+", Invalid, "a digit", "the end of the text"),
        ("{} {}", Invalid, "the end of the value", "`{` at byte 3"),
        ("[1,]", Invalid, "a value", "`]` at byte 3"),
        ("{\"a\":1,}", Invalid, "a key in quotes", "`}` at byte 7"),
        ("{\"足\" 1}", Invalid, "`:`", "`1` at byte 7"),
        ("{\"a\":1 \"b\":2}", Invalid, "`,` or `}`", "`\"` at byte 7"),
        ("[1 2]", Invalid, "`,` or `]`", "`2` at byte 3"),
        ("{'a':1}", Invalid, "a key in quotes", "`'` at byte 1"),
        ("[1] // x", Invalid, "the end of the value", "`/` at byte 4"),
        ("\u{feff}1", Invalid, "a value", "`\u{feff}` at byte 0"),
        ("\"a", Invalid, "`\"` at the string's end", "the end of the text"),
        ("\"a\tb\"", Invalid, "an escape for a control character", "`\\u{9}` at byte 2"),
        (r#""\x""#, Invalid, "one of `\"\\/bfnrtu` behind a backslash", "`x` at byte 2"),
        (r#""\u12G4""#, Invalid, "four hexadecimal digits behind `\\u`", "`G` at byte 5"),
        (r#""\ud800""#, LoneSurrogate, "surrogates in pairs", "`\\ud800` at byte 1"),
        (r#""😀\ude00""#, LoneSurrogate, "surrogates in pairs", "`\\ude00` at byte 5"),
        (r#""\ud83d\u+e00""#, LoneSurrogate, "surrogates in pairs", "`\\ud83d` at byte 1"),
        (r#"{"\ud83d\ud83d":1}"#, LoneSurrogate, "surrogates in pairs", "`\\ud83d` at byte 2"),
        ("[[[1]]]", TooDeep, "no deeper nesting of objects and arrays", "`[` at byte 2"),
        (
            "{\"a\":{\"b\":[]}}",
            TooDeep,
            "no deeper nesting of objects and arrays",
            "`[` at byte 10",
        ),
    ];
    for (text, kind, expected, found) in cases {
        let fault = read_json(text, 2).unwrap_err();
        assert_eq!(
            (fault.kind, fault.expected, fault.found.as_str()),
            (kind, expected, found),
            "{text}"
        );
    }
}

#[test]
fn depth_counts_open_objects_and_arrays_not_all_of_them() {
    assert!(read_json("[[1],[2],{\"a\":3}]", 2).is_ok());
    assert!(read_json("[[1],[[2]]]", 2).is_err());
    assert!(read_json("1", 0).is_ok());
    assert!(read_json("[]", 0).is_err());
}

#[test]
fn no_depth_overflows_a_small_stack() {
    let nest = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let on_small_stack = move || {
        assert!(read_json(&nest(DEPTH_LIMIT), usize::MAX).is_ok());
        for depth in [DEPTH_LIMIT + 1, 1_000_000] {
            let fault = read_json(&nest(depth), usize::MAX).unwrap_err();
            assert_eq!((fault.kind, fault.at), (JsonFaultKind::TooDeep, DEPTH_LIMIT));
        }
        assert!(read_json(&"{\"a\":".repeat(1_000_000), usize::MAX).is_err());
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(on_small_stack).unwrap().join().unwrap();
}

#[test]
fn excerpts_have_at_most_200_characters() {
    assert_eq!(excerpt("足跡"), "足跡");
    assert_eq!(excerpt(&"足".repeat(200)), "足".repeat(200));
    assert_eq!(excerpt(&"足".repeat(201)), "足".repeat(199) + "…");
}
