//! What became of something that a crash left.

use std::fmt;

use crate::base::run_ids::AttemptKey;

/// What became of something that a crash left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// A publish was completed.
    RolledForward(AttemptKey),
    /// A publish could not be completed: the tables are as before, and its interval must be run
    /// again.
    RolledBack {
        /// The publish.
        publish: AttemptKey,
        /// The file that is neither staged nor in place.
        lost: String,
    },
    /// The staging folder of an attempt that did not come to publish was removed.
    StagingRemoved(AttemptKey),
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recovered::RolledForward(publish) => {
                write!(f, "the publish of {publish} was rolled forward")
            }
            Recovered::RolledBack { publish, lost } => {
                write!(f, "the publish of {publish} was rolled back, as {lost} is lost; ")?;
                f.write_str("run its interval again")
            }
            Recovered::StagingRemoved(attempt) => {
                write!(f, "the staged files of {attempt} were removed")
            }
        }
    }
}
