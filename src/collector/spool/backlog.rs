//! What the spool holds and the object store does not have yet; shared by who writes and who lands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::segment::SealedSegment;

/// Sealed segments, the oldest first, and how much there is; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Backlog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    segments: Mutex<VecDeque<SealedSegment>>,
    /// Bytes of the sealed segments.
    sealed_bytes: AtomicU64,
    /// Bytes of the segment that is written.
    open_bytes: AtomicU64,
    sealed: Notify,
    /// Segments that were put aside as damaged.
    damaged: AtomicU64,
}

impl Backlog {
    /// Bytes on disk that the object store does not have yet.
    pub fn bytes(&self) -> u64 {
        self.shared.sealed_bytes.load(Relaxed) + self.shared.open_bytes.load(Relaxed)
    }

    /// Segments that wait for the object store, without the one that is written.
    pub fn segments(&self) -> usize {
        self.queue().len()
    }

    /// Segments that were found damaged and put aside.
    pub fn damaged(&self) -> u64 {
        self.shared.damaged.load(Relaxed)
    }

    /// When the oldest segment that waits began, in milliseconds since 1970.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.queue().iter().map(|segment| segment.name.begun_ms()).min()
    }

    /// Counts a segment that was put aside as damaged.
    pub(super) fn count_damaged(&self) {
        self.shared.damaged.fetch_add(1, Relaxed);
    }

    pub(super) fn set_open_bytes(&self, bytes: u64) {
        self.shared.open_bytes.store(bytes, Relaxed);
    }

    pub(super) fn push(&self, segment: SealedSegment) {
        self.shared.sealed_bytes.fetch_add(segment.bytes, Relaxed);
        self.queue().push_back(segment);
        self.shared.sealed.notify_one();
    }

    /// The oldest segment, which stays until it is [removed](Backlog::remove).
    pub(super) fn first(&self) -> Option<SealedSegment> {
        self.queue().front().cloned()
    }

    /// Has a segment wait after all others: what is wrong with it may be wrong with it alone.
    pub(super) fn postpone(&self, segment: &SealedSegment) {
        let mut queue = self.queue();
        let place = queue.iter().position(|one| one == segment);
        let found = place.and_then(|place| queue.remove(place));
        queue.extend(found);
    }

    pub(super) fn remove(&self, segment: &SealedSegment) {
        let mut queue = self.queue();
        if let Some(place) = queue.iter().position(|one| one == segment) {
            queue.remove(place);
            self.shared.sealed_bytes.fetch_sub(segment.bytes, Relaxed);
        }
    }

    /// Ends when a segment is sealed, or one was since the last call.
    pub(super) async fn sealed(&self) {
        self.shared.sealed.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<SealedSegment>> {
        self.shared.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
