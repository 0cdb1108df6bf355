//! Fills the run's result and holds it against the thresholds.

use std::collections::{BTreeMap, BTreeSet};

use super::observer::RunObserver;
use super::plan::RunPlan;
use super::report::{OutputResult, QuarantineResult, RunResult};
use crate::base::error::{Error, Result};
use crate::commit::{ColumnChanges, Manifest};
use crate::quarantine::{Breach, QuarantineFile};
use crate::scan::Skipped;
use crate::sink::WrittenOutput;

/// What the scan met.
pub(super) fn fill_account(result: &mut RunResult, observer: &RunObserver) {
    let account = observer.account();
    result.add_tallies(account.tallies.values().chain(&account.cut_short));
    result.sources.objects = account.tallies.len() as u64;
    result.sources.damaged = account.damaged.iter().cloned().collect();
    result.sources.unreadable_objects = account.unreadable_objects;
    result.sources.unreadable.clone_from(&account.unreadable);
    result.rejects_by_reason =
        account.rejects_by_reason.iter().map(|(reason, n)| (reason.to_string(), *n)).collect();
    result.unknown_fields.clone_from(&account.unknown_fields);
    for (column, kinds) in &account.mended {
        let kinds = kinds.iter().map(|(kind, times)| (kind.as_str().to_owned(), *times));
        result.mended.insert(column.clone(), kinds.collect());
    }
}

/// What of the listing is not read.
pub(super) fn fill_skipped(result: &mut RunResult, skipped: &Skipped) {
    let skipped = skipped.iter().map(|(reason, names)| ((*reason).to_owned(), *names));
    result.sources.skipped = skipped.collect();
}

/// Where the rejects are.
pub(super) fn fill_quarantine(result: &mut RunResult, plan: &RunPlan, files: &[QuarantineFile]) {
    let location = plan.pipeline.quarantine.location.trim_end_matches('/');
    result.quarantine = QuarantineResult {
        location: format!("{location}/{}", plan.quarantine_folder()),
        rejects: files.iter().map(|file| file.rejects).sum(),
        files: files.iter().map(|file| file.location.clone()).collect(),
    };
}

/// What was written.
pub(super) fn fill_outputs(
    result: &mut RunResult,
    plan: &RunPlan,
    records: &[WrittenOutput],
    column_changes: &BTreeMap<String, ColumnChanges>,
) {
    for output in &plan.pipeline.outputs {
        let locations = output
            .tables
            .iter()
            .map(|table| (table.format.name().to_owned(), table.location.clone()));
        let empty = OutputResult {
            locations: locations.collect(),
            column_changes: column_changes.get(&output.name).cloned(),
            ..Default::default()
        };
        result.outputs.insert(output.name.clone(), empty);
    }
    for (output, why) in &plan.skipped {
        let skipped = OutputResult { skipped: Some(why.clone()), ..Default::default() };
        result.outputs.insert(output.clone(), skipped);
    }
    for record in records {
        result.add_record(record);
    }
    if plan.shard.is_whole() {
        result.leave_out_evaluated();
    }
}

/// What an earlier attempt has published, if it is what this one would write: its counts.
///
/// # Errors
/// `Error::Bug` if a result is not JSON.
pub(super) fn fill_published(result: &mut RunResult, published: &Manifest) -> Result<()> {
    let counted = published.counts.as_ref().map(|counts| result.set_counts(counts)).transpose()?;
    result.published_by = Some(published.attempt.to_string());
    if counted != Some(true) {
        fill_from_tables(result, published);
    }
    Ok(())
}

/// What manifests of early versions tell, which have no counts.
fn fill_from_tables(result: &mut RunResult, published: &Manifest) {
    for table in &published.tables {
        let output = result.outputs.entry(table.output.clone()).or_default();
        output.rows = table.files.iter().map(|file| file.rows).sum();
        output.files += table.files.len() as u64;
        output.bytes += table.files.iter().map(|file| file.bytes).sum::<u64>();
        // A table without partitions counts as one.
        let folders = table.files.iter().map(|file| file.path.rsplit_once('/').map(|path| path.0));
        output.partitions = folders.collect::<BTreeSet<_>>().len() as u64;
        output.locations.insert(table.format.clone(), table.root.clone());
    }
}

