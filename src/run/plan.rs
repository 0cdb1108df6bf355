//! What a run will do: pure, from the pipeline and the interval alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::config::suggestion;
use crate::base::error::{Error, Result};
use crate::base::interval::{Grain, Interval};
use crate::base::run_ids::{AttemptId, AttemptKey};
use crate::pipeline::{BUILT_IN_PARAMETERS, Output, ParameterValue, Pipeline};
use crate::quarantine::{RejectShare, Thresholds, attempt_folder};
use crate::query::{EngineSettings, ParameterValues};
use crate::scan::Shard;
use crate::sink::WriterOptions;

/// What a run will do, computed without touching data.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The definition, without the outputs that are skipped.
    pub pipeline: Arc<Pipeline>,
    /// Outputs that the interval is too short for, and why.
    pub skipped: BTreeMap<String, String>,
    /// The data interval.
    pub interval: Interval,
    /// The attempt, and the id of its interval.
    pub key: AttemptKey,
    /// The values of `$name` in SQL, the interval's bounds among them.
    pub parameters: ParameterValues,
    /// What the engine may take.
    pub engine: EngineSettings,
    /// What each output's writer may take.
    pub writer: WriterOptions,
    /// The part of the input that is read.
    pub shard: Shard,
    /// Whether to run even if the tables are published already as this run would make them.
    pub force: bool,
    /// Whether to publish however much is rejected.
    pub allow_rejects: bool,
    /// The folder for what is spilled, and for files until they are uploaded.
    pub spill: PathBuf,
}

/// What the caller says of a run besides its pipeline and interval.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// `NAME=VALUE` texts.
    pub parameters: Vec<String>,
    /// Unique for each attempt; letters and digits that grow with time.
    pub attempt: AttemptId,
    /// The part of the input that is read.
    pub shard: Shard,
    /// Whether to run even if the tables are published already as this run would make them.
    pub force: bool,
    /// Whether to publish however much is rejected.
    pub allow_rejects: bool,
    /// The machine's cores.
    pub cores: usize,
    /// The machine's folder for temporary files.
    pub temporary: PathBuf,
}

impl RunPlan {
    /// The run's name: the same for each attempt at the same interval.
    pub fn run_id(&self) -> String {
        format!("{}/{}", self.pipeline.name, self.key.interval)
    }

    /// The folder below the quarantine's location that takes the attempt's rejects.
    pub(super) fn quarantine_folder(&self) -> String {
        attempt_folder(&self.pipeline.name, &self.key)
    }

    /// How many rejects are too many.
    pub(super) fn thresholds(&self) -> Thresholds {
        if self.allow_rejects {
            return Thresholds::NONE;
        }
        let quarantine = &self.pipeline.quarantine;
        let share = quarantine.reject_ratio_max.map_or(RejectShare::Safe, RejectShare::AtMost);
        Thresholds { rejects_max: quarantine.rejects_max, share }
    }
}

/// Plans a run of `pipeline` over `interval`.
///
/// # Errors
/// `Error::Usage` for parameters that are unknown, of the wrong type or missing.
pub fn plan_run(
    pipeline: Arc<Pipeline>,
    interval: Interval,
    request: RunRequest,
) -> Result<RunPlan> {
    let (pipeline, skipped) = outputs_of(pipeline, &interval)?;
    let RunRequest { attempt, shard, force, allow_rejects, cores, temporary, .. } = request;
    let mut parameters = resolve_parameters(&pipeline, &request.parameters)?;
    let bounds = [interval.start(), interval.end()];
    for (name, bound) in BUILT_IN_PARAMETERS.iter().zip(bounds) {
        parameters.insert((*name).to_owned(), ParameterValue::Timestamp(bound));
    }
    let key = AttemptKey { interval: interval.id(), attempt };
    let (engine, mut writer) = resource_shares(&pipeline, cores);
    // Nothing of the attempt, so that the same input makes the same bytes.
    let run = format!("{}/{}", pipeline.name, key.interval);
    writer.footer = vec![("ashiato.run".to_owned(), run)];
    let spill = pipeline.resources.spill.clone().unwrap_or(temporary);
    Ok(RunPlan {
        pipeline,
        skipped,
        interval,
        key,
        parameters,
        engine,
        writer,
        shard,
        force,
        allow_rejects,
        spill,
    })
}

