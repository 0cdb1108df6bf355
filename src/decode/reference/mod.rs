//! The reference implementation of the decoder, slow and plain: it builds a tree of
//! each line and takes the columns out of it.

mod builder;
mod decoder;
mod duplicates;
mod invalid_text;
mod unknown;

pub use decoder::ReferenceDecoder;
pub(super) use decoder::{Findings, LinePlace, Row};
pub use unknown::count_unknown_field;
