//! Where rejects lie, and how many are too many.
//!
//! ```text
//! Reject { reason: type_mismatch, path: items[2].price, expected: int64, found: "a", line: 7, … }
//!   ─► QuarantineRecord   one JSON object: a sentence for people, the place, the exact line
//!   ─► QuarantineSender   from any thread; waits while 8 MiB of records are waiting
//!   ─► one task           packs records with zstd and uploads them in parts
//!   ─► <quarantine>/shop/<interval>/<attempt>/rejects-00000.ndjson.zst
//! ```
//!
//! A reject is data, so none of this is an error; only a quarantine whose store fails is one.

mod names;
mod record;
mod thresholds;
mod writer;

pub use names::{attempt_folder, run_folder};
pub use record::{QuarantineRecord, RowFault};
pub use thresholds::{Breach, REJECT_RATIO_DEFAULT, REJECTS_DEFAULT, RejectShare, Thresholds};
pub use writer::{Quarantine, QuarantineFile, QuarantineSender};
