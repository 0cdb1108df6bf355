//! NDJSON bytes → (`RecordBatch`, rejects).

mod model;

pub use model::*;
