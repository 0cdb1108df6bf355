//! `ashiato adopt`: takes over what the pipeline published under another name or state.

use serde_json::json;

use super::args::AdoptArgs;
use super::context::OpenedState;
use super::output;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::{AdoptRequest, Commit};
use crate::run::own_tables;

/// Takes over tables, and prints them as one line of JSON.
///
/// # Errors
/// What kept it from it; the old state is as it was then.
pub(super) fn adopt(args: &AdoptArgs, environment: &Environment) -> Result<()> {
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let pipeline = &opened.pipeline;
    let from = args.from.clone().unwrap_or_else(|| pipeline.name.clone());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if from.is_empty() || !from.chars().all(is_name) {
        return Err(Error::Usage(format!("--from {from}: expected letters, digits, `_` and `-`")));
    }
    let from_commit = match &args.from_state {
        None => opened.commit.of_pipeline(&from),
        Some(state) => Commit::open(opened.context.clone(), &StoreLocation::parse(state)?, &from)?,
    };
    let request = AdoptRequest {
        tables: own_tables(pipeline)?,
        folder: pipeline.folder.display().to_string(),
        from: from_commit,
        is_dry_run: args.dry_run,
    };
    let adopted = opened.commit.adopt(&request)?;
    output::print_json(&json!({
        "status": if args.dry_run { "planned" } else { "adopted" },
        "pipeline": pipeline.name,
        "from": from,
        "intervals": adopted.intervals,
        "tables": adopted.tables,
    }))
}
