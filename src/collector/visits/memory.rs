//! A fake store in memory, which tests break and watch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::store::{RecordPage, StoredRecord, Swap, Swapped, VisitStore, VisitorId};
use crate::base::error::{Error, Result};

/// Records in memory; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryVisitStore {
    pub records: Arc<Mutex<BTreeMap<VisitorId, StoredRecord>>>,
    /// Whether nothing can be asked.
    pub away: Arc<AtomicBool>,
    /// Questions so far.
    pub asked: Arc<AtomicUsize>,
}

impl MemoryVisitStore {
    fn ask(&self) -> Result<()> {
        self.asked.fetch_add(1, SeqCst);
        match self.away.load(SeqCst) {
            true => Err(Error::Unavailable("the store is away".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl VisitStore for MemoryVisitStore {
    async fn load(&self, visitors: &[VisitorId]) -> Result<Vec<Option<StoredRecord>>> {
        self.ask()?;
        let loaded = {
            let records = self.records.lock().unwrap();
            visitors.iter().map(|visitor| records.get(visitor).cloned()).collect()
        };
        // Others may come between a reading and a writing.
        tokio::task::yield_now().await;
        Ok(loaded)
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<Swapped>> {
        self.ask()?;
        let mut records = self.records.lock().unwrap();
        let swap = |swap: &Swap| {
            if records.get(&swap.visitor) != swap.expected.as_ref() {
                return Swapped::Conflict;
            }
            records.insert(swap.visitor, swap.new.clone());
            Swapped::Stored
        };
        Ok(swaps.iter().map(swap).collect())
    }

    async fn scan(&self, from: Option<&str>, limit: usize) -> Result<RecordPage> {
        self.ask()?;
        let from = from.map(|id| VisitorId::try_parse(id).unwrap());
        let records = self.records.lock().unwrap();
        let rest = records.iter().filter(|(id, _)| from.is_none_or(|from| **id > from));
        let page: Vec<_> = rest.take(limit).map(|(id, record)| (*id, record.clone())).collect();
        let next = page.last().filter(|_| page.len() == limit).map(|(id, _)| id.to_string());
        Ok(RecordPage { records: page, next })
    }
}
