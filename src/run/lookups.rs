//! Opens what SQL functions look things up in, and says what it was.

use std::fs;
use std::sync::Arc;

use super::report::{EnrichmentResult, GeoDatabase};
use crate::enrich::{Enrichment, GeoDatabases, Keys, TaxTable};
use crate::error::{Diagnostic, Error, Result};
use crate::pipeline::EnrichmentSettings;

/// Opens databases and tables.
///
/// # Errors
/// `Error::Config` if one cannot be read or is damaged.
pub(super) fn load_lookups(settings: &EnrichmentSettings) -> Result<Arc<Enrichment>> {
    let tax = match &settings.tax_table {
        None => TaxTable::bundled(),
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| {
                let message = format!("tax table: cannot read: {error}");
                Error::Config(vec![Diagnostic::new(message).in_file(path)])
            })?;
            TaxTable::from_csv(path, &text)?
        }
    };
    let mut keys = Keys::default();
    for (name, key) in &settings.keys {
        keys.insert(name, key.expose().as_bytes())?;
    }
    Ok(Arc::new(Enrichment {
        tax,
        tax_unknown: settings.tax_unknown,
        geoip: GeoDatabases::open(&settings.geoip)?,
        keys,
        ..Enrichment::default()
    }))
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
