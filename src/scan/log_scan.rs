//! Reading logs: objects → batches, in the order of the objects and lines.
//!
//! ```text
//! part-0.gz  ─ thread: read, decompress, frame ─► [lines 1…] [lines 2…] ─┐
//! part-1.gz  ─ thread, ahead of its turn ───────► [lines 3…]             ├─► in order
//!                                                                        │
//!              decode on several threads, in order again  ◄──────────────┘
//!              account: every line to the witness, batches to the queries
//! ```
//!
//! So one large object keeps all cores busy, and so do many small ones; and the same run twice
//! gives the same rows in the same order. (`read_ahead` has the threads.)

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::read_ahead::{Step, read_ahead};
use super::{SourceObject, Unreadable};
use crate::base::error::{Error, Result};
use crate::base::long_tasks::spawn_long;
use crate::contract::Contract;
use crate::decode::{Decoded, DroppedItem, Mended, Reject, count_unknown_field};
use crate::pipeline::Framing;

/// Batches that may wait for the queries.
const BATCHES_AHEAD: usize = 2;

/// What a scan of logs reads.
#[derive(Debug)]
pub struct LogScan {
    /// Where the objects lie.
    pub store: Arc<dyn ObjectStore>,
    /// What is read, in this order.
    pub objects: Vec<SourceObject>,
    /// What the records look like.
    pub contract: Arc<Contract>,
    /// Keys of `key=value` directories that are columns.
    pub partition_columns: Vec<String>,
    /// The columns of the table `logs` that are built, by number, ascending.
    pub columns: Vec<usize>,
    /// Objects that are read, and blocks of lines that are decoded, at a time.
    pub threads: usize,
    /// What makes a record of an object.
    pub framing: Framing,
    /// Bytes that reading ahead may take.
    pub read_ahead_bytes: u64,
    /// Stops the reading.
    pub cancel: CancellationToken,
}

/// What became of one object's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectTally {
    /// Lines of the object, as they were framed.
    pub lines: u64,
    /// Lines that became rows.
    pub decoded: u64,
    /// Lines that went to the quarantine.
    pub rejected: u64,
    /// Empty lines.
    pub blank: u64,
    /// Decompressed bytes.
    pub bytes: u64,
    /// Bytes as stored.
    pub compressed_bytes: u64,
}

impl ObjectTally {
    /// Proves that nothing was lost: every framed line became a row, a reject or was blank.
    pub fn check(&self, object: &str) -> Result<()> {
        if self.lines == self.decoded + self.rejected + self.blank {
            return Ok(());
        }
        Err(Error::Bug(format!(
            "object {object}: {} lines were framed, but {} decoded + {} rejected + {} blank make \
             {}; nothing was published",
            self.lines,
            self.decoded,
            self.rejected,
            self.blank,
            self.decoded + self.rejected + self.blank
        )))
    }
}

/// An object of which no record could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableObject {
    /// What it is, and why it cannot be read.
    pub unreadable: Unreadable,
    /// What came of it before it broke off, if anything did.
    pub raw: Bytes,
    /// Bytes beyond these.
    pub bytes_omitted: u64,
}

/// Hears of everything that a scan meets besides rows. Called from a blocking thread.
pub trait ScanWitness: Send + Sync + std::fmt::Debug {
    /// A line that did not become a row; an error stops the scan.
    fn reject(&self, object: &SourceObject, reject: Reject) -> Result<()>;
    /// An element of a list that its line went on without; an error stops the scan.
    fn item_dropped(&self, object: &SourceObject, dropped: DroppedItem) -> Result<()>;
    /// Values of some lines that are rows were mended.
    fn mended(&self, mended: &Mended);
    /// Some lines were read: rows, and bytes as stored since the last call.
    fn progress(&self, rows: u64, compressed_bytes: u64);
    /// An object is done and its tally holds.
    fn object_done(
        &self,
        object: &SourceObject,
        tally: ObjectTally,
        unknown_fields: BTreeMap<String, u64>,
    );
    /// Nothing of an object could be read; an error stops the scan.
    fn object_unreadable(&self, object: &SourceObject, unreadable: UnreadableObject) -> Result<()>;
    /// An object could not be read to its end; the tally says how far.
    fn object_cut_short(&self, tally: ObjectTally);
}

/// The columns of the table `logs`: the contract's, directories' keys, then where a row is from.
pub fn logs_schema(contract: &Contract, partition_columns: &[String]) -> SchemaRef {
    let decoded = contract.arrow_schema();
    let (columns, origin) = decoded.fields().split_at(decoded.fields().len() - 2);
    let mut fields: Vec<Arc<Field>> = columns.to_vec();
    fields.extend(partition_columns.iter().map(|key| text_field(key, true)));
    fields.push(text_field("_source", false));
    fields.extend(origin.iter().cloned());
    Arc::new(Schema::new(fields))
}

fn text_field(name: &str, nullable: bool) -> Arc<Field> {
    Arc::new(Field::new(name, DataType::Utf8, nullable))
}

