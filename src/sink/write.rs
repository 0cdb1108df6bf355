//! Writes the rows of an output as the files of its tables, below a staging folder.
//!
//! Rows arrive in a fixed order; those that break an expectation or have no partition of their own
//! go to the quarantine, the others to a writer on a thread of its own, which gathers them and has
//! them encoded on the threads that all outputs share. With `sort_by` they come sorted, one hive
//! path after the other. Without it the writer keeps a bounded number of hive paths open; rows of
//! further ones take a detour through a spilling sort and are written one hive path after the other
//! at the end, so that any number of hive paths makes neither many open files nor many small ones.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::split::RowSplit;
use super::unfit_rows::UnfitRows;
use super::{
    EncoderPool, FileUploads, OutputWriter, StagingFolders, UploadPool, WriterOptions, WrittenFile,
};
use crate::base::error::{Error, Result};
use crate::base::run_ids::AttemptId;
use crate::pipeline::Output;
use crate::quarantine::QuarantineSender;
use crate::query::{EvaluationCounts, ExpectationCounts, OutputRows};

/// Batches that may wait between two steps.
const BATCHES_AHEAD: usize = 2;

/// Finished files that may wait to be uploaded.
const FILES_AHEAD: usize = 2;

/// What the rows of one output have become; publishing works from these records alone.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct WrittenOutput {
    /// The output's name.
    pub output: String,
    /// Rows of the view: `rows + rejected()`.
    pub rows_seen: u64,
    /// Rows written to each of the output's tables.
    pub rows: u64,
    /// What the expectations found.
    pub expectations: ExpectationCounts,
    /// Rows that went to the quarantine because their partition key cannot be a hive path.
    pub unusable_partition: u64,
    /// Rows that could not be evaluated, and so are no rows of the view.
    #[serde(default)]
    pub evaluation: EvaluationCounts,
    /// The files, below the staging folder or uploaded.
    pub files: Vec<WrittenFile>,
}

impl WrittenOutput {
    /// Rows of the view that went to the quarantine.
    pub fn rejected(&self) -> u64 {
        self.expectations.rejected.values().sum::<u64>() + self.unusable_partition
    }

    /// Of how many rows all those are that went to the quarantine: what could not be evaluated is
    /// measured by the rows that were, which may be many more than the view has.
    pub fn rows_evaluated(&self) -> u64 {
        self.evaluation.evaluated.max(self.rows_seen + self.evaluation.rejected)
    }

    /// Proves that no row was lost.
    ///
    /// # Errors
    /// `Error::Bug` if the view's rows are not those that were written and rejected.
    fn check(self) -> Result<Self> {
        if self.rows_seen == self.rows + self.rejected() {
            return Ok(self);
        }
        Err(Error::Bug(format!(
            "output {}: its view gave {} rows, but {} were written and {} rejected; nothing was \
             published",
            self.output,
            self.rows_seen,
            self.rows,
            self.rejected()
        )))
    }
}

/// What all outputs of a run write with.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The attempt that writes; its id stands in the names of all files.
    pub attempt: AttemptId,
    /// Where files are built.
    pub staging: StagingFolders,
    /// How files are written.
    pub options: WriterOptions,
    /// The threads that encode.
    pub encoders: EncoderPool,
    /// What the uploads of all outputs share.
    pub uploads: UploadPool,
    /// Takes the rows that are not written.
    pub quarantine: QuarantineSender,
}

/// Writes the rows of an output to its tables' files, and those that must not be written to the
/// quarantine.
///
/// # Errors
/// What stopped the query, the disk or the uploads; `Error::Data` if a row breaks an expectation
/// with `on_fail = "fail"`; `Error::Bug` if a row was lost.
pub async fn write(
    mut batches: OutputRows,
    output: &Output,
    context: &SinkContext,
) -> Result<WrittenOutput> {
    let unfit = UnfitRows::new(output, batches.schema(), batches.rejects())?;
    let mut split = RowSplit::new(output, unfit.schema())?;
    let schema = split.written_schema(unfit.schema())?;
    let writer = RunningWriter::start(output, schema, context, &mut batches)?;
    let (mut rows_seen, mut rows) = (0, 0);
    while let Some(batch) = batches.next().await {
        let batch = unfit.reject(batch?).await?;
        let (written, rejects) = split.split(&batch)?;
        rows_seen += batch.num_rows() as u64;
        rows += written.num_rows() as u64;
        for record in rejects {
            context.quarantine.send(record).await?;
        }
        if written.num_rows() > 0 && writer.batches.send(written).await.is_err() {
            break; // the writer has failed; its result below says why
        }
    }
    let files = writer.finish().await?;
    let evaluation = batches.finish().await?;
    let (expectations, unusable_partition) = split.into_counts();
    let output = output.name.clone();
    let written = WrittenOutput {
        output,
        rows_seen,
        rows,
        expectations,
        unusable_partition,
        evaluation,
        files,
    };
    written.check()
}

/// A writer on its own thread.
struct RunningWriter {
    batches: mpsc::Sender<RecordBatch>,
    files: mpsc::Receiver<Result<Vec<WrittenFile>>>,
    /// The files that were uploaded, if they are.
    uploaded: Option<oneshot::Receiver<Result<Vec<WrittenFile>>>>,
    /// The uploads; they stop when this is dropped.
    _uploads: JoinSet<()>,
}

