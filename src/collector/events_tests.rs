use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::json::{Json, JsonKind};

fn limits() -> CollectorLimits {
    CollectorLimits { event_bytes_max: 200, depth_max: 4, ..CollectorLimits::default() }
}

fn read_as(text: &str, is_ndjson: bool) -> Result<Events, BodyError> {
    let limits = limits();
    let reader = EventReader { limits: &limits, renewing: &[], cpu: Cpu::best() };
    reader.read(&Body::new(text.as_bytes()).unwrap(), is_ndjson)
}

fn read(text: &str) -> Result<Events, BodyError> {
    read_as(text, false)
}

/// Each event's text, or why it is refused.
fn shown(text: &str, is_ndjson: bool) -> Vec<String> {
    let body = Body::new(text.as_bytes()).unwrap();
    let of = |event: Result<Event, EventRefusal>| match event {
        Ok(Event { text: EventText::InBody(range), .. }) => body.text()[range].to_owned(),
        Ok(Event { text: EventText::Own(text), .. }) => text,
        Err(refusal) => format!("! {}", refusal.reason),
    };
    read_as(text, is_ndjson).unwrap().into_iter().map(of).collect()
}

#[test]
fn objects_arrays_and_lines_are_told_apart() {
    assert_eq!(shown(r#" {"a":1} "#, false), [r#"{"a":1}"#]);
    assert_eq!(shown(r#"[{"a":1}, {"b":2}]"#, false), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!(shown("[]", false), [""; 0]);
    assert_eq!(shown("{\"a\":1}\n{\"b\":2}\n", false), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!(shown("{\"a\":1}\r\n\r\n{\"b\":2}", true), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!(shown("\u{feff}{\"a\":1}", false), [r#"{"a":1}"#]);
}

#[test]
fn what_is_laid_out_over_lines_becomes_one_line() {
    assert_eq!(shown("{\n  \"a\": [\r\n1,\n2]\n}\n", false), ["{   \"a\": [  1, 2] }"]);
    assert_eq!(shown("{\r}", false), ["{ }"]);
    assert_eq!(shown("[\n {\"a\":\n1},\n {\"b\":2}\n]", false), ["{\"a\": 1}", "{\"b\":2}"]);
}

#[test]
fn one_bad_event_of_many_is_refused_alone() {
    assert_eq!(
        shown(r#"[{"a":1},17,"x",[],null,{}]"#, false),
        [
            r#"{"a":1}"#,
            "! expected an object, found `17`",
            "! expected an object, found `\"x\"`",
            "! expected an object, found `[]`",
            "! expected an object, found `null`",
            "{}"
        ]
    );
    let lines = shown("{\"a\":1}\n{\"a\":}\n17\n{}", true);
    assert_eq!(lines[0], r#"{"a":1}"#);
    assert!(lines[1].starts_with("! expected a value, found `}` at byte 5"), "{}", lines[1]);
    assert_eq!(lines[2], "! expected an object, found `17`");
    assert_eq!(lines[3], "{}");
}

#[test]
fn events_that_are_too_long_or_too_deep_are_refused() {
    let long = format!(r#"[{{"a":"{}"}},{{}}]"#, "x".repeat(300));
    assert_eq!(shown(&long, false), ["! expected at most 200 bytes, found 308", "{}"]);
    let events = read(r#"[{"a":[{"b":[1]}]},{"a":[{"b":[[1]]}]}]"#).unwrap();
    assert!(events[0].is_ok() && events[1].is_err());
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&"{\"a\":".repeat(100_000)).is_err());
}

#[test]
fn a_broken_body_is_refused_with_the_place() {
    let fault = |text: &str| read(text).map(|_| ()).unwrap_err();
    let cases = [
        ("", 0, "expected an object, an array or lines of them, found nothing"),
        (" \n ", 3, "expected an object, an array or lines of them, found nothing"),
        (r#"{"a":}"#, 5, "expected a value, found `}`"),
        (r#"  {"a":1,}"#, 9, "expected a key in quotes, found `}`"),
        (r#"[{"a":1},"#, 9, "expected a value, found the end of the text"),
        ("17", 0, "expected an object, found `17`"),
        (r#"{"a":1} x"#, 8, "expected the end of the value, found `x`"),
    ];
    for (text, at, message) in cases {
        let expected = BodyError { is_too_large: false, message: message.into(), at };
        assert_eq!(fault(text), expected, "{text}");
    }
    assert!(fault(&format!("{{\"a\":\"{}\"}}", "x".repeat(200))).is_too_large);
    let fault = Body::new(b"{\"a\":\"\xff\"}").unwrap_err();
    let (message, before) = ("expected UTF-8, found byte 0xff".into(), "{\"a\":\"".into());
    assert_eq!(fault, NotUtf8 { message, before });
}

#[test]
fn a_few_members_are_looked_at_wherever_they_stand() {
    let limits = CollectorLimits::default();
    let renewing = ["page_view".to_owned()];
    let reader = EventReader { limits: &limits, renewing: &renewing, cpu: Cpu::best() };
    let text = concat!(
        r#"{"x":{"event":"no"},"cart":{"n":1,"items":[{"sku":"7"},{"sku":8,"quantity":2},"#,
        r#"{"sku":""},{"sku":"a\"b","quantity":"x"},9,{"id":"i","sku":null}]},"#,
        r#""event_id":"x","via":{"channel":"ad"},"#,
        r#""event":"cart_add","event_id":"0199f000-0000-7000-8000-000000000001"}"#,
    );
    let body = Body::new(text.as_bytes()).unwrap();
    let event = reader.read(&body, false).unwrap().remove(0).unwrap();
    let item = |sku: &str, quantity| ItemFacts { sku: sku.into(), quantity };
    assert_eq!(
        event.facts,
        EventFacts {
            id: Uuid::try_parse("0199f000-0000-7000-8000-000000000001").ok(),
            kind: EventKind::CartAdd,
            renews: false,
            is_passive: false,
            via: Some(r#"{"channel":"ad"}"#.into()),
            items: vec![
                item("7", None),
                item("8", Some(2)),
                item("", None),
                item("a\"b", None),
                item("", Some(0)),
                item("i", None),
            ],
        }
    );
    assert_eq!(event.id_text, None, "it is written as it is known");
}

#[test]
fn a_via_is_a_text_or_an_object_and_short() {
    let via = |value: &str| {
        let text = format!(r#"{{"via":{value}}}"#);
        read(&text).unwrap().remove(0).unwrap().facts.via
    };
    assert_eq!(via("\"ad\"").as_deref(), Some(r#"{"channel":"ad"}"#));
    assert_eq!(via(r#"{"b": 1.50, "a": 1}"#).as_deref(), Some(r#"{"a":1,"b":1.50}"#));
    for none in ["null", "1", "\"\"", "{}", "{ }", "[\"ad\"]"] {
        assert_eq!(via(none), None, "{none}");
    }
}

/// What the reference reader makes of a body that is one value: its objects, or none.
fn by_reference(text: &str) -> Option<Vec<bool>> {
    let value = read_json(text, 256).ok()?;
    let good = |value: &Json<'_>| {
        matches!(value.kind, JsonKind::Object(_)) && read_json(value.raw, 4).is_ok()
    };
    match &value.kind {
        JsonKind::Array(elements) => Some(elements.iter().map(good).collect()),
        _ => Some(vec![good(&value)]),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_and_what_is_taken_is_an_object_on_one_line(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        is_ndjson in any::<bool>(),
    ) {
        if let Ok(body) = Body::new(&bytes) {
            check(&body, is_ndjson);
        }
    }

    #[test]
    fn almost_json_is_taken_as_the_obvious_reader_would(
        text in concat!(
            r#"[ \n]?([\[\]{},:"\n a0-9.e\-\\u]|"[a-z\\]{0,3}"|true|null|"via":|"#,
            r#"\{"a":1\}|\[\{\}){0,16}"#,
        ),
    ) {
        let body = Body::new(text.as_bytes()).unwrap();
        check(&body, true);
        check(&body, false);
        if let (Ok(events), Some(expected)) = (read(&text), by_reference(&text)) {
            let taken: Vec<bool> = events.iter().map(Result::is_ok).collect();
            prop_assert_eq!(taken, expected, "{}", text);
        }
    }
}

fn check(body: &Body, is_ndjson: bool) {
    let limits = limits();
    for cpu in Cpu::available() {
        let reader = EventReader { limits: &limits, renewing: &[], cpu };
        let Ok(events) = reader.read(body, is_ndjson) else { continue };
        for event in events.into_iter().flatten() {
            let text = match &event.text {
                EventText::InBody(range) => &body.text()[range.clone()],
                EventText::Own(text) => text,
            };
            assert!(!text.contains('\n'), "{text}");
            assert!(matches!(read_json(text, 4).unwrap().kind, JsonKind::Object(_)), "{text}");
        }
    }
}

#[test]
fn what_no_table_can_hold_becomes_a_replacement_character_and_nothing_else_changes() {
    for (sent, taken) in [
        (r#"{"t":"a\ud83d"}"#, r#"{"t":"a\ufffd"}"#),
        (r#"{"t":"\uDE00\uD83D\uDE00\uD83D"}"#, r#"{"t":"\ufffd\uD83D\uDE00\ufffd"}"#),
        (r#"{"t":"\\ud83d","u":"\u00e9"}"#, r#"{"t":"\\ud83d","u":"\u00e9"}"#),
        (r#"{"t":"\\\ud83d"}"#, r#"{"t":"\\\ufffd"}"#),
        (r#"{"t":"\ud83d\n"}"#, r#"{"t":"\ufffd\n"}"#),
        (r#"{"\u0000":"a\u0000","u":"\u0001"}"#, r#"{"\ufffd":"a\ufffd","u":"\u0001"}"#),
        (r#"{"t":"\\u0000\u00000"}"#, r#"{"t":"\\u0000\ufffd0"}"#),
    ] {
        assert_eq!(shown(sent, false), [taken]);
    }
    assert!(Body::new(br"\ud8").is_ok(), "too short to be one");
}

#[test]
fn quantities_are_read_however_they_are_written() {
    for (text, quantity) in [
        ("2", Some(2)),
        ("2.0", Some(2)),
        ("\"3\"", Some(3)),
        ("0", Some(0)),
        ("-1", Some(0)),
        ("1e99", Some(u64::MAX)),
        ("null", None),
        ("\"many\"", None),
    ] {
        assert_eq!(quantity_of(text.as_bytes()), quantity, "{text}");
    }
}

#[test]
fn a_cart_that_is_not_said_is_not_an_empty_one() {
    let facts = |cart: &str| {
        read(&format!(r#"{{"event":"cart_update"{cart}}}"#)).unwrap().remove(0).unwrap().facts
    };
    assert_eq!(facts(r#","cart":{"items":[]}"#).kind, EventKind::CartUpdate);
    for cart in ["", r#","cart":null"#, r#","cart":{}"#, r#","cart":{"items":null}"#] {
        assert_eq!(facts(cart).kind, EventKind::Other, "{cart}");
    }
}

#[test]
fn ids_that_are_everybodys_are_nobodys() {
    let id =
        |id: &str| read(&format!(r#"{{"event_id":"{id}"}}"#)).unwrap().remove(0).unwrap().facts.id;
    assert_eq!(id("00000000-0000-0000-0000-000000000000"), None);
    assert_eq!(id("ffffffff-ffff-ffff-ffff-ffffffffffff"), None);
    assert!(id("00000000-0000-0000-0000-000000000001").is_some());
}

#[test]
fn an_id_that_is_no_uuid_is_found_where_it_stands() {
    for (text, expected) in [
        (r#"{"event_id":"evt_1"}"#, Some("\"evt_1\"")),
        ("{\n\"event_id\":\n\"ajs-next-1\"}", Some("\"ajs-next-1\"")),
        (r#"{"event_id": 17 }"#, Some("17")),
        (r#"{"event_id":"x","event_id":null}"#, None),
        (r#"{"event_id":"x","event_id":"0199f000-0000-7000-8000-000000000001"}"#, None),
        (r#"{"event_id":{"a":1}}"#, None),
        ("{}", None),
    ] {
        let body = Body::new(text.as_bytes()).unwrap();
        let event = read(text).unwrap().remove(0).unwrap();
        let own = match &event.text {
            EventText::InBody(_) => body.text(),
            EventText::Own(text) => text,
        };
        let found = event.id_text.clone().map(|range| &own[range]);
        assert_eq!(found, expected, "{text}");
        assert_eq!(event.facts.id.is_some(), expected.is_some() || text.contains("0199f000"));
    }
}

/// What one of an event's members may be, written without escapes.
const MEMBERS: [&str; 34] = [
    r#""event":"purchase""#,
    r#""event":"cart_add""#,
    r#""event":"cart_update""#,
    r#""event":"閲覧""#,
    r#""event":5"#,
    r#""event":null"#,
    r#""event_id":"e1""#,
    r#""event_id":"0199f000-0000-7000-8000-000000000001""#,
    r#""event_id":"undefined""#,
    r#""event_id":17"#,
    r#""event_id":null"#,
    r#""service":"books""#,
    r#""service":"本""#,
    r#""service":"evil""#,
    r#""service":"a/b""#,
    r#""service":null"#,
    r#""time":"2026-11-21T04:05:00Z""#,
    r#""time":"2026-11-21T13:05:00+09:00""#,
    r#""time":"2032-01-01T00:00:00Z""#,
    r#""time":"1795233900123""#,
    r#""time":1795233900123"#,
    r#""time":null"#,
    r#""via":"ad""#,
    r#""via":{"channel":"ad","channel":"mail"}"#,
    r#""via":null"#,
    r#""cart":{"items":[{"sku":"7","sku":"8"},{"id":"i","quantity":"2"}]}"#,
    r#""cart":{"items":null,"items":[{"sku":"","id":"9","sku":null}]}"#,
    r#""cart":{"items":[],"items":null}"#,
    r#""cart":{"items":["sku",{"quantity":3,"sku":"足","quantity":1}]}"#,
    r#""cart":null"#,
    r#""cart":"items""#,
    r#""x":{"service":"evil","event":"no"}"#,
    r#""events":"purchase""#,
    r#""v":2"#,
];

/// The same JSON with some characters of its strings escaped, as many clients write it.
fn with_escapes(text: &str, mut seed: u64) -> String {
    let (mut written, mut is_within) = (String::new(), false);
    for character in text.chars() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        is_within ^= character == '"';
        match seed >> 62 {
            0 if is_within && character != '"' => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => written.push(character),
        }
    }
    written
}

/// All that the collector goes by, of an object's text: facts, the id as it is written, and what of
/// its claims does not count.
fn gone_by(text: &str) -> (EventFacts, Option<String>, [bool; 3]) {
    use crate::collector::claims::{ClaimBounds, Services};
    let services = vec!["books".to_owned(), "本".to_owned()];
    let limits = CollectorLimits { services, ..CollectorLimits::default() };
    let renewing = ["閲覧".to_owned()];
    let body = Body::new(text.as_bytes()).unwrap();
    let read = |cpu| {
        let reader = EventReader { limits: &limits, renewing: &renewing, cpu };
        reader.read(&body, false).unwrap().remove(0).unwrap()
    };
    let event = read(Cpu::best());
    assert!(Cpu::available().into_iter().all(|cpu| read(cpu) == event), "{text}");
    let base = match &event.text {
        EventText::InBody(_) => body.text(),
        EventText::Own(text) => text,
    };
    let bounds = ClaimBounds::of(&limits);
    let replaced = Services::default().check(&event.claims, base, 1_795_233_900_000, &bounds);
    let id = event.id_text.clone().map(|range| {
        let id: serde_json::Value = serde_json::from_str(&base[range]).unwrap();
        id.to_string()
    });
    let replaced = [replaced.time.is_some(), replaced.service.is_some(), replaced.event.is_some()];
    (event.facts.clone(), id, replaced)
}

proptest! {
    #[test]
    fn an_event_is_taken_for_what_another_reader_finds_in_it_however_it_is_escaped(
        members in prop::collection::vec(0..MEMBERS.len(), 0..12),
        seed in any::<u64>(),
        ends_lines in any::<bool>(),
    ) {
        let separator = if ends_lines { ",\n" } else { "," };
        let members: Vec<&str> = members.into_iter().map(|member| MEMBERS[member]).collect();
        let text = with_escapes(&format!("{{{}}}", members.join(separator)), seed);
        // It knows no escapes any more, and of equal keys only the last one.
        let plain = serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string();
        prop_assert!(!plain.contains('\\'));
        prop_assert_eq!(gone_by(&text), gone_by(&plain), "{}", text);
    }
}

#[test]
fn a_key_or_a_value_that_is_written_with_escapes_is_what_it_says() {
    let text = concat!(
        r#"{"service":"books","\u0073ervice":"evil","time":"2026-11-21T04:05:00Z","#,
        r#""\u0074ime":"2032-01-01T00:00:00Z","\u0065vent":"purch\u0061se","#,
        r#""\u0065vent_id":"e1","c\u0061rt":{"it\u0065ms":[{"sk\u0075":"7","#,
        r#""quantit\u0079":"\u0032"}]}}"#,
    );
    let (facts, id, replaced) = gone_by(text);
    assert_eq!((facts.kind, id.as_deref()), (EventKind::Purchase, Some("\"e1\"")));
    assert_eq!(facts.items, [ItemFacts { sku: "7".into(), quantity: Some(2) }]);
    assert_eq!(replaced, [true, true, false]);
    // As Python and PHP write Japanese, and .NET a zone.
    let text = concat!(
        r#"{"event":"\u95b2\u89a7","service":"\u672c","#,
        r#""time":"2026-11-21T13:05:00\u002B09:00"}"#,
    );
    let (facts, _, replaced) = gone_by(text);
    assert!(facts.renews);
    assert_eq!(replaced, [false, false, false]);
    assert!(!gone_by(r#"{"event":"\u95b2"}"#).0.renews);
}
