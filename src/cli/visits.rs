//! `ashiato visits`: moves visits from one store to another while a collector runs.

use std::io::IsTerminal;
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::args::{VisitsArgs, VisitsCommand};
use super::collect::read_config;
use super::context::new_runtime;
use super::output;
use crate::base::environment::Environment;
use crate::base::error::Result;
use crate::collector::{ControlRequest, ask_control};

/// How often progress is written to a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Asks the collector that runs with the configuration, and prints its answer; 65 if a report says
/// that the next phase is not safe.
pub(super) fn visits(args: &VisitsArgs, environment: &Environment) -> Result<u8> {
    let mut config = read_config(args.config.as_deref(), environment)?;
    if let Some(data) = &args.data {
        config.data.clone_from(data);
    }
    let request = match &args.command {
        VisitsCommand::Status => ControlRequest::Status,
        VisitsCommand::Phase { phase, force } => {
            ControlRequest::Phase { phase: *phase, force: *force }
        }
        VisitsCommand::Backfill { restart, back } => {
            ControlRequest::Backfill { restart: *restart, back: *back }
        }
        VisitsCommand::Report => ControlRequest::Report,
    };
    let mut shown = Shown::new();
    let answer = new_runtime(1)?
        .block_on(ask_control(&config.data, &request, |progress| shown.show(progress)))?;
    shown.bar.finish_and_clear();
    output::print_json(&answer)?;
    let unsafe_report = request == ControlRequest::Report && answer["safe"] != true;
    Ok(if unsafe_report { crate::base::error::Error::Data(String::new()).exit_code() } else { 0 })
}

/// Progress on a terminal, or now and then a line.
struct Shown {
    bar: ProgressBar,
    began: Instant,
    line: Instant,
}

impl Shown {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::default_spinner());
        Shown { bar, began: Instant::now(), line: Instant::now() }
    }

    fn show(&mut self, progress: &Value) {
        let (records, copied) = (&progress["records"], &progress["copied"]);
        let count = records.as_u64().unwrap_or(0);
        let rate = count as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
        let text = format!(
            "{} records, {} copied, {} records/s",
            HumanCount(count),
            HumanCount(copied.as_u64().unwrap_or(0)),
            HumanCount(rate as u64)
        );
        if std::io::stderr().is_terminal() {
            self.bar.set_message(text);
            self.bar.tick();
        } else if self.line.elapsed() > LINE_EVERY {
            self.line = Instant::now();
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}
