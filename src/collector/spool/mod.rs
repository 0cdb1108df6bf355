//! The spool, a write-ahead log with group commit: what was acknowledged lies on this machine's
//! disk until an object store has it.
//!
//! ```text
//! lines      Xk3…{"event_id":"0199…",…}\nq9Z…{"event_id":"evt_1",…}\n     of many requests
//! frame      length, lines, checksum, the lines' bytes              one write, one fdatasync
//! segment    spool/dt=2026-11-21,hr=13,web-1.0199….spool            frames of one hour
//! object     raw/dt=2026-11-21/hr=13/web-1-0199….ndjson.zst         put if none is there
//! ids        spool/0199….ids                                        the segment's events' keys
//! length     spool/dt=2026-11-21,hr=13,web-1.0199….length           how much was acknowledged
//! ```
//!
//! | a crash | leaves | the next start |
//! |---|---|---|
//! | in mid-write | half a frame, never acknowledged | cuts it off |
//! | before the object is there | the segment | puts the object |
//! | after that | segment and object | finds the object, compares, removes the segment |
//! | while the segment is removed | ids, some of it as `….landed` | removes that, keeps the ids |
//!
//! Deduplication keys say which event of whom a line is, so that one that is sent again is taken
//! once. They stand in front of the line as 22 characters each, one or two, and do not land.
//!
//! An object's name is its segment's, and a segment gets its name when it begins: so whatever is
//! put twice is put under one name, and the second time finds it there. Where another object has
//! the name, what it lacks is put under the next one (`…-2.ndjson.zst`). A segment whose checksums
//! do not hold is landed as far as they do, and then put aside as `….damaged`; so is one that
//! cannot be read at all. What does not land waits after the others.
//!
//! Only the collector may touch the folder. Where somebody removes the file that is written, or the
//! folder, it is written anew before anything more is acknowledged; of a file that is not written
//! any more nothing is left, which is counted as damage.

mod backlog;
mod frame;
mod landing;
mod length;
mod recent;
mod segment;
mod writer;

pub use backlog::Backlog;
pub use landing::{Landed, Landing, LandingSettings};
pub use segment::{EventKeys, begin_line};
pub use writer::{Append, Entry, KnownEvents, Spool, SpoolSettings, probe_disk};
