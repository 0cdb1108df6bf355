//! The contract: the agreed shape of a log record.
//!
//! A contract flattens: each column names the JSON path (or paths, the first present wins) that it
//! is read from, so that what no column names is skipped, not built. One column on its way:
//!
//! ```text
//! contract.toml   [[column]]
//!                 name = "at"
//!                 paths = ["time", "ts"]
//!                 type = "timestamp"
//!                 formats = ["rfc3339", "epoch_ms"]
//! parse_contract  Column { name: "at", paths: [time, ts], column_type: Timestamp { … }, … }
//! arrow_schema    at: Timestamp(µs, "UTC"), nullable
//! ColumnReader    {"ts":1795233900123} → Value::Timestamp(1795233900123000)
//! ```

mod arrow;
mod coerce;
mod model;
mod parse;
mod path;

pub use arrow::{LINE_COLUMN, OFFSET_COLUMN, SOURCE_COLUMN};
pub use coerce::{
    ColumnReader, Mend, Mends, Misfit, MisfitReason, PatternFault, TimeOfDayPattern, TimePattern,
    Value, pattern_to_write,
};
pub use model::*;
pub use parse::parse_contract;
pub use path::PathKey;
