//! Threads for work that waits as long as a scan lasts.
//!
//! The runtime has a bounded number of threads for blocking work, and reading a file takes one for
//! a moment. If scans held all of them, each waiting for its first bytes, none would ever get any:
//! so some hundred `UNION ALL` of logs would stand still. What waits for others has threads of its
//! own, as many as it takes; an idle one is used again.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// As many as there may be at all: the system has a limit of its own.
const THREADS_MAX: usize = 1 << 20;

static THREADS: LazyLock<Option<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().max_blocking_threads(THREADS_MAX).build().ok());

/// Runs `work` on a thread of its own, within `runtime`.
pub(crate) fn spawn_long(runtime: &Handle, work: impl FnOnce() + Send + 'static) {
    let within = runtime.clone();
    let work = move || {
        let _entered = within.enter();
        work();
    };
    // Nobody waits for the thread itself: what it sends, or does not, says how it ended.
    match THREADS.as_ref() {
        Some(threads) => drop(threads.spawn_blocking(work)),
        None => drop(runtime.spawn_blocking(work)),
    }
}
