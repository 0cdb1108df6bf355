//! The spool's thread, a group commit: one fdatasync for a batch's lines, then the responses.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::metrics::Metrics;
use super::receipt::Receipt;
use super::shares::Share;
use super::spool::{Append, Spool};
use crate::base::error::{Error, Result};

/// Where a request's response goes, and what the request holds until then.
#[derive(Debug)]
pub(super) struct Reply {
    pub sender: oneshot::Sender<Result<Receipt>>,
    /// Its place among those that wait.
    pub _place: OwnedSemaphorePermit,
    /// Its body's memory.
    pub _memory: Option<Share>,
}

impl Reply {
    fn send(self, done: Result<Receipt>) {
        // A client that is gone was served all the same.
        let _ = self.sender.send(done);
    }
}

/// What the thread is given to do.
#[derive(Debug)]
pub(super) enum SpoolWork {
    /// Write, then answer.
    Batch(Batch),
    /// End the segment if its time is up.
    Tick {
        /// Milliseconds since 1970.
        now_ms: i64,
    },
}

/// Requests whose visits are durable already.
#[derive(Debug)]
pub(super) struct Batch {
    pub append: Append,
    pub now_ms: i64,
    pub began: Instant,
    pub receipts: Vec<(Receipt, Reply)>,
}

/// Owns the spool.
#[derive(Debug)]
pub(super) struct Spooler {
    pub spool: Spool,
    pub metrics: Arc<Metrics>,
}

impl Spooler {
    /// Works until nobody can send any more, then ends the last segment.
    pub fn run(mut self, mut works: mpsc::Receiver<SpoolWork>) {
        while let Some(work) = works.blocking_recv() {
            match work {
                SpoolWork::Tick { now_ms } => self.spool.tick(now_ms),
                SpoolWork::Batch(batch) => self.write(batch),
            }
        }
        self.spool.end();
    }

    fn write(&mut self, batch: Batch) {
        let Batch { append, now_ms, began, receipts } = batch;
        let writing = Instant::now();
        let written = self.spool.append(&append, now_ms);
        self.metrics.batch(receipts.len(), began.elapsed(), written.is_ok());
        match written {
            Ok(known) => {
                let taken = append.entries.len() - known.repeated - known.reused;
                self.metrics.spool(writing.elapsed(), taken, known);
                for (receipt, reply) in receipts {
                    reply.send(Ok(receipt));
                }
            }
            Err(error) => refuse(receipts.into_iter().map(|(_, reply)| reply), &error),
        }
    }
}

/// Refuses all requests of a batch.
pub(super) fn refuse(replies: impl ExactSizeIterator<Item = Reply>, error: &Error) {
    tracing::warn!(%error, requests = replies.len(), "a batch was refused");
    for reply in replies {
        reply.send(Err(error.clone()));
    }
}
