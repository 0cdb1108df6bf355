//! `ashiato load`: traffic for a collector's trial.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::runtime::Builder;

use super::args::LoadArgs;
use super::collect::raise_file_limit;
use super::context::new_runtime;
use super::output;
use crate::base::clock::{SystemWallClock, WallClock};
use crate::base::error::{Error, Result};
use crate::tools::loadgen::{LoadSettings, load};

/// Connections that are opened at most, unless it is said how many.
const CONNECTIONS_MAX: usize = 10_000;

/// Makes traffic and prints how it was answered.
pub(super) fn run(args: &LoadArgs) -> Result<()> {
    let files = raise_file_limit();
    let most = files.map_or(CONNECTIONS_MAX, |files| {
        usize::try_from(files / 2).unwrap_or(usize::MAX).min(CONNECTIONS_MAX)
    });
    // Each answer takes some milliseconds; where they take longer, more are opened.
    let first = ((args.rate / 100.0).ceil() as usize).clamp(8, most.max(8));
    let settings = LoadSettings {
        target: address_of(&args.target)?,
        rate: args.rate,
        duration: args.duration,
        warm_up: args.warm_up,
        connections_first: args.connections.unwrap_or(first),
        connections_max: args.connections.unwrap_or(most),
        visitors: args.visitors.unwrap_or(args.rate.ceil() as usize),
        events: args.events,
        // Of a random id, the second half.
        seed: args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().1 >> 12),
        threads: args.threads,
    };
    let clock: Arc<dyn WallClock> = Arc::new(SystemWallClock);
    let runtime = match args.threads {
        // One thread that hands nothing over takes less of the machine that is on trial.
        0 | 1 => Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Unavailable(format!("making a runtime: {error}")))?,
        threads => new_runtime(threads)?,
    };
    let report = runtime.block_on(load(&settings, &clock))?;
    output::print_json(&report)?;
    if report.answered_rate > 0.0 {
        return Ok(());
    }
    Err(Error::Unavailable(format!("none of {} requests was taken", report.requests)))
}

/// The address of a host and a port: of several, the first one.
fn address_of(target: &str) -> Result<SocketAddr> {
    let bare = target.trim_start_matches("http://").trim_end_matches('/');
    let wrong = |found: &dyn std::fmt::Display| {
        Error::Usage(format!("`--target`: expected a host and a port, found `{target}`: {found}"))
    };
    let mut addresses = bare.to_socket_addrs().map_err(|error| wrong(&error))?;
    addresses.next().ok_or_else(|| wrong(&"it has no address"))
}
