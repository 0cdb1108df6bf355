//! The hour that an object's records are of.

use chrono::{DateTime, Days, FixedOffset, Utc};

/// The hour that an object's records are of.
#[derive(Debug, Clone)]
pub(super) struct Hour {
    /// Milliseconds since the epoch at its beginning.
    pub(super) start_ms: i64,
    /// `2026-11-21T13:`
    pub(super) local: String,
    /// `2026-11-21T04:`
    pub(super) utc: String,
    /// Days in the near future.
    pub(super) delivery_days: [String; 3],
}

impl Hour {
    pub(super) fn starting_at(start: DateTime<FixedOffset>) -> Self {
        let day = |days| {
            let day = start.date_naive().checked_add_days(Days::new(days));
            day.unwrap_or(start.date_naive()).to_string()
        };
        Hour {
            start_ms: start.timestamp_millis(),
            local: start.format("%Y-%m-%dT%H:").to_string(),
            utc: start.with_timezone(&Utc).format("%Y-%m-%dT%H:").to_string(),
            delivery_days: [day(1), day(3), day(5)],
        }
    }
}
