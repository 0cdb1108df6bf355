//! Ids of events that were taken lately, so that one that is sent again is taken once.
//!
//! A browser sends again what it got no answer for. The last ids are kept in memory, and beside the
//! spool for the next start; how many is configured, which bounds how late a copy is still known.

use std::collections::HashSet;

use foldhash::fast::RandomState;

/// Ids that were taken lately: at least as many as configured, at most twice that. Clients choose
/// them, so no client is to know how they are hashed.
#[derive(Debug)]
pub struct RecentIds {
    /// Ids a generation.
    generation_max: usize,
    young: HashSet<u128, RandomState>,
    old: HashSet<u128, RandomState>,
}

impl RecentIds {
    /// Knows at least the last `ids_min` ids.
    pub fn new(ids_min: usize) -> Self {
        // All the memory at once: growing would stop all requests for as long as it takes to move
        // half a million ids.
        let generation = || HashSet::with_capacity_and_hasher(ids_min, Default::default());
        RecentIds { generation_max: ids_min.max(1), young: generation(), old: generation() }
    }

    /// Whether an id was taken lately.
    pub fn contains(&self, id: u128) -> bool {
        self.young.contains(&id) || self.old.contains(&id)
    }

    /// Notes that an id was taken.
    pub fn insert(&mut self, id: u128) {
        if self.young.len() >= self.generation_max {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(id);
    }

    /// Ids that are known.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_ids_as_asked_for_are_known_and_memory_is_bounded() {
        let mut recent = RecentIds::new(100);
        for id in 0..1000 {
            recent.insert(id);
            assert!((id.saturating_sub(99)..=id).all(|known| recent.contains(known)), "{id}");
            assert!(recent.len() <= 200);
        }
        assert!(!recent.contains(700));
    }
}
