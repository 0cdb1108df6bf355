//! Bringing an interval to another cluster with DistCp, so that it has the manifest's files and
//! none of those that they replaced.
//!
//! ```text
//! hadoop fs -rm -f hdfs://nn/t/events/_SUCCESS             readers know that it is changing
//! hadoop fs -mkdir -p hdfs://nn/t/events
//! hadoop distcp -f file:///…/distcp-listing.txt hdfs://nn/t/events
//! hadoop fs -cat file:///…/removed-files.txt | xargs -d '\n' -r hadoop fs -rm -f
//! hadoop fs -cp -f file:///out/events/_SUCCESS hdfs://nn/t/events/_SUCCESS
//! ```
//!
//! Files that are there already are skipped by their names, which is safe as no name is ever used
//! for other bytes. What is removed are the files of all earlier publishes of the interval, not
//! only of the last: nobody knows which of them were copied.
//!
//! This plans a copy and writes down what it needs, under names that no other plan uses;
//! [`copy`](super::copy) carries it out, [`copy_script`](super::copy_script) says it to a shell.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptKey, IntervalId};
use crate::commit::copy_script::{commands, script};
use crate::commit::ddl::relocated;
use crate::commit::distcp::plan_copy;
use crate::commit::documents::{Manifest, ManifestTable};
use crate::commit::hand_off_plan::{HandOff, HandOffPlan, PlannedCopy, PlannedTable};
use crate::commit::pipeline_state::{ADDED_COLUMNS, Commit, DEFINITION, EMPTIED, LISTING, REMOVAL};
use crate::store::CopyTarget;

impl Commit {
    /// Writes the lists for a copy of an interval's tables below `target`, and says how to use
    /// them.
    ///
    /// A table goes to `<target>/<output>`, or to `<target>/<output>/<format>` if the output has
    /// several formats.
    ///
    /// # Errors
    /// `Error::Usage` if the interval is not published, `Error::Config` if the target lies where
    /// the pipeline writes.
    pub fn hand_off(&self, interval: &IntervalId, target: &CopyTarget) -> Result<HandOffPlan> {
        let planned = plan_tables(self, interval, target)?;
        let manifest = hadoop_url(self, &self.manifest_name(interval))?;
        let script = script(&planned, &manifest, target);
        Ok(HandOffPlan {
            attempt: planned.manifest.attempt,
            target: target.to_string(),
            tables: planned.tables.into_iter().map(|table| table.hand_off).collect(),
            script,
        })
    }
}

/// An interval that is not published, as an error.
fn not_published(commit: &Commit, interval: &IntervalId) -> Error {
    Error::Usage(format!(
        "interval {interval} of pipeline `{}` is not published: expected {}; run it first, or ask \
         `ashiato runs` what is",
        commit.pipeline,
        commit.state.display_of(&commit.manifest_name(interval)),
    ))
}

/// What an interval published.
///
/// # Errors
/// `Error::Usage` if it published nothing.
pub(super) fn published(commit: &Commit, interval: &IntervalId) -> Result<Manifest> {
    commit.read_manifest(interval)?.ok_or_else(|| not_published(commit, interval))
}

/// The tables of a manifest that are handed off: an output may have been elsewhere before, and what
/// it wrote there comes later, under the same name.
pub(super) fn handed_tables(manifest: &Manifest) -> Vec<&ManifestTable> {
    let mut seen = BTreeSet::new();
    let tables = manifest.tables.iter();
    tables.filter(|table| seen.insert((&table.output, &table.format))).collect()
}

/// The folder of a table below the target of a hand-off.
pub(super) fn folder_at(
    target: &CopyTarget,
    manifest: &Manifest,
    table: &ManifestTable,
) -> Result<CopyTarget> {
    let tables = handed_tables(manifest).into_iter();
    match tables.filter(|other| other.output == table.output).count() {
        1 => target.below(&table.output),
        _ => target.below(&format!("{}/{}", table.output, table.format)),
    }
}

