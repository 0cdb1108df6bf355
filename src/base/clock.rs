//! The time that retries and limits go by.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

/// Tells the time and lets it pass.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time since a moment of the clock's own choice; it never goes back.
    fn now(&self) -> Duration;

    /// Ends when `pause` has passed.
    fn sleep(&self, pause: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock; its sleeps need a tokio runtime with time.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(pause))
    }
}

/// Tells the time of day, which may be set and so may go back.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since 1970, UTC.
    fn now_ms(&self) -> i64;
}

/// The machine's time of day.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    fn now_ms(&self) -> i64 {
        chrono::Utc::now().timestamp_millis()
    }
}

/// A time of day that tests set.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct TestWallClock(std::sync::Arc<std::sync::atomic::AtomicI64>);

#[cfg(test)]
impl TestWallClock {
    pub(crate) fn at(now_ms: i64) -> Self {
        let clock = TestWallClock::default();
        clock.set(now_ms);
        clock
    }

    pub(crate) fn set(&self, now_ms: i64) {
        self.0.store(now_ms, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl WallClock for TestWallClock {
    fn now_ms(&self) -> i64 {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// A clock on which time passes only by sleeping, and at once.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct TestClock(std::sync::Arc<std::sync::Mutex<Duration>>);

#[cfg(test)]
impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'static, ()> {
        let (clock, due) = (self.clone(), self.now() + pause);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut now = clock.0.lock().unwrap();
            *now = due.max(*now);
        })
    }
}
