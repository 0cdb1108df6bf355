//! `ashiato run`: a pipeline over one data interval; `ashiato publish`: what its shards wrote.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use chrono::Utc;
use indicatif::MultiProgress;
use tokio_util::sync::CancellationToken;

use super::args::{LogArgs, PublishArgs, RunArgs};
use super::output;
use super::signals::Stop;
use super::supplies::{new_commit_supplies, new_runtime, resolve_interval, temporary_folder};
use crate::base::environment::Environment;
use crate::base::error::{EXIT_NOTHING_TO_DO, Error, Result};
use crate::base::failpoints::Failpoints;
use crate::base::telemetry::{LogFormat, Progress, ProgressReporter, start_logs};
use crate::run::{
    RunContext, RunPlan, RunRequest, RunResult, Status, ThresholdsResult, execute, load_pipeline,
    plan_run, publish_shards,
};
use crate::scan::Shard;
use crate::store::Stores;

/// The variable that says what is logged.
pub(super) const LOG_VARIABLE: &str = "ASHIATO_LOG";
/// What work may still take to heed a signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// What a blocked thread may still take once the run has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// What is done with a plan.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// Its shard is read and written, and published if it is all of the input.
    Run,
    /// What it would do is printed.
    DryRun,
    /// What so many shards have written is published.
    Publish(u32),
}

/// What both commands take, and how they differ.
struct Order<'a> {
    task: Task,
    args: RunArgs,
    environment: &'a Environment,
}

/// Runs a pipeline and gives the exit code.
///
/// # Errors
/// What is wrong before the run begins; later errors are printed with the run's result.
pub(super) fn run(args: RunArgs, environment: &Environment) -> Result<u8> {
    let task = if args.dry_run { Task::DryRun } else { Task::Run };
    carry_out(&Order { task, args, environment })
}

/// Publishes what shards have written and gives the exit code.
///
/// # Errors
/// As for [`run`].
pub(super) fn publish(args: PublishArgs, environment: &Environment) -> Result<u8> {
    let PublishArgs { pipeline, interval, shards, allow_rejects, parameters, report, logs } = args;
    let args = RunArgs {
        pipeline,
        interval,
        parameters,
        dry_run: false,
        force: true,
        allow_rejects,
        shard: Shard::WHOLE,
        report,
        logs,
    };
    carry_out(&Order { task: Task::Publish(shards), args, environment })
}

fn carry_out(order: &Order<'_>) -> Result<u8> {
    let started = Instant::now();
    let Order { args, environment, .. } = order;
    let bars = MultiProgress::new();
    start_logging(&args.logs, environment, &bars);
    let report = args.report.as_deref().map(open_report).transpose()?;
    let planned = plan(args, environment);
    let planned = planned.and_then(|plan| Ok((plan, super::new_stores(environment)?)));
    let (plan, stores) = match planned {
        Ok(planned) => planned,
        Err(error) => {
            let mut result = RunResult::default();
            result.set_error(&error);
            print_result(args, report, &result, Some(&error))?;
            return Ok(error.exit_code());
        }
    };
    let runtime = new_runtime(plan.engine.threads)?;
    let mut result = new_result(&plan);
    let done = runtime.block_on(do_task(order, &plan, &stores, &bars, &mut result));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result.duration_ms = started.elapsed().as_millis() as u64;
    result.peak_memory_bytes = peak_memory_bytes();
    result.store = stores.meter().by_operation();
    if let Err(error) = &done {
        result.set_error(error);
    }
    print_result(args, report, &result, done.as_ref().err())?;
    Ok(match done {
        Err(error) => error.exit_code(),
        Ok(()) if result.status == Status::NothingToDo => EXIT_NOTHING_TO_DO,
        Ok(()) => 0,
    })
}

/// Opens the report before any work, so that a wrong path is found in time.
fn open_report(path: &Path) -> Result<File> {
    File::create(path)
        .map_err(|error| Error::Usage(format!("--report {}: {error}", path.display())))
}

