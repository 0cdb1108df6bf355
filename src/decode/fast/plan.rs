//! The contract made ready: its columns as groups, its paths as nodes and keys.

use std::sync::Arc;

use super::columns::{ColumnSlot, FixedColumn, Group, GroupColumn, ListColumn, TextColumn};
use super::forms::Forms;
use super::keys::{Action, Keys, Kind};
use super::unknown::{PathStep, UnknownPaths};
use crate::contract::{
    Column, ColumnReader, ColumnType, Contract, Mending, OnMismatch, TimestampForm, UnknownFields,
};

/// All that the fast path knows and remembers.
#[derive(Debug)]
pub(super) struct Plan {
    pub group: Group,
    pub keys: Keys,
    pub unknown: UnknownPaths,
    pub root: u32,
}

impl Plan {
    /// Makes a contract ready; `is_built` says of the contract's columns which are built.
    pub(super) fn new(contract: &Contract, is_built: impl Fn(usize) -> bool) -> Self {
        let collects = matches!(contract.unknown_fields, UnknownFields::Collect(_));
        let mut group = new_group(&contract.columns, "", is_built);
        group.is_table = true;
        let mut nodes =
            NodeMaker { keys: Keys::default(), unknown: UnknownPaths::new(collects), contract };
        let root = nodes.add_root(&contract.columns, &group, 1, false, Vec::new());
        Plan { group, keys: nodes.keys, unknown: nodes.unknown, root }
    }
}

/// The columns of the table or of a list, empty; `list` stands before their names.
fn new_group(columns: &[Column], list: &str, is_built: impl Fn(usize) -> bool) -> Group {
    let mut readers = Vec::with_capacity(columns.len());
    let mut required = Vec::with_capacity(columns.len());
    for column in columns {
        let reader = ColumnReader::new(column);
        let default = reader.default_value().cloned();
        // A default that is none makes a line without the value a reject.
        required.push(column.required && default.is_none() || reader.default_misfit().is_some());
        readers.push(GroupColumn {
            default,
            paths_count: column.paths.len(),
            slot: ColumnSlot::Text(0),
            forms: Forms::new(column),
            name: format!("{list}{}", column.name).into(),
            may_mend: column.on_mismatch == OnMismatch::Null
                || column.mending != Mending::default(),
            reader,
        });
    }
    let mut group = Group::new(readers, &required);
    for (index, column) in columns.iter().enumerate() {
        let name = Arc::clone(&group.columns[index].name);
        let built = is_built(index);
        group.columns[index].slot = add_slot(&mut group, &column.column_type, &name, built);
    }
    group
}

/// Adds a column of a type.
fn add_slot(group: &mut Group, column_type: &ColumnType, name: &str, built: bool) -> ColumnSlot {
    match column_type {
        ColumnType::String | ColumnType::Json => {
            group.texts.push(TextColumn::new(built));
            ColumnSlot::Text(group.texts.len() - 1)
        }
        ColumnType::Bool => {
            group.bools.push(FixedColumn::new(built));
            ColumnSlot::Bool(group.bools.len() - 1)
        }
        ColumnType::Int32 | ColumnType::Date { .. } => {
            group.int32s.push(FixedColumn::new(built));
            ColumnSlot::Int32(group.int32s.len() - 1)
        }
        ColumnType::Int64 | ColumnType::Timestamp { .. } => {
            group.int64s.push(FixedColumn::new(built));
            ColumnSlot::Int64(group.int64s.len() - 1)
        }
        ColumnType::Float64 => {
            group.float64s.push(FixedColumn::new(built));
            ColumnSlot::Float64(group.float64s.len() - 1)
        }
        ColumnType::Decimal { .. } => {
            group.decimals.push(FixedColumn::new(built));
            ColumnSlot::Decimal(group.decimals.len() - 1)
        }
        ColumnType::List(columns) => {
            let elements = new_group(columns, &format!("{name}."), |_| built);
            group.lists.push(ListColumn::new(elements, built));
            ColumnSlot::List(group.lists.len() - 1)
        }
    }
}

/// Where paths lead from one object on.
#[derive(Default)]
struct Ways<'c> {
    /// Columns that take the value, each with the rank of its path.
    taken_by: Vec<(usize, usize)>,
    members: Vec<(&'c str, Ways<'c>)>,
}

impl<'c> Ways<'c> {
    fn of(columns: &'c [Column]) -> Self {
        let mut ways = Ways::default();
        for (index, column) in columns.iter().enumerate() {
            for (rank, path) in column.paths.iter().enumerate() {
                let end = path.0.iter().fold(&mut ways, |ways, key| ways.member(key));
                end.taken_by.push((index, rank));
            }
        }
        ways
    }

    fn member(&mut self, key: &'c str) -> &mut Ways<'c> {
        let found = self.members.iter().position(|(known, _)| *known == key);
        let index = found.unwrap_or_else(|| {
            self.members.push((key, Ways::default()));
            self.members.len() - 1
        });
        &mut self.members[index].1
    }
}

/// Makes nodes and keys of columns' paths.
struct NodeMaker<'c> {
    keys: Keys,
    unknown: UnknownPaths,
    contract: &'c Contract,
}

