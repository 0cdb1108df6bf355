//! The ids that name a run's interval and its attempts, in paths and documents.
//!
//! ```text
//! IntervalId   20261120T150000Z-20261121T150000Z     no `:`, sorts by time
//! AttemptId    01a21fb93f337475a340ffabbdb5a829      a UUID of version 7: unique, sorts by time
//! ```

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The name of an interval: `20261120T150000Z-20261121T150000Z`, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntervalId(String);

/// The name of one attempt at a run: letters and digits that grow with time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(String);

/// An attempt at a run, and the run's interval.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The run's interval.
    pub interval: IntervalId,
    /// The attempt.
    pub attempt: AttemptId,
}

impl IntervalId {
    /// An id as a document or a folder's name has it; whether it is one, [`IntervalId::bounds`]
    /// tells.
    pub fn new(text: impl Into<String>) -> Self {
        IntervalId(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its two halves, which sort as the instants that they are; none if it names no interval.
    pub fn bounds(&self) -> Option<(&str, &str)> {
        let is_instant = |text: &str| {
            text.len() == 16
                && text.bytes().enumerate().all(|(i, byte)| match i {
                    8 => byte == b'T',
                    15 => byte == b'Z',
                    _ => byte.is_ascii_digit(),
                })
        };
        let (start, end) = self.0.split_once('-')?;
        (is_instant(start) && is_instant(end) && start < end).then_some((start, end))
    }
}

impl AttemptId {
    /// An id as the caller, a document or a file's name has it.
    pub fn new(text: impl Into<String>) -> Self {
        AttemptId(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the attempt began; none if the id is no UUID of version 7.
    pub fn begun_at(&self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = uuid::Uuid::parse_str(&self.0).ok()?.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

impl AttemptKey {
    /// An attempt at the run of an interval.
    pub fn new(interval: &IntervalId, attempt: &AttemptId) -> Self {
        AttemptKey { interval: interval.clone(), attempt: attempt.clone() }
    }
}

impl fmt::Display for IntervalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.interval, self.attempt)
    }
}
