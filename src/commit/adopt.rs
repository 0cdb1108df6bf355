//! Taking over what a pipeline published under another name, with another state, or elsewhere.
//!
//! ```text
//! state of `shop`      head.json, manifests/<interval>/…             tables /out/rows
//! adopt --from shop    the same documents below the pipeline's name; each marker names it
//!                      a table whose files were moved has its new root in all of them
//! then                 the documents of `shop` go, its head first
//! ```
//!
//! A rerun then replaces what was published before, as if the pipeline had always had its name.
//! Until the new head is written nothing of the old state changes, so that one which ends early can
//! be begun again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::base::run_ids::AttemptKey;
use crate::commit::context::CommitContext;
use crate::commit::distcp::plan_copy;
use crate::commit::documents::{Head, LastPublish, Manifest, ManifestFile};
use crate::commit::head::ReadHead;
use crate::commit::layout::is_same_location;
use crate::commit::lock::PublishLock;
use crate::commit::ownership::{OwnTable, RootContents};
use crate::commit::pipeline_state::{Commit, LISTING};
use crate::commit::recover::recover;
use crate::commit::state::{Document, State, to_json};
use crate::sink::SUCCESS;

/// What is taken over, and by whom.
#[derive(Debug, Clone)]
pub struct AdoptRequest {
    /// The pipeline's tables.
    pub tables: Vec<OwnTable>,
    /// The folder that defines it.
    pub folder: String,
    /// The state and the name with which they were published.
    pub from: Commit,
    /// Whether to tell only what would be done.
    pub is_dry_run: bool,
}

/// What was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// Intervals with their manifests.
    pub intervals: usize,
    /// The pipeline's tables of which something was published.
    pub tables: Vec<AdoptedTable>,
}

/// A table that was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdoptedTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root.
    pub root: String,
    /// Where its manifests said that it is, if its files were moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// Files of all intervals.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
}

/// A table whose files lie elsewhere than its manifests say.
struct Moved {
    /// Its name in the state.
    name: String,
    from: StoreLocation,
    to: StoreLocation,
}

impl Commit {
    /// Takes over the tables of another name or state.
    ///
    /// # Errors
    /// `Error::Usage` if nothing was published there, `Error::Config` if the pipeline has published
    /// already, or a table holds other files than its manifests say.
    pub fn adopt(&self, request: &AdoptRequest) -> Result<Adopted> {
        let from = &request.from;
        if from.state.read(&from.head_name())?.is_none() {
            return Err(nothing_there(from)?);
        }
        let head_of = |commit: &Commit| commit.state.display_of(&commit.head_name());
        let is_same = head_of(from) == head_of(self);
        let _lock = PublishLock::acquire(self)?;
        let _from_lock = if is_same { None } else { PublishLock::acquire(from)? };
        let mut recovered = Vec::new();
        recover(from, None, &mut recovered)?;
        for recovered in recovered {
            tracing::warn!("an earlier attempt ended early: {recovered}");
        }
        let own = ReadHead::of(self)?;
        let head = ReadHead::of(from)?.head;
        let is_done = !is_same && is_adopted(&own.head, &head);
        if !is_same && !is_done && !own.head.tables.is_empty() {
            return Err(Error::config(format!(
                "adopting `{}`: pipeline `{}` has published tables of its own ({}); only one that \
                 has published nothing can take over others'",
                from.pipeline,
                self.pipeline,
                head_of(self),
            )));
        }
        let mut manifests = Vec::new();
        for interval in from.known_intervals()? {
            manifests.extend(from.read_manifest(&interval)?);
        }
        let mut adoption = Adoption { commit: self, from, moved: Vec::new() };
        let tables = adoption.compare_tables(&request.tables, &head, &manifests)?;
        let adopted = Adopted { intervals: manifests.len(), tables };
        if request.is_dry_run {
            return Ok(adopted);
        }
        if is_done {
            remove_documents(from)?;
            return Ok(adopted);
        }
        let is_copied = !is_same || !adoption.moved.is_empty();
        let digests = if is_copied { adoption.copy()? } else { Digests::new() };
        let head = adoption.head(head, &digests, &request.folder)?;
        adoption.put_markers(&head)?;
        if !own.replace(self, head)? {
            return Err(Error::Unavailable(format!(
                "adopting `{}`: pipeline `{}` has published meanwhile; retry",
                from.pipeline, self.pipeline
            )));
        }
        if !is_same {
            remove_documents(from)?;
        }
        Ok(adopted)
    }
}

