//! Work that nobody waits for, on threads that give way to those that answer somebody.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::{Error, Result};

/// How much such a thread gives way: 0 is not at all, 19 most.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// How long work goes on without a rest.
const WORK_TIME: Duration = Duration::from_millis(1);
/// How long a rest is, as a multiple of the work before it.
const REST_FACTOR: u32 = 3;
/// How long a rest is at most.
const REST_TIME_MAX: Duration = Duration::from_millis(25);

/// Spreads work over time: as a burst it would keep those waiting who are answered meanwhile, even
/// from a thread that gives way, for cores share their caches and the disk is one.
pub(crate) struct Pace {
    hurries: Box<dyn Fn() -> bool + Send>,
    since: Instant,
}

impl Pace {
    /// Work that rests unless it `hurries`.
    pub fn new(hurries: impl Fn() -> bool + Send + 'static) -> Self {
        Pace { hurries: Box::new(hurries), since: Instant::now() }
    }

    /// Rests, if there was some work since the last rest; asked after each small piece.
    pub fn rest(&mut self) {
        let worked = self.since.elapsed();
        if worked < WORK_TIME {
            return;
        }
        if !(self.hurries)() {
            std::thread::sleep((worked * REST_FACTOR).min(REST_TIME_MAX));
        }
        self.since = Instant::now();
    }
}

/// Does something on a thread that gives way, while other tasks go on.
///
/// # Errors
/// What it says; [`Error::Unavailable`] if there can be no more threads.
pub(crate) async fn in_background<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("background".to_owned());
    let spawned = thread.spawn(move || {
        give_way();
        // Who waited may have gone.
        let _ = sender.send(work());
    });
    spawned.map_err(|error| Error::Unavailable(format!("{doing}: starting a thread: {error}")))?;
    done.await.map_err(|_| Error::Bug(format!("{doing}: the thread panicked")))?
}

/// Starts something whose own threads are to give way: they inherit that from the thread that
/// starts them.
pub(crate) fn with_threads_that_give_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            give_way();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Lets this thread's priority be low, on Linux, where priorities are of threads.
fn give_way() {
    #[cfg(target_os = "linux")]
    if niceness() < NICENESS {
        use nix::libc::{PRIO_PROCESS, setpriority};
        // SAFETY: it takes any numbers; 0 is this thread. Where it is refused nothing changes.
        unsafe { setpriority(PRIO_PROCESS, 0, NICENESS) };
    }
}

/// How much this thread gives way already.
#[cfg(target_os = "linux")]
fn niceness() -> i32 {
    use nix::libc::{PRIO_PROCESS, getpriority};
    // SAFETY: it takes any numbers; 0 is this thread.
    unsafe { getpriority(PRIO_PROCESS, 0) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn threads_of_what_is_started_give_way_and_the_starter_does_not() {
        let before = niceness();
        let inherited = with_threads_that_give_way(|| std::thread::spawn(niceness).join().unwrap());
        assert_eq!((inherited, niceness()), (NICENESS.max(before), before));
    }
}
