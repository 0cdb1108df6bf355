//! The engine: `logs` and reference tables → views from SQL files → expectations → sinks.
//!
//! One value carried through each step, for `sql/clicks.sql` = `SELECT at, url FROM logs`:
//!
//! 1. `logs_table` makes batches of the contract's columns and `_source, _line, _offset` the table
//!    `logs`;
//! 2. `views` plans `clicks.sql` as the view `clicks`, `$name` bound to typed literals;
//! 3. `outputs` plans the output that writes `clicks`, its expectations as columns after its own;
//! 4. `evaluation` makes rows that this plan fails on rejects;
//! 5. [`Engine::query`] runs the plan: [`OutputRows`] gives its rows, a batch at a time.

mod bounded_aggregates;
mod bounded_functions;
mod comparisons;
mod engine;
pub(crate) mod engine_errors;
pub(crate) mod evaluation;
mod expanded_size;
pub(crate) mod expect;
mod json_values;
mod logs_table;
mod memory;
mod output_rows;
mod outputs;
mod parameters;
mod planning_stack;
mod recursion;
mod reference_rows;
mod references;
pub(crate) mod rejected_rows;
mod result_sizes;
mod slices;
mod spill;
mod sql_clauses;
mod sql_error;
mod sql_signatures;
mod sql_syntax;
mod type_kinds;
mod views;

pub use engine::{Engine, EngineSettings};
pub use engine_errors::check_spill_folder;
pub use evaluation::{EvaluatedRows, EvaluationCounts};
pub use expect::ExpectationCounts;
pub use logs_table::{LogsFeed, share_logs};
pub use output_rows::OutputRows;
pub use outputs::{PlannedOutput, Storage};
pub use parameters::ParameterValues;
pub use spill::SpillFolder;
