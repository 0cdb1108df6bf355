//! The time of day that the collector goes by: one that jumps is believed only once it has stood.
//!
//! A clock that is a year ahead for a moment (a virtual machine that is restored, a wrong time
//! server) would give visits and segments of that moment times to come. The machine's other clock,
//! which only counts, tells what time it should be; and only if the time of day stays away from
//! that for a minute, it is followed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::clock::WallClock;

/// What may lie between two readings beyond the time that has passed.
const STEP_MS_MAX: u64 = 5 * 60_000;
/// How long a clock that jumped must stand to be believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(60);

/// A clock that does not jump for a moment.
#[derive(Debug)]
pub(super) struct SteadyClock {
    clock: Arc<dyn WallClock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A reading that was believed, and when that was.
    believed: (i64, Instant),
    /// Since when readings are not.
    jumped: Option<Instant>,
}

impl SteadyClock {
    /// Believes what a clock says now.
    pub fn new(clock: Arc<dyn WallClock>) -> Self {
        let believed = (clock.now_ms(), Instant::now());
        SteadyClock { clock, state: Mutex::new(State { believed, jumped: None }) }
    }

    /// The time of day at a moment at which the clock says `read_ms`.
    fn at(&self, read_ms: i64, now: Instant) -> i64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (believed_ms, since) = state.believed;
        let passed = now.saturating_duration_since(since).as_millis();
        let expected_ms = believed_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        if read_ms.abs_diff(expected_ms) > STEP_MS_MAX {
            let jumped = *state.jumped.get_or_insert_with(|| {
                let by_ms = read_ms.saturating_sub(expected_ms);
                tracing::warn!(by_ms, "the clock jumped; following it if it stays so for a minute");
                now
            });
            if now.saturating_duration_since(jumped) < BELIEVED_AFTER {
                return expected_ms;
            }
            tracing::warn!("the clock has stayed so: following it");
        }
        *state = State { believed: (read_ms, now), jumped: None };
        read_ms
    }
}

impl WallClock for SteadyClock {
    fn now_ms(&self) -> i64 {
        self.at(self.clock.now_ms(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::TestWallClock;

    #[test]
    fn a_jump_is_followed_once_it_has_stood_for_a_minute_and_not_before() {
        const YEAR: i64 = 365 * 24 * 3_600_000;
        let clock = SteadyClock::new(Arc::new(TestWallClock::at(0)));
        let began = clock.state.lock().unwrap().believed.1;
        let at = |second: u64, read_ms: i64| clock.at(read_ms, began + Duration::from_secs(second));
        assert_eq!(at(1, 1000), 1000);
        assert_eq!(at(2, 200_000), 200_000, "a step is a step");
        assert_eq!(at(3, 2000), 2000);
        for jump in [YEAR, -YEAR] {
            assert_eq!(at(4, jump), 3000);
            assert_eq!(at(63, jump), 62_000);
            assert_eq!(at(63, 62_500), 62_500, "it was for a moment");
            assert_eq!(at(3, 2000), 2000);
        }
        assert_eq!(at(4, YEAR), 3000);
        assert_eq!(at(64, YEAR + 60_000), YEAR + 60_000);
        assert_eq!(at(65, YEAR + 61_000), YEAR + 61_000);
    }
}
