//! What the stages are given: generated action logs, and the same records in other forms.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ashiato::ConfigFile;
use ashiato::internals::{CompressionChoice, GenerateArgs, generate};
use ashiato::internals::{Contract, parse_contract};
use ashiato::internals::{Decoder, Lines};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use serde_json::Value;

/// Bytes of a block of lines, as the framer cuts them.
const BLOCK_BYTES: usize = 1 << 20;
/// Rows of the batches that queries hand on.
const BATCH_ROWS: usize = 2048;
/// Decompressed bytes of the generated logs.
const LOG_BYTES: u64 = 64 << 20;

/// A file of the project.
pub fn project_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The contract of the action logs.
pub fn action_log_contract() -> Arc<Contract> {
    contract(project_file("sql/action_log/contract.toml"))
}

/// The contract of the job that is compared with other programs, of the same logs.
pub fn peers_contract() -> Arc<Contract> {
    contract(project_file("benches/peers/pipeline/contract.toml"))
}

/// The contract of [`flat`] logs.
pub fn flat_contract() -> Arc<Contract> {
    contract(project_file("benches/stages/flat.toml"))
}

fn contract(path: PathBuf) -> Arc<Contract> {
    let text = fs::read_to_string(&path).expect("the contract is part of the project");
    Arc::new(parse_contract(&ConfigFile { path, text }).expect("the contract is right"))
}

/// Writes one hour's action log, without bad lines, as one object below `out`; returns its path.
pub fn generate_object(out: &Path, compression: CompressionChoice) -> PathBuf {
    let args = GenerateArgs {
        out: out.to_owned(),
        seed: 1,
        lines: None,
        bytes: Some(LOG_BYTES),
        date: "2026-11-21".parse().expect("a date"),
        hours: 1,
        only_hours: Vec::new(),
        objects_per_hour: 1,
        compression,
        bad_ratio: 0.0,
        force: false,
    };
    generate(&args).expect("generating logs");
    let hour = out.join("dt=2026-11-21/hr=00");
    let mut objects = fs::read_dir(hour).expect("the hour's directory");
    objects.next().expect("an object").expect("its name").path()
}

/// The action log as plain lines, its keys always in their app's order.
pub fn action_log() -> Bytes {
    let folder = tempfile::tempdir().expect("a folder");
    let object = generate_object(folder.path(), CompressionChoice::None);
    let text = fs::read(object).expect("the object");
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    Bytes::copy_from_slice(text)
}

/// The same records with the keys of every object in an order of their own.
pub fn shuffled(log: &Bytes) -> Bytes {
    let mut random = 1_u64;
    rewritten(log, |value, out| write_shuffled(value, &mut random, out))
}

/// The same records with all that is not ASCII, and each `/`, escaped.
pub fn escaped(log: &Bytes) -> Bytes {
    rewritten(log, |value, out| {
        for character in value.to_string().chars() {
            match character {
                '/' => out.push_str("\\/"),
                ascii if ascii.is_ascii() => out.push(ascii),
                other => {
                    let mut units = [0; 2];
                    for unit in other.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
    })
}

/// Page views without objects in them, of 24 keys.
pub fn flat(log: &Bytes) -> Bytes {
    let mut number = 0_u64;
    rewritten(log, |value, out| {
        number += 1;
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let record = serde_json::json!({
            "event_id": format!("{number:032x}"),
            "time": format!("2026-11-21T00:{:02}:{:02}.123+09:00", number / 60 % 60, number % 60),
            "service": text("/service"),
            "event": text("/event"),
            "user_id": text("/user/id"),
            "member": number.is_multiple_of(2),
            "visit_id": format!("{:024x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            "visitor_id": text("/session/long"),
            "channel": text("/via/channel"),
            "campaign": text("/via/campaign"),
            "ip": text("/device/ip"),
            "user_agent": text("/device/ua"),
            "screen": text("/device/screen"),
            "language": text("/device/language"),
            "url": text("/page/url"),
            "title": text("/page/title"),
            "referrer": text("/page/referrer"),
            "load_ms": number as f64 / 8.0,
            "sku": text("/target/sku"),
            "position": number % 40,
            "price": number % 100_000,
            "quantity": number % 7,
            "order_id": text("/order/id"),
            "trace": number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1,
        });
        out.push_str(&record.to_string());
    })
}

fn rewritten(log: &Bytes, mut write: impl FnMut(&Value, &mut String)) -> Bytes {
    let mut out = String::new();
    for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        write(&serde_json::from_slice(line).expect("a record"), &mut out);
        out.push('\n');
    }
    Bytes::from(out)
}

fn write_shuffled(value: &Value, random: &mut u64, out: &mut String) {
    let Value::Object(members) = value else {
        out.push_str(&value.to_string());
        return;
    };
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_cached_key(|_| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *random >> 33
    });
    out.push('{');
    for (place, (key, value)) in members.into_iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        write_shuffled(value, random, out);
    }
    out.push('}');
}

/// Lines as blocks of whole ones.
pub fn blocks(log: &Bytes) -> Vec<Lines> {
    let (mut blocks, mut start, mut line) = (Vec::new(), 0, 1);
    while start < log.len() {
        let middle = (start + BLOCK_BYTES).min(log.len());
        let rest = log[middle..].iter().position(|byte| *byte == b'\n');
        let end = rest.map_or(log.len(), |length| middle + length + 1);
        let bytes = log.slice(start..end);
        let count = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        blocks.push(Lines { bytes, first_line: line, first_offset: start as u64, count });
        (start, line) = (end, line + count);
    }
    blocks
}

/// The action log decoded by a contract, in batches as queries get them.
pub fn batches(contract: Arc<Contract>) -> Vec<RecordBatch> {
    let mut decoder = Decoder::new(contract);
    let decoded = blocks(&action_log()).into_iter().map(|lines| decoder.decode(&lines).batch);
    let cut = decoded.flat_map(|batch| {
        let starts = (0..batch.num_rows()).step_by(BATCH_ROWS);
        let cut = |start| batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
        starts.map(cut).collect::<Vec<_>>()
    });
    cut.collect()
}
