use super::*;
use crate::base::document_tables::{defaults, names};
use crate::contract::{
    Column, ColumnType, EpochUnit, JsonPath, MendKind, Mending, OnItemMismatch, OnMismatch,
    Spelling, TimestampForm,
};

fn parse(text: &str) -> Result<Contract, Vec<String>> {
    let file = ConfigFile { path: "contract.toml".into(), text: text.to_owned() };
    parse_contract(&file).map_err(|found| found.iter().map(ToString::to_string).collect())
}

/// The single finding about a contract, without its place.
fn finding(text: &str) -> String {
    let found = parse(text).unwrap_err();
    assert_eq!(found.len(), 1, "{text}: {found:#?}");
    let places_end = found[0].find(": ").map_or(0, |at| at + 2);
    found[0][places_end..].to_owned()
}

/// The single finding about a contract of one column `c`.
fn column_finding(column: &str) -> String {
    finding(&format!("[[column]]\nname = \"c\"\n{column}"))
}

fn column(name: &str, column_type: ColumnType) -> Column {
    Column {
        name: name.to_owned(),
        paths: vec![JsonPath(vec![name.to_owned()])],
        column_type,
        required: false,
        default: None,
        on_mismatch: OnMismatch::Reject,
        number_in_string: false,
        mending: Mending::default(),
    }
}

#[test]
fn a_short_contract_takes_every_default() {
    let contract = parse("[[column]]\nname = \"a.b\"\ntype = \"string\"").unwrap();
    assert_eq!(
        contract,
        Contract {
            columns: vec![column("a.b", ColumnType::String)],
            unknown_fields: UnknownFields::Ignore,
            duplicate_keys: DuplicateKeys::Last,
            depth_max: 64,
            line_bytes_max: 16 << 20,
            on_invalid_text: OnInvalidText::Reject,
        }
    );
}

const FULL: &str = r#"
unknown_fields = "collect"
unknown_fields_column = "extra"
duplicate_keys = "reject"
depth_max = 8
line_bytes_max = "1MiB"
on_invalid_text = "replace"

