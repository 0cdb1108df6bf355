//! The intake: a bounded queue, and batches for the group commit of visits and lines.
//!
//! ```text
//! thread `intake`   requests ─► [queue] ─► batch ─► visits (one write) ─► lines ─┐
//! thread `spool`                        responses ◄─ spool (one fdatasync) ◄─────┘
//! ```
//!
//! While a batch's lines are written, the next one's visits are; and while these are, the batch
//! after it gathers, so that batches grow with the load and the disk is asked no oftener than it
//! can answer. A response is given only when both the visits and the lines are durable; if one of
//! them is not, the batch is refused, to come again.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::claims::{ClaimBounds, Claims, Services};
use super::client::Client;
use super::envelope::{Envelope, EnvelopeHeader, WAYS_BYTES_FULL, write_line};
use super::event_keys::{self, EventKeyMaker};
use super::events::{Body, Event, EventText};
use super::metrics::Metrics;
use super::receipt::{EventId, Receipt, VisitReceipt};
use super::shares::Share;
use super::spool::{Append, Entry, EventKeys, Spool, begin_line};
use super::spooler::{Batch, Reply, SpoolWork, Spooler, refuse};
use super::visits::{EventFacts, VisitOutcome, VisitRequest, VisitService};
use crate::base::clock::WallClock;
use crate::base::error::{Error, Result};

/// Requests of a batch at most.
const BATCH_REQUESTS_MAX: usize = 4096;
/// Bytes of lines of a batch, as they are expected, after which it is closed.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes of a line around the client's event, without its user agent and items.
const LETTER_BYTES: usize = 512;
/// Bytes of an item's `via` in a line.
const ITEM_BYTES: usize = 400;
/// Requests of a batch from which on the next one waits for others to gather.
const BUSY_REQUESTS: usize = 16;
/// The time from one batch's beginning to the next one's, while there are many: each costs two
/// writes to disk, however many requests it has.
const BUSY_PACE: Duration = Duration::from_millis(8);
/// How often a segment's age is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(500);
/// How often the visit store is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A clock that steps back by no more is taken to stand still, so that lines do not go back into
/// an hour that is over.
const STEP_BACK_MS: i64 = 5 * 60_000;

/// What a request brings.
#[derive(Debug)]
pub(super) struct Delivery {
    pub client: Client,
    pub body: Body,
    /// Those of its events that are taken: what is known of each, and where its text is.
    pub facts: Vec<EventFacts>,
    pub texts: Vec<EventText>,
    /// Their own ids' places, where these are to be written as they are.
    pub id_texts: Vec<Option<Range<usize>>>,
    /// Their keys by all that they say; none for one without an id of its own.
    pub text_keys: Vec<Option<Uuid>>,
    pub claims: Vec<Claims>,
}

impl Delivery {
    /// A delivery with room for some events, and none so far.
    pub fn new(client: Client, body: Body, events: usize) -> Self {
        let (facts, texts) = (Vec::with_capacity(events), Vec::with_capacity(events));
        let (id_texts, text_keys) = (Vec::with_capacity(events), Vec::with_capacity(events));
        let claims = Vec::with_capacity(events);
        Delivery { client, body, facts, texts, id_texts, text_keys, claims }
    }

    /// Adds an event of the body.
    pub fn push(&mut self, event: Event, keys: &EventKeyMaker) {
        let Event { text, id_text, facts, claims } = event;
        let own = text_of(&text, &self.body);
        self.text_keys.push(keys.by_text(&self.client, &facts, own));
        self.claims.push(claims);
        self.facts.push(facts);
        self.texts.push(text);
        self.id_texts.push(id_text);
    }

    /// About as many bytes as its lines will have, which may be far more than it brought.
    pub fn lines_bytes(&self) -> usize {
        let agent = self.client.sender.user_agent.as_ref().map_or(0, String::len);
        let ways = |facts: &EventFacts| (facts.items.len() * ITEM_BYTES).min(WAYS_BYTES_FULL);
        let ways: usize = self.facts.iter().map(ways).sum();
        self.body.text().len() + self.facts.len() * (LETTER_BYTES + agent) + ways
    }
}

/// An event's text: an object on one line.
fn text_of<'a>(text: &'a EventText, body: &'a Body) -> &'a str {
    match text {
        EventText::InBody(range) => &body.text()[range.clone()],
        EventText::Own(text) => text,
    }
}

type Waiting = (Delivery, Reply);

/// The way into the intake; clones share it.
#[derive(Debug, Clone)]
pub(super) struct IntakeQueue {
    sender: mpsc::Sender<Waiting>,
    /// Places of requests that are not answered yet, wherever on their way they are, and whether
    /// their clients still wait or not.
    places: Arc<Semaphore>,
    places_max: usize,
}

