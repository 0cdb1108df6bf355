//! Whether a location holds what a manifest says: the tables themselves, or a copy of them.
//!
//! ```text
//! manifest   dt=1/part-00000-a2.parquet, 20 MiB, 7 rows, SHA-256 3f2a…
//! location   hdfs://nn/t/events/dt=1/part-00000-a2.parquet, 20 MiB      fine, by name and size
//!            hdfs://nn/t/events/dt=1/part-00000-a1.parquet              stale: its rows are twice
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::base::run_ids::IntervalId;
use crate::commit::contents::{Contents, measure};
use crate::commit::context::CommitContext;
use crate::commit::documents::{Head, LastPublish, Manifest, ManifestFile, ManifestTable};
use crate::commit::hand_off::{folder_at, handed_tables, past_files, published};
use crate::commit::head::ReadHead;
use crate::commit::history::PublishStatus;
use crate::commit::layout::is_same_location;
use crate::commit::pipeline_state::Commit;
use crate::sink::{SUCCESS, table_folder};
use crate::store::{BlockingStore, CopyTarget, Hdfs};

/// What was found of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableVerdict {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The folder that was looked at.
    #[serde(rename = "place")]
    pub location: String,
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
    /// Whether readers of the location see what the manifest says.
    pub fn is_right(&self) -> bool {
        let found = [&self.missing, &self.different, &self.stale];
        found.iter().all(|names| names.is_empty()) && self.success == "ok"
    }
}

/// A table, or a copy of it, that is looked at.
struct VerifiedTable {
    /// The folder's name, as a person would paste it.
    folder: String,
    files: VerifiedFiles,
}

/// How its files are read.
enum VerifiedFiles {
    Store(BlockingStore),
    Hdfs(Hdfs),
}

/// What one table is compared with.
struct Expected<'e> {
    table: &'e ManifestTable,
    /// Paths that were replaced.
    past: BTreeSet<&'e str>,
    /// Paths that any current manifest names.
    known: BTreeSet<&'e str>,
    /// SHA-256 of the manifest of the table's last publish.
    last_manifest: Option<&'e str>,
}

impl Commit {
    /// Compares the tables of an interval, or copies of them below `at`, with its manifest: by name
    /// and size, and if `is_deep` by SHA-256 and rows.
    ///
    /// # Errors
    /// `Error::Usage` if the interval is not published.
    pub fn verify_tables(
        &self,
        interval: &IntervalId,
        at: Option<&CopyTarget>,
        is_deep: bool,
    ) -> Result<Vec<TableVerdict>> {
        let manifest = published(self, interval)?;
        let past = past_files(self, &manifest)?;
        let current = current_files(self)?;
        let head = ReadHead::of(self)?.head;
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
            let verified = match at {
                Some(at) => {
                    VerifiedTable::of_copy(&self.context, &folder_at(at, &manifest, table)?)?
                }
                None => VerifiedTable::at_root(&self.context, &table.root)?,
            };
            verdicts.push(verify_table(verified, &expected, is_deep)?);
        }
        Ok(verdicts)
    }
}

/// The last publish of whatever output writes to a table's root now: outputs are renamed and moved.
fn last_publish_at<'h>(head: &'h Head, table: &ManifestTable) -> Result<Option<&'h LastPublish>> {
    let root = StoreLocation::parse(&table.root)?;
    for (_, last) in head.all_tables() {
        if last.root()?.is_some_and(|known| is_same_location(&known, &root)) {
            return Ok(Some(last));
        }
    }
    Ok(head.tables.get(&table_folder(&table.output, &table.format)))
}

/// Root and path of each file that a current manifest names.
fn current_files(commit: &Commit) -> Result<BTreeSet<(String, String)>> {
    let manifests = commit.list_publishes()?.into_iter().filter_map(|publish| {
        (publish.status == PublishStatus::Current).then_some(publish.manifest)
    });
    let files = |manifest: Manifest| {
        manifest.tables.into_iter().flat_map(|ManifestTable { root, files, .. }| {
            files.into_iter().map(move |file| (root.clone(), file.path))
        })
    };
    Ok(manifests.flat_map(files).collect())
}

