//! The intake: what many requests bring is given its visits, written, and answered, together.
//!
//! ```text
//! requests ─► [queue] ─► batch ─► visits (one write) ─► lines ─► spool (one fdatasync) ─► answers
//! ```
//!
//! While a batch is written the next one gathers, so that batches grow with the load and the disk
//! is asked no oftener than it can answer. An answer is given only when both the visits and the
//! lines are durable; if one of them is not, the batch is refused, to come again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::Client;
use super::envelope::{Letter, Letterhead, write_line};
use super::events::{Body, Event, EventText};
use super::metrics::Metrics;
use crate::error::{Error, Result};
use crate::spool::{Append, Entry, Spool};
use crate::store::WallClock;
use crate::visits::{VisitDesk, VisitOutcome, VisitRequest};

/// Requests of a batch at most.
const BATCH_REQUESTS_MAX: usize = 4096;
/// Bytes of the bodies of a batch after which it is closed.
const BATCH_BYTES: usize = 16 << 20;
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
    /// Those of its events that are taken.
    pub events: Vec<Event>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The events' ids, in their order.
    pub ids: Vec<Uuid>,
    /// The visit, for those whose ids are taken.
    pub visit: Option<VisitReceipt>,
}

/// A visit as its visitor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VisitReceipt {
    pub long: Uuid,
    pub short: Uuid,
    pub seq: u64,
    /// When it was renewed, which the cookies say too.
    pub now_ms: i64,
}

type Waiting = (Delivery, oneshot::Sender<Result<Receipt>>);

/// The way into the intake; clones share it.
#[derive(Debug, Clone)]
pub(super) struct IntakeQueue {
    sender: mpsc::Sender<Waiting>,
}

impl IntakeQueue {
    /// Has a delivery taken; none if too many wait already.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is not durable.
    pub async fn deliver(&self, delivery: Delivery) -> Option<Result<Receipt>> {
        let (reply, answer) = oneshot::channel();
        match self.sender.try_send((delivery, reply)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return None,
            Err(mpsc::error::TrySendError::Closed(_)) => return Some(Err(stopped())),
        }
        Some(answer.await.unwrap_or_else(|_| Err(stopped())))
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }
}

fn stopped() -> Error {
    Error::Unavailable("the collector is stopping".to_owned())
}

/// Takes batches until all queues are gone.
#[derive(Debug)]
pub(super) struct Intake {
    pub collector: String,
    pub desk: VisitDesk,
    pub long_ttl_ms: i64,
    pub spool: Arc<Mutex<Spool>>,
    pub clock: Arc<dyn WallClock>,
    pub metrics: Arc<Metrics>,
}

impl Intake {
    /// Starts taking; the task ends, with the last segment sealed, once `stop` is cancelled and all
    /// that waited is answered.
    pub fn start(
        self,
        waiting_max: usize,
        stop: CancellationToken,
    ) -> (IntakeQueue, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(waiting_max.max(1));
        let task = tokio::spawn(self.run(receiver, stop));
        (IntakeQueue { sender }, task)
    }

    async fn run(self, mut receiver: mpsc::Receiver<Waiting>, stop: CancellationToken) {
        let (mut last_ms, mut swept) = (i64::MIN, Instant::now());
        loop {
            let first = tokio::select! {
                biased;
                first = receiver.recv() => first,
                () = stop.cancelled(), if !receiver.is_closed() => {
                    receiver.close();
                    continue;
                }
                () = tokio::time::sleep(TICK) => {
                    let now_ms = next_ms(self.clock.now_ms(), &mut last_ms);
                    self.with_spool(move |spool| spool.end_if_due(now_ms)).await;
                    if swept.elapsed() > SWEEP_EVERY {
                        swept = Instant::now();
                        self.sweep().await;
                    }
                    continue;
                }
            };
            let Some(first) = first else { break };
            let batch = gather(first, &mut receiver);
            let now_ms = next_ms(self.clock.now_ms(), &mut last_ms);
            self.take(batch, now_ms).await;
            if swept.elapsed() > SWEEP_EVERY {
                swept = Instant::now();
                self.sweep().await;
            }
        }
        self.with_spool(Spool::end).await;
    }

