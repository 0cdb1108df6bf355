//! The commits of one pipeline: its state, and the name of each document in it.
//!
//! ```text
//! <state>/<pipeline>/head.json                          whether a publish is under way, and which
//! <state>/<pipeline>/manifests/<interval>/manifest.json what the interval published
//! <state>/<pipeline>/manifests/<interval>/history/<attempt>.json   what it published before
//! <state>/<pipeline>/manifests/<interval>/<output>.<format>/create_table.sql, add_columns.sql,
//!     distcp-listing.txt; copies/<attempt>-<target and contents>/…   for one target each
//! <state>/<pipeline>/intents/<interval>/<attempt>.json  what a publish is going to do
//! <state>/<pipeline>/pending/<interval>/<task>/<attempt>.json      what a task has written
//! <state>/<pipeline>/locks/<interval>.<task>.lock, publish.lock    on disk: held while at work
//! <state>/<pipeline>/staging/<interval>/<attempt>/<output>.<format>/<hive path>/<file>   on disk
//! ```
//!
//! What lies below the state folder is a document with a name relative to it, as the state may be
//! in an object store; only locks and staging folders are files, and none if it is.

use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptKey, IntervalId};
use crate::commit::context::CommitContext;
use crate::commit::disk_table::DiskTable;
use crate::commit::documents::{Manifest, ManifestTable};
use crate::commit::state::State;
use crate::commit::store_table::StoreTable;
use crate::commit::table_root::TableFiles;
use crate::sink::table_folder;

/// The document beside the manifest that defines a table.
pub(super) const DEFINITION: &str = "create_table.sql";
/// The document beside the manifest that adds a publish's new columns to a table that was defined
/// without them.
pub(super) const ADDED_COLUMNS: &str = "add_columns.sql";
/// The document beside the manifest that lists what of a table to copy.
pub(super) const LISTING: &str = "distcp-listing.txt";
/// The document of a copy that lists what the copy must not hold.
pub(super) const REMOVAL: &str = "removed-files.txt";
/// The document of a copy that lists folders that may have become empty.
pub(super) const EMPTIED: &str = "emptied-folders.txt";

/// The commits of one pipeline: what was published, and the way to publish more.
#[derive(Debug, Clone)]
pub struct Commit {
    pub(super) context: CommitContext,
    pub(super) state: State,
    pub(super) pipeline: String,
}

impl Commit {
    /// The commits of `pipeline` with the state of all pipelines at a location.
    ///
    /// # Errors
    /// `Error::Config` for a location that cannot be opened.
    pub fn open(context: CommitContext, state: &StoreLocation, pipeline: &str) -> Result<Self> {
        let state = match state.local_path() {
            Some(folder) => State::on_disk(folder),
            None => State::in_store(context.open(state)?),
        };
        Ok(Commit { context, state, pipeline: pipeline.to_owned() })
    }

    /// The commits of another pipeline with the same state.
    pub fn of_pipeline(&self, pipeline: &str) -> Self {
        Commit { pipeline: pipeline.to_owned(), ..self.clone() }
    }

    /// What an interval published; none if it published nothing.
    pub fn read_manifest(&self, interval: &IntervalId) -> Result<Option<Manifest>> {
        self.state.read_json(&self.manifest_name(interval))
    }

    /// The intervals that have published at some time, sorted. Those that a wider one replaced
    /// have no manifest any more.
    pub(super) fn known_intervals(&self) -> Result<Vec<IntervalId>> {
        let names = self.state.names_in(&self.manifests_folder())?.into_iter();
        Ok(names.map(IntervalId::new).filter(|interval| interval.bounds().is_some()).collect())
    }

    /// The names of all pending records of an interval.
    pub(super) fn pending_names(&self, interval: &IntervalId) -> Result<Vec<String>> {
        let folder = self.interval_pending_folder(interval);
        let mut names = Vec::new();
        for task in self.state.names_in(&folder)? {
            let folder = format!("{folder}/{task}");
            let records = self.state.names_in(&folder)?.into_iter();
            names.extend(records.map(|name| format!("{folder}/{name}")));
        }
        Ok(names)
    }

    /// Opens the root of a table that an interval publishes.
    pub(super) fn open_table(
        &self,
        interval: &IntervalId,
        table: &ManifestTable,
    ) -> Result<Box<dyn TableFiles>> {
        let name = table_folder(&table.output, &table.format);
        self.open_root(interval, &StoreLocation::parse(&table.root)?, name)
    }

