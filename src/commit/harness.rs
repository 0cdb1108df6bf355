//! A test harness: a pipeline's state and tables, on disk or in a bucket, and attempts that publish
//! into them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path as Object;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::base::clock::TestClock;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result, Signal};
use crate::base::fs::names_in;
use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::recovered::Recovered;
use crate::commit::{
    Attempt, Commit, CommitContext, Manifest, PendingFile, Provenance, PublishOutcome,
    PublishRequest, StagedTable,
};
use crate::sink::{WrittenFile, table_file, table_folder};
use crate::store::faults::{FaultRates, FaultyStore};
use crate::store::{Store, Stores, Upload};

pub(super) const DAY: &str = "20261121T000000Z-20261122T000000Z";
pub(super) const NEXT_DAY: &str = "20261122T000000Z-20261123T000000Z";

/// State and two tables, `events` (Parquet, partitioned) and `sales` (TSV, not partitioned), on
/// disk or in a bucket.
pub(super) struct Harness {
    pub(super) folder: tempfile::TempDir,
    pub(super) bucket: Option<FaultyStore>,
    clock: TestClock,
}

/// What readers see: relative paths with contents, `_SUCCESS` left out.
pub(super) type Table = BTreeMap<String, String>;

pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

pub(super) fn harnesses() -> [Harness; 2] {
    [Harness::on_disk(), Harness::in_a_bucket(0, FaultRates::default())]
}

