//! Rows → files: hive paths, rolling writers, Parquet, TSV.
//!
//! ```text
//! a row of the view      dt: 2026-11-21, service: "a/b", at: 13:05:00+09:00, yen: 120.50
//! checked                service "a/b" can name a directory, 300 letters could not: the caller
//! (partition_check.rs)   takes such rows out, and those that stored_check.rs finds
//! stored (stored.rs)     every layout of a type becomes one: at → 04:05:00Z in µs, service → Utf8
//! gathered (block.rs)     with some 30,000 other rows, so that what follows is done by column
//! routed (route.rs)      hive path "dt=2026-11-21/service=a%2Fb" (hive_path.rs), at and yen stay
//! encoded (tsv.rs)       "2026-11-21 04:05:00\t120.50\n", through gzip
//! encoded (parquet.rs)   INT64 µs and INT32 decimal, or INT96 and fixed-length bytes for Hive
//! staged (writers.rs)    <staging>/<output>.tsv/<hive path>/part-00000-<attempt>.tsv.gz, fsynced
//! uploaded (upload.rs)   if the table is in an object store: parts of an upload, not yet completed
//! recorded               WrittenFile { rows: 1, bytes, sha256, … }
//! ```
//!
//! What a table cannot hold is said before any row is read: [`check_output`].
//! Nothing here makes a file visible: `commit` moves them, or completes their uploads.

mod block;
mod check;
mod choice;
mod encoders;
mod file;
mod hive_names;
mod hive_path;
mod int96;
mod names;
mod open_file;
mod parquet;
mod parquet_columns;
mod parquet_schema;
mod partition_check;
mod route;
mod split;
mod staging;
mod storage;
mod stored;
mod stored_check;
mod text;
mod tsv;
mod unfit_rows;
mod upload;
mod write;
mod writers;

pub use encoders::EncoderPool;
pub use hive_path::{DEFAULT_PARTITION, PartitionKey, parse_hive_path};
#[cfg(test)]
pub use names::table_file;
pub use names::{SUCCESS, attempt_of_file, table_folder};
pub use partition_check::PartitionCheck;
pub use route::UnusableRows;
pub use staging::{StagingFolders, UploadStaging, remove_dead_spills};
pub use storage::STORAGE;
pub use stored::stored_type;
pub use stored_check::{Looked, StoredCheck, UnfitRow};
pub use upload::{BegunUpload, FileUploads, UploadPool};
pub use write::{SinkContext, WrittenOutput, write};
pub use writers::{OutputWriter, WriterOptions, WrittenFile};
