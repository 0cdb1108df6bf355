//! An idempotent copy of an interval to another cluster, by the `hadoop` command.
//!
//! ```text
//! compare    the target's files with the manifest's      nothing to do? then nothing is touched
//! begin      _SUCCESS goes; so do files of killed copies and files of another size
//! copy       hadoop distcp, if files are missing
//! remove     files that were replaced, folders that are empty
//! verify     the target's files with the manifest's
//! end        _SUCCESS comes, if nothing was published meanwhile; else all of it once more
//! ```
//!
//! A copy that is killed leaves a target without `_SUCCESS`; the next one takes it from there, as
//! DistCp skips what has arrived. A table's folders are copied whole, so that files of other
//! intervals come along: if a publish was under way meanwhile, part of its files may have, and
//! those that it replaced are at the target still. So a copy is not whole before it has seen the
//! same state of all tables at its beginning and at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};
use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptId, IntervalId};
use crate::commit::distcp::DistCpForm;
use crate::commit::hand_off::plan_tables;
use crate::commit::hand_off_plan::{PlannedCopy, PlannedTable};
use crate::commit::head::ReadHead;
use crate::commit::history::PublishStatus;
use crate::commit::lock::CopyLock;
use crate::commit::pipeline_state::Commit;
use crate::sink::{SUCCESS, attempt_of_file};
use crate::store::{CopyTarget, Hadoop, HadoopListing};

/// How often a copy is begun anew because something was published meanwhile.
const ROUNDS_MAX: u32 = 5;
/// How long a publish that is under way is waited for, in steps.
const PUBLISH_WAIT_STEPS: u32 = 60;
const PUBLISH_WAIT_STEP: Duration = Duration::from_secs(1);

/// What DistCp calls a file until it has arrived.
const DISTCP_TEMPORARY: &str = ".distcp.tmp.";
/// What `hadoop fs -cp` calls a marker until it has arrived.
const MARKER_TEMPORARY: &str = "_SUCCESS._COPYING_";

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Whether anything had to be done.
    #[serde(skip)]
    pub is_changed: bool,
    /// The attempt that published what was copied.
    pub attempt: AttemptId,
    /// The folder that has the tables, as Hadoop names it.
    pub target: String,
    /// The tables.
    pub tables: Vec<CopiedTable>,
}

/// What the copy of one table came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CopiedTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The folder that has the table, as Hadoop names it.
    pub target: String,
    /// How many files the interval has there.
    pub files: usize,
    /// Bytes of these.
    pub bytes: u64,
    /// How many of them were not there before.
    pub copied_files: usize,
    /// Bytes of these.
    pub copied_bytes: u64,
    /// How many files were removed: replaced ones, and what killed copies left.
    pub removed_files: usize,
    /// How many empty folders were removed.
    pub removed_folders: usize,
    /// The script that defines the table at the target, and the interval's partitions.
    pub definition: Option<String>,
    /// The script that adds the interval's new columns to a table that lacks them, if it had any.
    pub add_columns: Option<String>,
}

impl Commit {
    /// Brings the tables of an interval to a target, to the last file and the marker.
    ///
    /// # Errors
    /// `Error::Usage` if the interval is not published, `Error::Config` for a target of no use or a
    /// missing `hadoop`, `Error::Data` if the tables themselves are not whole, `Error::Unavailable`
    /// for what a retry may mend; the target has no marker then, unless nothing had to be done.
    pub fn copy_interval(
        &self,
        interval: &IntervalId,
        target: &CopyTarget,
        hadoop: &Hadoop,
    ) -> Result<Copied> {
        let id = hex::encode(&Sha256::digest(target.url())[..8]);
        let _lock = CopyLock::acquire(self, &id, || {
            hadoop.check_stop()?;
            self.context.sleep(PUBLISH_WAIT_STEP);
            Ok(())
        })?;
        Copy { commit: self, interval, hadoop }.to(target)
    }
}

struct Copy<'c> {
    commit: &'c Commit,
    interval: &'c IntervalId,
    hadoop: &'c Hadoop,
}

/// Rows of files that stayed would be twice.
fn require_removed(target: &str, stale: &[String]) -> Result<()> {
    let Some(first) = stale.first() else { return Ok(()) };
    Err(Error::Unavailable(format!(
        "copying to {target}: {} files that reruns have replaced are still there, the first \
         {first}, though `hadoop fs -rm` ended well; retry",
        stale.len()
    )))
}

