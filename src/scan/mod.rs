//! The input side: list, read ahead, decompress, frame lines.
//!
//! One object carried through each step:
//!
//! 1. [`list_objects`] finds `logs/dt=2026-11-21/hr=13/a.gz` for the interval: 2 MiB, partition
//!    values `dt = 2026-11-21` and `hr = 13`;
//! 2. `read` gets its bytes ahead, a MiB at a time;
//! 3. `decompress` sees `1f 8b` and unpacks gzip, all members;
//! 4. `framing` sees a line that is an object, and `frame` cuts the text into [`Framed`] parts of
//!    about a MiB: whole lines with the first one's number and offset, or one line that cannot be
//!    decoded. (`values` does so for values that are not on lines of their own.)
//!
//! [`open_object`] does 2 to 4. Damaged data are a part of the object, its last, and what an object
//! is that cannot be read at all is its only part; only what a retry may cure is an error.

mod access;
mod buffers;
mod decompress;
mod frame;
mod framing;
mod json_scan;
mod list;
mod log_scan;
mod memory_budget;
mod nearest;
mod open;
mod origin;
mod read;
mod read_ahead;
mod scan_logs;
mod shard;
mod value_framer;
mod values;
mod wildcards;

pub use access::ReadAccess;
pub use decompress::Unreadable;
pub use frame::{FrameOptions, Framed};
pub use framing::ObjectFramer;
pub use list::{
    Listing, Skipped, SourceObject, SourceSpec, WILDCARDS, is_listed_by_time, list_objects,
    nearest_to,
};
pub use log_scan::{LogScan, ObjectTally, ScanObserver, UnreadableObject, logs_schema};
pub use memory_budget::{BudgetPermit, ObjectBudget, ReadBudget};
pub use open::open_object;
pub use scan_logs::scan;
pub use shard::Shard;
pub use values::Values;
