//! Write, publish, recover: how files become a table that no reader sees half of.
//!
//! # One run, told in the names it writes
//!
//! ```text
//! begin      on disk: locks/<interval>.0-of-1.lock; what a crash left is completed
//!            … the sink writes files that nobody sees: staged on the table's disk, or as
//!            multipart uploads that are not completed …
//! pending    pending/<interval>/0-of-1/<attempt>.json     the task's files, counts and rejects
//! intent     intents/<interval>/<attempt>.json            all that the publish will do
//! turn       head.json: idle ─► publishing this attempt   by if-match: one publish at a time
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
//! Before its turn, nothing of an attempt is visible, and it can be given up. From its turn on, its
//! publish will be completed, by whoever comes: each step can be taken twice, and by two at once.
//! The unit of writing is the task, the unit of publishing the run: a publish takes one pending
//! record of each task, whichever process wrote it.
//!
//! # What a crash leaves
//!
//! | crash after | readers by listing see | by manifest | the next attempt |
//! |---|---|---|---|
//! | some files written | the old table | old | starts anew; its files go, or by `gc` |
//! | pending, intent | the old table | old | likewise; a publish of shards may take the record |
//! | turn | the old table | old | completes it: 1 to end |
//! | 1 | the old files, no `_SUCCESS` | old | completes it |
//! | 2, in part | old, some new, no `_SUCCESS` | old | completes it, or takes it back[^lost] |
//! | 3 | old and new files, no `_SUCCESS` | new | completes it: 4 to end |
//! | 5, in part | new, some old files, no `_SUCCESS` | new | completes it |
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
//! # Where the places differ
//!
//! On disk, the pipeline's publishes take turns by a lock, and a lock whose process died is free at
//! once. In an object store nobody can tell a dead attempt from a slow one: another's publish is
//! given a time ([`CommitSupplies::patience`]), then carried out beside it. There, deletions know
//! no conditions: an attempt that was slow for that long in the middle of step 1 may remove a
//! marker that was put back meanwhile; it notices, and puts it back.

mod acts;
mod adopt;
mod attempt;
mod contents;
mod copy;
mod copy_script;
mod ddl;
mod disk_table;
mod distcp;
mod drift;
mod gc;
mod hand_off;
mod head;
mod history;
#[cfg(test)]
mod house;
mod intent;
mod layout;
mod lock;
mod manifest;
mod overlap;
mod ownership;
mod pending;
mod publish;
mod recover;
mod shape;
mod state;
mod steps;
mod store_table;
mod supplies;
mod table;
mod verify;

pub(crate) use acts::before_act;
pub use adopt::{AdoptRequest, adopt};
pub use attempt::Attempt;
pub use copy::copy_interval;
pub use ddl::TableDefinition;
pub use drift::ColumnChanges;
pub use gc::{GcRequest, collect_garbage};
pub use hand_off::hand_off;
pub use history::{PastPublish, Standing, list_publishes, publishes_of};
pub use layout::{TableRoot, check_layout, check_places, unwritable_places};
pub use manifest::{
    Manifest, ManifestColumn, ManifestInput, ManifestTable, Provenance, read_manifest,
};
pub use overlap::{check_inputs, check_overlaps};
pub use ownership::OwnTable;
pub use pending::{PendingFile, PendingRecord};
pub use publish::{PublishOutcome, PublishRequest, StagedTable, publish_run};
pub use shape::TableShape;
pub use state::State;
pub use supplies::{BeforeAct, CommitSupplies};
pub use verify::{TableVerdict, verify_tables};
