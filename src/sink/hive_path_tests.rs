use datafusion::arrow::array::*;
use proptest::prelude::*;

use super::*;

/// The reference implementation: undoes `%XX`.
fn unescape_path_name(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let code = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn path_of(column: &str, value: Option<&str>) -> Result<String, UnusableKey> {
    PartitionKey(vec![(column.into(), value.map(Into::into))]).hive_path()
}

#[test]
fn every_ascii_character_is_escaped_exactly_as_hive_does() {
    let escaped: Vec<u8> = (0..0x20).chain([0x7f]).chain(*b"\"#%'*/:=?[\\]^{").collect();
    for byte in 0_u8..0x80 {
        let name = char::from(byte).to_string();
        let expected = if escaped.contains(&byte) { format!("%{byte:02X}") } else { name.clone() };
        assert_eq!(escape_path_name(&name), expected, "{byte:#04x}");
    }
    assert_eq!(escape_path_name("本 }.😀\u{85}~"), "本 }.😀\u{85}~");
}

#[test]
fn a_key_becomes_nested_directories_in_the_order_of_its_columns() {
    let key = PartitionKey(vec![
        ("dt".into(), Some("2026-11-21".into())),
        ("service".into(), Some("books".into())),
    ]);
    assert_eq!(key.hive_path().unwrap(), "dt=2026-11-21/service=books");
    assert_eq!(PartitionKey(vec![]).hive_path().unwrap(), "");
}

#[test]
fn hostile_values_stay_one_harmless_directory() {
    assert_eq!(path_of("s", Some("../../etc")).unwrap(), "s=..%2F..%2Fetc");
    assert_eq!(path_of("s", Some("..")).unwrap(), "s=..");
    assert_eq!(path_of("s", Some("a/b")).unwrap(), "s=a%2Fb");
    assert_eq!(path_of("s", Some("=")).unwrap(), "s=%3D");
    assert_eq!(path_of("s", Some("%2F")).unwrap(), "s=%252F");
    assert_eq!(path_of("s", Some("\0")).unwrap(), "s=%00");
    assert_eq!(path_of("s", Some("😀 ")).unwrap(), "s=😀 ");
    assert_eq!(path_of("a/b=c", Some("x")).unwrap(), "a%2Fb%3Dc=x");
    assert_eq!(path_of("s", Some("")).unwrap(), "s=__HIVE_DEFAULT_PARTITION__");
    assert_eq!(path_of("s", None).unwrap(), "s=__HIVE_DEFAULT_PARTITION__");
}

#[test]
fn a_value_too_long_for_a_directory_name_is_unusable_and_shows_its_beginning() {
    assert!(path_of("service", Some(&"x".repeat(247))).is_ok());
    let unusable = path_of("service", Some(&"x".repeat(248))).unwrap_err();
    assert_eq!(unusable.column, "service");
    assert_eq!(unusable.expected, "a directory name of at most 255 bytes");
    let begin = "x".repeat(40);
    assert_eq!(unusable.found, format!("256 bytes for the value that begins {begin:?}"));
    // 100 slashes are 300 bytes once escaped.
    assert!(path_of("service", Some(&"/".repeat(100))).is_err());
}

#[test]
fn the_text_that_stands_for_null_is_unusable_as_it_would_merge_with_null() {
    let unusable = path_of("s", Some(DEFAULT_PARTITION)).unwrap_err();
    let expected = "column s: expected a value that Hive can tell from NULL, found the text \
                    \"__HIVE_DEFAULT_PARTITION__\"";
    assert_eq!(unusable.to_string(), expected);
    assert!(path_of("s", Some("__hive_default_partition__")).is_ok());
    assert!(path_of("s", Some("__HIVE_DEFAULT_PARTITION__ ")).is_ok());
}

#[test]
fn a_path_longer_than_the_metastore_keeps_is_unusable_by_its_longest_column() {
    let key = |last: usize| {
        let value = |bytes: usize| Some("x".repeat(bytes));
        let columns = [("a", value(196)), ("b", value(197)), ("c", value(196)), ("d", value(last))];
        PartitionKey(columns.map(|(column, value)| (column.to_owned(), value)).to_vec())
    };
    assert_eq!(key(167).hive_path().unwrap().len(), 767);
    let unusable = key(168).hive_path().unwrap_err();
    assert_eq!(unusable.column, "b");
    assert_eq!(unusable.expected, "a hive path of at most 767 bytes");
    assert!(unusable.found.starts_with("768 bytes for the value that begins"));
}

#[test]
fn values_of_all_scalar_types_read_as_hive_writes_them() {
    let decimal = Decimal128Array::from(vec![-1250]).with_precision_and_scale(10, 2).unwrap();
    let arrays: Vec<(ArrayRef, &str)> = vec![
        (std::sync::Arc::new(StringArray::from(vec!["本"])), "本"),
        (std::sync::Arc::new(BooleanArray::from(vec![true])), "true"),
        (std::sync::Arc::new(Int8Array::from(vec![-8])), "-8"),
        (std::sync::Arc::new(Int16Array::from(vec![16])), "16"),
        (std::sync::Arc::new(Int32Array::from(vec![32])), "32"),
        (std::sync::Arc::new(Int64Array::from(vec![i64::MIN])), "-9223372036854775808"),
        (std::sync::Arc::new(Date32Array::from(vec![20_778])), "2026-11-21"),
        (
            std::sync::Arc::new(TimestampMicrosecondArray::from(vec![1_795_266_300_500_000])),
            "2026-11-21 13:05:00.5",
        ),
        (std::sync::Arc::new(decimal), "-12.50"),
    ];
    for (array, expected) in arrays {
        assert!(can_partition(array.data_type()));
        let value = partition_value("x", &array, 0).unwrap().unwrap();
        assert_eq!(value.as_deref(), Some(expected));
    }
    let null = Int64Array::from(vec![None]);
    assert_eq!(partition_value("x", &null, 0).unwrap(), Ok(None));
    assert!(!can_partition(&DataType::Float64));
    assert!(!can_partition(&DataType::Binary));
    let far = Date32Array::from(vec![i32::MAX]);
    let unusable = partition_value("x", &far, 0).unwrap().unwrap_err();
    assert_eq!(
        (&unusable.column[..], &unusable.found[..]),
        ("x", "2147483647 days since 1970-01-01")
    );
}

/// Values that differ little, or by what is escaped, or are of no use.
fn value() -> impl Strategy<Value = Option<String>> {
    let texts = [
        "a/b",
        "a%2Fb",
        "a%2fb",
        "a%252Fb",
        "..",
        ".",
        "a",
        "A",
        "a ",
        "a.",
        "é",
        "e\u{301}",
        "_a",
        "__HIVE_DEFAULT_PARTITION__",
        "_SUCCESS",
        "/",
        "//",
        "=",
        "a=b",
        "b=c",
        "\0",
        "\u{7f}",
    ];
    prop_oneof![
        1 => Just(None),
        4 => proptest::sample::select(texts.to_vec()).prop_map(|text| Some(text.to_owned())),
        4 => "[a/%2F=.]{0,4}".prop_map(Some),
        2 => any::<String>().prop_map(Some),
        1 => "[/a]{60,300}".prop_map(Some),
    ]
}

fn key() -> impl Strategy<Value = PartitionKey> {
    let values = proptest::collection::vec(value(), 1..6);
    values.prop_map(|values| {
        let columns = ["dt", "service", "a/b=c", "列", "e"].map(str::to_owned);
        PartitionKey(columns.into_iter().zip(values).collect())
    })
}

/// Two keys that differ in one value at most, and there in what a careless escape would merge.
fn near_keys() -> impl Strategy<Value = (PartitionKey, PartitionKey)> {
    let mistaken = |value: Option<&str>, how: u8| -> Option<String> {
        let value = value.unwrap_or_default();
        match how {
            0 => None,
            1 => Some(DEFAULT_PARTITION.to_owned()),
            2 => Some(escape_path_name(value)),
            3 => Some(value.replace("%2F", "/").replace("%25", "%")),
            4 => Some(value.to_uppercase()),
            5 => Some(value.trim_matches(['/', ' ', '.']).to_owned()),
            _ => Some(format!("{value}/")),
        }
    };
    (key(), any::<proptest::sample::Index>(), 0..7_u8).prop_map(move |(one, at, how)| {
        let mut other = one.clone();
        let value = &mut other.0[at.index(one.0.len())].1;
        *value = mistaken(value.as_deref(), how);
        (one, other)
    })
}

/// What Hive makes of a path: its columns and values, NULL for the empty text.
fn read_back(path: &str) -> PartitionKey {
    let part = |name: &str| {
        let (column, value) = name.split_once('=').unwrap();
        let value = (value != DEFAULT_PARTITION).then(|| unescape_path_name(value));
        (unescape_path_name(column), value)
    };
    PartitionKey(path.split('/').map(part).collect())
}

/// NULL for the empty text, which Hive does not tell from it.
fn as_hive_has_it(mut key: PartitionKey) -> PartitionKey {
    key.0.iter_mut().for_each(|(_, value)| *value = value.take().filter(|text| !text.is_empty()));
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn different_keys_have_different_paths((one, other) in near_keys()) {
        if let (Ok(path), Ok(other_path)) = (one.hive_path(), other.hive_path()) {
            let are_equal = as_hive_has_it(one) == as_hive_has_it(other);
            prop_assert_eq!(path == other_path, are_equal);
        }
    }

    #[test]
    fn a_path_reads_back_as_its_key(key in key()) {
        if let Ok(path) = key.hive_path() {
            prop_assert_eq!(read_back(&path), as_hive_has_it(key));
        }
    }

    #[test]
    fn no_directory_is_hidden_or_leads_elsewhere_and_a_store_takes_the_path_as_it_is(key in key()) {
        if let Ok(path) = key.hive_path() {
            prop_assert!(path.len() <= HIVE_PATH_BYTES_MAX);
            for name in path.split('/') {
                prop_assert!(!name.is_empty() && !name.starts_with(['_', '.']), "{}", path);
                prop_assert!(name.len() <= NAME_BYTES_MAX, "{}", path);
                let meant = |c: char| c.is_ascii_control() || ":\\*?[{\"".contains(c);
                prop_assert!(!name.contains(meant), "{}", path);
            }
            let in_store = object_store::path::Path::parse(&path).unwrap();
            prop_assert_eq!(in_store.as_ref(), path);
        }
    }

    #[test]
    fn escaping_is_undone_by_the_reference_and_its_length_is_known(
        value in "\\PC{0,60}|[\\x00-\\x7f]{0,60}"
    ) {
        let escaped = escape_path_name(&value);
        prop_assert_eq!(escaped.len(), escaped_bytes(&value));
        prop_assert_eq!(unescape_path_name(&escaped), value.as_str());
        prop_assert_eq!(unescaped(&escaped), value);
    }
}
