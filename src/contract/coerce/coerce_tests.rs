use super::*;
use crate::base::config::ConfigFile;
use crate::contract::parse_contract;

/// The reader of the one column of a contract.
fn reader(column: &str) -> ColumnReader {
    let text = format!("[[column]]\nname = \"c\"\n{column}");
    let contract = parse_contract(&ConfigFile { path: "contract.toml".into(), text }).unwrap();
    ColumnReader::new(&contract.columns[0])
}

fn take(column: &str, record: &str) -> Result<Value<'static>, Misfit> {
    let JsonKind::Object(members) = read_json(record, 64).unwrap().kind else { panic!() };
    reader(column).take(&members, &mut Mends::default()).map(|value| value.to_static())
}

/// The value of a column at `c`, or why there is none.
fn value(column: &str, json: &str) -> Result<Value<'static>, MisfitReason> {
    take(column, &format!("{{\"c\":{json}}}")).map_err(|misfit| misfit.reason)
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

#[test]
fn integers_are_exact_or_out_of_range() {
    let int64 = r#"type = "int64""#;
    let cases = [
        ("9007199254740993", Ok(Value::Int64(9_007_199_254_740_993))),
        ("-9223372036854775808", Ok(Value::Int64(i64::MIN))),
        ("9223372036854775808", Err(MisfitReason::OutOfRange)),
        ("1.0", Ok(Value::Int64(1))),
        ("1e3", Ok(Value::Int64(1000))),
        ("-0", Ok(Value::Int64(0))),
        ("1.5", Err(MisfitReason::OutOfRange)),
        ("9007199254740993.5", Err(MisfitReason::OutOfRange)),
        ("1e400", Err(MisfitReason::OutOfRange)),
        ("\"12\"", Err(MisfitReason::TypeMismatch)),
        ("true", Err(MisfitReason::TypeMismatch)),
        ("[1]", Err(MisfitReason::TypeMismatch)),
    ];
    for (json, expected) in cases {
        assert_eq!(value(int64, json), expected, "{json}");
    }
    let int32 = r#"type = "int32""#;
    assert_eq!(value(int32, "-2147483648"), Ok(Value::Int32(i32::MIN)));
    assert_eq!(value(int32, "2147483648"), Err(MisfitReason::OutOfRange));
}

#[test]
fn decimals_keep_every_digit_or_are_out_of_range() {
    let decimal = r#"type = "decimal(12,2)""#;
    let cases = [
        ("19.5", Ok(Value::Decimal(1950))),
        ("0.10", Ok(Value::Decimal(10))),
        ("1.500", Ok(Value::Decimal(150))),
        ("15e-1", Ok(Value::Decimal(150))),
        ("1.5E3", Ok(Value::Decimal(150_000))),
        ("-9999999999.99", Ok(Value::Decimal(-999_999_999_999))),
        ("10000000000", Err(MisfitReason::OutOfRange)),
        ("1.005", Err(MisfitReason::OutOfRange)),
        ("1e-3", Err(MisfitReason::OutOfRange)),
        ("\"1\"", Err(MisfitReason::TypeMismatch)),
    ];
    for (json, expected) in cases {
        assert_eq!(value(decimal, json), expected, "{json}");
    }
}

#[test]
fn doubles_are_the_nearest_and_never_infinite() {
    let double = r#"type = "float64""#;
    let cases = [
        ("0.1", Ok(Value::Float64(0.1))),
        ("1", Ok(Value::Float64(1.0))),
        ("1.7976931348623157e308", Ok(Value::Float64(f64::MAX))),
        ("1e-400", Ok(Value::Float64(0.0))),
        ("1e309", Err(MisfitReason::OutOfRange)),
        ("-1e309", Err(MisfitReason::OutOfRange)),
        ("\"NaN\"", Err(MisfitReason::TypeMismatch)),
    ];
    for (json, expected) in cases {
        assert_eq!(value(double, json), expected, "{json}");
    }
    assert!(matches!(value(double, "-0.0"), Ok(Value::Float64(z)) if z.is_sign_negative()));
}

