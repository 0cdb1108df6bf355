//! Work that waits for disks and stores, on threads that may wait.

use super::error::{Error, Result};

/// Does blocking work from asynchronous code; `doing` says what it is if it panics.
pub(crate) async fn run_blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Bug(format!("{doing}: {error}")))?
}