impl NodeMaker<'_> {
    /// Adds the object that columns' paths start from.
    fn add_root(
        &mut self,
        columns: &[Column],
        group: &Group,
        depth: usize,
        quiet: bool,
        steps: Vec<PathStep>,
    ) -> u32 {
        let node = self.keys.add_node(self.keys.nodes.len() as u32, depth, quiet, steps.clone());
        self.add_members(node, &Ways::of(columns), columns, group, quiet, &steps);
        node
    }

    fn add_members(
        &mut self,
        node: u32,
        ways: &Ways<'_>,
        columns: &[Column],
        group: &Group,
        quiet: bool,
        steps: &[PathStep],
    ) {
        for (key, ways) in &ways.members {
            let mut steps = steps.to_vec();
            steps.push(PathStep::Key((*key).to_owned()));
            let action = self.action(node, ways, columns, group, quiet, &steps);
            let number = self.keys.add_key(node, key, action);
            let last = match action.kind {
                Kind::Several => self.keys.several[action.place as usize].last().copied(),
                _ => Some(action),
            };
            if let Some(object) = last.filter(|last| last.kind == Kind::Object) {
                self.keys.nodes[object.node as usize].key = number;
            }
        }
    }

    /// What is done with the value that `ways` are about.
    fn action(
        &mut self,
        node: u32,
        ways: &Ways<'_>,
        columns: &[Column],
        group: &Group,
        quiet: bool,
        steps: &[PathStep],
    ) -> Action {
        let is_list = |(column, _): &&(usize, usize)| {
            matches!(columns[*column].column_type, ColumnType::List(_))
        };
        let lists = ways.taken_by.iter().filter(is_list).count();
        let quiet_below = quiet || lists < ways.taken_by.len();
        let depth = self.keys.nodes[node as usize].depth;
        let mut actions = Vec::new();
        for (column, rank) in &ways.taken_by {
            actions.push(self.take(*column, *rank, columns, group, depth, quiet_below, steps));
        }
        if !ways.members.is_empty() {
            let below = self.keys.add_node(node, depth + 1, quiet_below, steps.to_vec());
            self.add_members(below, ways, columns, group, quiet_below, steps);
            let kind = if depth < self.contract.depth_max { Kind::Object } else { Kind::Unhandled };
            let unknown = if quiet_below { NOT_COUNTED } else { self.unknown.add(steps) };
            actions.push(Action { kind, node: below, unknown, ..NO_ACTION });
        }
        // Two lists of one array know each other's fields.
        let unhandled =
            lists > 1 && !quiet_below || actions.iter().any(|one| one.kind == Kind::Unhandled);
        match actions.as_slice() {
            _ if unhandled => Action { kind: Kind::Unhandled, ..NO_ACTION },
            [one] => *one,
            _ => {
                self.keys.several.push(actions);
                let place = self.keys.several.len() as u32 - 1;
                Action { kind: Kind::Several, place, ..NO_ACTION }
            }
        }
    }

    /// A column takes the value.
    #[expect(clippy::too_many_arguments, reason = "the way from the contract's root")]
    fn take(
        &mut self,
        index: usize,
        rank: usize,
        columns: &[Column],
        group: &Group,
        depth: usize,
        quiet: bool,
        steps: &[PathStep],
    ) -> Action {
        let column = &columns[index];
        let (kind, place) = match (&column.column_type, group.columns[index].slot) {
            (ColumnType::Json, ColumnSlot::Text(place)) => (Kind::Json, place),
            (_, ColumnSlot::Text(place)) => (Kind::Text, place),
            (ColumnType::Date { forms }, ColumnSlot::Int32(place)) => match forms.first() {
                Some(TimestampForm::Rfc3339) => (Kind::Date, place),
                _ => (Kind::Reader, place),
            },
            (_, ColumnSlot::Int32(place)) => (Kind::Int32, place),
            (ColumnType::Timestamp { .. }, ColumnSlot::Int64(place)) => (Kind::Timestamp, place),
            (_, ColumnSlot::Int64(place)) => (Kind::Int64, place),
            (_, ColumnSlot::Float64(place)) => (Kind::Float64, place),
            (_, ColumnSlot::Decimal(place)) => (Kind::Decimal, place),
            (_, ColumnSlot::Bool(place)) => (Kind::Bool, place),
            (_, ColumnSlot::List(place)) => (Kind::List, place),
        };
        let mut action = Action {
            kind,
            rank: u8::try_from(rank).unwrap_or(u8::MAX),
            ranked: column.paths.len() > 1,
            column: index as u32,
            place: place as u32,
            ..NO_ACTION
        };
        if let ColumnType::List(columns) = &column.column_type {
            let mut steps = steps.to_vec();
            steps.push(PathStep::Element);
            let elements = &group.lists[place].elements;
            action.node = self.add_root(columns, elements, depth + 2, quiet, steps);
        }
        // The array is a level, and its elements are one more.
        let too_deep = kind == Kind::List && depth + 2 > self.contract.depth_max;
        if too_deep || rank > usize::from(u8::MAX) {
            action.kind = Kind::Unhandled;
        }
        action
    }
}

/// In [`Action::unknown`]: not counted.
pub(super) const NOT_COUNTED: u32 = u32::MAX;

const NO_ACTION: Action = Action {
    kind: Kind::Unhandled,
    rank: 0,
    ranked: false,
    column: 0,
    place: 0,
    node: 0,
    unknown: NOT_COUNTED,
};
