//! A run: one execution of a pipeline over one interval.
//!
//! [`plan`] says what a run will do, without touching data; [`execute`] does it; [`report`] says
//! what became of it. [`Runner`] is what
//! others call.

mod account;
mod begin;
pub mod check;
mod context;
mod emptied;
pub mod execute;
mod layout;
mod listing;
mod lookups;
mod observer;
pub mod plan;
mod prepare;
mod provenance;
mod publish;
pub mod report;
mod runner;
mod shape;
mod shards;
mod stages;

pub use check::{check_pipeline, warnings_of};
pub use layout::own_tables;
pub use report::{RunResult, Status};
pub use runner::{RunControl, RunOptions, RunReport, Runner};
pub(crate) use runner::{new_commit_context, temporary_folder};

#[cfg(test)]
use {
    context::RunContext,
    execute::execute,
    plan::{RunRequest, plan_run},
};

#[cfg(test)]
#[path = "sql_fuzz/sql_fuzz_tests.rs"]
mod sql_fuzz;
#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