impl Harness {
    pub(super) fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Harness { folder, bucket: None, clock: TestClock::default() }
    }

    /// In a bucket whose calls go wrong.
    pub(super) fn in_a_bucket(seed: u64, rates: FaultRates) -> Self {
        let clock = TestClock::default();
        let bucket = FaultyStore::seeded(seed, rates, Arc::new(clock.clone()));
        Harness { folder: tempfile::tempdir().unwrap(), bucket: Some(bucket), clock }
    }

    pub(super) fn location(&self, name: &str) -> StoreLocation {
        let text = match self.bucket {
            Some(_) => format!("s3://lake/{name}"),
            None => self.folder.path().join(name).display().to_string(),
        };
        StoreLocation::parse(&text).unwrap()
    }

    pub(super) fn commit(&self) -> Commit {
        self.commit_that_ends_before(usize::MAX)
    }

    /// For an attempt that ends before its k-th act, as by a crash.
    pub(super) fn commit_that_ends_before(&self, k: usize) -> Commit {
        let stores = Stores::new(Environment::default(), Arc::new(self.clock.clone()), 7).unwrap();
        let stores = match &self.bucket {
            Some(bucket) => stores.with_bucket("s3://lake", bucket.clone()),
            None => stores,
        };
        let acts = AtomicUsize::new(0);
        let failpoint = move |act: &str| match acts.fetch_add(1, Relaxed) {
            number if number < k => Ok(()),
            _ => Err(Error::Stopped(Signal::Terminate).while_(act)),
        };
        let context = CommitContext {
            stores,
            runtime: runtime().handle().clone(),
            patience: Duration::from_secs(1),
            failpoint: Arc::new(failpoint),
        };
        Commit::open(context, &self.location("state"), "p").unwrap()
    }

    pub(super) fn begin(&self, interval: &str, attempt: &str) -> Result<(Attempt, Vec<Recovered>)> {
        self.begin_with(self.commit(), interval, attempt)
    }

    pub(super) fn begin_with(
        &self,
        commit: Commit,
        interval: &str,
        attempt: &str,
    ) -> Result<(Attempt, Vec<Recovered>)> {
        Attempt::begin(commit, key(interval, attempt), "0-of-1".into())
    }

    /// Writes one file a hive path for `events`, and one for `sales`, as the sink would, and leaves
    /// a pending record.
    pub(super) fn write(&self, attempt: &Attempt, hive_paths: &[&str]) -> PublishRequest {
        let id = &attempt.key.attempt;
        let write = |output: &str, format: &str, hive_path: &str, number: usize| {
            let name = table_file(number, id, format);
            let text = format!("{output} {hive_path} {id}");
            let bytes = text.len() as u64;
            let mut file = WrittenFile {
                output: output.into(),
                format: format.into(),
                hive_path: hive_path.into(),
                name,
                rows: 7,
                bytes,
                sha256: "00".into(),
                upload: None,
            };
            match attempt.staging_folder() {
                Some(folder) => {
                    let path = folder.join(table_folder(output, format)).join(file.path());
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, &text).unwrap();
                }
                None => file.upload = Some(upload(attempt, &self.location(output), &file, text)),
            }
            file
        };
        let events = hive_paths.iter().zip(0..);
        let events = events.map(|(path, n)| write("events", "parquet", path, n)).collect();
        let sales = match hive_paths {
            [] => vec![],
            _ => vec![write("sales", "tsv", "", 0)],
        };
        let table = |output: &str, format: &str, files| StagedTable {
            columns: Vec::new(),
            partition_by: Vec::new(),
            timestamps: String::new(),
            output: output.into(),
            format: format.into(),
            location: self.location(output),
            files,
            ddl: format!("CREATE {output};\n"),
            add_columns: None,
        };
        let tables = vec![table("events", "parquet", events), table("sales", "tsv", sales)];
        let files = tables.iter().flat_map(|table| {
            let root = table.location.absolute();
            table
                .files
                .iter()
                .map(move |file| PendingFile { root: root.clone(), file: file.clone() })
        });
        let record = attempt.put_pending(files.collect(), ()).unwrap();
        PublishRequest {
            interval_start: "start".into(),
            interval_end: "end".into(),
            published_at: "now".into(),
            provenance: Provenance::default(),
            inputs: vec![],
            is_listed_by_time: true,
            seen: record.seen,
            tables,
            folder: "/pipelines/p".into(),
            counts: serde_json::Value::Null,
        }
    }

    pub(super) fn publish(
        &self,
        interval: &str,
        attempt: &str,
        paths: &[&str],
    ) -> Result<PublishOutcome> {
        let (attempt, _) = self.begin(interval, attempt)?;
        attempt.publish(&self.write(&attempt, paths))
    }

    /// Every file or object by its path below `name`, with its contents.
    pub(super) fn files(&self, name: &str) -> Table {
        let mut files = Table::new();
        match &self.bucket {
            None => collect(&self.folder.path().join(name), "", &mut files),
            Some(bucket) => {
                let contents = bucket.contents();
                let listed: Vec<_> = runtime()
                    .block_on(contents.list(Some(&Object::from(name))).try_collect())
                    .unwrap();
                for object in listed {
                    let got = async { contents.get(&object.location).await?.bytes().await };
                    let text = String::from_utf8(runtime().block_on(got).unwrap().to_vec());
                    let below = object.location.as_ref().strip_prefix(name).unwrap();
                    files.insert(below.trim_start_matches('/').to_owned(), text.unwrap());
                }
            }
        }
        files
    }

    /// Writes a file or object by hand.
    pub(super) fn put(&self, root: &str, path: &str, text: &str) {
        match &self.bucket {
            None => {
                let file = self.folder.path().join(root).join(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            Some(bucket) => {
                let object = Object::parse(format!("{root}/{path}")).unwrap();
                let put = bucket.contents().put(&object, text.to_owned().into());
                runtime().block_on(async { put.await.map(drop) }).unwrap();
            }
        }
    }

    /// Removes a file or object by hand.
    pub(super) fn remove(&self, root: &str, path: &str) {
        match &self.bucket {
            None => fs::remove_file(self.folder.path().join(root).join(path)).unwrap(),
            Some(bucket) => {
                let object = Object::parse(format!("{root}/{path}")).unwrap();
                runtime().block_on(bucket.contents().delete(&object)).unwrap();
            }
        }
    }

    /// The contents of both tables, ordered; keys begin with the output's name.
    pub(super) fn tables(&self) -> Table {
        let of = |output: &str| {
            let files = self.files(output).into_iter().filter(|(name, _)| name != "_SUCCESS");
            files.map(|(name, text)| (format!("{output}/{name}"), text)).collect::<Vec<_>>()
        };
        [of("events"), of("sales")].into_iter().flatten().collect()
    }

    pub(super) fn has_success(&self, output: &str) -> bool {
        self.files(output).contains_key("_SUCCESS")
    }

    /// Nothing is under way and nothing is left over.
    pub(super) fn assert_settled(&self) {
        if self.bucket.is_none() {
            assert_no_empty_folder(&self.folder.path().join("events"));
        }
        for folder in ["intents", "pending", "staging"] {
            assert_eq!(self.files(&format!("state/p/{folder}")), Table::new());
        }
        assert_eq!(self.bucket.as_ref().map_or(0, FaultyStore::uploads_left), 0);
        assert!(self.has_success("events") && self.has_success("sales"));
    }

    pub(super) fn manifest(&self, interval: &str) -> Manifest {
        self.commit().read_manifest(&IntervalId::new(interval)).unwrap().unwrap()
    }
}

pub(super) fn upload(
    attempt: &Attempt,
    root: &StoreLocation,
    file: &WrittenFile,
    text: String,
) -> Upload {
    let store = Store::open(root, &attempt.commit.context.stores).unwrap();
    let object = store.path_of(&file.path()).unwrap();
    let uploads = store.uploads.unwrap();
    runtime().block_on(async {
        let id = uploads.create_multipart(&object).await.unwrap();
        let part = uploads.put_part(&object, &id, 0, text.into()).await.unwrap();
        Upload { id, parts: vec![part.content_id] }
    })
}

pub(super) fn key(interval: &str, attempt: &str) -> AttemptKey {
    AttemptKey::new(&IntervalId::new(interval), &AttemptId::new(attempt))
}

pub(super) fn collect(folder: &Path, prefix: &str, files: &mut Table) {
    for name in names_in(folder).unwrap() {
        let path = folder.join(&name);
        let key = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{key}/"), files);
        } else {
            files.insert(key, fs::read_to_string(path).unwrap());
        }
    }
}