impl LogScan {
    /// The columns of every batch.
    pub fn schema(&self) -> Result<SchemaRef> {
        let all = logs_schema(&self.contract, &self.partition_columns);
        let projected = all.project(&self.columns);
        Ok(Arc::new(projected.map_err(|error| Error::Bug(format!("projecting logs: {error}")))?))
    }

    /// Starts reading; batches have [`LogScan::schema`]. With a witness every line is accounted for
    /// even if nobody wants the batches any more; without one the scan then ends.
    pub fn start(
        self: &Arc<Self>,
        witness: Option<Arc<dyn ScanWitness>>,
    ) -> mpsc::Receiver<Result<RecordBatch>> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (scan, runtime) = (Arc::clone(self), Handle::current());
        spawn_long(&Handle::current(), move || {
            let steps = match read_ahead(Arc::clone(&scan), runtime.clone()) {
                Ok(steps) => steps,
                Err(error) => {
                    // Without a receiver nobody is left to hear of the error.
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            };
            let mut account = ScanAccount::new(&scan, witness, sender);
            let mut steps = std::pin::pin!(steps);
            while let Some(step) = runtime.block_on(steps.next()) {
                if !account.take(step) {
                    return;
                }
            }
        });
        receiver
    }
}

/// Keeps account of a scan's steps, which come in order.
struct ScanAccount<'s> {
    scan: &'s LogScan,
    witness: Option<Arc<dyn ScanWitness>>,
    batches: mpsc::Sender<Result<RecordBatch>>,
    /// Of the object whose turn it is.
    tally: ObjectTally,
    unknown_fields: BTreeMap<String, u64>,
}

impl<'s> ScanAccount<'s> {
    fn new(
        scan: &'s LogScan,
        witness: Option<Arc<dyn ScanWitness>>,
        batches: mpsc::Sender<Result<RecordBatch>>,
    ) -> Self {
        let (tally, unknown_fields) = (ObjectTally::default(), BTreeMap::new());
        ScanAccount { scan, witness, batches, tally, unknown_fields }
    }

    /// Takes one step; false if the scan is over. An error is the last thing that is sent; the
    /// witness hears how far its object was read.
    fn take(&mut self, step: Step) -> bool {
        match self.account_for(step) {
            Ok(goes_on) => goes_on,
            Err(error) => {
                if let Some(witness) = &self.witness {
                    let tally = std::mem::take(&mut self.tally);
                    let lines = tally.decoded + tally.rejected + tally.blank;
                    witness.object_cut_short(ObjectTally { lines, ..tally });
                }
                // Without a receiver nobody is left to hear of the error.
                let _ = self.batches.blocking_send(Err(error));
                false
            }
        }
    }

    fn account_for(&mut self, step: Step) -> Result<bool> {
        match step {
            Step::Lines { object, decoded, compressed_bytes, room } => {
                let goes_on = self.take_lines(object, decoded, compressed_bytes);
                drop(room);
                goes_on
            }
            Step::Unfit { object, reject, compressed_bytes } => {
                self.tally.rejected += 1;
                self.reject(object, reject)?;
                self.progress(0, compressed_bytes);
                Ok(true)
            }
            Step::End { object, lines, bytes, compressed_bytes } => {
                self.progress(0, compressed_bytes);
                let tally = ObjectTally { lines, bytes, ..std::mem::take(&mut self.tally) };
                let unknown_fields = std::mem::take(&mut self.unknown_fields);
                let object = &self.scan.objects[object];
                tally.check(&object.location)?;
                if let Some(witness) = &self.witness {
                    witness.object_done(object, tally, unknown_fields);
                }
                Ok(true)
            }
            Step::Unreadable { object, unreadable, compressed_bytes } => {
                self.progress(0, compressed_bytes);
                self.tally = ObjectTally::default();
                let object = &self.scan.objects[object];
                let heard = self.witness.as_ref();
                heard.map_or(Ok(()), |witness| witness.object_unreadable(object, unreadable))?;
                Ok(true)
            }
            Step::Failed(error) => Err(error),
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
        if let Some(witness) = self.witness.as_ref().filter(|_| !decoded.mended.is_empty()) {
            witness.mended(&decoded.mended);
            for dropped in decoded.dropped_items {
                witness.item_dropped(&self.scan.objects[object], dropped)?;
            }
        }
        self.progress(rows, compressed_bytes);
        if rows == 0 {
            return Ok(true);
        }
        let sent = self.batches.blocking_send(Ok(decoded.batch)).is_ok();
        Ok(sent || self.witness.is_some())
    }

    fn reject(&self, object: usize, reject: Reject) -> Result<()> {
        let object = &self.scan.objects[object];
        self.witness.as_ref().map_or(Ok(()), |witness| witness.reject(object, reject))
    }

    /// `compressed_bytes` counts from the object's start.
    fn progress(&mut self, rows: u64, compressed_bytes: u64) {
        if let Some(witness) = &self.witness {
            witness.progress(rows, compressed_bytes - self.tally.compressed_bytes);
        }
        self.tally.compressed_bytes = compressed_bytes;
    }
}

#[cfg(test)]
#[path = "log_scan_tests.rs"]
mod tests;
