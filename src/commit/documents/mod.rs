//! The JSON documents of the state folder, as plain values: what each holds, and nothing of what
//! is done with it.

mod head;
mod intent;
mod manifest;
mod pending;

pub(super) use head::{Head, LastPublish, Layout};
pub(super) use intent::{Intent, TableIntent};
pub use manifest::{
    Manifest, ManifestColumn, ManifestFile, ManifestInput, ManifestTable, PreviousManifest,
    Provenance,
};
pub use pending::{PendingFile, PendingRecord};
