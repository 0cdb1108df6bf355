//! Read-modify-write of visitors' records by compare-and-swap, in batches: one load, one swap.
//!
//! ```text
//! requests   A: page_view          B (new): page_view      A: cart_add
//! grouped    A: page_view, cart_add                        B: page_view
//! loaded     A: revision 7                                 B: nothing to load
//! swapped    A: 7 → 8 (two events)                         B: none → 1
//! ```
//!
//! All requests of a visitor in a batch become one change of the record, in their order, so that
//! they never make two visits. A change that meets another process's is done anew on what that one
//! left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use uuid::Uuid;

use super::advance::{VisitOutcome, VisitRules, advance};
use super::attribution::EventFacts;
use super::record::{ShortCookie, VisitorRecord};
use super::store::{StoredRecord, Swap, Swapped, VisitStore, VisitorId};
use crate::base::error::{Error, Result};
use crate::base::ids::Ids;

/// How often changes are tried that meet others'.
const TRIES_MAX: usize = 16;

/// Events of one visitor that came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitRequest<'a> {
    /// Who comes; none if nobody knows yet.
    pub long: Option<Uuid>,
    /// Whether that is by a name that others may know, which is good until the id itself came back.
    pub is_by_name: bool,
    /// What the visitor says of the visit.
    pub cookie: Option<ShortCookie>,
    /// What happened.
    pub events: &'a [EventFacts],
}

/// Gives visits and attribution to requests.
#[derive(Debug, Clone)]
pub struct VisitService {
    /// Where records are kept.
    pub store: Arc<dyn VisitStore>,
    /// How visits go.
    pub rules: VisitRules,
    /// Where new ids come from.
    pub ids: Arc<dyn Ids>,
}

/// The requests of one visitor.
struct VisitorRequests {
    visitor: VisitorId,
    /// Places in the batch.
    requests: Vec<usize>,
}

