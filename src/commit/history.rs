//! What a pipeline has published, now and before.
//!
//! ```text
//! manifests/<day>/manifest.json ─ previous: a1 ─► history/a1.json ─ previous: a0 ─► …/a0.json
//! manifests/<hour>/history/h0.json              its interval was replaced by the day
//! ```

use serde::Serialize;

use crate::base::error::Result;
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::documents::Manifest;
use crate::commit::pipeline_state::Commit;

/// Whether a publish is what readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishStatus {
    /// It is what readers see of its interval.
    Current,
    /// A later publish of its interval, or of one around it, has replaced it.
    Replaced,
}

/// One publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastPublish {
    /// Whether it is what readers see.
    #[serde(rename = "standing")]
    pub status: PublishStatus,
    /// What it published.
    #[serde(flatten)]
    pub manifest: Manifest,
}

impl Commit {
    /// The publishes of all intervals, sorted by interval, and by time within one.
    pub fn list_publishes(&self) -> Result<Vec<PastPublish>> {
        let mut publishes = Vec::new();
        for interval in self.known_intervals()? {
            publishes.extend(self.publishes_of(&interval)?);
        }
        Ok(publishes)
    }

    /// The publishes of one interval, the first one first.
    pub fn publishes_of(&self, interval: &IntervalId) -> Result<Vec<PastPublish>> {
        let mut publishes = Vec::new();
        // Attempts' ids grow with time.
        for name in self.state.names_in(&self.history_folder(interval))? {
            let Some(attempt) = name.strip_suffix(".json") else { continue };
            let key = AttemptKey::new(interval, &AttemptId::new(attempt));
            let manifest = self.state.read_json(&self.past_manifest_name(&key))?;
            let past = |manifest| PastPublish { status: PublishStatus::Replaced, manifest };
            publishes.extend(manifest.map(past));
        }
        if let Some(manifest) = self.read_manifest(interval)? {
            // A publish that is under way has written the history before the manifest.
            publishes.retain(|past| past.manifest.attempt != manifest.attempt);
            publishes.push(PastPublish { status: PublishStatus::Current, manifest });
        }
        Ok(publishes)
    }
}
