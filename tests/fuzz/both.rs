//! Both decoders on the same bytes: they must agree in all.
//!
//! The first byte picks the contract and the CPU, the second where the rest, lines, is cut in two.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::Array;

use crate::base::config::ConfigFile;
use crate::contract::{Contract, parse_contract};
use crate::decode::{Decoder, Lines, ReferenceDecoder};
use crate::json::scan::Cpu;

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
    let list = "name = \"items\"\ntype = \"list\"\n";
    let dropping = columns.replace(list, &format!("{list}on_item_mismatch = \"drop\"\n"));
    let mending = format!("on_invalid_text = \"replace\"\n{dropping}");
    let texts = texts.chain([action_log.to_owned(), mending]);
    let parse = |text| {
        let file = ConfigFile { path: "contract.toml".into(), text };
        Arc::new(parse_contract(&file).expect("a right contract"))
    };
    texts.map(parse).collect()
});

/// What the first two bytes choose; the fuzzer tries them all in time.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    contract: usize,
    cpu: Cpu,
    /// Whether the columns are wanted; without, only rejects and counts are.
    columns: bool,
    /// Lines in the first of two blocks.
    lines: usize,
}

impl Choice {
    fn new(pick: u8, lines: u8) -> Self {
        let (pick, cpus) = (usize::from(pick), Cpu::available());
        Choice {
            contract: pick % CONTRACTS.len(),
            cpu: cpus[pick / CONTRACTS.len() % cpus.len()],
            columns: pick < 192,
            lines: usize::from(lines),
        }
    }

    /// All of them, but for where the lines are cut.
    pub fn all(lines: usize) -> impl Iterator<Item = Self> {
        let of_cpu = move |(contract, cpu)| {
            [false, true].map(|columns| Choice { contract, cpu, columns, lines })
        };
        let contracts = 0..CONTRACTS.len();
        let pairs =
            contracts.flat_map(|one| Cpu::available().into_iter().map(move |cpu| (one, cpu)));
        pairs.flat_map(of_cpu)
    }
}

/// Panics if the decoders disagree on `data`: two bytes of choice, then lines.
pub fn agree(data: &[u8]) {
    if let [pick, lines, text @ ..] = data {
        agree_on(Choice::new(*pick, *lines), text);
    }
}

/// Panics if the decoders disagree on `text`.
pub fn agree_on(choice: Choice, text: &[u8]) {
    let contract = &CONTRACTS[choice.contract];
    let all = 0..contract.arrow_schema().fields().len();
    let columns: Vec<usize> = all.filter(|_| choice.columns).collect();
    let mut reference = ReferenceDecoder::new(Arc::clone(contract));
    let mut fast = Decoder::on_cpu(Arc::clone(contract), &columns, choice.cpu);
    for lines in cut(text, choice.lines) {
        let expected = reference.decode(&lines);
        let decoded = fast.decode(&lines);
        for column in decoded.batch.columns() {
            column.to_data().validate_full().expect("a sound array");
        }
        if choice.columns {
            assert_eq!(decoded.batch, expected.batch, "{choice:?}");
        }
        assert_eq!(decoded.batch.num_rows(), expected.batch.num_rows(), "{choice:?}");
        assert_eq!(decoded.blank, expected.blank, "{choice:?}");
        assert_eq!(decoded.rejects, expected.rejects, "{choice:?}");
        assert_eq!(decoded.unknown_fields, expected.unknown_fields, "{choice:?}");
        assert_eq!(decoded.mended, expected.mended, "{choice:?}");
        assert_eq!(decoded.dropped_items, expected.dropped_items, "{choice:?}");
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
