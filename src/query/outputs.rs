//! Outputs: a view, its expectations and its order as one physical plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::{Expr, SortExpr, cast, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{DataFrame, SessionContext};

use super::bounded_aggregates::gathers_values;
use super::engine_errors::engine_error;
use super::evaluation::{CheckedProjectionExec, plan_checked};
use super::expect::plan_expectation;
use super::logs_table::logs_scans;
use super::parameters::ParameterValues;
use super::recursion::count_recursion_steps;
use super::slices::{self, cut_large_batches};
use crate::base::error::{Diagnostic, Error};
use crate::pipeline::{OnFail, Output, Pipeline};

/// An output that is ready to run.
#[derive(Debug, Clone)]
pub struct PlannedOutput {
    /// The output.
    pub output: Output,
    /// The columns of its tables, partition columns among them.
    pub schema: SchemaRef,
    /// How many times its query reads `logs`.
    pub logs_scans: usize,
    /// The columns of `logs` that it reads, by number.
    pub logs_columns: BTreeSet<usize>,
    /// What gathers rows from the whole input, if anything does: an aggregate, a join, a limit.
    pub gathers_rows: Option<String>,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
}

/// What planning asks of the files that rows are written to.
#[derive(Debug, Clone, Copy)]
pub struct Storage {
    /// All that stands against writing rows of a view as an output says, a sentence each.
    pub check_output: fn(&Output, &Schema) -> Vec<String>,
    /// The type that a column is cast to before its rows leave the query, if its values may not fit
    /// the one that its files have for it.
    pub cast_to: fn(&DataType) -> Option<DataType>,
}

/// Plans one output, down to the rows that are written.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) async fn plan_output(
    context: &SessionContext,
    pipeline: &Pipeline,
    output: &Output,
    values: &ParameterValues,
    storage: Storage,
) -> Result<PlannedOutput, Vec<Diagnostic>> {
    let at_output = |message: String| {
        let (line, column) = output.place;
        let message = format!("output `{}`: {message}", output.name);
        Diagnostic::new(message).in_file(&pipeline.file.path).at(line, column)
    };
    let of_engine = |error| {
        let (message, help) = planning_fault(error);
        let fault = at_output(message);
        vec![match help {
            Some(help) => fault.help(help),
            None => fault,
        }]
    };
    let view = context.table(output.view.as_str()).await.map_err(of_engine)?;
    let view_schema = view.schema().clone();
    let schema = written_schema(output, view_schema.as_arrow());
    let faults = (storage.check_output)(output, view_schema.as_arrow());
    let faults = faults.into_iter().chain(check_origin(output, &view_schema));
    let mut found: Vec<Diagnostic> = faults.map(&at_output).collect();
    let (predicates, faults) = plan_expectations(context, pipeline, output, &view_schema, values);
    found.extend(faults);
    if !found.is_empty() {
        return Err(found);
    }
    let ordered = add_predicates_and_order(view, output, predicates, storage).map_err(of_engine)?;
    let (mut state, plan) = ordered.into_parts();
    if gathers_values(&plan).map_err(of_engine)? {
        state.config_mut().options_mut().optimizer.repartition_aggregations = false;
    }
    let input = plan_checked(&state, &plan).await;
    let input = input.and_then(cut_large_batches).and_then(count_recursion_steps);
    let input = input.map_err(of_engine)?;
    let logs = logs_scans(&input);
    let (logs_scans, logs_columns) = (logs.len(), logs.into_iter().flatten().collect());
    let gathers_rows = gathers_rows(input.as_ref());
    let output = output.clone();
    Ok(PlannedOutput { output, schema, logs_scans, logs_columns, gathers_rows, plan: input })
}

/// What planning a query fails on, and what to write; nothing has run yet.
fn planning_fault(error: DataFusionError) -> (String, Option<&'static str>) {
    let text = error.find_root().message().into_owned();
    let is_subquery = ["OuterReference", "ScalarSubquery", "InSubquery", "Exists"];
    if text.contains("does not support logical expression")
        && is_subquery.iter().any(|name| text.contains(name))
    {
        let message = "a subquery looks at columns of the query around it in a form that cannot be \
                       planned";
        let help = "join what it reads, grouped by the columns that must be equal, or use a window \
                    function";
        return (message.to_owned(), Some(help));
    }
    match engine_error(error) {
        Error::Data(_) => {
            let said = super::sql_error::whole_message(&text);
            (format!("its query cannot be planned: {said}"), Some("mend the SQL file of its view"))
        }
        other => (other.to_string(), None),
    }
}

