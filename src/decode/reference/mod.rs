//! The slow, obvious, right decoder: it builds a tree of each line and takes the columns out of it.

mod builder;
mod decoder;
mod duplicates;
mod invalid_text;
mod unknown;

pub use decoder::ObviousDecoder;
pub(super) use decoder::{Findings, LinePlace, Row};
pub use unknown::{OTHER_UNKNOWN_FIELDS, count_unknown_field};
