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
use crate::commit::attempt::lock_publish;
use crate::commit::distcp::plan_copy;
use crate::commit::head::{Head, LastPublish, ReadHead};
use crate::commit::layout::is_same_place;
use crate::commit::manifest::{Manifest, ManifestFile, known_intervals, read_manifest};
use crate::commit::ownership::{Holding, OwnTable};
use crate::commit::recover::settle;
use crate::commit::state::{Document, State, to_json};
use crate::commit::supplies::CommitSupplies;
use crate::store::paths::{RunPaths, SUCCESS};

/// What is taken over, and by whom.
#[derive(Debug, Clone)]
pub struct AdoptRequest {
    /// The pipeline's tables.
    pub tables: Vec<OwnTable>,
    /// The folder that defines it.
    pub folder: String,
    /// The state with which they were published.
    pub from_state: State,
    /// The name under which they were published.
    pub from: String,
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

/// Takes over the tables of another name or state.
///
/// # Errors
/// `Error::Usage` if nothing was published there, `Error::Config` if the pipeline has published
/// already, or a table holds other files than its manifests say.
pub fn adopt(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    request: &AdoptRequest,
) -> Result<Adopted> {
    let from_state = &request.from_state;
    let from = RunPaths { pipeline: request.from.clone(), ..paths.clone() };
    if from_state.read(&from.head())?.is_none() {
        return Err(nothing_there(from_state, &from)?);
    }
    let is_same = from_state.display_of(&from.head()) == state.display_of(&paths.head());
    let _lock = lock_publish(state, paths)?;
    let _from_lock = if is_same { None } else { lock_publish(from_state, &from)? };
    for recovered in settled(supplies, from_state, &from)? {
        tracing::warn!("an earlier attempt ended early: {recovered}");
    }
    let own = ReadHead::of(state, paths)?;
    let head = ReadHead::of(from_state, &from)?.head;
    let is_done = !is_same && is_adopted(&own.head, &head);
    if !is_same && !is_done && !own.head.tables.is_empty() {
        return Err(Error::config(format!(
            "adopting `{}`: pipeline `{}` has published tables of its own ({}); only one that has \
             published nothing can take over others'",
            from.pipeline,
            paths.pipeline,
            state.display_of(&paths.head()),
        )));
    }
    let intervals = known_intervals(from_state, &from)?;
    let mut manifests = Vec::new();
    for interval in &intervals {
        manifests.extend(read_manifest(from_state, &from.of_interval(interval))?);
    }
    let (tables, moved) = look_at_tables(supplies, (paths, &from), request, &head, &manifests)?;
    let adopted = Adopted { intervals: manifests.len(), tables };
    if request.is_dry_run {
        return Ok(adopted);
    }
    if is_done {
        remove_documents(from_state, &from)?;
        return Ok(adopted);
    }
    let work = Adoption { supplies, state, paths, from_state, from: &from, moved: &moved };
    let digests = if is_same && moved.is_empty() { BTreeMap::new() } else { work.copy()? };
    let head = work.head(head, &digests, &request.folder)?;
    work.put_markers(&head)?;
    if !own.replace(state, paths, head)? {
        return Err(Error::Unavailable(format!(
            "adopting `{}`: pipeline `{}` has published meanwhile; retry",
            from.pipeline, paths.pipeline
        )));
    }
    if !is_same {
        remove_documents(from_state, &from)?;
    }
    Ok(adopted)
}

/// Whether an adoption that ended early has come as far as to the new head.
fn is_adopted(own: &Head, from: &Head) -> bool {
    let published = |head: &Head| -> Vec<(String, String)> {
        head.tables.values().map(|last| (last.interval.clone(), last.attempt.clone())).collect()
    };
    !own.tables.is_empty() && published(own) == published(from)
}

fn remove_documents(state: &State, paths: &RunPaths) -> Result<()> {
    state.remove([paths.head().as_str()])?;
    for folder in [paths.manifests(), paths.intents(), paths.all_pending()] {
        let names = documents_in(state, &folder)?;
        state.remove(names.iter().map(String::as_str))?;
    }
    Ok(())
}

fn nothing_there(state: &State, from: &RunPaths) -> Result<Error> {
    let mut known = Vec::new();
    for name in state.names_in("")? {
        let paths = RunPaths { pipeline: name.clone(), ..from.clone() };
        if state.read(&paths.head())?.is_some() {
            known.push(format!("`{name}`"));
        }
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Ok(Error::Usage(format!(
        "adopting `{}`: nothing was published under this name, as {} is not there; names that have \
         published with this state: {known} (`--from NAME`, `--from-state LOCATION`)",
        from.pipeline,
        state.display_of(&from.head()),
    )))
}

/// Completes what a crashed publish left; gives it in words.
fn settled(supplies: &CommitSupplies, state: &State, from: &RunPaths) -> Result<Vec<String>> {
    let mut recovered = Vec::new();
    settle(state, supplies, from, &mut recovered)?;
    Ok(recovered.into_iter().map(|recovered| format!("{recovered:?}")).collect())
}

/// Holds the pipeline's tables against what was published: which have moved, and what they hold.
fn look_at_tables(
    supplies: &CommitSupplies,
    (paths, from): (&RunPaths, &RunPaths),
    request: &AdoptRequest,
    head: &Head,
    manifests: &[Manifest],
) -> Result<(Vec<AdoptedTable>, Vec<Moved>)> {
    let (mut adopted, mut moved) = (Vec::new(), Vec::new());
    for table in &request.tables {
        let root = last_of(head, table)?.map_or(Ok(None), LastPublish::root)?;
        let files = files_at(manifests, root.as_ref())?;
        let is_same = root.as_ref().is_some_and(|root| is_same_place(root, &table.root));
        let refused = |what: String| {
            let (label, root) = (table.label(), &table.root);
            Error::config(format!("adopting `{}`: {label}: {root} {what}", from.pipeline))
        };
        let is_there =
            hold_against(supplies, table, &files, is_same).map_err(|what| match what {
                Held::Wrong(what) => refused(what),
                Held::Failed(error) => error,
            })?;
        let other = Holding::of(supplies, &table.root)?.pipeline;
        let is_of = |name: &String| *name == from.pipeline || *name == paths.pipeline;
        if let Some(other) = other.filter(|other| !is_of(other)) {
            return Err(refused(format!("is of pipeline `{other}`, as its {SUCCESS} says")));
        }
        let Some(root) = root.filter(|_| is_there) else { continue };
        adopted.push(AdoptedTable {
            output: table.output.clone(),
            format: table.format.clone(),
            root: table.root.absolute(),
            moved_from: (!is_same).then(|| root.absolute()),
            files: files.len() as u64,
            rows: files.iter().map(|file| file.rows).sum(),
        });
        if !is_same {
            moved.push(Moved { name: table.name(), from: root, to: table.root.clone() });
        }
    }
    Ok((adopted, moved))
}

/// Why a table cannot be taken over.
enum Held {
    /// It holds other files than were published.
    Wrong(String),
    /// It could not be looked at.
    Failed(Error),
}

/// Whether a table's root holds the files that were published; it may have none of them if they
/// were published elsewhere, and nothing else.
fn hold_against(
    supplies: &CommitSupplies,
    table: &OwnTable,
    files: &[&ManifestFile],
    is_same: bool,
) -> Result<bool, Held> {
    let listed = supplies.open(&table.root).and_then(|root| root.list_all());
    let found: BTreeMap<String, u64> = listed.map_err(Held::Failed)?.into_iter().collect();
    let is_found = |file: &&&ManifestFile| found.get(&file.path) == Some(&file.bytes);
    let there = files.iter().filter(is_found).count();
    let is_there = is_same || there > 0;
    if is_there && there < files.len() {
        let lost = files.iter().find(|file| !is_found(file)).map_or("", |file| &file.path);
        return Err(Held::Wrong(format!(
            "lacks files that were published, the first {lost}; bring them there, or run their \
             intervals again with the old pipeline"
        )));
    }
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let is_known = |path: &String| is_there && known.contains(path.as_str());
    let is_foreign = |path: &&String| *path != SUCCESS && !is_hidden(path) && !is_known(path);
    match found.keys().find(is_foreign) {
        Some(foreign) => Err(Held::Wrong(format!(
            "holds {foreign}, which no manifest names; move away what is not the pipeline's"
        ))),
        None => Ok(is_there),
    }
}

/// What was published last at a table's place, or else under its name.
fn last_of<'h>(head: &'h Head, table: &OwnTable) -> Result<Option<&'h LastPublish>> {
    for (_, known) in head.all_tables() {
        if known.root()?.is_some_and(|root| is_same_place(&root, &table.root)) {
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
        if is_same_place(&StoreLocation::parse(&table.root)?, root) {
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

/// The digest of each manifest, by interval and attempt.
type Digests = BTreeMap<(String, String), String>;

/// A state that becomes another pipeline's.
struct Adoption<'a> {
    supplies: &'a CommitSupplies,
    state: &'a State,
    paths: &'a RunPaths,
    from_state: &'a State,
    from: &'a RunPaths,
    moved: &'a [Moved],
}

impl Adoption<'_> {
    /// Copies all manifests and what lies beside them.
    fn copy(&self) -> Result<Digests> {
        let mut digests = Digests::new();
        let folder = self.from.manifests();
        for name in documents_in(self.from_state, &folder)? {
            let Some(document) = self.from_state.read(&name)? else { continue };
            let below = name.strip_prefix(&folder).unwrap_or_default();
            let bytes = match name.ends_with(".json") {
                true => self.manifest(&document, &mut digests)?,
                false => self.beside(&name, &document),
            };
            self.state.put(&format!("{}{below}", self.paths.manifests()), &bytes)?;
        }
        Ok(digests)
    }

    /// A manifest, with the places where its tables are now.
    fn manifest(&self, document: &Document, digests: &mut Digests) -> Result<Vec<u8>> {
        let mut manifest: Manifest = document.parse()?;
        let mut is_changed = false;
        for table in &mut manifest.tables {
            let root = StoreLocation::parse(&table.root)?;
            let moved = self.moved.iter().find(|moved| is_same_place(&moved.from, &root));
            let Some(moved) = moved else { continue };
            is_changed = true;
            table.root = moved.to.absolute();
            let environment = self.supplies.stores.environment();
            let paths = self.paths.of_interval(&manifest.interval);
            let listing = paths.beside_manifest(&table.output, &table.format, RunPaths::LISTING);
            let listing = StoreLocation::parse(&self.state.display_of(&listing))?;
            let copied = table.files.iter().map(|file| file.path.as_str());
            let root = moved.to.hadoop_url(environment);
            table.distcp = plan_copy(&root, copied, &listing.hadoop_url(environment)).0;
        }
        let bytes = if is_changed { to_json(&manifest)? } else { document.bytes.clone() };
        let digest = hex::encode(Sha256::digest(&bytes));
        digests.insert((manifest.interval, manifest.attempt), digest);
        Ok(bytes)
    }

    /// A definition or listing, with the place where its table is now.
    fn beside(&self, name: &str, document: &Document) -> Vec<u8> {
        let table = name.rsplit('/').nth(1).unwrap_or_default();
        let Some(moved) = self.moved.iter().find(|moved| moved.name == table) else {
            return document.bytes.clone();
        };
        let environment = self.supplies.stores.environment();
        let (from, to) = (moved.from.hadoop_url(environment), moved.to.hadoop_url(environment));
        String::from_utf8_lossy(&document.bytes).replace(&from, &to).into_bytes()
    }

    fn head(&self, mut head: Head, digests: &Digests, folder: &str) -> Result<Head> {
        head.folder = Some(folder.to_owned());
        for last in head.tables.values_mut() {
            if let Some(digest) = digests.get(&(last.interval.clone(), last.attempt.clone())) {
                last.manifest_sha256.clone_from(digest);
            }
            let Some(layout) = &mut last.layout else { continue };
            let root = StoreLocation::parse(&layout.root)?;
            if let Some(moved) = self.moved.iter().find(|m| is_same_place(&m.from, &root)) {
                layout.root = moved.to.absolute();
            }
        }
        Ok(head)
    }

    /// Writes the markers of all tables that have one.
    fn put_markers(&self, head: &Head) -> Result<()> {
        for (name, last) in &head.tables {
            let Some(root) = last.root()? else { continue };
            let place = self.supplies.open_root(self.state, self.paths, &root, name.clone())?;
            if place.read_success()?.is_some() {
                place.put_success(&last.marker(&self.paths.pipeline)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::house::{DAY, House, houses, paths, with_a_past};
    use crate::commit::verify::verify_tables;

    fn adopt_as(house: &House, name: &str) -> Result<Adopted> {
        let state = house.state();
        let own = RunPaths { pipeline: name.into(), ..paths("", "") };
        let table = |output: &str, format: &str| OwnTable {
            output: output.into(),
            format: format.into(),
            root: house.place(output),
        };
        let request = AdoptRequest {
            tables: vec![table("events", "parquet"), table("sales", "tsv")],
            folder: "/pipelines/new".into(),
            from_state: state.clone(),
            from: "p".into(),
            is_dry_run: false,
        };
        adopt(&house.supplies(), &state, &own, &request)
    }

    #[test]
    fn all_of_a_state_goes_to_the_new_name_and_an_adoption_that_ended_early_is_completed() {
        for house in houses() {
            let (house, _) = with_a_past(house);
            house.publish(DAY, "a2", &["dt=1"]).unwrap();
            let before = house.files("state/p");
            let adopted = adopt_as(&house, "new").unwrap();
            assert_eq!((adopted.intervals, adopted.tables.len()), (2, 2));
            let is_document = |name: &String| name.starts_with("manifests/");
            let documents = |files: crate::commit::house::Table| {
                files.into_iter().filter(|(name, _)| is_document(name)).collect::<Vec<_>>()
            };
            assert_eq!(documents(house.files("state/new")), documents(before.clone()));
            assert!(!house.files("state/p").contains_key("head.json"));
            let own = RunPaths { pipeline: "new".into(), ..paths(DAY, "") };
            let verdicts =
                verify_tables(&house.supplies(), &house.state(), &own, None, false).unwrap();
            assert!(verdicts.iter().all(|verdict| verdict.is_right()), "{verdicts:#?}");

            // As if it had ended before the old documents went.
            for (name, text) in &before {
                house.put("state/p", name, text);
            }
            assert_eq!(adopt_as(&house, "new").unwrap(), adopted);
            assert!(!house.files("state/p").contains_key("head.json"));
            assert_eq!(adopt_as(&house, "new").unwrap_err().exit_code(), 64);
        }
    }
}
