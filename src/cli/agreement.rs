//! Whether a collector and the pipeline that reads what it lands agree: what the one acknowledges
//! is to get into the other's tables.

use chrono::{DateTime, Duration, Utc};
use globset::Glob;

use crate::base::error::{Diagnostic, Result};
use crate::base::interval::Interval;
use crate::collector::CollectorConfig;
use crate::contract::{Column, ColumnType, DuplicateKeys, OnMismatch, UnknownFields};
use crate::pipeline::Pipeline;

/// The hours of which folders are compared: enough days for all rules of summer time.
const COMPARED_DAYS: i64 = 2 * 366;
/// An hour in every so many: no zone is apart from another one by a multiple of it for a year.
const COMPARED_EVERY_HOURS: i64 = 7;
/// From when on: 2026-01-01T00:00:00Z.
const COMPARED_FROM_S: i64 = 1_767_225_600;

/// What is found.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// Events would be acknowledged that no table gets.
    pub faults: Vec<Diagnostic>,
    /// What is worth a look, and may be meant.
    pub warnings: Vec<String>,
}

/// Compares the limits, the places and the times of a pipeline and a collector.
///
/// # Errors
/// As expanding the pipeline's path says.
pub(super) fn compare(pipeline: &Pipeline, collector: &CollectorConfig) -> Result<Agreement> {
    let mut found = Agreement::default();
    compare_limits(pipeline, collector, &mut found);
    compare_folders(pipeline, collector, &mut found)?;
    compare_names(pipeline, collector, &mut found);
    compare_locations(pipeline, collector, &mut found);
    Ok(found)
}

fn compare_limits(pipeline: &Pipeline, collector: &CollectorConfig, found: &mut Agreement) {
    let (contract, limits) = (&pipeline.contract, &collector.limits);
    let mut fault = |key: &str, least: usize, own: usize, of: &str| {
        if own < least {
            let message = format!(
                "`{key}`: expected at least {least}, as {of}, found {own}: events that the \
                 collector acknowledges would be rejects"
            );
            let file = Some(pipeline.contract_file.path.clone());
            found.faults.push(Diagnostic { file, ..Diagnostic::new(message) });
        }
    };
    let of = "the collector's `line_bytes_max`";
    fault("line_bytes_max", limits.line_bytes_max, contract.line_bytes_max, of);
    // The event lies in `body`, one level deeper.
    let of = "the collector's `depth_max` and one more around the event";
    fault("depth_max", limits.depth_max + 1, contract.depth_max, of);
    if contract.duplicate_keys == DuplicateKeys::Reject {
        let why = "events in which a key stands twice are acknowledged and then rejected";
        found.warnings.push(format!("`duplicate_keys = \"reject\"`: {why}"));
    }
    for column in contract.columns.iter().filter(|column| column.required) {
        let paths: Vec<String> = column.paths.iter().map(ToString::to_string).collect();
        if !is_in_every_line(&paths) {
            let (name, paths) = (&column.name, paths.join("` or `"));
            found.warnings.push(format!(
                "column `{name}` is required: events without `{paths}` are acknowledged and then \
                 rejected"
            ));
        }
    }
    for column in contract.columns.iter().filter(|column| !takes_anything(column)) {
        // One without a value is told of above.
        let client_path = column.paths.iter().find(|path| is_clients_own(&path.to_string()));
        if let Some(path) = client_path.filter(|_| !is_checked(column)) {
            let (name, column_type) = (&column.name, &column.column_type);
            found.warnings.push(format!(
                "column `{name}`: events whose `{path}` is no {column_type} are acknowledged and \
                 then rejected; `on_mismatch = \"null\"` would take them"
            ));
        }
    }
    if contract.unknown_fields == UnknownFields::Reject {
        let why = "events with fields that the contract does not name are acknowledged and then \
                   rejected";
        found.warnings.push(format!("`unknown_fields = \"reject\"`: {why}"));
    }
}

/// Whether one of the paths has a value in every line that the collector writes: what it knows of
/// each event, or the event's own with what the collector writes in its place if that is none.
fn is_in_every_line(paths: &[String]) -> bool {
    let has = |path: &str| paths.iter().any(|one| one == path);
    has("event_id")
        || has("received_at")
        || has("collector")
        || has("service") && has("body.service")
        || has("event") && has("body.event")
}

