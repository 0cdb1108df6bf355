//! What a publish does after its intent is written, in its order: idempotent steps, which anybody
//! can roll forward.

use crate::base::error::Result;
use crate::base::run_ids::AttemptKey;
use crate::commit::documents::{Intent, Manifest, ManifestTable, PendingRecord};
use crate::commit::head::ReadHead;
use crate::commit::markers::{NamedTable, restore_markers};
use crate::commit::pipeline_state::{ADDED_COLUMNS, Commit, DEFINITION, LISTING};
use crate::commit::staging::remove_staging;
use crate::commit::state::to_json;
use crate::sink::table_folder;
use crate::store::Upload;

/// A publish that the head names.
pub(super) struct Publish<'a> {
    commit: &'a Commit,
    key: AttemptKey,
    intent: &'a Intent,
    /// Those that are published, in the order of the manifest.
    tables: Vec<NamedTable>,
}

/// How a publish ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublishEnd {
    /// The tables hold the run's rows.
    Done,
    /// A file of the publish is lost, so all of it was rolled back.
    RolledBack {
        /// The file.
        lost: String,
    },
    /// Another one has rolled it forward, and more was published since.
    Overtaken,
}

impl<'a> Publish<'a> {
    pub(super) fn new(commit: &'a Commit, intent: &'a Intent) -> Result<Self> {
        let key = intent.key();
        let tables = intent.manifest.tables[..intent.tables.len()].iter().map(|table| {
            let files = commit.open_table(&key.interval, table)?;
            Ok(NamedTable { name: table_folder(&table.output, &table.format), files })
        });
        let tables = tables.collect::<Result<Vec<_>>>()?;
        Ok(Publish { commit, key, intent, tables })
    }

    /// Takes all steps, from wherever an earlier one of them was cut short.
    pub(super) fn roll_forward(&self) -> Result<PublishEnd> {
        let end = self.take_steps()?;
        if end == PublishEnd::Overtaken {
            // It may have touched a marker that others had written since.
            restore_markers(self.commit, &self.tables)?;
        }
        Ok(end)
    }

    fn take_steps(&self) -> Result<PublishEnd> {
        if !self.is_in_place()? {
            if let Some(lost) = self.find_lost()? {
                return self.roll_back(lost);
            }
            if !self.is_under_way()? {
                return Ok(PublishEnd::Overtaken);
            }
            self.each_table("remove_success", |table, _| table.files.remove_success())?;
            if let Some(lost) = self.place_files()? {
                return self.roll_back(lost);
            }
            if !self.put_manifest()? {
                return Ok(PublishEnd::Overtaken);
            }
        }
        self.each_table("define", |_, table| self.define(table))?;
        self.retire_replaced()?;
        for (table, published) in self.tables.iter().zip(&self.intent.manifest.tables) {
            table.files.remove_files(&published.removed, &|act| self.commit.before(act))?;
        }
        if !self.is_under_way()? {
            return Ok(PublishEnd::Overtaken);
        }
        let last = self.intent.last_publishes()?;
        self.each_table("success", |table, _| {
            let last = last.get(&table.name);
            let marker = last.map(|last| last.marker(&self.commit.pipeline)).transpose()?;
            marker.map_or(Ok(()), |marker| table.files.put_success(&marker))
        })?;
        self.commit.before("head")?;
        let ended = ReadHead::of(self.commit)?.end(self.commit, self.intent, true)?;
        self.clean_up()?;
        Ok(if ended { PublishEnd::Done } else { PublishEnd::Overtaken })
    }

    /// Whether readers by manifest see this publish: then all of its files are in place.
    fn is_in_place(&self) -> Result<bool> {
        let manifest = self.commit.read_manifest(&self.key.interval)?;
        Ok(manifest.is_some_and(|manifest| manifest.attempt == self.key.attempt))
    }

    /// Whether the head still names this publish, and nobody has rolled it forward meanwhile.
    fn is_under_way(&self) -> Result<bool> {
        Ok(ReadHead::of(self.commit)?.is_publishing(&self.key))
    }

    fn find_lost(&self) -> Result<Option<String>> {
        for (number, table) in self.tables.iter().enumerate() {
            if let Some(lost) = table.files.find_lost(&self.intent.files(number))? {
                return Ok(Some(lost));
            }
        }
        Ok(None)
    }

    fn place_files(&self) -> Result<Option<String>> {
        for (number, table) in self.tables.iter().enumerate() {
            let files = self.intent.files(number);
            if let Some(lost) = table.files.place_files(&files, &|act| self.commit.before(act))? {
                return Ok(Some(lost));
            }
        }
        Ok(None)
    }

