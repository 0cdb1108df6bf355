//! The acts of a publish, each logged: failpoints of tests end the process before one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::BeforeAct;
use crate::base::error::Error;
use crate::base::failpoints::Failpoints;

/// Logs each act of a publish, and has the process die where a test says so.
pub(crate) fn before_act(failpoints: Failpoints) -> BeforeAct {
    let acts = AtomicU64::new(0);
    Arc::new(move |act| {
        tracing::debug!(act, "publishing");
        if Some(acts.fetch_add(1, Relaxed)) == failpoints.kill_at {
            // As a power cut would: nothing is written, closed or flushed any more.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)
                .map_err(|error| Error::Bug(format!("dying for a test: {error}")))?;
        }
        Ok(())
    })
}
