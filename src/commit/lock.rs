//! Advisory file locks between attempts, which the system lets go of when their process ends,
//! however it ends. Where the state is in an object store there are none: there the
//! compare-and-swap of the head keeps publishes apart.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::fs::{create_folders, disk_error, names_in};
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::pipeline_state::Commit;

/// How long, in steps of [`PUBLISH_WAIT_STEP`], another publish of the pipeline is waited for.
const PUBLISH_WAIT_STEPS: u32 = 600;
const PUBLISH_WAIT_STEP: Duration = Duration::from_millis(100);

/// The right to work on one task of an interval, held for the whole attempt.
///
/// Other tasks and intervals of the pipeline can be worked on at the same time.
#[derive(Debug)]
pub(super) struct TaskLock {
    /// Unlocked when it is dropped.
    _file: File,
}

/// The right to change the tables and the state of a pipeline, held for a short time.
#[derive(Debug)]
pub(super) struct PublishLock {
    _file: File,
}

impl TaskLock {
    /// Takes the lock, or fails with `Error::Unavailable` if another attempt holds it.
    pub(super) fn acquire(commit: &Commit, key: &AttemptKey, task: &str) -> Result<Option<Self>> {
        let Some(locks) = commit.locks_folder() else { return Ok(None) };
        let path = locks.join(format!("{}.{task}.lock", key.interval));
        let mut file = open_lock(&path)?;
        if !try_lock(&file, &path)? {
            return Err(Error::Unavailable(format!(
                "locking interval {} of pipeline `{}`: another attempt holds it ({}{}, {}); wait \
                 for it to end or stop it, then retry",
                key.interval,
                commit.pipeline,
                HOLDER,
                holder_of(&mut file),
                path.display()
            )));
        }
        let noted = file.set_len(0).and_then(|()| writeln!(file, "{HOLDER}{}", key.attempt));
        noted.map_err(|err| disk_error("writing", &path, &err))?;
        Ok(Some(TaskLock { _file: file }))
    }
}

impl PublishLock {
    /// Waits up to a minute for other publishes of the pipeline, then fails with
    /// `Error::Unavailable`.
    pub(super) fn acquire(commit: &Commit) -> Result<Option<Self>> {
        let Some(locks) = commit.locks_folder() else { return Ok(None) };
        let path = locks.join("publish.lock");
        let file = open_lock(&path)?;
        for _ in 0..PUBLISH_WAIT_STEPS {
            if try_lock(&file, &path)? {
                return Ok(Some(PublishLock { _file: file }));
            }
            sleep(PUBLISH_WAIT_STEP);
        }
        Err(Error::Unavailable(format!(
            "locking the tables of pipeline `{}`: another publish has held {} for a minute; wait \
             for it to end, then retry",
            commit.pipeline,
            path.display()
        )))
    }
}

/// The right to copy tables to one target, held for the whole copy: its marker comes and goes with
/// each, so that two at once could not tell whether it is whole.
#[derive(Debug)]
pub(super) struct CopyLock {
    _file: File,
}

impl CopyLock {
    /// Waits for other copies to the same target, with `pause` between looks; its error ends that.
    pub(super) fn acquire(
        commit: &Commit,
        target_id: &str,
        pause: impl Fn() -> Result<()>,
    ) -> Result<Option<Self>> {
        let Some(locks) = commit.locks_folder() else { return Ok(None) };
        let path = locks.join(format!("copy-{target_id}.lock"));
        let file = open_lock(&path)?;
        let mut is_told = false;
        while !try_lock(&file, &path)? {
            if !is_told {
                tracing::info!("waiting for another copy to the same target");
            }
            is_told = true;
            pause()?;
        }
        Ok(Some(CopyLock { _file: file }))
    }
}

/// What stands before the attempt's id in its lock.
const HOLDER: &str = "attempt ";

/// The attempts of an interval that are at work: those that hold a lock.
///
/// A staging folder that was there before this is asked, and whose attempt is not among them,
/// belongs to nobody: an attempt notes itself in its lock before it stages anything.
pub(super) fn live_attempts(commit: &Commit, interval: &IntervalId) -> Result<BTreeSet<AttemptId>> {
    let Some(folder) = commit.locks_folder() else { return Ok(BTreeSet::new()) };
    let is_own = |name: &String| {
        let task = name.strip_prefix(interval.as_str()).and_then(|rest| rest.strip_prefix('.'));
        task.is_some_and(|task| task.ends_with(".lock"))
    };
    let mut live = BTreeSet::new();
    for name in names_in(&folder)?.into_iter().filter(is_own) {
        let path = folder.join(name);
        let mut file = open_lock(&path)?;
        if !try_lock(&file, &path)? {
            live.insert(AttemptId::new(holder_of(&mut file)));
        }
    }
    Ok(live)
}

/// The attempt that holds a lock; empty if that cannot be read.
fn holder_of(file: &mut File) -> String {
    let mut text = String::new();
    // Of use for messages and to keep what is alive; both are fine without.
    let _ = file.read_to_string(&mut text);
    text.trim().strip_prefix(HOLDER.trim_end()).unwrap_or_default().trim().to_owned()
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

    use crate::commit::harness::{Harness, key};

    #[test]
    fn a_second_attempt_at_a_task_is_refused_and_learns_who_holds_the_lock() {
        let harness = Harness::on_disk();
        let commit = harness.commit();
        let first = TaskLock::acquire(&commit, &key("i", "a1"), "0-of-1").unwrap();
        let error = TaskLock::acquire(&commit, &key("i", "a2"), "0-of-1").unwrap_err();
        assert_eq!(error.exit_code(), 75);
        let message = error.to_string();
        assert!(message.contains("another attempt holds it (attempt a1,"), "{message}");
        drop(first);
        TaskLock::acquire(&commit, &key("i", "a2"), "0-of-1").unwrap();
    }

    #[test]
    fn other_tasks_and_intervals_run_side_by_side() {
        let harness = Harness::on_disk();
        let commit = harness.commit();
        let lock = |interval, attempt, task| {
            TaskLock::acquire(&commit, &key(interval, attempt), task).unwrap()
        };
        let _first = lock("i", "a1", "0-of-2");
        let _second = lock("i", "a2", "1-of-2");
        let _third = lock("j", "a3", "0-of-1");
        drop(lock("i", "a4", "0-of-1"));
        let live = live_attempts(&commit, &IntervalId::new("i")).unwrap();
        assert_eq!(live.into_iter().collect::<Vec<_>>(), ["a1", "a2"].map(AttemptId::new));
        assert!(live_attempts(&commit, &IntervalId::new("k")).unwrap().is_empty());
    }
}
