//! `ashiato check`: everything that can be wrong with a pipeline, without touching data.

use serde::Serialize;

use super::args::CheckArgs;
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
    output::print_json(&Checked {
        status: "ok",
        pipeline: pipeline.name,
        columns: pipeline.contract.columns.len(),
        views: pipeline.views.len(),
        outputs: pipeline.outputs.len(),
    })
}
