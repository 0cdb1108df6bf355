//! `ashiato runs`: what a pipeline has published.

use indicatif::HumanBytes;

use super::args::{IntervalArgs, RunsArgs};
use super::context::OpenedState;
use super::output;
use crate::base::environment::Environment;
use crate::base::error::Result;
use crate::commit::{ManifestTable, PastPublish, PublishStatus};

/// Prints the publishes, sorted by interval, for people or as JSON.
///
/// # Errors
/// What kept it from reading the state.
pub(super) fn runs(args: &RunsArgs, environment: &Environment) -> Result<()> {
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let IntervalArgs { interval_start, date, hour, .. } = &args.interval;
    let has_interval = [interval_start, date, hour].into_iter().any(Option::is_some);
    let publishes = match has_interval {
        true => opened.commit.publishes_of(&opened.interval_of(&args.interval)?)?,
        false => opened.commit.list_publishes()?,
    };
    let shown = publishes.iter().filter(|p| args.all || p.status == PublishStatus::Current);
    for publish in shown {
        match args.json {
            true => output::print_json(publish)?,
            false => print(publish, args.inputs)?,
        }
    }
    Ok(())
}

fn print(publish: &PastPublish, with_inputs: bool) -> Result<()> {
    let PastPublish { status, manifest } = publish;
    let standing = if *status == PublishStatus::Current { "current" } else { "replaced" };
    output::print_line(&format!("[{}, {})", manifest.interval_start, manifest.interval_end))?;
    let published = (&manifest.published_at, &manifest.attempt);
    output::print_line(&format!("  {standing}, published {} by {}", published.0, published.1))?;
    if let Some(previous) = &manifest.previous {
        output::print_line(&format!("  behind    {}", previous.attempt))?;
    }
    for interval in &manifest.replaced_intervals {
        output::print_line(&format!("  replaced  {interval}"))?;
    }
    let bytes = manifest.inputs.iter().map(|input| input.bytes).sum();
    let count = manifest.inputs.len();
    output::print_line(&format!("  inputs    {count} objects, {}", HumanBytes(bytes)))?;
    for input in manifest.inputs.iter().filter(|_| with_inputs) {
        let tag = input.e_tag.as_deref().unwrap_or("-");
        output::print_line(&format!("    {} {} {tag}", input.location, input.bytes))?;
    }
    let made = &manifest.provenance;
    output::print_line(&format!("  ashiato   {}", made.ashiato))?;
    output::print_line(&format!("  pipeline  {}", short(&made.pipeline)))?;
    output::print_line(&format!("  contract  {}", short(&made.contract)))?;
    for (view, digest) in &made.sql {
        output::print_line(&format!("  sql       {} {view}", short(digest)))?;
    }
    for (name, value) in &made.parameters {
        output::print_line(&format!("  parameter {name}={value}"))?;
    }
    output::print_line(&format!("  tax table {}", made.tax_table))?;
    for database in &made.geoip {
        output::print_line(&format!("  geoip     {database}"))?;
    }
    manifest.tables.iter().try_for_each(print_table)
}

fn print_table(table: &ManifestTable) -> Result<()> {
    let rows: u64 = table.files.iter().map(|file| file.rows).sum();
    let bytes = table.files.iter().map(|file| file.bytes).sum();
    let ManifestTable { output, format, root, files, .. } = table;
    let (count, size) = (files.len(), HumanBytes(bytes));
    output::print_line(&format!(
        "  {output}, {format}: {rows} rows in {count} files, {size}, at {root}"
    ))
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