pub(super) fn assert_no_empty_folder(folder: &Path) {
    for path in names_in(folder).unwrap().into_iter().map(|name| folder.join(name)) {
        if path.is_dir() {
            assert!(!names_in(&path).unwrap().is_empty(), "{} is empty", path.display());
            assert_no_empty_folder(&path);
        }
    }
}

/// The table contents that one publish alone makes.
pub(super) fn contents(attempt: &str, hive_paths: &[&str]) -> Table {
    let mut table = Table::new();
    for (n, path) in hive_paths.iter().enumerate() {
        let name = format!("events/{path}/part-{n:05}-{attempt}.parquet");
        table.insert(name, format!("events {path} {attempt}"));
    }
    if !hive_paths.is_empty() {
        table.insert(format!("sales/part-00000-{attempt}.tsv"), format!("sales  {attempt}"));
    }
    table
}

pub(super) fn with(others: &Table, own: Table) -> Table {
    others.clone().into_iter().chain(own).collect()
}

/// A harness with an old publish and a neighbour, and what the neighbour has.
pub(super) fn with_a_past(harness: Harness) -> (Harness, Table) {
    harness.publish(NEXT_DAY, "b1", &["dt=2", "dt=9"]).unwrap();
    harness.publish(DAY, "a1", &["dt=1", "dt=2"]).unwrap();
    (harness, contents("b1", &["dt=2", "dt=9"]))
}

pub(super) fn pending_of(request: &PublishRequest) -> Vec<PendingFile> {
    let tables = request.tables.iter();
    let files = tables.flat_map(|table| {
        let root = table.location.absolute();
        table.files.iter().map(move |file| PendingFile { root: root.clone(), file: file.clone() })
    });
    files.collect()
}
