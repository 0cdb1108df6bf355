//! Schema drift: what changed in a table's columns since its last publish, and whether that may be.
//!
//! ```text
//! last publish   id int64, name string,               at timestamp
//! this run       id int32, name string, price int64
//! changes        added: price   removed: at   retyped: id, from Int64 to Int32
//! ```
//!
//! The columns of the last publish, of whatever interval, stand in the head: readers see one table,
//! not one an interval.

use serde::{Deserialize, Serialize};

use crate::commit::manifest::ManifestColumn;

/// What changed in a table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnChanges {
    /// The interval and attempt that the columns are held against.
    pub since: String,
    /// New columns.
    pub added: Vec<ManifestColumn>,
    /// Columns that are no more.
    pub removed: Vec<ManifestColumn>,
    /// Columns that have another type now.
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
        let find = |name: &str, columns: &[ManifestColumn]| {
            columns.iter().find(|column| column.name == name).cloned()
        };
        let lacking = |these: &[ManifestColumn], those: &[ManifestColumn]| {
            let missing = these.iter().filter(|column| find(&column.name, those).is_none());
            missing.cloned().collect::<Vec<_>>()
        };
        let retyped = now.iter().filter_map(|column| {
            let from = find(&column.name, last)?.data_type;
            let (name, to) = (column.name.clone(), column.data_type.clone());
            (from != to).then_some(RetypedColumn { name, from, to })
        });
        ColumnChanges {
            since,
            added: lacking(now, last),
            removed: lacking(last, now),
            retyped: retyped.collect(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> Vec<ManifestColumn> {
        let column = |pair: &str| {
            let (name, data_type) = pair.split_once(' ').unwrap();
            ManifestColumn { name: name.to_owned(), data_type: data_type.to_owned() }
        };
        text.split(", ").map(column).collect()
    }

    fn changes(last: &str, now: &str) -> ColumnChanges {
        ColumnChanges::between("i/a".to_owned(), &columns(last), &columns(now))
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
    fn another_order_is_no_change_and_a_new_column_only_adds() {
        assert!(changes("a Int64, b Utf8", "b Utf8, a Int64").is_empty());
        let added = changes("a Int64", "a Int64, b Utf8");
        assert!(added.only_adds() && !added.is_empty());
    }
}
