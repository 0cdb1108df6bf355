//! What a run needs from the world.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::base::failpoints::Failpoints;
use crate::base::telemetry::Progress;
use crate::commit::CommitContext;
use crate::store::Stores;

/// What a run needs from the world.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// What all stores share, the environment's variables among it.
    pub stores: Stores,
    /// What committing needs.
    pub commit: CommitContext,
    /// Raised as the work goes on.
    pub progress: Arc<Progress>,
    /// Stops the run, up to the moment at which it publishes.
    pub cancel: CancellationToken,
    /// Set when the run begins to publish, from where it must come to its end.
    pub publishing: Arc<AtomicBool>,
    /// The time of publishing.
    pub now: DateTime<Utc>,
    /// What a test has go wrong.
    pub failpoints: Failpoints,
}
