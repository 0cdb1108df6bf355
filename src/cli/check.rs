//! `ashiato check`: everything that can be wrong with a pipeline, without touching data.

use std::io::Write;

use serde::Serialize;

use super::agreement::{Agreement, compare};
use super::args::CheckArgs;
use super::collect::check_config;
use super::output;
use crate::base::environment::Environment;
use crate::base::error::{Diagnostic, Error, Result};
use crate::pipeline::Pipeline;
use crate::run::{check_pipeline, warnings_of};

/// What was checked.
#[derive(Serialize)]
struct Checked {
    status: &'static str,
    pipeline: String,
    columns: usize,
    views: usize,
    outputs: usize,
    /// What is worth a look between it and a collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    collector_warnings: Option<Vec<String>>,
    /// What not all readers of its tables can take.
    warnings: Vec<String>,
}

/// What was found, for editors and CI.
#[derive(Serialize)]
struct Findings {
    /// `ok`, or `error` if there is one; warnings leave it `ok`.
    status: &'static str,
    findings: Vec<Finding>,
}

/// One finding and its place; what is not known is null.
#[derive(Serialize)]
struct Finding {
    file: Option<String>,
    /// From 1.
    line: Option<usize>,
    /// From 1, in characters.
    column: Option<usize>,
    message: String,
    help: Option<String>,
    /// `error` or `warning`.
    severity: &'static str,
}

/// A sound pipeline, and what is worth a look between it and a collector.
struct Sound {
    pipeline: Pipeline,
    collector_warnings: Option<Vec<String>>,
}

/// Checks a pipeline and prints what it consists of, or with `--json` what was found; gives the
/// exit code.
///
/// # Errors
/// `Error::Config` with everything that is wrong, unless that was printed as JSON.
pub(super) fn check(args: &CheckArgs, environment: &Environment) -> Result<u8> {
    let checked = check_all(args, environment);
    if args.json {
        return print_findings(args, checked);
    }
    let Sound { pipeline, collector_warnings } = checked?;
    if let Some(file) = &args.collector {
        for warning in collector_warnings.iter().flatten() {
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "warning: {}: {warning}", file.display());
        }
    }
    let warnings: Vec<String> = warnings_of(&pipeline).iter().map(ToString::to_string).collect();
    warnings.iter().for_each(|warning| output::print_warning(warning));
    output::print_json(&Checked {
        status: "ok",
        pipeline: pipeline.name,
        columns: pipeline.contract.columns.len(),
        views: pipeline.views.len(),
        outputs: pipeline.outputs.len(),
        collector_warnings,
        warnings,
    })?;
    Ok(0)
}

fn check_all(args: &CheckArgs, environment: &Environment) -> Result<Sound> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::Unavailable(format!("starting threads: {error}")))?;
    let stores = super::new_stores(environment)?;
    let pipeline = runtime.block_on(check_pipeline(&args.pipeline, &stores))?;
    let Some(file) = &args.collector else {
        return Ok(Sound { pipeline, collector_warnings: None });
    };
    let (collector, absent) = check_config(file, environment)?;
    let Agreement { faults, mut warnings } = compare(&pipeline, &collector)?;
    if !faults.is_empty() {
        return Err(Error::Config(faults));
    }
    // Who checks need not have the secrets that the collector runs with.
    let not_checked = |one: &Diagnostic| format!("the key was not checked: {}", one.message);
    warnings.extend(absent.iter().map(not_checked));
    Ok(Sound { pipeline, collector_warnings: Some(warnings) })
}

fn print_findings(args: &CheckArgs, checked: Result<Sound>) -> Result<u8> {
    let (status, code, findings) = match checked {
        Ok(sound) => {
            let of_tables = warnings_of(&sound.pipeline);
            let of_tables = of_tables.iter().map(|warning| Finding::of(warning, "warning"));
            let warnings = sound.collector_warnings.unwrap_or_default().into_iter();
            let of_collector = |warning: String| {
                let warning = Diagnostic::new(warning);
                match &args.collector {
                    Some(file) => Finding::of(&warning.in_file(file), "warning"),
                    None => Finding::of(&warning, "warning"),
                }
            };
            ("ok", 0, of_tables.chain(warnings.map(of_collector)).collect())
        }
        Err(error) => {
            let code = error.exit_code();
            let found = match error {
                Error::Config(found) => found,
                other => vec![Diagnostic::new(other.to_string())],
            };
            let findings = found.iter().map(|fault| Finding::of(fault, "error")).collect();
            ("error", code, findings)
        }
    };
    output::print_json(&Findings { status, findings })?;
    Ok(code)
}

impl Finding {
    fn of(diagnostic: &Diagnostic, severity: &'static str) -> Self {
        Finding {
            file: diagnostic.file.as_ref().map(|file| file.display().to_string()),
            line: diagnostic.place.map(|(line, _)| line),
            column: diagnostic.place.map(|(_, column)| column),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            severity,
        }
    }
}
