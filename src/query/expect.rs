//! Expectations: SQL predicates that the rows of an output must meet.
//!
//! The predicates become columns after the view's own, true or false in each row; the sink cuts
//! them off again. A predicate that is NULL counts as broken: it is not known to hold.
//!
//! ```text
//! view          at, amount, _source, _line
//! planned       at, amount, _source, _line, __expectation_0       (amount >= 0) IS TRUE
//! checked       rows with true in all are kept; the others → quarantine, warning or failure
//! ```

use std::collections::BTreeMap;

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{and, filter_record_batch, not};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::comparisons::faults_in_expression;
use super::evaluation::guarded_predicate;
use super::parameters::{ParameterValues, bind_parameters};
use super::sql_clauses::{Refusal, TooDeep, count_tokens, limit_depth, refuse_expression};
use super::sql_signatures::in_sql_types;
use crate::base::error::{Error, Result};
use crate::pipeline::{Expectation, OnFail, Output};
use crate::quarantine::{QuarantineRecord, RowFault};
use crate::query::rejected_rows::{describe_origin, reject_rows};

/// Prefix of the columns that carry the predicates' results.
const COLUMN_PREFIX: &str = "__expectation_";

/// The predicate as a column that is true or false.
///
/// # Errors
/// What is wrong with the predicate, without its place.
pub(crate) fn plan_expectation(
    state: &SessionState,
    schema: &DFSchema,
    number: usize,
    expectation: &Expectation,
    values: &ParameterValues,
) -> Result<Expr, DataFusionError> {
    let dialect = state.config().options().sql_parser.dialect;
    let plan_error =
        |message: &str, help: &str| Err(DataFusionError::Plan(format!("{message}; {help}")));
    if let Err(TooDeep { message, help }) = count_tokens(&expectation.predicate) {
        return plan_error(&message, &help);
    }
    let mut tree = state.sql_to_expr_with_alias(&expectation.predicate, &dialect)?;
    if let Some(alias) = &tree.alias {
        return plan_error(&format!("a predicate has no name, found `{alias}`"), "leave it out");
    }
    if let Err(TooDeep { message, help }) = limit_depth(&mut tree.expr) {
        return plan_error(&message, &help);
    }
    if let Some(unknown) = bind_parameters(&mut tree.expr, values).into_iter().next() {
        return plan_error(&unknown.message, &unknown.help);
    }
    let refused = refuse_expression(state, &expectation.predicate, &tree.expr);
    if let Some(Refusal { message, help, .. }) = refused.into_iter().next() {
        return plan_error(&message, &help);
    }
    let predicate = state.create_logical_expr_from_sql_expr(tree, schema)?;
    let gathers = predicate
        .exists(|part| Ok(matches!(part, Expr::AggregateFunction(_) | Expr::WindowFunction(_))))?;
    if gathers {
        let message = "a predicate looks at one row, and an aggregate or a window at several";
        return plan_error(message, "compute it as a column of the view");
    }
    let found = predicate.get_type(schema)?;
    if found != DataType::Boolean {
        let message = format!(
            "expected a predicate (true or false), found {}",
            in_sql_types(&found.to_string())
        );
        return Err(DataFusionError::Plan(message));
    }
    if let Some(fault) = faults_in_expression(&predicate, schema).into_iter().next() {
        return plan_error(&fault.message, &fault.help);
    }
    Ok(guarded_predicate(expectation, predicate.is_true())
        .alias(format!("{COLUMN_PREFIX}{number}")))
}

/// What the expectations of one output found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExpectationCounts {
    /// Rows that went to the quarantine, by expectation.
    pub rejected: BTreeMap<String, u64>,
    /// Rows that were written although they broke an expectation, by expectation.
    pub warned: BTreeMap<String, u64>,
}

/// Holds the rows of an output's batches against its expectations.
#[derive(Debug)]
pub(crate) struct ExpectationCheck {
    output: Output,
    counts: ExpectationCounts,
}

impl ExpectationCheck {
    pub fn new(output: &Output) -> Self {
        ExpectationCheck { output: output.clone(), counts: ExpectationCounts::default() }
    }

    /// What was found so far.
    pub fn into_counts(self) -> ExpectationCounts {
        self.counts
    }

    /// Which rows of `view` are kept (all of them if none is said), and the others; `holds` are the
    /// columns of the predicates' results, in the order of the expectations.
    ///
    /// # Errors
    /// `Error::Data` if a row breaks an expectation with `on_fail = "fail"`.
    pub fn check(
        &mut self,
        view: &RecordBatch,
        holds: &RecordBatch,
    ) -> Result<(Option<BooleanArray>, Vec<QuarantineRecord>)> {
        let mut kept: Option<BooleanArray> = None;
        let mut records = Vec::new();
        for (number, expectation) in self.output.expectations.iter().enumerate() {
            let holds = holds.column(number).as_boolean();
            if holds.true_count() == view.num_rows() {
                continue;
            }
            let broken = not(holds).map_err(|error| bug(&error))?;
            match expectation.on_fail {
                OnFail::Fail => return Err(self.failure(expectation, view, &broken)),
                OnFail::Warn => add(&mut self.counts.warned, expectation, broken.true_count()),
                OnFail::Reject => {
                    let fresh = match &kept {
                        Some(kept) => and(&broken, kept).map_err(|error| bug(&error))?,
                        None => broken,
                    };
                    add(&mut self.counts.rejected, expectation, fresh.true_count());
                    let (name, predicate) = (&expectation.name, &expectation.predicate);
                    let fault = RowFault::Expectation { name, predicate };
                    let rows = filter_record_batch(view, &fresh).map_err(|error| bug(&error))?;
                    records.extend(reject_rows(&self.output.name, fault, &rows)?);
                    kept = Some(match &kept {
                        Some(kept) => and(kept, holds).map_err(|error| bug(&error))?,
                        None => holds.clone(),
                    });
                }
            }
        }
        Ok((kept, records))
    }

    fn failure(
        &self,
        expectation: &Expectation,
        view: &RecordBatch,
        broken: &BooleanArray,
    ) -> Error {
        let first = (0..broken.len()).find(|row| broken.value(*row)).unwrap_or(0);
        Error::Data(format!(
            "output {}: {} rows of a batch break expectation `{}` ({}), the first {}; nothing was \
             published; look at the rows, or mend the expectation",
            self.output.name,
            broken.true_count(),
            expectation.name,
            expectation.predicate,
            describe_origin(view, first),
        ))
    }
}

fn add(counts: &mut BTreeMap<String, u64>, expectation: &Expectation, rows: usize) {
    *counts.entry(expectation.name.clone()).or_default() += rows as u64;
}

fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("checking expectations: {error}"))
}