    /// Puts the manifest in place of the one that was there when this was planned; says whether it
    /// is there now.
    fn put_manifest(&self) -> Result<bool> {
        let Commit { state, .. } = self.commit;
        let name = self.commit.manifest_name(&self.key.interval);
        let found = state.read(&name)?;
        let last = match &found {
            None => None,
            Some(document) => Some(document.parse::<Manifest>()?),
        };
        let previous = self.intent.manifest.previous.as_ref();
        let attempt = last.as_ref().map(|manifest| &manifest.attempt);
        if attempt == Some(&self.key.attempt) {
            return Ok(true);
        }
        if attempt != previous.map(|previous| &previous.attempt) {
            return Ok(false);
        }
        if let (Some(document), Some(previous)) = (&found, previous) {
            self.commit.before("history")?;
            let past = AttemptKey::new(&self.key.interval, &previous.attempt);
            state.put(&self.commit.past_manifest_name(&past), &document.bytes)?;
        }
        self.commit.before("manifest")?;
        let version = found.map(|document| document.version);
        if state.swap(&name, version.as_ref(), &to_json(&self.intent.manifest)?)? {
            return Ok(true);
        }
        self.is_in_place()
    }

    fn define(&self, table: usize) -> Result<()> {
        let of_intent = &self.intent.tables[table];
        let ManifestTable { output, format, .. } = &self.intent.manifest.tables[table];
        let Commit { state, .. } = self.commit;
        let interval = &self.key.interval;
        let name = |name| self.commit.table_document(interval, output, format, name);
        state.put(&name(DEFINITION), of_intent.ddl.as_bytes())?;
        // One that an earlier publish of the interval wrote stays: its columns are still new to
        // those who have not used it.
        if let Some(sql) = &of_intent.add_columns {
            state.put(&name(ADDED_COLUMNS), sql.as_bytes())?;
        }
        let listing = name(LISTING);
        match &of_intent.listing {
            Some(lines) => state.put(&listing, lines.as_bytes()),
            None => state.remove([listing.as_str()]),
        }
    }

    /// Moves the manifests of intervals that this one replaced into their histories.
    fn retire_replaced(&self) -> Result<()> {
        let Commit { state, .. } = self.commit;
        for interval in &self.intent.manifest.replaced_intervals {
            let name = self.commit.manifest_name(interval);
            let Some(document) = state.read(&name)? else { continue };
            self.commit.before(&format!("retire {interval}"))?;
            let manifest: Manifest = document.parse()?;
            let past = AttemptKey::new(interval, &manifest.attempt);
            state.put(&self.commit.past_manifest_name(&past), &document.bytes)?;
            state.remove([name.as_str()])?;
        }
        Ok(())
    }

    /// Removes what is in place of the new files; those of earlier publishes are all there.
    fn roll_back(&self, lost: String) -> Result<PublishEnd> {
        for (number, table) in self.tables.iter().enumerate() {
            self.commit.before("discard")?;
            table.files.discard_files(&self.intent.files(number))?;
        }
        let ended = ReadHead::of(self.commit)?.end(self.commit, self.intent, false)?;
        self.remove_intent()?;
        Ok(if ended { PublishEnd::RolledBack { lost } } else { PublishEnd::Overtaken })
    }

    /// Removes what the publish needed, and what other attempts of its tasks have written.
    fn clean_up(&self) -> Result<()> {
        let Commit { state, .. } = self.commit;
        self.commit.before("clean_up")?;
        self.remove_intent()?;
        for name in &self.intent.pending {
            let record: Option<PendingRecord<serde_json::Value>> = state.read_json(name)?;
            if let Some(record) = record {
                self.commit.before("discard")?;
                self.discard_unpublished(&record)?;
                state.remove([name.as_str()])?;
            }
        }
        Ok(())
    }

    fn discard_unpublished(&self, record: &PendingRecord<serde_json::Value>) -> Result<()> {
        let writer = AttemptKey::new(&self.key.interval, &record.attempt);
        remove_staging(self.commit.staging_folder(&writer))?;
        let published: Vec<&Upload> =
            self.intent.tables.iter().flat_map(|table| table.uploads.values()).collect();
        let is_left = |upload: &&Upload| !published.contains(upload);
        self.commit.context.abort_uploads(&record.files, is_left)
    }

    fn each_table(&self, act: &str, step: impl Fn(&NamedTable, usize) -> Result<()>) -> Result<()> {
        for (number, table) in self.tables.iter().enumerate() {
            self.commit.before(act)?;
            step(table, number)?;
        }
        Ok(())
    }

    fn remove_intent(&self) -> Result<()> {
        self.commit.state.remove([self.commit.intent_name(&self.key).as_str()])
    }
}
