//! The plan node that writes an output's files below the staging folder.
//!
//! Rows arrive in a fixed order; those that break an expectation or have no partition of their own
//! go to the quarantine, the others to a writer on a thread of its own, which gathers them and has
//! them encoded on the threads that all sinks share. With `sort_by` they come sorted, one hive path
//! after the other. Without it the writer keeps a bounded number of hive paths open; rows of
//! further ones take a detour through a spilling sort and are written one hive path after the other
//! at the end, so that any number of hive paths makes neither many open files nor many small ones.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::split::RowSplit;
use super::unfit_rows::UnfitRows;
use super::{EncoderPool, FileUploads, OutputWriter, UploadRoom, WriterOptions, WrittenFile};
use crate::base::error::{Error, Result};
use crate::pipeline::Output;
use crate::quarantine::QuarantineSender;
use crate::query::engine_errors::{engine_error, task_error};
use crate::query::evaluation::{EvaluationCounts, output_error};
use crate::query::expect::ExpectationCounts;
use crate::store::paths::RunPaths;

/// Batches that may wait between two steps.
const BATCHES_AHEAD: usize = 2;

/// Finished files that may wait to be uploaded.
const FILES_AHEAD: usize = 2;

/// What a sink task leaves behind; publishing works from these records alone.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SinkRecord {
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

impl SinkRecord {
    /// Rows of the view that went to the quarantine.
    pub fn rejected(&self) -> u64 {
        self.expectations.rejected.values().sum::<u64>() + self.unusable_partition
    }

    /// All rows that went to the quarantine, and of how many.
    pub fn rejected_of_all(&self) -> (u64, u64) {
        self.evaluation.with_those_of_view(self.rejected(), self.rows_seen)
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

/// What sink tasks need besides plain values; stands in the task's context.
#[derive(Debug)]
pub struct SinkSupplies {
    /// Takes the rows that are not written.
    pub quarantine: QuarantineSender,
    /// The threads that encode, of all sinks.
    pub encoders: EncoderPool,
    /// The room for uploads, of all sinks.
    pub uploads: UploadRoom,
}

/// Where and how a sink writes: plain values.
#[derive(Debug, Clone)]
pub(crate) struct SinkPlace {
    pub run: RunPaths,
    pub staging: PathBuf,
    pub options: WriterOptions,
}

/// Writes the rows of its input as the files of one output.
#[derive(Debug)]
pub(crate) struct SinkExec {
    input: Arc<dyn ExecutionPlan>,
    output: Output,
    place: SinkPlace,
    properties: Arc<PlanProperties>,
}

impl SinkExec {
    pub fn new(input: Arc<dyn ExecutionPlan>, output: Output, place: SinkPlace) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(record_schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SinkExec { input, output, place, properties: Arc::new(properties) }
    }
}

/// The node's own rows: one [`SinkRecord`] as JSON.
fn record_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("record", DataType::Utf8, false)]))
}

/// Reads the records back from the node's rows.
pub(crate) fn read_records(batch: &RecordBatch) -> Result<Vec<SinkRecord>> {
    let wrong = |error| Error::Bug(format!("reading a sink's record: {error}"));
    let column = batch.column(0).as_string::<i32>();
    column.iter().flatten().map(|json| serde_json::from_str(json).map_err(wrong)).collect()
}

impl DisplayAs for SinkExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkExec: output={}", self.output.name)
    }
}

impl ExecutionPlan for SinkExec {
    fn name(&self) -> &str {
        "SinkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        Ok(Arc::new(SinkExec::new(input, self.output.clone(), self.place.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        _: usize,
        context: Arc<TaskContext>,
    ) -> EngineResult<SendableRecordBatchStream> {
        let (input, output) = (Arc::clone(&self.input), self.output.clone());
        let place = self.place.clone();
        let record = async move {
            let record =
                write_output(input, output, place, context).await.and_then(SinkRecord::check);
            let record = record.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let json = serde_json::to_string(&record)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let column = Arc::new(StringArray::from(vec![json]));
            Ok(RecordBatch::try_new(record_schema(), vec![column])?)
        };
        let stream = futures::stream::once(record);
        Ok(Box::pin(RecordBatchStreamAdapter::new(record_schema(), stream)))
    }
}

/// Runs the input, splits its rows and writes them.
async fn write_output(
    input: Arc<dyn ExecutionPlan>,
    output: Output,
    place: SinkPlace,
    context: Arc<TaskContext>,
) -> Result<SinkRecord> {
    let supplies = context.session_config().get_extension::<SinkSupplies>();
    let supplies = supplies.ok_or_else(|| Error::Bug("a sink has no supplies".to_owned()))?;
    let mut split = RowSplit::new(&output, &input.schema())?;
    let schema = split.written_schema(&input.schema())?;
    let mut unfit = UnfitRows::new(&output, &input.schema(), &context)?;
    let mut tasks = JoinSet::new();
    let mut batches = merge_in_turn(&input, &context, &output.name, &mut tasks)?;
    let writer = start_writer(&output, schema, place, &supplies, &context, &mut tasks)?;
    let (mut rows_seen, mut rows) = (0, 0);
    while let Some(batch) = batches.recv().await {
        let batch = unfit.reject(batch?).await?;
        let (written, rejects) = split.split(&batch)?;
        rows_seen += batch.num_rows() as u64;
        rows += written.num_rows() as u64;
        for record in rejects {
            supplies.quarantine.send(record).await?;
        }
        if written.num_rows() > 0 && writer.batches.send(written).await.is_err() {
            break; // the writer has failed; its result below says why
        }
    }
    unfit.finish();
    let files = writer.finish().await?;
    // A task that panicked has ended its rows early: they must not pass for all of them.
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| task_error(&output.name, error))?;
    }
    let (expectations, unusable_partition) = split.into_counts();
    let evaluation = EvaluationCounts::of(&context);
    let output = output.name;
    Ok(SinkRecord { output, rows_seen, rows, expectations, unusable_partition, evaluation, files })
}

