//! The engine: `logs` and reference tables → views from SQL files → expectations → sinks.
//!
//! One value carried through each step, for `sql/clicks.sql` = `SELECT at, url FROM logs`:
//!
//! 1. [`scan`] reads objects into batches of the contract's columns and `_source, _line, _offset`;
//! 2. [`logs_table`] makes them the table `logs`;
//! 3. `views` plans `clicks.sql` as the view `clicks`, `$name` bound to typed literals;
//! 4. `outputs` plans the output that writes `clicks`, its expectations as columns behind it, and
//!    `evaluation` makes rows that it fails on rejects;
//! 5. [`sink_exec`] runs that plan, rejects rows that must not be written and writes the others.

mod bounded_functions;
mod comparisons;
mod engine;
mod engine_errors;
mod evaluation;
mod expect;
mod logs_table;
mod long_tasks;
mod memory;
mod origin;
mod outputs;
mod parameters;
mod planning_stack;
mod read_ahead;
mod reference_rows;
mod references;
mod rejected_rows;
mod scan;
mod sink_exec;
mod slices;
mod split;
mod sql_clauses;
mod sql_error;
mod sql_signatures;
mod sql_syntax;
mod unfit_rows;
mod views;

pub use engine::{Engine, EngineSettings};
pub use engine_errors::check_spill_folder;
pub use evaluation::EvaluationCounts;
pub use expect::ExpectationCounts;
pub use logs_table::{LogBatches, LogsFeed};
pub use outputs::PlannedOutput;
pub use parameters::ParameterValues;
pub use scan::{LogScan, ObjectTally, ScanWitness, UnreadableObject, logs_schema};
pub use sink_exec::{SinkRecord, SinkSupplies};
