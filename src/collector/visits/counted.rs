//! Deduplication by marks: which events a visitor's record has counted lately, so that one that
//! comes again counts once.
//!
//! A browser sends again what it has no response to, and what a beacon took along has none. The
//! lines of such an event are known to the spool; but by then the visit would have counted it
//! twice, and the cart had two of what was added once. And where the visit was written but the line
//! was not, the event that comes again must get what it would have got.
//!
//! ```text
//! counted    "d61f…" "08aa…" "77c0…"      the last one is the visit's 5th event
//! again      08aa…                        it is the 4th, and changes nothing
//! ```

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::attribution::Attribution;

/// Events that are known: more than a browser's queue holds, all of which may come again after a
/// beacon took them along.
const MARKS_MAX: usize = 256;
/// Of events that took items off the cart, those whose items' `via` is known.
const TAKEN_MAX: usize = 2;

/// The last events of a visitor, in the order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedEvents {
    /// A mark for each, the last one's at the end.
    #[serde(default)]
    marks: Marks,
    /// What those got that took items off the cart, which then remembers them no more.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    taken: VecDeque<(u64, Attribution)>,
}

impl CountedEvents {
    /// How many events were counted after this one; none if it is not known.
    pub(super) fn ago(&self, id: Option<Uuid>) -> Option<u64> {
        let mark = mark_of(id?);
        self.marks.0.iter().rev().position(|one| *one == mark).map(|ago| ago as u64)
    }

    /// What an event got that took items off the cart.
    pub(super) fn attribution(&self, id: Option<Uuid>) -> Option<&Attribution> {
        let mark = mark_of(id?);
        self.taken.iter().find(|(one, _)| *one == mark).map(|(_, attribution)| attribution)
    }

    /// Notes an event; one without an id of its own cannot come again.
    pub(super) fn count(&mut self, id: Option<Uuid>) {
        self.marks.0.push_back(id.map_or(0, mark_of));
        let excess = self.marks.0.len().saturating_sub(MARKS_MAX);
        self.marks.0.drain(..excess);
    }

    /// Notes that some events were counted of which nothing else is known.
    pub(super) fn skip(&mut self, events: u64) {
        let events = usize::try_from(events).unwrap_or(usize::MAX).min(MARKS_MAX);
        (0..events).for_each(|_| self.count(None));
    }

    /// Forgets what events got that took items off the cart.
    pub(super) fn forget_attributions(&mut self) {
        self.taken.clear();
    }

    /// Notes what an event got that took items off the cart.
    pub(super) fn keep(&mut self, id: Option<Uuid>, attribution: &Attribution) {
        let Some(id) = id else { return };
        self.taken.push_back((mark_of(id), attribution.clone()));
        let excess = self.taken.len().saturating_sub(TAKEN_MAX);
        self.taken.drain(..excess);
    }
}

/// Half of an id's bits: enough to tell a visitor's last events from each other.
fn mark_of(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    match high ^ low {
        0 => u64::MAX,
        mark => mark,
    }
}

/// Marks, stored as base64 of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Marks(VecDeque<u64>);

impl Serialize for Marks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * 8);
        self.0.iter().for_each(|mark| bytes.extend_from_slice(&mark.to_be_bytes()));
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Marks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text).map_err(serde::de::Error::custom)?;
        let (marks, _) = bytes.as_chunks::<8>();
        Ok(Marks(marks.iter().map(|mark| u64::from_be_bytes(*mark)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> Option<Uuid> {
        Some(Uuid::from_u64_pair(7, number))
    }

    #[test]
    fn the_last_events_are_known_and_how_long_ago_they_were() {
        let mut counted = CountedEvents::default();
        (0..300).for_each(|number| counted.count(id(number)));
        counted.count(None);
        assert_eq!(counted.ago(id(299)), Some(1));
        assert_eq!(counted.ago(id(45)), Some(255));
        assert_eq!(counted.ago(id(44)), None);
        assert_eq!(counted.ago(None), None);
        counted.skip(2);
        assert_eq!(counted.ago(id(299)), Some(3));
        counted.skip(u64::MAX);
        assert_eq!(counted.ago(id(299)), None);
    }

    #[test]
    fn as_many_events_are_known_as_a_trackers_queue_holds() {
        let tracker = include_str!("../../../fixtures/tracker/tracker.js");
        let (_, rest) = tracker.split_once("queueMax = ").unwrap();
        let queue_max: usize = rest.split([',', ';']).next().unwrap().trim().parse().unwrap();
        assert!(queue_max < MARKS_MAX, "{queue_max}");
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let mut counted = CountedEvents::default();
        (0..3).for_each(|number| counted.count(id(number)));
        (0..3).for_each(|number| {
            counted.keep(id(number), &Attribution { via: Some("ad".into()), items: Vec::new() });
        });
        assert!(counted.attribution(id(0)).is_none() && counted.attribution(id(2)).is_some());
        let text = serde_json::to_string(&counted).unwrap();
        assert_eq!(serde_json::from_str::<CountedEvents>(&text).unwrap(), counted);
        assert_eq!(serde_json::from_str::<CountedEvents>("{}").unwrap(), CountedEvents::default());
    }
}
