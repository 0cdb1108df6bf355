//! The rows that one output's query gives, as a stream whose order depends on nothing but them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result as EngineResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::engine_errors::{engine_error, task_error, with_spill_folder};
use super::evaluation::{EvaluationCounts, EvaluationRejects, output_error};
use crate::base::error::{Error, Result};

/// Batches that may wait between two steps.
const BATCHES_AHEAD: usize = 2;

/// The rows of one output: its view's columns, then one column for each expectation.
///
/// The partitions of the plan run at once, each in a task of its own; dropping this stops them.
#[derive(Debug)]
pub struct OutputRows {
    output: String,
    schema: SchemaRef,
    partitions: Vec<mpsc::Receiver<Result<RecordBatch>>>,
    /// The partition that the next batch is taken from.
    next_partition: usize,
    tasks: JoinSet<()>,
    context: Arc<TaskContext>,
    rejects: Arc<EvaluationRejects>,
    /// Where sorts spill.
    spill: PathBuf,
}

impl OutputRows {
    /// Starts a plan.
    pub(crate) fn start(
        output: &str,
        plan: &Arc<dyn ExecutionPlan>,
        context: TaskContext,
        rejects: Arc<EvaluationRejects>,
        spill: PathBuf,
    ) -> Result<Self> {
        let (mut partitions, mut tasks) = (Vec::new(), JoinSet::new());
        let context = Arc::new(context);
        for partition in 0..plan.output_partitioning().partition_count() {
            let stream = plan.execute(partition, Arc::clone(&context)).map_err(engine_error)?;
            let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
            partitions.push(receiver);
            let output = output.to_owned();
            let stream = stream.map(move |batch| batch.map_err(|err| output_error(&output, err)));
            tasks.spawn(send_all(stream, sender));
        }
        let (output, schema) = (output.to_owned(), plan.schema());
        Ok(OutputRows {
            output,
            schema,
            partitions,
            next_partition: 0,
            tasks,
            context,
            rejects,
            spill,
        })
    }

    /// The columns of all batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows: a batch from each partition in turn, so that the order of rows depends on
    /// nothing but the rows.
    ///
    /// # Errors
    /// What stopped the query: data, memory, a store.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        while !self.partitions.is_empty() {
            self.next_partition %= self.partitions.len();
            if let Some(batch) = self.partitions[self.next_partition].recv().await {
                self.next_partition += 1;
                return Some(batch.map_err(|error| with_spill_folder(error, &self.spill)));
            }
            drop(self.partitions.remove(self.next_partition));
        }
        None
    }

    /// Takes rows of the output that turn out to be rejects.
    pub(crate) fn rejects(&self) -> Arc<EvaluationRejects> {
        Arc::clone(&self.rejects)
    }

    /// Sorts other rows with the memory of this query, on disk if that is short.
    pub fn sort(
        &mut self,
        rows: mpsc::Receiver<RecordBatch>,
        schema: &SchemaRef,
        by: &[String],
    ) -> Result<mpsc::Receiver<Result<RecordBatch>>> {
        let sort_key = |name: &String| -> EngineResult<PhysicalSortExpr> {
            Ok(PhysicalSortExpr::new_default(expressions::col(name, schema)?))
        };
        let keys = by.iter().map(sort_key).collect::<EngineResult<Vec<_>>>();
        let ordering = LexOrdering::new(keys.map_err(engine_error)?)
            .ok_or_else(|| Error::Bug("a sort by no column".to_owned()))?;
        let schema = Arc::clone(schema);
        let rows = Mutex::new(Some(rows));
        let received = Arc::new(ReceivedRows { schema: Arc::clone(&schema), rows });
        let source = StreamingTableExec::try_new(schema, vec![received], None, None, false, None);
        let sort = SortExec::new(ordering, Arc::new(source.map_err(engine_error)?));
        let sorted = sort.execute(0, Arc::clone(&self.context)).map_err(engine_error)?;
        let spill = self.spill.clone();
        let of_spill = move |error| with_spill_folder(engine_error(error), &spill);
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        self.tasks.spawn(send_all(sorted.map(move |batch| batch.map_err(&of_spill)), sender));
        Ok(receiver)
    }

    /// Waits for what still runs, and says what could not be evaluated.
    ///
    /// # Errors
    /// If a task panicked: it has ended its rows early, and they must not pass for all of them.
    pub async fn finish(mut self) -> Result<EvaluationCounts> {
        self.partitions.clear();
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| task_error(&self.output, error))?;
        }
        Ok(self.rejects.counts())
    }
}

/// Sends batches until they end or nobody wants them.
async fn send_all(
    mut batches: impl futures::Stream<Item = Result<RecordBatch>> + Unpin,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    while let Some(batch) = batches.next().await {
        if sender.send(batch).await.is_err() {
            return;
        }
    }
}

/// Rows that another task sends, as a table of one partition that can be read once.
#[derive(Debug)]
struct ReceivedRows {
    schema: SchemaRef,
    rows: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl PartitionStream for ReceivedRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut rows = self.rows.lock().unwrap_or_else(|poison| poison.into_inner()).take();
        let stream = futures::stream::poll_fn(move |task| match &mut rows {
            Some(rows) => rows.poll_recv(task).map(|batch| batch.map(Ok)),
            None => std::task::Poll::Ready(None),
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}
