//! A store for code that waits: one step after the other, as a protocol is told.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Error as Failure, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::runtime::Handle;

use super::failure::store_error;
use super::layer::UploadStore;
use super::open::Store;
use super::stores::Stores;
use super::upload::Upload;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;

/// Requests of one call that are under way at once; [`Stores`](super::Stores) bounds all of them.
const REQUESTS_AT_ONCE: usize = 32;

/// The pauses after looks for an object whose upload is gone.
const COMPLETED_LOOKS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// An object and what a replacement must name to be taken.
#[derive(Debug, Clone)]
pub struct Found {
    /// The object's bytes.
    pub bytes: Bytes,
    /// Its version.
    pub version: UpdateVersion,
}

/// A file as a table shall get it: an upload to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedObject<'a> {
    /// Its name below the store's prefix.
    pub name: &'a str,
    /// Its upload.
    pub upload: &'a Upload,
    /// Its size.
    pub bytes: u64,
}

/// A store below its prefix. Each call waits for its end, so it must not come from a thread that
/// runs asynchronous tasks. Names are relative to the prefix.
#[derive(Debug, Clone)]
pub struct BlockingStore {
    store: Store,
    runtime: Handle,
    clock: Arc<dyn Clock>,
}

impl BlockingStore {
    /// Opens a place; requests are driven by `runtime`.
    pub fn open(location: &StoreLocation, stores: &Stores, runtime: Handle) -> Result<Self> {
        let (store, clock) = (Store::open(location, stores)?, Arc::clone(stores.clock()));
        Ok(BlockingStore { store, runtime, clock })
    }

    /// The full name of an object, as a person would paste it.
    pub fn display_of(&self, name: &str) -> String {
        match name {
            "" => self.store.display.clone(),
            name => format!("{}/{name}", self.store.display.trim_end_matches('/')),
        }
    }

    /// An object; none if it is not there.
    pub fn get(&self, name: &str) -> Result<Option<Found>> {
        let path = self.path(name)?;
        let read = async {
            let got = self.store.store.get(&path).await?;
            let (e_tag, version) = (got.meta.e_tag.clone(), got.meta.version.clone());
            let version = UpdateVersion { e_tag, version };
            Ok(Found { bytes: got.bytes().await?, version })
        };
        self.found("reading", name, read)
    }

    /// Puts an object, whatever was there.
    pub fn put(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        self.put_in_mode(name, bytes.into(), PutMode::Overwrite).map(|_| ())
    }

    /// Puts an object unless one is there; says whether it did.
    pub fn create(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<bool> {
        self.put_in_mode(name, bytes.into(), PutMode::Create)
    }

    /// Puts an object in place of the version that was read; says whether it did.
    pub fn replace(
        &self,
        name: &str,
        bytes: impl Into<PutPayload>,
        version: UpdateVersion,
    ) -> Result<bool> {
        self.put_in_mode(name, bytes.into(), PutMode::Update(version))
    }

    /// Deletes objects; those that are gone are as good as deleted.
    pub fn delete<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
        let paths = names.into_iter().map(|name| Ok((name, self.path(name)?)));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        self.wait(async {
            let deleted = stream::iter(paths).map(|(name, path)| async move {
                match self.store.store.delete(&path).await {
                    Ok(()) | Err(Failure::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.failed("deleting", name, &error)),
                }
            });
            deleted.buffer_unordered(REQUESTS_AT_ONCE).try_collect().await
        })
    }

