//! JSON written straight into a buffer, without a tree.

use super::random::SeededRandom;

/// How characters beyond ASCII stand in strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// As UTF-8; only what must be escaped is.
    Few,
    /// As `\u8db3`, pairs for those beyond U+FFFF, and `/` as `\/`: the older loggers' way.
    AllButAscii,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends text as it is.
pub(super) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Appends a string with its quotes.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str, escapes: Escapes) {
    out.push(b'"');
    push_inside(out, text, escapes);
    out.push(b'"');
}

/// Appends what stands between a string's quotes.
pub(super) fn push_inside(out: &mut Vec<u8>, text: &str, escapes: Escapes) {
    for character in text.chars() {
        match character {
            '"' => push(out, "\\\""),
            '\\' => push(out, "\\\\"),
            '\n' => push(out, "\\n"),
            '\r' => push(out, "\\r"),
            '\t' => push(out, "\\t"),
            '/' if escapes == Escapes::AllButAscii => push(out, "\\/"),
            '\0'..='\u{1f}' => push_escape(out, character as u16),
            ' '..='~' => out.push(character as u8),
            _ if escapes == Escapes::AllButAscii => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    push_escape(out, *unit);
                }
            }
            _ => push(out, character.encode_utf8(&mut [0; 4])),
        }
    }
}

fn push_escape(out: &mut Vec<u8>, unit: u16) {
    push(out, "\\u");
    push_hex(out, u64::from(unit), 4);
}

/// Appends a key and its string: `"key":"text"`.
pub(super) fn push_text_member(out: &mut Vec<u8>, key: &str, text: &str, escapes: Escapes) {
    out.push(b'"');
    push(out, key);
    push(out, "\":");
    push_string(out, text, escapes);
}

/// Appends the lowest so many hexadecimal digits.
pub(super) fn push_hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(HEX[(number >> (4 * place)) as usize & 15]);
    }
}

/// Appends a decimal number.
pub(super) fn push_number(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut left = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends the lowest so many decimal digits, with leading zeros.
pub(super) fn push_digits(out: &mut Vec<u8>, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (number / 10_u32.pow(place) % 10) as u8);
    }
}

/// Appends text as a URL's query holds it: UTF-8, percent-encoded, spaces as `+`.
pub(super) fn push_query_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                url.push(byte as char);
            }
            b' ' => url.push('+'),
            _ => {
                url.push('%');
                for digit in [byte >> 4, byte & 15] {
                    url.push(HEX[digit as usize].to_ascii_uppercase() as char);
                }
            }
        }
    }
}

/// Appends random hexadecimal digits to a text.
pub(super) fn push_random_hex(text: &mut String, random: &mut SeededRandom, digits: u32) {
    let bits = random.bits();
    for place in 0..digits {
        text.push(HEX[(bits >> (4 * place)) as usize & 15] as char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_escapes_read_back_as_the_text() {
        let text = "足跡 \"a\\b\"\n\r\t\u{1} 🐈 / é";
        for escapes in [Escapes::Few, Escapes::AllButAscii] {
            let mut out = Vec::new();
            push_string(&mut out, text, escapes);
            let read: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, text);
            assert_eq!(out.is_ascii(), escapes == Escapes::AllButAscii);
        }
    }

    #[test]
    fn numbers_are_written_with_all_their_digits() {
        let mut out = Vec::new();
        for number in [0, 7, -12, 9_007_199_254_740_993, i64::MIN] {
            push_number(&mut out, number);
            out.push(b' ');
        }
        push_digits(&mut out, 45, 3);
        push_hex(&mut out, 0xabc, 4);
        let expected = "0 7 -12 9007199254740993 -9223372036854775808 0450abc";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn queries_are_percent_encoded() {
        let mut url = String::from("/search?q=");
        push_query_encoded(&mut url, "本 50%");
        assert_eq!(url, "/search?q=%E6%9C%AC+50%25");
    }
}
