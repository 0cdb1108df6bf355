//! A pipeline's definition: typed, then resolved.

mod output;

pub use output::*;