    /// The names right below a folder, of objects and of further folders, sorted.
    pub fn names_in(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder)?;
        let listed = self.wait(self.store.store.list_with_delimiter(Some(&path)));
        let listed = listed.map_err(|error| self.failed("listing", folder, &error))?;
        let objects = listed.objects.into_iter().map(|object| object.location);
        let paths = listed.common_prefixes.into_iter().chain(objects);
        let mut names: Vec<_> =
            paths.filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// All objects below the prefix, with their sizes, sorted by name.
    pub fn list_all(&self) -> Result<Vec<(String, u64)>> {
        let prefix = self.store.prefix.clone();
        let listed: Result<Vec<_>, _> =
            self.wait(self.store.store.list(Some(&prefix)).try_collect());
        let listed = listed.map_err(|error| self.failed("listing", "", &error))?;
        let below = |path: &Path| {
            let below = path.as_ref().strip_prefix(prefix.as_ref())?;
            Some(below.trim_start_matches('/').to_owned())
        };
        let mut names: Vec<_> = listed
            .iter()
            .filter_map(|object| Some((below(&object.location)?, object.size)))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Completes uploads; gives the name of one that is lost: neither could it be completed, nor is
    /// its object there.
    ///
    /// `before` is asked before each one.
    pub fn complete(
        &self,
        objects: &[PlannedObject<'_>],
        before: &(dyn Fn(&str) -> Result<()> + Sync),
    ) -> Result<Option<String>> {
        let completed = stream::iter(objects).map(|object| async move {
            before(object.name)?;
            let is_there = self.complete_one(object).await?;
            Ok((!is_there).then(|| object.name.to_owned()))
        });
        let lost: Result<Vec<Option<String>>> =
            self.wait(completed.buffer_unordered(REQUESTS_AT_ONCE).try_collect());
        Ok(lost?.into_iter().flatten().min())
    }

    async fn complete_one(&self, object: &PlannedObject<'_>) -> Result<bool> {
        let path = self.path(object.name)?;
        let parts = object.upload.parts.iter().cloned();
        let parts = parts.map(|content_id| PartId { content_id }).collect();
        match self.uploads()?.complete_multipart(&path, &object.upload.id, parts).await {
            Ok(_) => Ok(true),
            Err(Failure::NotFound { .. }) => self.is_completed(object, &path).await,
            Err(error) => Err(self.failed("completing the upload of", object.name, &error)),
        }
    }

    /// Whether an upload that is gone was completed: the name was free before, so what is there now
    /// is the file. Looks several times, as a store may take a while to show what another process
    /// is just completing.
    async fn is_completed(&self, object: &PlannedObject<'_>, path: &Path) -> Result<bool> {
        for pause in COMPLETED_LOOKS {
            match self.store.store.head(path).await {
                Ok(found) => return Ok(found.size == object.bytes),
                Err(Failure::NotFound { .. }) => self.clock.sleep(pause).await,
                Err(error) => return Err(self.failed("looking at", object.name, &error)),
            }
        }
        Ok(false)
    }

    /// Aborts uploads; those that are gone are as good as aborted.
    pub fn abort<'u>(
        &self,
        uploads: impl IntoIterator<Item = (&'u str, &'u Upload)>,
    ) -> Result<()> {
        let uploads =
            uploads.into_iter().map(|(name, upload)| Ok((name, self.path(name)?, upload)));
        let uploads = uploads.collect::<Result<Vec<_>>>()?;
        self.wait(async {
            let aborted = stream::iter(uploads).map(|(name, path, upload)| async move {
                match self.uploads()?.abort_multipart(&path, &upload.id).await {
                    Ok(()) | Err(Failure::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.failed("aborting the upload of", name, &error)),
                }
            });
            aborted.buffer_unordered(REQUESTS_AT_ONCE).try_collect().await
        })
    }

    /// Copies an object's bytes into a writer, a piece at a time; says whether it is there.
    pub fn copy_to(&self, name: &str, writer: &mut dyn std::io::Write) -> Result<bool> {
        let path = self.path(name)?;
        let got = self.found("reading", name, async { self.store.store.get(&path).await })?;
        let Some(got) = got else { return Ok(false) };
        let mut pieces = got.into_stream();
        while let Some(piece) = self.wait(pieces.next()) {
            let piece = piece.map_err(|error| self.failed("reading", name, &error))?;
            let copied = writer.write_all(&piece);
            copied.map_err(|error| {
                Error::Unavailable(format!("copying {}: {error}", self.display_of(name)))
            })?;
        }
        Ok(true)
    }

    /// Uploads below the prefix that were neither completed nor aborted: name, id and begin.
    pub fn open_uploads(&self) -> Result<Vec<(String, String, DateTime<Utc>)>> {
        let Some(listing) = &self.store.open_uploads else { return Ok(Vec::new()) };
        let listed = self.wait(listing.list_uploads(&self.store.prefix));
        let listed = listed.map_err(|error| self.failed("listing the uploads of", "", &error))?;
        let below = |path: &Path| {
            let below = path.as_ref().strip_prefix(self.store.prefix.as_ref())?;
            Some(below.trim_start_matches('/').to_owned())
        };
        let uploads = listed.into_iter();
        Ok(uploads.filter_map(|open| Some((below(&open.path)?, open.id, open.begun))).collect())
    }

    fn put_in_mode(&self, name: &str, bytes: PutPayload, mode: PutMode) -> Result<bool> {
        let path = self.path(name)?;
        let put = self.store.store.put_opts(&path, bytes, PutOptions::from(mode));
        match self.wait(put) {
            Ok(_) => Ok(true),
            Err(Failure::AlreadyExists { .. } | Failure::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed("writing", name, &error)),
        }
    }

    fn found<T>(
        &self,
        doing: &str,
        name: &str,
        asked: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>> {
        match self.wait(asked) {
            Ok(found) => Ok(Some(found)),
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(doing, name, &error)),
        }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn uploads(&self) -> Result<&Arc<dyn UploadStore>> {
        let none = || Error::Bug(format!("{} has no uploads by id", self.store.display));
        self.store.uploads.as_ref().ok_or_else(none)
    }

    fn path(&self, name: &str) -> Result<Path> {
        self.store.path_of(name)
    }

    fn failed(&self, doing: &str, name: &str, failure: &Failure) -> Error {
        store_error(&format!("{doing} {}", self.display_of(name)), failure)
    }
}
