//! The context of a subcommand: interval, threads, and what committing needs.

use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use super::args::IntervalArgs;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::interval::Interval;
use crate::base::location::StoreLocation;
use crate::base::run_ids::IntervalId;
use crate::commit::{Commit, CommitContext};
use crate::pipeline::Pipeline;
use crate::run::new_commit_context;

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

/// A pipeline's state, opened for a command that reads no logs.
pub(super) struct OpenedState {
    pub pipeline: Pipeline,
    /// What committing needs from the world.
    pub context: CommitContext,
    /// What the pipeline has published.
    pub commit: Commit,
    /// Drives the stores' requests.
    pub runtime: Runtime,
}

/// Threads of commands that wait for stores.
const STORE_THREADS: usize = 2;
/// Steps of tasks after which a server looks for what other threads woke.
const ANSWERS_INTERVAL: u32 = 3;

impl OpenedState {
    /// Reads the pipeline in a folder and opens its state.
    pub fn of(folder: &Path, environment: &Environment) -> Result<Self> {
        let pipeline = Pipeline::load(folder, environment)?;
        let stores = super::new_stores(environment)?;
        let runtime = new_runtime(STORE_THREADS)?;
        let context = {
            let _entered = runtime.enter();
            new_commit_context(environment, &stores)?
        };
        let state = StoreLocation::parse(&pipeline.state)?;
        let commit = Commit::open(context.clone(), &state, &pipeline.name)?;
        Ok(OpenedState { pipeline, context, commit, runtime })
    }

    /// The id of the interval that the arguments name.
    pub fn interval_of(&self, args: &IntervalArgs) -> Result<IntervalId> {
        Ok(resolve_interval(args, &self.pipeline)?.id())
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

/// The threads of a server, on which responses from other threads come before new requests.
pub(super) fn new_answering_runtime(threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    build(builder.worker_threads(threads).global_queue_interval(ANSWERS_INTERVAL))
}

fn build(builder: &mut Builder) -> Result<Runtime> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|error| Error::Unavailable(format!("starting threads: {error}")))
}
