//! Both decoders on the same bytes: they must agree in all.
//!
//! The first byte picks a contract and where the bytes are cut into two blocks; the rest are lines.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::Array;

use crate::config::ConfigFile;
use crate::contract::{Contract, parse_contract};
use crate::decode::{Cpu, Decoder, Lines, ObviousDecoder};

/// Contracts that differ in what they do with unknown fields, duplicates and depth.
static CONTRACTS: LazyLock<Vec<Arc<Contract>>> = LazyLock::new(|| {
    let columns = include_str!("columns.toml");
    let action_log = include_str!("../../sql/action_log/contract.toml");
    let heads = [
        "",
        "unknown_fields = \"collect\"\nunknown_fields_column = \"extra\"\n",
        "unknown_fields = \"reject\"\nduplicate_keys = \"reject\"\n",
        "depth_max = 4\nduplicate_keys = \"reject\"\n",
    ];
    let texts = heads.iter().map(|head| format!("{head}{columns}"));
    let texts = texts.chain([action_log.to_owned()]);
    let parse = |text| {
        let file = ConfigFile { path: "contract.toml".into(), text };
        Arc::new(parse_contract(&file).expect("a right contract"))
    };
    texts.map(parse).collect()
});

/// Panics if the decoders disagree.
pub fn agree(data: &[u8]) {
    let Some((pick, text)) = data.split_first() else { return };
    let contract = &CONTRACTS[usize::from(pick % 5)];
    let blocks = cut(text, usize::from(pick / 5));
    let mut obvious = ObviousDecoder::new(Arc::clone(contract));
    let expected: Vec<_> = blocks.iter().map(|lines| obvious.decode(lines)).collect();
    let all: Vec<usize> = (0..contract.arrow_schema().fields().len()).collect();
    for cpu in Cpu::available() {
        let mut fast = Decoder::on_cpu(Arc::clone(contract), &all, cpu);
        let mut none = Decoder::on_cpu(Arc::clone(contract), &[], cpu);
        for (lines, expected) in blocks.iter().zip(&expected) {
            let decoded = fast.decode(lines);
            for column in decoded.batch.columns() {
                column.to_data().validate_full().expect("a sound array");
            }
            assert_eq!(&decoded, expected, "{cpu:?}");
            let checked = none.decode(lines);
            assert_eq!(checked.batch.num_rows(), expected.batch.num_rows(), "{cpu:?}");
            assert_eq!(checked.rejects, expected.rejects, "{cpu:?}");
            assert_eq!(checked.unknown_fields, expected.unknown_fields, "{cpu:?}");
        }
    }
}

/// Two blocks of whole lines: the first has `lines` of them.
fn cut(text: &[u8], lines: usize) -> Vec<Lines> {
    let mut ends = memchr::memchr_iter(b'\n', text).map(|end| end + 1);
    let middle = lines.checked_sub(1).and_then(|before| ends.nth(before)).unwrap_or(0);
    let count = |bytes: &[u8]| bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let (first, second) = text.split_at(middle);
    let lines = |bytes: &[u8], before: &[u8]| Lines {
        first_line: 1 + count(before),
        first_offset: before.len() as u64,
        count: count(bytes),
        bytes: bytes.to_vec().into(),
    };
    vec![lines(first, b""), lines(second, first)]
}
