//! What committing needs from the world: stores, threads, the time to wait, and failpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::base::error::{Error, Result};
use crate::base::failpoints::Failpoints;
use crate::base::location::StoreLocation;
use crate::commit::documents::PendingFile;
use crate::store::{BlockingStore, Stores, Upload};

/// Called before each act of a publish, with its name; an error ends the publish there.
pub type Failpoint = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// Has the process die before the act of a publish that a test names.
pub(crate) fn kill_at_failpoint(failpoints: Failpoints) -> Failpoint {
    let acts = AtomicU64::new(0);
    Arc::new(move |_| {
        if Some(acts.fetch_add(1, Relaxed)) == failpoints.kill_at {
            // As a power cut would: nothing is written, closed or flushed any more.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)
                .map_err(|error| Error::Bug(format!("dying for a test: {error}")))?;
        }
        Ok(())
    })
}

/// What committing needs from the world.
#[derive(Clone)]
pub struct CommitContext {
    /// What all stores share.
    pub stores: Stores,
    /// Drives the stores' requests. Nothing of this folder may run on a thread that drives tasks.
    pub runtime: Handle,
    /// How long another attempt's publish into an object store may go on before it is taken for
    /// dead and rolled forward. On disk, locks tell.
    pub patience: Duration,
    /// For tests, which end publishes by it.
    pub failpoint: Failpoint,
}

impl fmt::Debug for CommitContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitContext").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl CommitContext {
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

    /// Sleeps.
    pub(super) fn sleep(&self, duration: Duration) {
        self.runtime.block_on(self.stores.clock().sleep(duration));
    }

    /// Opens a location.
    pub(super) fn open(&self, location: &StoreLocation) -> Result<BlockingStore> {
        BlockingStore::open(location, &self.stores, self.runtime.clone())
    }
}