/// Files of earlier publishes of the interval, and of intervals that it replaced: root and path.
pub(super) fn past_files(
    commit: &Commit,
    manifest: &Manifest,
) -> Result<BTreeSet<(String, String)>> {
    let mut past = Vec::new();
    let mut replaced = BTreeSet::new();
    let mut intervals = vec![manifest.interval.clone()];
    while let Some(interval) = intervals.pop() {
        if !replaced.insert(interval.clone()) {
            continue;
        }
        for publish in commit.publishes_of(&interval)? {
            intervals.extend(publish.manifest.replaced_intervals.iter().cloned());
            past.extend(publish.manifest.tables);
        }
    }
    let files = |tables: &[ManifestTable]| -> BTreeSet<(String, String)> {
        let of = |table: &ManifestTable| {
            let own = table.files.iter().map(|file| &file.path).chain(&table.removed);
            own.map(|path| (table.root.clone(), path.clone())).collect::<Vec<_>>()
        };
        tables.iter().flat_map(of).collect()
    };
    let now = manifest
        .tables
        .iter()
        .flat_map(|table| table.files.iter().map(|file| (table.root.clone(), file.path.clone())));
    let now: BTreeSet<_> = now.collect();
    Ok(files(&past).into_iter().filter(|file| !now.contains(file)).collect())
}

/// Plans the copy of all tables of an interval, and writes down what it needs.
pub(super) fn plan_tables(
    commit: &Commit,
    interval: &IntervalId,
    target: &CopyTarget,
) -> Result<PlannedCopy> {
    let manifest = published(commit, interval)?;
    let past = past_files(commit, &manifest)?;
    let planner = Planner { commit, key: &manifest.key() };
    let mut tables = Vec::new();
    for table in handed_tables(&manifest) {
        let folder = folder_at(target, &manifest, table)?;
        planner.check_apart(&folder, &manifest)?;
        let stale = past.iter().filter(|(root, _)| *root == table.root);
        let stale = stale.map(|(_, path)| path.clone()).collect();
        tables.push(planner.plan_table(table, &folder, stale)?);
    }
    Ok(PlannedCopy { manifest, tables })
}

/// A document of the state as Hadoop names it.
fn hadoop_url(commit: &Commit, document: &str) -> Result<String> {
    let location = StoreLocation::parse(&commit.state.display_of(document))?;
    Ok(location.hadoop_url(commit.context.stores.environment()))
}

struct Planner<'p> {
    commit: &'p Commit,
    /// What is copied.
    key: &'p AttemptKey,
}

/// What is written down for the copy of one table.
struct Lists {
    definition: Option<String>,
    removal: String,
    emptied: String,
}

