//! Fields that no column names: met, then counted and collected once their line is a row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::contract::{MendKind, PathKey};
use crate::decode::reference::count_unknown_field;
use crate::json::excerpt;

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathStep {
    Key(String),
    Element,
}

/// The paths of unknown fields, and their occurrences.
#[derive(Debug, Default)]
pub(super) struct UnknownPaths {
    paths: Vec<UnknownPath>,
    /// Fields of the line at hand, in order.
    fields: Vec<Field>,
    /// Indices of the elements that the line's fields stand in.
    indices: Vec<u32>,
    /// Indices of the elements that are being read, the outermost first.
    pub elements: Vec<u32>,
    /// Paths that have a count, in the order of their first fields.
    counted: Vec<u32>,
    /// Whether fields are collected.
    collects: bool,
    /// What was mended in the line at hand, by column; it counts with the line's fields.
    pub mends: Vec<(Arc<str>, MendKind)>,
}

#[derive(Debug)]
struct UnknownPath {
    /// The path that it counts under: `items[].qty`.
    name: String,
    /// The exact path as JSON text around the elements' indices: `"items[`, `].qty":`.
    pieces: Vec<String>,
    count: u64,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    path: u32,
    /// Where its value stands.
    start: usize,
    end: usize,
    /// Where its elements' indices begin.
    indices: usize,
}

impl UnknownPaths {
    pub(super) fn new(collects: bool) -> Self {
        UnknownPaths { collects, ..UnknownPaths::default() }
    }

    /// Adds a path; gives its number.
    pub(super) fn add(&mut self, steps: &[PathStep]) -> u32 {
        let mut name = String::new();
        let mut pieces = vec![String::new()];
        for (place, step) in steps.iter().enumerate() {
            let mut text = String::new();
            match step {
                PathStep::Key(key) => {
                    let separator = if place == 0 { "" } else { "." };
                    // Writing to a string cannot fail.
                    write!(text, "{separator}{}", PathKey(key)).unwrap_or_default();
                    name.push_str(&text);
                    pieces.last_mut().into_iter().for_each(|piece| piece.push_str(&text));
                }
                PathStep::Element => {
                    name.push_str("[]");
                    pieces.last_mut().into_iter().for_each(|piece| piece.push('['));
                    pieces.push("]".to_owned());
                }
            }
        }
        let inside = |piece: &String| {
            let quoted = serde_json::Value::from(piece.as_str()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        };
        let pieces = pieces.iter().map(inside).collect();
        let name = excerpt(&name).into_owned();
        self.paths.push(UnknownPath { name, pieces, count: 0 });
        self.paths.len() as u32 - 1
    }

    /// Notes a field of the line at hand, whose value is `start..end`.
    #[inline(always)]
    pub(super) fn meet(&mut self, path: u32, start: usize, end: usize) {
        self.fields.push(Field { path, start, end, indices: self.indices.len() });
        if self.collects {
            self.indices.extend_from_slice(&self.elements);
        }
    }

    /// How many fields the line at hand has had so far.
    #[inline(always)]
    pub(super) fn fields_count(&self) -> usize {
        self.fields.len()
    }

    /// Drops the field of a path among those from `since` on.
    pub(super) fn forget(&mut self, path: u32, since: usize) {
        let found = self.fields[since..].iter().position(|field| field.path == path);
        if let Some(index) = found {
            self.fields.remove(since + index);
        }
    }

    /// Begins a line.
    #[inline(always)]
    pub(super) fn begin_line(&mut self) {
        self.fields.clear();
        self.indices.clear();
        self.elements.clear();
        self.mends.clear();
    }

    /// Counts the fields of the line at hand, which is a row.
    #[inline(always)]
    pub(super) fn count_line(&mut self) {
        for field in &self.fields {
            let path = &mut self.paths[field.path as usize];
            if path.count == 0 {
                self.counted.push(field.path);
            }
            path.count += 1;
        }
    }

    /// Writes the fields of the line at hand as one JSON object; false if there is none.
    pub(super) fn write_line(&self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        for (place, field) in self.fields.iter().enumerate() {
            out.push(if place == 0 { b'{' } else { b',' });
            out.push(b'"');
            let pieces = &self.paths[field.path as usize].pieces;
            let mut indices = self.indices[field.indices..].iter();
            for (place, piece) in pieces.iter().enumerate() {
                if place > 0 {
                    let index = indices.next().copied().unwrap_or_default();
                    out.extend_from_slice(index.to_string().as_bytes());
                }
                out.extend_from_slice(piece.as_bytes());
            }
            out.extend_from_slice(b"\":");
            out.extend_from_slice(&bytes[field.start..field.end]);
        }
        if !self.fields.is_empty() {
            out.push(b'}');
        }
        !self.fields.is_empty()
    }

    /// Adds the counts so far to `counts`, in the order of their first fields, and starts anew.
    pub(super) fn move_counts_to(&mut self, counts: &mut BTreeMap<String, u64>) {
        for path in self.counted.drain(..) {
            let path = &mut self.paths[path as usize];
            count_unknown_field(counts, &path.name, std::mem::take(&mut path.count));
        }
    }
}