    async fn sweep(&self) {
        if let Err(error) = self.desk.store.sweep().await {
            tracing::warn!(%error, "the visit store could not be tidied");
        }
    }

    /// Does something with the spool on a thread that may wait for the disk.
    async fn with_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> Option<T> {
        let spool = Arc::clone(&self.spool);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut spool.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.ok()
    }

    async fn take(&self, batch: Vec<Waiting>, now_ms: i64) {
        let began = Instant::now();
        let (deliveries, replies): (Vec<Delivery>, Vec<_>) = batch.into_iter().unzip();
        let done = self.take_all(&deliveries, now_ms).await;
        self.metrics.batch(deliveries.len(), began.elapsed(), done.is_ok());
        match done {
            Ok(receipts) => {
                for (reply, receipt) in replies.into_iter().zip(receipts) {
                    // A client that is gone was served all the same.
                    let _ = reply.send(Ok(receipt));
                }
            }
            Err(error) => {
                tracing::warn!(%error, requests = replies.len(), "a batch was refused");
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn take_all(&self, deliveries: &[Delivery], now_ms: i64) -> Result<Vec<Receipt>> {
        let began = Instant::now();
        let outcomes = self.serve_visits(deliveries, now_ms).await?;
        self.metrics.visits(began.elapsed());
        let head = Letterhead::new(&self.collector, now_ms);
        let (mut append, mut receipts) = (Append::default(), Vec::with_capacity(deliveries.len()));
        for (delivery, outcomes) in deliveries.iter().zip(&outcomes) {
            receipts.push(self.write_delivery(&head, delivery, outcomes, now_ms, &mut append));
        }
        let began = Instant::now();
        let written = self.with_spool(move |spool| {
            let known = spool.append(&append, now_ms)?;
            Ok((append.entries.len() - known, known))
        });
        let missing = || Error::Bug("the spool's thread panicked".to_owned());
        let (taken, known) = written.await.ok_or_else(missing)??;
        self.metrics.spool(began.elapsed(), taken, known);
        Ok(receipts)
    }

    /// For each delivery, outcomes of its events; none for those whose ids are not taken.
    async fn serve_visits(
        &self,
        deliveries: &[Delivery],
        now_ms: i64,
    ) -> Result<Vec<Vec<VisitOutcome>>> {
        let named = || deliveries.iter().enumerate().filter(|(_, d)| !d.client.anonymous);
        let request_of = |delivery: &Delivery| VisitRequest {
            long: delivery.client.long.and_then(|c| c.in_force(self.long_ttl_ms, now_ms)),
            cookie: delivery.client.short,
            events: delivery.events.iter().map(|event| event.facts.clone()).collect(),
        };
        let requests: Vec<VisitRequest> = named().map(|(_, d)| request_of(d)).collect();
        let served = match requests.is_empty() {
            true => Vec::new(),
            false => self.desk.serve(&requests, now_ms).await?,
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
        head: &Letterhead,
        delivery: &Delivery,
        outcomes: &[VisitOutcome],
        now_ms: i64,
        append: &mut Append,
    ) -> Receipt {
        let mut ids = Vec::with_capacity(delivery.events.len());
        for (place, event) in delivery.events.iter().enumerate() {
            let id = event.id.unwrap_or_else(|| self.desk.ids.next(now_ms));
            let body = match &event.text {
                EventText::InBody(range) => &delivery.body.text()[range.clone()],
                EventText::Own(text) => text.as_str(),
            };
            let (sender, via) = (&delivery.client.sender, event.facts.via.as_deref());
            let letter = Letter { id, sender, visit: outcomes.get(place), via, body };
            write_line(head, &letter, &mut append.lines);
            append.entries.push(Entry { id, end: append.lines.len() });
            ids.push(id);
        }
        let visit = outcomes.last().map(|last| VisitReceipt {
            long: last.long,
            short: last.short,
            seq: last.seq,
            now_ms,
        });
        Receipt { ids, visit }
    }
}

/// The first request and those that wait behind it.
fn gather(first: Waiting, receiver: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.0.body.text().len();
    let mut batch = vec![first];
    while batch.len() < BATCH_REQUESTS_MAX
        && bytes < BATCH_BYTES
        && let Ok(next) = receiver.try_recv()
    {
        bytes += next.0.body.text().len();
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
