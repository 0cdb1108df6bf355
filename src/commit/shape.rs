//! A table as a run would write it, compared with what was published at the same location.

use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::commit::attempt::Attempt;
use crate::commit::documents::{LastPublish, Layout, ManifestColumn};
use crate::commit::drift::{ColumnChanges, misplaced};
use crate::commit::head::ReadHead;
use crate::commit::layout::{are_nested, is_same_location};
use crate::sink::table_folder;

/// The format in which a column is found by its position alone.
const TSV: &str = "tsv";

/// A table as a run would write it.
#[derive(Debug, Clone)]
pub struct TableShape {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root.
    pub root: StoreLocation,
    /// Its columns as they are stored, partition columns among them.
    pub columns: Vec<ManifestColumn>,
    /// The columns that are directories, outermost first.
    pub partition_by: Vec<String>,
    /// The form of points in time in its files.
    pub timestamps: String,
    /// The names in the state of all tables that the pipeline writes.
    pub siblings: Vec<String>,
}

impl TableShape {
    /// The columns of its files, in their order.
    fn in_files(&self) -> Vec<String> {
        let names = self.columns.iter().map(|column| column.name.clone());
        names.filter(|name| !self.partition_by.contains(name)).collect()
    }
}

/// What differs from the last publish at the same location.
#[derive(Debug, Clone, Default)]
pub struct ShapeChanges {
    /// The columns that changed; none if nothing was published there.
    pub columns: Option<ColumnChanges>,
    /// Why old and new files could not be read together, in words that follow on the table's name.
    pub unreadable: Vec<String>,
}

impl Attempt {
    /// What changed in a table's shape since the last publish at its location, of whatever output.
    pub fn shape_changes(&self, shape: &TableShape) -> Result<ShapeChanges> {
        let head = ReadHead::of(&self.commit)?.head;
        let own = table_folder(&shape.output, &shape.format);
        let (mut last, mut changes) = (None, ShapeChanges::default());
        for (name, known) in head.all_tables() {
            let Some(root) = known.root()? else {
                last = if name == own { Some((name, known)) } else { last };
                continue;
            };
            if is_same_location(&root, &shape.root) {
                last = if last.is_none() || name == own { Some((name, known)) } else { last };
            } else if are_nested(&root, &shape.root) && self.has_files(&root)? {
                changes.unreadable.push(nested(&root, name, known, shape));
            }
        }
        let Some((name, last)) = last else { return Ok(changes) };
        let unreadable: Vec<String> =
            last.layout.iter().flat_map(|layout| unreadable(name, last, layout, shape)).collect();
        if !unreadable.is_empty() && self.has_files(&shape.root)? {
            changes.unreadable.extend(unreadable);
        }
        changes.columns = Some(column_changes(last, shape));
        Ok(changes)
    }

    /// Whether anything is at a root: what is gone is in nobody's way.
    fn has_files(&self, root: &StoreLocation) -> Result<bool> {
        Ok(!self.commit.context.open(root)?.list_all()?.is_empty())
    }
}

fn column_changes(last: &LastPublish, shape: &TableShape) -> ColumnChanges {
    let mut changes = ColumnChanges::between(last.since(), &last.columns, &shape.columns);
    match &last.layout {
        Some(layout) => {
            changes.compare_timestamps(&layout.timestamps, &shape.timestamps, &shape.columns);
        }
        None => changes.retain_other_kinds(),
    }
    changes
}

fn unreadable(name: &str, last: &LastPublish, layout: &Layout, shape: &TableShape) -> Vec<String> {
    let mut found = Vec::new();
    let (root, since) = (&shape.root, last.since());
    if name != table_folder(&shape.output, &shape.format)
        && shape.siblings.iter().any(|sibling| sibling == name)
    {
        return vec![format!(
            "{root} holds `{name}`, published by {since}, which the pipeline writes elsewhere now; \
             its rows would be taken for this output's; write to another `location`"
        )];
    }
    let format = name.rsplit('.').next().unwrap_or_default();
    if format != shape.format {
        return vec![format!(
            "{root} holds {format}, published by {since}, and no reader takes both for one table; \
             keep the format, or write to another `location`"
        )];
    }
    if layout.partition_by != shape.partition_by {
        found.push(format!(
            "it was partitioned by {} at {since} and would be by {}; readers take directories for \
             columns and find no table in both; bring `partition_by` back, or write to another \
             `location`",
            listed(&layout.partition_by),
            listed(&shape.partition_by),
        ));
    } else if shape.format == TSV
        && let Some(moved) = misplaced(&layout.positions, &shape.in_files())
    {
        found.push(format!(
            "{moved}, since {since}; TSV has only the order to tell columns apart, and readers \
             would take one for the other; keep the order of the view's columns, put new ones \
             last, keep one that is no more as NULL, or write to another `location`"
        ));
    }
    found
}

fn nested(root: &StoreLocation, name: &str, known: &LastPublish, shape: &TableShape) -> String {
    format!(
        "its root would be {}, but `{name}` was published at {root} by {}, and readers of the one \
         would take the files of the other too; keep `formats` and `location` as they were and \
         give another format an output of its own (the same `view`, another `location`), or write \
         to another `location`",
        shape.root,
        known.since(),
    )
}

fn listed(columns: &[String]) -> String {
    match columns {
        [] => "nothing".to_owned(),
        columns => columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
