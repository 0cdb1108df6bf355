//! What a pipeline has published, now and before.
//!
//! ```text
//! manifests/<day>/manifest.json ─ previous: a1 ─► history/a1.json ─ previous: a0 ─► …/a0.json
//! manifests/<hour>/history/h0.json              its interval was replaced by the day
//! ```

use serde::Serialize;

use crate::base::error::Result;
use crate::commit::manifest::{Manifest, known_intervals, read_manifest};
use crate::commit::state::State;
use crate::store::paths::RunPaths;

/// Whether a publish is what readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is what readers see of its interval.
    Current,
    /// A later publish of its interval, or of one around it, has replaced it.
    Replaced,
}

/// One publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastPublish {
    /// Whether it is what readers see.
    pub standing: Standing,
    /// What it published.
    #[serde(flatten)]
    pub manifest: Manifest,
}

/// The publishes of all intervals, sorted by interval, and by time within one.
pub fn list_publishes(state: &State, paths: &RunPaths) -> Result<Vec<PastPublish>> {
    let mut publishes = Vec::new();
    for interval in known_intervals(state, paths)? {
        publishes.extend(publishes_of(state, &paths.of_interval(&interval))?);
    }
    Ok(publishes)
}

/// The publishes of one interval, the first one first.
pub fn publishes_of(state: &State, paths: &RunPaths) -> Result<Vec<PastPublish>> {
    let mut publishes = Vec::new();
    // Attempts' ids grow with time.
    for name in state.names_in(&paths.history())? {
        let Some(attempt) = name.strip_suffix(".json") else { continue };
        let manifest = state.read_json(&paths.past_manifest(attempt))?;
        let past = |manifest| PastPublish { standing: Standing::Replaced, manifest };
        publishes.extend(manifest.map(past));
    }
    if let Some(manifest) = read_manifest(state, paths)? {
        // A publish that is under way has written the history before the manifest.
        publishes.retain(|past| past.manifest.attempt != manifest.attempt);
        publishes.push(PastPublish { standing: Standing::Current, manifest });
    }
    Ok(publishes)
}
