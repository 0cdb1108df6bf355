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

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::copy_script::{commands, script};
use crate::commit::ddl::relocated;
use crate::commit::distcp::{DistCpForm, plan_copy};
use crate::commit::history::publishes_of;
use crate::commit::manifest::{Manifest, ManifestTable, read_manifest};
use crate::commit::state::State;
use crate::commit::supplies::CommitSupplies;
use crate::store::CopyTarget;
use crate::store::paths::RunPaths;

/// How to bring an interval elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandOffPlan {
    /// The attempt that published what is to be copied.
    pub attempt: String,
    /// The folder that gets the tables, as Hadoop names it.
    pub target: String,
    /// The tables.
    pub tables: Vec<HandOff>,
    /// All commands as a script for bash, which fails as soon as one of them does.
    #[serde(skip)]
    pub script: String,
}

/// How to bring one table's files of an interval elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandOff {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The folder that gets the table.
    pub target: String,
    /// The copy listing as Hadoop names it; none if there is nothing to copy.
    pub listing: Option<String>,
    /// What its lines are.
    pub form: DistCpForm,
    /// The list of files that must not be at the target, as Hadoop names it, if there are any.
    pub removal: Option<String>,
    /// How many files the interval has.
    pub files: usize,
    /// How many files must not be at the target.
    pub removed_files: usize,
    /// The script that defines the table at the target, and the interval's partitions.
    pub definition: Option<String>,
    /// The script that adds the interval's new columns to a table that lacks them, if it had any.
    pub add_columns: Option<String>,
    /// The commands, in their order; each must succeed before the next.
    pub commands: Vec<String>,
}

/// A planned copy.
pub(super) struct PlannedCopy {
    pub(super) manifest: Manifest,
    pub(super) tables: Vec<PlannedTable>,
}

/// A planned copy of one table.
pub(super) struct PlannedTable {
    pub(super) hand_off: HandOff,
    pub(super) table: ManifestTable,
    /// The table's root as Hadoop names it.
    pub(super) source: String,
    /// The interval's files with their sizes.
    pub(super) files: BTreeMap<String, u64>,
    /// Files that the interval had before.
    pub(super) stale: BTreeSet<String>,
}

/// Writes the lists for a copy of an interval's tables below `target`, and says how to use them.
///
/// A table goes to `<target>/<output>`, or to `<target>/<output>/<format>` if the output has
/// several formats.
///
/// # Errors
/// `Error::Usage` if the interval is not published, `Error::Config` if the target lies where the
/// pipeline writes.
pub fn hand_off(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    target: &CopyTarget,
) -> Result<HandOffPlan> {
    let planned = plan_tables(supplies, state, paths, target)?;
    let manifest = hadoop_url(supplies, state, &paths.manifest())?;
    let script = script(&planned, &manifest, target);
    Ok(HandOffPlan {
        attempt: planned.manifest.attempt,
        target: target.to_string(),
        tables: planned.tables.into_iter().map(|table| table.hand_off).collect(),
        script,
    })
}

/// An interval that is not published, as an error.
pub(super) fn not_published(state: &State, paths: &RunPaths) -> Error {
    Error::Usage(format!(
        "interval {} of pipeline `{}` is not published: expected {}; run it first, or ask `ashiato \
         runs` what is",
        paths.interval,
        paths.pipeline,
        state.display_of(&paths.manifest()),
    ))
}

