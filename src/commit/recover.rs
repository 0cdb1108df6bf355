//! What a crash left, and what becomes of it.

use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::commit::head::ReadHead;
use crate::commit::intent::Intent;
use crate::commit::state::State;
use crate::commit::steps::{Carried, Publish};
use crate::commit::supplies::CommitSupplies;
use crate::store::paths::RunPaths;

/// How often the head is looked at while another attempt publishes.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

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
    /// A publish could not be completed and was taken back: the tables are as before, and its
    /// interval must be run again.
    RolledBack {
        /// Its interval.
        interval: String,
        /// Its attempt.
        attempt: String,
        /// The file that is neither staged nor in place.
        lost: String,
    },
    /// The staging folder of an attempt that did not come to publish was removed.
    StagingRemoved {
        /// Its interval.
        interval: String,
        /// Its attempt.
        attempt: String,
    },
}

/// Carries out the publish of the pipeline that is under way, until there is none; gives the idle
/// head.
///
/// On disk the caller holds the publish lock, so its attempt is dead. In an object store it may be
/// alive: it is given time first, and beyond that helped, which does no harm.
pub(super) fn settle(
    state: &State,
    supplies: &CommitSupplies,
    paths: &RunPaths,
    recovered: &mut Vec<Recovered>,
) -> Result<ReadHead> {
    let mut waited = Duration::ZERO;
    let mut sequence = None;
    loop {
        let read = ReadHead::of(state, paths)?;
        let Some(publishing) = read.head.publishing.clone() else { return Ok(read) };
        if sequence.replace(read.head.sequence) != Some(read.head.sequence) {
            waited = Duration::ZERO;
        }
        let may_live = state.folder().is_none() && publishing.attempt != paths.attempt;
        if may_live && waited < supplies.patience {
            supplies.pause(LOOK_AGAIN);
            waited += LOOK_AGAIN;
            continue;
        }
        let of_publish = RunPaths {
            interval: publishing.interval.clone(),
            attempt: publishing.attempt.clone(),
            ..paths.clone()
        };
        let name = of_publish.intent();
        let Some(intent) = state.read_json::<Intent>(&name)? else {
            // It goes when the publish is over.
            if ReadHead::of(state, paths)?.is_publishing(&of_publish) {
                let (intent, head) = (state.display_of(&name), state.display_of(&paths.head()));
                return Err(Error::config(format!(
                    "recovering the publish that {head} names: its intent {intent} is gone; \
                     restore it, or run that interval again behind removing the head"
                )));
            }
            continue;
        };
        let carried = Publish::new(state, supplies, &intent)?.carry_out();
        let doing = || format!("recovering the publish of {}", state.display_of(&name));
        let RunPaths { interval, attempt, .. } = of_publish;
        recovered.extend(match carried.map_err(|error| error.while_(doing()))? {
            Carried::Done => Some(Recovered::RolledForward { interval, attempt }),
            Carried::TakenBack { lost } => Some(Recovered::RolledBack { interval, attempt, lost }),
            Carried::Overtaken => None,
        });
    }
}
