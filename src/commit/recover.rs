//! What a crash left, and what becomes of it.
//!
//! | left | becomes |
//! |---|---|
//! | staging, no intent | removed: nothing of it was visible |
//! | half an intent (`.tmp`) | removed, likewise |
//! | an intent | all its steps are taken again: the publish is completed |
//! | an intent, a file neither staged nor in place | rolled back: the new files go |
//!
//! The last takes a hand that removed the file, as all staged bytes reach the disk before the
//! intent.

use std::path::PathBuf;

use crate::commit::durable::{names_in, remove_file, remove_folder};
use crate::commit::intent::Intent;
use crate::commit::lock::{IntervalLock, PublishLock, lock_of_dead_interval};
use crate::commit::manifest::read_manifest;
use crate::commit::steps::Publish;
use crate::error::Result;
use crate::store::paths::RunPaths;

/// What became of something that a crash left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// A publish was completed.
    RolledForward {
        /// Its interval.
        interval: String,
        /// Its attempt.
        attempt: String,
    },
    /// A publish could not be completed and was undone: its interval must be run again, as files of
    /// its earlier publish may be gone.
    RolledBack {
        /// Its interval.
        interval: String,
        /// Its attempt.
        attempt: String,
        /// The file that is neither staged nor in place.
        lost: PathBuf,
    },
    /// The staging folder of an attempt that did not come to publish was removed.
    StagingRemoved {
        /// Its interval.
        interval: String,
        /// Its attempt.
        attempt: String,
    },
}

/// Settles all that crashed attempts of the pipeline left; to be called when an attempt begins.
///
/// Other attempts at work are left alone: they hold the locks of their intervals.
pub fn recover(lock: &IntervalLock) -> Result<Vec<Recovered>> {
    let _publish_lock = PublishLock::acquire(lock.state_root(), lock.paths())?;
    let mut recovered = settle_intents(lock)?;
    let stagings = lock.paths().stagings(lock.state_root());
    for interval in names_in(&stagings)? {
        let paths = lock.paths().of_interval(&interval);
        let is_own = interval == lock.paths().interval;
        let dead = match is_own {
            true => None,
            false => lock_of_dead_interval(lock.state_root(), &paths)?,
        };
        if is_own || dead.is_some() {
            recovered.extend(remove_stagings(lock, &paths)?);
        }
    }
    Ok(recovered)
}

/// Completes or undoes each publish that was cut short; the caller holds the publish lock.
pub(super) fn settle_intents(lock: &IntervalLock) -> Result<Vec<Recovered>> {
    let folder = lock.paths().intents(lock.state_root());
    let mut recovered = Vec::new();
    for name in names_in(&folder)? {
        let path = folder.join(&name);
        if !name.ends_with(".json") {
            remove_file(&path)?;
            continue;
        }
        let Some(intent) = Intent::read(&path)? else { continue };
        let publish = Publish::new(lock.state_root(), &intent);
        let settled = settle(&publish);
        recovered.push(
            settled.map_err(|err| {
                err.while_(format!("recovering the publish of {}", path.display()))
            })?,
        );
    }
    Ok(recovered)
}

fn settle(publish: &Publish<'_>) -> Result<Recovered> {
    let RunPaths { interval, attempt, .. } = publish.paths.clone();
    let manifest = read_manifest(&publish.paths.manifest(publish.state_root))?;
    let is_in_place = manifest.is_some_and(|manifest| manifest.attempt == attempt);
    let mut steps = publish.steps();
    if is_in_place {
        // All files were moved before: what became of them since is not this publish's matter.
        steps.retain(|step| !step.moves_a_file());
    } else if let Some(lost) = publish.find_lost_file()? {
        publish.roll_back()?;
        return Ok(Recovered::RolledBack { interval, attempt, lost });
    }
    steps.into_iter().try_for_each(|step| publish.take_step(step))?;
    Ok(Recovered::RolledForward { interval, attempt })
}

fn remove_stagings(lock: &IntervalLock, paths: &RunPaths) -> Result<Vec<Recovered>> {
    let folder = paths.stagings(lock.state_root()).join(&paths.interval);
    let mut removed = Vec::new();
    for attempt in names_in(&folder)? {
        let is_live = paths == lock.paths() && attempt == paths.attempt;
        if is_live {
            continue;
        }
        remove_folder(&folder.join(&attempt))?;
        removed.push(Recovered::StagingRemoved { interval: paths.interval.clone(), attempt });
    }
    if paths.interval != lock.paths().interval {
        remove_folder(&folder)?;
    }
    Ok(removed)
}
