//! The memory of one output's query, in two parts that cannot starve each other.
//!
//! What can spill (the collecting half of sorts and aggregates) shares one part evenly and spills
//! when its share is full. What cannot (merges of spilled runs, hash tables of joins) takes from
//! the other as it comes. In a single pool the first would fill everything and the second fail.

use std::fmt;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// Share of the part for what can spill.
const SPILLING_PERCENT: usize = 55;

/// A pool in two parts.
#[derive(Debug)]
pub(crate) struct TwoPartPool {
    spilling: FairSpillPool,
    fixed: GreedyMemoryPool,
    bytes: usize,
}

impl TwoPartPool {
    /// A pool of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let spilling = bytes / 100 * SPILLING_PERCENT;
        TwoPartPool {
            spilling: FairSpillPool::new(spilling),
            fixed: GreedyMemoryPool::new(bytes - spilling),
            bytes,
        }
    }

    fn part_of(&self, consumer: &MemoryConsumer) -> &dyn MemoryPool {
        if consumer.can_spill() { &self.spilling } else { &self.fixed }
    }
}

impl fmt::Display for TwoPartPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for what spills, {} for the rest", self.spilling, self.fixed)
    }
}

impl MemoryPool for TwoPartPool {
    fn name(&self) -> &str {
        "two_part"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.part_of(consumer).register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.part_of(consumer).unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.part_of(reservation.consumer()).grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.part_of(reservation.consumer()).shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.part_of(reservation.consumer()).try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.spilling.reserved() + self.fixed.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}
