//! A planned copy of an interval to another cluster, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::run_ids::AttemptId;
use crate::commit::distcp::DistCpForm;
use crate::commit::documents::{Manifest, ManifestTable};

/// How to bring an interval elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandOffPlan {
    /// The attempt that published what is to be copied.
    pub attempt: AttemptId,
    /// The folder that gets the tables, as Hadoop names it.
    pub target: String,
    /// The tables.
    pub tables: Vec<HandOff>,
    /// All commands as a script for bash, which fails as soon as one of them does.
    #[serde(skip)]
    pub script: String,
}

/// How to bring one table's files of an interval elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandOff {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The folder that gets the table.
    pub target: String,
    /// The copy listing as Hadoop names it; none if there is nothing to copy.
    pub listing: Option<String>,
    /// What its lines are.
    pub form: DistCpForm,
    /// The list of files that must not be at the target, as Hadoop names it, if there are any.
    pub removal: Option<String>,
    /// How many files the interval has.
    pub files: usize,
    /// How many files must not be at the target.
    pub removed_files: usize,
    /// The script that defines the table at the target, and the interval's partitions.
    pub definition: Option<String>,
    /// The script that adds the interval's new columns to a table that lacks them, if it had any.
    pub add_columns: Option<String>,
    /// The commands, in their order; each must succeed before the next.
    pub commands: Vec<String>,
}

/// A planned copy.
pub(super) struct PlannedCopy {
    pub(super) manifest: Manifest,
    pub(super) tables: Vec<PlannedTable>,
}

/// A planned copy of one table.
pub(super) struct PlannedTable {
    pub(super) hand_off: HandOff,
    pub(super) table: ManifestTable,
    /// The table's root as Hadoop names it.
    pub(super) source: String,
    /// The interval's files with their sizes.
    pub(super) files: BTreeMap<String, u64>,
    /// Files that the interval had before.
    pub(super) stale: BTreeSet<String>,
}
