//! Differential test of the fast decoder against the reference decoder: any contract, any
//! lines, any block, any CPU.

use std::collections::BTreeSet;

use datafusion::arrow::array::Array;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::base::config::ConfigFile;
use crate::contract::parse_contract;
use crate::decode::line::split_lines;

/// Columns of every type, with paths that are alternatives, nested, and prefixes of each other.
const COLUMNS: &str = include_str!("../../tests/fuzz/columns.toml");

const KEYS: [&str; 50] = [
    "code",
    "agreed",
    "number_day",
    "zoned",
    "birthday",
    "due",
    "s",
    "user",
    "uid",
    "u",
    "a_name_of_more_than_sixteen_bytes",
    "d1",
    "d2",
    "b",
    "i",
    "l",
    "f",
    "fs",
    "d",
    "wide",
    "day",
    "time",
    "ts",
    "apache",
    "local",
    "raw",
    "items",
    "cart",
    "sku",
    "id",
    "count",
    "n",
    "tags",
    "t",
    "",
    "x",
    "S",
    "us",
    "user.id",
    "a_name_of_more_than_sixteen_bytez",
    "a_name_of_more_than_sixteen",
    "\\u0073",
    "us\\u0065r",
    "\\u0069tems",
    "日本",
    "\\u65e5本",
    "a\\\"b",
    "thirty-two-bytes-of-a-key-012345",
    "sixteen-bytes-ke",
    "fourteen-bytes",
];

const VALUES: [&str; 91] = [
    "20261121",
    "1.50",
    "\"true\"",
    "\"2026-11-21 13:05:00+09\"",
    "\"2026-11-21 13:05:00.25-0330\"",
    "\"2026-11-21 13:05:00+09:18:59\"",
    "\"2026-11-21 13:05:00 UTC\"",
    "\"2026-11-01 01:30:00 EST\"",
    "\"2026-11-21 13:05:00 XYZ\"",
    "\"20261121\"",
    "\"21.11.2026\"",
    "1795233900123456789",
    "\"1795233900123456789\"",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "1.0",
    "1e2",
    "1E+2",
    "-0.0",
    "0.1",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "nul",
    "tru",
    "True",
    "NaN",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1e400",
    "1e-400",
    "123456789012345678901234567890",
    "0.10",
    "0.125",
    "9999999999.99",
    "10000000000.00",
    "1234567.891",
    "3.141592653589793238",
    "2.2250738585072011e-308",
    "\"7\"",
    "\"-7\"",
    "\"1.5\"",
    "\" 7\"",
    "\"7 \"",
    "\"1e3\"",
    "\"\"",
    "\"2026-11-21\"",
    "\"2026-02-29\"",
    "\"2024-02-29\"",
    "\"0000-01-01\"",
    "\"9999-12-31\"",
    "\"2026-11-21T13:05:00Z\"",
    "\"2026-11-21T13:05:00.5+09:00\"",
    "\"2026-11-21t13:05:00.123456789-00:30\"",
    "\"2026-11-21 13:05:60Z\"",
    "\"2026-11-21T24:00:00Z\"",
    "\"2026-11-21T13:05:00\"",
    "\"2026-11-21 13:05:00\"",
    "\"21/Nov/2026:13:05:00 +0900\"",
    "\"1795233900123\"",
    "1795233900",
    "1795233900123",
    "-62135596800001",
    "253402300800000",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\udc00x\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\q\"",
    "\"\\u12\"",
    "\"tab\\there\"",
    "{}",
    "[]",
    "[[]]",
];

fn contract_text() -> impl Strategy<Value = String> {
    let unknown = select(vec![
        "unknown_fields = \"ignore\"",
        "unknown_fields = \"collect\"\nunknown_fields_column = \"extra\"",
        "unknown_fields = \"reject\"",
    ]);
    let duplicates = select(vec!["last", "reject"]);
    let depth = prop_oneof![4 => Just(64), 1 => 1..6_u32];
    let required = select(vec![
        "",
        "[[column]]\nname = \"must\"\npath = \"s\"\ntype = \"string\"\nrequired = true\n",
    ]);
    let text = select(vec!["reject", "replace"]);
    let items = select(vec!["reject", "drop"]);
    (unknown, duplicates, depth, required, text, items).prop_map(
        |(unknown, duplicates, depth, required, text, items)| {
            let list = "name = \"items\"\ntype = \"list\"\n";
            let columns = COLUMNS.replace(list, &format!("{list}on_item_mismatch = \"{items}\"\n"));
            format!(
                "{unknown}\nduplicate_keys = \"{duplicates}\"\ndepth_max = {depth}\n\
                 on_invalid_text = \"{text}\"\n{columns}{required}"
            )
        },
    )
}

