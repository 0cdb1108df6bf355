//! Object stores by path or URL, and the names of all that is written.
//!
//! ```text
//! "s3://logs/raw/"  ─► StoreLocation      what configuration says, checked without asking anyone
//!                   ─► Store              a client with its behaviours, and the place in it
//!                   ─► raw/dt=2026-11-21/a.gz, for people s3://logs/raw/dt=2026-11-21/a.gz
//! ```
//!
//! Behaviours are decorators, a file each: [`Stores`] says how they are stacked.

mod blocking;
mod endpoint;
mod failure;
#[cfg(test)]
pub(crate) mod faults;
mod hadoop;
mod hdfs;
mod layer;
mod limit;
mod listed_names;
mod local_files;
mod meter;
pub(crate) mod noncanonical_names;
mod noncanonical_objects;
mod open;
mod open_uploads;
mod retry;
mod stores;
mod target;
mod transient;
mod upload;

pub use blocking::{BlockingStore, Found, PlannedObject};
pub use failure::store_error;
pub use hadoop::{Hadoop, HadoopListing};
pub use hdfs::Hdfs;
pub use layer::UploadStore;
pub use local_files::Listed;
pub use meter::{Operation, OperationCounts, StoreMeter};
pub use open::Store;
pub use stores::Stores;
pub use target::CopyTarget;
pub use upload::Upload;
