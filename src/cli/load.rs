//! `ashiato load`: traffic for a collector's trial.

use super::args::LoadArgs;
use super::collect::raise_file_limit;
use super::output;
use super::supplies::new_runtime;
use crate::error::Result;
use crate::load::{LoadSettings, load};

/// Makes traffic and prints how it was answered.
pub(super) fn run(args: &LoadArgs) -> Result<()> {
    raise_file_limit();
    let settings = LoadSettings {
        target: args.target,
        rate: args.rate,
        duration: args.duration,
        warm_up: args.warm_up,
        connections: args.connections,
        visitors: args.visitors,
        events: args.events,
        seed: args.seed,
    };
    let report = new_runtime(args.threads.max(1))?.block_on(load(&settings))?;
    output::print_json(&report)
}
