//! `ashiato distcp`: a published interval's way to another cluster.

use std::time::Instant;

use indicatif::MultiProgress;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::DistcpArgs;
use super::context::OpenedState;
use super::output;
use super::run::start_logging;
use super::signals::Stop;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::run_ids::IntervalId;
use crate::store::{CopyTarget, Hadoop};

/// Copies an interval, or prints the script that does; then what came of it as one line of JSON.
/// Gives the exit code.
///
/// A script is printed in any case: one that cannot be planned fails as this does, so that a pipe
/// into bash does not end well.
///
/// # Errors
/// Only if stdout is gone.
pub(super) fn distcp(args: &DistcpArgs, environment: &Environment) -> Result<u8> {
    start_logging(&args.logs, environment, &MultiProgress::new());
    let done = if args.run { copy(args, environment) } else { plan(args, environment) };
    match done {
        Ok(result) => {
            output::print_json(&result)?;
            Ok(0)
        }
        Err(error) => {
            output::print_error_with(&error, advice(&error));
            let code = error.exit_code();
            if !args.run {
                output::print_line(&format!("exit {code}"))?;
            }
            let error = error.to_string();
            output::print_json(&json!({ "status": "failed", "exit_code": code, "error": error }))?;
            Ok(code)
        }
    }
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::Stopped(_) => "the target has no _SUCCESS until a retry has completed the copy",
        Error::Data(_) => "run the interval again, then copy it",
        Error::Config(_) => "fix the target, the pipeline or the set-up; a retry will not help",
        other => other.advice(),
    }
}

fn plan(args: &DistcpArgs, environment: &Environment) -> Result<Value> {
    let target = CopyTarget::parse(&args.target, environment)?;
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let interval = opened.interval_of(&args.interval)?;
    let planned = opened.commit.hand_off(&interval, &target)?;
    output::print_line(&planned.script)?;
    result_of("planned", &opened, &interval, &planned)
}

fn copy(args: &DistcpArgs, environment: &Environment) -> Result<Value> {
    let started = Instant::now();
    let target = CopyTarget::parse(&args.target, environment)?;
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let interval = opened.interval_of(&args.interval)?;
    let cancel = CancellationToken::new();
    let stop = {
        let _entered = opened.runtime.enter();
        Stop::watch(cancel.clone())?
    };
    let hadoop = Hadoop::new(cancel);
    let copied = opened.commit.copy_interval(&interval, &target, &hadoop);
    let copied = match (copied, stop.signal()) {
        (Err(_), Some(signal)) => Err(Error::Stopped(signal)),
        (copied, _) => copied,
    }?;
    let status = if copied.is_changed { "copied" } else { "already_copied" };
    let mut result = result_of(status, &opened, &interval, &copied)?;
    result["duration_ms"] = json!(started.elapsed().as_millis() as u64);
    Ok(result)
}

fn result_of(
    status: &str,
    opened: &OpenedState,
    interval: &IntervalId,
    what: &impl Serialize,
) -> Result<Value> {
    let mut result = json!({
        "status": status,
        "pipeline": opened.pipeline.name,
        "interval": interval,
    });
    let more = serde_json::to_value(what);
    let more = more.map_err(|error| Error::Bug(format!("writing a result as JSON: {error}")))?;
    if let (Value::Object(result), Value::Object(more)) = (&mut result, more) {
        result.extend(more);
    }
    Ok(result)
}
