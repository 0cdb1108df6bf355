//! Errors of a row name where it came from.
//!
//! A function sees only its arguments. So functions that may refuse a row take two more, the row's
//! `_source` and `_line`, and a rule of the analyzer appends them wherever the input has them:
//!
//! ```text
//! SELECT consumption_tax(price, category, at) FROM logs
//!   ─► SELECT consumption_tax(price, category, at, _source, _line) AS "consumption_tax(…)" …
//!   ─► tax: unknown category "food" …, in object logs/a.json.gz, line 17
//! ```

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::arguments::Texts;
use super::refusing_rows;
use crate::base::error::Error;

/// The column that names a row's object.
const SOURCE: &str = "_source";
/// The column that numbers a row's line in its object.
const LINE: &str = "_line";

/// Splits the types of a call into its own and those of the row's source, if it has been appended:
/// no function that refuses rows has an integer as its own last argument after the first.
pub(super) fn split_types(types: &[DataType]) -> (&[DataType], &[DataType]) {
    let appended = types.len() > 2 && types.last().is_some_and(DataType::is_integer);
    types.split_at(if appended { types.len() - 2 } else { types.len() })
}

/// The types that a row's source is cast to.
pub(super) fn coerce(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [source, _] => {
            Ok(vec![super::arguments::text_type(function, SOURCE, source)?, DataType::Int64])
        }
        _ => Ok(Vec::new()),
    }
}

/// Where each row of a batch came from, as far as it is known.
pub(super) struct RowSources<'a> {
    known: Option<(Texts<'a>, Int64Array)>,
}

impl<'a> RowSources<'a> {
    /// Reads the two appended arguments, or none.
    pub(super) fn of(appended: &'a [ArrayRef]) -> Result<RowSources<'a>> {
        let known = match appended {
            [source, line] => {
                let lines = cast(line, &DataType::Int64)?;
                Some((Texts::of(source.as_ref())?, lines.as_primitive().clone()))
            }
            _ => None,
        };
        Ok(RowSources { known })
    }

    /// An error of the data that names the row.
    pub(super) fn refuse(&self, row: usize, message: &str) -> DataFusionError {
        let place = match &self.known {
            Some((sources, lines)) => {
                let source = sources.get(row).unwrap_or("unknown");
                let line = lines.is_valid(row).then(|| lines.value(row).to_string());
                format!("in object {source}, line {}", line.as_deref().unwrap_or("unknown"))
            }
            None => format!("select `{SOURCE}` and `{LINE}` in the view to see in which row"),
        };
        let separator = if self.known.is_some() { ", " } else { "; " };
        DataFusionError::External(Box::new(Error::Data(format!("{message}{separator}{place}"))))
    }
}

/// Appends `_source` and `_line` to calls of functions that may refuse a row.
#[derive(Debug, Default)]
pub struct AddRowSource;

impl AnalyzerRule for AddRowSource {
    fn name(&self) -> &str {
        "add_row_source"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(add_to_node).map(|transformed| transformed.data)
    }
}

fn add_to_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let Some((source, line)) = row_source(&schema) else {
        return Ok(Transformed::no(plan));
    };
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| Ok(add_to_call(expr, &source, &line)))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

/// The two columns of the first table in the schema that has both.
fn row_source(schema: &DFSchema) -> Option<(Column, Column)> {
    let named = |wanted: &'static str| {
        schema.iter().filter(move |(_, field)| field.name() == wanted).map(Column::from)
    };
    named(SOURCE).find_map(|source| {
        let line = named(LINE).find(|line| line.relation == source.relation)?;
        Some((source, line))
    })
}

fn add_to_call(expr: Expr, source: &Column, line: &Column) -> Transformed<Expr> {
    match expr {
        Expr::ScalarFunction(call) if wants_row_source(&call) => {
            let ScalarFunction { func, mut args } = call;
            args.extend([Expr::Column(source.clone()), Expr::Column(line.clone())]);
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        other => Transformed::no(other),
    }
}

/// Calls of constants are left alone, so that they fold; so are those that have been rewritten.
fn wants_row_source(call: &ScalarFunction) -> bool {
    let rewritten = matches!(call.args.last(), Some(Expr::Column(last)) if last.name == LINE);
    refusing_rows().contains(&call.func.name())
        && !rewritten
        && call.args.iter().any(Expr::any_column_refs)
}
