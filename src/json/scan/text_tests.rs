use proptest::prelude::*;

use super::*;
use crate::json::scan::cpu::{Cpu, Task};

struct Copy<'b>(&'b [u8]);

impl Task for Copy<'_> {
    type Output = Option<(String, usize)>;

    #[inline(always)]
    fn with<K: Kernel>(self, kernel: K) -> Self::Output {
        let mut out = Vec::new();
        let end = copy_text(kernel, self.0, 1, &mut out).ok()?;
        assert_eq!(check_text(kernel, self.0, 1, true), Ok(end));
        assert_eq!(check_text(kernel, self.0, 1, false), Ok(end));
        Some((String::from_utf8(out).unwrap(), end))
    }
}

/// Pieces of what may stand in a JSON string, and of what may not.
fn inside() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,70}",
        2 => "[日本語é😀]{1,20}",
        3 => prop::sample::select(vec![
            "\\n", "\\\\", "\\\"", "\\/", "\\b", "\\u0041", "\\u00e9", "\\u65E5", "\\ud83d\\ude00",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![
            "\\u0000", "\\ud83d", "\\ude00", "\\ud83dx", "\\x", "\\u12", "\\u12g4", "\t", "\u{1}",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_string_is_what_serde_json_reads_or_unhandled(inside in inside()) {
        let text = format!("\"{inside}\"");
        let bytes = [text.as_bytes(), &[b'\n'; 2 * BLOCK]].concat();
        let expected = serde_json::from_str::<String>(&text).ok();
        let expected = expected.filter(|text| !text.contains('\0'));
        for cpu in Cpu::available() {
            let read = cpu.run(Copy(&bytes));
            let expected = expected.clone().map(|string| (string, text.len()));
            prop_assert_eq!(read, expected, "{:?} {}", cpu, &text);
        }
    }
}
