//! Reference tables: small tables beside the logs that SQL files may join.

use datafusion::common::Result;
use datafusion::prelude::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionContext};
use url::Url;

use crate::error::Diagnostic;
use crate::pipeline::{Pipeline, Reference, ReferenceFormat};
use crate::store::{StoreLocation, Stores};

/// Registers all reference tables; their columns are read from their files.
///
/// Returns what is wrong with any of them.
pub(super) async fn register_references(
    context: &SessionContext,
    pipeline: &Pipeline,
    stores: &Stores,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for reference in &pipeline.references {
        if let Err(message) = register_reference(context, reference, stores).await {
            let message = format!(
                "reference table `{}` at {}: {message}",
                reference.name, reference.location
            );
            let (line, column) = reference.place;
            found.push(Diagnostic::new(message).in_file(&pipeline.file.path).at(line, column));
        }
    }
    found
}

async fn register_reference(
    context: &SessionContext,
    reference: &Reference,
    stores: &Stores,
) -> Result<(), String> {
    if let Ok(url) = Url::parse(&reference.location)
        && url.scheme().len() > 1
        && url.scheme() != "file"
    {
        let store = StoreLocation::parse(&reference.location)
            .and_then(|location| location.open(stores))
            .map_err(|error| error.to_string())?;
        let root = Url::parse(&url[..url::Position::BeforePath]).map_err(|e| e.to_string())?;
        context.runtime_env().register_object_store(&root, store.store);
    } else if !std::path::Path::new(&reference.location).exists() {
        return Err("there is no such file or directory".to_owned());
    }
    let registered = register_files(context, reference).await;
    registered.map_err(|error| error.message().lines().next().unwrap_or_default().to_owned())
}

async fn register_files(context: &SessionContext, reference: &Reference) -> Result<()> {
    let (name, location) = (reference.name.as_str(), reference.location.as_str());
    // A single file counts whatever its name ends in.
    let extension = location.rsplit('/').next().and_then(|file| file.rsplit_once('.'));
    let extension = extension.map_or(String::new(), |(_, extension)| format!(".{extension}"));
    match reference.format {
        ReferenceFormat::Csv => {
            let options = CsvReadOptions::new().file_extension(or(&extension, ".csv"));
            context.register_csv(name, location, options).await
        }
        ReferenceFormat::Parquet => {
            let options = ParquetReadOptions::default();
            let options = options.file_extension(or(&extension, ".parquet"));
            context.register_parquet(name, location, options).await
        }
        ReferenceFormat::Ndjson => {
            let options = JsonReadOptions::default();
            let options = options.file_extension(or(&extension, ".ndjson"));
            context.register_json(name, location, options).await
        }
    }
}

fn or<'t>(text: &'t str, fallback: &'t str) -> &'t str {
    if text.is_empty() { fallback } else { text }
}