impl Planner<'_> {
    /// A copy onto the tables themselves would take their markers away, and remove files.
    fn check_apart(&self, folder: &CopyTarget, manifest: &Manifest) -> Result<()> {
        let state = StoreLocation::parse(&self.commit.state.display_of(&self.commit.pipeline))?;
        let roots = manifest.tables.iter().map(|table| StoreLocation::parse(&table.root));
        let own = roots.chain([Ok(state)]).collect::<Result<Vec<_>>>()?;
        match own.iter().find(|own| folder.may_overlap(own)) {
            None => Ok(()),
            Some(own) => Err(Error::config(format!(
                "target {folder}: it and {own}, where the pipeline writes, must not contain one \
                 another; choose another folder, or write the target with its scheme if it is in \
                 another file system"
            ))),
        }
    }

    fn plan_table(
        &self,
        table: &ManifestTable,
        folder: &CopyTarget,
        stale: BTreeSet<String>,
    ) -> Result<PlannedTable> {
        let source = StoreLocation::parse(&table.root)?;
        let source = source.hadoop_url(self.commit.context.stores.environment());
        let copied = table.files.iter().map(|file| file.path.as_str());
        let (distcp, listing) = plan_copy(&source, copied, "");
        let lists = self.lists(table, folder, &source, &stale)?;
        let id = id_of(folder, &[listing.as_deref(), lists.definition.as_deref()], &lists.removal);
        let url = |name: &str| -> Result<String> {
            let document = self.commit.copy_document(self.key, table, &id, name);
            hadoop_url(self.commit, &document)
        };
        let write = |name: &str, text: Option<&str>| -> Result<Option<String>> {
            let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
            let document = self.commit.copy_document(self.key, table, &id, name);
            // Whoever was here before has written the same.
            if self.commit.state.read(&document)?.is_none() {
                self.commit.state.put(&document, text.as_bytes())?;
            }
            Ok(Some(document))
        };
        write(LISTING, listing.as_deref())?;
        write(REMOVAL, Some(&lists.removal))?;
        write(EMPTIED, Some(&lists.emptied))?;
        let definition = write(DEFINITION, lists.definition.as_deref())?;
        let name = |name| self.table_document(table, name);
        let add_columns = self.commit.state.read(&name(ADDED_COLUMNS))?;
        let add_columns = add_columns.map(|_| name(ADDED_COLUMNS));
        let mut hand_off = HandOff {
            output: table.output.clone(),
            format: table.format.clone(),
            target: folder.url().to_owned(),
            listing: listing.map(|_| url(LISTING)).transpose()?,
            form: distcp.form,
            removal: (!stale.is_empty()).then(|| url(REMOVAL)).transpose()?,
            files: table.files.len(),
            removed_files: stale.len(),
            definition: definition.map(|document| self.commit.state.display_of(&document)),
            add_columns: add_columns.map(|document| self.commit.state.display_of(&document)),
            commands: Vec::new(),
        };
        let emptied = (!lists.emptied.is_empty()).then(|| url(EMPTIED)).transpose()?;
        hand_off.commands = commands(&hand_off, &source, emptied.as_deref());
        let files = table.files.iter().map(|file| (file.path.clone(), file.bytes)).collect();
        Ok(PlannedTable { hand_off, table: table.clone(), source, files, stale })
    }

    fn table_document(&self, table: &ManifestTable, name: &str) -> String {
        self.commit.table_document(&self.key.interval, &table.output, &table.format, name)
    }

    fn lists(
        &self,
        table: &ManifestTable,
        folder: &CopyTarget,
        source: &str,
        stale: &BTreeSet<String>,
    ) -> Result<Lists> {
        let definition = self.commit.state.read(&self.table_document(table, DEFINITION))?;
        let definition = definition.map(|document| {
            relocated(&String::from_utf8_lossy(&document.bytes), source, folder.url())
        });
        let line = |name: &str| format!("{}/{name}\n", folder.url());
        let emptied = emptied_folders(table, stale);
        Ok(Lists {
            definition,
            removal: stale.iter().map(|path| line(path)).collect(),
            emptied: emptied.iter().rev().map(|path| line(path)).collect(),
        })
    }
}

/// Names a copy by its target and by all that is written down for it.
fn id_of(folder: &CopyTarget, texts: &[Option<&str>], removal: &str) -> String {
    let mut digest = Sha256::new();
    for text in texts.iter().map(|text| text.unwrap_or_default()).chain([removal, folder.url()]) {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    hex::encode(&digest.finalize()[..8])
}

/// Folders that held replaced files and hold none of the interval's now; each before its parents
/// if they are read from the end.
fn emptied_folders<'t>(table: &'t ManifestTable, stale: &'t BTreeSet<String>) -> BTreeSet<&'t str> {
    let used: BTreeSet<&str> =
        table.files.iter().flat_map(|file| folders_above(&file.path)).collect();
    stale.iter().flat_map(|path| folders_above(path)).filter(|path| !used.contains(path)).collect()
}

fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}
