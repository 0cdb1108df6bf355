use datafusion::arrow::array::*;
use proptest::prelude::*;

use super::*;

/// The slow, obvious twin: undoes `%XX`.
fn unescape_path_name(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first == b'%' {
            let code = std::str::from_utf8(&behind[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &behind[2..];
        } else {
            bytes.push(first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn path_of(column: &str, value: Option<&str>) -> Result<String> {
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
fn a_value_too_long_for_a_directory_name_is_a_data_error_that_shows_its_beginning() {
    assert!(path_of("service", Some(&"x".repeat(247))).is_ok());
    let error = path_of("service", Some(&"x".repeat(248))).unwrap_err();
    assert_eq!(error.exit_code(), 65);
    let message = error.to_string();
    assert!(message.contains("`service`") && message.contains("256"), "{message}");
    assert!(message.contains(&format!("{:?}", "x".repeat(40))), "{message}");
    // 100 slashes are 300 bytes once escaped.
    assert!(path_of("service", Some(&"/".repeat(100))).is_err());
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
        assert_eq!(partition_value("x", &array, 0).unwrap().unwrap(), expected);
    }
    let null = Int64Array::from(vec![None]);
    assert_eq!(partition_value("x", &null, 0).unwrap(), None);
    assert!(!can_partition(&DataType::Float64));
    assert!(!can_partition(&DataType::Binary));
    let far = Date32Array::from(vec![i32::MAX]);
    assert_eq!(partition_value("x", &far, 0).unwrap_err().exit_code(), 65);
}

proptest! {
    #[test]
    fn escaping_is_undone_by_its_twin(value in "\\PC{0,60}|[\\x00-\\x7f]{0,60}") {
        prop_assert_eq!(unescape_path_name(&escape_path_name(&value)), value);
    }

    #[test]
    fn an_escaped_value_never_holds_a_character_with_a_meaning_in_paths(
        value in "[\\x00-\\x7f本😀]{1,60}"
    ) {
        let path = path_of("s", Some(&value)).unwrap_or_default();
        let name = path.strip_prefix("s=").unwrap_or_default();
        let meant = name.contains(['/', ':', '\\', '*', '?', '[', '{', '"', '\0', '\n']);
        prop_assert!(!meant, "{}", name);
        prop_assert!(path != "." && path != "..");
    }
}
