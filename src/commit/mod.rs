//! Stage, publish, recover: how files become a table that no reader sees half of.
//!
//! ```text
//! lock        <state>/<pipeline>/locks/<interval>.lock       one attempt an interval at a time
//! recover     what a crash left is rolled forward or back; staging of dead attempts is removed
//! overlaps    intervals inside this one will be replaced; others that touch it are refused
//!             … the sink writes below <state>/<pipeline>/staging/<interval>/<attempt>/, fsynced …
//! publish     1 the intent: every rename and every removal to come, fsynced
//!             2 each table's _SUCCESS goes
//!             3 <root>/dt=2026-11-21/part-00000-<attempt>.parquet   renamed into place
//!             4 files of an earlier publish of the interval go, and folders left empty
//!             5 create_table.sql, distcp-listing.txt, the tables' columns, then manifest.json
//!             6 _SUCCESS comes back, last of all that readers see
//!             7 the staging folder and the intent go
//! ```
//!
//! Before step 1 is complete nothing was visible: a crash leaves staging only. After it, all bytes
//! are on disk and each step can be taken twice: the next attempt of any interval of the
//! pipeline takes them all again. Files that stand in no manifest are never touched.
//!
//! This is the protocol of local disks, where a rename is atomic. Object stores have none: there,
//! steps 2 to 4 will complete multipart uploads and delete objects, from the same records of
//! written files and under the same intent; [`steps`] is where that will differ.

mod ddl;
mod distcp;
mod drift;
mod durable;
mod intent;
mod layout;
mod lock;
mod manifest;
mod overlap;
mod publish;
mod recover;
mod steps;

pub use ddl::create_table_sql;
pub use distcp::{DistCp, DistCpForm};
pub use drift::{ColumnChanges, RetypedColumn, column_changes};
pub use layout::{TableRoot, check_layout, check_places};
pub use lock::IntervalLock;
pub use manifest::{
    Manifest, ManifestColumn, ManifestFile, ManifestInput, ManifestTable, read_manifest,
};
pub use overlap::{check_inputs, check_overlaps};
pub use publish::{PublishOutcome, PublishRequest, StagedTable, discard_staging, publish_run};
pub use recover::{Recovered, recover};
