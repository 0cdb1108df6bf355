//! The contract: the agreed shape of a log record.
//!
//! A contract flattens: each column names the JSON path (or paths, the first present wins) that it
//! is read from, so that what no column names is skipped, not built.

mod model;

pub use model::*;