/// Whether an adoption that ended early has come as far as to the new head.
fn is_adopted(own: &Head, from: &Head) -> bool {
    let published =
        |head: &Head| head.tables.values().map(LastPublish::key).collect::<Vec<AttemptKey>>();
    !own.tables.is_empty() && published(own) == published(from)
}

fn remove_documents(commit: &Commit) -> Result<()> {
    let state = &commit.state;
    state.remove([commit.head_name().as_str()])?;
    for folder in [commit.manifests_folder(), commit.intents_folder(), commit.pending_folder()] {
        let names = documents_in(state, &folder)?;
        state.remove(names.iter().map(String::as_str))?;
    }
    Ok(())
}

fn nothing_there(from: &Commit) -> Result<Error> {
    let state = &from.state;
    let mut known = Vec::new();
    for name in state.names_in("")? {
        if state.read(&from.of_pipeline(&name).head_name())?.is_some() {
            known.push(format!("`{name}`"));
        }
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Ok(Error::Usage(format!(
        "adopting `{}`: nothing was published under this name, as {} is not there; names that have \
         published with this state: {known} (`--from NAME`, `--from-state LOCATION`)",
        from.pipeline,
        state.display_of(&from.head_name()),
    )))
}

/// Why a table cannot be taken over.
enum NotAdoptable {
    /// It holds other files than were published, in words that follow on its name.
    Different(String),
    /// It could not be looked at.
    Failed(Error),
}

/// Whether a table's root holds the files that were published; it may have none of them if they
/// were published elsewhere, and nothing else.
fn has_published_files(
    context: &CommitContext,
    table: &OwnTable,
    files: &[&ManifestFile],
    is_same: bool,
) -> Result<bool, NotAdoptable> {
    let listed = context.open(&table.root).and_then(|root| root.list_all());
    let found: BTreeMap<String, u64> = listed.map_err(NotAdoptable::Failed)?.into_iter().collect();
    let is_found = |file: &&&ManifestFile| found.get(&file.path) == Some(&file.bytes);
    let there = files.iter().filter(is_found).count();
    let is_there = is_same || there > 0;
    if is_there && there < files.len() {
        let lost = files.iter().find(|file| !is_found(file)).map_or("", |file| &file.path);
        return Err(NotAdoptable::Different(format!(
            "lacks files that were published, the first {lost}; bring them there, or run their \
             intervals again with the old pipeline"
        )));
    }
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let is_known = |path: &String| is_there && known.contains(path.as_str());
    let is_foreign = |path: &&String| *path != SUCCESS && !is_hidden(path) && !is_known(path);
    match found.keys().find(is_foreign) {
        Some(foreign) => Err(NotAdoptable::Different(format!(
            "holds {foreign}, which no manifest names; move away what is not the pipeline's"
        ))),
        None => Ok(is_there),
    }
}

/// What was published last at a table's location, or else under its name.
fn last_of<'h>(head: &'h Head, table: &OwnTable) -> Result<Option<&'h LastPublish>> {
    for (_, known) in head.all_tables() {
        if known.root()?.is_some_and(|root| is_same_location(&root, &table.root)) {
            return Ok(Some(known));
        }
    }
    Ok(head.tables.get(&table.name()))
}

fn files_at<'m>(
    manifests: &'m [Manifest],
    root: Option<&StoreLocation>,
) -> Result<Vec<&'m ManifestFile>> {
    let mut files = Vec::new();
    let Some(root) = root else { return Ok(files) };
    for table in manifests.iter().flat_map(|manifest| &manifest.tables) {
        if is_same_location(&StoreLocation::parse(&table.root)?, root) {
            files.extend(&table.files);
        }
    }
    Ok(files)
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with('.'))
}