/// The tables of a manifest that are handed off: an output may have been elsewhere before, and what
/// it wrote there stands behind, under the same name.
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
    state: &State,
    paths: &RunPaths,
    manifest: &Manifest,
) -> Result<BTreeSet<(String, String)>> {
    let mut past = Vec::new();
    let mut replaced = BTreeSet::new();
    let mut intervals = vec![paths.interval.clone()];
    while let Some(interval) = intervals.pop() {
        if !replaced.insert(interval.clone()) {
            continue;
        }
        for publish in publishes_of(state, &paths.of_interval(&interval))? {
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
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    target: &CopyTarget,
) -> Result<PlannedCopy> {
    let manifest = read_manifest(state, paths)?.ok_or_else(|| not_published(state, paths))?;
    let paths = RunPaths { attempt: manifest.attempt.clone(), ..paths.clone() };
    let past = past_files(state, &paths, &manifest)?;
    let planner = Planner { supplies, state, paths: &paths };
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
fn hadoop_url(supplies: &CommitSupplies, state: &State, document: &str) -> Result<String> {
    let place = StoreLocation::parse(&state.display_of(document))?;
    Ok(place.hadoop_url(supplies.stores.environment()))
}

struct Planner<'p> {
    supplies: &'p CommitSupplies,
    state: &'p State,
    paths: &'p RunPaths,
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
        let state = StoreLocation::parse(&self.state.display_of(&self.paths.pipeline))?;
        let roots = manifest.tables.iter().map(|table| StoreLocation::parse(&table.root));
        let own = roots.chain([Ok(state)]).collect::<Result<Vec<_>>>()?;
        match own.iter().find(|place| folder.may_overlap(place)) {
            None => Ok(()),
            Some(place) => Err(Error::config(format!(
                "target {folder}: it and {place}, where the pipeline writes, must not contain one \
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
        let source = source.hadoop_url(self.supplies.stores.environment());
        let copied = table.files.iter().map(|file| file.path.as_str());
        let (distcp, listing) = plan_copy(&source, copied, "");
        let lists = self.lists(table, folder, &source, &stale)?;
        let id = id_of(folder, &[listing.as_deref(), lists.definition.as_deref()], &lists.removal);
        let url = |name: &str| -> Result<String> {
            let document = self.paths.of_copy(&table.output, &table.format, &id, name);
            hadoop_url(self.supplies, self.state, &document)
        };
        let write = |name: &str, text: Option<&str>| -> Result<Option<String>> {
            let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
            let document = self.paths.of_copy(&table.output, &table.format, &id, name);
            // Whoever was here before has written the same.
            if self.state.read(&document)?.is_none() {
                self.state.put(&document, text.as_bytes())?;
            }
            Ok(Some(document))
        };
        write(RunPaths::LISTING, listing.as_deref())?;
        write(RunPaths::REMOVAL, Some(&lists.removal))?;
        write(RunPaths::EMPTIED, Some(&lists.emptied))?;
        let definition = write(RunPaths::DEFINITION, lists.definition.as_deref())?;
        let name = |name| self.paths.beside_manifest(&table.output, &table.format, name);
        let add_columns = self.state.read(&name(RunPaths::ADDED_COLUMNS))?;
        let add_columns = add_columns.map(|_| name(RunPaths::ADDED_COLUMNS));
        let mut hand_off = HandOff {
            output: table.output.clone(),
            format: table.format.clone(),
            target: folder.url().to_owned(),
            listing: listing.map(|_| url(RunPaths::LISTING)).transpose()?,
            form: distcp.form,
            removal: (!stale.is_empty()).then(|| url(RunPaths::REMOVAL)).transpose()?,
            files: table.files.len(),
            removed_files: stale.len(),
            definition: definition.map(|document| self.state.display_of(&document)),
            add_columns: add_columns.map(|document| self.state.display_of(&document)),
            commands: Vec::new(),
        };
        let emptied = (!lists.emptied.is_empty()).then(|| url(RunPaths::EMPTIED)).transpose()?;
        hand_off.commands = commands(&hand_off, &source, emptied.as_deref());
        let files = table.files.iter().map(|file| (file.path.clone(), file.bytes)).collect();
        Ok(PlannedTable { hand_off, table: table.clone(), source, files, stale })
    }

    fn lists(
        &self,
        table: &ManifestTable,
        folder: &CopyTarget,
        source: &str,
        stale: &BTreeSet<String>,
    ) -> Result<Lists> {
        let definition =
            self.paths.beside_manifest(&table.output, &table.format, RunPaths::DEFINITION);
        let definition = self.state.read(&definition)?;
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
