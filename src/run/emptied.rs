//! A source that has nothing any more for an interval that was published.

use std::collections::BTreeMap;

use super::context::RunContext;
use super::layout::Places;
use super::plan::RunPlan;
use super::report::{EmptiedResult, RunResult};
use crate::base::blocking::run_blocking;
use crate::base::error::{Error, Result};
use crate::base::run_ids::IntervalId;
use crate::commit::{Commit, Manifest};
use crate::pipeline::OnEmpty;

/// What becomes of the rows that an interval published, if the source has nothing for it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// There are none.
    Nothing,
    /// They stay.
    Kept,
    /// They go: an empty publish replaces them.
    Replaced,
}

/// Looks for rows that the interval, or others within it, published, and says in the result what
/// becomes of them.
///
/// # Errors
/// `Error::Data` if there are some, and `on_empty` is `fail`.
pub(super) async fn look_at_past(
    plan: &RunPlan,
    context: &RunContext,
    result: &mut RunResult,
) -> Result<Past> {
    let (of_plan, of_context) = (plan.clone(), context.clone());
    let manifests = run_blocking("reading manifests", move || {
        let state = Places::of(&of_plan.pipeline)?.state;
        let commit = Commit::open(of_context.commit, &state, &of_plan.pipeline.name)?;
        let interval = &of_plan.key.interval;
        Ok((published_within(&commit, interval)?, commit.manifest_name(interval)))
    });
    let (manifests, manifest_name) = manifests.await?;
    let on_empty = plan.pipeline.source.on_empty;
    let (files, rows) = manifests.iter().map(files_and_rows).fold((0, 0), |all, these| {
        let (files, rows): (u64, u64) = these;
        (all.0 + files, all.1 + rows)
    });
    let (Some(last), true) = (manifests.last(), files > 0) else { return Ok(Past::Nothing) };
    let emptied = EmptiedResult {
        on_empty: on_empty.name().to_owned(),
        published_by: last.attempt.to_string(),
        objects: manifests.iter().map(|manifest| manifest.inputs.len() as u64).sum(),
        files,
        rows,
    };
    let found = format!(
        "the source has no lines for this interval now, but it was published before, from {} \
         objects by {}, and {rows} rows are in its tables ({}, `on_empty = \"{}\"`)",
        emptied.objects,
        emptied.published_by,
        manifest_name,
        on_empty.name(),
    );
    // A run that goes on to replace the rows looks twice.
    let is_told = result.emptied.replace(emptied).is_some();
    match on_empty {
        OnEmpty::Keep => {
            tracing::warn!("{found}: its rows stay as they are");
            Ok(Past::Kept)
        }
        OnEmpty::Replace => {
            if !is_told {
                tracing::warn!("{found}: its rows go");
            }
            Ok(Past::Replaced)
        }
        OnEmpty::Fail => Err(Error::Data(format!(
            "{found}: its rows stay; bring the logs back, or set `on_empty` to `replace` or `keep`"
        ))),
    }
}

/// Files of all tables, and rows of all outputs: each format of an output has the same ones.
fn files_and_rows(manifest: &Manifest) -> (u64, u64) {
    let mut rows_by_output: BTreeMap<&str, u64> = BTreeMap::new();
    for table in &manifest.tables {
        let rows = table.files.iter().map(|file| file.rows).sum();
        rows_by_output.insert(&table.output, rows);
    }
    let files = manifest.tables.iter().map(|table| table.files.len() as u64).sum();
    (files, rows_by_output.into_values().sum())
}

/// The manifests of the interval and of those within it, the interval's own last.
fn published_within(commit: &Commit, interval: &IntervalId) -> Result<Vec<Manifest>> {
    let within = match commit.check_overlaps(interval) {
        Ok(within) => within,
        // Part of a wider one; what that published is not this interval's.
        Err(Error::Usage(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let own = within.iter().chain([interval]);
    let manifests = own.map(|interval| commit.read_manifest(interval));
    Ok(manifests.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}
