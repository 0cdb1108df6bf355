//! Holding an interval: from the listing of its input to its publish.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::execute::RunSupplies;
use super::layout::{Places, check_layout};
use super::plan::RunPlan;
use super::provenance::is_made_already;
use super::stages::ListedSource;
use crate::commit::{
    self, Attempt, ColumnChanges, Manifest, ManifestColumn, ManifestInput, PendingFile, Provenance,
};
use crate::error::{Diagnostic, Error, Result};
use crate::pipeline::{OnSchemaChange, Output};
use crate::sink::{BegunUpload, UploadRoom, UploadStaging};
use crate::source::SourceObject;
use crate::transform::PlannedOutput;

/// The right to work on an interval, and what is known of it.
#[derive(Debug)]
pub(super) struct HeldInterval {
    pub(super) attempt: Arc<Attempt>,
    pub(super) inputs: Vec<ManifestInput>,
    pub(super) is_listed_by_time: bool,
    pub(super) provenance: Provenance,
    /// What changed in the columns of outputs since their last publish.
    pub(super) column_changes: BTreeMap<String, ColumnChanges>,
    /// The published manifest, if its tables are those that this run would make.
    pub(super) made_already: Option<Manifest>,
    /// The room for uploads.
    pub(super) uploads: UploadRoom,
    _staging: Option<UploadStaging>,
}

/// Takes hold of the interval, and completes what a crashed attempt's publish left.
///
/// # Errors
/// `Error::Unavailable` if another attempt holds it, `Error::Config` if the folders are of no use
/// or an output's columns changed more than its policy allows, `Error::Usage` if the interval
/// overlaps a published one, or another one published these objects.
pub(super) async fn hold_interval(
    plan: &RunPlan,
    supplies: &RunSupplies,
    source: &ListedSource,
    provenance: Provenance,
    outputs: &[PlannedOutput],
) -> Result<HeldInterval> {
    let faults = check_layout(&plan.pipeline);
    if !faults.is_empty() {
        return Err(Error::Config(faults));
    }
    let inputs: Vec<_> = source.objects.iter().map(manifest_input).collect();
    let is_listed_by_time = source.is_by_time;
    let (plan, supplies, outputs) = (plan.clone(), supplies.clone(), outputs.to_vec());
    wait_for("holding the interval", move || {
        let places = Places::of(&plan.pipeline)?;
        commit::check_places(&places.roots, &places.state, &places.quarantine)?;
        let state = supplies.commit.open_state(&places.state)?;
        let begun =
            Attempt::begin(supplies.commit.clone(), state, plan.paths.clone(), plan.shard.task());
        let (attempt, recovered) = begun?;
        for recovered in recovered {
            tracing::warn!("an earlier attempt ended early: {recovered:?}");
        }
        let replaced = commit::check_overlaps(attempt.state(), &plan.paths)?;
        if !is_listed_by_time {
            commit::check_inputs(attempt.state(), &plan.paths, &inputs, &replaced)?;
        }
        let published = commit::read_manifest(attempt.state(), &plan.paths)?;
        let made_already =
            published.filter(|published| is_made_already(published, &inputs, &provenance, &plan));
        if made_already.is_some() {
            attempt.restore_markers()?;
        }
        Ok(HeldInterval {
            column_changes: check_columns(&plan, &attempt, &outputs)?,
            attempt: Arc::new(attempt),
            inputs,
            is_listed_by_time,
            provenance,
            made_already,
            uploads: UploadRoom::new(supplies.stores.clone()),
            _staging: upload_staging(&plan, &places)?,
        })
    })
    .await
}

/// The folder for files that will be uploaded, if any will.
fn upload_staging(plan: &RunPlan, places: &Places) -> Result<Option<UploadStaging>> {
    if places.roots.iter().all(|table| table.root.is_local()) {
        return Ok(None);
    }
    UploadStaging::create(&plan.spill, &plan.paths.attempt).map(Some)
}

impl HeldInterval {
    /// Lets go of the interval; removes what was written and neither published nor handed over.
    pub(super) async fn release(self) {
        let begun = self.uploads.begun().into_iter();
        let begun: Vec<_> =
            begun.map(|BegunUpload { root, file }| PendingFile { root, file }).collect();
        let attempt = Arc::clone(&self.attempt);
        let discarded = wait_for("discarding files", move || attempt.discard(&begun)).await;
        if let Err(error) = discarded {
            tracing::warn!("what was written but not published stays until `ashiato gc`: {error}");
        }
    }
}

/// Does work that waits for disks and stores on a thread that may wait.
pub(super) async fn wait_for<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Bug(format!("{doing}: {error}")))?
}

/// What changed in the columns of outputs; an `Error::Config` if a policy refuses it.
fn check_columns(
    plan: &RunPlan,
    attempt: &Attempt,
    outputs: &[PlannedOutput],
) -> Result<BTreeMap<String, ColumnChanges>> {
    let (mut changed, mut refused) = (BTreeMap::new(), Vec::new());
    for planned in outputs {
        let output = &planned.output;
        for table in &output.tables {
            let (format, columns) = (table.format.name(), columns_of(planned));
            let changes = attempt.column_changes(&output.name, format, &columns)?;
            let Some(changes) = changes.filter(|changes| !changes.is_empty()) else { continue };
            if refuses(output.on_schema_change, &changes) {
                let message = refused_change(output, format, &changes);
                let (line, column) = output.place;
                let fault = Diagnostic::new(message).in_file(&plan.pipeline.file.path);
                refused.push(fault.at(line, column));
            } else {
                tracing::warn!(output = output.name, format, "columns changed: {changes}");
                changed.entry(output.name.clone()).or_insert(changes);
            }
        }
    }
    if refused.is_empty() { Ok(changed) } else { Err(Error::Config(refused)) }
}

fn refuses(policy: OnSchemaChange, changes: &ColumnChanges) -> bool {
    match policy {
        OnSchemaChange::Any => false,
        OnSchemaChange::AllowAdded => !changes.only_adds(),
        OnSchemaChange::Freeze => true,
    }
}

fn refused_change(output: &Output, format: &str, changes: &ColumnChanges) -> String {
    format!(
        "output `{}`, {format}: its columns changed since {}: {changes}; `on_schema_change = \
         \"{}\"` refuses that; bring the columns back, write to another location, or set \
         `on_schema_change = \"any\"` for a run",
        output.name,
        changes.since,
        output.on_schema_change.name(),
    )
}

pub(super) fn columns_of(planned: &PlannedOutput) -> Vec<ManifestColumn> {
    let fields = planned.schema.fields().iter();
    fields
        .map(|field| ManifestColumn {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        })
        .collect()
}

pub(super) fn manifest_input(object: &SourceObject) -> ManifestInput {
    ManifestInput {
        location: object.location.clone(),
        bytes: object.size,
        e_tag: object.e_tag.clone(),
    }
}

/// Says that the rows of an interval stay which has no objects any more.
pub(super) async fn warn_if_published(plan: &RunPlan, supplies: &RunSupplies) -> Result<()> {
    let (plan, supplies) = (plan.clone(), supplies.clone());
    wait_for("reading a manifest", move || {
        let state = supplies.commit.open_state(&Places::of(&plan.pipeline)?.state)?;
        if let Some(manifest) = commit::read_manifest(&state, &plan.paths)? {
            tracing::warn!(
                objects_then = manifest.inputs.len(),
                manifest = state.display_of(&plan.paths.manifest()),
                "the source has no objects now, but this interval was published before: its rows \
                 stay as they are",
            );
        }
        Ok(())
    })
    .await
}
