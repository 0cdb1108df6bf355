//! `ashiato check`: everything that can be wrong with a pipeline, without touching data.

use serde::Serialize;

use super::agreement::{Agreement, compare};
use super::args::CheckArgs;
use super::collect::read_config;
use super::output;
use crate::error::{Error, Result};
use crate::run::check_pipeline;
use crate::store::Environment;

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
}

/// Checks a pipeline and prints what it consists of.
///
/// # Errors
/// `Error::Config` with everything that is wrong.
pub(super) fn check(args: &CheckArgs, environment: &Environment) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::Unavailable(format!("starting threads: {error}")))?;
    let stores = super::new_stores(environment)?;
    let pipeline = runtime.block_on(check_pipeline(&args.pipeline, &stores))?;
    let mut collector_warnings = None;
    if let Some(file) = &args.collector {
        let collector = read_config(Some(file), environment)?;
        let Agreement { faults, warnings } = compare(&pipeline, &collector)?;
        if !faults.is_empty() {
            return Err(Error::Config(faults));
        }
        for warning in &warnings {
            eprintln!("warning: {}: {warning}", file.display());
        }
        collector_warnings = Some(warnings);
    }
    output::print_json(&Checked {
        status: "ok",
        pipeline: pipeline.name,
        columns: pipeline.contract.columns.len(),
        views: pipeline.views.len(),
        outputs: pipeline.outputs.len(),
        collector_warnings,
    })
}
