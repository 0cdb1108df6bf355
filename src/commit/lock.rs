//! Locks between attempts: advisory locks on files, which the system lets go of when their process
//! ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use crate::commit::durable::{create_folders, disk_error};
use crate::error::{Error, Result};
use crate::store::paths::RunPaths;

/// How long, in steps of [`PUBLISH_WAIT_STEP`], another publish of the pipeline is waited for.
const PUBLISH_WAIT_STEPS: u32 = 600;
const PUBLISH_WAIT_STEP: Duration = Duration::from_millis(100);

/// The right to work on one interval of a pipeline, held for the whole attempt.
///
/// Other intervals of the pipeline can be worked on at the same time.
#[derive(Debug)]
pub struct IntervalLock {
    state_root: PathBuf,
    paths: RunPaths,
    /// Unlocked when it is dropped.
    _file: File,
}

/// The right to change the tables and the state of a pipeline, held for a short time.
#[derive(Debug)]
pub(super) struct PublishLock {
    _file: File,
}

impl IntervalLock {
    /// Takes the lock, or fails with `Error::Unavailable` if another attempt holds it.
    pub fn acquire(state_root: &Path, paths: &RunPaths) -> Result<Self> {
        let path = paths.interval_lock(state_root);
        let mut file = open_lock(&path)?;
        if !try_lock(&file, &path)? {
            let mut holder = String::new();
            // Only for the message: a holder that cannot be read is left out.
            let _ = file.read_to_string(&mut holder);
            return Err(Error::Unavailable(format!(
                "locking interval {} of pipeline `{}`: another attempt holds it ({}, {}); wait for \
                 it to end or stop it, then retry",
                paths.interval,
                paths.pipeline,
                holder.trim(),
                path.display()
            )));
        }
        let noted = file.set_len(0).and_then(|()| writeln!(file, "attempt {}", paths.attempt));
        noted.map_err(|err| disk_error("writing", &path, &err))?;
        Ok(IntervalLock { state_root: state_root.to_path_buf(), paths: paths.clone(), _file: file })
    }

    /// The folder of all pipelines' state.
    pub fn state_root(&self) -> &Path {
        &self.state_root
    }

    /// The names of the attempt that holds the lock.
    pub fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// The folder in which the attempt builds its files.
    pub fn staging(&self) -> PathBuf {
        self.paths.staging(&self.state_root)
    }
}

impl PublishLock {
    /// Waits up to a minute for other publishes of the pipeline, then fails with
    /// `Error::Unavailable`.
    pub(super) fn acquire(state_root: &Path, paths: &RunPaths) -> Result<Self> {
        let path = paths.publish_lock(state_root);
        let file = open_lock(&path)?;
        for _ in 0..PUBLISH_WAIT_STEPS {
            if try_lock(&file, &path)? {
                return Ok(PublishLock { _file: file });
            }
            sleep(PUBLISH_WAIT_STEP);
        }
        Err(Error::Unavailable(format!(
            "locking the tables of pipeline `{}`: another publish has held {} for a minute; wait \
             for it to end, then retry",
            paths.pipeline,
            path.display()
        )))
    }
}

/// Takes the lock of another interval, if no attempt holds it: then none of its attempts lives.
pub(super) fn lock_of_dead_interval(state_root: &Path, paths: &RunPaths) -> Result<Option<File>> {
    let path = paths.interval_lock(state_root);
    let file = open_lock(&path)?;
    Ok(try_lock(&file, &path)?.then_some(file))
}

fn open_lock(path: &Path) -> Result<File> {
    path.parent().map_or(Ok(()), create_folders)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|err| disk_error("opening lock", path, &err))
}

fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(err)) => Err(disk_error("locking", path, &err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(interval: &str, attempt: &str) -> RunPaths {
        RunPaths { pipeline: "p".into(), interval: interval.into(), attempt: attempt.into() }
    }

    #[test]
    fn a_second_attempt_of_an_interval_waits_its_turn_and_learns_who_holds_it() {
        let state = tempfile::tempdir().unwrap();
        let first = IntervalLock::acquire(state.path(), &paths("i", "a1")).unwrap();
        let error = IntervalLock::acquire(state.path(), &paths("i", "a2")).unwrap_err();
        assert_eq!(error.exit_code(), 75);
        let message = error.to_string();
        assert!(message.contains("another attempt holds it (attempt a1"), "{message}");
        drop(first);
        IntervalLock::acquire(state.path(), &paths("i", "a2")).unwrap();
    }

    #[test]
    fn other_intervals_run_side_by_side() {
        let state = tempfile::tempdir().unwrap();
        let _first = IntervalLock::acquire(state.path(), &paths("i", "a1")).unwrap();
        let _second = IntervalLock::acquire(state.path(), &paths("j", "a2")).unwrap();
        assert!(lock_of_dead_interval(state.path(), &paths("i", "")).unwrap().is_none());
        assert!(lock_of_dead_interval(state.path(), &paths("k", "")).unwrap().is_some());
    }
}