/// Strings around the lengths at which blocks of bytes end, with something in them.
fn string() -> impl Strategy<Value = String> {
    let inside =
        select(vec!["", "\\n", "\\/", "\\u00e9", "\\ud83d\\ude00", "é", "日本", "\t", "\u{7f}"]);
    (0..140_usize, any::<Index>(), inside).prop_map(|(length, at, inside)| {
        let at = at.index(length + 1);
        format!("\"{}{inside}{}\"", "a".repeat(at), "b".repeat(length - at))
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just(""), 1 => select(vec![" ", "\t", "  ", "\r", " \t \r "])]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => select(&VALUES[..]).prop_map(str::to_owned),
        2 => string(),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_filter_map("JSON has no others", |number| {
            number.is_finite().then(|| number.to_string())
        }),
        1 => (0..100_000_000_u64, 0..9_usize).prop_map(|(n, digits)| format!("{n}.{n:0digits$}")),
    ];
    leaf.prop_recursive(
        4,
        24,
        5,
        |value| prop_oneof![3 => object(value.clone()), 2 => array(value)],
    )
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (select(&KEYS[..]), value, space(), space());
    (vec(member, 0..6), space()).prop_map(|(members, end)| {
        let member = |(key, value, before, after): &(&str, String, &str, &str)| {
            format!("{before}\"{key}\"{after}:{before}{value}{after}")
        };
        format!("{{{}{end}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
    })
}

fn array(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (vec(value, 0..4), space())
        .prop_map(|(values, end)| format!("[{end}{}{end}]", values.join(",")))
}

/// Records that are mostly good: keys at their places with values that fit.
fn likely_record() -> impl Strategy<Value = String> {
    let members = select(vec![
        r#""s":"text""#,
        r#""user":{"id":"u1","l":5,"ab":1}"#,
        r#""user":{"d2":"x"}"#,
        r#""uid":"u2""#,
        r#""u":null"#,
        r#""d1":"d""#,
        r#""b":true"#,
        r#""i":12"#,
        r#""l":"34""#,
        r#""f":1.5"#,
        r#""fs":"2.25""#,
        r#""d":12.34"#,
        r#""wide":1234567890.0123456789"#,
        r#""day":"2026-11-21""#,
        r#""zoned":"2026-11-21 13:05:00 UTC+9""#,
        r#""zoned":1795233900123456789"#,
        r#""birthday":"20261121""#,
        r#""birthday":"2026-11-21""#,
        r#""due":"20261121""#,
        r#""number_day":20261121"#,
        r#""code":1.50"#,
        r#""agreed":1"#,
        r#""agreed":"true""#,
        r#""cart":{"items":[{"sku":"a","count":{"n":1}},{"count":{"n":2}},7,{"sku":"b","n":"x"}]}"#,
        r#""s":"half \ud83d of it""#,
        r#""time":"2026-11-21 13:05:00+09""#,
        r#""time":"2026-11-21T13:05:00.123+09:00""#,
        r#""ts":1795233900123"#,
        r#""ts":"1795233900123""#,
        r#""apache":"21/Nov/2026:13:05:00 +0900""#,
        r#""local":"2026-11-21 13:05:00""#,
        r#""raw":{"k":[1,"x"]}"#,
        r#""items":[{"sku":"a","count":{"n":1}},null,{"id":"b","tags":[{"t":"c"},{}]}]"#,
        r#""cart":{"items":[{"sku":"z","gift":true}],"total":3}"#,
        r#""unknown":[{"deep":[1,2]}]"#,
        r#""a_name_of_more_than_sixteen_bytes":"long""#,
        r#""items":[]"#,
        r#""items":null"#,
    ]);
    vec(members, 0..14).prop_map(|members| {
        let mut seen = BTreeSet::new();
        let key = |member: &&str| member.split('"').nth(1).map(str::to_owned);
        let once: Vec<&str> = members.into_iter().filter(|m| seen.insert(key(m))).collect();
        format!("{{{}}}", once.join(","))
    })
}

/// A line, sometimes damaged, and its line end.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        5 => likely_record(),
        4 => object(value()),
        1 => value(),
        1 => select(vec!["", " ", "\t\r", "{", "}", "{}x", "\u{feff}{}", "{\"s\":\"x\"}{}"])
            .prop_map(str::to_owned),
    ];
    let damage =
        prop_oneof![5 => Just(None), 1 => (any::<Index>(), any::<u8>(), 0..4_u8).prop_map(Some)];
    let end = select(vec!["\n", "\n", "\n", "\r\n", "\r\r\n"]);
    (text, damage, end).prop_map(|(text, damage, end)| {
        let mut line = text.into_bytes();
        if let Some((at, byte, kind)) = damage {
            let at = at.index(line.len() + 1);
            match kind {
                0 => line.truncate(at),
                1 => line.insert(at, byte),
                2 if at < line.len() => line[at] = byte,
                _ => drop((at < line.len()).then(|| line.remove(at))),
            }
        }
        line.extend_from_slice(end.as_bytes());
        line
    })
}

