//! The engine: a DataFusion context with the tables, views and functions of one pipeline.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::physical_plan::displayable;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::bounded_aggregates::bound_aggregates;
use super::bounded_functions::bound_functions;
use super::engine_errors::engine_error;
use super::evaluation::{EvaluationRejects, physical_rules, places_of};
use super::logs_table::{LogsFeed, LogsTable};
use super::memory::TwoPartPool;
use super::output_rows::OutputRows;
use super::outputs::{PlannedOutput, Storage, plan_output};
use super::parameters::ParameterValues;
use super::planning_stack::on_large_stack;
use super::recursion::RecursionSteps;
use super::references::register_references;
use super::spill::SpillFolder;
use super::views::register_views;
use crate::base::error::{Diagnostic, Error, Result};
use crate::enrich::Enrichment;
use crate::pipeline::Pipeline;
use crate::quarantine::QuarantineSender;
use crate::scan::logs_schema;
use crate::store::Stores;
use crate::udf;

/// What an engine may take of the machine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Threads of queries.
    pub threads: usize,
    /// Bytes that sorts, joins and aggregates of one output may hold before they spill.
    pub pool_bytes: usize,
    /// Where they spill; the system's temporary directory if absent.
    pub spill: Option<PathBuf>,
    /// Steps that a recursive query may take.
    pub recursion_steps_max: u64,
}

/// A DataFusion context with the tables, views and functions of one pipeline.
pub struct Engine {
    context: SessionContext,
    pool_bytes: usize,
    recursion_steps_max: u64,
    /// Where queries spill.
    spill: PathBuf,
    /// The folder of this process there.
    spill_folder: OnceLock<SpillFolder>,
}

impl Engine {
    /// Registers functions, `logs`, reference tables and views.
    ///
    /// # Errors
    /// `Error::Config` with everything that is wrong with any SQL file or reference table.
    pub async fn build(
        pipeline: &Pipeline,
        settings: &EngineSettings,
        enrichment: &Arc<Enrichment>,
        values: &ParameterValues,
        stores: &Stores,
    ) -> Result<Engine> {
        match Engine::assemble(pipeline, settings, enrichment, values, stores).await? {
            (engine, found) if found.is_empty() => Ok(engine),
            (_, found) => Err(Error::Config(found)),
        }
    }

    /// The engine with what is right, and all that is wrong.
    pub async fn assemble(
        pipeline: &Pipeline,
        settings: &EngineSettings,
        enrichment: &Arc<Enrichment>,
        values: &ParameterValues,
        stores: &Stores,
    ) -> Result<(Engine, Vec<Diagnostic>)> {
        let context = new_context(settings, enrichment)?;
        let schema = logs_schema(&pipeline.contract, &pipeline.source.partition_columns);
        let logs = Arc::new(LogsTable::new(schema));
        context.register_table(crate::pipeline::LOGS, logs).map_err(engine_error)?;
        // All outputs share the tables, so each gives its part of what they hold.
        let outputs = pipeline.outputs.len().max(1);
        let most = settings.pool_bytes / 100 * REFERENCES_PERCENT * outputs;
        let (held, mut found) = register_references(&context, pipeline, stores, most).await?;
        let views = on_large_stack(register_views(&context, &pipeline.views, values)).await;
        let references_are_sound = found.is_empty();
        let is_sequel = |diagnostic: &Diagnostic| is_missing_reference(diagnostic, pipeline);
        found.extend(views.into_iter().filter(|one| references_are_sound || !is_sequel(one)));
        let spill = settings.spill.clone().unwrap_or_else(std::env::temp_dir);
        let (pool_bytes, spill_folder) = (settings.pool_bytes - held / outputs, OnceLock::new());
        let recursion_steps_max = settings.recursion_steps_max;
        Ok((Engine { context, pool_bytes, recursion_steps_max, spill, spill_folder }, found))
    }

    /// Plans all outputs. Outputs whose view is broken are left out: the view's own error is known
    /// already.
    ///
    /// # Errors
    /// `Error::Config` with everything that is wrong with any output.
    pub async fn plan_outputs(
        &self,
        pipeline: &Pipeline,
        values: &ParameterValues,
        storage: Storage,
    ) -> Result<Vec<PlannedOutput>> {
        let mut planned = Vec::new();
        let mut found: Vec<Diagnostic> = Vec::new();
        for output in &pipeline.outputs {
            if !self.context.table_exist(output.view.as_str()).map_err(engine_error)? {
                continue;
            }
            let plan = plan_output(&self.context, pipeline, output, values, storage);
            match on_large_stack(plan).await {
                Ok(output) => planned.push(output),
                Err(errors) => found.extend(errors),
            }
        }
        if found.is_empty() { Ok(planned) } else { Err(Error::Config(found)) }
    }

