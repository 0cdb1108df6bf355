//! Keys: which one comes next, and what its value is for.
//!
//! Records of a log have their keys in the same few orders. So each key remembers the key that came
//! after it last time, and that one's bytes are compared first:
//!
//! ```text
//! bytes    "time":"2026-11-21T13:05:00+09:00","service":"food",…
//! after `time` last time: `service`, whose pattern is  "service":
//! 16 bytes "service":"food"   xor the pattern, without what its mask leaves out: 0, so it is it
//! ```
//!
//! Where that fails, the key is looked up by a hash of its bytes in its object's table, and a key
//! that is not there either is learnt: as an unknown field, or as another spelling (`"t\u0069me"`)
//! of a key that is. What is learnt is bounded; a line with more is unhandled.

use std::collections::HashMap;

use super::unknown::{PathStep, UnknownPaths};
use crate::json::scan::cpu::Kernel;
use crate::json::scan::input::{Unhandled, after_space, block, byte, eight, sixteen};
use crate::json::scan::text::check_text;
use crate::json::{JsonKind, read_json};

/// Keys that are learnt at most.
const LEARNT_MAX: usize = 1_000;

/// What a key's value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object that paths lead through.
    Object,
    /// No column's: counted.
    Unknown,
    /// No column's, within a value that a column takes as a whole: not counted.
    Skip,
    Text,
    Bool,
    Int32,
    Int64,
    Float64,
    Decimal,
    Date,
    Timestamp,
    Json,
    List,
    /// A column whose values only the contract's own reader takes.
    Reader,
    /// For several of these, [`Keys::several`].
    Several,
    /// For what the fast path does not do.
    Unhandled,
}

/// What is done with a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Action {
    pub kind: Kind,
    /// Which of the column's paths leads here.
    pub rank: u8,
    /// Whether the column has several paths.
    pub ranked: bool,
    /// The column in its group.
    pub column: u32,
    /// Its place among the group's columns of its kind; or the index in [`Keys::several`].
    pub place: u32,
    /// The node of the object, or of the list's elements.
    pub node: u32,
    /// The unknown field that the value is if it is no object, or anyway.
    pub unknown: u32,
}

/// A key in its object, as it is spelt.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// `"key":`, its first 16 bytes.
    pattern: u128,
    /// The bits of the pattern that count.
    mask: u128,
    /// The pattern's whole length.
    length: u32,
    /// The key that came next last time.
    next: u32,
    /// Its object and what it is without escapes, as a number.
    name: u32,
    /// Whether it has no more than 16 bytes.
    is_short: bool,
    action: Action,
}

/// An object that paths lead to or through.
#[derive(Debug)]
pub(super) struct Node {
    /// The object that this one is in; the record's own is in itself.
    pub parent: u32,
    /// The key of this object there.
    pub key: u32,
    /// The key before the first one.
    pub start: u32,
    /// Nesting of objects and arrays, the record being 1.
    pub depth: usize,
    /// Whether unknown fields are not counted.
    quiet: bool,
    /// The way from the record.
    steps: Vec<PathStep>,
    /// Keys by their bytes' hash, plus one; a power of two of them.
    table: Vec<u32>,
    names: HashMap<String, u32>,
    keys_count: usize,
}

/// All keys of all nodes.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: Vec<Key>,
    /// What stands between each key's quotes.
    spellings: Vec<Box<[u8]>>,
    pub nodes: Vec<Node>,
    /// In which record each name was met last.
    pub met: Vec<u64>,
    records: u64,
    pub several: Vec<Vec<Action>>,
    learnt: usize,
}

/// A key that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub key: u32,
    /// The place after its colon.
    pub after: usize,
}

/// The keys of no more than 16 bytes, which need no table.
pub(super) struct ShortKeys<'k> {
    keys: &'k [Key],
    met: &'k mut [u64],
    record: u64,
}

/// Such a key, that was found.
#[derive(Clone, Copy)]
pub(super) struct ShortKey<'k> {
    pub number: u32,
    key: &'k Key,
}

impl<'k> ShortKeys<'k> {
    /// The key that is expected after `before`, if it begins `bytes`.
    #[inline(always)]
    pub(super) fn next(&self, before: u32, bytes: &[u8; 16]) -> Option<ShortKey<'k>> {
        let number = self.keys.get(before as usize)?.next;
        let key = self.keys.get(number as usize)?;
        let matches = (u128::from_le_bytes(*bytes) ^ key.pattern) & key.mask == 0;
        (matches && key.is_short).then_some(ShortKey { number, key })
    }

    /// Notes that the key stands in the record; false if it did before.
    #[inline(always)]
    pub(super) fn meet(&mut self, key: ShortKey<'_>) -> bool {
        match self.met.get_mut(key.key.name as usize) {
            Some(met) if *met != self.record => {
                *met = self.record;
                true
            }
            _ => false,
        }
    }
}

