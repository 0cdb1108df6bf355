//! SQL files become views: each is one `SELECT`, named by its file's stem; views may read views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use super::comparisons::{TypeFault, faults_in_plan};
use super::expanded_size::{ExpandedSize, expanded_size};
use super::parameters::{ParameterValues, UnknownParameter, bind_parameters};
use super::sql_clauses::{Refusal, TooDeep, count_tokens, limit_depth, refuse_query};
use super::sql_error;
use super::sql_syntax::instead_of_statement;
use crate::base::config::{ConfigFile, line_and_column, suggestion};
use crate::base::error::Diagnostic;
use crate::pipeline::View;

/// A view that has been read, but not planned.
struct ParsedView<'v> {
    view: &'v View,
    statement: Statement,
    /// The tables and views that it reads.
    reads: Vec<String>,
}

/// Plans all views in the order in which they read each other and registers them.
///
/// # Errors
/// Everything wrong with any of the files. A view that reads a broken view is not looked at.
pub(crate) async fn register_views(
    context: &SessionContext,
    views: &[View],
    values: &ParameterValues,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut waiting = Vec::new();
    let mut broken = BTreeSet::new();
    for view in views {
        match parse_view(context, view, values) {
            Ok(parsed) => waiting.push(parsed),
            Err(errors) => {
                broken.insert(view.name.clone());
                found.extend(errors);
            }
        }
    }
    let mut sizes = sizes_of_tables(context).await;
    while let Some(position) = next_ready(&waiting) {
        let parsed = waiting.remove(position);
        let name = parsed.view.name.clone();
        if parsed.reads.iter().any(|table| broken.contains(table)) {
            broken.insert(name);
            continue;
        }
        let size = size_of_view(&parsed, &sizes);
        let planned = match size {
            Ok(_) => register_view(context, parsed).await,
            Err(ref refusal) => Err(vec![refusal_in(&parsed.view.file, refusal.clone())]),
        };
        match (planned, size) {
            (Ok(()), Ok(size)) => drop(sizes.insert(name, size)),
            (Ok(()), Err(_)) => {}
            (Err(errors), _) => {
                broken.insert(name);
                found.extend(errors);
            }
        }
    }
    found.extend(waiting.iter().map(|parsed| cycle(parsed, &waiting)));
    found
}

/// The sizes of `logs` and of the reference tables.
async fn sizes_of_tables(context: &SessionContext) -> BTreeMap<String, ExpandedSize> {
    let mut sizes = BTreeMap::new();
    for name in known_tables(context) {
        // What cannot be opened was told already.
        if let Ok(table) = context.table_provider(name.as_str()).await {
            let columns = table.schema().fields().len();
            sizes.insert(name, ExpandedSize::of_table(columns));
        }
    }
    sizes
}

fn size_of_view(
    parsed: &ParsedView<'_>,
    known: &BTreeMap<String, ExpandedSize>,
) -> Result<ExpandedSize, Refusal> {
    match &parsed.statement {
        Statement::Statement(inner) => match inner.as_ref() {
            ast::Statement::Query(query) => expanded_size(query, known),
            _ => Ok(ExpandedSize::of_table(1)),
        },
        _ => Ok(ExpandedSize::of_table(1)),
    }
}

/// A view all of whose views are planned (or known to be broken).
fn next_ready(waiting: &[ParsedView<'_>]) -> Option<usize> {
    let names: BTreeSet<&str> = waiting.iter().map(|parsed| parsed.view.name.as_str()).collect();
    let is_ready =
        |parsed: &ParsedView<'_>| !parsed.reads.iter().any(|table| names.contains(table.as_str()));
    waiting.iter().position(is_ready)
}

fn cycle(parsed: &ParsedView<'_>, waiting: &[ParsedView<'_>]) -> Diagnostic {
    let in_cycle = |table: &&String| waiting.iter().any(|other| other.view.name == **table);
    let through: Vec<&str> = parsed.reads.iter().filter(in_cycle).map(String::as_str).collect();
    let position = through
        .first()
        .and_then(|table| sql_error::position_of_word(&parsed.view.file.text, table));
    let (line, column) = line_and_column(&parsed.view.file.text, position.unwrap_or(0));
    let message =
        format!("view `{}` reads itself through `{}`", parsed.view.name, through.join("`, `"));
    Diagnostic::new(message).in_file(&parsed.view.file.path).at(line, column)
}

