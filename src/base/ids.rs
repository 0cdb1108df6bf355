//! Where new ids come from.

use std::fmt;

use uuid::Uuid;

/// Gives ids that were never given before.
pub trait Ids: fmt::Debug + Send + Sync {
    /// A new id; ids of later milliseconds sort after those of earlier ones.
    fn next(&self, now_ms: i64) -> Uuid;
}

/// UUIDs of version 7 (RFC 9562): the time in milliseconds, then 74 random bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn next(&self, now_ms: i64) -> Uuid {
        // Bytes of a version 4 that are all random; the time comes from the caller.
        let random = Uuid::new_v4().into_bytes();
        let mut bits = [0; 10];
        bits[..6].copy_from_slice(&random[..6]);
        bits[6..].copy_from_slice(&random[10..14]);
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(now_ms, &bits).into_uuid()
    }
}

/// Ids that count up, for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct CountedIds(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Ids for CountedIds {
    fn next(&self, _now_ms: i64) -> Uuid {
        let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        Uuid::from_u64_pair(0, count)
    }
}