[[column]]
name = "at"
paths = ["time", "log.\"t.s\""]
type = "timestamp"
formats = ["rfc3339", "epoch_s", "epoch_ms", "epoch_us", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M"]
assumed_time_zone = "Asia/Tokyo"
required = true
number_in_string = true

[[column]]
name = "price"
path = "p"
type = "decimal( 12 , 2 )"
on_mismatch = "null"
default = 0.10

[[column]]
name = "items"
type = "list"
on_item_mismatch = "drop"
[[column.item]]
name = "sku"
type = "string"
required = true
number_as_text = true
[[column.item]]
name = "gift"
type = "bool"
true_values = ["yes", 1]
false_values = ["no", 0]
[[column.item]]
name = "_line"
type = "json"
"#;

#[test]
fn every_key_of_a_full_contract_is_read() {
    let contract = parse(FULL).unwrap();
    let forms = vec![
        TimestampForm::Rfc3339,
        TimestampForm::Epoch(EpochUnit::Second),
        TimestampForm::Epoch(EpochUnit::Millisecond),
        TimestampForm::Epoch(EpochUnit::Microsecond),
        TimestampForm::Pattern("%d/%b/%Y:%H:%M:%S %z".to_owned()),
        TimestampForm::Pattern("%Y-%m-%d %H:%M".to_owned()),
    ];
    let at = Column {
        paths: vec![
            JsonPath(vec!["time".to_owned()]),
            JsonPath(vec!["log".to_owned(), "t.s".to_owned()]),
        ],
        required: true,
        number_in_string: true,
        ..column("at", ColumnType::Timestamp { forms, assumed_zone: Some(chrono_tz::Asia::Tokyo) })
    };
    let price = Column {
        paths: vec![JsonPath(vec!["p".to_owned()])],
        on_mismatch: OnMismatch::Null,
        default: Some("0.10".to_owned()),
        ..column("price", ColumnType::Decimal { precision: 12, scale: 2 })
    };
    let mending = Mending { number_as_text: true, ..Mending::default() };
    let sku = Column { required: true, mending, ..column("sku", ColumnType::String) };
    let text = |text: &str| Spelling::Text(text.to_owned());
    let mending = Mending {
        true_values: vec![text("yes"), Spelling::Integer(1)],
        false_values: vec![text("no"), Spelling::Integer(0)],
        ..Mending::default()
    };
    let gift = Column { mending, ..column("gift", ColumnType::Bool) };
    let mending = Mending { on_item_mismatch: OnItemMismatch::Drop, ..Mending::default() };
    let line = column("_line", ColumnType::Json);
    let items = Column { mending, ..column("items", ColumnType::List(vec![sku, gift, line])) };
    assert_eq!(
        contract,
        Contract {
            columns: vec![at, price, items],
            unknown_fields: UnknownFields::Collect("extra".to_owned()),
            duplicate_keys: DuplicateKeys::Reject,
            depth_max: 8,
            line_bytes_max: 1 << 20,
            on_invalid_text: OnInvalidText::Replace,
        }
    );
}

#[test]
fn all_errors_are_told_in_order_with_their_places() {
    let text = r#"unknown_field = "ignore"
depth_max = 0

[[column]]
name = "a"
type = "strin"
[[column]]
name = "b"
type = "int64"
require = true
[[column]]
name = "b"
type = "int64"
default = "x"
"#;
    assert_eq!(
        parse(text).unwrap_err(),
        [
            "contract.toml:1:1: unknown key `unknown_field`; did you mean `unknown_fields`?",
            "contract.toml:2:13: expected 1 to 256 levels, found 0",
            "contract.toml:6:9: unknown type `strin`; did you mean `string`?",
            "contract.toml:10:1: unknown key `require`; did you mean `required`?",
            "contract.toml:12:9: column `b` is there twice, first in line 8; \
             Hive and Spark do not tell upper from lower case",
            "contract.toml:14:12: default: expected a number that int64 holds exactly, found \"x\"",
        ]
    );
}

#[test]
fn a_text_that_is_no_toml_is_told_with_its_place() {
    let found = parse("[[column]]\nname = \n").unwrap_err();
    assert!(found[0].starts_with("contract.toml:2:"), "{found:?}");
}

#[test]
fn what_is_wrong_with_the_whole_contract_is_told() {
    let column = "\n[[column]]\nname = \"c\"\ntype = \"json\"";
    let cases = [
        ("", "expected at least one `[[column]]`, found none"),
        ("column = []", "expected at least one column, found none"),
        (
            "[column]\nname = \"a\"",
            "expected tables in double brackets, as `[[column]]`, found table",
        ),
        (
            "unknown_fields = \"drop\"COLUMN",
            "expected a policy, found `drop`; expected one of: ignore, collect, reject",
        ),
        (
            "unknown_fields = \"collect\"COLUMN",
            "expected `unknown_fields_column` beside `unknown_fields = \"collect\"`",
        ),
        (
            "unknown_fields_column = \"x\"COLUMN",
            "`unknown_fields_column` goes with `unknown_fields = \"collect\"` only",
        ),
        (
            "unknown_fields = \"collect\"\nunknown_fields_column = \"C\"COLUMN",
            "expected a name of its own, but column `C` exists",
        ),
        (
            "unknown_fields = \"collect\"\nunknown_fields_column = \"_line\"COLUMN",
            "expected a name of its own, but column `_line` exists",
        ),
        (
            "unknown_fields = \"collect\"\nunknown_fields_column = \"\"COLUMN",
            "expected a column's name without control characters",
        ),
        (
            "duplicate_keys = \"first\"COLUMN",
            "expected a policy, found `first`; expected one of: last, reject",
        ),
        ("depth_max = 257COLUMN", "expected 1 to 256 levels, found 257"),
        ("depth_max = \"8\"COLUMN", "`depth_max`: expected i64, found string"),
        (
            "line_bytes_max = \"16 megs\"COLUMN",
            "expected a byte size such as `16MiB` or `1048576`, found `16 megs`",
        ),
        ("line_bytes_max = 0COLUMN", "expected 1 byte to 256MiB, found 0 bytes"),
        ("line_bytes_max = \"1GiB\"COLUMN", "expected 1 byte to 256MiB, found 1073741824 bytes"),
        (
            "line_bytes_max = -1COLUMN",
            "expected a byte size such as `16MiB` or `1048576`, found `-1`",
        ),
        ("line_bytes_max = trueCOLUMN", "expected a byte size such as \"16MiB\", found boolean"),
    ];
    for (text, expected) in cases {
        assert_eq!(finding(&text.replace("COLUMN", column)), expected, "{text}");
    }
    let plain = parse(&format!("line_bytes_max = 1024{column}")).unwrap();
    assert_eq!(plain.line_bytes_max, 1024);
}

#[test]
fn what_is_wrong_with_a_name_or_path_is_told() {
    let named = |name: &str| finding(&format!("[[column]]\nname = \"{name}\"\ntype = \"json\""));
    assert_eq!(named(""), "expected a column's name without control characters");
    assert_eq!(named("a\\n"), "expected a column's name without control characters");
    for name in ["_source", "_line", "_offset", "_Line"] {
        let expected = format!("expected another name than `{name}`, which each row has already");
        assert_eq!(named(name), expected);
    }
    assert_eq!(finding("[[column]]\ntype = \"json\""), "missing key `name`");
    let cases = [
        ("path = \"a\"\npaths = [\"b\"]", "expected `path` or `paths`, found both"),
        ("paths = []", "expected at least one path, found none"),
        ("paths = [\"a\", \"a\"]", "path `a` is there twice"),
        ("path = \"a..b\"", "path `a..b`: expected a key; an empty one is written \"\""),
        ("path = 1", "`path`: expected a string, found integer; write it in quotes"),
    ];
    for (keys, expected) in cases {
        assert_eq!(column_finding(&format!("type = \"json\"\n{keys}")), expected, "{keys}");
    }
    let cases =
        "[[column]]\nname = \"at\"\ntype = \"json\"\n[[column]]\nname = \"AT\"\ntype = \"json\"";
    assert!(finding(cases).starts_with("column `AT` is there twice, first in line 2"));
}

#[test]
fn what_is_wrong_with_a_type_is_told() {
    let known = "expected one of: string, bool, int32, int64, float64, decimal(12,2), date, \
                 timestamp, list, json";
    let unknown = format!("unknown type `blob`; {known}");
    let cases = [
        ("type = \"blob\"", unknown.as_str()),
        ("type = \"varchar\"", "unknown type `varchar`; did you mean `string`?"),
        ("type = \"int46\"", "unknown type `int46`; did you mean `int64`?"),
        ("", "missing key `type`"),
        ("type = \"decimal(39,2)\"", "expected a precision of 1 to 38, found 39"),
        ("type = \"decimal(0,0)\"", "expected a precision of 1 to 38, found 0"),
        ("type = \"decimal(4,5)\"", "expected a scale of 0 to the precision 4, found 5"),
        ("type = \"list\"", "expected `[[column.item]]` below a column of type `list`"),
    ];
    for (keys, expected) in cases {
        assert_eq!(column_finding(keys), expected, "{keys}");
    }
    for decimal in ["decimal", "decimal(12)", "decimal(4,-1)", "decimal 4,1", "decimal(1,2,3)"] {
        let expected = "expected precision and scale as in `decimal(12,2)`, found";
        let found = column_finding(&format!("type = \"{decimal}\""));
        assert_eq!(found, format!("{expected} `{decimal}`"));
    }
}

#[test]
fn a_key_that_goes_with_another_type_is_told() {
    let meaningless = "it is for number types and for timestamps in an epoch form";
    let item = "\n[[column.item]]\nname = \"a\"\ntype = \"string\"";
    let cases = [
        (
            "int64",
            "formats = [\"rfc3339\"]",
            "`formats` goes with types `timestamp` and `date` only",
        ),
        (
            "json",
            "assumed_time_zone = \"UTC\"",
            "`assumed_time_zone` goes with type `timestamp` only",
        ),
        ("bool", item, "`item` goes with type `list` only"),
    ];
    for (column_type, key, expected) in cases {
        let found = column_finding(&format!("type = \"{column_type}\"\n{key}"));
        assert_eq!(found, format!("{expected}, found `{column_type}`"));
    }
    for column_type in ["string", "timestamp"] {
        let found = column_finding(&format!("type = \"{column_type}\"\nnumber_in_string = true"));
        let expected = format!("`number_in_string` means nothing for type `{column_type}`");
        assert_eq!(found, format!("{expected}; {meaningless}"));
    }
}

#[test]
fn mending_that_goes_with_another_type_or_means_two_things_is_told() {
    let cases = [
        ("int64", "number_as_text = true", "`number_as_text` means nothing for type `int64`"),
        ("date", "number_as_text = true", "`number_as_text` means nothing for type `date`"),
        (
            "timestamp",
            "number_as_text = true\nformats = [\"%s\", \"epoch_ms\"]",
            "`number_as_text` means nothing for type `timestamp`",
        ),
        ("string", "true_values = [\"yes\"]", "`true_values` goes with type `bool` only"),
        ("json", "on_item_mismatch = \"drop\"", "`on_item_mismatch` goes with type `list` only"),
        ("bool", "true_values = \"yes\"", "`true_values`: expected an array of texts and"),
        ("bool", "true_values = [1.5]", "expected a text or an integer, found float"),
        (
            "bool",
            "true_values = [\"y\", 1]\nfalse_values = [\"n\", 1]",
            "1 stands for true as well: leave one of them",
        ),
    ];
    for (column_type, keys, expected) in cases {
        let found = column_finding(&format!("type = \"{column_type}\"\n{keys}"));
        assert!(found.starts_with(expected), "{keys}: {found}");
    }
    let date = "type = \"date\"\nnumber_as_text = true\nformats = [\"%Y%m%d\"]";
    parse(&format!("[[column]]\nname = \"c\"\n{date}")).unwrap();
}

#[test]
fn items_are_checked_as_columns_are() {
    let item = |keys: &str| column_finding(&format!("type = \"list\"\n[[column.item]]\n{keys}"));
    assert_eq!(item("name = \"a\"\ntype = \"jsn\""), "unknown type `jsn`; did you mean `json`?");
    assert_eq!(item("type = \"json\""), "missing key `name`");
    let twice = "name = \"a\"\ntype = \"json\"\n";
    assert!(
        item(&format!("{twice}[[column.item]]\n{twice}")).starts_with("column `a` is there twice")
    );
    assert_eq!(
        column_finding("type = \"list\"\nitem = []"),
        "expected at least one column, found none"
    );
}

#[test]
fn what_is_wrong_with_a_timestamps_forms_is_told() {
    let cases = [
        ("formats = []", "expected at least one form, found none"),
        ("formats = [\"rfc3338\"]", "unknown form `rfc3338`; did you mean `rfc3339`?"),
        (
            "formats = [\"iso\"]",
            "unknown form `iso`; expected one of: rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns, \
             a strptime pattern",
        ),
        (
            "formats = [\"yyyy-MM-dd HH:mm:ss\"]",
            "unknown form `yyyy-MM-dd HH:mm:ss`; patterns are those of strptime, as \
             `%Y-%m-%d %H:%M:%S`",
        ),
        (
            "formats = [\"%Y-%m-%d %Q\"]",
            "pattern `%Y-%m-%d %Q` has an unknown directive, `%Q`; milliseconds since the epoch \
             are the form `epoch_ms`",
        ),
        (
            "formats = [\"%H:%M:%S %z\"]",
            "pattern `%H:%M:%S %z` names no year and no month and no day; without it a text may \
             mean many times: add `%Y` and `%m` and `%d`",
        ),
        (
            "formats = [\"%F %T\"]",
            "pattern `%F %T` names no offset; add `%z` to it, or an `assumed_time_zone` to the \
             column",
        ),
        (
            "assumed_time_zone = \"Asia/Tokio\"",
            "unknown time zone `Asia/Tokio`; did you mean `Asia/Tokyo`?",
        ),
        (
            "assumed_time_zone = \"JST\"\nformats = [\"%F %T\"]",
            "unknown time zone `JST`; an abbreviation has no rules of summer time: write \
             `Asia/Tokyo`",
        ),
        (
            "assumed_time_zone = \"Asia/Tokyo\"\nformats = [\"epoch_s\"]",
            "`assumed_time_zone` means nothing: every form names its offset",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(column_finding(&format!("type = \"timestamp\"\n{keys}")), expected, "{keys}");
    }
}

#[test]
fn a_form_that_is_never_reached_is_told() {
    let found = |keys: &str| column_finding(&format!("type = \"timestamp\"\n{keys}"));
    let coarser = "`epoch_s` is never reached: `epoch_ms` before it takes all it would; the first \
                   form in whose range a number is wins: write `epoch_s` first";
    assert_eq!(found("formats = [\"epoch_ms\", \"epoch_s\"]"), coarser);
    for (first, second) in [
        ("rfc3339", "rfc3339"),
        ("epoch_ns", "epoch_us"),
        ("epoch_s", "epoch_s"),
        ("%F %T %z", "%Y-%m-%d %H:%M:%S %:z"),
        ("%F %T%.f %z", "%F %T.%3f %z"),
    ] {
        let told = found(&format!("formats = [\"{first}\", \"%d/%b/%Y:%T %z\", \"{second}\"]"));
        let expected = format!("`{second}` is never reached: `{first}` before it takes all it");
        assert!(told.starts_with(&expected), "{told}");
    }
    let text = "formats = [\"epoch_s\", \"%s\"]";
    assert!(found(&format!("{text}\nnumber_in_string = true")).contains("never reached"));
    parse(&format!("[[column]]\nname = \"c\"\ntype = \"timestamp\"\n{text}")).unwrap();
    let dates = column_finding("type = \"date\"\nformats = [\"%F\", \"%Y-%m-%d\"]");
    assert!(dates.contains("never reached"), "{dates}");
    let all = "formats = [\"epoch_s\", \"epoch_ms\", \"epoch_us\", \"epoch_ns\"]";
    parse(&format!("[[column]]\nname = \"c\"\ntype = \"timestamp\"\n{all}")).unwrap();
}

#[test]
fn what_is_wrong_with_a_dates_forms_is_told() {
    let cases = [
        (
            "formats = [\"epoch_s\"]",
            "unknown form `epoch_s`; expected one of: rfc3339, a strptime pattern",
        ),
        (
            "formats = [\"%F %T\"]",
            "pattern `%F %T` names a time (`%T`), which a date has no place for; take type \
             `timestamp`, and the day of it in SQL",
        ),
        (
            "assumed_time_zone = \"UTC\"",
            "`assumed_time_zone` goes with type `timestamp` only, found `date`",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(column_finding(&format!("type = \"date\"\n{keys}")), expected, "{keys}");
    }
}

#[test]
fn what_is_wrong_with_a_columns_policies_is_told() {
    let cases = [
        (
            "required = true\ndefault = 1",
            "a column with a default needs no `required`: drop one of them",
        ),
        (
            "required = true\non_mismatch = \"null\"",
            "a required column cannot be NULL: drop `required` or `on_mismatch`",
        ),
        ("on_mismatch = \"nul\"", "expected a policy, found `nul`; did you mean `null`?"),
        (
            "required = \"yes\"",
            "`required`: expected a bool, found string; write `true` or `false`, no quotes",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(column_finding(&format!("type = \"int64\"\n{keys}")), expected, "{keys}");
    }
}

#[test]
fn a_default_that_the_column_would_not_take_is_told() {
    let cases = [
        ("int32", "default = 2147483648", "a number that int32 holds exactly, found 2147483648"),
        ("int64", "default = 1.5", "a number that int64 holds exactly, found 1.5"),
        ("decimal(4,1)", "default = 1.25", "a number that decimal(4,1) holds exactly, found 1.25"),
        ("string", "default = 1", "a string, found 1"),
        ("string", "default = \"a\\u0000\"", "a string without U+0000, found \"a\\u0000\""),
        ("bool", "default = \"true\"", "true or false, found \"true\""),
        ("date", "default = \"today\"", "a date such as \"2026-11-21\", found \"today\""),
        ("timestamp", "default = 0", "a timestamp as `rfc3339`, found 0"),
        ("json", "default = \"{\"", "any JSON value but null, found {"),
        ("json", "default = \"null\"", "any JSON value but null, found null"),
    ];
    for (column_type, key, expected) in cases {
        let told = column_finding(&format!("type = \"{column_type}\"\n{key}"));
        assert_eq!(told, format!("default: expected {expected}"), "{column_type} {key}");
    }
    let list = "type = \"list\"\ndefault = '[1]'\n[[column.item]]\nname = \"a\"\ntype = \"json\"";
    assert_eq!(column_finding(list), "default: expected an object, found 1");
    let other = "expected a scalar, or JSON text in a string, as default, found array";
    assert_eq!(column_finding("type = \"json\"\ndefault = [1]"), other);
    assert_eq!(column_finding("type = \"float64\"\ndefault = inf"), "expected a finite default");
}

#[test]
fn the_arrow_schema_has_the_columns_then_the_collected_then_the_place() {
    use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

    let text = r#"
unknown_fields = "collect"
unknown_fields_column = "extra"
[[column]]
name = "s"
type = "string"
required = true
[[column]]
name = "t"
type = "timestamp"
[[column]]
name = "d"
type = "decimal(12,2)"
default = 1
[[column]]
name = "l"
type = "list"
required = true
[[column.item]]
name = "day"
type = "date"
required = true
"#;
    let schema = parse(text).unwrap().arrow_schema();
    let element = DataType::Struct(vec![Field::new("day", DataType::Date32, true)].into());
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let expected = vec![
        Field::new("s", DataType::Utf8, false),
        Field::new("t", utc, true),
        Field::new("d", DataType::Decimal128(12, 2), true),
        Field::new("l", DataType::new_list(element, true), false),
        Field::new("extra", DataType::Utf8, true),
        Field::new("_line", DataType::Int64, false),
        Field::new("_offset", DataType::Int64, false),
    ];
    assert_eq!(schema.fields(), &expected.into());
}

#[test]
fn the_page_shows_the_defaults_as_they_are() {
    const PAGE: &str = include_str!("../../../docs/contract.md");

    let column = "[[column]]\nname = \"c\"\n";
    let tables = defaults(PAGE, "## Top level");
    let columns = defaults(PAGE, "## `[[column]]` and `[[column.item]]`");
    assert!(tables.len() >= 5 && columns.len() >= 8, "{tables:?} {columns:?}");
    let plain = format!("{column}type = \"string\"");
    for line in tables {
        assert_eq!(parse(&format!("{line}\n{plain}")), parse(&plain), "{line}");
    }
    for line in columns {
        let column_type = match line.split(' ').next().unwrap() {
            "formats" => "timestamp",
            "true_values" | "false_values" => "bool",
            "on_item_mismatch" => "list",
            _ => "string",
        };
        let item = match column_type {
            "list" => "[[column.item]]\nname = \"i\"\ntype = \"string\"",
            _ => "",
        };
        let column = format!("{column}type = \"{column_type}\"");
        let with = parse(&format!("{column}\n{line}\n{item}"));
        assert!(with.is_ok(), "{line}: {with:?}");
        assert_eq!(with, parse(&format!("{column}\n{item}")), "{line}");
    }
}

#[test]
fn the_page_names_all_ways_of_mending() {
    const PAGE: &str = include_str!("../../../docs/contract.md");

    /// The kinds one after the other; a new one does not compile before it has its place.
    fn next(kind: MendKind) -> Option<MendKind> {
        match kind {
            MendKind::MismatchToNull => Some(MendKind::NumberAsText),
            MendKind::NumberAsText => Some(MendKind::SpelledBool),
            MendKind::SpelledBool => Some(MendKind::ItemDropped),
            MendKind::ItemDropped => Some(MendKind::InvalidTextReplaced),
            MendKind::InvalidTextReplaced => None,
        }
    }
    let kinds = std::iter::successors(Some(MendKind::MismatchToNull), |kind| next(*kind));
    assert_eq!(names(PAGE, "## Mending"), kinds.map(MendKind::as_str).collect::<Vec<_>>());
}
