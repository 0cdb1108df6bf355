//! `ashiato distcp`: a published interval's way to another cluster.

use serde_json::json;

use super::args::DistcpArgs;
use super::output;
use super::supplies::OpenedState;
use crate::commit::hand_off;
use crate::error::Result;
use crate::store::Environment;

/// Writes the lists of what to copy and what to remove, and prints the commands that do it, one a
/// line, then all of it as one line of JSON.
///
/// # Errors
/// `Error::Usage` if the interval is not published.
pub(super) fn distcp(args: &DistcpArgs, environment: &Environment) -> Result<()> {
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let paths = opened.paths_of(&args.interval)?;
    let tables = hand_off(&opened.commit, &opened.state, &paths, &args.target)?;
    for command in tables.iter().flat_map(|table| &table.commands) {
        output::print_line(command)?;
    }
    output::print_json(&json!({
        "pipeline": paths.pipeline,
        "interval": paths.interval,
        "tables": tables,
    }))
}