/// Whether no value of any type makes a line a reject.
fn takes_anything(column: &Column) -> bool {
    column.column_type == ColumnType::Json
        || column.on_mismatch == OnMismatch::Null && !column.required
}

/// Whether clients can put any JSON there: all else of a line is the collector's own.
fn is_clients_own(path: &str) -> bool {
    path == "client_time"
        || ["body", "via", "item_via"].iter().any(|own| {
            path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

/// Whether the collector writes another value beside the event where this column could not take its
/// own, and the column reads that one first.
fn is_checked(column: &Column) -> bool {
    let place = |path: &str| column.paths.iter().position(|one| one.to_string() == path);
    let is_first = |own: &str, body: &str| {
        place(own).is_some_and(|own| place(body).is_none_or(|body| own < body))
            && column.paths.iter().all(|path| {
                let path = path.to_string();
                path == body || !is_clients_own(&path)
            })
    };
    match &column.column_type {
        ColumnType::String => {
            is_first("service", "body.service") || is_first("event", "body.event")
        }
        ColumnType::Timestamp { .. } => is_first("time", "body.time"),
        _ => false,
    }
}

/// That the folder of every hour is one that a run of that hour reads.
fn compare_folders(
    pipeline: &Pipeline,
    collector: &CollectorConfig,
    found: &mut Agreement,
) -> Result<()> {
    let (source, landing) = (&pipeline.source, &collector.landing);
    let hours = (0..COMPARED_DAYS * 24 / COMPARED_EVERY_HOURS).map(|n| n * COMPARED_EVERY_HOURS);
    for hour in hours {
        let seconds = COMPARED_FROM_S + hour * 3600;
        let Some(start) = DateTime::<Utc>::from_timestamp(seconds, 0) else { break };
        // All that arrives within an hour has one folder.
        let arrived = start.with_timezone(&landing.time_zone).format(&landing.path).to_string();
        let interval = Interval::new(start, start + Duration::hours(1))?;
        let read = source.path.expand(&interval, pipeline.time_zone)?;
        let folder = format!("{arrived}/");
        if !read.iter().any(|prefix| lies_below(&folder, prefix)) {
            let message = format!(
                "what arrives at {} lands in `{folder}`, and a run of that hour reads `{}`: \
                 `path` and `time_zone` of the collector's `[landing]` are to be the pipeline's \
                 (`{}`, {})",
                start.format("%Y-%m-%dT%H:%MZ"),
                read.join("`, `"),
                source.path.as_str(),
                pipeline.time_zone,
            );
            let file = Some(pipeline.file.path.clone());
            found.faults.push(Diagnostic { file, ..Diagnostic::new(message) });
            break;
        }
    }
    Ok(())
}

/// Whether a folder (with its `/`) is a prefix's or one below it.
fn lies_below(folder: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    let below = folder.strip_prefix(prefix);
    below.is_some_and(|rest| prefix.is_empty() || rest.starts_with('/'))
}

/// That the objects' names are among those that are read.
fn compare_names(pipeline: &Pipeline, collector: &CollectorConfig, found: &mut Agreement) {
    let Some(glob) = &pipeline.source.glob else { return };
    let name = format!("{}-0199f000-0000-7000-8000-000000000001.ndjson.zst", collector.name);
    let matches = Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(&name));
    if !matches {
        let message =
            format!("`glob`: `{glob}` matches no object such as the collector's `{name}`");
        let file = Some(pipeline.file.path.clone());
        found.faults.push(Diagnostic { file, ..Diagnostic::new(message) });
    }
}

/// That the place is the same; another process may carry objects from one to the other.
fn compare_locations(pipeline: &Pipeline, collector: &CollectorConfig, found: &mut Agreement) {
    let (read, landed) = (&pipeline.source.location, &collector.landing.location);
    if plain_location(read) != plain_location(landed) {
        found.warnings.push(format!(
            "the pipeline reads `{read}`, and the collector lands in `{landed}`: is it the same \
             place, or do objects get there by other means?"
        ));
    }
}

fn plain_location(location: &str) -> String {
    if location.contains("://") {
        return location.trim_end_matches('/').to_owned();
    }
    let path = std::path::Path::new(location);
    let real = path.canonicalize().or_else(|_| std::path::absolute(path));
    real.map_or_else(|_| location.to_owned(), |path| path.display().to_string())
}
