//! The fast path: lines that it understands fully become rows; all others are odd.
//!
//! ```text
//! table    blocks, lines, windows of UTF-8; rows and odd lines        begin here
//! record   one record: key, value, key, value …
//!   short    the commonest of them, in a row
//!   keys     which key comes next, and what its value is for (`plan` made that of the contract)
//!   scalars, number, time, text, lists, skip    values
//! skim     an object that is passed on as it is, for who needs a few of its members
//! columns  where values go; `arrays` makes Arrow arrays of them
//! cpu      the machine's vector instructions
//! ```

mod arrays;
mod columns;
mod cpu;
mod input;
mod keys;
mod lists;
mod number;
mod plan;
mod record;
mod scalars;
mod short;
mod skim;
mod skip;
mod table;
mod text;
mod time;
mod unknown;

pub use cpu::Cpu;
pub use skim::{SKIM_PADDING, Span, skim};
pub(super) use table::{Outcome, Table};
