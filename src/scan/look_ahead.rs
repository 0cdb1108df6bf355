//! The memory that reading ahead may take, in bytes, shared by all objects of a scan.
//!
//! ```text
//! object 3, whose turn it is   [line of 15 MiB]            goes on, if nothing of it is under way
//! object 4, ahead of its turn  wants 30 MiB for the next   waits until there is room, or its turn
//! ```
//!
//! Blocks of lines that wait, are decoded or wait for the queries take room, and so do buffers that
//! grow for long lines and decompressors with large windows. So there are as many blocks ahead as
//! the memory is for: many of short lines, one of a long line. The object whose turn it is gets on
//! whatever the others hold, one block at a time, so that nobody waits for ever.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often who waits looks whether anybody still wants what it reads.
const LOOK: Duration = Duration::from_millis(50);

/// The room of a scan.
#[derive(Debug)]
pub struct ReadRoom {
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

/// The room of one object.
#[derive(Debug, Clone)]
pub struct ObjectRoom {
    room: Arc<ReadRoom>,
    object: usize,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub struct TakenRoom {
    room: ObjectRoom,
    bytes: u64,
    is_block: bool,
}

impl ReadRoom {
    /// Room of so many bytes; after a cancellation nobody waits for it.
    pub fn new(bytes: u64, cancel: CancellationToken) -> Arc<Self> {
        Arc::new(ReadRoom { bytes, state: Mutex::default(), freed: Condvar::new(), cancel })
    }

    /// The room of an object by its number.
    pub fn of(self: &Arc<Self>, object: usize) -> ObjectRoom {
        ObjectRoom { room: Arc::clone(self), object }
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

impl ObjectRoom {
    /// Waits for room for a block, which goes through the scan; `is_wanted` says whether anybody
    /// still waits for it.
    pub fn take_block(&self, bytes: u64, is_wanted: impl Fn() -> bool) -> TakenRoom {
        self.take(bytes, true, is_wanted)
    }

    /// Waits for room for a buffer or a window, which stays with the object's reader.
    pub fn take_buffer(&self, bytes: u64) -> TakenRoom {
        self.take(bytes, false, || true)
    }

    fn take(&self, bytes: u64, is_block: bool, is_wanted: impl Fn() -> bool) -> TakenRoom {
        let room = &self.room;
        let mut state = room.state();
        loop {
            let of_own = state.blocks.get(&self.object).copied().unwrap_or_default();
            let gets_on = state.turn == self.object && (!is_block || of_own == 0);
            let is_over = room.cancel.is_cancelled() || !is_wanted();
            if state.taken.saturating_add(bytes) <= room.bytes || gets_on || is_over {
                state.taken += bytes;
                if is_block {
                    *state.blocks.entry(self.object).or_default() += bytes;
                }
                return TakenRoom { room: self.clone(), bytes, is_block };
            }
            let waited = room.freed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for TakenRoom {
    fn drop(&mut self) {
        let ObjectRoom { room, object } = &self.room;
        let mut state = room.state();
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
        room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn who_is_ahead_waits_and_whose_turn_it_is_gets_on_one_block_at_a_time() {
        let room = ReadRoom::new(100, CancellationToken::new());
        let (first, second) = (room.of(0), room.of(1));
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
        assert_eq!(room.state().blocks.len(), 0);
    }

    #[test]
    fn nobody_waits_for_what_nobody_wants() {
        let room = ReadRoom::new(10, CancellationToken::new());
        let held = room.of(1).take_block(10, || true);
        drop(room.of(2).take_block(10, || false));
        room.cancel.cancel();
        drop(room.of(3).take_buffer(10));
        drop(held);
    }
}
