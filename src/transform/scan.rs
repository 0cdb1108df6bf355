//! Reading logs: objects → batches, in the order of the objects, several objects at a time.
//!
//! Objects are read, decompressed, framed and decoded each on a thread of its own, a bounded
//! number of them ahead; their batches leave in the order of the objects and lines, so that the
//! same run twice gives the same rows in the same order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use object_store::ObjectStore;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contract::Contract;
use crate::decode::{Decoded, Decoder, Reject, count_unknown_field};
use crate::error::{Error, Result};
use crate::source::{FrameOptions, Framed, Framer, SourceObject, open_object};

/// Batches of one object that may wait for their turn.
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
    /// Objects that are read at a time.
    pub readers_max: usize,
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

/// Hears of everything that a scan meets besides rows. Called from the reading threads.
pub trait ScanWitness: Send + Sync + std::fmt::Debug {
    /// A line that did not become a row; an error stops the scan.
    fn reject(&self, object: &SourceObject, reject: Reject) -> Result<()>;
    /// Some lines were read: rows, and bytes as stored since the last call.
    fn progress(&self, rows: u64, compressed_bytes: u64);
    /// An object is done and its tally holds.
    fn object_done(
        &self,
        object: &SourceObject,
        tally: ObjectTally,
        unknown_fields: BTreeMap<String, u64>,
    );
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
    /// Starts reading; batches have [`logs_schema`]. With a witness every line is accounted for
    /// even if nobody wants the batches any more; without one the scan then ends.
    pub fn start(
        self: &Arc<Self>,
        witness: Option<Arc<dyn ScanWitness>>,
    ) -> mpsc::Receiver<Result<RecordBatch>> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        tokio::spawn(forward_in_order(Arc::clone(self), witness, sender));
        receiver
    }

    fn start_object(
        self: &Arc<Self>,
        index: usize,
        witness: Option<Arc<dyn ScanWitness>>,
    ) -> RunningObject {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let (scan, handle) = (Arc::clone(self), Handle::current());
        let thread = tokio::task::spawn_blocking(move || {
            let object = &scan.objects[index];
            if let Err(error) = read_object(&scan, object, handle, witness.as_deref(), &sender) {
                // Without a receiver nobody is left to hear of the error.
                let _ = sender.blocking_send(Err(error));
            }
        });
        RunningObject { batches, thread }
    }
}

/// An object that is being read on a thread of its own.
struct RunningObject {
    batches: mpsc::Receiver<Result<RecordBatch>>,
    thread: JoinHandle<()>,
}

/// Keeps `readers_max` objects in work and passes their batches on, object by object.
async fn forward_in_order(
    scan: Arc<LogScan>,
    witness: Option<Arc<dyn ScanWitness>>,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    let mut waiting = 0..scan.objects.len();
    let mut working = VecDeque::new();
    loop {
        while working.len() < scan.readers_max
            && let Some(index) = waiting.next()
        {
            working.push_back(scan.start_object(index, witness.clone()));
        }
        let Some(mut object) = working.pop_front() else { return };
        while let Some(batch) = object.batches.recv().await {
            let failed = batch.is_err();
            let unwanted = sender.send(batch).await.is_err();
            if failed || (unwanted && witness.is_none()) {
                return;
            }
        }
        // A thread that panicked has ended its batches early: they must not pass for all of them.
        if let Err(error) = object.thread.await {
            let _ = sender.send(Err(Error::Bug(format!("reading an object: {error}")))).await;
            return;
        }
    }
}

/// Reads one object to its end; where that fails, tells how far it came.
fn read_object(
    scan: &LogScan,
    object: &SourceObject,
    handle: Handle,
    witness: Option<&dyn ScanWitness>,
    sender: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let mut tally = ObjectTally::default();
    let read = read_lines(scan, object, handle, witness, sender, &mut tally);
    if let (Err(_), Some(witness)) = (&read, witness) {
        tally.lines = tally.decoded + tally.rejected + tally.blank;
        witness.object_cut_short(tally);
    }
    read
}

