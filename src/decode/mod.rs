//! NDJSON bytes → (`RecordBatch`, rejects).
//!
//! Two decoders keep the same rules. The fast one reads bytes straight into columns, and takes only
//! what it understands fully: a line with anything else is rolled back and left to the reference
//! implementation, which builds a tree of each line and takes the columns out of it.
//!
//! ```text
//! block ─ UTF-8 ─ fast: bytes → columns ─┬─ plain lines ───────────────────► rows
//!                                        └─ unhandled ─ reference: tree ─┬─► rows, in their place
//!                                                                        └─► rejects
//! ```
//!
//! So every reject, and every rule that is seldom needed, has its home in `reference`; what `fast`
//! does must be the same, line by line, which differential tests and a fuzzer (`tests/fuzz`) check.
//! All `unsafe` is in `json/scan/cpu.rs` and `text_array` in `fast/arrays.rs`.
//!
//! One line on its way through the reference decoder, by a contract of `at` (timestamp, paths
//! `time` and `ts`), `user` (int64, path `session.user`) and `items` (list of `sku`: string), with
//! `unknown_fields = "collect"` into `extra`:
//!
//! ```text
//! lines       …\r\n{"ts":"2026-11-21T13:05:00+09:00","session":{"user":7,"ab":"x"},
//!             "items":[{"sku":"b-1","qty":2}]}\r\n…     (one line, without the break)
//! split       line 42 at byte 5120, without its CRLF; not blank
//! UTF-8       valid
//! read        Object [ ts → String, session → Object [ … ], items → Array [ Object [ … ] ] ]
//! duplicates  no key twice in one object
//! columns     at ← `ts`, for `time` is absent: Timestamp(1795233900000000)
//!             user ← `session.user`: Int64(7)
//!             items ← [ [ Text("b-1") ] ]
//! unknown     counted: session.ab 1, items[].qty 1
//!             extra: {"session.ab":"x","items[0].qty":2}
//! append      one row: at, user, items, extra, _line = 42, _offset = 5120
//! ```
//!
//! A line that fails at a step goes no further: it is a reject with that step's reason, and
//! nothing of it is in the batch or among the counts. So the steps' order is the order of reasons,
//! and each line has one:
//!
//! 1. **Lines** end with LF; a CR before it belongs to the line end, at the object's end too. A
//!    line of nothing but JSON's white space (space, tab, CR) is blank. A byte order mark is the
//!    framer's business.
//! 2. **`invalid_utf8`**: the whole line must be UTF-8, skipped fields too. With
//!    `on_invalid_text = "replace"`, U+FFFD stands for a byte that is none, and for the half of a
//!    surrogate pair in step 3; the line begins again with that, and the values are counted.
//! 3. **Reading** stops at the first fault from left to right, wherever it stands, in skipped
//!    fields too: `invalid_json` (RFC 8259 to the letter), `lone_surrogate` (an escape of half a
//!    surrogate pair in a value or key), `too_deep` (more objects and arrays within each other
//!    than `depth_max`, the record being the first). `found` names the byte in the line, from 0.
//! 4. **`not_an_object`**: the line is another JSON value.
//! 5. **Duplicate keys**, compared without their escapes, anywhere in the line: the last one counts
//!    and the others are as if they weren't there (but for a json column, whose text stays as it
//!    is); or the line is a `duplicate_key`.
//! 6. **Columns**, in the contract's order, by the rules of [`crate::contract::ColumnReader`]:
//!    `missing_required`, `type_mismatch`, `out_of_range`, `invalid_timestamp`, `nul_character` (in
//!    a string that a column takes; in skipped values and in keys U+0000 does no harm, and a json
//!    column holds its escape).
//! 7. **Unknown fields**: a field is unknown if no column's path leads to it or through it. It
//!    counts once, at its topmost key: `session.ab`, `items[].qty`. A value on the way of a path
//!    that is no object (and not null) is unknown too, for no column has it. 1,000 paths are told
//!    apart; all others count under `…`. Only decoded lines count. `collect` writes one JSON object
//!    a row, path → the value's text in the line, byte for byte, elements by their index
//!    (`items[0].qty`), NULL without unknown fields; `reject` makes the line an `unknown_field`.
//!
//! `lines = rows + rejects + blank`, always. Texts in rejects are excerpts of at most 200
//! characters; `raw` shares the input's memory.

mod decoder;
mod fast;
mod line;
mod model;
mod reference;

pub use decoder::Decoder;
pub use model::*;
pub use reference::{ReferenceDecoder, count_unknown_field};
