//! The backfill of an online migration: copies what lies in the old store to the new one, and tells
//! whether the two agree.
//!
//! A page of the old store's records, the same visitors' in the new one, and of those that lack or
//! are older, a copy. Live traffic may change any of them meanwhile: whoever is newer stays. After
//! each page the progress is a plain value that the caller keeps, from which a later one goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::migrating::{MigratingVisitStore, Phase, put_if_newer, revision};
use super::store::{StoredRecord, Swap, Swapped, VisitorId};
use crate::base::error::Result;

/// Records of one page.
const PAGE_RECORDS: usize = 1000;

/// How far a backfill has come; a later one goes on from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillProgress {
    /// Records of the old store that were looked at.
    pub records: u64,
    /// Of those, records that were copied.
    pub copied: u64,
    /// Where the next page begins; none at the beginning and at the end.
    pub next: Option<String>,
    /// Whether all pages are done.
    pub done: bool,
}

/// Copies page by page.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// The two stores.
    pub stores: MigratingVisitStore,
    /// How long a copied record is of use.
    pub record_ttl: Duration,
}

impl Backfill {
    /// Copies the next page.
    ///
    /// # Errors
    /// `Error::Unavailable` if one of the stores cannot be asked; the page may be copied again.
    pub async fn copy_page(&self, progress: &BackfillProgress) -> Result<BackfillProgress> {
        let page = self.stores.old.scan(progress.next.as_deref(), PAGE_RECORDS).await?;
        let mut next = progress.clone();
        next.records += page.records.len() as u64;
        let stale = self.stores.stale_records(page.records).await?;
        let to_swap = |StaleRecord { visitor, record, expected }: StaleRecord| Swap {
            visitor,
            expected,
            new: record,
            ttl: self.record_ttl,
        };
        let swaps: Vec<Swap> = stale.into_iter().map(to_swap).collect();
        let swapped = match swaps.is_empty() {
            true => Vec::new(),
            false => self.stores.new.swap(&swaps).await?,
        };
        for (swap, swapped) in swaps.into_iter().zip(swapped) {
            next.copied += match swapped {
                Swapped::Stored => 1,
                // Traffic was faster; whoever is newer stays.
                Swapped::Conflict => u64::from(put_if_newer(&*self.stores.new, swap).await?),
            };
        }
        next.done = page.next.is_none();
        next.next = page.next;
        Ok(next)
    }
}

/// How the two stores compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreComparison {
    /// Records of the old store.
    pub records: u64,
    /// Of those, records that the new store lacks or has older.
    pub behind: u64,
    /// Some of their visitors, for looking closer.
    pub examples: Vec<String>,
}

/// Whether the next phase is safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOverReport {
    /// The present phase.
    pub phase: Phase,
    /// Whether the new store alone would know all that the old one knows.
    pub safe: bool,
    /// Why, or what to do first.
    pub reason: String,
    /// How the stores compare.
    pub comparison: StoreComparison,
    /// Whether the old store alone would know all that the new one knows, for a way back.
    pub back_safe: bool,
    /// How the stores compare that way round.
    pub back: StoreComparison,
}

/// A record of the old store that the new one lacks or has older.
struct StaleRecord {
    visitor: VisitorId,
    record: StoredRecord,
    /// What the new store has.
    expected: Option<StoredRecord>,
}

/// Visitors that a report names.
const EXAMPLES_MAX: usize = 10;

impl MigratingVisitStore {
    /// Those of the old store's records that the new store lacks or has older.
    async fn stale_records(&self, old: Vec<(VisitorId, StoredRecord)>) -> Result<Vec<StaleRecord>> {
        let visitors: Vec<VisitorId> = old.iter().map(|(visitor, _)| *visitor).collect();
        let new = self.new.load(&visitors).await?;
        let mut stale = Vec::new();
        for ((visitor, record), expected) in old.into_iter().zip(new) {
            // What cannot be read there is none.
            let record =
                Some(record).filter(|record| revision(&Some(record.clone())) > revision(&expected));
            if let Some(record) = record {
                stale.push(StaleRecord { visitor, record, expected });
            }
        }
        Ok(stale)
    }

    /// Compares all records both ways: what the new store would lack without the old one, and what
    /// the old one would lack on a way back.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Unavailable`] if one of the stores cannot be asked.
    pub async fn compare(&self) -> Result<CutOverReport> {
        let comparison = self.compare_to_new().await?;
        let back = self.reversed().compare_to_new().await?;
        Ok(self.judge(comparison, back))
    }

    /// Compares all records of the old store; a visitor in whom traffic and comparison met is
    /// looked at again.
    async fn compare_to_new(&self) -> Result<StoreComparison> {
        let mut comparison = StoreComparison::default();
        let mut from = None;
        loop {
            let page = self.old.scan(from.as_deref(), PAGE_RECORDS).await?;
            comparison.records += page.records.len() as u64;
            for StaleRecord { visitor, .. } in self.stale_records(page.records).await? {
                let Some(found) = self.old.load(&[visitor]).await?.pop().flatten() else {
                    continue;
                };
                if !self.stale_records(vec![(visitor, found)]).await?.is_empty() {
                    comparison.behind += 1;
                    comparison.examples.push(visitor.to_string());
                    comparison.examples.truncate(EXAMPLES_MAX);
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(comparison);
            }
        }
    }

    fn judge(&self, comparison: StoreComparison, back: StoreComparison) -> CutOverReport {
        let phase = self.phase();
        let written = matches!(phase, Phase::Dual | Phase::NewFirst);
        let (safe, reason) = match (written, comparison.behind) {
            (false, _) if phase == Phase::New => (true, "the new store serves alone".to_owned()),
            (false, _) => (false, "the new store is not written yet: switch to dual".to_owned()),
            (true, 0) => (true, "the new store has all that the old one has".to_owned()),
            (true, stale) => {
                (false, format!("the new store is behind in {stale} records: run the backfill"))
            }
        };
        let back_safe = phase == Phase::Old || back.behind == 0;
        CutOverReport { phase, safe, reason, comparison, back_safe, back }
    }
}
