//! What was done to values of another shape, so that they fit: it is counted by column.

use super::super::{JsonPath, MendKind, Mending, Spelling};
use super::number::exact_integer;
use super::{Misfit, MisfitReason};
use crate::json::{Json, JsonKind};

/// What was mended in a record, in order; nothing counts before the record is a row.
#[derive(Debug, Default)]
pub struct Mends {
    found: Vec<Mend>,
}

/// One value that was mended.
#[derive(Debug)]
pub struct Mend {
    /// The column's name; of a column in a list's elements after the list's: `items.price`.
    pub column: String,
    /// What was done to it.
    pub kind: MendKind,
    /// The element that was left out, if one was.
    pub dropped: Option<Box<DroppedItem>>,
}

/// An element of a list that was left out.
#[derive(Debug)]
pub struct DroppedItem {
    /// Why it does not fit.
    pub misfit: Misfit,
    /// Where in the record: `items[10]`.
    pub item: String,
    /// Its text in the line.
    pub raw: String,
}

impl Mends {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Mend> {
        self.found
    }

    /// Adds one.
    pub fn add(&mut self, column: &str, kind: MendKind) {
        self.found.push(Mend { column: column.to_owned(), kind, dropped: None });
    }

    pub(super) fn add_dropped(&mut self, column: &str, item: DroppedItem) {
        let dropped = Some(Box::new(item));
        self.found.push(Mend { column: column.to_owned(), kind: MendKind::ItemDropped, dropped });
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.found.truncate(len);
    }

    /// Those from `start` on were found in an element of a list.
    pub(super) fn put_below(&mut self, start: usize, list: &str, path: &JsonPath, index: usize) {
        for mend in &mut self.found[start..] {
            mend.column = format!("{list}.{}", mend.column);
            if let Some(dropped) = &mut mend.dropped {
                dropped.item = format!("{path}[{index}].{}", dropped.item);
                dropped.misfit.path = format!("{path}[{index}].{}", dropped.misfit.path);
            }
        }
    }
}

/// A truth value, in one of the spellings that are taken.
pub(super) fn truth(json: &Json<'_>, mending: &Mending) -> Result<bool, MisfitReason> {
    let is_spelled = |spelling: &Spelling| match (spelling, &json.kind) {
        (Spelling::Text(spelling), JsonKind::String(text)) => spelling == text,
        (Spelling::Integer(spelling), JsonKind::Number) => {
            exact_integer::<i64>(json.raw) == Some(*spelling)
        }
        _ => false,
    };
    match json.kind {
        JsonKind::Bool(value) => Ok(value),
        _ if mending.true_values.iter().any(is_spelled) => Ok(true),
        _ if mending.false_values.iter().any(is_spelled) => Ok(false),
        _ => Err(MisfitReason::TypeMismatch),
    }
}