impl IntakeQueue {
    /// Has a delivery taken; none if too many wait already. `memory` is given back when it is done.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is not durable.
    pub async fn deliver(
        &self,
        delivery: Delivery,
        memory: Option<Share>,
    ) -> Option<Result<Receipt>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (sender, receipt) = oneshot::channel();
        let reply = Reply { sender, _place: place, _memory: memory };
        match self.sender.try_send((delivery, reply)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return None,
            Err(mpsc::error::TrySendError::Closed(_)) => return Some(Err(stopped())),
        }
        Some(receipt.await.unwrap_or_else(|_| Err(stopped())))
    }

    /// Requests that are not answered yet.
    pub fn waiting(&self) -> usize {
        self.places_max - self.places.available_permits()
    }
}

fn stopped() -> Error {
    Error::Unavailable("the collector is stopping".to_owned())
}

/// Gives batches their visits, until it is told to stop.
#[derive(Debug)]
pub(super) struct Intake {
    pub collector: String,
    pub visit_service: VisitService,
    pub long_ttl_ms: i64,
    /// Bytes of a line that lands.
    pub line_bytes_max: usize,
    pub clock: Arc<dyn WallClock>,
    pub metrics: Arc<Metrics>,
    /// What events may claim; changed when the configuration is read again.
    pub claim_bounds: Arc<ArcSwap<ClaimBounds>>,
    pub services: Mutex<Services>,
}