#[test]
fn numbers_in_strings_are_taken_only_where_the_column_says_so() {
    let int64 = "type = \"int64\"\nnumber_in_string = true";
    assert_eq!(value(int64, "\"12\""), Ok(Value::Int64(12)));
    assert_eq!(value(int64, "\"1\\u0032\""), Ok(Value::Int64(12)));
    assert_eq!(value(int64, "12"), Ok(Value::Int64(12)));
    assert_eq!(value(int64, "\"1.5\""), Err(MisfitReason::OutOfRange));
    for json in ["\"\"", "\" 12\"", "\"+12\"", "\"012\"", "\"12a\"", "\"0x1\"", "\"１\""] {
        assert_eq!(value(int64, json), Err(MisfitReason::TypeMismatch), "{json}");
    }
    let others = [("decimal(4,1)", Value::Decimal(15)), ("float64", Value::Float64(1.5))];
    for (column_type, expected) in others {
        let column = format!("type = \"{column_type}\"\nnumber_in_string = true");
        assert_eq!(value(&column, "\"1.5\""), Ok(expected));
    }
}

#[test]
fn strings_are_strings_and_booleans_are_booleans() {
    let string = r#"type = "string""#;
    assert_eq!(value(string, r#""足\u8de1""#), Ok(text("足跡")));
    assert_eq!(value(string, "\"\""), Ok(text("")));
    for json in ["1", "true", "{}", "[]"] {
        assert_eq!(value(string, json), Err(MisfitReason::TypeMismatch), "{json}");
    }
    assert_eq!(value(string, r#""a\u0000b""#), Err(MisfitReason::NulCharacter));
    let bool = r#"type = "bool""#;
    assert_eq!(value(bool, "true"), Ok(Value::Bool(true)));
    assert_eq!(value(bool, "false"), Ok(Value::Bool(false)));
    for json in ["0", "1", "\"true\"", "[]"] {
        assert_eq!(value(bool, json), Err(MisfitReason::TypeMismatch), "{json}");
    }
}

#[test]
fn dates_and_timestamps_are_told_by_type_and_text() {
    assert_eq!(value(r#"type = "date""#, "\"2026-11-21\""), Ok(Value::Date(20_778)));
    assert_eq!(value(r#"type = "date""#, "\"21.11.2026\""), Err(MisfitReason::InvalidTimestamp));
    assert_eq!(value(r#"type = "date""#, "20261121"), Err(MisfitReason::TypeMismatch));
    let timestamp = "type = \"timestamp\"\nformats = [\"rfc3339\", \"epoch_ms\"]";
    let at = Ok(Value::Timestamp(1_795_233_900_123_000));
    assert_eq!(value(timestamp, "\"2026-11-21T13:05:00.123+09:00\""), at);
    assert_eq!(value(timestamp, "1795233900123"), at);
    assert_eq!(value(timestamp, "\"1795233900123\""), Err(MisfitReason::InvalidTimestamp));
}

#[test]
fn json_columns_hold_the_values_text_byte_for_byte() {
    let json = r#"type = "json""#;
    for raw in
        ["1.50", "{ \"b\" : [1 ,2], \"a\":\"\\u0041\\u0000\", \"a\":1 }", "\"足\"", "[]", "true"]
    {
        assert_eq!(value(json, raw), Ok(text(raw)), "{raw}");
    }
    assert_eq!(value(json, "null"), Ok(Value::Null));
}

#[test]
fn the_first_path_with_a_value_that_is_not_null_wins() {
    let column = "type = \"int64\"\npaths = [\"new.id\", \"old\"]";
    let cases = [
        (r#"{"new":{"id":1},"old":2}"#, Value::Int64(1)),
        (r#"{"old":2}"#, Value::Int64(2)),
        (r#"{"new":{"id":null},"old":2}"#, Value::Int64(2)),
        (r#"{"new":null,"old":2}"#, Value::Int64(2)),
        (r#"{"new":[{"id":1}],"old":2}"#, Value::Int64(2)),
        (r#"{"new":{"id":null},"old":null}"#, Value::Null),
        (r#"{}"#, Value::Null),
    ];
    for (record, expected) in cases {
        assert_eq!(take(column, record), Ok(expected), "{record}");
    }
    let misfit = take(column, r#"{"new":{"id":"x"},"old":2}"#).unwrap_err();
    assert_eq!((misfit.reason, misfit.path.as_str()), (MisfitReason::TypeMismatch, "new.id"));
}

#[test]
fn absent_and_null_give_the_default_or_null_or_a_misfit() {
    for record in ["{}", r#"{"c":null}"#] {
        assert_eq!(take(r#"type = "int64""#, record), Ok(Value::Null));
        assert_eq!(take("type = \"int64\"\ndefault = 7", record), Ok(Value::Int64(7)));
        let misfit = take("type = \"int64\"\nrequired = true", record).unwrap_err();
        assert_eq!(misfit.reason, MisfitReason::MissingRequired);
        assert_eq!((misfit.path.as_str(), misfit.found.as_str()), ("c", "nothing"));
        assert_eq!(misfit.expected, "a number that int64 holds exactly at `c`");
    }
    assert_eq!(value("type = \"int64\"\ndefault = 7", "0"), Ok(Value::Int64(0)));
}

#[test]
fn defaults_of_each_type_are_read_by_the_columns_rules() {
    let cases = [
        ("type = \"string\"\ndefault = \"a\\\"b\"", text("a\"b")),
        ("type = \"bool\"\ndefault = false", Value::Bool(false)),
        ("type = \"int64\"\ndefault = 9_223_372_036_854_775_807", Value::Int64(i64::MAX)),
        ("type = \"float64\"\ndefault = 2", Value::Float64(2.0)),
        ("type = \"decimal(20,2)\"\ndefault = 123456789012345678.25", {
            Value::Decimal(12_345_678_901_234_567_825)
        }),
        ("type = \"date\"\ndefault = \"1970-01-02\"", Value::Date(1)),
        ("type = \"timestamp\"\ndefault = \"1970-01-01T00:00:01Z\"", Value::Timestamp(1_000_000)),
        ("type = \"timestamp\"\nformats = [\"epoch_s\"]\ndefault = 1", Value::Timestamp(1_000_000)),
        ("type = \"json\"\ndefault = '{\"a\": 1}'", text("{\"a\": 1}")),
        ("type = \"json\"\ndefault = 1", text("1")),
        (
            "type = \"list\"\ndefault = '[{\"x\":\"a\"},null,{}]'\n\
             [[column.item]]\nname=\"x\"\ntype=\"string\"",
            { Value::List(vec![Some(vec![text("a")]), None, Some(vec![Value::Null])]) },
        ),
    ];
    for (column, expected) in cases {
        assert_eq!(take(column, "{}"), Ok(expected), "{column}");
    }
}

#[test]
fn a_default_that_is_no_value_of_the_column_is_a_misfit_of_every_line_without_one() {
    let mut column = reader(r#"type = "int64""#).column;
    column.default = Some("\"x\"".to_owned());
    let reader = ColumnReader::new(&column);
    assert_eq!(reader.default_misfit().map(|m| m.reason), Some(MisfitReason::TypeMismatch));
    assert_eq!(
        reader.take(&[], &mut Mends::default()).map_err(|m| m.reason),
        Err(MisfitReason::TypeMismatch)
    );
}

#[test]
fn on_mismatch_null_makes_every_misfit_null_and_never_the_default() {
    let column = "type = \"string\"\non_mismatch = \"null\"\ndefault = \"d\"";
    assert_eq!(value(column, "1"), Ok(Value::Null));
    assert_eq!(value(column, r#""\u0000""#), Ok(Value::Null));
    assert_eq!(value(column, "null"), Ok(text("d")));
    for column_type in ["int32", "decimal(3,1)", "timestamp", "date", "bool"] {
        let column = format!("type = \"{column_type}\"\non_mismatch = \"null\"");
        assert_eq!(value(&column, "1e99"), Ok(Value::Null), "{column_type}");
        assert_eq!(value(&column, "\"x\""), Ok(Value::Null), "{column_type}");
    }
}

#[test]
fn a_required_column_is_never_null_even_if_it_says_both() {
    let mut column = reader("type = \"int64\"\nrequired = true").column;
    column.on_mismatch = OnMismatch::Null;
    let JsonKind::Object(members) = read_json(r#"{"c":"x"}"#, 1).unwrap().kind else { panic!() };
    assert!(ColumnReader::new(&column).take(&members, &mut Mends::default()).is_err());
}

const ITEMS: &str = r#"type = "list"
[[column.item]]
name = "sku"
type = "string"
required = true
[[column.item]]
name = "price"
path = "p.now"
type = "int32"
on_mismatch = "null"
"#;

#[test]
fn lists_hold_an_element_for_each_object_or_null_of_the_array() {
    let json = r#"[{"sku":"a","p":{"now":1},"x":0},null,{"sku":"b"},{"sku":"c","p":{"now":"?"}}]"#;
    let expected = vec![
        Some(vec![text("a"), Value::Int32(1)]),
        None,
        Some(vec![text("b"), Value::Null]),
        Some(vec![text("c"), Value::Null]),
    ];
    assert_eq!(value(ITEMS, json), Ok(Value::List(expected)));
    assert_eq!(value(ITEMS, "[]"), Ok(Value::List(Vec::new())));
    assert_eq!(value(ITEMS, "null"), Ok(Value::Null));
}

#[test]
fn a_misfit_in_an_element_is_one_of_the_list_with_its_path() {
    let cases = [
        ("{}", MisfitReason::TypeMismatch, "c", "{}"),
        ("\"a\"", MisfitReason::TypeMismatch, "c", "\"a\""),
        (r#"[{"sku":"a"},7]"#, MisfitReason::TypeMismatch, "c[1]", "7"),
        (r#"[{"sku":"a"},{"sku":9}]"#, MisfitReason::TypeMismatch, "c[1].sku", "9"),
        (r#"[{"sku":"a"},{}]"#, MisfitReason::MissingRequired, "c[1].sku", "nothing"),
        (r#"[{"sku":"\u0000"}]"#, MisfitReason::NulCharacter, "c[0].sku", "\"\\u0000\""),
    ];
    for (json, reason, path, found) in cases {
        let misfit = take(ITEMS, &format!("{{\"c\":{json}}}")).unwrap_err();
        let told = (misfit.reason, misfit.path.as_str(), misfit.found.as_str());
        assert_eq!(told, (reason, path, found), "{json}");
        let or_null = ITEMS.replacen('\n', "\non_mismatch = \"null\"\n", 1);
        assert_eq!(value(&or_null, json), Ok(Value::Null), "{json}");
    }
}

#[test]
fn lists_may_nest() {
    let column = r#"type = "list"
[[column.item]]
name = "tags"
type = "list"
[[column.item.item]]
name = "t"
type = "string"
"#;
    let inner = Value::List(vec![Some(vec![text("x")]), None]);
    let expected = Value::List(vec![Some(vec![inner]), Some(vec![Value::Null])]);
    assert_eq!(value(column, r#"[{"tags":[{"t":"x"},null]},{}]"#), Ok(expected));
    let misfit = take(column, r#"{"c":[{"tags":[{"t":"x"},{"t":1}]}]}"#).unwrap_err();
    assert_eq!(misfit.path, "c[0].tags[1].t");
}

#[test]
fn misfits_are_short_however_long_the_value_is() {
    let record = format!("{{\"c\":\"{}\"}}", "足".repeat(1000));
    let misfit = take(r#"type = "int64""#, &record).unwrap_err();
    assert_eq!(misfit.found.chars().count(), 200);
}
