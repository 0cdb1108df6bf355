//! The fast path: lines that it understands fully become rows; all others are odd.

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
mod skip;
mod table;
mod text;
mod time;
mod unknown;

pub use cpu::Cpu;
pub(super) use table::{Outcome, Table};
