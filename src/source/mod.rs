//! The input side: list, read ahead, decompress, frame lines.
//!
//! One object carried through each step:
//!
//! 1. [`list_objects`] finds `logs/dt=2026-11-21/hr=13/a.gz` for the interval: 2 MiB, partition
//!    values `dt = 2026-11-21` and `hr = 13`;
//! 2. `read` gets its bytes ahead, a MiB at a time;
//! 3. `decompress` sees `1f 8b` and unpacks gzip, all members;
//! 4. `frame` cuts the text into [`Framed`] parts of about a MiB: whole lines with the first one's
//!    number and offset, or one line that cannot be decoded.
//!
//! [`open_object`] does 2 to 4. Damaged data are a part of the object, its last; only what a retry
//! may cure is an error.

mod buffers;
mod decompress;
mod frame;
mod list;
mod open;
mod read;
mod shard;

pub use frame::{FrameOptions, Framed, Framer};
pub use list::{SourceObject, SourceSpec, is_listed_by_time, list_objects};
pub use open::open_object;
pub use shard::Shard;
