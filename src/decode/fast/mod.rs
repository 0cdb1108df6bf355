//! The fast path: lines that it understands fully become rows; all others are unhandled.
//!
//! ```text
//! table    blocks, lines, windows of UTF-8; rows and unhandled lines  begin here
//! record   one record: key, value, key, value …
//!   short    the commonest of them, in a row
//!   keys     which key comes next, and what its value is for (`plan` made that of the contract)
//!   scalars, number, time, text, lists, skip    values
//! columns  where values go; `arrays` makes Arrow arrays of them
//! ```

mod arrays;
mod columns;
mod forms;
mod keys;
mod plan;
mod record;
mod scalars;
mod short;
mod table;
mod time;
mod unknown;

pub(super) use table::{Outcome, Table};
