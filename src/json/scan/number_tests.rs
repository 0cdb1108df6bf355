use proptest::prelude::*;

use super::*;

/// A text as it would stand in a block: with bytes after it.
fn padded(text: &str, after: &str) -> Vec<u8> {
    [text.as_bytes(), after.as_bytes(), &[b'\n'; 64]].concat()
}

/// Texts that are numbers, nearly numbers, or of digits only.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        "-?[0-9]{1,21}",
        "-?[0-9]{0,12}\\.?[0-9]{0,12}",
        "[-+]?[0-9]{0,3}\\.?[0-9]{0,3}[eE]?[-+]?[0-9]{0,2}",
        "[0-9./:;+-]{0,24}",
    ]
}

fn after() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", ",", "}", "\"", " ", "x", ":", "/"])
}

/// RFC 8259: no plus, no leading zeros, digits on both sides of the point.
fn is_json_number(text: &str) -> bool {
    let is_valid = serde_json::from_str::<serde_json::Number>(text).is_ok();
    is_valid && !text.starts_with(char::is_whitespace) && !text.ends_with(char::is_whitespace)
}

proptest! {
    #[test]
    fn leading_digits_are_counted_and_read(bytes in any::<[u8; 8]>(), digits in 0..9_usize) {
        let mut bytes = bytes;
        bytes[..digits].iter_mut().for_each(|byte| *byte = b'0' + *byte % 10);
        let word = u64::from_le_bytes(bytes);
        let expected = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        prop_assert_eq!(leading_digits(word), expected);
        if expected > 0 {
            let text = std::str::from_utf8(&bytes[..expected]).unwrap();
            prop_assert_eq!(some_digits(word, expected), text.parse::<u64>().unwrap());
        }
    }

    #[test]
    fn an_integer_is_what_std_reads_or_unhandled(text in text(), after in after()) {
        let bytes = padded(&text, after);
        if let Ok(number) = plain_integer(&bytes, 0) {
            let read = std::str::from_utf8(&bytes[..number.end]).unwrap();
            prop_assert!(is_json_number(read), "{}", read);
            prop_assert!(!matches!(bytes[number.end], b'.' | b'e' | b'E' | b'0'..=b'9'));
            prop_assert_eq!(number.to_i64().ok(), read.parse::<i64>().ok());
        } else {
            let plain = is_json_number(&text) && !text.contains(['.', 'e', 'E']);
            prop_assert!(!plain || text.trim_start_matches('-').len() > 19, "{}", text);
        }
    }

    #[test]
    fn a_double_is_the_nearest_one_or_unhandled(text in text(), after in after()) {
        let bytes = padded(&text, after);
        if let Ok(number) = plain_number(&bytes, 0) {
            let read = std::str::from_utf8(&bytes[..number.end]).unwrap();
            prop_assert!(is_json_number(read), "{}", read);
            if let Ok(double) = number.to_f64() {
                prop_assert_eq!(double.to_bits(), read.parse::<f64>().unwrap().to_bits());
            }
        }
    }

    #[test]
    fn a_decimal_has_all_digits_or_is_unhandled(
        text in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?",
        scale in 0..12_usize,
        precision in 1..39_u32,
    ) {
        let limit = 10_u128.pow(precision);
        let number = plain_number(&padded(&text, ","), 0);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let exact = (fraction.len() <= scale).then(|| {
            let zeros = "0".repeat(scale - fraction.len());
            format!("{whole}{fraction}{zeros}").parse::<i128>().unwrap()
        });
        let fits = exact.filter(|value| value.unsigned_abs() < limit);
        let read = number.and_then(|number| number.to_decimal(scale, limit)).ok();
        let short = whole.trim_start_matches('-').len() + fraction.len() <= 19;
        prop_assert!(read == fits || read.is_none() && !short, "{:?} {:?}", read, fits);
    }
}
