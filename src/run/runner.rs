//! Runs pipelines: what a program that embeds Ashiato calls, and the command line as well.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::check::describe_plan;
use super::context::RunContext;
use super::execute::execute;
use super::plan::{RunPlan, RunRequest, plan_run};
use super::report::{RunResult, Status, ThresholdsResult};
use super::shards::publish_shards;
use crate::base::clock::SystemClock;
use crate::base::environment::Environment;
use crate::base::error::{EXIT_NOTHING_TO_DO, Error, Result};
use crate::base::failpoints::Failpoints;
use crate::base::interval::Interval;
use crate::base::run_ids::AttemptId;
use crate::base::telemetry::Progress;
use crate::commit::{CommitContext, kill_at_failpoint};
use crate::pipeline::Pipeline;
use crate::scan::Shard;
use crate::store::Stores;

/// The variable that says how long a publish of another process into an object store may take.
const PATIENCE_SECONDS: &str = "ASHIATO_PUBLISH_PATIENCE_SECONDS";
/// How long it may take if nothing is said.
const PATIENCE_SECONDS_DEFAULT: u64 = 15;
/// What work may still take to heed that the run is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs pipelines over data intervals, with the stores that an environment gives access to.
///
/// ```no_run
/// use ashiato::{Environment, Interval, Pipeline, RunOptions, Runner};
///
/// # async fn run() -> ashiato::Result<()> {
/// let environment = Environment::new(std::env::vars_os());
/// let pipeline = Pipeline::load("sql/action_log".as_ref(), &environment)?;
/// let day = Interval::of_date("2026-11-21", pipeline.time_zone)?;
/// let report = Runner::new(environment)?.run(&pipeline, day, RunOptions::default()).await;
/// println!("{:?}: {} lines", report.result.status, report.result.lines);
/// report.into_result().map(|_| ())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Runner {
    stores: Stores,
}

/// How a run differs from a plain one.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Values of the pipeline's parameters, each as `NAME=VALUE`.
    pub parameters: Vec<String>,
    /// The part of the input that is read. The files of a part wait for [`Runner::publish`].
    pub shard: Shard,
    /// Whether to run even if the tables are published already as this run would make them.
    pub force: bool,
    /// Whether to publish however much is rejected.
    pub allow_rejects: bool,
    /// Watches the run, and stops it.
    pub control: RunControl,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            parameters: Vec::new(),
            shard: Shard::WHOLE,
            force: false,
            allow_rejects: false,
            control: RunControl::default(),
        }
    }
}

/// Watches a run from outside, and stops it.
#[derive(Debug, Clone, Default)]
pub struct RunControl {
    /// Raised as the work goes on.
    pub progress: Arc<Progress>,
    /// Stops the run, up to the moment at which it publishes.
    pub cancel: CancellationToken,
    pub(super) publishing: Arc<AtomicBool>,
}

/// What became of a run: always a result, and the error that stopped it, if one did.
#[derive(Debug)]
pub struct RunReport {
    /// What was read, written and published, with time, memory and what was asked of stores.
    pub result: RunResult,
    /// What stopped the run.
    pub error: Option<Error>,
}

impl RunReport {
    /// Of a run that could not begin.
    pub fn not_begun(error: Error) -> Self {
        let mut result = RunResult::default();
        result.set_error(&error);
        RunReport { result, error: Some(error) }
    }

    /// The same, with an error that stopped the run from outside, as a signal does.
    pub fn stopped_by(mut self, error: Error) -> Self {
        self.result.set_error(&error);
        self.error = Some(error);
        self
    }

    /// The exit code of a process that has done nothing else.
    pub fn exit_code(&self) -> u8 {
        match &self.error {
            Some(error) => error.exit_code(),
            None if self.result.status == Status::NothingToDo => EXIT_NOTHING_TO_DO,
            None => 0,
        }
    }

    /// The result, or the error that stopped the run.
    ///
    /// # Errors
    /// [`RunReport::error`], if there is one.
    pub fn into_result(self) -> Result<RunResult> {
        self.error.map_or(Ok(self.result), Err)
    }
}

/// What is done with a plan.
#[derive(Debug, Clone, Copy)]
enum Task {
    Run,
    DryRun,
    Publish { shards: u32 },
}

impl Runner {
    /// A runner whose stores take credentials and endpoints from `environment`.
    ///
    /// # Errors
    /// [`Error::Config`] if a variable of Ashiato's own cannot be read.
    pub fn new(environment: Environment) -> Result<Self> {
        // Of an id, the second half is random.
        let (_, seed) = uuid::Uuid::now_v7().as_u64_pair();
        Ok(Runner { stores: Stores::new(environment, Arc::new(SystemClock::default()), seed)? })
    }

    /// Reads the interval's objects, and writes and publishes the pipeline's tables.
    pub async fn run(
        &self,
        pipeline: &Pipeline,
        interval: Interval,
        options: RunOptions,
    ) -> RunReport {
        self.carry_out(Task::Run, pipeline, interval, options).await
    }

