//! The readiness probe, `/readyz`: whether an event could be taken now.
//!
//! Under load the last request tells. Whoever balances the load sends nothing to a collector that
//! is not ready, though, and one that is idle knows nothing either: so while nothing comes, the
//! collector itself writes a record to the visit store, and a file to the spool's disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::spool::{Backlog, probe_disk};
use super::visits::VisitStore;
use crate::base::error::{Error, Result};

/// How often it is looked whether an event could be taken, while none is.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long that may take.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);
/// The share of the backlog's bound below which a collector is ready again that was not.
const READY_BACKLOG: f64 = 0.8;

/// What is known of whether an event could be taken.
#[derive(Debug)]
pub(super) struct Health {
    began: Instant,
    /// Whether the last event, or probe, was durable.
    is_able: AtomicBool,
    /// When one was, in milliseconds since it began.
    able_ms: AtomicU64,
    /// Whether too much waited for the object store, and no little does yet.
    is_full: AtomicBool,
    stopping: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            began: Instant::now(),
            is_able: AtomicBool::new(false),
            able_ms: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }
}

impl Health {
    /// Notes that events became durable, or did not.
    pub fn note(&self, is_able: bool) {
        if is_able {
            self.able_ms.store(self.age_ms(), Relaxed);
        }
        if self.is_able.load(Relaxed) != is_able {
            self.is_able.store(is_able, Relaxed);
        }
    }

    /// Says from now on that the collector is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Why an event could not be taken; nothing if it could.
    pub fn reasons(&self, backlog: &Backlog, backlog_bytes_max: u64) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.stopping.load(Relaxed) {
            reasons.push("stopping");
        }
        if self.is_full(backlog.bytes(), backlog_bytes_max) {
            reasons.push("the object store is behind");
        }
        if !self.is_able.load(Relaxed) {
            reasons.push("events cannot be made durable");
        }
        reasons
    }

    /// Whether the backlog is full, or was and is not much less yet: one that goes on and off
    /// would send all clients elsewhere and back each second.
    fn is_full(&self, bytes: u64, bytes_max: u64) -> bool {
        let share = bytes as f64 / bytes_max.max(1) as f64;
        let is_full = share >= 1.0 || share >= READY_BACKLOG && self.is_full.load(Relaxed);
        self.is_full.store(is_full, Relaxed);
        is_full
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether an event was made durable just now.
    fn is_fresh(&self) -> bool {
        let age_ms = self.age_ms().saturating_sub(self.able_ms.load(Relaxed));
        self.is_able.load(Relaxed) && u128::from(age_ms) < PROBE_EVERY.as_millis()
    }
}

/// Looks whether an event could be taken.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub health: Arc<Health>,
    pub visits: Arc<dyn VisitStore>,
    pub spool: PathBuf,
}

impl Probe {
    /// Looks while nothing else tells, for ever.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            if !self.health.is_fresh() {
                self.look().await;
            }
        }
    }

    /// Looks once.
    pub async fn look(&self) {
        let probed = tokio::time::timeout(PROBE_TIME_MAX, self.probe()).await;
        let probed = probed.unwrap_or_else(|_| {
            Err(Error::Unavailable(format!("no answer within {PROBE_TIME_MAX:?}")))
        });
        let was_able = self.health.is_able.load(Relaxed);
        match &probed {
            Err(error) if was_able => {
                tracing::warn!(%error, "not ready: an event could not be taken now");
            }
            Ok(()) if !was_able => tracing::info!("ready: events can be taken"),
            _ => {}
        }
        self.health.note(probed.is_ok());
    }

    async fn probe(&self) -> Result<()> {
        self.visits.probe().await?;
        let spool = self.spool.clone();
        tokio::task::spawn_blocking(move || probe_disk(&spool))
            .await
            .map_err(|error| Error::Bug(format!("probing the spool's disk: {error}")))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_backlog_is_ready_again_only_once_much_of_it_has_landed() {
        let health = Health::default();
        let ready = |bytes| !health.is_full(bytes, 100);
        assert_eq!([0, 79, 99].map(ready), [true; 3], "until an event would be refused");
        assert_eq!([100, 99, 80, 100].map(ready), [false; 4]);
        assert_eq!([79, 99].map(ready), [true; 2]);
    }
}