impl RunningWriter {
    fn start(
        output: &Output,
        schema: SchemaRef,
        context: &SinkContext,
        rows: &mut OutputRows,
    ) -> Result<Self> {
        let (batches, from_batches) = mpsc::channel(BATCHES_AHEAD);
        let (to_files, files) = mpsc::channel(1);
        let (to_overflow, overflow) = mpsc::channel(BATCHES_AHEAD);
        let sorted = if output.sort_by.is_empty() && !output.partition_by.is_empty() {
            Some(rows.sort(overflow, &schema, &output.partition_by)?)
        } else {
            None
        };
        let staging = context.staging.of(output)?;
        let mut uploads = JoinSet::new();
        let (finished, uploaded) = match FileUploads::of(output, &staging, &context.uploads)? {
            Some(to_stores) => {
                let (finished, files) = mpsc::channel(FILES_AHEAD);
                let (sender, uploaded) = oneshot::channel();
                // Without a receiver the run has failed elsewhere and hears of that.
                uploads.spawn(async move { drop(sender.send(to_stores.upload_all(files).await)) });
                (FinishedFiles::Uploaded(finished), Some(uploaded))
            }
            None => (FinishedFiles::Kept, None),
        };
        let (output, attempt) = (output.clone(), context.attempt.clone());
        let (options, encoders) = (context.options.clone(), context.encoders.clone());
        tokio::task::spawn_blocking(move || {
            let written = OutputWriter::new(&output, &schema, staging, attempt, &options, encoders)
                .and_then(|writer| match sorted {
                    Some(sorted) => {
                        write_as_it_comes(writer, from_batches, to_overflow, sorted, &finished)
                    }
                    None => write_in_order(writer, from_batches, &finished),
                });
            drop(finished);
            let _ = to_files.blocking_send(written);
        });
        Ok(RunningWriter { batches, files, uploaded, _uploads: uploads })
    }

    /// All files, when there are no more batches.
    async fn finish(self) -> Result<Vec<WrittenFile>> {
        let RunningWriter { batches, mut files, uploaded, _uploads } = self;
        drop(batches);
        let written = files.recv().await;
        let Some(uploaded) = uploaded else { return written.ok_or_else(no_result)? };
        let mut uploaded = uploaded.await.map_err(|_| no_result())??;
        written.ok_or_else(no_result)??;
        uploaded.sort();
        Ok(uploaded)
    }
}

fn no_result() -> Error {
    Error::Bug("a writer left no result".to_owned())
}

/// What becomes of finished files while others are written.
enum FinishedFiles {
    /// They stay in the staging folder.
    Kept,
    /// They are uploaded.
    Uploaded(mpsc::Sender<WrittenFile>),
}

impl FinishedFiles {
    /// Hands over what is finished so far; waits while too many are under way.
    fn hand_over(&self, writer: &mut OutputWriter) -> Result<()> {
        match self {
            FinishedFiles::Kept => Ok(()),
            FinishedFiles::Uploaded(_) => self.send(writer.take_written()).map(|_| ()),
        }
    }

    /// Hands over the last files; gives those that stay.
    fn send(&self, files: Vec<WrittenFile>) -> Result<Vec<WrittenFile>> {
        let FinishedFiles::Uploaded(uploads) = self else { return Ok(files) };
        for file in files {
            // Said only if the uploads ended without an error of their own.
            let stopped = || Error::Unavailable("uploading: stopped before the end".to_owned());
            uploads.blocking_send(file).map_err(|_| stopped())?;
        }
        Ok(Vec::new())
    }
}

/// Rows come ordered by hive path, or there is only one.
fn write_in_order(
    mut writer: OutputWriter,
    mut batches: mpsc::Receiver<RecordBatch>,
    finished: &FinishedFiles,
) -> Result<Vec<WrittenFile>> {
    while let Some(batch) = batches.blocking_recv() {
        writer.write_sorted(&batch)?;
        finished.hand_over(&mut writer)?;
    }
    finished.send(writer.finish()?)
}

/// Rows come in any order; those without a place take the detour.
fn write_as_it_comes(
    mut writer: OutputWriter,
    mut batches: mpsc::Receiver<RecordBatch>,
    overflow: mpsc::Sender<RecordBatch>,
    mut sorted: mpsc::Receiver<Result<RecordBatch>>,
    finished: &FinishedFiles,
) -> Result<Vec<WrittenFile>> {
    // A sort that has failed takes no more; its own error is waiting below.
    let give_back = |rows: Vec<RecordBatch>| {
        rows.into_iter().all(|batch| overflow.blocking_send(batch).is_ok())
    };
    let mut has_sort = true;
    while has_sort && let Some(batch) = batches.blocking_recv() {
        has_sort = give_back(writer.write(&batch)?);
        finished.hand_over(&mut writer)?;
    }
    has_sort &= give_back(writer.close_open()?);
    drop(overflow);
    while let Some(batch) = sorted.blocking_recv() {
        writer.write_sorted(&batch?)?;
        finished.hand_over(&mut writer)?;
    }
    if !has_sort {
        return Err(Error::Bug("the sort of overflowing rows ended early".to_owned()));
    }
    finished.send(writer.finish()?)
}
