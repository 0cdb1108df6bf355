//! A pipeline's definition: typed, then resolved.
//!
//! Everything that can be checked without I/O is checked here, and every error found is reported.
//! One value carried through each step, `location = "${ASHIATO_OUT:-out}/events"` of an output:
//!
//! 1. `section`: a string with the place where it stands (`pipeline.toml:31:12`);
//! 2. `variables`: with `ASHIATO_OUT=/data` it becomes `/data/events`;
//! 3. `resolve_output`: the output has one format, so `/data/events` is the root of its one table
//!    (with two formats, `/data/events/parquet` and `/data/events/tsv`).

#[cfg(test)]
mod defaults_tests;
mod exclusive_keys;
mod load;
mod model;
mod output;
mod parameters;
mod resolve;
mod resolve_output;
mod source_names;
mod words;

pub(crate) use load::read_pipeline;
pub use model::*;
pub use output::*;
pub use parameters::{Parameter, ParameterType, ParameterValue};
pub use resolve::{BUILT_IN_PARAMETERS, LOGS, PipelineFiles, resolve_pipeline};
