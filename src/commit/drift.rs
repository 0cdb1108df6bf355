//! Schema drift: what changed in a table's shape since its last publish, and whether that may be.
//!
//! ```text
//! last publish   id int64, name string, items list of {sku}                 by dt
//! this run       id int32, name string, items list of {sku, price}, at …    by dt
//! changes        added: items[].price, at   retyped: id, from Int64 to Int32
//! ```
//!
//! The shape of the last publish, of whatever interval, stands in the head: readers see one table,
//! not one an interval. A policy says which changes of columns are taken. No policy takes a change
//! after which files of one location could not be read together: other partition columns, another
//! format, a root inside of another one, and in TSV, which has only the order to tell columns
//! apart, a column that leaves its position. That a column may be NULL or not is no part of it, as
//! all are written as nullable.

use serde::{Deserialize, Serialize};

use crate::commit::documents::ManifestColumn;

/// What changed in a table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnChanges {
    /// The interval and attempt that the columns are compared with.
    pub since: String,
    /// New columns, and new fields of structs by their paths: `items[].price`.
    pub added: Vec<ManifestColumn>,
    /// Columns and fields that are no more.
    pub removed: Vec<ManifestColumn>,
    /// Columns and fields that have another type now.
    pub retyped: Vec<RetypedColumn>,
}

/// A column that has another type now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetypedColumn {
    /// Its name.
    pub name: String,
    /// The type that it had.
    pub from: String,
    /// The type that it has.
    pub to: String,
}

impl ColumnChanges {
    pub(super) fn between(since: String, last: &[ManifestColumn], now: &[ManifestColumn]) -> Self {
        let mut changes = ColumnChanges { since, ..ColumnChanges::default() };
        changes.compare_all(&|name| name.to_owned(), last, now);
        changes
    }

    /// Compares columns, or a struct's fields; `path` gives their full names.
    fn compare_all(
        &mut self,
        path: &dyn Fn(&str) -> String,
        last: &[ManifestColumn],
        now: &[ManifestColumn],
    ) {
        let at =
            |column: &ManifestColumn| ManifestColumn { name: path(&column.name), ..column.clone() };
        for column in now {
            match last.iter().find(|known| known.name == column.name) {
                None => self.added.push(at(column)),
                Some(known) => self.compare(path(&column.name), known, column),
            }
        }
        let is_gone = |column: &&ManifestColumn| now.iter().all(|known| known.name != column.name);
        self.removed.extend(last.iter().filter(is_gone).map(at));
    }

    fn compare(&mut self, name: String, last: &ManifestColumn, now: &ManifestColumn) {
        let is_nested = !last.fields.is_empty() && !now.fields.is_empty();
        match (is_nested && last.kind() == now.kind(), now.kind()) {
            (true, LIST) => {
                self.compare(format!("{name}[]"), &last.fields[0], &now.fields[0]);
            }
            (true, _) => {
                self.compare_all(&|field| format!("{name}.{field}"), &last.fields, &now.fields);
            }
            (false, _) if last.data_type != now.data_type => {
                let (from, to) = (last.data_type.clone(), now.data_type.clone());
                self.retyped.push(RetypedColumn { name, from, to });
            }
            (false, _) => {}
        }
    }

    /// Adds that points in time are written in another form, if they are.
    pub(super) fn compare_timestamps(&mut self, last: &str, now: &str, columns: &[ManifestColumn]) {
        if last == now {
            return;
        }
        let is_kept = |column: &&ManifestColumn| {
            column.kind() == TIMESTAMP && self.added.iter().all(|added| added.name != column.name)
        };
        let retyped: Vec<_> = columns
            .iter()
            .filter(is_kept)
            .map(|column| RetypedColumn {
                name: column.name.clone(),
                from: format!("{} as {last}", column.data_type),
                to: format!("{} as {now}", column.data_type),
            })
            .collect();
        self.retyped.extend(retyped);
    }

    /// Leaves only other kinds of types: for columns that were not recorded as they are stored.
    pub(super) fn retain_other_kinds(&mut self) {
        let kind = |text: &str| text.split('(').next().unwrap_or_default().to_owned();
        self.retyped.retain(|column| kind(&column.from) != kind(&column.to));
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.only_adds()
    }

    /// Whether no column was removed or retyped.
    pub fn only_adds(&self) -> bool {
        self.removed.is_empty() && self.retyped.is_empty()
    }
}

