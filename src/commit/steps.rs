//! What a publish does behind its intent, in its order. Each step can be taken twice, by anybody.

use crate::base::error::Result;
use crate::commit::attempt::remove_staging;
use crate::commit::head::ReadHead;
use crate::commit::intent::Intent;
use crate::commit::manifest::{Manifest, ManifestTable};
use crate::commit::pending::PendingRecord;
use crate::commit::state::{State, to_json};
use crate::commit::supplies::CommitSupplies;
use crate::commit::table::TablePlace;
use crate::store::Upload;
use crate::store::paths::RunPaths;

/// A publish that has its turn: the head names it.
pub(super) struct Publish<'a> {
    state: &'a State,
    supplies: &'a CommitSupplies,
    paths: RunPaths,
    intent: &'a Intent,
    /// Of the tables that are published, in their order.
    places: Vec<Box<dyn TablePlace>>,
}

/// Makes markers right that are missing, or another publish's, though nothing is under way.
pub(super) fn restore_markers<'p>(
    state: &State,
    paths: &RunPaths,
    tables: impl Iterator<Item = (String, &'p Box<dyn TablePlace>)>,
) -> Result<()> {
    let head = ReadHead::of(state, paths)?.head;
    for (name, place) in tables {
        let Some(last) = head.tables.get(&name) else { continue };
        let marker = last.marker(&paths.pipeline)?;
        if head.publishing.is_none() && place.read_success()?.as_ref() != Some(&marker) {
            place.put_success(&marker)?;
        }
    }
    Ok(())
}

/// What came of carrying a publish out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    /// The tables hold the run's rows.
    Done,
    /// A file of the publish is lost, so all of it was taken back.
    TakenBack {
        /// The file.
        lost: String,
    },
    /// Another one has carried it out, and more was published since.
    Overtaken,
}

impl<'a> Publish<'a> {
    pub(super) fn new(
        state: &'a State,
        supplies: &'a CommitSupplies,
        intent: &'a Intent,
    ) -> Result<Self> {
        let paths = intent.paths();
        let tables = intent.manifest.tables[..intent.tables.len()].iter();
        let places = tables.map(|table| supplies.open_table(state, &paths, table));
        let places = places.collect::<Result<Vec<_>>>()?;
        Ok(Publish { state, supplies, paths, intent, places })
    }

    /// Takes all steps, from wherever an earlier one of them was cut short.
    pub(super) fn carry_out(&self) -> Result<Carried> {
        let carried = self.take_steps()?;
        if carried == Carried::Overtaken {
            self.restore_markers()?;
        }
        Ok(carried)
    }

    fn take_steps(&self) -> Result<Carried> {
        if !self.is_in_place()? {
            if let Some(lost) = self.find_lost()? {
                return self.take_back(lost);
            }
            if !self.is_our_turn()? {
                return Ok(Carried::Overtaken);
            }
            self.each_table("remove_success", |place, _| place.remove_success())?;
            if let Some(lost) = self.place_files()? {
                return self.take_back(lost);
            }
            if !self.put_manifest()? {
                return Ok(Carried::Overtaken);
            }
        }
        self.each_table("define", |_, table| self.define(table))?;
        self.retire_replaced()?;
        for (place, table) in self.places.iter().zip(&self.intent.manifest.tables) {
            place.remove_files(&table.removed, &|act| self.before(act))?;
        }
        if !self.is_our_turn()? {
            return Ok(Carried::Overtaken);
        }
        let last = self.intent.last_publishes()?;
        self.each_table("success", |place, table| {
            let last = last.get(&self.folder(table));
            let marker = last.map(|last| last.marker(&self.paths.pipeline)).transpose()?;
            marker.map_or(Ok(()), |marker| place.put_success(&marker))
        })?;
        self.before("head")?;
        let ended = ReadHead::of(self.state, &self.paths)?.end(self.state, self.intent, true)?;
        self.clean_up()?;
        Ok(if ended { Carried::Done } else { Carried::Overtaken })
    }

    /// Whether readers by manifest see this publish: then all of its files are in place.
    fn is_in_place(&self) -> Result<bool> {
        let manifest: Option<Manifest> = self.state.read_json(&self.paths.manifest())?;
        Ok(manifest.is_some_and(|manifest| manifest.attempt == self.paths.attempt))
    }

    /// Whether the head still names this publish, and nobody has carried it out meanwhile.
    fn is_our_turn(&self) -> Result<bool> {
        Ok(ReadHead::of(self.state, &self.paths)?.is_publishing(&self.paths))
    }

    fn find_lost(&self) -> Result<Option<String>> {
        for (table, place) in self.places.iter().enumerate() {
            if let Some(lost) = place.find_lost(&self.intent.files(table))? {
                return Ok(Some(lost));
            }
        }
        Ok(None)
    }

    fn place_files(&self) -> Result<Option<String>> {
        for (table, place) in self.places.iter().enumerate() {
            let files = self.intent.files(table);
            if let Some(lost) = place.place_files(&files, &|act| self.before(act))? {
                return Ok(Some(lost));
            }
        }
        Ok(None)
    }