    /// Says what [`Runner::run`] would do, in the result's `plan`.
    pub async fn plan(
        &self,
        pipeline: &Pipeline,
        interval: Interval,
        options: RunOptions,
    ) -> RunReport {
        self.carry_out(Task::DryRun, pipeline, interval, options).await
    }

    /// Publishes what the shards of a run have written, each in a call or a process of its own.
    pub async fn publish(
        &self,
        pipeline: &Pipeline,
        interval: Interval,
        shards: u32,
        options: RunOptions,
    ) -> RunReport {
        self.carry_out(Task::Publish { shards }, pipeline, interval, options).await
    }

    async fn carry_out(
        &self,
        task: Task,
        pipeline: &Pipeline,
        interval: Interval,
        options: RunOptions,
    ) -> RunReport {
        let started = Instant::now();
        let environment = self.stores.environment();
        let request = RunRequest {
            parameters: options.parameters,
            attempt: AttemptId::new(uuid::Uuid::now_v7().simple().to_string()),
            shard: options.shard,
            // A publish of shards is asked for, whatever was published before.
            force: options.force || matches!(task, Task::Publish { .. }),
            allow_rejects: options.allow_rejects,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            temporary: temporary_folder(environment),
        };
        let planned = plan_run(Arc::new(pipeline.clone()), interval, request);
        let (plan, context) = match planned.and_then(|plan| {
            let context = self.context(options.control)?;
            Ok((plan, context))
        }) {
            Ok(planned) => planned,
            Err(error) => return RunReport::not_begun(error),
        };
        let mut result = new_result(&plan);
        let done = tokio::select! {
            done = do_task(task, &plan, &context, &mut result) => done,
            () = stop_overdue(&context) => Err(Error::Unavailable("the run was stopped".into())),
        };
        result.duration_ms = started.elapsed().as_millis() as u64;
        result.peak_memory_bytes = peak_memory_bytes();
        result.store = self.stores.meter().by_operation();
        if let Err(error) = &done {
            result.set_error(error);
        }
        RunReport { result, error: done.err() }
    }

    fn context(&self, control: RunControl) -> Result<RunContext> {
        Ok(RunContext {
            stores: self.stores.clone(),
            commit: new_commit_context(self.stores.environment(), &self.stores)?,
            progress: control.progress,
            cancel: control.cancel,
            publishing: control.publishing,
            now: Utc::now(),
            failpoints: Failpoints::of(self.stores.environment()),
        })
    }
}

/// Comes some time after a stop was asked for, for work that does not heed it, but never while
/// publishing.
async fn stop_overdue(context: &RunContext) {
    context.cancel.cancelled().await;
    tokio::time::sleep(STOP_TIMEOUT).await;
    if context.publishing.load(Relaxed) {
        std::future::pending::<()>().await;
    }
}

async fn do_task(
    task: Task,
    plan: &RunPlan,
    context: &RunContext,
    result: &mut RunResult,
) -> Result<()> {
    if let Task::DryRun = task {
        result.plan = Some(describe_plan(plan, context).await?);
        result.status = Status::Planned;
        return Ok(());
    }
    tracing::info!(run = plan.run_id(), attempt = %plan.key.attempt, "run starts");
    let done = match task {
        Task::Publish { shards } => publish_shards(plan, context, shards, result).await,
        Task::Run | Task::DryRun => execute(plan, context, result).await,
    };
    tracing::info!(
        run = plan.run_id(),
        lines = result.lines,
        decoded = result.decoded,
        rejected = result.rejected,
        ok = done.is_ok(),
        "run ends"
    );
    done
}

fn new_result(plan: &RunPlan) -> RunResult {
    RunResult {
        pipeline: plan.pipeline.name.clone(),
        run_id: plan.run_id(),
        attempt: plan.key.attempt.to_string(),
        interval_start: plan.interval.start_rfc3339(),
        interval_end: plan.interval.end_rfc3339(),
        thresholds: Some(ThresholdsResult::of(plan)),
        ..RunResult::default()
    }
}

/// The machine's folder for temporary files.
pub(crate) fn temporary_folder(environment: &Environment) -> PathBuf {
    environment.get("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}

/// What committing needs; to be asked on a runtime.
pub(crate) fn new_commit_context(
    environment: &Environment,
    stores: &Stores,
) -> Result<CommitContext> {
    let seconds =
        environment.get(PATIENCE_SECONDS).map_or(Ok(PATIENCE_SECONDS_DEFAULT), |text| {
            text.parse().map_err(|_| {
                Error::config(format!(
                    "environment variable {PATIENCE_SECONDS}: expected seconds, found `{text}`"
                ))
            })
        })?;
    Ok(CommitContext {
        stores: stores.clone(),
        runtime: Handle::current(),
        patience: Duration::from_secs(seconds),
        failpoint: kill_at_failpoint(Failpoints::of(environment)),
    })
}

/// The largest resident set of this process, in bytes: on Linux its own `VmHWM`, for getrusage(2)
/// also counts what the process that started it had.
fn peak_memory_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    let counted = || getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss().max(0));
    own.unwrap_or_else(|| counted().unsigned_abs()) * 1024
}