/// The pipeline with those outputs whose grain the interval consists of, and why without others:
/// their rows of an hour would stand beside those of other hours in the same day's partition.
fn outputs_of(
    pipeline: Arc<Pipeline>,
    interval: &Interval,
) -> Result<(Arc<Pipeline>, BTreeMap<String, String>)> {
    let zone = pipeline.time_zone;
    let is_too_short =
        |output: &&Output| output.grain.is_some_and(|grain| !interval.consists_of(grain, zone));
    let skipped: BTreeMap<String, String> = pipeline
        .outputs
        .iter()
        .filter(is_too_short)
        .map(|output| {
            let grain = output.grain.map_or("", Grain::name);
            let why = format!(
                "its grain is `{grain}`, and the interval does not consist of whole {grain}s in \
                 {zone}; a run over such an interval writes it"
            );
            (output.name.clone(), why)
        })
        .collect();
    if skipped.is_empty() {
        return Ok((pipeline, skipped));
    }
    for (output, why) in &skipped {
        tracing::warn!("output `{output}` is skipped: {why}");
    }
    if let (Some((output, why)), true) =
        (skipped.iter().next(), skipped.len() == pipeline.outputs.len())
    {
        return Err(Error::Usage(format!(
            "the interval [{}, {}) writes nothing: output `{output}`: {why}",
            interval.start_rfc3339(),
            interval.end_rfc3339()
        )));
    }
    let mut written = Pipeline::clone(&pipeline);
    written.outputs.retain(|output| !skipped.contains_key(&output.name));
    Ok((Arc::new(written), skipped))
}

/// What the program itself, look-up tables, reading ahead, batches on their way and uploads' parts
/// take.
const FIXED_BYTES: u64 = 160 << 20;
/// Share of the rest for sorts, joins and aggregates, which spill.
const POOL_PERCENT: u64 = 45;
/// Share of the rest for encoded data that waits to become a row group, all outputs together.
/// What is left is for what the engine does not count, such as a sort's merge.
const WRITERS_PERCENT: u64 = 30;

/// Divides what a run may take between the engine and the writers.
pub(super) fn resource_shares(
    pipeline: &Pipeline,
    cores: usize,
) -> (EngineSettings, WriterOptions) {
    let resources = &pipeline.resources;
    let shared_bytes = resources.memory_limit_bytes.saturating_sub(FIXED_BYTES);
    let outputs = pipeline.outputs.len().max(1) as u64;
    let engine = EngineSettings {
        threads: resources.threads.unwrap_or(cores),
        pool_bytes: (shared_bytes / 100 * POOL_PERCENT / outputs) as usize,
        spill: resources.spill.clone(),
        recursion_steps_max: resources.recursion_steps_max,
    };
    let writers = shared_bytes / 100 * WRITERS_PERCENT;
    let writer = WriterOptions {
        open_writers_max: resources.open_writers_max,
        buffered_bytes_max: writers / outputs,
        footer: Vec::new(),
    };
    (engine, writer)
}

/// Typed values of all parameters, from `NAME=VALUE` texts and defaults.
fn resolve_parameters(pipeline: &Pipeline, given: &[String]) -> Result<ParameterValues> {
    let mut values = ParameterValues::new();
    let declared = &pipeline.parameters;
    for text in given {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Error::Usage(format!("--param {text}: expected NAME=VALUE")))?;
        let Some(parameter) = declared.get(name) else {
            let help = if declared.is_empty() {
                "the pipeline declares none under `[parameters]`".to_owned()
            } else {
                suggestion(name, declared.keys().map(String::as_str))
            };
            return Err(Error::Usage(format!("--param {text}: no parameter `{name}`; {help}")));
        };
        let value = parameter.parameter_type.parse(value);
        let value = value.map_err(|m| Error::Usage(format!("--param {text}: {m}")))?;
        if values.insert(name.to_owned(), value).is_some() {
            return Err(Error::Usage(format!("--param {name} is given twice")));
        }
    }
    for (name, parameter) in declared {
        if values.contains_key(name) {
            continue;
        }
        let Some(default) = &parameter.default else {
            let expected = parameter.parameter_type;
            let message = format!("parameter `{name}` ({expected}) has no default");
            return Err(Error::Usage(format!("{message}; give it as --param {name}=VALUE")));
        };
        values.insert(name.clone(), default.clone());
    }
    Ok(values)
}

/// Values that stand in for missing ones where SQL is only checked, not run.
pub fn example_parameters(pipeline: &Pipeline) -> ParameterValues {
    let epoch = chrono::DateTime::UNIX_EPOCH;
    let mut values: ParameterValues = BUILT_IN_PARAMETERS
        .iter()
        .map(|name| ((*name).to_owned(), ParameterValue::Timestamp(epoch)))
        .collect();
    for (name, parameter) in &pipeline.parameters {
        let value = parameter.default.clone().unwrap_or_else(|| parameter.parameter_type.example());
        values.insert(name.clone(), value);
    }
    values
}