/// Consecutive blocks of one object; the last may lack its line end.
fn blocks() -> impl Strategy<Value = Vec<Lines>> {
    (vec(vec(line(), 0..12), 1..4), any::<bool>()).prop_map(|(blocks, cut)| {
        let (mut first_line, mut first_offset) = (1, 0);
        let last = blocks.len() - 1;
        let lines = blocks.into_iter().enumerate().map(|(place, block)| {
            let mut bytes = block.concat();
            if cut && place == last {
                bytes.pop();
            }
            let count = split_lines(&bytes).count() as u64;
            let lines = Lines { bytes: bytes.into(), first_line, first_offset, count };
            first_line += count;
            first_offset += lines.bytes.len() as u64;
            lines
        });
        lines.collect()
    })
}

/// Both decoders on the same blocks: the same in all, and arrays that Arrow finds sound.
fn agree(contract_text: &str, blocks: &[Lines], projection: &[Index]) -> Result<(), TestCaseError> {
    let file = ConfigFile { path: "contract.toml".into(), text: contract_text.to_owned() };
    let contract = Arc::new(parse_contract(&file).unwrap());
    let width = contract.arrow_schema().fields().len();
    let all: Vec<usize> = (0..width).collect();
    let some: Vec<usize> = projection.iter().map(|index| index.index(width)).collect();
    let some: Vec<usize> = some.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut reference = ReferenceDecoder::new(Arc::clone(&contract));
    let expected: Vec<Decoded> = blocks.iter().map(|lines| reference.decode(lines)).collect();
    for cpu in Cpu::available() {
        let mut whole = Decoder::on_cpu(Arc::clone(&contract), &all, cpu);
        let mut projected = Decoder::on_cpu(Arc::clone(&contract), &some, cpu);
        for (lines, expected) in blocks.iter().zip(&expected) {
            let decoded = whole.decode(lines);
            for column in decoded.batch.columns() {
                column.to_data().validate_full().unwrap();
            }
            prop_assert_eq!(&decoded, expected, "{:?}", cpu);
            let of_some = Decoded { batch: decoded.batch.project(&some).unwrap(), ..decoded };
            prop_assert_eq!(projected.decode(lines), of_some, "{:?} {:?}", cpu, &some);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn both_decoders_agree_in_rows_rejects_and_counts(
        contract in contract_text(),
        blocks in blocks(),
        projection in vec(any::<Index>(), 0..8),
    ) {
        agree(&contract, &blocks, &projection)?;
    }
}

#[test]
fn values_at_the_very_end_of_a_block_are_read_like_all_others() {
    for length in 0..200 {
        for end in ["", "\n", "\r\n"] {
            let text =
                format!("{{\"i\":7}}\n{{\"s\":\"{}\",\"i\":{length}}}{end}", "é".repeat(length));
            let count = split_lines(text.as_bytes()).count() as u64;
            let lines = Lines { bytes: text.into(), first_line: 1, first_offset: 0, count };
            agree(COLUMNS, &[lines], &[]).unwrap();
        }
    }
}
