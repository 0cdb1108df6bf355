//! Online migration by dual writes: two stores as one, while visits move from the old to the new
//! one and traffic flows.
//!
//! | phase | reads | writes | if the old one is away | if the new one is away |
//! |---|---|---|---|---|
//! | `old` | old | old | refused | – |
//! | `dual` | both, compared; old wins a tie | old, then new | refused | old alone; counted |
//! | `new_first` | both; new wins a tie | old, then new | refused | refused |
//! | `new` | new | new | – | refused |
//!
//! Of two records of one visitor the newer counts (the one with more changes), wherever it lies, so
//! that what a store missed while it was away harms nobody: the next write, or the backfill, brings
//! it up to date. That is why `new_first` asks the old store too: a new store that was away in
//! `dual` holds records that are stale, and only the old one can say so. `refused` means that
//! requests get 503 and come again: a wrong id cannot be called back, a late event can.
//!
//! While the new store is away in `dual` nobody waits for it: it is asked once a second, beside.
//!
//! Both stores are changed by comparing, the old one always first. So collectors in neighbouring
//! phases agree, as they do while a switch goes round; switch by one phase at a time, and wait
//! until all collectors are there. Going back from `new` loses what the old store never saw.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::record::VisitorRecord;
use super::store::{RecordPage, StoredRecord, Swap, Swapped, VisitStore, VisitorId};
use crate::base::error::Result;

/// How far the move has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The old store alone.
    #[default]
    Old,
    /// Both are written, the old one leads.
    Dual,
    /// Both are written, the new one leads.
    NewFirst,
    /// The new store alone.
    New,
}

impl Phase {
    /// All phases, in their order.
    pub const ALL: [Phase; 4] = [Phase::Old, Phase::Dual, Phase::NewFirst, Phase::New];

    /// The name in commands and metrics.
    pub fn name(self) -> &'static str {
        ["old", "dual", "new_first", "new"][self as usize]
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Phase::ALL.into_iter().find(|phase| phase.name() == text);
        found.ok_or_else(|| format!("expected old, dual, new_first or new, found `{text}`"))
    }
}

/// What was seen of the two stores since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationCounts {
    /// Records that were read in both.
    pub compared: u64,
    /// Of those, records that were not the same in both.
    pub differing: u64,
    /// Records that the new store lacked, or had older, and was given.
    pub copied: u64,
    /// Batches that the new store missed in `dual`.
    pub new_missed: u64,
}

/// How often a new store that is away in `dual` is asked whether it is back.
const PROBE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Counters {
    compared: AtomicU64,
    differing: AtomicU64,
    copied: AtomicU64,
    new_missed: AtomicU64,
}

/// Two stores as one; clones share the phase.
#[derive(Debug, Clone)]
pub struct MigratingVisitStore {
    /// The one that is left.
    pub old: Arc<dyn VisitStore>,
    /// The one that is moved to.
    pub new: Arc<dyn VisitStore>,
    phase: Arc<AtomicU8>,
    counters: Arc<Counters>,
    /// Whether the new store was away when it was asked last, in `dual`.
    new_is_away: Arc<AtomicBool>,
}

/// One visitor's records in both stores.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    old: Option<StoredRecord>,
    new: Option<StoredRecord>,
    /// Whether the new store's is the newer, or counts for a tie.
    new_counts: bool,
}

impl Pair {
    fn newest(&self) -> Option<&StoredRecord> {
        if self.new_counts { self.new.as_ref() } else { self.old.as_ref() }
    }
}

impl MigratingVisitStore {
    /// Two stores, in a phase.
    pub fn new(old: Arc<dyn VisitStore>, new: Arc<dyn VisitStore>, phase: Phase) -> Self {
        let phase = Arc::new(AtomicU8::new(phase as u8));
        let (counters, new_is_away) = (Arc::default(), Arc::default());
        MigratingVisitStore { old, new, phase, counters, new_is_away }
    }

