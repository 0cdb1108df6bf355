//! Where a run's places lie to one another.

use std::path::Path;

use crate::base::error::{Diagnostic, Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::{self, OwnTable, TableRoot};
use crate::pipeline::{Output, Pipeline, Table};
use crate::query::check_spill_folder;
use crate::scan::WILDCARDS;

/// The places that a run writes to.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The root of every table.
    pub(super) roots: Vec<TableRoot>,
    /// The state of all pipelines.
    pub(super) state: StoreLocation,
    /// The quarantine of all pipelines.
    pub(super) quarantine: StoreLocation,
}

impl Places {
    /// Reads the places' names.
    pub(super) fn of(pipeline: &Pipeline) -> Result<Self> {
        let outputs = pipeline.outputs.iter();
        let tables =
            outputs.flat_map(|output| output.tables.iter().map(move |table| (output, table)));
        let root = |(output, table): (&Output, &Table)| {
            Ok(TableRoot {
                label: format!("output `{}`, {}", output.name, table.format.name()),
                root: StoreLocation::parse(&table.location)?,
                place: output.place,
            })
        };
        Ok(Places {
            roots: tables.map(root).collect::<Result<_>>()?,
            state: StoreLocation::parse(&pipeline.state)?,
            quarantine: StoreLocation::parse(&pipeline.quarantine.location)?,
        })
    }
}

/// The tables that a pipeline means to write.
///
/// # Errors
/// `Error::Config` for a location that is none.
pub fn own_tables(pipeline: &Pipeline) -> Result<Vec<OwnTable>> {
    let outputs = pipeline.outputs.iter();
    let tables = outputs.flat_map(|output| output.tables.iter().map(move |table| (output, table)));
    let own = tables.map(|(output, table)| {
        Ok(OwnTable {
            output: output.name.clone(),
            format: table.format.name().to_owned(),
            root: StoreLocation::parse(&table.location)?,
        })
    });
    own.collect()
}

/// Places that must not lie within one another: the source, the quarantine, the state and every
/// table. A run would else read what an earlier one wrote.
pub(super) fn check_layout(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let places = match Places::of(pipeline) {
        Ok(places) => places,
        Err(Error::Config(found)) => {
            let found = found.into_iter();
            return found.map(|fault| fault.in_file(&pipeline.file.path)).collect();
        }
        Err(error) => return vec![Diagnostic::new(error.to_string())],
    };
    let faults = commit::check_layout(&places.roots, &places.state, &places.quarantine);
    let faults = faults.into_iter().chain(check_source(pipeline, &places));
    let faults = faults.chain(check_spill(pipeline)).chain(check_source_keys(pipeline));
    faults.map(|fault| fault.in_file(&pipeline.file.path)).collect()
}

/// Places on disk that cannot be written, as `check` tells it; a run makes sure of it by itself.
pub(super) fn check_writable(pipeline: &Pipeline) -> Vec<Diagnostic> {
    // Names that are none are found with the layout.
    let Ok(places) = Places::of(pipeline) else { return Vec::new() };
    let found = commit::unwritable_locations(&places.roots, &places.state, &places.quarantine);
    found.into_iter().map(|fault| fault.in_file(&pipeline.file.path)).collect()
}

/// Of a location that names objects itself, neither `path` nor `glob` would be heeded.
fn check_source_keys(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let source = &pipeline.source;
    let place = source.location.strip_prefix("file://").unwrap_or(&source.location);
    let (what, advice) = if Path::new(place).is_file() {
        ("is a file", "name its folder in `location`")
    } else if place.contains(WILDCARDS) && !Path::new(place).exists() {
        let advice =
            "end `location` before the first wildcard, and write the rest as `path` and `glob`";
        ("has a wildcard, and names the objects itself", advice)
    } else {
        return Vec::new();
    };
    let keys = [("path", !source.path.as_str().is_empty()), ("glob", source.glob.is_some())];
    let (line, column) = source.place;
    let found = keys.into_iter().filter(|(_, stands)| *stands).map(|(key, _)| {
        let message = format!("`{key}` has no effect: `location` {what}");
        Diagnostic::new(message).at(line, column).help(advice)
    });
    found.collect()
}

/// Queries must be able to spill.
fn check_spill(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let Some(folder) = &pipeline.resources.spill else { return Vec::new() };
    let Err(Error::Config(found)) = check_spill_folder(folder) else { return Vec::new() };
    let mut lines = pipeline.file.text.lines();
    let line = lines.position(|line| line.trim_start().starts_with("spill"));
    let at_line = |fault: Diagnostic| match line {
        Some(line) => fault.at(line + 1, 1),
        None => fault,
    };
    found.into_iter().map(at_line).collect()
}

/// What is written must not lie in the source's directory, nor the source in what is written.
fn check_source(pipeline: &Pipeline, places: &Places) -> Vec<Diagnostic> {
    let source = match StoreLocation::parse(&pipeline.source.location) {
        Ok(source) => source,
        Err(Error::Config(found)) => return found,
        Err(error) => return vec![Diagnostic::new(error.to_string())],
    };
    let tables = places.roots.iter().map(|table| (table.label.as_str(), &table.root));
    let others = [("the state", &places.state), ("the quarantine", &places.quarantine)];
    let found = tables.chain(others).filter(|(_, place)| place.overlaps(&source));
    let (line, column) = pipeline.source.place;
    found
        .map(|(label, place)| {
            let message = format!(
                "{label} at {place} and the source {source} must not contain one another; give \
                 each a folder of its own"
            );
            Diagnostic::new(message).at(line, column)
        })
        .collect()
}