/// Nodes that make of each row what they would make of it alone. A sort only orders the rows of
/// files, unless it stops early.
const ROW_WISE: [&str; 11] = [
    CheckedProjectionExec::NAME,
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "FilterExec",
    "LogsScanExec",
    "ProjectionExec",
    "RepartitionExec",
    slices::NAME,
    "SortPreservingMergeExec",
    "UnnestExec",
];

/// The first node of a plan that is not known to be row by row.
fn gathers_rows(plan: &dyn ExecutionPlan) -> Option<String> {
    let is_sort = plan.name() == "SortExec";
    if plan.fetch().is_some() || !(is_sort || ROW_WISE.contains(&plan.name())) {
        return Some(plan.name().to_owned());
    }
    plan.children().into_iter().find_map(|child| gathers_rows(child.as_ref()))
}

fn written_schema(output: &Output, view: &Schema) -> SchemaRef {
    let fields = view.fields().iter().filter(|field| !output.exclude.contains(field.name()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// Rows that are rejected must say where they come from.
fn check_origin(output: &Output, view: &DFSchema) -> Option<String> {
    let has = |name: &str| view.fields().iter().any(|field| field.name() == name);
    let rejects = output.expectations.iter().find(|e| e.on_fail == OnFail::Reject)?;
    if has("_source") && has("_line") {
        return None;
    }
    Some(format!(
        "expectation `{}` rejects rows, but view `{}` does not say where they come from; select \
         `_source` and `_line` there (`exclude` keeps them out of the table), or use `warn` or \
         `fail`",
        rejects.name, output.view
    ))
}

fn plan_expectations(
    context: &SessionContext,
    pipeline: &Pipeline,
    output: &Output,
    schema: &DFSchema,
    values: &ParameterValues,
) -> (Vec<Expr>, Vec<Diagnostic>) {
    let (mut predicates, mut found) = (Vec::new(), Vec::new());
    let state = context.state();
    for (number, expectation) in output.expectations.iter().enumerate() {
        match plan_expectation(&state, schema, number, expectation, values) {
            Ok(predicate) => predicates.push(predicate),
            Err(error) => {
                let (line, column) = expectation.place;
                let what = format!("expectation `{}` of `{}`", expectation.name, output.name);
                let (message, help) = super::sql_error::message_and_help(&error);
                let diagnostic = Diagnostic::new(format!("{what}: {message}"))
                    .in_file(&pipeline.file.path)
                    .at(line, column);
                found.push(match help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
            }
        }
    }
    (predicates, found)
}

/// The view's columns. Those whose values may not fit what they are stored as are cast here, where
/// a row that fails still knows where it comes from.
fn columns_to_store(view: &DataFrame, output: &Output, storage: Storage) -> Vec<Expr> {
    let schema = view.schema();
    let columns = schema.columns().into_iter().zip(schema.fields());
    let stored = columns.map(|(column, field)| {
        let name = column.name.clone();
        match (storage.cast_to)(field.data_type()) {
            Some(stored) if !output.exclude.contains(&name) => {
                cast(Expr::Column(column), stored).alias(name)
            }
            _ => Expr::Column(column),
        }
    });
    stored.collect()
}

/// The view's rows with the predicates after them, ordered if the output wants an order.
fn add_predicates_and_order(
    view: DataFrame,
    output: &Output,
    predicates: Vec<Expr>,
    storage: Storage,
) -> datafusion::common::Result<DataFrame> {
    let columns = columns_to_store(&view, output, storage);
    let view = view.clone().select(columns.into_iter().chain(predicates))?;
    if output.sort_by.is_empty() {
        return Ok(view);
    }
    let keys = output.partition_by.iter().chain(&output.sort_by);
    let by = |name: &String| -> SortExpr { col(format!("\"{name}\"")).sort(true, true) };
    view.sort(keys.map(by).collect())
}
