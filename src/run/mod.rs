//! A run: one execution of a pipeline over one interval.
//!
//! [`plan`] says what a run will do, without touching data; [`execute`] does it; [`report`] says
//! what became of it. [`load`] reads a pipeline's folder.

mod account;
mod begin;
pub mod check;
mod context;
mod emptied;
pub mod execute;
mod layout;
mod listing;
pub mod load;
mod lookups;
mod observer;
pub mod plan;
mod prepare;
mod provenance;
mod publish;
pub mod report;
mod shape;
mod shards;
mod stages;

pub use check::{check_pipeline, describe_plan, warnings_of};
pub use context::RunContext;
pub use execute::execute;
pub use layout::own_tables;
pub use load::load_pipeline;
pub use plan::{RunPlan, RunRequest, plan_run};
pub use report::{RunResult, Status, ThresholdsResult};
pub use shards::publish_shards;

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