/// Runs all partitions of a plan at once and takes one batch from each in turn, so that the order
/// of rows depends on nothing but the rows.
fn merge_in_turn(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    output: &str,
    tasks: &mut JoinSet<()>,
) -> Result<mpsc::Receiver<Result<RecordBatch>>> {
    let mut partitions = Vec::new();
    for partition in 0..plan.output_partitioning().partition_count() {
        let output = output.to_owned();
        let mut stream = plan.execute(partition, Arc::clone(context)).map_err(engine_error)?;
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        partitions.push(receiver);
        tasks.spawn(async move {
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|error| output_error(&output, error));
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
    }
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    tasks.spawn(async move {
        while !partitions.is_empty() {
            let mut ended = Vec::new();
            for (index, partition) in partitions.iter_mut().enumerate() {
                let Some(batch) = partition.recv().await else {
                    ended.push(index);
                    continue;
                };
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
            ended.into_iter().rev().for_each(|index| drop(partitions.remove(index)));
        }
    });
    Ok(receiver)
}

/// A writer on its own thread.
struct RunningWriter {
    batches: mpsc::Sender<RecordBatch>,
    files: mpsc::Receiver<Result<Vec<WrittenFile>>>,
    /// The files that were uploaded, if they are.
    uploaded: Option<oneshot::Receiver<Result<Vec<WrittenFile>>>>,
}

impl RunningWriter {
    /// All files, when there are no more batches.
    async fn finish(self) -> Result<Vec<WrittenFile>> {
        let RunningWriter { batches, mut files, uploaded } = self;
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

fn start_writer(
    output: &Output,
    schema: SchemaRef,
    place: SinkPlace,
    supplies: &SinkSupplies,
    context: &Arc<TaskContext>,
    tasks: &mut JoinSet<()>,
) -> Result<RunningWriter> {
    let (batches, from_batches) = mpsc::channel(BATCHES_AHEAD);
    let (to_files, files) = mpsc::channel(1);
    let (to_overflow, overflow) = mpsc::channel(BATCHES_AHEAD);
    let sorted = if output.sort_by.is_empty() && !output.partition_by.is_empty() {
        Some(sort_by_hive_path(overflow, &schema, &output.partition_by, context, tasks)?)
    } else {
        None
    };
    let (finished, uploaded) = match FileUploads::of(output, &place.staging, &supplies.uploads)? {
        Some(uploads) => {
            let (finished, files) = mpsc::channel(FILES_AHEAD);
            let (sender, uploaded) = oneshot::channel();
            // Without a receiver the run has failed elsewhere and hears of that.
            tasks.spawn(async move { drop(sender.send(uploads.upload_all(files).await)) });
            (FinishedFiles::Uploaded(finished), Some(uploaded))
        }
        None => (FinishedFiles::Kept, None),
    };
    let (output, encoders) = (output.clone(), supplies.encoders.clone());
    tokio::task::spawn_blocking(move || {
        let SinkPlace { run, staging, options } = place;
        let written = OutputWriter::new(&output, &schema, staging, run, &options, encoders)
            .and_then(|writer| match sorted {
                Some(sorted) => {
                    write_as_it_comes(writer, from_batches, to_overflow, sorted, &finished)
                }
                None => write_in_order(writer, from_batches, &finished),
            });
        drop(finished);
        let _ = to_files.blocking_send(written);
    });
    Ok(RunningWriter { batches, files, uploaded })
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

/// A stream of batches that another task sends.
#[derive(Debug)]
struct OverflowStream {
    schema: SchemaRef,
    batches: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl PartitionStream for OverflowStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut batches = self.batches.lock().unwrap_or_else(|poison| poison.into_inner()).take();
        let stream = futures::stream::poll_fn(move |task| match &mut batches {
            Some(batches) => batches.poll_recv(task).map(|batch| batch.map(Ok)),
            None => std::task::Poll::Ready(None),
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// Sorts batches by the hive path's columns, on disk if memory is short.
fn sort_by_hive_path(
    overflow: mpsc::Receiver<RecordBatch>,
    schema: &SchemaRef,
    partition_by: &[String],
    context: &Arc<TaskContext>,
    tasks: &mut JoinSet<()>,
) -> Result<mpsc::Receiver<Result<RecordBatch>>> {
    let sort_key = |name: &String| -> EngineResult<PhysicalSortExpr> {
        Ok(PhysicalSortExpr::new_default(expressions::col(name, schema)?))
    };
    let keys = partition_by.iter().map(sort_key).collect::<EngineResult<Vec<_>>>();
    let ordering = LexOrdering::new(keys.map_err(engine_error)?)
        .ok_or_else(|| Error::Bug("a hive path without columns".to_owned()))?;
    let schema = Arc::clone(schema);
    let batches = Mutex::new(Some(overflow));
    let stream = Arc::new(OverflowStream { schema: Arc::clone(&schema), batches });
    let source = StreamingTableExec::try_new(schema, vec![stream], None, None, false, None);
    let sort = SortExec::new(ordering, Arc::new(source.map_err(engine_error)?));
    let mut sorted = sort.execute(0, Arc::clone(context)).map_err(engine_error)?;
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    tasks.spawn(async move {
        while let Some(batch) = sorted.next().await {
            if sender.send(batch.map_err(engine_error)).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