/// How a target differs from what it should hold.
#[derive(Debug, Default)]
struct Differences {
    missing: Vec<String>,
    /// Of another size: cut off by a program that does not rename.
    wrong: Vec<String>,
    stale: Vec<String>,
    temporary: Vec<String>,
    empty_folders: Vec<String>,
}

impl Differences {
    fn is_none(&self) -> bool {
        let all = [&self.missing, &self.wrong, &self.stale, &self.temporary, &self.empty_folders];
        all.iter().all(|names| names.is_empty())
    }
}

impl Copy<'_> {
    /// Copies until nothing was published meanwhile.
    fn to(&self, target: &CopyTarget) -> Result<Copied> {
        let mut done: BTreeMap<String, CopiedTable> = BTreeMap::new();
        let mut is_changed = false;
        for _ in 0..ROUNDS_MAX {
            let before = self.settled_sequence()?;
            let planned = plan_tables(self.commit, self.interval, target)?;
            let markers = self.read_markers(&planned)?;
            for table in &planned.tables {
                is_changed |= self.copy_table(table, &mut done)?;
            }
            if self.sequence()? != before {
                tracing::info!("something was published while it was copied; looking again");
                continue;
            }
            for (table, marker) in planned.tables.iter().zip(&markers) {
                is_changed |= self.put_marker(table, marker)?;
            }
            if self.sequence()? == before {
                let targets = planned.tables.iter().map(|table| &table.hand_off.target);
                let tables = targets.filter_map(|target| done.remove(target)).collect();
                let (attempt, target) = (planned.manifest.attempt, target.to_string());
                return Ok(Copied { is_changed, attempt, target, tables });
            }
            for table in &planned.tables {
                self.remove_marker(table)?;
            }
        }
        Err(Error::Unavailable(format!(
            "copying interval {} of pipeline `{}` to {target}: something was published each of \
             {ROUNDS_MAX} times while it was copied; what has arrived stays, without _SUCCESS; \
             retry",
            self.interval, self.commit.pipeline
        )))
    }

    fn sequence(&self) -> Result<u64> {
        Ok(ReadHead::of(self.commit)?.head.sequence)
    }

    /// The tables' state, once no publish is under way.
    fn settled_sequence(&self) -> Result<u64> {
        for _ in 0..PUBLISH_WAIT_STEPS {
            let head = ReadHead::of(self.commit)?.head;
            if head.publishing.is_none() {
                return Ok(head.sequence);
            }
            self.hadoop.check_stop()?;
            self.commit.context.sleep(PUBLISH_WAIT_STEP);
        }
        Err(Error::Unavailable(format!(
            "copying interval {} of pipeline `{}`: a publish has been under way for a minute; if \
             it was killed, the next run of any interval completes it; then retry",
            self.interval, self.commit.pipeline
        )))
    }

    /// The tables' own markers: what has none is not whole, and no copy of it could be.
    fn read_markers(&self, planned: &PlannedCopy) -> Result<Vec<Vec<u8>>> {
        let read = |table: &PlannedTable| {
            let files = self.commit.open_table(self.interval, &table.table)?;
            files.read_success()?.ok_or_else(|| {
                Error::Data(format!(
                    "copying {}: {SUCCESS} is missing there, so it may not be whole; run the \
                     interval again, which puts it right",
                    table.table.root
                ))
            })
        };
        planned.tables.iter().map(read).collect()
    }

    /// Makes a target's files right; says whether anything had to be done.
    fn copy_table(
        &self,
        planned: &PlannedTable,
        done: &mut BTreeMap<String, CopiedTable>,
    ) -> Result<bool> {
        let hand_off = &planned.hand_off;
        let target = hand_off.target.as_str();
        let table = format!("{}, {}", hand_off.output, hand_off.format);
        let found = self.compare(planned, &self.hadoop.list(target)?)?;
        let report = done.entry(target.to_owned()).or_default();
        describe(report, planned);
        if found.is_none() {
            tracing::info!(table, target, files = hand_off.files, "all files are there");
            return Ok(false);
        }
        self.remove_marker(planned)?;
        self.hadoop.run(&["fs", "-mkdir", "-p", folder_argument(target)])?;
        self.remove(target, &[&found.temporary[..], &found.wrong[..]].concat())?;
        let new: Vec<&String> = found.missing.iter().chain(&found.wrong).collect();
        let bytes: u64 = new.iter().filter_map(|path| planned.files.get(*path)).sum();
        if !new.is_empty() {
            let (files, of) = (new.len(), hand_off.files);
            tracing::info!(table, target, files, of, bytes, "copying");
            self.distcp(planned)?;
        }
        let left = self.compare(planned, &self.hadoop.list(target)?)?;
        self.remove(target, &[&left.stale[..], &left.temporary[..]].concat())?;
        let left_folders = match left.stale.is_empty() && left.temporary.is_empty() {
            true => left.empty_folders,
            false => {
                let after = self.compare(planned, &self.hadoop.list(target)?)?;
                require_removed(target, &after.stale)?;
                after.empty_folders
            }
        };
        self.remove_folders(target, &left_folders);
        if let Some(first) = left.missing.iter().chain(&left.wrong).next() {
            return Err(Error::Unavailable(format!(
                "copying {} to {target}: {} of {} files did not arrive whole, the first {first}, \
                 though `hadoop distcp` ended well; `ashiato verify` tells whether the table \
                 itself has them; retry",
                planned.table.root,
                left.missing.len() + left.wrong.len(),
                hand_off.files,
            )));
        }
        report.copied_files += new.len();
        report.copied_bytes += bytes;
        let removed = [&found.temporary, &found.wrong, &left.stale, &left.temporary];
        report.removed_files += removed.iter().map(|names| names.len()).sum::<usize>();
        report.removed_folders += left_folders.len();
        Ok(true)
    }

    fn distcp(&self, planned: &PlannedTable) -> Result<()> {
        let hand_off = &planned.hand_off;
        let Some(listing) = &hand_off.listing else { return Ok(()) };
        let mut arguments = vec!["distcp"];
        arguments.extend((hand_off.form == DistCpForm::Root).then_some("-update"));
        arguments.extend(["-f", listing, folder_argument(&hand_off.target)]);
        self.hadoop.run(&arguments)?;
        if hand_off.form == DistCpForm::Root {
            // The root's marker has come along.
            self.remove_marker(planned)?;
        }
        Ok(())
    }

    fn remove(&self, target: &str, paths: &[String]) -> Result<()> {
        let urls: Vec<String> = paths.iter().map(|path| format!("{target}/{path}")).collect();
        self.hadoop.run_on_all(&["fs", "-rm", "-f"], &urls)
    }

    /// An empty folder does no harm, so that one which stays is no failure.
    fn remove_folders(&self, target: &str, paths: &[String]) {
        let urls: Vec<String> = paths.iter().map(|path| format!("{target}/{path}")).collect();
        let command = ["fs", "-rmdir", "--ignore-fail-on-non-empty"];
        if let Err(error) = self.hadoop.run_on_all(&command, &urls) {
            tracing::warn!("empty folders stay at {target}: {error}");
        }
    }

    fn remove_marker(&self, planned: &PlannedTable) -> Result<()> {
        let marker = format!("{}/{SUCCESS}", planned.hand_off.target);
        self.hadoop.run(&["fs", "-rm", "-f", &marker]).map(|_| ())
    }

    /// Says that a target is whole; says whether that was new.
    fn put_marker(&self, planned: &PlannedTable, marker: &[u8]) -> Result<bool> {
        let url = format!("{}/{SUCCESS}", planned.hand_off.target);
        if self.hadoop.read(&url)?.as_deref() == Some(marker) {
            return Ok(false);
        }
        let target = folder_argument(&planned.hand_off.target);
        // A table without rows may have had no folder yet.
        self.hadoop.run(&["fs", "-mkdir", "-p", target])?;
        let source = format!("{}/{SUCCESS}", planned.source);
        self.hadoop.run(&["fs", "-cp", "-f", &source, &url])?;
        if self.hadoop.read(&url)?.as_deref() == Some(marker) {
            return Ok(true);
        }
        self.remove_marker(planned)?;
        Err(Error::Unavailable(format!(
            "copying {source} to {url}: it is not there as it was, though `hadoop fs -cp` ended \
             well; retry"
        )))
    }

    fn compare(&self, planned: &PlannedTable, found: &HadoopListing) -> Result<Differences> {
        let mut differences = Differences::default();
        for (path, bytes) in &planned.files {
            match found.files.get(path) {
                None => differences.missing.push(path.clone()),
                Some(found) if found != bytes => differences.wrong.push(path.clone()),
                Some(_) => {}
            }
        }
        let mut others = Vec::new();
        for path in found.files.keys().filter(|path| !planned.files.contains_key(*path)) {
            let name = path.rsplit('/').next().unwrap_or(path);
            if name.starts_with(DISTCP_TEMPORARY) || path == MARKER_TEMPORARY {
                differences.temporary.push(path.clone());
            } else if planned.stale.contains(path) {
                differences.stale.push(path.clone());
            } else if attempt_of_file(name).is_some() && is_copied_along(planned, path) {
                others.push(path);
            }
        }
        differences.stale.extend(self.replaced_since(planned, &others)?);
        differences.empty_folders = empty_folders(found);
        Ok(differences)
    }

    /// Of files of other intervals, those that are replaced: their folder was copied, and the files
    /// that replaced them with it.
    fn replaced_since(&self, planned: &PlannedTable, paths: &[&String]) -> Result<Vec<String>> {
        let root = &planned.table.root;
        let folders: BTreeSet<&str> =
            paths.iter().filter_map(|path| Some(path.split_once('/')?.0)).collect();
        let mut at_source = BTreeSet::new();
        for folder in folders {
            let location = StoreLocation::parse(&format!("{root}/{folder}"))?;
            let files = self.commit.context.open(&location)?.list_all()?.into_iter();
            at_source.extend(files.map(|(path, _)| format!("{folder}/{path}")));
        }
        let gone: Vec<&String> =
            paths.iter().copied().filter(|path| !at_source.contains(*path)).collect();
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        // Files that no publish knows are not ours to judge.
        let (mut past, mut current) = (BTreeSet::new(), BTreeSet::new());
        for publish in self.commit.list_publishes()? {
            let files = match publish.status {
                PublishStatus::Current => &mut current,
                PublishStatus::Replaced => &mut past,
            };
            let own = publish.manifest.tables.into_iter().filter(|table| table.root == *root);
            files.extend(own.flat_map(|table| table.files).map(|file| file.path));
        }
        let is_replaced = |path: &&String| past.contains(*path) && !current.contains(*path);
        Ok(gone.into_iter().filter(is_replaced).cloned().collect())
    }
}

