//! `ashiato run`: a pipeline over one data interval; `ashiato publish`: what its shards wrote.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::MultiProgress;
use tokio::runtime::Runtime;

use super::args::{IntervalArgs, LogArgs, PublishArgs, RunArgs};
use super::context::{new_runtime, resolve_interval};
use super::output;
use super::signals::Stop;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::interval::Interval;
use crate::base::telemetry::{LogFormat, ProgressReporter, start_logs};
use crate::pipeline::Pipeline;
use crate::run::{RunControl, RunOptions, RunReport, Runner};

/// The variable that says what is logged.
pub(super) const LOG_VARIABLE: &str = "ASHIATO_LOG";
/// What a blocked thread may still take once the run has ended.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// What is done with a pipeline over an interval.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// Its shard is read and written, and published if it is all of the input.
    Run,
    /// What it would do is printed.
    DryRun,
    /// What so many shards have written is published.
    Publish(u32),
}

/// What both commands take.
struct Order<'a> {
    task: Task,
    pipeline: &'a Path,
    interval: &'a IntervalArgs,
    options: RunOptions,
    report: Option<&'a Path>,
    logs: &'a LogArgs,
    environment: &'a Environment,
}

/// Runs a pipeline and gives the exit code.
///
/// # Errors
/// What is wrong before the run begins; later errors are printed with the run's result.
pub(super) fn run(args: RunArgs, environment: &Environment) -> Result<u8> {
    carry_out(&Order {
        task: if args.dry_run { Task::DryRun } else { Task::Run },
        pipeline: &args.pipeline,
        interval: &args.interval,
        options: RunOptions {
            parameters: args.parameters,
            shard: args.shard,
            force: args.force,
            allow_rejects: args.allow_rejects,
            control: RunControl::default(),
        },
        report: args.report.as_deref(),
        logs: &args.logs,
        environment,
    })
}

/// Publishes what shards have written and gives the exit code.
///
/// # Errors
/// As for [`run`].
pub(super) fn publish(args: PublishArgs, environment: &Environment) -> Result<u8> {
    carry_out(&Order {
        task: Task::Publish(args.shards),
        pipeline: &args.pipeline,
        interval: &args.interval,
        options: RunOptions {
            parameters: args.parameters,
            allow_rejects: args.allow_rejects,
            ..RunOptions::default()
        },
        report: args.report.as_deref(),
        logs: &args.logs,
        environment,
    })
}

fn carry_out(order: &Order<'_>) -> Result<u8> {
    let bars = MultiProgress::new();
    start_logging(order.logs, order.environment, &bars);
    let file = order.report.map(open_report).transpose()?;
    let report = match begin(order) {
        Ok((pipeline, interval, runner, runtime)) => {
            let run = watch(order, &runner, &pipeline, interval, &bars);
            let report = runtime.block_on(run);
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
            report
        }
        Err(error) => RunReport::not_begun(error),
    };
    print_report(order.logs, file, &report)?;
    Ok(report.exit_code())
}

/// What the run needs before it begins.
fn begin(order: &Order<'_>) -> Result<(Pipeline, Interval, Runner, Runtime)> {
    let pipeline = Pipeline::load(order.pipeline, order.environment)?;
    let interval = resolve_interval(order.interval, &pipeline)?;
    let runner = Runner::new(order.environment.clone())?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = new_runtime(pipeline.resources.threads.unwrap_or(cores))?;
    Ok((pipeline, interval, runner, runtime))
}

/// Opens the report before any work, so that a wrong path is found in time.
fn open_report(path: &Path) -> Result<File> {
    File::create(path)
        .map_err(|error| Error::Usage(format!("--report {}: {error}", path.display())))
}

/// Prints what went wrong, then the result, the very last line.
fn print_report(logs: &LogArgs, file: Option<File>, report: &RunReport) -> Result<()> {
    match &report.error {
        Some(error) if logs.log_format == LogFormat::Json => {
            tracing::error!(advice = error.advice(), "{error}");
        }
        Some(error) => output::print_error(error),
        None => {}
    }
    let line = output::to_json(&report.result)? + "\n";
    let reported = file.map(|mut file| file.write_all(line.as_bytes())).transpose();
    output::print_json(&report.result)?;
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

/// Runs until the end or a signal, with progress.
async fn watch(
    order: &Order<'_>,
    runner: &Runner,
    pipeline: &Pipeline,
    interval: Interval,
    bars: &MultiProgress,
) -> RunReport {
    let control = RunControl::default();
    let stop = match Stop::watch(control.cancel.clone()) {
        Ok(stop) => stop,
        Err(error) => return RunReport::not_begun(error),
    };
    let options = RunOptions { control: control.clone(), ..order.options.clone() };
    let run = async {
        match order.task {
            Task::Run => runner.run(pipeline, interval, options).await,
            Task::DryRun => runner.plan(pipeline, interval, options).await,
            Task::Publish(shards) => runner.publish(pipeline, interval, shards, options).await,
        }
    };
    let LogArgs { log_format, quiet } = *order.logs;
    let terminal = std::io::stderr().is_terminal() && !quiet && log_format == LogFormat::Text;
    let is_told = !matches!(order.task, Task::DryRun);
    let progress = Arc::clone(&control.progress);
    let reporter = is_told.then(|| ProgressReporter::start(progress, bars, terminal));
    let report = run.await;
    reporter.into_iter().for_each(ProgressReporter::stop);
    match stop.signal() {
        Some(signal) if report.error.is_some() => report.stopped_by(Error::Stopped(signal)),
        _ => report,
    }
}
