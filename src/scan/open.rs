//! Opens one object: reading, decompressing and framing in one.

use std::sync::Arc;

use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::decompress::Decompressor;
use super::frame::FrameOptions;
use super::framing::ObjectFramer;
use super::list::SourceObject;
use super::memory_budget::ObjectBudget;
use super::read::ObjectReader;
use crate::base::error::Result;

/// Starts to read `object` on `runtime`; the framer is for a blocking thread, and waits for
/// `budget` where it needs more than a few MiB.
///
/// No data are read here: an object that cannot be read shows at the first
/// [`ObjectFramer::next_framed`].
///
/// # Errors
/// [`crate::base::error::Error::Bug`] if `options` allow no line or no chunk.
pub fn open_object(
    store: Arc<dyn ObjectStore>,
    object: &SourceObject,
    options: FrameOptions,
    runtime: Handle,
    cancel: CancellationToken,
    budget: Option<ObjectBudget>,
) -> Result<ObjectFramer> {
    let reader = ObjectReader::start(store, object, &runtime, cancel);
    let read_bytes = reader.read_bytes();
    let reader = Decompressor::new(reader).with_budget(budget.clone());
    ObjectFramer::new(Box::new(reader), read_bytes, options, budget)
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
