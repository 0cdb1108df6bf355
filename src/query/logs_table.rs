//! The table `logs` and the plan node that reads it.
//!
//! The node is made of plain values; where its batches come from stands in the task's context as
//! a [`LogsFeed`]. A query that reads `logs` once shares one scan with the other outputs of the
//! run; a query that reads it several times has a scan of its own for each, since sharing could
//! then make two readers wait for each other for ever.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::scan::{LogScan, scan};

/// Batches of `logs`, or the error that ends them.
pub type LogBatches = mpsc::Receiver<crate::base::error::Result<RecordBatch>>;

/// Where the batches of one query come from.
#[derive(Debug)]
pub struct LogsFeed {
    shared: Mutex<Option<LogBatches>>,
    scan: Arc<LogScan>,
}

impl LogsFeed {
    /// A feed that gives `shared` to the first reader, and a scan of its own to each other one.
    pub fn new(shared: Option<LogBatches>, scan: Arc<LogScan>) -> Self {
        LogsFeed { shared: Mutex::new(shared), scan }
    }

    /// Where columns of the table `logs` stand in the feed's batches.
    fn places_of(&self, columns: &[usize]) -> Result<Vec<usize>> {
        let place = |column| self.scan.columns.binary_search(column);
        let places: Result<Vec<_>, _> = columns.iter().map(place).collect();
        places.map_err(|_| DataFusionError::Internal("a column of logs is not built".to_owned()))
    }

    fn take(&self) -> LogBatches {
        let shared = self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        shared.unwrap_or_else(|| scan(&self.scan, None))
    }
}

/// Gives every batch of a scan to every reader that still wants it. Goes on without readers, so
/// that every line is accounted for.
pub async fn share_logs(
    mut batches: LogBatches,
    mut readers: Vec<mpsc::Sender<crate::base::error::Result<RecordBatch>>>,
) -> crate::base::error::Result<()> {
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        let mut gone = Vec::new();
        for (index, reader) in readers.iter().enumerate() {
            if reader.send(Ok(batch.clone())).await.is_err() {
                gone.push(index);
            }
        }
        gone.into_iter().rev().for_each(|index| drop(readers.remove(index)));
    }
    Ok(())
}

/// The table `logs`.
#[derive(Debug)]
pub struct LogsTable {
    schema: SchemaRef,
}

impl LogsTable {
    /// A table with the columns of `crate::scan::logs_schema`.
    pub fn new(schema: SchemaRef) -> Self {
        LogsTable { schema }
    }
}

#[async_trait]
impl TableProvider for LogsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = || (0..self.schema.fields().len()).collect();
        let projection = projection.cloned().unwrap_or_else(all);
        Ok(Arc::new(LogsScanExec::new(&self.schema, projection)?))
    }
}

/// Reads some columns of `logs` as one ordered stream.
#[derive(Debug)]
pub struct LogsScanExec {
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl LogsScanExec {
    fn new(schema: &SchemaRef, projection: Vec<usize>) -> Result<Self> {
        let projected = Arc::new(schema.project(&projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projected),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(LogsScanExec { projection, properties: Arc::new(properties) })
    }
}

/// The columns of each scan of `logs` in a plan.
pub(crate) fn logs_scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<Vec<usize>> {
    let own = plan.downcast_ref::<LogsScanExec>().map(|scan| scan.projection.clone());
    let below = plan.children().into_iter().flat_map(logs_scans);
    own.into_iter().chain(below).collect()
}

impl LogsScanExec {
    const NAME: &str = "LogsScanExec";
}

impl DisplayAs for LogsScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "LogsScanExec: columns=[{}]", names.join(", "))
    }
}

impl ExecutionPlan for LogsScanExec {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let feed = context.session_config().get_extension::<LogsFeed>().ok_or_else(|| {
            DataFusionError::Internal("the task's context holds no feed of logs".to_owned())
        })?;
        let projection = feed.places_of(&self.projection)?;
        let mut received = feed.take();
        let received = futures::stream::poll_fn(move |task| received.poll_recv(task));
        let batches = received.map(move |batch| match batch {
            Ok(batch) => Ok(batch.project(&projection)?),
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
