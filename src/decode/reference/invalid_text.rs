//! Lines whose text is broken: U+FFFD for each byte that is no UTF-8 and each half of a surrogate
//! pair.
//!
//! ```text
//! {"a":"x\xff","b":"\ud83d"}       a byte that is no UTF-8, and half an emoji
//! {"a":"x�","b":"\ufffd"}          sound; mended at 7 and at 15
//! ```

/// A line as sound text.
pub(super) struct SoundText {
    pub text: String,
    /// Where in it something was replaced.
    pub replaced: Vec<usize>,
}

/// Makes sound text of a line.
pub(super) fn sound_text(line: &[u8]) -> SoundText {
    let mut text = String::with_capacity(line.len() + 8);
    let mut replaced = Vec::new();
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            replaced.push(text.len());
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    let halves = lone_surrogates(text.as_bytes());
    for at in &halves {
        text.replace_range(at + 2..at + 6, "fffd");
    }
    replaced.extend(halves);
    SoundText { text, replaced }
}

/// Where the escapes stand that are half a surrogate pair.
fn lone_surrogates(text: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] != b'\\' {
            at += 1;
            continue;
        }
        match code_unit(text, at) {
            Some(0xd800..0xdc00) if matches!(code_unit(text, at + 6), Some(0xdc00..0xe000)) => {
                at += 12;
            }
            Some(0xd800..0xe000) => {
                found.push(at);
                at += 6;
            }
            // What an escape stands for is no backslash of its own.
            _ => at += 2,
        }
    }
    found
}

/// The number of the escape `\u…` at a place.
fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let all_digits = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_byte_and_each_half_of_a_pair_is_replaced_and_nothing_else() {
        let cases: [(&[u8], &str, &[usize]); 8] = [
            (b"a\xffb", "a\u{fffd}b", &[1]),
            (b"\xe6\x9c", "\u{fffd}", &[0]),
            (b"\xff\xfe", "\u{fffd}\u{fffd}", &[0, 3]),
            (br"a\ud83db", r"a\ufffdb", &[1]),
            (br"\udc00\ud800", r"\ufffd\ufffd", &[0, 6]),
            (br"\uD83D\uDE00\uDE00", r"\uD83D\uDE00\ufffd", &[12]),
            (br"\\ud83d\n\ud8", r"\\ud83d\n\ud8", &[]),
            ("日本\u{fffd}".as_bytes(), "日本\u{fffd}", &[]),
        ];
        for (line, text, replaced) in cases {
            let sound = sound_text(line);
            assert_eq!((sound.text.as_str(), sound.replaced.as_slice()), (text, replaced));
        }
    }
}