impl VisitService {
    /// Serves a batch: for each request, an outcome for each of its events. When it returns, the
    /// records are as durable as the store makes them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be asked, or other processes kept changing the
    /// same records: none of the requests is served then.
    pub async fn serve(
        &self,
        requests: &[VisitRequest<'_>],
        now_ms: i64,
    ) -> Result<Vec<Vec<VisitOutcome>>> {
        let mut outcomes: Vec<Vec<VisitOutcome>> = Vec::new();
        outcomes.resize_with(requests.len(), Vec::new);
        let (mut groups, newcomers) = self.group(requests, now_ms);
        let asked: Vec<VisitorId> = groups.iter().map(|group| group.visitor).collect();
        let mut known = match asked.is_empty() {
            true => Vec::new(),
            false => self.store.load(&asked).await?,
        };
        // Nobody else can know an id that was only just made.
        known.resize(groups.len() + newcomers.len(), None);
        groups.extend(newcomers);
        for _ in 0..TRIES_MAX {
            self.part_strangers(&mut groups, &mut known, requests, now_ms);
            let swaps = self.apply(&groups, known, requests, now_ms, &mut outcomes)?;
            let swapped = self.store.swap(&swaps).await?;
            let mut left = swapped.iter();
            groups.retain(|_| left.next() == Some(&Swapped::Conflict));
            if groups.is_empty() {
                return Ok(outcomes);
            }
            let asked: Vec<VisitorId> = groups.iter().map(|group| group.visitor).collect();
            known = self.store.load(&asked).await?;
        }
        Err(Error::Unavailable(format!(
            "changing the records of {} visitors: other processes did so first, {TRIES_MAX} times",
            groups.len()
        )))
    }

    /// Requests by visitor, those who brought an id and those who get one now.
    fn group(
        &self,
        requests: &[VisitRequest<'_>],
        now_ms: i64,
    ) -> (Vec<VisitorRequests>, Vec<VisitorRequests>) {
        let mut places: HashMap<VisitorId, usize, RandomState> =
            HashMap::with_capacity_and_hasher(requests.len(), RandomState::default());
        let (mut groups, mut newcomers) = (Vec::<VisitorRequests>::new(), Vec::new());
        for (place, request) in requests.iter().enumerate() {
            let Some(visitor) = request.long else {
                let visitor = self.ids.next(now_ms);
                newcomers.push(VisitorRequests { visitor, requests: vec![place] });
                continue;
            };
            let group = *places.entry(visitor).or_insert_with(|| {
                groups.push(VisitorRequests { visitor, requests: Vec::new() });
                groups.len() - 1
            });
            groups[group].requests.push(place);
        }
        (groups, newcomers)
    }

    /// Takes out of the groups who comes only by the name of a visitor that has brought its id back
    /// since: each is a visitor of its own.
    fn part_strangers(
        &self,
        groups: &mut Vec<VisitorRequests>,
        known: &mut Vec<Option<StoredRecord>>,
        requests: &[VisitRequest<'_>],
        now_ms: i64,
    ) {
        let is_by_name = |place: &usize| requests[*place].is_by_name;
        let is_kept = |record: &Option<StoredRecord>| {
            let record = record.as_deref().map(VisitorRecord::decode);
            record.is_some_and(|record| record.is_ok_and(|record| record.is_kept))
        };
        let mut strangers = Vec::new();
        for (group, record) in groups.iter_mut().zip(&*known) {
            if group.requests.iter().any(is_by_name) && is_kept(record) {
                strangers.extend(group.requests.extract_if(.., |place| is_by_name(place)));
            }
        }
        if strangers.is_empty() {
            return;
        }
        let mut is_left = groups.iter().map(|group| !group.requests.is_empty());
        known.retain(|_| is_left.next() == Some(true));
        groups.retain(|group| !group.requests.is_empty());
        groups.extend(strangers.into_iter().map(|place| VisitorRequests {
            visitor: self.ids.next(now_ms),
            requests: vec![place],
        }));
        known.resize(groups.len(), None);
    }

    /// Applies each visitor's events to the record; gives the changes and notes the outcomes.
    fn apply(
        &self,
        groups: &[VisitorRequests],
        known: Vec<Option<StoredRecord>>,
        requests: &[VisitRequest<'_>],
        now_ms: i64,
        outcomes: &mut [Vec<VisitOutcome>],
    ) -> Result<Vec<Swap>> {
        let ttl_ms = u64::try_from(self.rules.record_ttl_ms()).unwrap_or(0);
        let bytes_max = self.rules.record_bytes_max;
        let mut swaps = Vec::with_capacity(groups.len());
        for (group, expected) in groups.iter().zip(known) {
            let mut record = expected.as_deref().and_then(|bytes| decode(group.visitor, bytes));
            let revision = record.as_ref().map_or(0, |record| record.revision);
            for place in &group.requests {
                let VisitRequest { cookie, events, long, is_by_name } = &requests[*place];
                let (mut advanced, given) = advance(
                    record,
                    group.visitor,
                    *cookie,
                    events,
                    now_ms,
                    &self.rules,
                    &*self.ids,
                );
                advanced.is_kept |= long.is_some() && !is_by_name;
                record = Some(advanced);
                outcomes[*place] = given;
            }
            let Some(mut record) = record else { continue };
            record.revision = revision.saturating_add(1);
            let (visitor, ttl) = (group.visitor, Duration::from_millis(ttl_ms));
            let new = record.encode_within(bytes_max)?;
            swaps.push(Swap { visitor, expected, new, ttl });
        }
        Ok(swaps)
    }
}

/// A stored record. One that cannot be read is none, which the visitor's next one takes the place
/// of: the others of the batch are not to be refused for it, nor the visitor for ever.
fn decode(visitor: VisitorId, bytes: &[u8]) -> Option<VisitorRecord> {
    let decoded = VisitorRecord::decode(bytes);
    decoded
        .map_err(|error| tracing::warn!(%visitor, %error, "a record was lost, and begins anew"))
        .ok()
}

#[cfg(test)]
#[path = "visit_service_tests.rs"]
mod tests;
