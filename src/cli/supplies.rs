//! What subcommands share: intervals, threads, and what committing needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use super::args::IntervalArgs;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::failpoints::Failpoints;
use crate::base::interval::Interval;
use crate::base::location::StoreLocation;
use crate::commit::{BeforeAct, CommitSupplies, State};
use crate::pipeline::Pipeline;
use crate::run::load_pipeline;
use crate::store::Stores;
use crate::store::paths::RunPaths;

/// The variable that says how long a publish of another process into an object store may take.
const PATIENCE_SECONDS: &str = "ASHIATO_PUBLISH_PATIENCE_SECONDS";
/// How long it may take if nothing is said.
const PATIENCE_SECONDS_DEFAULT: u64 = 15;

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

/// The machine's folder for temporary files.
pub(super) fn temporary_folder(environment: &Environment) -> PathBuf {
    environment.get("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}

/// A pipeline's state, opened for a command that reads no logs.
pub(super) struct OpenedState {
    pub pipeline: Pipeline,
    pub commit: CommitSupplies,
    pub state: State,
    /// Drives the stores' requests.
    _runtime: Runtime,
}

/// Threads of commands that wait for stores.
const STORE_THREADS: usize = 2;
/// Steps of tasks after which a server looks for what other threads woke.
const ANSWERS_INTERVAL: u32 = 3;

impl OpenedState {
    /// Reads the pipeline in a folder and opens its state.
    pub fn of(folder: &Path, environment: &Environment) -> Result<Self> {
        let pipeline = load_pipeline(folder, environment)?;
        let stores = super::new_stores(environment)?;
        let runtime = new_runtime(STORE_THREADS)?;
        let commit = {
            let _entered = runtime.enter();
            new_commit_supplies(environment, &stores)?
        };
        let state = commit.open_state(&StoreLocation::parse(&pipeline.state)?)?;
        Ok(OpenedState { pipeline, commit, state, _runtime: runtime })
    }

    /// The names of an interval's documents.
    pub fn paths_of(&self, args: &IntervalArgs) -> Result<RunPaths> {
        Ok(self.paths(&resolve_interval(args, &self.pipeline)?.id()))
    }

    /// The names of the pipeline's documents.
    pub fn paths(&self, interval: &str) -> RunPaths {
        let (pipeline, interval) = (self.pipeline.name.clone(), interval.to_owned());
        RunPaths { pipeline, interval, attempt: String::new() }
    }
}

/// The threads of asynchronous work.
pub(super) fn new_runtime(threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    build(builder.worker_threads(threads).thread_stack_size(STACK_BYTES))
}

/// Bytes of a thread's stack, of which only what is used takes memory: expressions are evaluated
/// recursively, and conditions are as deep as there are many of them.
const STACK_BYTES: usize = 32 << 20;

/// The threads of a server, on which answers from other threads come before new requests.
pub(super) fn new_answering_runtime(threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    build(builder.worker_threads(threads).global_queue_interval(ANSWERS_INTERVAL))
}

fn build(builder: &mut Builder) -> Result<Runtime> {
    let runtime = builder.enable_all().build();
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

fn before_act(environment: &Environment) -> BeforeAct {
    let kill_at = Failpoints::of(environment).kill_at;
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
