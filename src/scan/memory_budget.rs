//! The memory budget of reading ahead: backpressure in bytes, shared by all objects of a scan.
//!
//! ```text
//! object 3, whose turn it is   [line of 15 MiB]            goes on, if nothing of it is under way
//! object 4, ahead of its turn  wants 30 MiB for the next   waits for the budget, or its turn
//! ```
//!
//! Blocks of lines that wait, are decoded or wait for the queries count against the budget, and so
//! do buffers that grow for long lines and decompressors with large windows. So there are as many
//! blocks ahead as the memory is for: many of short lines, one of a long line. The object whose
//! turn it is gets on whatever the others hold, one block at a time, so that nobody waits for ever.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often who waits looks whether anybody still wants what it reads.
const LOOK: Duration = Duration::from_millis(50);

/// The memory budget of a scan, in bytes.
#[derive(Debug)]
pub struct ReadBudget {
    bytes: u64,
    state: Mutex<State>,
    freed: Condvar,
    cancel: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    /// The object whose turn it is, and what of it is under way.
    turn: usize,
    /// By objects ahead of their turn, and by that whose turn it is: blocks under way.
    blocks: std::collections::HashMap<usize, u64>,
}

/// What one object takes of the scan's budget.
#[derive(Debug, Clone)]
pub struct ObjectBudget {
    budget: Arc<ReadBudget>,
    object: usize,
}

/// Bytes of the budget, taken until this is dropped.
#[derive(Debug)]
pub struct BudgetPermit {
    budget: ObjectBudget,
    bytes: u64,
    is_block: bool,
}

impl ReadBudget {
    /// A budget of so many bytes; after a cancellation nobody waits for it.
    pub fn new(bytes: u64, cancel: CancellationToken) -> Arc<Self> {
        Arc::new(ReadBudget { bytes, state: Mutex::default(), freed: Condvar::new(), cancel })
    }

    /// The budget of an object by its number.
    pub fn of(self: &Arc<Self>, object: usize) -> ObjectBudget {
        ObjectBudget { budget: Arc::clone(self), object }
    }

    /// From now on it is this object's turn.
    pub fn set_turn(&self, object: usize) {
        self.state().turn = object;
        self.freed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectBudget {
    /// Waits until the budget allows a block, which goes through the scan; `is_wanted` says whether
    /// anybody still waits for it.
    pub fn take_block(&self, bytes: u64, is_wanted: impl Fn() -> bool) -> BudgetPermit {
        self.take(bytes, true, is_wanted)
    }

    /// Waits until the budget allows a buffer or a window, which stays with the object's reader.
    pub fn take_buffer(&self, bytes: u64) -> BudgetPermit {
        self.take(bytes, false, || true)
    }

    fn take(&self, bytes: u64, is_block: bool, is_wanted: impl Fn() -> bool) -> BudgetPermit {
        let budget = &self.budget;
        let mut state = budget.state();
        loop {
            let of_own = state.blocks.get(&self.object).copied().unwrap_or_default();
            let gets_on = state.turn == self.object && (!is_block || of_own == 0);
            let is_over = budget.cancel.is_cancelled() || !is_wanted();
            if state.taken.saturating_add(bytes) <= budget.bytes || gets_on || is_over {
                state.taken += bytes;
                if is_block {
                    *state.blocks.entry(self.object).or_default() += bytes;
                }
                return BudgetPermit { budget: self.clone(), bytes, is_block };
            }
            let waited = budget.freed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for BudgetPermit {
    fn drop(&mut self) {
        let ObjectBudget { budget, object } = &self.budget;
        let mut state = budget.state();
        state.taken -= self.bytes;
        if self.is_block
            && let Some(of_own) = state.blocks.get_mut(object)
        {
            *of_own -= self.bytes;
            if *of_own == 0 {
                state.blocks.remove(object);
            }
        }
        drop(state);
        budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn who_is_ahead_waits_and_whose_turn_it_is_gets_on_one_block_at_a_time() {
        let budget = ReadBudget::new(100, CancellationToken::new());
        let (first, second) = (budget.of(0), budget.of(1));
        let held = second.take_block(90, || true);
        let own = first.take_block(50, || true);
        let window = first.take_buffer(500);
        let (sender, taken) = mpsc::channel();
        let waiting = thread::spawn(move || {
            sender.send(first.take_block(50, || true)).unwrap();
        });
        assert!(taken.recv_timeout(Duration::from_millis(120)).is_err(), "one block is under way");
        drop(own);
        let own = taken.recv_timeout(Duration::from_secs(60)).unwrap();
        waiting.join().unwrap();
        let (sender, taken) = mpsc::channel();
        let waiting = thread::spawn(move || {
            sender.send(second.take_block(20, || true)).unwrap();
        });
        assert!(taken.recv_timeout(Duration::from_millis(120)).is_err(), "it is ahead");
        drop((own, window, held));
        taken.recv_timeout(Duration::from_secs(60)).unwrap();
        waiting.join().unwrap();
        assert_eq!(budget.state().blocks.len(), 0);
    }

    #[test]
    fn nobody_waits_for_what_nobody_wants() {
        let budget = ReadBudget::new(10, CancellationToken::new());
        let held = budget.of(1).take_block(10, || true);
        drop(budget.of(2).take_block(10, || false));
        budget.cancel.cancel();
        drop(budget.of(3).take_buffer(10));
        drop(held);
    }
}
