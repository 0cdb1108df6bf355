//! Finds the rows of a batch that expressions fail on, by halving it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};

use super::predicates::predicate_of;
use crate::pipeline::OnFail;
use crate::query::sql_error::whole_message;

/// Expressions that are evaluated together, and the columns that they make.
#[derive(Debug, Clone)]
pub(crate) struct Expressions {
    pub exprs: Vec<Arc<dyn PhysicalExpr>>,
    pub schema: SchemaRef,
    /// The one that decides whether a row is kept, if there is one.
    pub predicate: Option<usize>,
}

/// A row that an expression fails on.
pub(crate) struct FailedRow {
    /// The row that went in, as a batch.
    pub row: RecordBatch,
    /// Which expression fails.
    pub expr: usize,
    /// How.
    pub error: DataFusionError,
}

/// Part of what became of a batch.
pub(crate) enum Piece {
    /// The results of some rows.
    Rows(RecordBatch),
    /// A row without one.
    Failed(FailedRow),
}

/// A batch that has failed, on its way to the rows that are to blame.
pub(crate) struct Isolation {
    /// What is still to be evaluated, the first rows last, with the results of expressions that
    /// have succeeded on more rows already.
    waiting: Vec<(RecordBatch, Vec<Option<ArrayRef>>)>,
}

impl Isolation {
    pub fn new(exprs: &Expressions, batch: RecordBatch) -> Self {
        Isolation { waiting: vec![(batch, vec![None; exprs.exprs.len()])] }
    }