    /// Opens the root of a table whose name in the state is `name`.
    pub(super) fn open_root(
        &self,
        interval: &IntervalId,
        location: &StoreLocation,
        name: String,
    ) -> Result<Box<dyn TableFiles>> {
        let Some(root) = location.local_path() else {
            return Ok(Box::new(StoreTable(self.context.open(location)?)));
        };
        let state = self.state.folder().ok_or_else(|| {
            Error::config(format!("publishing to {location}: it is on disk, but the state is not"))
        })?;
        let own = state.join(&self.pipeline);
        let stagings = own.join("staging").join(interval.as_str());
        Ok(Box::new(DiskTable { root, stagings, folder: name, temporary: own.join("success.tmp") }))
    }

    /// Tells an act of a publish that comes next, and lets a test end the publish there.
    pub(super) fn before(&self, act: &str) -> Result<()> {
        tracing::debug!(act, "publishing");
        (self.context.failpoint)(act)
    }

    /// The document that says whether a publish is under way.
    pub(super) fn head_name(&self) -> String {
        format!("{}/head.json", self.pipeline)
    }

    /// The folder of all intervals' manifests.
    pub(super) fn manifests_folder(&self) -> String {
        format!("{}/manifests", self.pipeline)
    }

    fn manifest_folder(&self, interval: &IntervalId) -> String {
        format!("{}/{interval}", self.manifests_folder())
    }

    /// What an interval published; its being there says that it did.
    pub fn manifest_name(&self, interval: &IntervalId) -> String {
        format!("{}/manifest.json", self.manifest_folder(interval))
    }

    /// The folder of the manifests that an interval had before.
    pub(super) fn history_folder(&self, interval: &IntervalId) -> String {
        format!("{}/history", self.manifest_folder(interval))
    }

    /// A manifest that an interval had before.
    pub(super) fn past_manifest_name(&self, key: &AttemptKey) -> String {
        format!("{}/{}.json", self.history_folder(&key.interval), key.attempt)
    }

    /// A document beside an interval's manifest about one table.
    pub(super) fn table_document(
        &self,
        interval: &IntervalId,
        output: &str,
        format: &str,
        name: &str,
    ) -> String {
        format!("{}/{}/{name}", self.manifest_folder(interval), table_folder(output, format))
    }

    /// A document for copies of one table to one target: `id` names target and contents, so that
    /// no plan changes what another one reads.
    pub(super) fn copy_document(
        &self,
        key: &AttemptKey,
        table: &ManifestTable,
        id: &str,
        name: &str,
    ) -> String {
        let name = format!("copies/{}-{id}/{name}", key.attempt);
        self.table_document(&key.interval, &table.output, &table.format, &name)
    }

    /// The folder of all intervals' intents.
    pub(super) fn intents_folder(&self) -> String {
        format!("{}/intents", self.pipeline)
    }

    /// What an attempt's publish is going to do.
    pub(super) fn intent_name(&self, key: &AttemptKey) -> String {
        format!("{}/{}/{}.json", self.intents_folder(), key.interval, key.attempt)
    }

    /// The folder of all intervals' pending records.
    pub(super) fn pending_folder(&self) -> String {
        format!("{}/pending", self.pipeline)
    }

    /// The folder of what an interval's tasks have written.
    pub(super) fn interval_pending_folder(&self, interval: &IntervalId) -> String {
        format!("{}/{interval}", self.pending_folder())
    }

    /// What an attempt at a task has written.
    pub(super) fn pending_name(&self, key: &AttemptKey, task: &str) -> String {
        format!("{}/{task}/{}.json", self.interval_pending_folder(&key.interval), key.attempt)
    }

    /// The folder of all locks; none if the state is in an object store.
    pub(super) fn locks_folder(&self) -> Option<PathBuf> {
        Some(self.state.folder()?.join(&self.pipeline).join("locks"))
    }

    /// The folder of all intervals' staging folders; none if the state is in an object store.
    pub(super) fn stagings_folder(&self) -> Option<PathBuf> {
        Some(self.state.folder()?.join(&self.pipeline).join("staging"))
    }

    /// The folder in which an attempt builds the files of local tables; none if the state is in an
    /// object store.
    pub(super) fn staging_folder(&self, key: &AttemptKey) -> Option<PathBuf> {
        Some(self.stagings_folder()?.join(key.interval.as_str()).join(key.attempt.as_str()))
    }
}