/// Fails a run that rejected too much: lines of its input, or rows of an output.
///
/// # Errors
/// `Error::Data` that says how many, how many may be, and where they lie.
pub(super) fn check_thresholds(
    plan: &RunPlan,
    result: &RunResult,
    records: &[WrittenOutput],
) -> Result<()> {
    check_unreadable(plan, result)?;
    let thresholds = plan.thresholds();
    let at = &result.quarantine.location;
    if !plan.shard.is_whole() {
        // Shares are those of all shards together, when they are published.
        let breach = thresholds.check_early(result.rejected);
        return breach.map_or(Ok(()), |breach| Err(too_many("lines", &breach, at)));
    }
    if let Some(breach) = thresholds.check(result.rejected, result.lines, result.decoded) {
        return Err(too_many("lines", &breach, at));
    }
    for record in records {
        let Some(output) = result.outputs.get(&record.output) else { continue };
        let checked = check_output_rows(plan, &record.output, output, at);
        checked.map_err(|error| match (error, &record.evaluation.first) {
            (Error::Data(message), Some(first)) => {
                Error::Data(format!("{message}; the first that could not be evaluated: {first}"))
            }
            (error, _) => error,
        })?;
    }
    Ok(())
}

/// The same for all shards of a run together.
pub(super) fn check_shards(plan: &RunPlan, result: &RunResult) -> Result<()> {
    check_unreadable(plan, result)?;
    let at = &result.quarantine.location;
    if let Some(breach) = plan.thresholds().check(result.rejected, result.lines, result.decoded) {
        return Err(too_many("lines", &breach, at));
    }
    for (name, output) in &result.outputs {
        check_output_rows(plan, name, output, at)?;
    }
    Ok(())
}

/// Unreadable objects that a message names.
const NAMED_MAX: usize = 3;

fn check_unreadable(plan: &RunPlan, result: &RunResult) -> Result<()> {
    let (found, max) =
        (result.sources.unreadable_objects, plan.pipeline.source.unreadable_objects_max);
    if found <= max {
        return Ok(());
    }
    let named = result.sources.unreadable.iter().take(NAMED_MAX);
    let mut named: Vec<String> =
        named.map(|source| format!("{}: {}", source.object, source.reason)).collect();
    if found > NAMED_MAX as u64 {
        named.push(format!("and {} more", found - NAMED_MAX as u64));
    }
    Err(Error::Data(format!(
        "expected at most {max} objects of which nothing can be read (`max_unreadable_objects` \
         under `[source]`), found {found}: {}; mend them or move them away, or allow as many",
        named.join("; ")
    )))
}

/// All of which some are rejects, each with how many there are and how many of them are: the
/// rows of the output with what could not be evaluated, those of its view, and those of each
/// place of its query. A place that sees few rows is not to be hidden by one that sees many.
fn shares_of_rejects(output: &OutputResult) -> Vec<RejectsOf> {
    let of_view: u64 = output.rejected.values().sum::<u64>() + output.unusable_partition;
    let (rejected, kept) = (of_view + output.evaluation_error, output.rows);
    let all = output.rows_evaluated.max(kept + rejected);
    let view = RejectsOf { rejected: of_view, all: kept + of_view, kept };
    let places = output.evaluated_places.iter().map(|place| RejectsOf {
        rejected: place.failed,
        all: place.evaluated.max(place.failed),
        kept: place.evaluated.saturating_sub(place.failed),
    });
    [RejectsOf { rejected, all, kept }, view].into_iter().chain(places).collect()
}

/// Rejects, and what they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RejectsOf {
    /// How many there are.
    rejected: u64,
    /// With them.
    all: u64,
    /// What is left.
    kept: u64,
}

fn check_output_rows(plan: &RunPlan, name: &str, output: &OutputResult, at: &str) -> Result<()> {
    let thresholds = plan.thresholds();
    let mut shares = shares_of_rejects(output).into_iter();
    let breach = shares.find_map(|of| thresholds.check(of.rejected, of.all, of.kept));
    breach.map_or(Ok(()), |breach| Err(too_many(&format!("output {name}, rows"), &breach, at)))
}

fn too_many(what: &str, breach: &Breach, at: &str) -> Error {
    Error::Data(format!(
        "{what}: {breach}; nothing was published, and the rejects lie at {at}; `--allow-rejects` \
         publishes what is left"
    ))
}