fn read_lines(
    scan: &LogScan,
    object: &SourceObject,
    handle: Handle,
    witness: Option<&dyn ScanWitness>,
    sender: &mpsc::Sender<Result<RecordBatch>>,
    tally: &mut ObjectTally,
) -> Result<()> {
    let options =
        FrameOptions { line_bytes_max: scan.contract.line_bytes_max, ..Default::default() };
    let store = Arc::clone(&scan.store);
    let mut framer = open_object(store, object, options, handle, scan.cancel.clone())?;
    let mut decoder = Decoder::new(Arc::clone(&scan.contract));
    let origin = OriginColumns::of(scan, object);
    let mut unknown_fields = BTreeMap::new();
    while let Some(framed) = framer.next_framed()? {
        let rows = match framed {
            Framed::Reject(reject) => {
                tally.rejected += 1;
                witness.map_or(Ok(()), |witness| witness.reject(object, reject))?;
                0
            }
            Framed::Lines(lines) => {
                let decoded = decoder.decode(&lines);
                let rows = decoded.batch.num_rows() as u64;
                tally.decoded += rows;
                tally.blank += decoded.blank;
                tally.rejected += decoded.rejects.len() as u64;
                for (path, times) in &decoded.unknown_fields {
                    count_unknown_field(&mut unknown_fields, path, *times);
                }
                if !pass_on(decoded, object, &origin, witness, sender)? {
                    return Ok(());
                }
                rows
            }
        };
        let read = framer.compressed_bytes();
        if let Some(witness) = witness {
            witness.progress(rows, read - tally.compressed_bytes);
        }
        tally.compressed_bytes = read;
    }
    finish_object(object, &framer, tally, unknown_fields, witness)
}

/// Sends rows and rejects on their ways; false if nobody wants any more.
fn pass_on(
    decoded: Decoded,
    object: &SourceObject,
    origin: &OriginColumns,
    witness: Option<&dyn ScanWitness>,
    sender: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<bool> {
    if let Some(witness) = witness {
        for reject in decoded.rejects {
            witness.reject(object, reject)?;
        }
    }
    if decoded.batch.num_rows() == 0 {
        return Ok(true);
    }
    let batch = origin.add_to(&decoded.batch)?;
    let sent = sender.blocking_send(Ok(batch)).is_ok();
    Ok(sent || witness.is_some())
}

fn finish_object(
    object: &SourceObject,
    framer: &Framer,
    tally: &mut ObjectTally,
    unknown_fields: BTreeMap<String, u64>,
    witness: Option<&dyn ScanWitness>,
) -> Result<()> {
    tally.lines = framer.lines();
    tally.bytes = framer.bytes();
    tally.check(&object.location)?;
    if let Some(witness) = witness {
        let read = framer.compressed_bytes();
        witness.progress(0, read - tally.compressed_bytes);
        tally.compressed_bytes = read;
        witness.object_done(object, tally.clone(), unknown_fields);
    }
    Ok(())
}

/// The columns that are the same in all rows of an object.
struct OriginColumns {
    schema: SchemaRef,
    partition_values: Vec<Option<String>>,
    source: String,
}

impl OriginColumns {
    fn of(scan: &LogScan, object: &SourceObject) -> Self {
        let value_of = |key: &String| {
            let found = object.partition_values.iter().find(|(known, _)| known == key);
            found.and_then(|(_, value)| value.clone())
        };
        OriginColumns {
            schema: logs_schema(&scan.contract, &scan.partition_columns),
            partition_values: scan.partition_columns.iter().map(value_of).collect(),
            source: object.location.clone(),
        }
    }

    fn add_to(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let (columns, origin) = batch.columns().split_at(batch.num_columns() - 2);
        let mut all: Vec<ArrayRef> = columns.to_vec();
        for value in &self.partition_values {
            all.push(match value {
                Some(value) => repeated(value, rows),
                None => new_null_array(&DataType::Utf8, rows),
            });
        }
        all.push(repeated(&self.source, rows));
        all.extend(origin.iter().cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), all, &options)
            .map_err(|error| Error::Bug(format!("a decoded batch has another schema: {error}")))
    }
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}