fn verify_table(
    VerifiedTable { folder, files: at }: VerifiedTable,
    expected: &Expected<'_>,
    is_deep: bool,
) -> Result<TableVerdict> {
    let found: BTreeMap<String, u64> = at.list()?.into_iter().collect();
    let ManifestTable { output, format, files, .. } = expected.table;
    let (output, format) = (output.clone(), format.clone());
    let mut verdict = TableVerdict { output, format, location: folder, ..Default::default() };
    for file in files {
        let bytes = found.get(&file.path).copied();
        let contents = match bytes {
            Some(bytes) if is_deep && bytes == file.bytes => Some(at.measure(&file.path)?),
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
        (true, last) if at.marker_digest()?.as_deref() == last => "ok",
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

impl VerifiedTable {
    /// A table's own root.
    fn at_root(context: &CommitContext, root: &str) -> Result<Self> {
        let files = VerifiedFiles::Store(context.open(&StoreLocation::parse(root)?)?);
        Ok(VerifiedTable { folder: root.to_owned(), files })
    }

    /// The folder of a copy; what only Hadoop can open goes through its command.
    fn of_copy(context: &CommitContext, folder: &CopyTarget) -> Result<Self> {
        let files = match (folder.hdfs(), folder.store()) {
            (Some(hdfs), _) => VerifiedFiles::Hdfs(hdfs),
            (None, Some(store)) => VerifiedFiles::Store(context.open(store)?),
            (None, None) => return Err(Error::Bug(format!("nobody can open {folder}"))),
        };
        Ok(VerifiedTable { folder: folder.to_string(), files })
    }
}

impl VerifiedFiles {
    /// All files below it, with their sizes.
    fn list(&self) -> Result<Vec<(String, u64)>> {
        match self {
            VerifiedFiles::Store(store) => store.list_all(),
            VerifiedFiles::Hdfs(hdfs) => hdfs.list_all(),
        }
    }

    fn copy_to(&self, path: &str, writer: &mut dyn Write) -> Result<()> {
        let is_there = match self {
            VerifiedFiles::Store(store) => store.copy_to(path, writer)?,
            VerifiedFiles::Hdfs(hdfs) => hdfs.copy_to(path, writer).map(|()| true)?,
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
    use crate::commit::harness::{DAY, Harness, harnesses, with_a_past};
    use crate::store::faults::FaultRates;

    fn verify(harness: &Harness, is_deep: bool) -> Vec<TableVerdict> {
        harness.commit().verify_tables(&IntervalId::new(DAY), None, is_deep).unwrap()
    }

    #[test]
    fn a_table_is_right_as_it_was_published_and_wrong_once_something_is_missing_or_stale() {
        for harness in harnesses() {
            let (harness, _) = with_a_past(harness);
            let verdicts = verify(&harness, false);
            assert!(verdicts.iter().all(TableVerdict::is_right), "{verdicts:#?}");
            assert_eq!((verdicts[0].files, verdicts[0].rows), (2, 14));
            assert!(verdicts[0].unknown.is_empty(), "the neighbour's files are known");

            harness.publish(DAY, "a2", &["dt=1"]).unwrap();
            let old = "dt=2/part-00001-a1.parquet";
            harness.put("events", old, "back from the dead");
            harness.put("events", "dt=2/by-hand.parquet", "x");
            harness.put("events", "dt=1/part-00000-a2.parquet", "cut");
            harness.remove("sales", "part-00000-a2.tsv");
            harness.remove("sales", "_SUCCESS");
            let verdicts = verify(&harness, false);
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
        let harness = Harness::in_a_bucket(0, FaultRates::default());
        harness.publish(DAY, "a1", &["dt=1"]).unwrap();
        // The harness's files have no true hashes.
        let found = &verify(&harness, true)[0].different[0];
        assert!(found.contains("SHA-256") && found.ends_with("not 00"), "{found}");
        assert!(verify(&harness, false)[0].different.is_empty());
    }

    #[test]
    fn an_interval_that_is_not_published_is_wrong_usage() {
        let harness = Harness::on_disk();
        let asked = harness.commit().verify_tables(&IntervalId::new(DAY), None, false);
        assert_eq!(asked.unwrap_err().exit_code(), 64);
    }
}
