//! What subcommands share: intervals, threads, and what committing needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use super::args::IntervalArgs;
use crate::commit::CommitSupplies;
use crate::error::{Error, Result};
use crate::interval::Interval;
use crate::pipeline::Pipeline;
use crate::store::{Environment, Stores};

/// The variable that says how long a publish of another process into an object store may take.
const PATIENCE_SECONDS: &str = "ASHIATO_PUBLISH_PATIENCE_SECONDS";
/// How long it may take if nothing is said.
const PATIENCE_SECONDS_DEFAULT: u64 = 15;
/// In builds for tests: the number of the act of a publish before which the process dies.
const TEST_KILL_AT: &str = "ASHIATO_TEST_KILL_AT";

/// The interval that the arguments say.
pub(super) fn resolve_interval(args: &IntervalArgs, pipeline: &Pipeline) -> Result<Interval> {
    match args {
        IntervalArgs { interval_start: Some(start), interval_end: Some(end), .. } => {
            Interval::parse(start, end)
        }
        IntervalArgs { date: Some(date), .. } => Interval::of_date(date, pipeline.time_zone),
        IntervalArgs { hour: Some(hour), .. } => Interval::of_hour(hour, pipeline.time_zone),
        _ => Err(Error::Usage(
            "no interval: expected --interval-start and --interval-end, --date or --hour"
                .to_owned(),
        )),
    }
}

/// The threads of asynchronous work.
pub(super) fn new_runtime(threads: usize) -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(|error| Error::Unavailable(format!("starting threads: {error}")))
}

/// What committing needs; to be asked on a runtime.
pub(super) fn new_commit_supplies(
    environment: &Environment,
    stores: &Stores,
) -> Result<CommitSupplies> {
    let seconds =
        environment.get(PATIENCE_SECONDS).map_or(Ok(PATIENCE_SECONDS_DEFAULT), |text| {
            text.parse().map_err(|_| {
                Error::config(format!(
                    "environment variable {PATIENCE_SECONDS}: expected seconds, found `{text}`"
                ))
            })
        })?;
    Ok(CommitSupplies {
        stores: stores.clone(),
        runtime: Handle::current(),
        patience: Duration::from_secs(seconds),
        before_act: before_act(environment),
    })
}

fn before_act(environment: &Environment) -> Arc<dyn Fn(&str) -> Result<()> + Send + Sync> {
    let kill_at: Option<u64> = match environment.get(TEST_KILL_AT) {
        Some(text) if cfg!(debug_assertions) => text.parse().ok(),
        _ => None,
    };
    let acts = AtomicU64::new(0);
    Arc::new(move |act| {
        tracing::debug!(act, "publishing");
        if Some(acts.fetch_add(1, Relaxed)) == kill_at {
            // As a power cut would: nothing is written, closed or flushed any more.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)
                .map_err(|error| Error::Bug(format!("dying for a test: {error}")))?;
        }
        Ok(())
    })
}