fn parse_view<'v>(
    context: &SessionContext,
    view: &'v View,
    values: &ParameterValues,
) -> Result<ParsedView<'v>, Vec<Diagnostic>> {
    let file = &view.file;
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    count_tokens(&file.text).map_err(|too_deep| too_large(file, too_deep))?;
    let mut statement = state
        .sql_to_statement(&file.text, &dialect)
        .map_err(|error| sql_error::diagnostics(file, &error))?;
    let Statement::Statement(inner) = &mut statement else { return Err(no_select(view)) };
    let ast::Statement::Query(query) = inner.as_mut() else { return Err(no_select(view)) };
    limit_depth(query.as_mut()).map_err(|too_deep| too_large(file, too_deep))?;
    let unknown = bind_parameters(query.as_mut(), values);
    let refused = refuse_query(&state, &file.text, query);
    let unknown = unknown.into_iter().map(|unknown| {
        let UnknownParameter { message, help, place } = unknown;
        Refusal { message, help, place }
    });
    let found: Vec<Diagnostic> =
        unknown.chain(refused).map(|refusal| refusal_in(file, refusal)).collect();
    if !found.is_empty() {
        return Err(found);
    }
    let reads = state
        .resolve_table_references(&statement)
        .map_err(|error| sql_error::diagnostics(file, &error))?;
    let reads = reads.iter().map(|table| table.table().to_owned()).collect();
    Ok(ParsedView { view, statement, reads })
}

fn refusal_in(file: &ConfigFile, refusal: Refusal) -> Diagnostic {
    let Refusal { message, help, place: (line, column) } = refusal;
    Diagnostic::new(message).in_file(&file.path).at(line, column).help(help)
}

fn type_fault_in(file: &ConfigFile, fault: TypeFault) -> Diagnostic {
    let TypeFault { message, help, place } = fault;
    let (line, column) = place.unwrap_or((1, 1));
    Diagnostic::new(message).in_file(&file.path).at(line, column).help(help)
}

fn too_large(file: &ConfigFile, too_deep: TooDeep) -> Vec<Diagnostic> {
    let diagnostic = Diagnostic::new(too_deep.message).in_file(&file.path).at(1, 1);
    vec![diagnostic.help(too_deep.help)]
}

fn no_select(view: &View) -> Vec<Diagnostic> {
    let message = "expected one SELECT (it may begin with WITH)";
    let help = instead_of_statement(&view.file.text);
    vec![Diagnostic::new(message).in_file(&view.file.path).at(1, 1).help(help)]
}

async fn register_view(
    context: &SessionContext,
    parsed: ParsedView<'_>,
) -> Result<(), Vec<Diagnostic>> {
    let file = &parsed.view.file;
    check_tables(context, &parsed)?;
    let state = context.state();
    let plan = state
        .statement_to_plan(parsed.statement)
        .await
        .map_err(|error| sql_error::diagnostics(file, &error))?;
    let faults = faults_in_plan(&plan);
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|fault| type_fault_in(file, fault)).collect());
    }
    // Types are checked by the analyzer, which runs with the optimizer.
    state.optimize(&plan).map_err(|error| sql_error::diagnostics(file, &error))?;
    check_column_names(&plan, parsed.view)?;
    let view = ViewTable::new(plan, Some(file.text.clone()));
    context
        .register_table(parsed.view.name.as_str(), Arc::new(view))
        .map_err(|error| sql_error::diagnostics(file, &error))?;
    Ok(())
}

/// Every table that the view reads exists.
fn check_tables(context: &SessionContext, parsed: &ParsedView<'_>) -> Result<(), Vec<Diagnostic>> {
    let file = &parsed.view.file;
    let mut found = Vec::new();
    let state = context.state();
    let is_function = |name: &String| state.table_functions().contains_key(name);
    for table in parsed.reads.iter().filter(|name| !is_function(name)) {
        if !context.table_exist(table.as_str()).unwrap_or(false) {
            let known = known_tables(context);
            let position = sql_error::position_of_word(&file.text, table).unwrap_or(0);
            let (line, column) = line_and_column(&file.text, position);
            let diagnostic = Diagnostic::new(format!("no table or view `{table}`"));
            let help = suggestion(table, known.iter().map(String::as_str));
            found.push(diagnostic.in_file(&file.path).at(line, column).help(help));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn known_tables(context: &SessionContext) -> Vec<String> {
    let schema = context.catalog("datafusion").and_then(|catalog| catalog.schema("public"));
    schema.map_or(Vec::new(), |schema| schema.table_names())
}

/// Two columns of one name could not be told apart in a table.
fn check_column_names(
    plan: &datafusion::logical_expr::LogicalPlan,
    view: &View,
) -> Result<(), Vec<Diagnostic>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for field in plan.schema().fields() {
        *counts.entry(field.name()).or_default() += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    let found: Vec<Diagnostic> = twice
        .map(|(name, count)| {
            let position = sql_error::position_of_word(&view.file.text, name).unwrap_or(0);
            let (line, column) = line_and_column(&view.file.text, position);
            let message = format!("column `{name}` stands {count} times in the result");
            let diagnostic = Diagnostic::new(message).in_file(&view.file.path).at(line, column);
            diagnostic.help("give each a name of its own with AS")
        })
        .collect();
    if found.is_empty() { Ok(()) } else { Err(found) }
}
