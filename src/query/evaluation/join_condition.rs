//! Conditions over both sides of a join that keeps rows without a partner.
//!
//! A pair that the condition of an inner join fails on is a reject: the condition becomes a filter
//! above it ([`super::carry`]). An outer join, `EXISTS` or `IN` must know of each pair whether it
//! belongs together before it says what becomes of its rows. So an error there ends the run, and
//! names the expression and both rows' places.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{JoinSide, Result, exec_err, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

use super::carry::is_origin;
use super::checked_exec::shown::describe;
use super::fallible::physical_may_fail;
use super::isolate::{Expressions, FailedRow, Isolation, Piece, fault_message, is_fault_of_row};
use crate::query::rejected_rows::places_of_row;

/// The join with a condition that names the rows that it fails on; none, if it cannot fail.
pub(crate) fn check_join(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        let checked = checked_filter(node, join.filter());
        let with = |filter| HashJoinExecBuilder::from(join).with_filter(Some(filter)).build();
        return checked.map(|filter| Ok(Arc::new(with(filter)?) as _)).transpose();
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        let checked = checked_filter(node, join.filter());
        let with = |filter| NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build();
        return checked.map(|filter| Ok(Arc::new(with(filter)?) as _)).transpose();
    }
    Ok(None)
}

fn checked_filter(
    join: &Arc<dyn ExecutionPlan>,
    filter: Option<&JoinFilter>,
) -> Option<JoinFilter> {
    let filter = filter.filter(|filter| physical_may_fail(filter.expression()))?;
    let mut columns = filter.column_indices().to_vec();
    let mut fields = filter.schema().fields().to_vec();
    for (child, side) in join.children().into_iter().zip([JoinSide::Left, JoinSide::Right]) {
        for (index, field) in child.schema().fields().iter().enumerate() {
            let column = ColumnIndex { index, side };
            if is_origin(field.name()) && !columns.contains(&column) {
                columns.push(column);
                fields.push(Arc::clone(field));
            }
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let condition = JoinCondition {
        shown: describe(filter.expression(), join),
        condition: Arc::clone(filter.expression()),
        schema: Arc::clone(&schema),
    };
    Some(JoinFilter::new(Arc::new(condition), columns, schema))
}

/// A condition, and the rows that it is evaluated on.
#[derive(Debug)]
struct JoinCondition {
    condition: Arc<dyn PhysicalExpr>,
    /// The columns of both sides that the condition needs, and those that say where rows are from.
    schema: SchemaRef,
    shown: String,
}

impl JoinCondition {
    /// Which pairs belong together, found one by one.
    ///
    /// # Errors
    /// The first pair that the condition fails on.
    fn evaluate_pairs(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let field = Field::new("condition", DataType::Boolean, true);
        let schema = Arc::new(Schema::new(vec![field]));
        let exprs = vec![Arc::clone(&self.condition)];
        let exprs = Expressions { exprs, schema, predicate: Some(0) };
        let mut isolation = Isolation::new(&exprs, batch.clone());
        let mut results = vec![new_empty_array(&DataType::Boolean)];
        while let Some(piece) = isolation.next(&exprs)? {
            match piece {
                Piece::Rows(rows) => results.push(Arc::clone(rows.column(0))),
                Piece::Failed(failed) => return self.refuse(&failed),
            }
        }
        let results: Vec<_> = results.iter().map(AsRef::as_ref).collect();
        Ok(concat(&results)?)
    }

    fn refuse(&self, failed: &FailedRow) -> Result<ArrayRef> {
        let named = RecordBatch::try_new(Arc::clone(&self.schema), failed.row.columns().to_vec())?;
        let places = places_of_row(&named);
        let between = if places.is_empty() { "" } else { ", between " };
        let (shown, places) = (&self.shown, places.join(" and "));
        exec_err!("join condition {shown}{between}{places}: {}", fault_message(&failed.error))
    }
}

impl fmt::Display for JoinCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PartialEq for JoinCondition {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition) && self.schema == other.schema
    }
}

impl Eq for JoinCondition {}

impl Hash for JoinCondition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl PhysicalExpr for JoinCondition {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.condition.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.condition.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.condition.evaluate(batch) {
            Err(error) if is_fault_of_row(&error) => {
                self.evaluate_pairs(batch).map(ColumnarValue::Array)
            }
            evaluated => evaluated,
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [condition] = children.as_slice() else {
            return internal_err!("a join has one condition, found {}", children.len());
        };
        let (condition, schema) = (Arc::clone(condition), Arc::clone(&self.schema));
        Ok(Arc::new(JoinCondition { condition, schema, shown: self.shown.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}
