//! Whether a place holds what a manifest says: the tables themselves, or a copy of them.
//!
//! ```text
//! manifest   dt=1/part-00000-a2.parquet, 20 MiB, 7 rows, SHA-256 3f2a…
//! place      hdfs://nn/t/events/dt=1/part-00000-a2.parquet, 20 MiB      fine, by name and size
//!            hdfs://nn/t/events/dt=1/part-00000-a1.parquet              stale: its rows are twice
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::commit::contents::{Contents, measure};
use crate::commit::hand_off::{folder_at, handed_tables, not_published, past_files};
use crate::commit::head::{Head, LastPublish, ReadHead};
use crate::commit::history::list_publishes;
use crate::commit::layout::is_same_place;
use crate::commit::manifest::{Manifest, ManifestFile, ManifestTable, read_manifest};
use crate::commit::state::State;
use crate::commit::supplies::CommitSupplies;
use crate::store::paths::{RunPaths, SUCCESS};
use crate::store::{BlockingStore, CopyTarget, Hdfs};

/// What was found of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableVerdict {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The folder that was looked at.
    pub place: String,
    /// Files of the interval that are as the manifest says.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Rows of these, as counted in the files if it was `--deep`, else as the manifest says.
    pub rows: u64,
    /// Files of the manifest that are not there.
    pub missing: Vec<String>,
    /// Files that are not as the manifest says, and what they are.
    pub different: Vec<String>,
    /// Files that were replaced and are there nevertheless: their rows are read, too.
    pub stale: Vec<String>,
    /// Files that stand in no manifest of the pipeline; not ours to judge.
    pub unknown: Vec<String>,
    /// The marker: `ok`, `missing`, or `other` if it belongs to none of the current manifests.
    pub success: String,
}

impl TableVerdict {
    /// Whether readers of the place see what the manifest says.
    pub fn is_right(&self) -> bool {
        let found = [&self.missing, &self.different, &self.stale];
        found.iter().all(|names| names.is_empty()) && self.success == "ok"
    }
}

/// Where a copy of tables is.
enum Place {
    Store(BlockingStore),
    Hdfs(Hdfs),
}

/// What one table is held against.
struct Expected<'e> {
    table: &'e ManifestTable,
    /// Paths that were replaced.
    past: BTreeSet<&'e str>,
    /// Paths that any current manifest names.
    known: BTreeSet<&'e str>,
    /// SHA-256 of the manifest of the table's last publish.
    last_manifest: Option<&'e str>,
}

/// Compares the tables of an interval, or copies of them below `at`, with its manifest: by name and
/// size, and if `is_deep` by SHA-256 and rows.
///
/// # Errors
/// `Error::Usage` if the interval is not published.
pub fn verify_tables(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    at: Option<&CopyTarget>,
    is_deep: bool,
) -> Result<Vec<TableVerdict>> {
    let manifest = read_manifest(state, paths)?.ok_or_else(|| not_published(state, paths))?;
    let past = past_files(state, paths, &manifest)?;
    let current = current_files(state, paths)?;
    let head = ReadHead::of(state, paths)?.head;
    let mut verdicts = Vec::new();
    let handed = handed_tables(&manifest);
    // What an output wrote elsewhere before is not handed off.
    let tables = manifest.tables.iter().filter(|table| at.is_none() || handed.contains(table));
    for table in tables {
        let known = current.iter().filter(|(root, _)| *root == table.root);
        let known: BTreeSet<&str> = known.map(|(_, path)| path.as_str()).collect();
        let old = past.iter().filter(|(root, _)| *root == table.root);
        let past = old.map(|(_, path)| path.as_str()).filter(|path| !known.contains(path));
        let last_manifest =
            last_publish_at(&head, table)?.map(|last| last.manifest_sha256.as_str());
        let expected = Expected { table, past: past.collect(), known, last_manifest };
        let (folder, place) = match at {
            Some(at) => Place::of_copy(supplies, &folder_at(at, &manifest, table)?)?,
            None => Place::of_table(supplies, &table.root)?,
        };
        verdicts.push(verify_table(&place, &expected, folder, is_deep)?);
    }
    Ok(verdicts)
}

