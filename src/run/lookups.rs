//! Opens what SQL functions look things up in, and says what it was.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::report::{EnrichmentResult, GeoDatabase};
use crate::base::error::{Diagnostic, Error, Result};
use crate::enrich::{Enrichment, GeoDatabases, Keys, TaxTable, read_regular_file};
use crate::pipeline::{NamedFile, Pipeline};

/// Opens databases and tables.
///
/// # Errors
/// `Error::Config` with everything that cannot be read or is damaged, and where it is named.
pub(super) fn load_lookups(pipeline: &Pipeline) -> Result<Arc<Enrichment>> {
    match open_lookups(pipeline) {
        (lookups, found) if found.is_empty() => Ok(lookups),
        (_, found) => Err(Error::Config(found)),
    }
}

/// What can be opened, and everything that cannot.
pub(super) fn open_lookups(pipeline: &Pipeline) -> (Arc<Enrichment>, Vec<Diagnostic>) {
    let settings = &pipeline.enrichment;
    let mut findings = Vec::new();
    let tax = settings.tax_table.as_ref().map_or_else(|| Ok(TaxTable::bundled()), read_tax_table);
    let tax = keep(tax, &mut findings);
    let paths: Vec<PathBuf> = settings.geoip.iter().map(|file| file.path.clone()).collect();
    let geoip = keep(GeoDatabases::open(&paths), &mut findings);
    let mut keys = Keys::default();
    for (name, key) in &settings.keys {
        keep(keys.insert(name, key.expose().as_bytes()), &mut findings);
    }
    let found = findings.into_iter().map(|finding| at_its_name(finding, pipeline)).collect();
    let lookups = Enrichment {
        tax: tax.unwrap_or_else(TaxTable::bundled),
        tax_unknown: settings.tax_unknown,
        geoip: geoip.unwrap_or_default(),
        keys,
        ..Enrichment::default()
    };
    (Arc::new(lookups), found)
}

fn read_tax_table(file: &NamedFile) -> Result<TaxTable> {
    let bytes = read_regular_file(&file.path);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    let text = text.map_err(|error| {
        let message = format!("tax table: cannot read: {error}");
        Error::Config(vec![Diagnostic::new(message).in_file(&file.path)])
    })?;
    TaxTable::from_csv(&file.path, &text)
}

fn keep<T>(result: Result<T>, findings: &mut Vec<Diagnostic>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Config(found)) => {
            findings.extend(found);
            None
        }
        Err(error) => {
            findings.push(Diagnostic::new(error.to_string()));
            None
        }
    }
}

/// A finding about a whole file goes to where `pipeline.toml` names the file.
fn at_its_name(finding: Diagnostic, pipeline: &Pipeline) -> Diagnostic {
    let settings = &pipeline.enrichment;
    let named = settings.geoip.iter().chain(&settings.tax_table);
    let named = named.into_iter().find(|named| Some(&named.path) == finding.file.as_ref());
    match named {
        Some(NamedFile { path, place: (line, column) }) if finding.place.is_none() => Diagnostic {
            message: format!("{}: {}", path.display(), finding.message),
            file: Some(pipeline.file.path.clone()),
            place: Some((*line, *column)),
            help: finding.help,
        },
        _ => finding,
    }
}

/// What was looked up in, and what was not found.
pub(super) fn describe_lookups(lookups: &Enrichment) -> EnrichmentResult {
    let geoip = lookups.geoip.describe().into_iter().map(|database| GeoDatabase {
        path: database.path.display().to_string(),
        database_type: database.database_type,
        build_date: database.build_date.to_string(),
    });
    EnrichmentResult {
        geoip: geoip.collect(),
        tax_table: lookups.tax.name().to_owned(),
        warnings: lookups.warnings.counts(),
    }
}
