//! What a scan of logs reads, and what it tells besides rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

use super::{SourceObject, Unreadable};
use crate::base::error::{Error, Result};
use crate::contract::Contract;
use crate::decode::{DroppedItem, Mended, Reject};
use crate::pipeline::Framing;

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
pub trait ScanObserver: Send + Sync + std::fmt::Debug {
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
}
