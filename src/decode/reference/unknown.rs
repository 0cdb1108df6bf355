//! Fields that no column names.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use crate::contract::{Column, ColumnType, PathKey};
use crate::json::{Json, JsonKind, Member, excerpt};

/// Paths that are told apart at most.
const PATHS_MAX: usize = 1_000;

/// The name under which all further paths count.
pub const OTHER_UNKNOWN_FIELDS: &str = "…";

/// Adds to the count of an unknown field's path.
///
/// The first 1,000 paths have a count each; all further ones share [`OTHER_UNKNOWN_FIELDS`]. Counts
/// of several batches are added up by the same function, so that their sum is bounded too.
pub fn count_unknown_field(counts: &mut BTreeMap<String, u64>, path: &str, times: u64) {
    if let Some(count) = counts.get_mut(path) {
        *count += times;
        return;
    }
    let others = usize::from(counts.contains_key(OTHER_UNKNOWN_FIELDS));
    let name = if counts.len() - others < PATHS_MAX { path } else { OTHER_UNKNOWN_FIELDS };
    *counts.entry(name.to_owned()).or_default() += times;
}

/// What the contract knows of an object, or of a value on the way there.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownFields {
    /// A column takes the value itself.
    taken: bool,
    /// What is known of the elements, if a column takes the value as a list.
    elements: Option<Box<KnownFields>>,
    /// What is known of the object's members.
    members: HashMap<String, KnownFields>,
}

impl KnownFields {
    pub(super) fn new(columns: &[Column]) -> Self {
        let mut known = KnownFields::default();
        known.add(columns);
        known
    }

    fn add(&mut self, columns: &[Column]) {
        for column in columns {
            for path in &column.paths {
                let way = |known, key: &String| member_of(known, key);
                let value = path.0.iter().fold(&mut *self, way);
                match &column.column_type {
                    ColumnType::List(columns) => {
                        value.elements.get_or_insert_default().add(columns);
                    }
                    _ => value.taken = true,
                }
            }
        }
    }

    /// Shows `visit` each unknown field of a record, in order.
    pub(super) fn visit_unknown<'t>(
        &self,
        members: &'t [Member<'t>],
        visit: &mut dyn FnMut(UnknownField<'_, 't>),
    ) {
        self.visit_members(members, &mut Vec::new(), visit);
    }

    fn visit_members<'t>(
        &self,
        members: &'t [Member<'t>],
        steps: &mut Vec<IndexedStep<'t>>,
        visit: &mut dyn FnMut(UnknownField<'_, 't>),
    ) {
        for member in members {
            steps.push(IndexedStep::Key(&member.key));
            match self.members.get(member.key.as_ref()) {
                None => visit(UnknownField { steps, value: &member.value }),
                Some(known) => known.visit_value(&member.value, steps, visit),
            }
            steps.pop();
        }
    }

    fn visit_value<'t>(
        &self,
        value: &'t Json<'t>,
        steps: &mut Vec<IndexedStep<'t>>,
        visit: &mut dyn FnMut(UnknownField<'_, 't>),
    ) {
        match (&value.kind, &self.elements) {
            _ if self.taken => {}
            (JsonKind::Null, _) => {}
            (JsonKind::Array(elements), Some(known)) => {
                for (index, element) in elements.iter().enumerate() {
                    if let JsonKind::Object(members) = &element.kind {
                        steps.push(IndexedStep::Element(index));
                        known.visit_members(members, steps, visit);
                        steps.pop();
                    }
                }
            }
            (JsonKind::Object(members), _) if !self.members.is_empty() => {
                self.visit_members(members, steps, visit);
            }
            // A list column met another value, and its `on_mismatch` let that pass.
            (_, Some(_)) => {}
            _ => visit(UnknownField { steps, value }),
        }
    }
}

fn member_of<'k>(known: &'k mut KnownFields, key: &str) -> &'k mut KnownFields {
    known.members.entry(key.to_owned()).or_default()
}

#[derive(Debug, Clone, Copy)]
enum IndexedStep<'t> {
    Key(&'t str),
    Element(usize),
}

/// A field that no column names.
#[derive(Debug)]
pub(super) struct UnknownField<'s, 't> {
    steps: &'s [IndexedStep<'t>],
    /// Its value.
    pub value: &'t Json<'t>,
}

impl UnknownField<'_, '_> {
    /// Writes the path that the field counts under: `items[].qty`, shortened if it is very long.
    pub(super) fn write_counted_path(&self, text: &mut String) {
        self.write_path(text, |text, _| text.push_str("[]"));
        if let Cow::Owned(shortened) = excerpt(text) {
            *text = shortened;
        }
    }

    /// Writes the path of this very field: `items[0].qty`.
    pub(super) fn write_exact_path(&self, text: &mut String) {
        // Writing to a string cannot fail.
        self.write_path(text, |text, index| write!(text, "[{index}]").unwrap_or_default());
    }

    fn write_path(&self, text: &mut String, write_element: impl Fn(&mut String, usize)) {
        text.clear();
        for (place, step) in self.steps.iter().enumerate() {
            match step {
                IndexedStep::Key(key) => {
                    let separator = if place == 0 { "" } else { "." };
                    // Writing to a string cannot fail.
                    write!(text, "{separator}{}", PathKey(key)).unwrap_or_default();
                }
                IndexedStep::Element(index) => write_element(text, *index),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_a_thousand_paths_all_others_share_one_count() {
        let mut counts = BTreeMap::new();
        for number in 0..1_500 {
            count_unknown_field(&mut counts, &format!("field_{number}"), 1);
        }
        count_unknown_field(&mut counts, "field_0", 4);
        count_unknown_field(&mut counts, "field_1499", 1);
        assert_eq!(counts.len(), PATHS_MAX + 1);
        assert_eq!(counts["field_0"], 5);
        assert_eq!(counts[OTHER_UNKNOWN_FIELDS], 501);
        assert_eq!(counts.values().sum::<u64>(), 1_505);
    }

    #[test]
    fn sums_of_counts_are_bounded_as_counts_are() {
        let mut sum = BTreeMap::new();
        for batch in 0..3 {
            let mut counts = BTreeMap::new();
            for number in 0..1_200 {
                count_unknown_field(&mut counts, &format!("batch_{batch}_{number}"), 1);
            }
            for (path, times) in &counts {
                count_unknown_field(&mut sum, path, *times);
            }
        }
        assert_eq!(sum.len(), PATHS_MAX + 1);
        assert_eq!(sum.values().sum::<u64>(), 3_600);
    }
}