    /// Lets queries spill into a folder, which goes with the engine.
    ///
    /// # Errors
    /// `Error::Bug` if there is one already.
    pub fn set_spill_folder(&self, folder: SpillFolder) -> Result<()> {
        let set = self.spill_folder.set(folder);
        set.map_err(|_| Error::Bug("an engine with two spill folders".to_owned()))
    }

    /// Starts the query of one output. Rows that it cannot be evaluated on go to the quarantine.
    ///
    /// # Errors
    /// `Error::Bug` if the plan cannot be started; what stops it later comes with its rows.
    pub fn query(
        &self,
        output: &PlannedOutput,
        logs: LogsFeed,
        quarantine: QuarantineSender,
    ) -> Result<OutputRows> {
        let name = &output.output.name;
        let places = places_of(&output.plan);
        let rejects = Arc::new(EvaluationRejects::new(name, places, quarantine));
        // The nodes of the plan are plain values; these are how they meet the world.
        let config = self.context.copied_config().with_extension(Arc::new(logs));
        let steps = Arc::new(RecursionSteps::new(self.recursion_steps_max));
        let config = config.with_extension(Arc::clone(&rejects)).with_extension(steps);
        // Each output has a pool of its own, so that none starves another.
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.context.runtime_env())
            .with_memory_pool(Arc::new(TwoPartPool::new(self.pool_bytes)))
            .with_disk_manager_builder(self.disk_manager())
            .build_arc()
            .map_err(engine_error)?;
        let context = TaskContext::from(&self.context.state())
            .with_session_config(config)
            .with_runtime(runtime);
        let plan = displayable(output.plan.as_ref()).indent(false);
        tracing::debug!(output = name, %plan, "output starts");
        // Nodes keep what they did not need, such as the other side of a join with nothing. It
        // must go with this run of them: the scan of logs and the quarantine wait for it.
        let plan = reset_plan_states(Arc::clone(&output.plan)).map_err(engine_error)?;
        OutputRows::start(name, &plan, context, rejects, self.spill.clone())
    }
}

/// Whether a view's error is only that a reference table is not there.
fn is_missing_reference(diagnostic: &Diagnostic, pipeline: &Pipeline) -> bool {
    let missing = |name: &str| format!("no table or view `{name}`");
    pipeline.references.iter().any(|table| diagnostic.message.contains(&missing(&table.name)))
}

/// Share of the memory for queries that reference tables of text may hold.
const REFERENCES_PERCENT: usize = 50;
/// Rows of a batch; log records are wide, some KiB each.
const BATCH_ROWS: usize = 2048;
/// What each sort keeps back for its merge.
const MERGE_BYTES: usize = 4 << 20;

/// What each thread of an output's query must have, so that a sort that has spilled can merge.
const PARTITION_BYTES: usize = 3 * MERGE_BYTES;

/// Threads of each output's query: no more than its memory has room for.
fn partitions(settings: &EngineSettings) -> usize {
    settings.threads.min(settings.pool_bytes / PARTITION_BYTES).max(1)
}

fn new_context(settings: &EngineSettings, enrichment: &Arc<Enrichment>) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions(settings))
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_owned());
    // It would repeat the function below each field that is taken out of its struct, and the scan
    // has no use for fields.
    options.optimizer.enable_leaf_expression_pushdown = false;
    // The pool is divided among all sorts and aggregates of all outputs. Each must be able to hold
    // some batches and what it keeps back for its merge, so both are small, and each output has
    // one sort; reading and writing have threads of their own.
    options.execution.sort_spill_reservation_bytes = MERGE_BYTES;
    options.optimizer.enable_round_robin_repartition = false;
    // Rows must come in the same order whenever the input is the same.
    options.optimizer.prefer_existing_sort = true;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(new_runtime(settings)?)
        .with_default_features()
        .with_analyzer_rules(analyzer_rules())
        .with_physical_optimizer_rules(physical_rules())
        .build();
    let context = SessionContext::new_with_state(state);
    udf::register(&context, enrichment);
    bound_functions(&context, settings.pool_bytes);
    bound_aggregates(&context, settings.pool_bytes, BATCH_ROWS);
    Ok(context)
}

/// The engine's rules, before which casts are as they were written; functions bring more.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let keep: Arc<dyn AnalyzerRule + Send + Sync> = Arc::new(udf::KeepCasts);
    std::iter::once(keep).chain(Analyzer::new().rules).collect()
}

impl Engine {
    fn disk_manager(&self) -> DiskManagerBuilder {
        let mode = match self.spill_folder.get() {
            Some(folder) => DiskManagerMode::Directories(vec![folder.path().to_owned()]),
            None => DiskManagerMode::Disabled,
        };
        // What the disk takes is its own limit.
        DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(u64::MAX)
    }
}

fn new_runtime(settings: &EngineSettings) -> Result<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TwoPartPool::new(settings.pool_bytes)))
        .build_arc()
        .map_err(engine_error)
}
