//! Whole runs against a store whose calls go wrong: whatever happens, the table is right in the
//! end, and nothing is left over.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path as Object;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::base::clock::TestClock;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::interval::Interval;
use crate::base::location::StoreLocation;
use crate::base::run_ids::AttemptId;
use crate::base::telemetry::Progress;
use crate::commit::{Commit, CommitContext, GcRequest};
use crate::pipeline::Pipeline;
use crate::scan::Shard;
use crate::store::Stores;
use crate::store::faults::{FaultRates, FaultyStore};

const SEEDS: u64 = 1000;

/// Attempts of which one must come through; most do at once.
const ATTEMPTS_MAX: u64 = 200;

/// In worlds without retries, an attempt ends with its first fault, wherever it is met.
const RARE: FaultRates = FaultRates { refused: 1, before: 1, after: 1, delay: 1, broken: 1 };

/// Rows of both objects, by their hive paths.
const EXPECTED: [(&str, &str); 3] =
    [("name=a", "1\t10\n4\t40\n"), ("name=b%2F%3A", "2\t20\n"), (DEFAULT, "3\t\\N\n5\t50\n")];
const DEFAULT: &str = "name=__HIVE_DEFAULT_PARTITION__";

const PIPELINE: &str = r#"
[source]
location = "s3://logs/raw"
path = "dt=%Y-%m-%d/"
[quarantine]
location = "s3://lake/quarantine"
[state]
location = "s3://lake/state"
[[output]]
name = "rows"
location = "s3://lake/rows"
formats = ["tsv", "parquet"]
partition_by = ["name"]
sort_by = ["id"]
[output.tsv]
compression = "none"
"#;

const CONTRACT: &str = r#"
[[column]]
name = "id"
type = "int64"
required = true
[[column]]
name = "name"
type = "string"
[[column]]
name = "amount"
type = "int64"
"#;

fn write_pipeline(folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("pipeline.toml", PIPELINE);
    write("contract.toml", CONTRACT);
    write("rows.sql", "SELECT id, amount, name FROM logs");
}

/// Two buckets that go wrong by a seed, and the runs on them.
struct World<'w> {
    pipeline: &'w Path,
    logs: FaultyStore,
    lake: FaultyStore,
    clock: TestClock,
    seed: u64,
}

impl<'w> World<'w> {
    fn new(pipeline: &'w Path, seed: u64) -> Self {
        let rates = match seed % 4 {
            0 => FaultRates::STORM,
            1 => RARE,
            _ => FaultRates::ALL,
        };
        let clock = TestClock::default();
        let store = |seed| FaultyStore::seeded(seed, rates, Arc::new(clock.clone()));
        let (logs, lake) = (store(seed), store(seed + 1_000_000));
        lake.is_like_s3.store(seed.is_multiple_of(2), std::sync::atomic::Ordering::Relaxed);
        World { pipeline, logs, lake, clock, seed }
    }

    async fn put_logs(&self) {
        let a = "{\"id\":1,\"name\":\"a\",\"amount\":10}\n\
                 {\"id\":2,\"name\":\"b/:\",\"amount\":20}\nbad\n";
        let b = "{\"id\":3}\n\n{\"id\":4,\"name\":\"a\",\"amount\":40}\n\
                 {\"id\":5,\"name\":\"\",\"amount\":50}\n";
        let objects = [("a.ndjson", a), ("b.ndjson", b)];
        for (name, text) in objects {
            let object = Object::from(format!("raw/dt=2026-11-21/{name}"));
            self.logs.contents().put(&object, text.into()).await.unwrap();
        }
    }

    fn stores(&self, attempt: u64) -> Stores {
        let clock = Arc::new(self.clock.clone());
        let retry_seconds = if self.seed % 4 == 1 { "0" } else { "60" };
        let variables = [("ASHIATO_RETRY_SECONDS".into(), retry_seconds.into())];
        let environment = Environment::new(variables.into_iter());
        Stores::new(environment, clock, self.seed * ATTEMPTS_MAX + attempt)
            .unwrap()
            .with_bucket("s3://logs", self.logs.clone())
            .with_bucket("s3://lake", self.lake.clone())
    }

    fn commit_context(&self, stores: Stores) -> CommitContext {
        let patience = Duration::from_secs(1);
        let failpoint = Arc::new(|_: &str| Ok(()));
        CommitContext { stores, runtime: Handle::current(), patience, failpoint }
    }

    async fn run(&self, attempt: u64) -> (RunResult, Result<()>) {
        let pipeline = Arc::new(Pipeline::load(self.pipeline, &Environment::default()).unwrap());
        let interval = Interval::of_date("2026-11-21", pipeline.time_zone).unwrap();
        let request = RunRequest {
            parameters: vec![],
            attempt: id(attempt),
            shard: Shard::WHOLE,
            allow_rejects: false,
            force: false,
            cores: 1,
            temporary: self.pipeline.join("spill"),
        };
        let plan = plan_run(pipeline, interval, request).unwrap();
        let stores = self.stores(attempt);
        let context = RunContext {
            commit: self.commit_context(stores.clone()),
            stores,
            progress: Arc::new(Progress::default()),
            cancel: CancellationToken::new(),
            publishing: Arc::default(),
            now: time(),
            failpoints: Default::default(),
        };
        let mut result = RunResult::default();
        let done = execute(&plan, &context, &mut result).await;
        (result, done)
    }

