//! What keeps visitors' records: a key-value store with compare-and-swap.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::base::error::Result;

/// A visitor: the long id.
pub type VisitorId = Uuid;

/// Nobody's record, by which it is seen whether records can be changed. Listings leave it out.
pub(super) const PROBE: VisitorId = Uuid::from_u128(u128::from_be_bytes(*b"ashiato's  probe"));
/// How long it is of use.
const PROBE_TTL: Duration = Duration::from_secs(60);

/// A record as it is stored; clones share its bytes.
pub type StoredRecord = Bytes;

/// A change of one record, made only if it still is what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Whose record.
    pub visitor: VisitorId,
    /// What was read; none if there was no record.
    pub expected: Option<StoredRecord>,
    /// What it becomes.
    pub new: StoredRecord,
    /// How long it is of use from now on.
    pub ttl: Duration,
}

/// What came of a [`Swap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// The record is what it should become, and that is durable as far as the store is.
    Stored,
    /// The record was not what was expected, and stays as it is.
    Conflict,
}

/// A part of all records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// Records, each once within a page.
    pub records: Vec<(VisitorId, StoredRecord)>,
    /// Where to go on; none if that was all.
    pub next: Option<String>,
}

/// Keeps a record a visitor until its time is up. Records are bytes to a store.
#[async_trait]
pub trait VisitStore: fmt::Debug + Send + Sync {
    /// The records of visitors, in their order; none for those that have none.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Unavailable`] if the store cannot be asked.
    async fn load(&self, visitors: &[VisitorId]) -> Result<Vec<Option<StoredRecord>>>;

    /// Makes changes, each by itself and each or not at all, in their order.
    ///
    /// # Errors
    /// `Error::Unavailable` if the store cannot be asked; any of the changes may have been made
    /// then.
    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<Swapped>>;

    /// Some of all records, from where an earlier page ended. A record that changes meanwhile may
    /// come twice; one that is there throughout comes at least once.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Unavailable`] if the store cannot be asked.
    async fn scan(&self, from: Option<&str>, limit: usize) -> Result<RecordPage>;

    /// Looks whether a record can be read and written now: one that is nobody's is.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Unavailable`] if it cannot.
    async fn probe(&self) -> Result<()> {
        let expected = self.load(&[PROBE]).await?.pop().flatten();
        let new = match expected.as_deref() {
            Some(b"0") => StoredRecord::from_static(b"1"),
            _ => StoredRecord::from_static(b"0"),
        };
        // Where another process is faster, it can be written too.
        self.swap(&[Swap { visitor: PROBE, expected, new, ttl: PROBE_TTL }]).await.map(|_| ())
    }

    /// Removes what is over, where the store does not do so by itself; asked now and then.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Unavailable`] if the store cannot be asked.
    async fn sweep(&self) -> Result<()> {
        Ok(())
    }
}