impl Intake {
    /// Starts both threads. They end, with the last segment sealed, once `stop` is cancelled and
    /// all that waited is answered; the receiver that is given back is told then.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there can be no more threads.
    pub fn start(
        self,
        spool: Spool,
        waiting_max: usize,
        stop: CancellationToken,
    ) -> Result<(IntakeQueue, oneshot::Receiver<()>)> {
        let failed = |error| Error::Unavailable(format!("starting the intake's threads: {error}"));
        let places_max = waiting_max.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::channel(places_max);
        let places = Arc::new(Semaphore::new(places_max));
        let (works, given) = mpsc::channel(1);
        let (ended, end) = oneshot::channel();
        let spooler = Spooler { spool, metrics: Arc::clone(&self.metrics) };
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || {
                spooler.run(given);
                let _ = ended.send(());
            })
            .map_err(failed)?;
        // A runtime of its own, whose thread may wait for the visit store's disk.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || runtime.block_on(self.run(receiver, works, stop)))
            .map_err(failed)?;
        Ok((IntakeQueue { sender, places, places_max }, end))
    }

    async fn run(
        self,
        mut receiver: mpsc::Receiver<Waiting>,
        works: mpsc::Sender<SpoolWork>,
        stop: CancellationToken,
    ) {
        let (mut last_ms, mut swept) = (i64::MIN, Instant::now());
        loop {
            if swept.elapsed() > SWEEP_EVERY {
                swept = Instant::now();
                self.sweep().await;
            }
            let first = tokio::select! {
                biased;
                first = receiver.recv() => first,
                () = stop.cancelled(), if !receiver.is_closed() => {
                    receiver.close();
                    continue;
                }
                () = tokio::time::sleep(TICK) => {
                    let now_ms = next_ms(self.clock.now_ms(), &mut last_ms);
                    let _ = works.send(SpoolWork::Tick { now_ms }).await;
                    continue;
                }
            };
            let Some(first) = first else { break };
            let began = Instant::now();
            let batch = gather(first, &mut receiver);
            let is_busy = batch.len() >= BUSY_REQUESTS;
            let now_ms = next_ms(self.clock.now_ms(), &mut last_ms);
            self.take(batch, now_ms, began, &works).await;
            if is_busy {
                tokio::time::sleep(BUSY_PACE.saturating_sub(began.elapsed())).await;
            }
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.visit_service.store.sweep().await {
            tracing::warn!(%error, "the visit store could not be tidied");
        }
    }

    /// Gives a batch its visits and hands it on; what cannot have them is refused.
    async fn take(
        &self,
        batch: Vec<Waiting>,
        now_ms: i64,
        began: Instant,
        works: &mpsc::Sender<SpoolWork>,
    ) {
        let (deliveries, replies): (Vec<Delivery>, Vec<Reply>) = batch.into_iter().unzip();
        let outcomes = match self.serve_visits(&deliveries, now_ms).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.metrics.batch(deliveries.len(), began.elapsed(), false);
                refuse(replies.into_iter(), &error);
                // What was taken before is not to wait until the store is back.
                let _ = works.send(SpoolWork::Tick { now_ms }).await;
                return;
            }
        };
        self.metrics.visits(began.elapsed());
        let head = EnvelopeHeader::new(&self.collector, now_ms, self.line_bytes_max);
        let lines_bytes = deliveries.iter().map(Delivery::lines_bytes).sum();
        let mut append = Append { lines: Vec::with_capacity(lines_bytes), ..Append::default() };
        let mut receipts = Vec::with_capacity(deliveries.len());
        for ((delivery, outcomes), reply) in deliveries.iter().zip(&outcomes).zip(replies) {
            let receipt = self.write_delivery(&head, delivery, outcomes, now_ms, &mut append);
            receipts.push((receipt, reply));
        }
        let batch = Batch { append, now_ms, began, receipts };
        if let Err(mpsc::error::SendError(SpoolWork::Batch(batch))) =
            works.send(SpoolWork::Batch(batch)).await
        {
            let error = Error::Bug("the spool's thread is gone".to_owned());
            refuse(batch.receipts.into_iter().map(|(_, reply)| reply), &error);
        }
    }

    /// For each delivery, outcomes of its events; none for those whose ids are not taken.
    async fn serve_visits<'a>(
        &self,
        deliveries: &'a [Delivery],
        now_ms: i64,
    ) -> Result<Vec<Vec<VisitOutcome>>> {
        let named = || deliveries.iter().enumerate().filter(|(_, d)| !d.client.anonymous);
        let request_of = |(_, delivery): (usize, &'a Delivery)| VisitRequest {
            long: delivery.client.long.and_then(|c| c.in_force(self.long_ttl_ms, now_ms)),
            is_by_name: delivery.client.is_by_name,
            cookie: delivery.client.short,
            events: &delivery.facts,
        };
        let requests: Vec<VisitRequest<'a>> = named().map(request_of).collect();
        let served = match requests.is_empty() {
            true => Vec::new(),
            false => self.visit_service.serve(&requests, now_ms).await?,
        };
        let mut outcomes = Vec::new();
        outcomes.resize_with(deliveries.len(), Vec::new);
        for ((place, _), served) in named().zip(served) {
            outcomes[place] = served;
        }
        Ok(outcomes)
    }

    fn write_delivery(
        &self,
        head: &EnvelopeHeader,
        delivery: &Delivery,
        outcomes: &[VisitOutcome],
        now_ms: i64,
        append: &mut Append,
    ) -> Receipt {
        let mut ids = Vec::with_capacity(delivery.facts.len());
        let bounds = self.claim_bounds.load();
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let events = delivery.facts.iter().zip(&delivery.texts).zip(&delivery.claims);
        for (place, ((facts, text), claims)) in events.enumerate() {
            let id = facts.id.unwrap_or_else(|| self.visit_service.ids.next(now_ms));
            let body = text_of(text, &delivery.body);
            // Where something stands, it stands in the body or in the event's own text.
            let base = match text {
                EventText::InBody(_) => delivery.body.text(),
                EventText::Own(text) => text,
            };
            let id_text = delivery.id_texts[place].clone().map(|range| &base[range]);
            let replaced = services.check(claims, base, now_ms, &bounds);
            let (sender, via) = (&delivery.client.sender, facts.via.as_deref());
            let visit = outcomes.get(place);
            let envelope = Envelope { id, id_text, sender, visit, via, replaced, body };
            let keys = match (facts.id, visit) {
                (None, _) => EventKeys { by_id: Some(id), by_text: None },
                (Some(_), visit) => EventKeys {
                    // Whoever is known from now on may send it again as such.
                    by_id: visit.and_then(|visit| event_keys::by_id(visit.long, facts)),
                    by_text: delivery.text_keys[place],
                },
            };
            begin_line(keys, &mut append.lines);
            let left_out = write_line(head, &envelope, &mut append.lines);
            self.metrics.item_via_left_out(left_out);
            append.entries.push(Entry { keys, end: append.lines.len() });
            ids.push(id_text.map_or(EventId::Uuid(id), |text| EventId::Json(text.into())));
        }
        let visit = outcomes.last().map(|last| VisitReceipt {
            long: last.long,
            short: last.short,
            seq: last.seq,
            seen_ms: last.seen_ms,
            now_ms,
        });
        Receipt { ids, visit }
    }
}

/// The first request and those that wait after it.
fn gather(first: Waiting, receiver: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.0.lines_bytes();
    let mut batch = vec![first];
    while batch.len() < BATCH_REQUESTS_MAX
        && bytes < BATCH_BYTES
        && let Ok(next) = receiver.try_recv()
    {
        bytes += next.0.lines_bytes();
        batch.push(next);
    }
    batch
}

/// The time of the next batch: it does not go back, unless the clock was far wrong.
fn next_ms(now_ms: i64, last_ms: &mut i64) -> i64 {
    if now_ms < *last_ms {
        let back_ms = last_ms.saturating_sub(now_ms);
        if back_ms <= STEP_BACK_MS {
            return *last_ms;
        }
        tracing::warn!(back_ms, "the clock stepped far back; following it");
    }
    *last_ms = now_ms;
    now_ms
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