    /// The way back: what was new is old.
    pub fn reversed(&self) -> Self {
        let (old, new) = (Arc::clone(&self.new), Arc::clone(&self.old));
        MigratingVisitStore { old, new, ..self.clone() }
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Relaxed))]
    }

    /// Goes to another phase; batches that have begun end in the one before.
    pub fn switch(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// What was seen so far.
    pub fn counts(&self) -> MigrationCounts {
        let counters = &self.counters;
        MigrationCounts {
            compared: counters.compared.load(Relaxed),
            differing: counters.differing.load(Relaxed),
            copied: counters.copied.load(Relaxed),
            new_missed: counters.new_missed.load(Relaxed),
        }
    }

    /// Both stores' records; in `dual` a new store that is away has none.
    async fn load_both(&self, visitors: &[VisitorId], phase: Phase) -> Result<Option<Vec<Pair>>> {
        if phase == Phase::Dual && self.new_is_away.load(Relaxed) {
            // Nobody waits for it again until it answers.
            self.counters.new_missed.fetch_add(1, Relaxed);
            return Ok(None);
        }
        let (old, new) = futures::join!(self.old.load(visitors), self.new.load(visitors));
        let (old, new) = match (old?, new) {
            (old, Ok(new)) => (old, new),
            (_, Err(error)) if phase == Phase::Dual => {
                self.miss(&error);
                return Ok(None);
            }
            (_, Err(error)) => return Err(error),
        };
        let pairs = old.into_iter().zip(new).map(|(old, new)| {
            let (old_revision, new_revision) = (revision(&old), revision(&new));
            let tie_to_new = phase == Phase::NewFirst && new.is_some();
            let new_counts =
                new_revision > old_revision || (new_revision == old_revision && tie_to_new);
            Pair { old, new, new_counts }
        });
        Ok(Some(pairs.collect()))
    }

    /// The new store missed something; the visit goes on by the old one, alone until the new one
    /// answers again.
    fn miss(&self, error: &crate::base::error::Error) {
        self.counters.new_missed.fetch_add(1, Relaxed);
        if self.new_is_away.swap(true, Relaxed) {
            return;
        }
        tracing::warn!(%error, "the new visit store is away; the old one serves alone");
        let (new, is_away) = (Arc::clone(&self.new), Arc::clone(&self.new_is_away));
        tokio::spawn(async move {
            while new.load(&[VisitorId::nil()]).await.is_err() {
                tokio::time::sleep(PROBE_EVERY).await;
            }
            tracing::info!("the new visit store is back");
            is_away.store(false, Relaxed);
        });
    }

    /// Writes what the old store has taken to the new one too; gives those that did not go in.
    async fn follow(&self, swaps: Vec<Swap>, phase: Phase) -> Result<Vec<VisitorId>> {
        let outcomes = self.new.swap(&swaps).await?;
        let mut conflicts = Vec::new();
        for (swap, outcome) in swaps.into_iter().zip(outcomes) {
            match outcome {
                Swapped::Stored => {}
                // Somebody else was here. Where the old store leads, the newer record stays.
                Swapped::Conflict if phase == Phase::Dual => {
                    put_if_newer(&*self.new, swap).await?;
                }
                Swapped::Conflict => conflicts.push(swap.visitor),
            }
        }
        Ok(conflicts)
    }

    async fn swap_both(&self, swaps: &[Swap], phase: Phase) -> Result<Vec<Swapped>> {
        let visitors: Vec<VisitorId> = swaps.iter().map(|swap| swap.visitor).collect();
        let Some(pairs) = self.load_both(&visitors, phase).await? else {
            return self.old.swap(swaps).await;
        };
        let mut outcomes = vec![Swapped::Conflict; swaps.len()];
        let expected = |place: &usize| pairs[*place].newest() == swaps[*place].expected.as_ref();
        let places: Vec<usize> = (0..swaps.len()).filter(expected).collect();
        let of_old =
            |place: &usize| Swap { expected: pairs[*place].old.clone(), ..swaps[*place].clone() };
        let taken = self.old.swap(&places.iter().map(of_old).collect::<Vec<_>>()).await?;
        let taken: Vec<usize> = places
            .into_iter()
            .zip(taken)
            .filter(|(_, outcome)| *outcome == Swapped::Stored)
            .map(|(place, _)| place)
            .collect();
        let of_new =
            |place: &usize| Swap { expected: pairs[*place].new.clone(), ..swaps[*place].clone() };
        let follows: Vec<Swap> = taken.iter().map(of_new).collect();
        let conflicts = match self.follow(follows, phase).await {
            Ok(conflicts) => conflicts,
            Err(error) if phase == Phase::Dual => {
                self.miss(&error);
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        for place in taken {
            let pair = &pairs[place];
            let was_stale = pair.old.is_some() && !pair.new_counts && pair.old != pair.new;
            self.counters.copied.fetch_add(u64::from(was_stale), Relaxed);
            if !conflicts.contains(&swaps[place].visitor) {
                outcomes[place] = Swapped::Stored;
            }
        }
        Ok(outcomes)
    }
}

/// How often a record changed; 0 if there is none that can be read.
pub(super) fn revision(record: &Option<StoredRecord>) -> u64 {
    let decoded = record.as_deref().map(VisitorRecord::decode);
    decoded.and_then(Result::ok).map_or(0, |record| record.revision)
}

/// Writes a record unless the store has one that is as new; says whether it wrote.
pub(super) async fn put_if_newer(store: &dyn VisitStore, mut swap: Swap) -> Result<bool> {
    let own = VisitorRecord::decode(&swap.new)?.revision;
    loop {
        let found = store.load(&[swap.visitor]).await?.pop().flatten();
        if found.is_some() && revision(&found) >= own {
            return Ok(false);
        }
        swap.expected = found;
        if store.swap(std::slice::from_ref(&swap)).await? == [Swapped::Stored] {
            return Ok(true);
        }
    }
}

#[async_trait]
impl VisitStore for MigratingVisitStore {
    async fn load(&self, visitors: &[VisitorId]) -> Result<Vec<Option<StoredRecord>>> {
        let phase = self.phase();
        match phase {
            Phase::Old => return self.old.load(visitors).await,
            Phase::New => return self.new.load(visitors).await,
            Phase::Dual | Phase::NewFirst => {}
        }
        let Some(pairs) = self.load_both(visitors, phase).await? else {
            return self.old.load(visitors).await;
        };
        let differing = pairs.iter().filter(|pair| pair.old != pair.new).count();
        self.counters.compared.fetch_add(pairs.len() as u64, Relaxed);
        self.counters.differing.fetch_add(differing as u64, Relaxed);
        Ok(pairs.into_iter().map(|pair| pair.newest().cloned()).collect())
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<Swapped>> {
        match self.phase() {
            Phase::Old => self.old.swap(swaps).await,
            Phase::New => self.new.swap(swaps).await,
            phase => self.swap_both(swaps, phase).await,
        }
    }

    async fn scan(&self, from: Option<&str>, limit: usize) -> Result<RecordPage> {
        match self.phase() {
            Phase::Old | Phase::Dual => self.old.scan(from, limit).await,
            Phase::NewFirst | Phase::New => self.new.scan(from, limit).await,
        }
    }

    async fn probe(&self) -> Result<()> {
        match self.phase() {
            // Without the new one, the old one serves alone.
            Phase::Old | Phase::Dual => self.old.probe().await,
            Phase::NewFirst => {
                self.old.probe().await?;
                self.new.probe().await
            }
            Phase::New => self.new.probe().await,
        }
    }

    async fn sweep(&self) -> Result<()> {
        match self.phase() {
            Phase::Old => self.old.sweep().await,
            Phase::New => self.new.sweep().await,
            Phase::Dual | Phase::NewFirst => {
                let (old, new) = futures::join!(self.old.sweep(), self.new.sweep());
                old.and(new)
            }
        }
    }
}

#[cfg(test)]
#[path = "migrating_tests.rs"]
mod tests;