impl ShortKey<'_> {
    /// The length of `"key":`, 16 at most.
    #[inline(always)]
    pub(super) fn length(self) -> usize {
        self.key.length as usize & 31
    }

    /// What is done with its value.
    #[inline(always)]
    pub(super) fn action(&self) -> &Action {
        &self.key.action
    }
}

impl Keys {
    /// Adds an object; the key that leads to it is set when it is known.
    pub(super) fn add_node(
        &mut self,
        parent: u32,
        depth: usize,
        quiet: bool,
        steps: Vec<PathStep>,
    ) -> u32 {
        let node = self.nodes.len() as u32;
        let start = self.keys.len() as u32;
        self.nodes.push(Node {
            parent,
            key: start,
            start,
            depth,
            quiet,
            steps,
            table: vec![0; 16],
            names: HashMap::new(),
            keys_count: 0,
        });
        let nothing = Action {
            kind: Kind::Unhandled,
            rank: 0,
            ranked: false,
            column: 0,
            place: 0,
            node,
            unknown: 0,
        };
        let name = self.met.len() as u32;
        self.met.push(0);
        // No text begins with this pattern, so it is a guess that always fails.
        self.keys.push(Key {
            pattern: u128::MAX,
            mask: u128::MAX,
            length: 16,
            next: start,
            name,
            is_short: false,
            action: nothing,
        });
        self.spellings.push(Box::default());
        node
    }

    /// Adds a key to an object.
    pub(super) fn add_key(&mut self, node: u32, name: &str, action: Action) -> u32 {
        let quoted = serde_json::Value::from(name).to_string();
        let number = self.met.len() as u32;
        self.met.push(0);
        let key = self.add_spelling(node, &quoted.as_bytes()[1..quoted.len() - 1], number, action);
        self.nodes[node as usize].names.insert(name.to_owned(), key);
        key
    }

    fn add_spelling(&mut self, node: u32, spelling: &[u8], name: u32, action: Action) -> u32 {
        let key = self.keys.len() as u32;
        let pattern = [b"\"", spelling, b"\":"].concat();
        let mut first = [0; 16];
        let count = pattern.len().min(16);
        first[..count].copy_from_slice(&pattern[..count]);
        self.keys.push(Key {
            pattern: u128::from_le_bytes(first),
            mask: u128::MAX >> (128 - 8 * count),
            length: pattern.len() as u32,
            next: self.nodes[node as usize].start,
            name,
            is_short: pattern.len() <= 16,
            action,
        });
        self.spellings.push(spelling.into());
        self.nodes[node as usize].keys_count += 1;
        self.add_to_table(node, key);
        key
    }

    fn add_to_table(&mut self, node: u32, key: u32) {
        let table = &mut self.nodes[node as usize];
        let spellings = &self.spellings;
        let insert = |table: &mut Vec<u32>, key: u32| {
            let spelling = &spellings[key as usize];
            let mut place = hash(spelling, 0, spelling.len(), table.len());
            while table[place] != 0 {
                place = (place + 1) % table.len();
            }
            table[place] = key + 1;
        };
        if table.keys_count * 4 > table.table.len() {
            let old = std::mem::take(&mut table.table);
            table.table = vec![0; old.len() * 2];
            old.iter().filter(|key| **key != 0).for_each(|key| insert(&mut table.table, key - 1));
        }
        insert(&mut table.table, key);
    }

    /// Begins a record (or list element); its number tells keys that were met in it.
    #[inline(always)]
    pub(super) fn begin_record(&mut self) -> u64 {
        self.records += 1;
        self.records
    }

    /// Notes that a key stands in a record; gives what its value is for, and whether the key stands
    /// there already.
    #[inline(always)]
    pub(super) fn meet(&mut self, key: u32, record: u64) -> (Kind, bool) {
        let key = &self.keys[key as usize];
        let met = std::mem::replace(&mut self.met[key.name as usize], record);
        (key.action.kind, met == record)
    }

    /// What is done with a key's value.
    #[inline(always)]
    pub(super) fn action(&self, key: u32) -> Action {
        self.keys[key as usize].action
    }

    /// The key at a place in an object, which comes after the key `before`.
    #[inline(always)]
    pub(super) fn next<K: Kernel>(
        &mut self,
        kernel: K,
        bytes: &[u8],
        at: usize,
        before: u32,
        node: u32,
        unknown: &mut UnknownPaths,
    ) -> Result<Found, Unhandled> {
        let guess = self.keys[before as usize].next;
        let key = &self.keys[guess as usize];
        if (sixteen(bytes, at) ^ key.pattern) & key.mask == 0 {
            let after = at + key.length as usize;
            if key.length <= 16 || self.rest_matches(bytes, at, guess) {
                return Ok(Found { key: guess, after });
            }
        }
        let found = match self.look_up(kernel, bytes, at, node)? {
            (Some(key), after) => Found { key, after },
            (None, after) => Found { key: self.learn(bytes, at, node, unknown)?, after },
        };
        self.keys[before as usize].next = found.key;
        Ok(found)
    }

