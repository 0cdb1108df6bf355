//! What committing needs from the world, and the places that it opens with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::disk_table::DiskTable;
use crate::commit::manifest::ManifestTable;
use crate::commit::pending::PendingFile;
use crate::commit::state::State;
use crate::commit::store_table::StoreTable;
use crate::commit::table::TablePlace;
use crate::store::paths::RunPaths;
use crate::store::{BlockingStore, Stores, Upload};

/// Asked before each act of a publish, with its name; an error ends the publish there.
pub type BeforeAct = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// What committing needs from the world.
#[derive(Clone)]
pub struct CommitSupplies {
    /// What all stores share.
    pub stores: Stores,
    /// Drives the stores' requests. Nothing of this module may run on a thread that drives tasks.
    pub runtime: Handle,
    /// How long another attempt's publish into an object store may take before it is believed dead
    /// and completed for it. On disk, locks tell.
    pub patience: Duration,
    /// For tests, which end publishes by it.
    pub before_act: BeforeAct,
}

impl fmt::Debug for CommitSupplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitSupplies").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl CommitSupplies {
    /// Opens the state of all pipelines at a place.
    pub fn open_state(&self, location: &StoreLocation) -> Result<State> {
        match location.local_path() {
            Some(folder) => Ok(State::on_disk(folder)),
            None => Ok(State::in_store(self.open(location)?)),
        }
    }

    /// Opens the root of a table that an attempt publishes.
    pub(super) fn open_table(
        &self,
        state: &State,
        paths: &RunPaths,
        table: &ManifestTable,
    ) -> Result<Box<dyn TablePlace>> {
        let folder = RunPaths::table_folder(&table.output, &table.format);
        self.open_root(state, paths, &StoreLocation::parse(&table.root)?, folder)
    }

    /// Opens the root of a table whose name in the state is `table`.
    pub(super) fn open_root(
        &self,
        state: &State,
        paths: &RunPaths,
        location: &StoreLocation,
        table: String,
    ) -> Result<Box<dyn TablePlace>> {
        let Some(root) = location.local_path() else {
            return Ok(Box::new(StoreTable(self.open(location)?)));
        };
        let folder = state.folder().ok_or_else(|| {
            Error::config(format!("publishing to {location}: it is on disk, but the state is not"))
        })?;
        Ok(Box::new(DiskTable {
            root,
            stagings: paths.stagings(folder).join(&paths.interval),
            folder: table,
            temporary: folder.join(&paths.pipeline).join("success.tmp"),
        }))
    }

    /// Aborts the uploads of pending files, those that are `wanted`.
    pub(super) fn abort_uploads(
        &self,
        files: &[PendingFile],
        wanted: impl Fn(&&Upload) -> bool,
    ) -> Result<()> {
        let mut uploads: BTreeMap<&str, Vec<(String, &Upload)>> = BTreeMap::new();
        for PendingFile { root, file } in files {
            if let Some(upload) = file.upload.as_ref().filter(&wanted) {
                uploads.entry(root).or_default().push((file.path(), upload));
            }
        }
        for (root, uploads) in uploads {
            let store = self.open(&StoreLocation::parse(root)?)?;
            store.abort(uploads.iter().map(|(path, upload)| (path.as_str(), *upload)))?;
        }
        Ok(())
    }

    /// Lets time pass.
    pub(super) fn pause(&self, pause: Duration) {
        self.runtime.block_on(self.stores.clock().sleep(pause));
    }

    /// Opens a place in a store.
    pub(super) fn open(&self, location: &StoreLocation) -> Result<BlockingStore> {
        BlockingStore::open(location, &self.stores, self.runtime.clone())
    }
}