/// Whether a file lies in a folder that is copied as a whole.
fn is_copied_along(planned: &PlannedTable, path: &str) -> bool {
    let folder = |path: &str| path.split_once('/').map(|(folder, _)| folder.to_owned());
    match planned.hand_off.form {
        DistCpForm::Root => path.contains('/'),
        DistCpForm::Folders => {
            let own = planned.files.keys().map(|own| folder(own));
            folder(path).is_some_and(|of| own.flatten().any(|own| own == of))
        }
        DistCpForm::Files | DistCpForm::Nothing => false,
    }
}

/// Folders of partitions that hold no file, each before its parents.
fn empty_folders(found: &HadoopListing) -> Vec<String> {
    let is_empty = |folder: &&String| {
        let below = format!("{folder}/");
        let first = found.files.range(below.clone()..).next();
        first.is_none_or(|(path, _)| !path.starts_with(&below))
    };
    let is_partition = |folder: &&String| folder.split('/').all(|name| name.contains('='));
    let folders = found.folders.iter().rev();
    folders.filter(is_partition).filter(is_empty).cloned().collect()
}

/// The root of a file system is called `/`, though nothing stands before a name below it.
fn folder_argument(url: &str) -> &str {
    if url.is_empty() { "/" } else { url }
}

fn describe(report: &mut CopiedTable, planned: &PlannedTable) {
    let hand_off = &planned.hand_off;
    report.output.clone_from(&hand_off.output);
    report.format.clone_from(&hand_off.format);
    report.target.clone_from(&hand_off.target);
    report.files = hand_off.files;
    report.bytes = planned.files.values().sum();
    report.definition.clone_from(&hand_off.definition);
    report.add_columns.clone_from(&hand_off.add_columns);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_folders_of_partitions_are_removed_and_each_before_its_parents() {
        let files = ["dt=1/s=a/p", "dt=10/p", "dt=2 x/p"].map(|path| (path.to_owned(), 1));
        let folders = ["dt=1", "dt=1/s=a", "dt=1/s=b", "dt=2", "dt=2/s=a", "_tmp", "_tmp/dt=3"];
        let folders = folders.map(str::to_owned).into();
        let found = HadoopListing { files: files.into(), folders };
        assert_eq!(empty_folders(&found), ["dt=2/s=a", "dt=2", "dt=1/s=b"]);
    }
}
