//! Ashiato (足跡, footprints): behaviour logs in, tables out.
//!
//! # The data's way
//!
//! ```text
//! list ─► read ─► decompress ─► frame lines ─► decode ─┬─► transform (SQL) ─► expect ─┐
//!                                                      │                       │      │
//!                               quarantine ◄───────────┴────── rejects ────────┘      │
//!                                              report ◄─ publish ◄─ stage ◄─ sink ◄───┘
//! ```
//!
//! Data goes one way. Each arrow is a folder; no folder knows the next one. They meet in
//! [`run::execute()`], which tells the whole run on one screen.
//!
//! # Invariants
//!
//! 1. Nothing is lost, nothing is twice: every input line ends as decoded, rejected or blank, and
//!    the run's result proves it.
//! 2. A reader never sees half a run: files become visible only at publish, `_SUCCESS` comes last.
//! 3. The same run twice gives the same table: a rerun replaces what its interval wrote before,
//!    and only that. No file name is ever used again for other bytes.
//! 4. Memory is bounded by configuration, not by input.
//! 5. Bad input is data, not an error: it lies in the quarantine, byte for byte.
//! 6. Errors are for the reader: what was done to which object, expected, found, what to do.
//! 7. Clocks, ids and randomness come in as arguments.
//! 8. stdout is for machines: its last line is the run's result.
//!
//! # The modules, in reading order
//!
//! [`error`], [`config`] and [`interval`] are words that all others use. [`contract`] and
//! [`pipeline`] say what is to be done, as plain values. [`source`] finds and reads objects,
//! [`decode`] makes rows of their lines (with [`json`]), [`quarantine`] keeps the lines that are
//! none. [`enrich`] knows taxes, places and browsers, [`udf`] makes SQL functions of that, and
//! [`transform`] runs the SQL. [`sink`] writes files, [`commit`] publishes them, [`store`] names
//! them. [`run`] tells the story, [`telemetry`] shows it, [`cli`] starts it.
//!
//! Before there are logs there are browsers: the [`collector`] takes their events, [`visits`] says
//! whose they are and what led to them, and the [`spool`] keeps them until they have landed. For
//! trials, [`load`] plays the browsers.
#![warn(missing_docs)]

pub mod base;
pub mod cli;
pub mod collector;
pub mod commit;
pub mod contract;
pub mod decode;
pub mod enrich;
pub mod json;
pub mod pipeline;
pub mod quarantine;
pub mod query;
pub mod run;
pub mod scan;
pub mod sink;
pub mod store;
pub mod tools;
pub mod udf;
