//! Deduplication by keys: those of events that were taken lately are known.
//!
//! A browser sends again what it got no response for. The last events' keys are kept in memory, and
//! beside the spool for the next start; of how many events is configured, which bounds how late a
//! copy is still known.
//!
//! ```text
//! 0199….ids    "ashiato keys v2\n"    then 32 bytes an event: two keys of 16, or one and zeros
//! before       16 bytes a key, of which an event has one or two
//! ```

use std::collections::HashSet;

use foldhash::fast::RandomState;

/// The keys of an event, as far as they are known.
pub(super) type DeduplicationKeys = [Option<u128>; 2];

/// How a file of keys begins. An earlier version, which knows no such beginning, takes it for one
/// more key.
const KEYS_MAGIC: [u8; KEY_BYTES] = *b"ashiato keys v2\n";
const KEY_BYTES: usize = 16;
/// Bytes of an event in a file of keys.
const EVENT_BYTES: usize = 2 * KEY_BYTES;

/// Keys of events that were taken lately: of at least as many as configured, at most twice that.
/// Clients choose what they are made of, so no client is to know how they are hashed.
#[derive(Debug)]
pub struct RecentIds {
    /// Events a generation.
    generation_max: usize,
    /// Events of the young generation.
    events: usize,
    young: HashSet<u128, RandomState>,
    old: HashSet<u128, RandomState>,
}

impl RecentIds {
    /// Knows at least the last `events_min` events.
    pub fn new(events_min: usize) -> Self {
        // All the memory at once: growing would stop all requests for as long as it takes to move
        // a million keys.
        let keys = events_min.saturating_mul(2);
        let generation = || HashSet::with_capacity_and_hasher(keys, Default::default());
        let (young, old) = (generation(), generation());
        RecentIds { generation_max: events_min.max(1), events: 0, young, old }
    }

    /// Whether an event with this key was taken lately.
    pub fn contains(&self, key: u128) -> bool {
        self.young.contains(&key) || self.old.contains(&key)
    }

    /// Notes that an event was taken, whatever the number of its keys.
    pub fn insert(&mut self, keys: DeduplicationKeys) {
        if self.events >= self.generation_max {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.events = 0;
        }
        self.events += 1;
        self.young.extend(keys.into_iter().flatten());
    }
}

/// The keys of a segment's events as a file, which begins as all of them do.
#[derive(Debug)]
pub(super) struct KeysFile(Vec<u8>);

impl KeysFile {
    pub fn new() -> Self {
        KeysFile(KEYS_MAGIC.to_vec())
    }

    /// Adds an event; one without keys cannot come again.
    pub fn push(&mut self, keys: DeduplicationKeys) {
        let mut keys = keys.into_iter().flatten();
        if let Some(first) = keys.next() {
            let second = keys.next().unwrap_or(0);
            self.0.extend_from_slice(&first.to_be_bytes());
            self.0.extend_from_slice(&second.to_be_bytes());
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The keys in a file, event by event. In one of an earlier version two keys count as an event, as
/// it may have two, so that none is forgotten too early.
pub(super) fn keys_in(file: &[u8]) -> impl Iterator<Item = DeduplicationKeys> {
    let (keys, _cut_off) = file.strip_prefix(&KEYS_MAGIC).unwrap_or(file).as_chunks::<KEY_BYTES>();
    keys.chunks(2).map(|event| {
        let key = |place: usize| event.get(place).map(|key| u128::from_be_bytes(*key));
        [key(0), key(1).filter(|key| *key != 0)]
    })
}

/// How many events are in a file of keys with so many bytes, of whichever version.
pub(super) fn events_in(file_bytes: u64) -> u64 {
    file_bytes / EVENT_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_events_as_asked_for_are_known_however_many_keys_they_have_and_memory_is_bounded() {
        for key_count in [1, 2] {
            let mut recent = RecentIds::new(100);
            let keys = |event: u128| [Some(event), Some(event + 5000).filter(|_| key_count == 2)];
            for event in 0..1000 {
                recent.insert(keys(event));
                let known = |key: u128| recent.contains(key);
                let mut last = event.saturating_sub(99)..=event;
                assert!(last.all(|event| keys(event).into_iter().flatten().all(known)), "{event}");
                assert!(recent.young.len() + recent.old.len() <= 200 * key_count);
            }
            assert!(!recent.contains(700));
        }
    }

    #[test]
    fn a_file_of_keys_is_read_as_it_was_written_and_so_is_one_of_an_earlier_version() {
        let events = [[Some(1), Some(2)], [Some(3), None], [Some(4), Some(u128::MAX)]];
        let mut file = KeysFile::new();
        events.iter().for_each(|keys| file.push(*keys));
        file.push([None, None]);
        assert_eq!(keys_in(file.bytes()).collect::<Vec<_>>(), events);
        assert_eq!(events_in(file.bytes().len() as u64), 3);
        let cut_off = &file.bytes()[..file.bytes().len() - 17];
        assert_eq!(keys_in(cut_off).last(), Some([Some(3), None]));
        let before: Vec<u8> = (1..=3_u128).flat_map(u128::to_be_bytes).collect();
        let keys: Vec<DeduplicationKeys> = keys_in(&before).collect();
        assert_eq!(keys, [[Some(1), Some(2)], [Some(3), None]]);
        assert_eq!(keys_in(&[]).count() + keys_in(KeysFile::new().bytes()).count(), 0);
    }
}