/// The last publish of whatever output writes to a table's root now: outputs are renamed and moved.
fn last_publish_at<'h>(head: &'h Head, table: &ManifestTable) -> Result<Option<&'h LastPublish>> {
    let root = StoreLocation::parse(&table.root)?;
    for (_, last) in head.all_tables() {
        if last.root()?.is_some_and(|known| is_same_place(&known, &root)) {
            return Ok(Some(last));
        }
    }
    Ok(head.tables.get(&RunPaths::table_folder(&table.output, &table.format)))
}

/// Root and path of each file that a current manifest names.
fn current_files(state: &State, paths: &RunPaths) -> Result<BTreeSet<(String, String)>> {
    let manifests = list_publishes(state, paths)?.into_iter().filter_map(|publish| {
        matches!(publish.standing, super::Standing::Current).then_some(publish.manifest)
    });
    let files = |manifest: Manifest| {
        manifest.tables.into_iter().flat_map(|ManifestTable { root, files, .. }| {
            files.into_iter().map(move |file| (root.clone(), file.path))
        })
    };
    Ok(manifests.flat_map(files).collect())
}

fn verify_table(
    place: &Place,
    expected: &Expected<'_>,
    folder: String,
    is_deep: bool,
) -> Result<TableVerdict> {
    let found: BTreeMap<String, u64> = place.list()?.into_iter().collect();
    let ManifestTable { output, format, files, .. } = expected.table;
    let (output, format) = (output.clone(), format.clone());
    let mut verdict = TableVerdict { output, format, place: folder, ..Default::default() };
    for file in files {
        let bytes = found.get(&file.path).copied();
        let contents = match bytes {
            Some(bytes) if is_deep && bytes == file.bytes => Some(place.measure(&file.path)?),
            _ => None,
        };
        judge(&mut verdict, file, bytes, contents);
    }
    for path in found.keys() {
        if expected.past.contains(path.as_str()) {
            verdict.stale.push(path.clone());
        } else if !expected.known.contains(path.as_str()) && path != SUCCESS {
            verdict.unknown.push(path.clone());
        }
    }
    verdict.success = match (found.contains_key(SUCCESS), expected.last_manifest) {
        (false, _) => "missing",
        (true, last) if place.marker_digest()?.as_deref() == last => "ok",
        (true, _) => "other",
    }
    .to_owned();
    Ok(verdict)
}

fn judge(
    verdict: &mut TableVerdict,
    file: &ManifestFile,
    bytes: Option<u64>,
    contents: Option<Contents>,
) {
    let ManifestFile { path, rows, sha256, .. } = file;
    let is = match (bytes, contents) {
        (None, _) => return verdict.missing.push(path.clone()),
        (Some(bytes), _) if bytes != file.bytes => format!("{bytes} bytes, not {}", file.bytes),
        (_, Some(contents)) if contents.sha256 != *sha256 => {
            format!("SHA-256 {}, not {sha256}", contents.sha256)
        }
        (_, Some(contents)) if contents.rows != *rows => {
            format!("{} rows, not {rows}", contents.rows)
        }
        _ => {
            verdict.files += 1;
            verdict.bytes += file.bytes;
            verdict.rows += rows;
            return;
        }
    };
    verdict.different.push(format!("{path}: {is}"));
}

impl Place {
    /// A table's own root, and its name.
    fn of_table(supplies: &CommitSupplies, root: &str) -> Result<(String, Self)> {
        let place = Place::Store(supplies.open(&StoreLocation::parse(root)?)?);
        Ok((root.to_owned(), place))
    }

    /// The folder of a copy, and its name; what only Hadoop can open goes through its command.
    fn of_copy(supplies: &CommitSupplies, folder: &CopyTarget) -> Result<(String, Self)> {
        let place = match (folder.hdfs(), folder.store()) {
            (Some(hdfs), _) => Place::Hdfs(hdfs),
            (None, Some(store)) => Place::Store(supplies.open(store)?),
            (None, None) => return Err(Error::Bug(format!("nobody can open {folder}"))),
        };
        Ok((folder.to_string(), place))
    }