    /// Attempts until one comes through, as an orchestrator makes them; gives its result.
    async fn run_until_published(&self) -> (RunResult, u64) {
        for attempt in 0..ATTEMPTS_MAX {
            match self.run(attempt).await {
                (result, Ok(())) => return (result, attempt),
                (_, Err(Error::Unavailable(_))) => {}
                (_, Err(error)) => panic!("seed {}, attempt {attempt}: {error}", self.seed),
            }
        }
        panic!("seed {}: no attempt came through", self.seed);
    }

    /// The objects below a prefix, with their contents.
    async fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let contents = self.lake.contents();
        let prefix = Object::from(prefix);
        let listed: Vec<_> = contents.list(Some(&prefix)).try_collect().await.unwrap();
        let mut objects = BTreeMap::new();
        for object in listed {
            let bytes = contents.get(&object.location).await.unwrap().bytes().await.unwrap();
            let below = object.location.as_ref().strip_prefix(prefix.as_ref()).unwrap();
            objects.insert(below.trim_start_matches('/').to_owned(), bytes.to_vec());
        }
        objects
    }

    async fn collect_garbage(&self) {
        let age = chrono::Duration::days(365 * 20);
        self.lake.age_uploads(age);
        let request = GcRequest {
            roots: ["tsv", "parquet"]
                .map(|format| StoreLocation::parse(&format!("s3://lake/rows/{format}")).unwrap())
                .to_vec(),
            now: time() + chrono::Duration::days(30),
            age_min: chrono::Duration::hours(48),
            is_dry_run: false,
        };
        let context = self.commit_context(self.stores(0));
        let pipeline = self.pipeline.file_name().unwrap().to_string_lossy().into_owned();
        let collected = tokio::task::spawn_blocking(move || {
            let place = StoreLocation::parse("s3://lake/state").unwrap();
            // The store goes on going wrong.
            (0..ATTEMPTS_MAX).find_map(|_| {
                let commit = Commit::open(context.clone(), &place, &pipeline).ok()?;
                commit.collect_garbage(&request).ok()
            })
        });
        assert!(collected.await.unwrap().is_some(), "seed {}: gc never came through", self.seed);
    }
}

fn time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap()
}

fn id(attempt: u64) -> AttemptId {
    let time = uuid::Timestamp::from_unix(uuid::NoContext, 1_795_000_000 + attempt, 0);
    AttemptId::new(uuid::Uuid::new_v7(time).simple().to_string())
}

/// Gives how many attempts failed before one came through, and how many calls went wrong.
async fn check_world(world: &World<'_>) -> (u64, u64) {
    let seed = world.seed;
    world.put_logs().await;
    let (result, failed) = world.run_until_published().await;
    if result.status == Status::Published {
        let counts = [result.lines, result.decoded, result.rejected, result.blank];
        assert_eq!(counts, [7, 5, 1, 1], "seed {seed}");
    }
    world.collect_garbage().await;

    let tsv = world.objects("rows/tsv").await;
    let texts = tsv.iter().filter(|(name, _)| *name != "_SUCCESS").map(|(name, bytes)| {
        let folder = name.rsplit_once('/').unwrap().0;
        (folder.to_owned(), String::from_utf8(bytes.clone()).unwrap())
    });
    let texts: Vec<_> = texts.collect();
    let expected = EXPECTED.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(texts, expected, "seed {seed}");
    let parquet = world.objects("rows/parquet").await;
    assert_eq!(parquet.len(), 4, "seed {seed}: {:?}", parquet.keys());
    for objects in [&tsv, &parquet] {
        assert!(objects.contains_key("_SUCCESS"), "seed {seed}");
    }
    assert_eq!(world.lake.uploads_left(), 0, "seed {seed}");
    let state = world.objects("state").await;
    let left = state.keys().find(|name| name.contains("/pending/") || name.contains("/intents/"));
    assert_eq!(left, None, "seed {seed}");
    (failed, world.lake.faults_met() + world.logs.faults_met())
}

#[test]
fn over_a_thousand_seeds_of_faults_the_table_is_right_and_nothing_is_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("shop");
    std::fs::create_dir(&folder).unwrap();
    write_pipeline(&folder);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let folder = &folder;
            scope.spawn(move || {
                let runtime = Runtime::new().unwrap();
                let (mut failed, mut faults) = (0, 0);
                for seed in (worker..SEEDS).step_by(2) {
                    let met = runtime.block_on(check_world(&World::new(folder, seed)));
                    failed += met.0;
                    faults += met.1;
                }
                assert!(faults > SEEDS * 10, "faults were met: {faults}");
                assert!(worker == 0 || failed > SEEDS / 5, "attempts failed: {failed}");
            });
        }
    });
}
