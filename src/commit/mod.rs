//! Atomic commits: write-ahead intents, a compare-and-swap of one head, and idempotent steps that
//! anybody rolls forward make files a table that no reader sees half of.
//!
//! # One run, told in the names it writes
//!
//! ```text
//! lock       on disk: locks/<interval>.0-of-1.lock; what a crash left is rolled forward
//!            … the sink writes files that nobody sees: staged on the table's disk, or as
//!            multipart uploads that are not completed …
//! pending    pending/<interval>/0-of-1/<attempt>.json     the task's files, counts and rejects
//! intent     intents/<interval>/<attempt>.json            all that the publish will do
//! begin      head.json: idle ─► publishing this attempt   compare-and-swap: one at a time
//!            1 each table's _SUCCESS goes
//!            2 files appear: renamed, or their uploads completed
//!            3 manifests/<interval>/history/<earlier attempt>.json, then manifest.json
//!              by if-none-match or if-match
//!            4 create_table.sql, distcp-listing.txt; manifests of replaced intervals retire
//!            5 files of the interval's earlier publish go
//!            6 _SUCCESS comes back, with the digest of the manifest
//! end        head.json: publishing ─► idle, and what was published last in each table
//!            pending records, staging folders, other attempts' uploads and the intent go
//! ```
//!
//! Before the head names an attempt, nothing of it is visible, and it can be given up. After that,
//! its publish is rolled forward, by whoever comes: each step is idempotent, and two may take it at
//! once.
//! The unit of writing is the task, the unit of publishing the run: a publish takes one pending
//! record of each task, whichever process wrote it.
//!
//! # What a crash leaves
//!
//! | crash after | readers by listing see | by manifest | the next attempt |
//! |---|---|---|---|
//! | some files written | the old table | old | starts anew; its files go, or by `gc` |
//! | pending, intent | the old table | old | likewise; a publish of shards may take the record |
//! | begin | the old table | old | rolls it forward: 1 to end |
//! | 1 | the old files, no `_SUCCESS` | old | rolls it forward |
//! | 2, in part | old, some new, no `_SUCCESS` | old | rolls it forward, or back[^lost] |
//! | 3 | old and new files, no `_SUCCESS` | new | rolls it forward: 4 to end |
//! | 5, in part | new, some old files, no `_SUCCESS` | new | rolls it forward |
//! | 6 | the new table | new | ends it |
//! | end | the new table | new | cleans up with its own publish, or `gc` does |
//!
//! [^lost]: If a staged file or an upload is gone, which takes a hand or a rule of the bucket.
//!
//! # What is guaranteed
//!
//! - A name is never used for other bytes: each holds the attempt's id. So a completed upload, a
//!   rename or a removal that comes late does no harm.
//! - Of attempts at one interval that overlap in time one publishes; the others learn which
//!   ([`PublishOutcome::Conflict`]), and what they wrote goes.
//! - Whoever waits for `_SUCCESS`, or reads the files that `manifest.json` names, sees one publish
//!   and all of it. Reading by manifest, an interval that stands in the `replaced_intervals` of
//!   another manifest is to be left out.
//! - Files that stand in no manifest are never touched, and a root that holds such files is taken
//!   by no first publish: `ownership` tells whose a table is, `adopt` takes it over from another
//!   name.
//!
//! # How disks and object stores differ
//!
//! On disk, an advisory file lock keeps the pipeline's publishes apart, and a lock whose process
//! died is free at once. In an object store nobody can tell a dead attempt from a slow one:
//! another's publish is given a time ([`CommitContext::patience`]), then rolled forward beside it.
//! That needs no fencing, as names are never reused and steps are idempotent. But deletions know no
//! conditions there: an attempt that was slow for that long in the middle of step 1 may remove a
//! marker that was put back meanwhile; it notices, and puts it back.

mod adopt;
mod attempt;
mod contents;
mod context;
mod copy;
mod copy_script;
mod ddl;
mod disk_table;
mod distcp;
mod documents;
mod drift;
mod gc;
mod hand_off;
mod hand_off_plan;
#[cfg(test)]
mod harness;
mod head;
mod history;
mod intent;
mod layout;
mod lock;
mod markers;
mod overlap;
mod ownership;
mod pending;
mod pipeline_state;
mod publish;
mod publish_request;
mod recover;
mod recovered;
mod shape;
mod staging;
mod state;
mod steps;
mod store_table;
mod table_root;
mod verify;

pub use adopt::AdoptRequest;
pub use attempt::Attempt;
pub use context::CommitContext;
pub(crate) use context::kill_at_failpoint;
pub use ddl::TableDefinition;
pub use documents::{
    Manifest, ManifestColumn, ManifestInput, ManifestTable, PendingFile, PendingRecord, Provenance,
};
pub use drift::ColumnChanges;
pub use gc::GcRequest;
pub use history::{PastPublish, PublishStatus};
pub use layout::{TableRoot, check_layout, check_locations, unwritable_locations};
pub use ownership::OwnTable;
pub use pipeline_state::Commit;
pub use publish_request::{PublishOutcome, PublishRequest, StagedTable};
pub use shape::TableShape;
pub use verify::TableVerdict;
