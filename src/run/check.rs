//! Checks a pipeline without touching data, or says what a run would do.

use std::path::Path;

use datafusion::arrow::datatypes::Schema;
use serde_json::{Value, json};

use super::context::RunContext;
use super::layout::{check_layout, check_writable};
use super::listing::list_source;
use super::lookups::{load_lookups, open_lookups};
use super::plan::{RunPlan, example_parameters, resource_shares};
use super::stages::plan_queries;
use crate::base::error::{Diagnostic, Error, Result};
use crate::pipeline::{Pipeline, read_pipeline};
use crate::query::{Engine, PlannedOutput};
use crate::scan::logs_schema;
use crate::sink::STORAGE;
use crate::store::Stores;

/// Reads, resolves and plans a pipeline: configuration, contract, SQL, outputs, expectations.
///
/// # Errors
/// `Error::Config` with everything found wrong.
pub async fn check_pipeline(folder: &Path, stores: &Stores) -> Result<Pipeline> {
    let (pipeline, mut found) = read_pipeline(folder, stores.environment());
    let Some(pipeline) = pipeline else { return Err(Error::Config(found)) };
    let layout = check_layout(&pipeline);
    // One fault of a place is enough.
    if layout.is_empty() && found.is_empty() {
        found.extend(check_writable(&pipeline));
    }
    // A name in which a variable is missing is none to be judged.
    if !found.iter().any(|fault| fault.message.contains(UNSET)) {
        found.extend(layout);
    }
    match check_queries(&pipeline, stores).await {
        Ok(more) => found.extend(more),
        Err(Error::Config(more)) => found.extend(more),
        Err(error) => return Err(error),
    }
    if found.is_empty() { Ok(pipeline) } else { Err(Error::Config(found)) }
}

/// What is no error, but not all readers of the tables can take.
pub fn warnings_of(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for output in &pipeline.outputs {
        let (line, column) = output.place;
        for key in output.partition_by.iter().filter(|key| !key.is_ascii()) {
            let message = format!(
                "output `{}`: partition column `{key}` is not ASCII, and filters on it fail in \
                 Spark, and in Hive with most metastores; rename it with AS in the view",
                output.name
            );
            let warning = Diagnostic::new(message).in_file(&pipeline.file.path);
            warnings.push(warning.at(line, column));
        }
    }
    warnings
}

/// What a variable without a value is told by.
const UNSET: &str = "environment variable";

/// Plans every SQL file and every output.
async fn check_queries(pipeline: &Pipeline, stores: &Stores) -> Result<Vec<Diagnostic>> {
    let (lookups, mut found) = open_lookups(pipeline);
    let lookups_opened = found.is_empty();
    let values = example_parameters(pipeline);
    let (mut settings, _) = resource_shares(pipeline, 1);
    // Nothing spills; whether it could is checked with the other places.
    settings.spill = None;
    let (engine, more) = Engine::assemble(pipeline, &settings, &lookups, &values, stores).await?;
    found.extend(more);
    match engine.plan_outputs(pipeline, &values, STORAGE).await {
        Ok(_) => {}
        Err(Error::Config(more)) => found.extend(more),
        Err(error) => return Err(error),
    }
    if !lookups_opened {
        // What cannot be opened is said; that a function misses it follows.
        found.retain(|finding| !finding.message.contains(NO_DATABASE));
    }
    Ok(found)
}

/// What functions say if there is no database.
const NO_DATABASE: &str = "no GeoIP database";

/// What a run would do, as JSON: objects, outputs with their columns, where everything goes.
///
/// # Errors
/// What would stop the run before it reads data.
pub async fn describe_plan(plan: &RunPlan, context: &RunContext) -> Result<Value> {
    let pipeline = &plan.pipeline;
    let lookups = load_lookups(pipeline)?;
    let (engine, outputs) = plan_queries(plan, context, &lookups).await?;
    drop(engine);
    let logs = logs_schema(&pipeline.contract, &pipeline.source.partition_columns);
    let objects = list_source(plan, context).await?.objects;
    let listed: Vec<Value> = objects
        .iter()
        .map(|object| json!({ "location": object.location, "bytes": object.size }))
        .collect();
    Ok(json!({
        "source": {
            "location": pipeline.source.location,
            "objects": listed,
            "bytes": objects.iter().map(|object| object.size).sum::<u64>(),
        },
        "skipped": plan.skipped,
        "outputs": outputs.iter().map(|output| describe_output(output, &logs)).collect::<Vec<_>>(),
        "quarantine": pipeline.quarantine.location,
        "state": pipeline.state,
        "parameters": plan.parameters.keys().collect::<Vec<_>>(),
        "threads": plan.engine.threads,
        "memory_limit_bytes": pipeline.resources.memory_limit_bytes,
    }))
}

fn describe_output(planned: &PlannedOutput, logs: &Schema) -> Value {
    let output = &planned.output;
    let reads: Vec<&String> =
        planned.logs_columns.iter().map(|column| logs.field(*column).name()).collect();
    let columns: Vec<Value> = planned
        .schema
        .fields()
        .iter()
        .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
        .collect();
    let tables: Vec<Value> = output
        .tables
        .iter()
        .map(|table| json!({ "format": table.format.name(), "root": table.location }))
        .collect();
    json!({
        "name": output.name,
        "view": output.view,
        "tables": tables,
        "columns": columns,
        "partition_by": output.partition_by,
        "sort_by": output.sort_by,
        "grain": output.grain.map(crate::base::interval::Grain::name),
        "expectations": output.expectations.iter().map(|e| &e.name).collect::<Vec<_>>(),
        "reads": reads,
        "shares_scan": planned.logs_scans == 1,
    })
}
