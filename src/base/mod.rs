//! What all other folders use: errors, configuration files, intervals, clocks, ids, files, logs.

pub(crate) mod blocking;
pub mod clock;
pub mod config;
#[cfg(test)]
pub(crate) mod document_tables;
pub mod environment;
pub mod error;
pub mod failpoints;
pub mod fs;
pub mod ids;
pub mod interval;
pub mod location;
pub(crate) mod locked_folder;
pub mod long_tasks;
pub mod low_priority;
pub mod run_ids;
pub mod telemetry;
