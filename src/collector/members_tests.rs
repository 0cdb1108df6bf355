use super::*;

fn id(value: &str) -> Option<EventName> {
    EventName::of(value.as_bytes())
}

#[test]
fn any_text_up_to_128_bytes_is_an_id() {
    let long = format!("\"{}\"", "x".repeat(128));
    for text in [
        "\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"",
        "\"evt_1\"",
        "\"ajs-next-1732682400000-4c6a\"",
        "\"足跡\"",
        "\"a\\\"b\\u00e9\"",
        "\" \"",
        "\"0199F000-0000-7000-8000-000000000001\"",
        "\"0199f000000070008000000000000001\"",
        "17",
        "-1.5e3",
        &long,
    ] {
        let name = id(text).unwrap();
        assert!(name.is_written, "{text}");
        assert_eq!(id(text), Some(name), "the same each time");
    }
    let name = id("\"0199f000-0000-7000-8000-000000000001\"").unwrap();
    assert_eq!((name.id.as_u128() & 0xff, name.is_written), (1, false));
    assert_ne!(id("\"a\"").unwrap().id, id("\"b\"").unwrap().id);
    // Longer ones are told from each other all the same, by what stands for them.
    let longer = |last: char| id(&format!("\"{}{last}\"", "x".repeat(128))).unwrap();
    assert!(!longer('a').is_written && longer('a') != longer('b'));
    for none in [
        "null",
        "true",
        "{}",
        "[]",
        "\"\"",
        "\"undefined\"",
        "\"null\"",
        "\"[object Object]\"",
        "\"00000000-0000-0000-0000-000000000000\"",
        "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"",
    ] {
        assert_eq!(id(none), None, "{none}");
    }
}

#[test]
fn equal_vias_are_the_same_text() {
    let via = |text: &str| via_of(text.as_bytes());
    let expected = Some(r#"{"campaign":"秋","channel":"ad"}"#.to_owned());
    for text in [
        r#"{"channel":"ad","campaign":"秋"}"#,
        r#"{"campaign":"秋","channel":"ad"}"#,
        r#"{ "campaign" : "\u79cb", "channel" : "\u0061d" }"#,
        r#"{"channel":"mail","campaign":"秋","channel":"ad"}"#,
    ] {
        assert_eq!(via(text), expected, "{text}");
    }
    assert_eq!(via("\"ad\""), via(r#"{"channel": "ad"}"#));
    let nested = r#"{"b":[{"d":1,"c":[]},null],"a":1.50}"#;
    assert_eq!(via(nested).unwrap(), r#"{"a":1.50,"b":[{"c":[],"d":1},null]}"#);
    // Numbers stay as they are written: another reader may tell them apart.
    assert_ne!(via(r#"{"a":1}"#), via(r#"{"a":1.0}"#));
    assert_eq!(via(r#"{"a":9007199254740993}"#).unwrap(), r#"{"a":9007199254740993}"#);
}

#[test]
fn an_item_has_the_first_name_that_it_is_given() {
    let name = |sku: &str, id: &str| {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (sku, id) = (value(sku), value(id));
        name_of_item(sku.as_deref().map(str::as_bytes), id.as_deref().map(str::as_bytes))
    };
    assert_eq!(name("\"7\"", "\"9\""), "7");
    assert_eq!(name("7", ""), "7");
    for none in ["", "null", "\"\"", "{}", "true"] {
        assert_eq!(name(none, "\"9\""), "9", "{none}");
        assert_eq!(name(none, none), "");
    }
    let long = format!("\"{}\"", "x".repeat(129));
    let other = format!("\"{}\"", "y".repeat(129));
    assert!(name(&long, "").starts_with("sha256:") && name(&long, "").len() < SKU_BYTES_MAX);
    assert_ne!(name(&long, ""), name(&other, ""));
}
