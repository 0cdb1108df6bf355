//! The beginning and the end of a run's work on its interval, under an advisory lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::RunContext;
use super::layout::{Places, check_layout, own_tables};
use super::listing::manifest_input;
use super::plan::RunPlan;
use super::prepare::Prepared;
use super::provenance::is_made_already;
use super::shape::check_shapes;
use crate::base::blocking::run_blocking;
use crate::base::error::{Error, Result};
use crate::commit::{
    self, Attempt, ColumnChanges, Commit, Manifest, ManifestInput, PendingFile, Provenance,
};
use crate::sink::{BegunUpload, StagingFolders, UploadPool, UploadStaging};

/// A run that has the lock of its interval, and what is known of that.
#[derive(Debug)]
pub(super) struct BegunRun {
    pub(super) attempt: Arc<Attempt>,
    pub(super) inputs: Vec<ManifestInput>,
    pub(super) is_listed_by_time: bool,
    pub(super) provenance: Provenance,
    /// What changed in the columns of outputs since their last publish.
    pub(super) column_changes: BTreeMap<String, ColumnChanges>,
    /// The published manifest, if its tables are those that this run would make.
    pub(super) made_already: Option<Manifest>,
    /// What the uploads of all outputs share.
    pub(super) uploads: UploadPool,
    _staging: Option<UploadStaging>,
}

/// Locks the interval, and rolls forward what a crashed attempt's publish left.
///
/// # Errors
/// `Error::Unavailable` if another attempt has the lock, `Error::Config` if the folders are of no
/// use or an output's shape changed more than its policy allows, `Error::Usage` if the interval
/// overlaps a published one, or another one published these objects.
pub(super) async fn begin_run(
    plan: &RunPlan,
    context: &RunContext,
    Prepared { source, provenance, outputs, .. }: &Prepared,
) -> Result<BegunRun> {
    let faults = check_layout(&plan.pipeline);
    if !faults.is_empty() {
        return Err(Error::Config(faults));
    }
    let inputs: Vec<_> = source.objects.iter().map(manifest_input).collect();
    let is_listed_by_time = source.is_by_time;
    let provenance = provenance.clone();
    let (plan, context, outputs) = (plan.clone(), context.clone(), outputs.clone());
    run_blocking("beginning the run", move || {
        let places = Places::of(&plan.pipeline)?;
        commit::check_locations(&places.roots, &places.state, &places.quarantine)?;
        let commit = Commit::open(context.commit.clone(), &places.state, &plan.pipeline.name)?;
        let (attempt, recovered) =
            Attempt::begin(commit.clone(), plan.key.clone(), plan.shard.task())?;
        for recovered in recovered {
            tracing::warn!("an earlier attempt ended early: {recovered}");
        }
        let tables = own_tables(&plan.pipeline)?;
        attempt.check_state(&tables, &plan.pipeline.folder)?;
        let column_changes = check_shapes(&plan, &attempt, &outputs)?;
        attempt.check_roots(&tables)?;
        let interval = &plan.key.interval;
        let replaced = commit.check_overlaps(interval)?;
        if !is_listed_by_time {
            commit.check_inputs(interval, &inputs, &replaced)?;
        }
        let published = commit.read_manifest(interval)?;
        let made_already =
            published.filter(|published| is_made_already(published, &inputs, &provenance, &plan));
        if made_already.is_some() {
            attempt.restore_markers()?;
        }
        Ok(BegunRun {
            column_changes,
            attempt: Arc::new(attempt),
            inputs,
            is_listed_by_time,
            provenance,
            made_already,
            uploads: UploadPool::new(context.stores.clone()),
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
    UploadStaging::create(&plan.spill, &plan.key.attempt).map(Some)
}

impl BegunRun {
    /// Where the attempt builds its files.
    pub(super) fn staging_folders(&self, plan: &RunPlan) -> StagingFolders {
        StagingFolders {
            beside_state: self.attempt.staging_folder(),
            for_uploads: UploadStaging::folder_of(&plan.spill, &plan.key.attempt),
        }
    }

    /// Unlocks the interval; removes what was written and neither published nor handed over.
    pub(super) async fn end(self) {
        let begun = self.uploads.begun().into_iter();
        let begun: Vec<_> =
            begun.map(|BegunUpload { root, file }| PendingFile { root, file }).collect();
        let attempt = Arc::clone(&self.attempt);
        let discarded = run_blocking("discarding files", move || attempt.discard(&begun)).await;
        if let Err(error) = discarded {
            tracing::warn!("what was written but not published stays until `ashiato gc`: {error}");
        }
    }
}
