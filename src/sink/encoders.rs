//! The threads that encode, shared by all outputs of a run.

use std::fmt;
use std::sync::Arc;

use rayon::ThreadPool;

use crate::base::error::{Error, Result};

/// Threads that encode; clones share them.
#[derive(Clone)]
pub struct EncoderPool {
    pool: Arc<ThreadPool>,
}

impl EncoderPool {
    /// Starts `threads` threads; at least one.
    ///
    /// # Errors
    /// `Error::Unavailable` if the machine gives no more threads.
    pub fn new(threads: usize) -> Result<Self> {
        let builder = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|number| format!("encoder-{number}"));
        let pool = builder.build().map_err(|err| {
            Error::Unavailable(format!("starting {threads} threads that encode: {err}"))
        })?;
        Ok(EncoderPool { pool: Arc::new(pool) })
    }

    /// Runs `work` on these threads, its parallel iterators too, and waits for it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }
}

impl fmt::Debug for EncoderPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncoderPool({})", self.pool.current_num_threads())
    }
}
