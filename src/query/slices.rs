//! Cuts batches before `unnest`, which makes one batch of all that a batch unfolds to, and before
//! constants so large that a batch has no room for one in each of its rows.
//!
//! ```text
//! 300 rows × list of 100,000        30,000,000 rows at once
//! cut to slices of 20 rows          2,000,000 rows at a time
//!
//! 2,048 rows × text of 4 MiB        8 GiB at once
//! cut to slices of 4 rows           16 MiB at a time
//! ```

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::evaluation::CheckedProjectionExec;

/// The node's name.
pub(crate) const NAME: &str = "SliceExec";
/// Bytes that a slice may unfold to.
const SLICE_BYTES: usize = 16 << 20;
/// Bytes that a single row may unfold to.
const ROW_BYTES_MAX: usize = 256 << 20;
/// Constants of fewer bytes may stand in each row of a whole batch.
const CONSTANT_BYTES: usize = 4 << 10;

/// Puts a cut below each node of a plan that would make too much of a batch.
pub(crate) fn cut_large_batches(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let cut = plan.transform_up(|node| {
        let Some(unnest) = node.downcast_ref::<UnnestExec>() else {
            return cut_before_constants(node);
        };
        let lists = unnest.list_column_indices().iter().map(|list| list.index_in_input_schema);
        let lists: Vec<usize> = lists.collect();
        if lists.is_empty() {
            return Ok(Transformed::no(node));
        }
        let cut = Arc::new(SliceExec::new(Arc::clone(unnest.input()), Cut::ByLists(lists)));
        Ok(Transformed::yes(with_input(node, cut)?))
    });
    Ok(cut?.data)
}

/// Nodes that may put their constants into each row of a batch.
const REPEATS_CONSTANTS: [&str; 5] = [
    CheckedProjectionExec::NAME,
    "ProjectionExec",
    "AggregateExec",
    "BoundedWindowAggExec",
    "WindowAggExec",
];

fn cut_before_constants(
    node: Arc<dyn ExecutionPlan>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let input = match node.children().as_slice() {
        [input] if REPEATS_CONSTANTS.contains(&node.name()) => Arc::clone(input),
        _ => return Ok(Transformed::no(node)),
    };
    let mut bytes = 0_usize;
    node.apply_expressions(&mut |expression| {
        expression.apply(|part| {
            let size = part.downcast_ref::<Literal>().map_or(0, |literal| literal.value().size());
            bytes += if size >= CONSTANT_BYTES { size } else { 0 };
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if bytes == 0 {
        return Ok(Transformed::no(node));
    }
    let rows = (SLICE_BYTES / bytes).max(1);
    let cut = Arc::new(SliceExec::new(input, Cut::ByRows(rows)));
    Ok(Transformed::yes(with_input(node, cut)?))
}

fn with_input(
    node: Arc<dyn ExecutionPlan>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    node.replace_children(
        vec![input],
        ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
    )
}

/// Where batches are cut.
#[derive(Debug, Clone)]
enum Cut {
    /// After so many rows.
    ByRows(usize),
    /// So that the lists of these columns unfold to little.
    ByLists(Vec<usize>),
}

/// Cuts batches.
#[derive(Debug)]
struct SliceExec {
    input: Arc<dyn ExecutionPlan>,
    cut: Cut,
    properties: Arc<PlanProperties>,
}

impl SliceExec {
    fn new(input: Arc<dyn ExecutionPlan>, cut: Cut) -> Self {
        let properties = Arc::clone(input.properties());
        SliceExec { input, cut, properties }
    }
}

impl DisplayAs for SliceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cut {
            Cut::ByRows(rows) => write!(f, "{NAME}: rows={rows}"),
            Cut::ByLists(_) => write!(f, "{NAME}: bytes={SLICE_BYTES}"),
        }
    }
}

impl ExecutionPlan for SliceExec {
    fn name(&self) -> &str {
        NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(SliceExec::new(children.swap_remove(0), self.cut.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (schema, cut) = (input.schema(), self.cut.clone());
        let slices = input.flat_map(move |batch| {
            let slices = batch.and_then(|batch| slices_of(&batch, &cut));
            futures::stream::iter(match slices {
                Ok(slices) => slices.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, slices)))
    }
}

fn slices_of(batch: &RecordBatch, cut: &Cut) -> Result<Vec<RecordBatch>> {
    let rows = batch.num_rows();
    let ends = match cut {
        Cut::ByRows(most) => (0..rows).step_by(*most).map(|start| rows.min(start + most)).collect(),
        Cut::ByLists(lists) => ends_by_lists(batch, lists)?,
    };
    let mut start = 0;
    let mut slices = Vec::with_capacity(ends.len().max(1));
    for end in ends {
        slices.push(batch.slice(start, end - start));
        start = end;
    }
    Ok(slices)
}

/// Where slices end that unfold to no more than they may.
fn ends_by_lists(batch: &RecordBatch, lists: &[usize]) -> Result<Vec<usize>> {
    let rows = batch.num_rows();
    // What stands beside the lists is repeated for each item.
    let beside = (0..batch.num_columns()).filter(|column| !lists.contains(column));
    let beside: usize = beside.map(|column| bytes_of(batch.column(column).as_ref())).sum();
    let row_bytes = beside / rows.max(1);
    let columns: Vec<ListColumn<'_>> =
        lists.iter().map(|column| ListColumn::of(batch.column(*column).as_ref())).collect();
    let (mut ends, mut bytes) = (Vec::new(), 0_usize);
    for row in 0..rows {
        let items = columns.iter().map(|column| column.items(row)).max().unwrap_or(0);
        let own: usize = columns.iter().map(|column| column.items(row) * column.item_bytes).sum();
        let unfolded = own.saturating_add(items.saturating_mul(row_bytes.max(1)));
        if unfolded > ROW_BYTES_MAX {
            return Err(DataFusionError::Execution(format!(
                "`unnest` would make {items} rows and {unfolded} bytes of one row, at most \
                 {ROW_BYTES_MAX} bytes: take fewer items, or fewer columns beside them"
            )));
        }
        if bytes > 0 && bytes.saturating_add(unfolded) > SLICE_BYTES {
            ends.push(row);
            bytes = 0;
        }
        bytes += unfolded;
    }
    if rows > 0 {
        ends.push(rows);
    }
    Ok(ends)
}

fn bytes_of(array: &dyn Array) -> usize {
    let whole = || array.get_array_memory_size();
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| whole())
}

/// A column of lists, and the mean size of an item.
struct ListColumn<'b> {
    array: &'b dyn Array,
    item_bytes: usize,
}

impl<'b> ListColumn<'b> {
    fn of(array: &'b dyn Array) -> Self {
        let values = match array.data_type() {
            DataType::List(_) => Some(array.as_list::<i32>().values()),
            DataType::LargeList(_) => Some(array.as_list::<i64>().values()),
            DataType::FixedSizeList(_, _) => Some(array.as_fixed_size_list().values()),
            _ => None,
        };
        let bytes = values.map_or(0, |values| bytes_of(values.as_ref()) / values.len().max(1));
        ListColumn { array, item_bytes: bytes.max(1) }
    }

    fn items(&self, row: usize) -> usize {
        if self.array.is_null(row) {
            return 1;
        }
        match self.array.data_type() {
            DataType::List(_) => self.array.as_list::<i32>().value_length(row) as usize,
            DataType::LargeList(_) => self.array.as_list::<i64>().value_length(row) as usize,
            DataType::FixedSizeList(_, length) => *length as usize,
            _ => 1,
        }
    }
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
