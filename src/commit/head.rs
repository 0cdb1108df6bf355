//! Optimistic concurrency: of publishes that begin at once, one wins the compare-and-swap of
//! `head.json`.
//!
//! ```text
//! idle, sequence 7 ─► publishing 20261121T…/a1, sequence 8 ─► idle, sequence 9
//!          compare-and-swap                        compare-and-swap
//! ```
//!
//! Each arrow replaces the version that was read, so that of two attempts one begins, and nobody
//! can publish what was planned before the other's publish. No state of it comes twice.

use crate::base::error::Result;
use crate::base::run_ids::AttemptKey;
use crate::commit::documents::{Head, Intent};
use crate::commit::pipeline_state::Commit;
use crate::commit::state::{Version, to_json};

/// A head as it was read.
#[derive(Debug)]
pub(super) struct ReadHead {
    pub(super) head: Head,
    /// None if there is no head yet.
    version: Option<Version>,
}

impl ReadHead {
    /// The head of a pipeline as it is now.
    pub(super) fn of(commit: &Commit) -> Result<Self> {
        let Some(document) = commit.state.read(&commit.head_name())? else {
            return Ok(ReadHead { head: Head::new(), version: None });
        };
        Ok(ReadHead { head: document.parse()?, version: Some(document.version) })
    }

    /// Begins a publish; says whether nobody else was faster.
    pub(super) fn begin(self, commit: &Commit, key: &AttemptKey) -> Result<bool> {
        self.swap(commit, |head| {
            head.publishing = Some(key.clone());
            Ok(())
        })
    }

    /// Ends the publish that is under way, if it still is this one; says whether it was.
    pub(super) fn end(self, commit: &Commit, intent: &Intent, is_done: bool) -> Result<bool> {
        if !self.is_publishing(&intent.key()) {
            return Ok(false);
        }
        let published = intent.last_publishes()?;
        self.swap(commit, |head| {
            head.publishing = None;
            if is_done {
                head.folder = intent.folder.clone().or_else(|| head.folder.take());
                head.set_last(published)?;
            }
            Ok(())
        })
    }

    /// Whether this very publish is under way.
    pub(super) fn is_publishing(&self, key: &AttemptKey) -> bool {
        self.head.publishing.as_ref() == Some(key)
    }

    /// Replaces the head as a whole; says whether nobody else was faster.
    pub(super) fn replace(self, commit: &Commit, head: Head) -> Result<bool> {
        self.swap(commit, |own| {
            let sequence = own.sequence.max(head.sequence + 1);
            *own = head;
            own.sequence = sequence;
            Ok(())
        })
    }

    fn swap(self, commit: &Commit, change: impl FnOnce(&mut Head) -> Result<()>) -> Result<bool> {
        let mut head = self.head;
        head.sequence += 1;
        change(&mut head)?;
        commit.state.swap(&commit.head_name(), self.version.as_ref(), &to_json(&head)?)
    }
}