impl std::fmt::Display for ColumnChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |columns: &[ManifestColumn]| {
            columns.iter().map(|c| format!("`{}` {}", c.name, c.data_type)).collect::<Vec<_>>()
        };
        let retyped = self.retyped.iter().map(|c| format!("`{}` {} → {}", c.name, c.from, c.to));
        let kinds = [
            ("added", named(&self.added)),
            ("removed", named(&self.removed)),
            ("retyped", retyped.collect()),
        ];
        let kinds = kinds.into_iter().filter(|(_, columns)| !columns.is_empty());
        let texts: Vec<_> =
            kinds.map(|(kind, list)| format!("{kind} {}", list.join(", "))).collect();
        f.write_str(&texts.join("; "))
    }
}

/// The kind of a list's type.
const LIST: &str = "List";
/// The kind of a timestamp's type.
const TIMESTAMP: &str = "Timestamp";

/// Why TSV could not be read together with what was written before: a column whose position another
/// one had. `positions` are the names of the columns that files have or had; TSV's have no fields.
pub(super) fn misplaced(positions: &[String], now: &[String]) -> Option<String> {
    now.iter().enumerate().find_map(|(number, name)| {
        let position = positions.iter().position(|known| known == name);
        is_misplaced(name, number, position, positions)
    })
}

fn is_misplaced(
    name: &str,
    number: usize,
    position: Option<usize>,
    positions: &[String],
) -> Option<String> {
    let now = number + 1;
    match (position, positions.get(number)) {
        (Some(position), _) if position == number => None,
        (Some(position), _) => {
            Some(format!("`{name}` was number {} of its columns and is number {now}", position + 1))
        }
        (None, Some(former)) => {
            Some(format!("`{name}` is new and takes the place of `{former}`, number {now}"))
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field, Fields};

    use super::*;

    fn columns(text: &str) -> Vec<ManifestColumn> {
        let column = |pair: &str| {
            let (name, data_type) = pair.split_once(' ').unwrap();
            let (name, data_type) = (name.to_owned(), data_type.to_owned());
            ManifestColumn { name, data_type, fields: Vec::new() }
        };
        text.split(", ").map(column).collect()
    }

    fn changes(last: &str, now: &str) -> ColumnChanges {
        ColumnChanges::between("i/a".to_owned(), &columns(last), &columns(now))
    }

    /// A list of structs of these fields, all of them texts.
    fn items(fields: &[&str]) -> Vec<ManifestColumn> {
        let fields: Fields =
            fields.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let element = Field::new("element", DataType::Struct(fields), true);
        vec![ManifestColumn::of(&Field::new("items", DataType::List(Arc::new(element)), true))]
    }

    fn moved(text: &str, now: &str) -> Option<String> {
        let names = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
        misplaced(&names(text), &names(now))
    }

    #[test]
    fn added_removed_and_retyped_columns_are_told_apart() {
        let changes = changes("id Int64, name Utf8, at Date32", "id Int32, name Utf8, price Int64");
        assert_eq!(
            changes.to_string(),
            "added `price` Int64; removed `at` Date32; retyped `id` Int64 → Int32"
        );
        assert!(!changes.only_adds());
    }

    #[test]
    fn another_order_is_no_change_of_columns_and_a_new_column_only_adds() {
        assert!(changes("a Int64, b Utf8", "b Utf8, a Int64").is_empty());
        let added = changes("a Int64", "a Int64, b Utf8");
        assert!(added.only_adds() && !added.is_empty());
    }

    #[test]
    fn a_field_of_a_struct_in_a_list_is_added_or_removed_by_its_path() {
        let between = |last, now| {
            ColumnChanges::between(String::new(), &items(last), &items(now)).to_string()
        };
        assert_eq!(between(&["sku"], &["sku", "note"]), "added `items[].note` Utf8");
        assert_eq!(between(&["sku", "note"], &["sku"]), "removed `items[].note` Utf8");
        assert_eq!(between(&["sku", "note"], &["note", "sku"]), "");
    }

    #[test]
    fn in_text_a_column_keeps_its_place_and_a_new_one_goes_last() {
        assert_eq!(moved("a, b", "a, b, c"), None);
        assert_eq!(moved("a, b", "a"), None, "the last one may go");
        let swapped = moved("a, b", "b, a").unwrap();
        assert!(swapped.contains("`b` was number 2 of its columns and is number 1"), "{swapped}");
        let between = moved("a, b", "a, c, b").unwrap();
        assert!(between.contains("`c` is new and takes the place of `b`"), "{between}");
        assert!(moved("a, b, c", "a, c").is_some());
        assert!(moved("a, b", "a, c").is_some(), "older files have b there");
    }

    #[test]
    fn another_form_of_timestamps_is_another_type() {
        let columns = columns("id Int64, at Timestamp(µs)");
        let mut changes = ColumnChanges::between(String::new(), &columns, &columns);
        changes.compare_timestamps("int64", "int96", &columns);
        let retyped: Vec<_> = changes.retyped.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(retyped, ["at"]);
    }
}