/// Prints what went wrong, then the result, the very last line.
fn print_result(
    args: &RunArgs,
    report: Option<File>,
    result: &RunResult,
    error: Option<&Error>,
) -> Result<()> {
    match error {
        Some(error) if args.logs.log_format == LogFormat::Json => {
            tracing::error!(advice = error.advice(), "{error}");
        }
        Some(error) => output::print_error(error),
        None => {}
    }
    let line = output::to_json(result)? + "\n";
    let reported = report.map(|mut file| file.write_all(line.as_bytes())).transpose();
    output::print_json(result)?;
    reported.map_err(|error| Error::Unavailable(format!("writing the report: {error}")))?;
    Ok(())
}

/// Starts logging as flags and environment say.
pub(super) fn start_logging(args: &LogArgs, environment: &Environment, bars: &MultiProgress) {
    let default = if args.quiet { "warn" } else { "info" };
    let filter = environment.get(LOG_VARIABLE).unwrap_or(default);
    let color = std::io::stderr().is_terminal() && environment.get("NO_COLOR").is_none();
    start_logs(args.log_format, filter, color, bars);
}

fn plan(args: &RunArgs, environment: &Environment) -> Result<RunPlan> {
    let pipeline = Arc::new(load_pipeline(&args.pipeline, environment)?);
    let interval = resolve_interval(&args.interval, &pipeline)?;
    let request = RunRequest {
        parameters: args.parameters.clone(),
        attempt: uuid::Uuid::now_v7().simple().to_string(),
        shard: args.shard,
        force: args.force,
        allow_rejects: args.allow_rejects,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        temporary: temporary_folder(environment),
    };
    plan_run(pipeline, interval, request)
}

fn new_result(plan: &RunPlan) -> RunResult {
    RunResult {
        pipeline: plan.paths.pipeline.clone(),
        run_id: plan.run_id(),
        attempt: plan.paths.attempt.clone(),
        interval_start: plan.interval.start_rfc3339(),
        interval_end: plan.interval.end_rfc3339(),
        thresholds: Some(ThresholdsResult::of(plan)),
        ..RunResult::default()
    }
}

/// Works until the end or a signal, with progress.
async fn do_task(
    order: &Order<'_>,
    plan: &RunPlan,
    stores: &Stores,
    bars: &MultiProgress,
    result: &mut RunResult,
) -> Result<()> {
    let cancel = CancellationToken::new();
    let stop = Stop::watch(cancel.clone())?;
    let progress = Arc::new(Progress::default());
    let context = RunContext {
        stores: stores.clone(),
        commit: new_commit_supplies(order.environment, stores)?,
        progress: Arc::clone(&progress),
        cancel,
        publishing: Arc::default(),
        now: Utc::now(),
        failpoints: Failpoints::of(order.environment),
    };
    if let Task::DryRun = order.task {
        result.plan = Some(crate::run::describe_plan(plan, &context).await?);
        result.status = Status::Planned;
        return Ok(());
    }
    tracing::info!(run = plan.run_id(), attempt = plan.paths.attempt, "run starts");
    let LogArgs { log_format, quiet } = order.args.logs;
    let terminal = std::io::stderr().is_terminal() && !quiet && log_format == LogFormat::Text;
    let reporter = ProgressReporter::start(progress, bars, terminal);
    let done = tokio::select! {
        done = work(order.task, plan, &context, result) => done,
        () = out_of_patience(&context) => Err(Error::Unavailable("the run was stopped".into())),
    };
    reporter.stop();
    match (done, stop.signal()) {
        (Err(_), Some(signal)) => Err(Error::Stopped(signal)),
        (done, _) => {
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
    }
}

async fn work(
    task: Task,
    plan: &RunPlan,
    context: &RunContext,
    result: &mut RunResult,
) -> Result<()> {
    match task {
        Task::Publish(shards) => publish_shards(plan, context, shards, result).await,
        Task::Run | Task::DryRun => execute(plan, context, result).await,
    }
}

/// Comes some time after a signal, for work that does not heed it, but never while publishing.
async fn out_of_patience(context: &RunContext) {
    context.cancel.cancelled().await;
    tokio::time::sleep(STOP_TIMEOUT).await;
    if context.publishing.load(Relaxed) {
        std::future::pending::<()>().await;
    }
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
