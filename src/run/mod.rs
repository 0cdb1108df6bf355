//! A run: one execution of a pipeline over one interval.
//!
//! [`plan`] says what a run will do, without touching data; [`execute`] does it; [`report`] says
//! what became of it. [`load`] reads a pipeline's folder.

mod account;
pub mod check;
pub mod execute;
pub mod load;
mod lookups;
pub mod plan;
mod publish;
pub mod report;
mod stages;
mod witness;

pub use check::{check_pipeline, describe_plan};
pub use execute::{RunSupplies, execute};
pub use load::load_pipeline;
pub use plan::{RunPlan, plan_run};
pub use report::{RunResult, Status};