    /// All files below it, with their sizes.
    fn list(&self) -> Result<Vec<(String, u64)>> {
        match self {
            Place::Store(store) => store.list_all(),
            Place::Hdfs(hdfs) => hdfs.list_all(),
        }
    }

    fn copy_to(&self, path: &str, writer: &mut dyn Write) -> Result<()> {
        let is_there = match self {
            Place::Store(store) => store.copy_to(path, writer)?,
            Place::Hdfs(hdfs) => hdfs.copy_to(path, writer).map(|()| true)?,
        };
        let gone = || Error::Unavailable(format!("reading {path}: it went while it was verified"));
        if is_there { Ok(()) } else { Err(gone()) }
    }

    /// The hash and the rows of a file.
    fn measure(&self, path: &str) -> Result<Contents> {
        measure(path, |writer| self.copy_to(path, writer))
    }

    /// The digest in the marker, if it holds one.
    fn marker_digest(&self) -> Result<Option<String>> {
        let mut marker = Vec::new();
        self.copy_to(SUCCESS, &mut marker)?;
        let marker: serde_json::Value = serde_json::from_slice(&marker).unwrap_or_default();
        Ok(marker["manifest_sha256"].as_str().map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::house::{DAY, House, houses, paths, with_a_past};
    use crate::store::faults::FaultRates;

    fn verify(house: &House, is_deep: bool) -> Vec<TableVerdict> {
        let supplies = house.supplies();
        verify_tables(&supplies, &house.state(), &paths(DAY, ""), None, is_deep).unwrap()
    }

    #[test]
    fn a_table_is_right_as_it_was_published_and_wrong_once_something_is_missing_or_stale() {
        for house in houses() {
            let (house, _) = with_a_past(house);
            let verdicts = verify(&house, false);
            assert!(verdicts.iter().all(TableVerdict::is_right), "{verdicts:#?}");
            assert_eq!((verdicts[0].files, verdicts[0].rows), (2, 14));
            assert!(verdicts[0].unknown.is_empty(), "the neighbour's files are known");

            house.publish(DAY, "a2", &["dt=1"]).unwrap();
            let old = "dt=2/part-00001-a1.parquet";
            house.put("events", old, "back from the dead");
            house.put("events", "dt=2/by-hand.parquet", "x");
            house.put("events", "dt=1/part-00000-a2.parquet", "cut");
            house.remove("sales", "part-00000-a2.tsv");
            house.remove("sales", "_SUCCESS");
            let verdicts = verify(&house, false);
            assert_eq!(verdicts[0].stale, [old]);
            assert_eq!(verdicts[0].unknown, ["dt=2/by-hand.parquet"]);
            let different = "dt=1/part-00000-a2.parquet: 3 bytes, not 14";
            assert_eq!(verdicts[0].different, [different]);
            assert_eq!(verdicts[0].success, "ok");
            assert_eq!(verdicts[1].missing, ["part-00000-a2.tsv"]);
            assert_eq!(verdicts[1].success, "missing");
        }
    }

    #[test]
    fn equal_size_is_not_enough_for_a_deep_look() {
        let house = House::in_a_bucket(0, FaultRates::default());
        house.publish(DAY, "a1", &["dt=1"]).unwrap();
        // The house's files have no true hashes.
        let found = &verify(&house, true)[0].different[0];
        assert!(found.contains("SHA-256") && found.ends_with("not 00"), "{found}");
        assert!(verify(&house, false)[0].different.is_empty());
    }

    #[test]
    fn an_interval_that_is_not_published_is_wrong_usage() {
        let house = House::on_disk();
        let asked = verify_tables(&house.supplies(), &house.state(), &paths(DAY, ""), None, false);
        assert_eq!(asked.unwrap_err().exit_code(), 64);
    }
}
