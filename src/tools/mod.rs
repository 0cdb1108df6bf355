//! Tools for trials and benchmarks: synthetic logs, and traffic for a collector.

pub mod generate;
pub mod loadgen;