    /// The keys as [`ShortKeys`], for a record that [`Keys::begin_record`] gave.
    #[inline(always)]
    pub(super) fn short(&mut self, record: u64) -> ShortKeys<'_> {
        ShortKeys { keys: &self.keys, met: &mut self.met, record }
    }

    /// Whether a key of more than 16 bytes goes on as it should.
    fn rest_matches(&self, bytes: &[u8], at: usize, key: u32) -> bool {
        let spelling = &self.spellings[key as usize];
        let end = at + 1 + spelling.len();
        bytes.get(at + 1..end) == Some(spelling) && bytes.get(end..end + 2) == Some(b"\":")
    }

    /// The key at a place by its bytes, if it is known, and the place after its colon.
    #[inline(always)]
    fn look_up<K: Kernel>(
        &self,
        kernel: K,
        bytes: &[u8],
        at: usize,
        node: u32,
    ) -> Result<(Option<u32>, usize), Unhandled> {
        if byte(bytes, at) != b'"' {
            return Err(Unhandled);
        }
        let start = at + 1;
        let end = match kernel.specials(block(bytes, start)?).trailing_zeros() as usize {
            near if byte(bytes, start + near) == b'"' => start + near,
            _ => check_text(kernel, bytes, start, false)? - 1,
        };
        let colon = after_space(bytes, end + 1);
        if byte(bytes, colon) != b':' {
            return Err(Unhandled);
        }
        let table = &self.nodes[node as usize].table;
        let mut place = hash(bytes, start, end - start, table.len());
        loop {
            let Some(key) = table[place].checked_sub(1) else {
                return Ok((None, colon + 1));
            };
            if self.is_spelt(bytes, start, end, key) {
                return Ok((Some(key), colon + 1));
            }
            place = (place + 1) % table.len();
        }
    }

    #[inline(always)]
    fn is_spelt(&self, bytes: &[u8], start: usize, end: usize, key: u32) -> bool {
        let entry = &self.keys[key as usize];
        let length = end - start + 3;
        if entry.length as usize != length {
            return false;
        }
        if length > 16 {
            return bytes.get(start..end) == Some(&self.spellings[key as usize]);
        }
        // Without the colon, which may stand after white space.
        let mask = entry.mask >> 8;
        (sixteen(bytes, start - 1) ^ entry.pattern) & mask == 0
    }

    /// Learns the key at a place, which was looked up in vain.
    #[cold]
    fn learn(
        &mut self,
        bytes: &[u8],
        at: usize,
        node: u32,
        unknown: &mut UnknownPaths,
    ) -> Result<u32, Unhandled> {
        if self.learnt == LEARNT_MAX {
            return Err(Unhandled);
        }
        self.learnt += 1;
        let after = check_text(crate::json::scan::cpu::Portable, bytes, at + 1, false)?;
        let quoted = bytes.get(at..after).ok_or(Unhandled)?;
        let quoted = std::str::from_utf8(quoted).map_err(|_| Unhandled)?;
        let json = read_json(quoted, 1).map_err(|_| Unhandled)?;
        let JsonKind::String(name) = json.kind else { return Err(Unhandled) };
        let spelling = &quoted.as_bytes()[1..quoted.len() - 1];
        let known = self.nodes[node as usize].names.get(name.as_ref());
        if let Some(known) = known {
            let Key { name, action, .. } = self.keys[*known as usize];
            return Ok(self.add_spelling(node, spelling, name, action));
        }
        let owner = &self.nodes[node as usize];
        let mut steps = owner.steps.clone();
        steps.push(PathStep::Key(name.clone().into_owned()));
        let action = match owner.quiet {
            true => Action { kind: Kind::Skip, ..self.keys[owner.start as usize].action },
            false => Action {
                kind: Kind::Unknown,
                unknown: unknown.add(&steps),
                ..self.keys[owner.start as usize].action
            },
        };
        let number = self.met.len() as u32;
        self.met.push(0);
        let key = self.add_spelling(node, spelling, number, action);
        self.nodes[node as usize].names.insert(name.into_owned(), key);
        Ok(key)
    }
}

/// A place in a table of `size`, a power of two, from the first and the last eight bytes.
#[inline(always)]
fn hash(bytes: &[u8], start: usize, length: usize, size: usize) -> usize {
    let first = if length < 8 {
        some_bytes(bytes, start, length)
    } else {
        eight(bytes, start) ^ eight(bytes, start + length - 8).rotate_left(29)
    };
    let mixed = (first ^ length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize & (size - 1)
}

/// Fewer than eight bytes from a place on, the first one in the lowest bits.
#[inline(always)]
fn some_bytes(bytes: &[u8], start: usize, length: usize) -> u64 {
    match bytes.get(start..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk) & !(u64::MAX << (8 * length)),
        None => {
            let mut chunk = [0; 8];
            let rest = bytes.get(start..start + length).unwrap_or_default();
            chunk[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(chunk)
        }
    }
}
