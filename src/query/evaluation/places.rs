//! The places of a query where rows are evaluated, each with its own counts: one that sees many
//! rows must not hide that another fails on all of its few.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Tells the places of a query apart while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceId(usize);

impl PlaceId {
    /// After the query, where its rows are held against what files can hold.
    pub(crate) const FILES: PlaceId = PlaceId(0);

    /// The place of a node, whatever it is rebuilt for: a recursive query does so for each of its
    /// rounds.
    pub(super) fn of(place: &Arc<Place>) -> Self {
        PlaceId(Arc::as_ptr(place).addr())
    }
}

/// What a node shares with those that it is rebuilt as.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// A value without bytes would have no address of its own.
    _own: u8,
}

/// How many rows one place of a query has evaluated, and failed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedRows {
    /// Rows that came to it.
    pub evaluated: u64,
    /// Rows that it could not be evaluated on.
    pub failed: u64,
}

/// How many rows one place of a query has seen, over all its partitions.
#[derive(Debug, Default)]
pub(crate) struct RowCounts {
    seen: AtomicU64,
    failed: AtomicU64,
}

impl RowCounts {
    pub(crate) fn add(&self, seen: u64, failed: u64) {
        self.seen.fetch_add(seen, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
    }

    pub(super) fn rows(&self) -> EvaluatedRows {
        EvaluatedRows {
            evaluated: self.seen.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
