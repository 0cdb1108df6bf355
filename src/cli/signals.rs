//! SIGINT and SIGTERM stop a run.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::base::error::{Error, Result, Signal};

/// The first signal that came, if any.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    signal: Arc<OnceLock<Signal>>,
}

impl Stop {
    /// Watches for signals; the first cancels `cancel`.
    pub fn watch(cancel: CancellationToken) -> Result<Self> {
        let stop = Stop::default();
        for (kind, name) in [
            (SignalKind::interrupt(), Signal::Interrupt),
            (SignalKind::terminate(), Signal::Terminate),
        ] {
            let mut signals = signal(kind)
                .map_err(|error| Error::Unavailable(format!("watching for {name}: {error}")))?;
            let (stop, cancel) = (stop.clone(), cancel.clone());
            tokio::spawn(async move {
                if signals.recv().await.is_some() {
                    // Only the first signal counts.
                    let _ = stop.signal.set(name);
                    cancel.cancel();
                }
            });
        }
        Ok(stop)
    }

    /// The signal that came.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }
}
