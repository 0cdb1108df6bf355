//! Crash recovery: a publish that a crash cut short is rolled forward from its write-ahead intent.

use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::run_ids::AttemptId;
use crate::commit::documents::Intent;
use crate::commit::head::ReadHead;
use crate::commit::pipeline_state::Commit;
use crate::commit::recovered::Recovered;
use crate::commit::steps::{Publish, PublishEnd};

/// How often the head is looked at while another attempt publishes.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Rolls the publish of the pipeline that is under way forward, until there is none; gives the idle
/// head.
///
/// On disk the caller holds the publish lock, so its attempt is dead. In an object store it may be
/// alive, unless it is the caller's `own`: it is given time first, and beyond that helped, which
/// does no harm, as the steps are idempotent.
pub(super) fn recover(
    commit: &Commit,
    own: Option<&AttemptId>,
    recovered: &mut Vec<Recovered>,
) -> Result<ReadHead> {
    let Commit { context, state, .. } = commit;
    let mut waited = Duration::ZERO;
    let mut sequence = None;
    loop {
        let read = ReadHead::of(commit)?;
        let Some(publish) = read.head.publishing.clone() else { return Ok(read) };
        if sequence.replace(read.head.sequence) != Some(read.head.sequence) {
            waited = Duration::ZERO;
        }
        let may_live = state.folder().is_none() && Some(&publish.attempt) != own;
        if may_live && waited < context.patience {
            context.sleep(LOOK_AGAIN);
            waited += LOOK_AGAIN;
            continue;
        }
        let name = commit.intent_name(&publish);
        let Some(intent) = state.read_json::<Intent>(&name)? else {
            // It goes when the publish is over.
            if ReadHead::of(commit)?.is_publishing(&publish) {
                let intent = state.display_of(&name);
                let head = state.display_of(&commit.head_name());
                return Err(Error::config(format!(
                    "recovering the publish that {head} names: its intent {intent} is gone; \
                     restore it, or run that interval again after removing the head"
                )));
            }
            continue;
        };
        let end = Publish::new(commit, &intent)?.roll_forward();
        let doing = || format!("recovering the publish of {}", state.display_of(&name));
        recovered.extend(match end.map_err(|error| error.while_(doing()))? {
            PublishEnd::Done => Some(Recovered::RolledForward(publish)),
            PublishEnd::RolledBack { lost } => Some(Recovered::RolledBack { publish, lost }),
            PublishEnd::Overtaken => None,
        });
    }
}
