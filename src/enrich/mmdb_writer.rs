//! A writer of small MaxMind DB files, so that tests have databases of every layout.
//!
//! Source: the MaxMind DB File Format Specification 2.0. Records are JSON values: integers become
//! `uint32`, other numbers `double`. Networks must not overlap.

use serde_json::{Map, Value, json};

const RECORD_SIZE_BITS: u16 = 24;
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// The bytes of a database of networks (`"133.11.0.0/16"`) and their records.
pub fn write_database(
    database_type: &str,
    ip_version: u16,
    build_epoch: u64,
    networks: &[(&str, Value)],
) -> Vec<u8> {
    let mut nodes = vec![[Child::Nothing; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let (address, prefix) = bits_of(network, ip_version);
        insert(&mut nodes, address, prefix, data.len());
        encode(record, &mut data);
    }
    let mut bytes = Vec::new();
    for child in nodes.iter().flatten() {
        let number = match child {
            Child::Nothing => nodes.len(),
            Child::Node(node) => *node,
            Child::Data(offset) => nodes.len() + 16 + offset,
        };
        bytes.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(METADATA_MARKER);
    encode_metadata(database_type, ip_version, build_epoch, nodes.len(), &mut bytes);
    bytes
}

/// An address's bits, left-aligned, and how many of them are the network's.
fn bits_of(network: &str, ip_version: u16) -> (u128, u32) {
    let (address, prefix) = network.split_once('/').unwrap();
    let prefix: u32 = prefix.parse().unwrap();
    match (address.parse().unwrap(), ip_version) {
        (std::net::IpAddr::V4(v4), 4) => (u128::from(v4.to_bits()) << 96, prefix),
        (std::net::IpAddr::V4(v4), _) => (v4.to_bits().into(), prefix + 96),
        (std::net::IpAddr::V6(v6), _) => (v6.to_bits(), prefix),
    }
}

fn insert(nodes: &mut Vec<[Child; 2]>, address: u128, prefix: u32, offset: usize) {
    let mut node = 0;
    for depth in 0..prefix {
        let side = usize::from(address >> (127 - depth) & 1 == 1);
        if depth + 1 == prefix {
            nodes[node][side] = Child::Data(offset);
            return;
        }
        node = match nodes[node][side] {
            Child::Node(next) => next,
            Child::Data(_) => panic!("networks overlap"),
            Child::Nothing => {
                nodes.push([Child::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Child::Node(next);
                next
            }
        };
    }
}

fn encode_metadata(
    database_type: &str,
    ip_version: u16,
    build_epoch: u64,
    node_count: usize,
    bytes: &mut Vec<u8>,
) {
    header(7, 9, bytes);
    let entries: [(&str, usize, u64); 6] = [
        ("node_count", 6, node_count as u64),
        ("record_size", 5, RECORD_SIZE_BITS.into()),
        ("ip_version", 5, ip_version.into()),
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, build_epoch),
    ];
    for (name, kind, number) in entries {
        encode(&json!(name), bytes);
        unsigned(kind, number, bytes);
    }
    for (name, value) in [
        ("database_type", json!(database_type)),
        ("languages", json!(["en"])),
        ("description", json!({"en": "made up for tests"})),
    ] {
        encode(&json!(name), bytes);
        encode(&value, bytes);
    }
}

fn encode(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            header(2, text.len(), bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Bool(bit) => header(14, usize::from(*bit), bytes),
        Value::Number(number) => match number.as_u64() {
            Some(integer) => unsigned(6, integer, bytes),
            None => {
                header(3, 8, bytes);
                bytes.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::Array(values) => {
            header(11, values.len(), bytes);
            values.iter().for_each(|value| encode(value, bytes));
        }
        Value::Object(entries) => encode_map(entries, bytes),
        Value::Null => panic!("the format has no null"),
    }
}

fn encode_map(entries: &Map<String, Value>, bytes: &mut Vec<u8>) {
    header(7, entries.len(), bytes);
    for (key, value) in entries {
        encode(&json!(key), bytes);
        encode(value, bytes);
    }
}

fn unsigned(kind: usize, number: u64, bytes: &mut Vec<u8>) {
    let all = number.to_be_bytes();
    let significant = &all[(number.leading_zeros() / 8) as usize..];
    header(kind, significant.len(), bytes);
    bytes.extend_from_slice(significant);
}

/// The control bytes: a type of 1 to 7 stands in the first, others after it; so do sizes over 28.
fn header(kind: usize, size: usize, bytes: &mut Vec<u8>) {
    let inline_size = size.min(29);
    let inline_kind = if kind <= 7 { kind } else { 0 };
    bytes.push(u8::try_from(inline_kind << 5 | inline_size).unwrap());
    if kind > 7 {
        bytes.push(u8::try_from(kind - 7).unwrap());
    }
    if inline_size == 29 {
        bytes.push(u8::try_from(size - 29).unwrap());
    }
}
