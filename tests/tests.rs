//! The only integration binary: each further one would link DataFusion again.
//!
//! `promises_*` say what users may rely on, each through the real binary.
mod architecture;
mod promises_acknowledged;
mod promises_browser;
mod promises_check;
mod promises_clauses;
mod promises_collector;
mod promises_collector_costs;
mod promises_collector_faults;
mod promises_collector_goes_on;
mod promises_copy;
mod promises_crash;
mod promises_examples;
mod promises_exit_codes;
mod promises_handoff;
mod promises_late;
mod promises_limits;
mod promises_names;
mod promises_numbers;
mod promises_objects;
mod promises_output;
mod promises_owner;
mod promises_privacy;
mod promises_quarantine;
mod promises_rerun;
mod promises_safe;
mod promises_source;
mod promises_sql;
mod promises_stop;
mod promises_stores;
mod promises_tables;
mod promises_values;
mod promises_visitor;
mod promises_visits;
mod slt;
mod support;