/// Documents of a folder of the state, of all folders within it.
fn documents_in(state: &State, folder: &str) -> Result<Vec<String>> {
    let mut documents = Vec::new();
    for name in state.names_in(folder)? {
        let name = format!("{folder}/{name}");
        match [".json", ".sql", ".txt"].iter().any(|ending| name.ends_with(ending)) {
            true => documents.push(name),
            false => documents.extend(documents_in(state, &name)?),
        }
    }
    Ok(documents)
}

/// The digest of each manifest.
type Digests = BTreeMap<AttemptKey, String>;

/// A state that becomes another pipeline's.
struct Adoption<'a> {
    commit: &'a Commit,
    from: &'a Commit,
    moved: Vec<Moved>,
}

impl Adoption<'_> {
    /// Compares the pipeline's tables with what was published: which have moved, and what they
    /// hold.
    fn compare_tables(
        &mut self,
        tables: &[OwnTable],
        head: &Head,
        manifests: &[Manifest],
    ) -> Result<Vec<AdoptedTable>> {
        let mut adopted = Vec::new();
        for table in tables {
            let root = last_of(head, table)?.map_or(Ok(None), LastPublish::root)?;
            let files = files_at(manifests, root.as_ref())?;
            let is_same = root.as_ref().is_some_and(|root| is_same_location(root, &table.root));
            if !self.is_there(table, &files, is_same)? {
                continue;
            }
            let Some(root) = root else { continue };
            adopted.push(AdoptedTable {
                output: table.output.clone(),
                format: table.format.clone(),
                root: table.root.absolute(),
                moved_from: (!is_same).then(|| root.absolute()),
                files: files.len() as u64,
                rows: files.iter().map(|file| file.rows).sum(),
            });
            if !is_same {
                self.moved.push(Moved { name: table.name(), from: root, to: table.root.clone() });
            }
        }
        Ok(adopted)
    }

    /// Whether a table's root holds the files that were published; refuses one that holds others,
    /// or is another pipeline's.
    fn is_there(&self, table: &OwnTable, files: &[&ManifestFile], is_same: bool) -> Result<bool> {
        let (context, from) = (&self.commit.context, &self.from.pipeline);
        let refused = |what: String| {
            let (label, root) = (table.label(), &table.root);
            Error::config(format!("adopting `{from}`: {label}: {root} {what}"))
        };
        let is_there =
            has_published_files(context, table, files, is_same).map_err(|why| match why {
                NotAdoptable::Different(what) => refused(what),
                NotAdoptable::Failed(error) => error,
            })?;
        let other = RootContents::of(context, &table.root)?.pipeline;
        let is_of = |name: &String| name == from || *name == self.commit.pipeline;
        match other.filter(|other| !is_of(other)) {
            Some(other) => Err(refused(format!("is of pipeline `{other}`, as its {SUCCESS} says"))),
            None => Ok(is_there),
        }
    }

    /// Copies all manifests and what lies beside them.
    fn copy(&self) -> Result<Digests> {
        let mut digests = Digests::new();
        let folder = self.from.manifests_folder();
        for name in documents_in(&self.from.state, &folder)? {
            let Some(document) = self.from.state.read(&name)? else { continue };
            let below = name.strip_prefix(&folder).unwrap_or_default();
            let bytes = match name.ends_with(".json") {
                true => self.manifest(&document, &mut digests)?,
                false => self.beside(&name, &document),
            };
            self.commit.state.put(&format!("{}{below}", self.commit.manifests_folder()), &bytes)?;
        }
        Ok(digests)
    }

    /// A manifest, with the locations where its tables are now.
    fn manifest(&self, document: &Document, digests: &mut Digests) -> Result<Vec<u8>> {
        let mut manifest: Manifest = document.parse()?;
        let mut is_changed = false;
        for table in &mut manifest.tables {
            let root = StoreLocation::parse(&table.root)?;
            let moved = self.moved.iter().find(|moved| is_same_location(&moved.from, &root));
            let Some(moved) = moved else { continue };
            is_changed = true;
            table.root = moved.to.absolute();
            let Commit { context, state, .. } = self.commit;
            let environment = context.stores.environment();
            let (output, format) = (&table.output, &table.format);
            let listing = self.commit.table_document(&manifest.interval, output, format, LISTING);
            let listing = StoreLocation::parse(&state.display_of(&listing))?;
            let copied = table.files.iter().map(|file| file.path.as_str());
            let root = moved.to.hadoop_url(environment);
            table.distcp = plan_copy(&root, copied, &listing.hadoop_url(environment)).0;
        }
        let bytes = if is_changed { to_json(&manifest)? } else { document.bytes.clone() };
        let digest = hex::encode(Sha256::digest(&bytes));
        digests.insert(manifest.key(), digest);
        Ok(bytes)
    }

    /// A definition or listing, with the location where its table is now.
    fn beside(&self, name: &str, document: &Document) -> Vec<u8> {
        let table = name.rsplit('/').nth(1).unwrap_or_default();
        let Some(moved) = self.moved.iter().find(|moved| moved.name == table) else {
            return document.bytes.clone();
        };
        let environment = self.commit.context.stores.environment();
        let (from, to) = (moved.from.hadoop_url(environment), moved.to.hadoop_url(environment));
        String::from_utf8_lossy(&document.bytes).replace(&from, &to).into_bytes()
    }

    fn head(&self, mut head: Head, digests: &Digests, folder: &str) -> Result<Head> {
        head.folder = Some(folder.to_owned());
        for last in head.tables.values_mut() {
            if let Some(digest) = digests.get(&last.key()) {
                last.manifest_sha256.clone_from(digest);
            }
            let Some(layout) = &mut last.layout else { continue };
            let root = StoreLocation::parse(&layout.root)?;
            if let Some(moved) = self.moved.iter().find(|m| is_same_location(&m.from, &root)) {
                layout.root = moved.to.absolute();
            }
        }
        Ok(head)
    }

    /// Writes the markers of all tables that have one.
    fn put_markers(&self, head: &Head) -> Result<()> {
        for (name, last) in &head.tables {
            let Some(root) = last.root()? else { continue };
            let files = self.commit.open_root(&last.interval, &root, name.clone())?;
            if files.read_success()?.is_some() {
                files.put_success(&last.marker(&self.commit.pipeline)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::run_ids::IntervalId;
    use crate::commit::harness::{DAY, Harness, Table, harnesses, with_a_past};

    fn adopt_as(harness: &Harness, name: &str) -> Result<Adopted> {
        let table = |output: &str, format: &str| OwnTable {
            output: output.into(),
            format: format.into(),
            root: harness.location(output),
        };
        let request = AdoptRequest {
            tables: vec![table("events", "parquet"), table("sales", "tsv")],
            folder: "/pipelines/new".into(),
            from: harness.commit(),
            is_dry_run: false,
        };
        harness.commit().of_pipeline(name).adopt(&request)
    }

    #[test]
    fn all_of_a_state_goes_to_the_new_name_and_an_adoption_that_ended_early_is_completed() {
        for harness in harnesses() {
            let (harness, _) = with_a_past(harness);
            harness.publish(DAY, "a2", &["dt=1"]).unwrap();
            let before = harness.files("state/p");
            let adopted = adopt_as(&harness, "new").unwrap();
            assert_eq!((adopted.intervals, adopted.tables.len()), (2, 2));
            let is_document = |name: &String| name.starts_with("manifests/");
            let documents = |files: Table| {
                files.into_iter().filter(|(name, _)| is_document(name)).collect::<Vec<_>>()
            };
            assert_eq!(documents(harness.files("state/new")), documents(before.clone()));
            assert!(!harness.files("state/p").contains_key("head.json"));
            let own = harness.commit().of_pipeline("new");
            let verdicts = own.verify_tables(&IntervalId::new(DAY), None, false).unwrap();
            assert!(verdicts.iter().all(|verdict| verdict.is_right()), "{verdicts:#?}");

            // As if it had ended before the old documents went.
            for (name, text) in &before {
                harness.put("state/p", name, text);
            }
            assert_eq!(adopt_as(&harness, "new").unwrap(), adopted);
            assert!(!harness.files("state/p").contains_key("head.json"));
            assert_eq!(adopt_as(&harness, "new").unwrap_err().exit_code(), 64);
        }
    }
}