    /// The next rows, in their order.
    ///
    /// # Errors
    /// What is the fault of no row.
    pub fn next(&mut self, exprs: &Expressions) -> Result<Option<Piece>> {
        while let Some((batch, mut known)) = self.waiting.pop() {
            let rows = batch.num_rows();
            match exprs.evaluate_unknown(&batch, &mut known)? {
                None => {
                    let columns = known.into_iter().flatten().collect();
                    return Ok(Some(Piece::Rows(exprs.to_batch(columns, rows)?)));
                }
                Some((expr, error)) if rows == 1 => {
                    return Ok(Some(Piece::Failed(FailedRow { row: batch, expr, error })));
                }
                Some(_) => {
                    let half = rows / 2;
                    for (start, length) in [(half, rows - half), (0, half)] {
                        let slice = |column: &Option<ArrayRef>| {
                            column.as_ref().map(|column| column.slice(start, length))
                        };
                        let known = known.iter().map(slice).collect();
                        self.waiting.push((batch.slice(start, length), known));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Expressions {
    /// The results of all rows at once.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.exprs.iter().map(|expr| evaluate(expr, batch));
        self.to_batch(columns.collect::<Result<_>>()?, batch.num_rows())
    }

    /// Evaluates what is not known yet; gives the first expression that fails.
    fn evaluate_unknown(
        &self,
        batch: &RecordBatch,
        known: &mut [Option<ArrayRef>],
    ) -> Result<Option<(usize, DataFusionError)>> {
        let mut fault = None;
        for (index, result) in known.iter_mut().enumerate() {
            if result.is_some() {
                continue;
            }
            match evaluate(&self.exprs[index], batch) {
                Ok(column) => *result = Some(column),
                Err(error) if !is_fault_of_row(&error) => return Err(error),
                Err(_)
                    if batch.num_rows() == 1
                        && (self.is_dropped(index, batch) || self.is_warning(index)) =>
                {
                    *result = Some(Arc::new(BooleanArray::from(vec![false])));
                }
                Err(error) => fault = fault.or(Some((index, error))),
            }
        }
        Ok(fault)
    }

    /// Whether another part of the predicate drops a row: then it does not matter that one fails.
    fn is_dropped(&self, index: usize, row: &RecordBatch) -> bool {
        let is_predicate = self.predicate == Some(index);
        is_predicate
            && split_conjunction(&self.exprs[index]).into_iter().any(|part| {
                let kept = evaluate(part, row);
                kept.is_ok_and(|kept| kept.is_null(0) || !kept.as_boolean().value(0))
            })
    }

    /// Whether a row that the expression fails on is one that breaks an expectation.
    fn is_warning(&self, index: usize) -> bool {
        let predicate = predicate_of(&self.exprs[index]);
        predicate.is_some_and(|predicate| predicate.on_fail == OnFail::Warn)
    }

    fn to_batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// A panic of a function is an error of the rows that it was given.
fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let evaluated =
        catch_unwind(AssertUnwindSafe(|| expr.evaluate(batch)?.into_array(batch.num_rows())));
    evaluated.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no message");
        Err(DataFusionError::Execution(format!("a function of it panicked: {text}")))
    })
}

/// What an error says of a row, on one line.
pub(crate) fn fault_message(error: &DataFusionError) -> String {
    let root = error.find_root();
    match root {
        DataFusionError::External(inner) if inner.is::<regex::Error>() => {
            let shown = whole_message(&inner.to_string());
            format!("the regular expression is wrong: {shown}")
        }
        other => other.message().lines().next().unwrap_or_default().to_owned(),
    }
}

/// Whether an error tells of values: not of memory or stores, and not our own refusal to go on.
/// Patterns that are constants were compiled before, so that a wrong one comes from a row.
pub(crate) fn is_fault_of_row(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::ArrowError(error, _) => matches!(
            error.as_ref(),
            ArrowError::ArithmeticOverflow(_)
                | ArrowError::DivideByZero
                | ArrowError::CastError(_)
                | ArrowError::ComputeError(_)
                | ArrowError::ParseError(_)
                | ArrowError::InvalidArgumentError(_)
                | ArrowError::OffsetOverflowError(_)
                | ArrowError::JsonError(_)
        ),
        DataFusionError::Execution(_) => true,
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            is_fault_of_row(inner)
        }
        DataFusionError::Shared(inner) => is_fault_of_row(inner),
        DataFusionError::External(inner) => inner.is::<regex::Error>(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::common::ToDFSchema;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::prelude::{SessionContext, col};

    use super::*;

    #[test]
    fn a_row_on_which_a_function_panics_fails_alone() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let implementation = Arc::new(|args: &[ColumnarValue]| {
            let array = args[0].to_array(1)?;
            assert!(!array.as_primitive::<Int64Type>().values().contains(&7), "met a seven");
            Ok(args[0].clone())
        });
        let integer = DataType::Int64;
        let picky = create_udf(
            "picky",
            vec![integer.clone()],
            integer,
            Volatility::Immutable,
            implementation,
        );
        let columns = schema.as_ref().clone().to_dfschema().unwrap();
        let call = picky.call(vec![col("n")]);
        let expr = SessionContext::new().create_physical_expr(call, &columns).unwrap();
        let batch = vec![Arc::new(Int64Array::from(vec![1, 7, 3, 7, 5])) as ArrayRef];
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch).unwrap();
        let exprs = Expressions { exprs: vec![expr], schema, predicate: None };
        assert!(is_fault_of_row(&exprs.evaluate(&batch).unwrap_err()));
        let (mut isolation, mut kept, mut failed) = (Isolation::new(&exprs, batch), vec![], 0);
        while let Some(piece) = isolation.next(&exprs).unwrap() {
            match piece {
                Piece::Rows(rows) => {
                    kept.extend(rows.column(0).as_primitive::<Int64Type>().values().to_vec());
                }
                Piece::Failed(FailedRow { row, error, .. }) => {
                    assert_eq!(row.column(0).as_primitive::<Int64Type>().values(), &[7]);
                    assert!(fault_message(&error).contains("met a seven"));
                    failed += 1;
                }
            }
        }
        assert_eq!((kept, failed), (vec![1, 3, 5], 2));
    }
}
