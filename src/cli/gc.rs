//! `ashiato gc`: housekeeping.

use chrono::{Duration, Utc};

use super::args::GcArgs;
use super::context::OpenedState;
use super::output;
use crate::base::environment::Environment;
use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::commit::GcRequest;
use crate::run::temporary_folder;
use crate::sink::remove_dead_spills;

/// Removes what dead attempts have left, and prints it as one line of JSON.
///
/// # Errors
/// `Error::Unavailable` if a store or disk fails; what was removed until then is gone.
pub(super) fn gc(args: &GcArgs, environment: &Environment) -> Result<()> {
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let tables = opened.pipeline.outputs.iter().flat_map(|output| &output.tables);
    let request = GcRequest {
        roots: tables.map(|table| StoreLocation::parse(&table.location)).collect::<Result<_>>()?,
        now: Utc::now(),
        age_min: Duration::hours(args.older_than.into()),
        is_dry_run: args.dry_run,
    };
    let mut garbage = opened.commit.collect_garbage(&request)?;
    let spill = opened.pipeline.resources.spill.clone();
    let spill = spill.unwrap_or_else(|| temporary_folder(environment));
    let spilled = remove_dead_spills(&spill, args.dry_run)?.into_iter();
    garbage.spill_folders = spilled.map(|folder| folder.display().to_string()).collect();
    output::print_json(&garbage)
}