    /// Puts the manifest in place of the one that was there when this was planned; says whether it
    /// is there now.
    fn put_manifest(&self) -> Result<bool> {
        let name = self.paths.manifest();
        let found = self.state.read(&name)?;
        let last = match &found {
            None => None,
            Some(document) => Some(document.parse::<Manifest>()?),
        };
        let previous = self.intent.manifest.previous.as_ref();
        let attempt = last.as_ref().map(|manifest| manifest.attempt.as_str());
        if attempt == Some(self.paths.attempt.as_str()) {
            return Ok(true);
        }
        if attempt != previous.map(|previous| previous.attempt.as_str()) {
            return Ok(false);
        }
        if let (Some(document), Some(previous)) = (&found, previous) {
            self.before("history")?;
            let past = self.paths.past_manifest(&previous.attempt);
            self.state.put(&past, &document.bytes)?;
        }
        self.before("manifest")?;
        let version = found.map(|document| document.version);
        if self.state.swap(&name, version.as_ref(), &to_json(&self.intent.manifest)?)? {
            return Ok(true);
        }
        self.is_in_place()
    }

    fn define(&self, table: usize) -> Result<()> {
        let of_intent = &self.intent.tables[table];
        let ManifestTable { output, format, .. } = &self.intent.manifest.tables[table];
        let name = |name| self.paths.beside_manifest(output, format, name);
        self.state.put(&name(RunPaths::DEFINITION), of_intent.ddl.as_bytes())?;
        // One that an earlier publish of the interval wrote stays: its columns are still new to
        // those who have not used it.
        if let Some(sql) = &of_intent.add_columns {
            self.state.put(&name(RunPaths::ADDED_COLUMNS), sql.as_bytes())?;
        }
        let listing = name(RunPaths::LISTING);
        match &of_intent.listing {
            Some(lines) => self.state.put(&listing, lines.as_bytes()),
            None => self.state.remove([listing.as_str()]),
        }
    }

    /// Moves the manifests of intervals that this one replaced into their histories.
    fn retire_replaced(&self) -> Result<()> {
        for interval in &self.intent.manifest.replaced_intervals {
            let paths = self.paths.of_interval(interval);
            let Some(document) = self.state.read(&paths.manifest())? else { continue };
            self.before(&format!("retire {interval}"))?;
            let manifest: Manifest = document.parse()?;
            self.state.put(&paths.past_manifest(&manifest.attempt), &document.bytes)?;
            self.state.remove([paths.manifest().as_str()])?;
        }
        Ok(())
    }

    /// One that was overtaken may have touched a marker that others had written since: this makes
    /// them right again.
    fn restore_markers(&self) -> Result<()> {
        let tables = (0..self.places.len()).map(|table| self.folder(table));
        restore_markers(self.state, &self.paths, tables.zip(&self.places))
    }

    /// A table's name in the state: `events.parquet`.
    fn folder(&self, table: usize) -> String {
        let ManifestTable { output, format, .. } = &self.intent.manifest.tables[table];
        RunPaths::table_folder(output, format)
    }

    /// Takes back what is in place of the new files; those of earlier publishes are all there.
    fn take_back(&self, lost: String) -> Result<Carried> {
        for (table, place) in self.places.iter().enumerate() {
            self.before("discard")?;
            place.discard_files(&self.intent.files(table))?;
        }
        let ended = ReadHead::of(self.state, &self.paths)?.end(self.state, self.intent, false)?;
        self.state.remove([self.paths.intent().as_str()])?;
        Ok(if ended { Carried::TakenBack { lost } } else { Carried::Overtaken })
    }

    /// Removes what the publish needed, and what other attempts of its tasks have written.
    fn clean_up(&self) -> Result<()> {
        self.before("clean_up")?;
        self.state.remove([self.paths.intent().as_str()])?;
        for name in &self.intent.pending {
            let record: Option<PendingRecord<serde_json::Value>> = self.state.read_json(name)?;
            if let Some(record) = record {
                self.before("discard")?;
                self.discard_unpublished(&record)?;
                self.state.remove([name.as_str()])?;
            }
        }
        Ok(())
    }

    fn discard_unpublished(&self, record: &PendingRecord<serde_json::Value>) -> Result<()> {
        if let Some(folder) = self.state.folder() {
            let attempt = RunPaths { attempt: record.attempt.clone(), ..self.paths.clone() };
            remove_staging(attempt.staging(folder))?;
        }
        let published: Vec<&Upload> =
            self.intent.tables.iter().flat_map(|table| table.uploads.values()).collect();
        let is_left = |upload: &&Upload| !published.contains(upload);
        self.supplies.abort_uploads(&record.files, is_left)
    }

    fn each_table(
        &self,
        act: &str,
        step: impl Fn(&dyn TablePlace, usize) -> Result<()>,
    ) -> Result<()> {
        for (table, place) in self.places.iter().enumerate() {
            self.before(act)?;
            step(place.as_ref(), table)?;
        }
        Ok(())
    }

    fn before(&self, act: &str) -> Result<()> {
        (self.supplies.before_act)(act)
    }
}
