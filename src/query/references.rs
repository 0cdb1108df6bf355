//! Reference tables: small tables beside the logs that SQL files may join.
//!
//! Those of text (CSV, NDJSON) are read whole when the engine is built, so that whatever is wrong
//! with a value is told before a run, with its row and column. Parquet is read when it is joined.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::Result as EngineResult;
use datafusion::datasource::MemTable;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::reference_rows::{TableFile, read_rows};
use crate::base::error::{Diagnostic, Error, Result};
use crate::base::location::StoreLocation;
use crate::pipeline::{Pipeline, Reference, ReferenceFormat};
use crate::store::{Store, Stores, store_error};

/// Registers all reference tables, which may take so many bytes together.
///
/// Returns the bytes that they take, and what is wrong with any of them.
///
/// # Errors
/// [`Error::Unavailable`] if a store cannot be reached.
pub(crate) async fn register_references(
    context: &SessionContext,
    pipeline: &Pipeline,
    stores: &Stores,
    bytes_max: usize,
) -> Result<(usize, Vec<Diagnostic>)> {
    let (mut bytes, mut found) = (0, Vec::new());
    for reference in &pipeline.references {
        let room = bytes_max.saturating_sub(bytes);
        let faults = match register_reference(context, reference, stores, room).await {
            Ok(taken) => {
                bytes += taken;
                continue;
            }
            Err(Fault::Wrong(faults)) => faults,
            Err(Fault::Store(error @ Error::Config(_))) => vec![error.to_string()],
            Err(Fault::Store(error)) => return Err(error),
        };
        let (line, column) = reference.place;
        for fault in faults {
            let message = format!("reference table `{}`: {fault}", reference.name);
            found.push(Diagnostic::new(message).in_file(&pipeline.file.path).at(line, column));
        }
    }
    Ok((bytes, found))
}

/// Why a table cannot be had.
enum Fault {
    Wrong(Vec<String>),
    Store(Error),
}

fn wrong(fault: impl Into<String>) -> Fault {
    Fault::Wrong(vec![fault.into()])
}

/// Registers a table and tells how many bytes of memory it holds.
async fn register_reference(
    context: &SessionContext,
    reference: &Reference,
    stores: &Stores,
    bytes_max: usize,
) -> Result<usize, Fault> {
    if reference.format == ReferenceFormat::Parquet {
        register_parquet(context, reference, stores).await?;
        return Ok(0);
    }
    let location = StoreLocation::parse(&reference.location);
    let store =
        location.and_then(|location| Store::open(&location, stores)).map_err(Fault::Store)?;
    let objects = list_files(&store, reference).await?;
    if objects.is_empty() {
        let is_glob = reference.location.contains(['*', '?', '[', '{']);
        let help = if is_glob { "; a glob is not read here: name a file or a folder" } else { "" };
        let location = &reference.location;
        return Err(wrong(format!("{location}: there is no such file or directory{help}")));
    }
    let too_large = |bytes: u64| {
        wrong(format!(
            "{}: {bytes} bytes are more than the {bytes_max} that tables of text may take; write \
             it as `parquet`, which is read when it is joined, or raise `memory_limit`",
            reference.location
        ))
    };
    let packed: u64 = objects.iter().map(|object| object.size).sum();
    if packed > bytes_max as u64 {
        return Err(too_large(packed));
    }
    let mut files = Vec::new();
    for object in objects {
        let location = store.display_of(&object.location);
        let failed = |error| Fault::Store(store_error(&format!("reading {location}"), &error));
        let read = store.store.get(&object.location).await.map_err(failed)?;
        let bytes = read.bytes().await.map_err(failed)?.to_vec();
        files.push(TableFile { location, bytes });
    }
    let (schema, batches) = read_rows(reference, &files).map_err(Fault::Wrong)?;
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    if bytes > bytes_max {
        return Err(too_large(bytes as u64));
    }
    let table = MemTable::try_new(schema, vec![batches]).map_err(|error| wrong(told(&error)))?;
    let registered = context.register_table(reference.name.as_str(), Arc::new(table));
    registered.map_err(|error| wrong(told(&error)))?;
    Ok(bytes)
}

/// The object at the location, or those below it that have the format's extension, by name.
async fn list_files(store: &Store, reference: &Reference) -> Result<Vec<ObjectMeta>, Fault> {
    let failed =
        |error| Fault::Store(store_error(&format!("looking at {}", reference.location), &error));
    let is_folder = store.local.as_deref().is_some_and(std::path::Path::is_dir);
    if !is_folder {
        match store.store.head(&store.prefix).await {
            Ok(object) => return Ok(vec![object]),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let extensions: &[&str] = match reference.format {
        ReferenceFormat::Csv => &["csv"],
        ReferenceFormat::Ndjson => &["ndjson", "jsonl", "json"],
        ReferenceFormat::Parquet => &["parquet"],
    };
    let listed = store.store.list(Some(&store.prefix)).try_collect::<Vec<_>>().await;
    let mut objects = listed.map_err(failed)?;
    objects.retain(|object| {
        let is_hidden = object.location.filename().is_some_and(|name| name.starts_with(['_', '.']));
        let extension = object.location.extension();
        !is_hidden && extension.is_some_and(|extension| extensions.contains(&extension))
    });
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(objects)
}

async fn register_parquet(
    context: &SessionContext,
    reference: &Reference,
    stores: &Stores,
) -> Result<(), Fault> {
    if let Ok(url) = Url::parse(&reference.location)
        && url.scheme().len() > 1
        && url.scheme() != "file"
    {
        let store = StoreLocation::parse(&reference.location)
            .and_then(|location| Store::open(&location, stores))
            .map_err(Fault::Store)?;
        let root = Url::parse(&url[..url::Position::BeforePath]);
        let root = root.map_err(|error| wrong(error.to_string()))?;
        context.runtime_env().register_object_store(&root, store.store);
    } else if !std::path::Path::new(&reference.location).exists() {
        return Err(wrong(format!("{}: there is no such file or directory", reference.location)));
    }
    let registered = register_parquet_files(context, reference).await;
    registered.map_err(|error| wrong(format!("{}: {}", reference.location, told(&error))))
}

async fn register_parquet_files(
    context: &SessionContext,
    reference: &Reference,
) -> EngineResult<()> {
    let (name, location) = (reference.name.as_str(), reference.location.as_str());
    // A single file counts whatever its name ends in.
    let extension = location.rsplit('/').next().and_then(|file| file.rsplit_once('.'));
    let extension =
        extension.map_or(".parquet".to_owned(), |(_, extension)| format!(".{extension}"));
    let options = ParquetReadOptions::default().file_extension(&extension);
    context.register_parquet(name, location, options).await
}

fn told(error: &datafusion::common::DataFusionError) -> String {
    error.message().lines().next().unwrap_or_default().to_owned()
}
