use proptest::prelude::*;

use super::*;
use crate::json::read_json;
use crate::json::scan::cpu::Cpu;

struct Skip<'b>(&'b [u8], SkipRules);

impl Task for Skip<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn with<K: Kernel>(self, kernel: K) -> Self::Output {
        skip_value(kernel, self.0, 0, self.1).ok()
    }
}

/// JSON, and what is nearly JSON.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e5",
        "-0.5E-7",
        "\"\"",
        "\"a b\"",
        "\"\\n\"",
        "\"日本\"",
        "{}",
        "[]",
        "[ ]",
        "{ }",
        "01",
        "1.",
        "-",
        "+1",
        "tru",
        "\"\\x\"",
        "\"",
        "[",
        "}",
        "1234567890123456789012345678901234567890.5",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 4, |value| {
        let key =
            prop::sample::select(vec!["\"a\"", "\"b\"", "\"\\u0061\"", "\"\"", "a", " \"c\" "]);
        prop_oneof![
            prop::collection::vec(value.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(" , "))),
            prop::collection::vec((key, value), 0..4).prop_map(|members| {
                let member = |(key, value): &(&str, String)| format!("{key}:{value}");
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_is_skipped_to_its_end_only_if_it_is_json(
        value in value(),
        depth_left in 0..8_usize,
        duplicates_unhandled in any::<bool>(),
    ) {
        let bytes = [value.as_bytes(), b",", &[b'\n'; 128]].concat();
        let rules = SkipRules { depth_left, duplicates_unhandled };
        let is_json = read_json(&value, depth_left).is_ok();
        for cpu in Cpu::available() {
            match cpu.run(Skip(&bytes, rules)) {
                // A number ends where it cannot go on; what follows is the caller's to refuse.
                Some(end) => {
                    prop_assert!(read_json(&value[..end], depth_left).is_ok(), "{}", value);
                }
                None => prop_assert!(!is_json || duplicates_unhandled, "{:?} {}", cpu, value),
            }
        }
    }
}
