//! The staging folders in which attempts build the files of tables on disk.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::fs::{names_in, remove_empty_folder, remove_folder};
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::lock::live_attempts;
use crate::commit::pipeline_state::Commit;

/// Removes an attempt's staging folder, and its interval's if it was the last; there is none if the
/// state is in an object store.
pub(super) fn remove_staging(staging: Option<PathBuf>) -> Result<()> {
    let Some(staging) = staging else { return Ok(()) };
    remove_folder(&staging)?;
    staging.parent().map_or(Ok(true), remove_empty_folder).map(|_| ())
}

/// Removes staging folders on disk whose attempts are dead and have left no pending record, or only
/// tells them.
pub(super) fn remove_dead_stagings(commit: &Commit, is_dry_run: bool) -> Result<Vec<AttemptKey>> {
    let Some(folder) = commit.stagings_folder() else { return Ok(Vec::new()) };
    let mut removed = Vec::new();
    for interval in names_in(&folder)? {
        let interval = IntervalId::new(interval);
        let attempts = names_in(&folder.join(interval.as_str()))?.into_iter().map(AttemptId::new);
        // The staging folders are listed before the locks are looked at: an attempt locks first.
        let attempts: Vec<AttemptId> = attempts.collect();
        let live = live_attempts(commit, &interval)?;
        let pending: BTreeSet<AttemptId> = commit
            .pending_names(&interval)?
            .iter()
            .filter_map(|name| Some(name.rsplit('/').next()?.strip_suffix(".json")?.to_owned()))
            .map(AttemptId::new)
            .collect();
        for attempt in attempts {
            if live.contains(&attempt) || pending.contains(&attempt) {
                continue;
            }
            let key = AttemptKey::new(&interval, &attempt);
            if !is_dry_run {
                remove_staging(commit.staging_folder(&key))?;
            }
            removed.push(key);
        }
    }
    Ok(removed)
}
