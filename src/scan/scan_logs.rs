//! Reading logs: objects → batches, in the order of the objects and lines.
//!
//! ```text
//! part-0.gz  ─ thread: read, decompress, frame ─► [lines 1…] [lines 2…] ─┐
//! part-1.gz  ─ thread, ahead of its turn ───────► [lines 3…]             ├─► in order
//!                                                                        │
//!              decode on several threads, in order again  ◄──────────────┘
//!              account: every line to the observer, batches to the queries
//! ```
//!
//! So one large object keeps all cores busy, and so do many small ones; and the same run twice
//! gives the same rows in the same order. (`read_ahead` has the threads.)

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::log_scan::{LogScan, ObjectTally, ScanObserver};
use super::read_ahead::{ScanEvent, read_ahead};
use crate::base::error::Result;
use crate::base::long_tasks::spawn_long;
use crate::decode::{Decoded, Reject, count_unknown_field};

/// Batches that may wait for the queries.
const BATCHES_AHEAD: usize = 2;

/// Starts reading; batches have [`LogScan::schema`]. With a observer every line is accounted for
/// even if nobody wants the batches any more; without one the scan then ends.
pub fn scan(
    scan: &Arc<LogScan>,
    observer: Option<Arc<dyn ScanObserver>>,
) -> mpsc::Receiver<Result<RecordBatch>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let (scan, runtime) = (Arc::clone(scan), Handle::current());
    spawn_long(&Handle::current(), move || {
        let events = match read_ahead(Arc::clone(&scan), runtime.clone()) {
            Ok(events) => events,
            Err(error) => {
                // Without a receiver nobody is left to hear of the error.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        let mut account = ScanAccount::new(&scan, observer, sender);
        let mut events = std::pin::pin!(events);
        while let Some(event) = runtime.block_on(events.next()) {
            if !account.take(event) {
                return;
            }
        }
    });
    receiver
}

/// Keeps account of a scan's events, which come in order.
struct ScanAccount<'s> {
    scan: &'s LogScan,
    observer: Option<Arc<dyn ScanObserver>>,
    batches: mpsc::Sender<Result<RecordBatch>>,
    /// Of the object whose turn it is.
    tally: ObjectTally,
    unknown_fields: BTreeMap<String, u64>,
}

impl<'s> ScanAccount<'s> {
    fn new(
        scan: &'s LogScan,
        observer: Option<Arc<dyn ScanObserver>>,
        batches: mpsc::Sender<Result<RecordBatch>>,
    ) -> Self {
        let (tally, unknown_fields) = (ObjectTally::default(), BTreeMap::new());
        ScanAccount { scan, observer, batches, tally, unknown_fields }
    }

    /// Takes one event; false if the scan is over. An error is the last thing that is sent; the
    /// observer hears how far its object was read.
    fn take(&mut self, event: ScanEvent) -> bool {
        match self.account_for(event) {
            Ok(goes_on) => goes_on,
            Err(error) => {
                if let Some(observer) = &self.observer {
                    let tally = std::mem::take(&mut self.tally);
                    let lines = tally.decoded + tally.rejected + tally.blank;
                    observer.object_cut_short(ObjectTally { lines, ..tally });
                }
                // Without a receiver nobody is left to hear of the error.
                let _ = self.batches.blocking_send(Err(error));
                false
            }
        }
    }

    fn account_for(&mut self, event: ScanEvent) -> Result<bool> {
        match event {
            ScanEvent::Lines { object, decoded, compressed_bytes, permit } => {
                let goes_on = self.take_lines(object, decoded, compressed_bytes);
                drop(permit);
                goes_on
            }
            ScanEvent::Unfit { object, reject, compressed_bytes } => {
                self.tally.rejected += 1;
                self.reject(object, reject)?;
                self.progress(0, compressed_bytes);
                Ok(true)
            }
            ScanEvent::End { object, lines, bytes, compressed_bytes } => {
                self.progress(0, compressed_bytes);
                let tally = ObjectTally { lines, bytes, ..std::mem::take(&mut self.tally) };
                let unknown_fields = std::mem::take(&mut self.unknown_fields);
                let object = &self.scan.objects[object];
                tally.check(&object.location)?;
                if let Some(observer) = &self.observer {
                    observer.object_done(object, tally, unknown_fields);
                }
                Ok(true)
            }
            ScanEvent::Unreadable { object, unreadable, compressed_bytes } => {
                self.progress(0, compressed_bytes);
                self.tally = ObjectTally::default();
                let object = &self.scan.objects[object];
                let heard = self.observer.as_ref();
                heard.map_or(Ok(()), |observer| observer.object_unreadable(object, unreadable))?;
                Ok(true)
            }
            ScanEvent::Failed(error) => Err(error),
        }
    }

    fn take_lines(
        &mut self,
        object: usize,
        decoded: Decoded,
        compressed_bytes: u64,
    ) -> Result<bool> {
        let rows = decoded.batch.num_rows() as u64;
        self.tally.decoded += rows;
        self.tally.blank += decoded.blank;
        self.tally.rejected += decoded.rejects.len() as u64;
        for (path, times) in &decoded.unknown_fields {
            count_unknown_field(&mut self.unknown_fields, path, *times);
        }
        for reject in decoded.rejects {
            self.reject(object, reject)?;
        }
        if let Some(observer) = self.observer.as_ref().filter(|_| !decoded.mended.is_empty()) {
            observer.mended(&decoded.mended);
            for dropped in decoded.dropped_items {
                observer.item_dropped(&self.scan.objects[object], dropped)?;
            }
        }
        self.progress(rows, compressed_bytes);
        if rows == 0 {
            return Ok(true);
        }
        let sent = self.batches.blocking_send(Ok(decoded.batch)).is_ok();
        Ok(sent || self.observer.is_some())
    }

    fn reject(&self, object: usize, reject: Reject) -> Result<()> {
        let object = &self.scan.objects[object];
        self.observer.as_ref().map_or(Ok(()), |observer| observer.reject(object, reject))
    }

    /// `compressed_bytes` counts from the object's start.
    fn progress(&mut self, rows: u64, compressed_bytes: u64) {
        if let Some(observer) = &self.observer {
            observer.progress(rows, compressed_bytes - self.tally.compressed_bytes);
        }
        self.tally.compressed_bytes = compressed_bytes;
    }
}

#[cfg(test)]
#[path = "scan_logs_tests.rs"]
mod tests;
