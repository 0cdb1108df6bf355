//! Real servers on loopback: what object stores promise holds through our decorators, and runs
//! whose places are all in a store make the tables that runs on disk make.

use ashiato::internals::Store;
use ashiato::internals::StoreLocation;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStoreExt, PutMode, PutOptions, UpdateVersion,
};
use tokio::runtime::Runtime;

use crate::support::servers::{self, Server};
use crate::support::{Project, finish};

fn open(server: &Server, folder: &str) -> Store {
    let place = format!("{}/{folder}", server.bucket);
    Store::open(&StoreLocation::parse(&place).unwrap(), &server.stores()).unwrap()
}

fn mode(mode: PutMode) -> PutOptions {
    PutOptions::from(mode)
}

async fn conditions_hold(store: &Store) {
    let path = store.path_of("conditions").unwrap();
    let put = |bytes: &'static str, options| store.store.put_opts(&path, bytes.into(), options);
    let first = put("1", mode(PutMode::Create)).await.unwrap();
    let refused = put("2", mode(PutMode::Create)).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused}");
    let version = |put: object_store::PutResult| UpdateVersion::from(put);
    let second = put("2", mode(PutMode::Update(version(first.clone())))).await.unwrap();
    let refused = put("3", mode(PutMode::Update(version(first)))).await.unwrap_err();
    assert!(matches!(refused, Error::Precondition { .. }), "{refused}");
    let got = store.store.get(&path).await.unwrap();
    let read = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
    assert_eq!(got.bytes().await.unwrap(), "2");
    put("4", mode(PutMode::Update(read))).await.unwrap();
    assert_ne!(second.e_tag, store.store.head(&path).await.unwrap().e_tag);
    store.store.delete(&path).await.unwrap();
    let gone = store.store.get(&path).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
}

async fn uploads_go_by_their_ids(store: &Store, other: &Store) {
    let path = store.path_of("uploads/dt=1/s=a%2Fb/part").unwrap();
    let (mine, theirs) = (store.uploads.as_ref().unwrap(), other.uploads.as_ref().unwrap());
    let id = mine.create_multipart(&path).await.unwrap();
    let large = vec![b'x'; 5 << 20];
    let parts = [
        mine.put_part(&path, &id, 0, large.clone().into()).await.unwrap(),
        theirs.put_part(&path, &id, 1, "end".into()).await.unwrap(),
    ];
    assert!(matches!(store.store.head(&path).await, Err(Error::NotFound { .. })), "invisible");
    if let Some(open) = &store.open_uploads {
        let listed = open.list_uploads(&store.path_of("uploads").unwrap()).await.unwrap();
        assert_eq!((listed.len(), &listed[0].path, &listed[0].id), (1, &path, &id));
        // moto says 2010 of all.
        assert!(listed[0].begun <= chrono::Utc::now(), "{}", listed[0].begun);
        let elsewhere = store.path_of("upload").unwrap();
        assert!(open.list_uploads(&elsewhere).await.unwrap().is_empty());
    }
    theirs.complete_multipart(&path, &id, parts.to_vec()).await.unwrap();
    let whole = store.store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len(), large.len() + 3);
    // It cannot bring back what was deleted since.
    store.store.delete(&path).await.unwrap();
    let again = mine.complete_multipart(&path, &id, parts.to_vec()).await.unwrap_err();
    assert!(matches!(again, Error::NotFound { .. }), "{again}");
    assert!(matches!(store.store.head(&path).await, Err(Error::NotFound { .. })));

    let id = mine.create_multipart(&path).await.unwrap();
    let part = mine.put_part(&path, &id, 0, "x".into()).await.unwrap();
    theirs.abort_multipart(&path, &id).await.unwrap();
    if let Some(open) = &store.open_uploads {
        assert!(open.list_uploads(&store.prefix).await.unwrap().is_empty());
        let late = mine.complete_multipart(&path, &id, vec![part]).await.unwrap_err();
        assert!(matches!(late, Error::NotFound { .. }), "{late}");
    }
}

async fn names_and_listings_are_as_they_were_written(store: &Store) {
    let names = [
        "list/a b",
        "list/dt=2026-11-21/p+x",
        "list/dt=2026-11-21/s=a%2Fb/p",
        "list/dt=2026-11-22/日本",
        "list/é&'~",
        "list/z/1",
        "list/z/2",
        "list/z/3",
        "list/z/4",
    ];
    for name in names {
        store.store.put(&store.path_of(name).unwrap(), name.into()).await.unwrap();
    }
    let folder = store.path_of("list").unwrap();
    let below =
        |path: &Path| path.as_ref().strip_prefix(store.prefix.as_ref()).unwrap()[1..].to_owned();
    let mut all: Vec<String> = store
        .store
        .list(Some(&folder))
        .map_ok(|object| below(&object.location))
        .try_collect()
        .await
        .unwrap();
    all.sort();
    let mut expected = names.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(all, expected);
    for name in names {
        let got = store.store.get(&store.path_of(name).unwrap()).await.unwrap();
        assert_eq!(got.bytes().await.unwrap(), name);
    }
    let behind = store.path_of("list/z/2").unwrap();
    let behind: Vec<String> = store
        .store
        .list_with_offset(Some(&folder), &behind)
        .map_ok(|object| below(&object.location))
        .try_collect()
        .await
        .unwrap();
    assert!(behind.contains(&"list/z/3".to_owned()) && !behind.contains(&"list/z/2".to_owned()));
    let level = store.store.list_with_delimiter(Some(&folder)).await.unwrap();
    let mut folders: Vec<_> = level.common_prefixes.iter().map(below).collect();
    folders.sort();
    assert_eq!(folders, ["list/dt=2026-11-21", "list/dt=2026-11-22", "list/z"]);
    assert_eq!(level.objects.len(), 2);
}

async fn parts_of_objects_are_read(store: &Store) {
    let path = store.path_of("ranges").unwrap();
    let put = store.store.put(&path, "0123456789".into()).await.unwrap();
    let range = |range| GetOptions { range: Some(range), ..GetOptions::default() };
    for (asked, expected) in [
        (GetRange::Bounded(2..5), "234"),
        (GetRange::Offset(7), "789"),
        (GetRange::Bounded(8..99), "89"),
    ] {
        let got = store.store.get_opts(&path, range(asked)).await.unwrap();
        assert_eq!(got.bytes().await.unwrap(), expected);
    }
    let same = GetOptions { if_match: put.e_tag.clone(), ..GetOptions::default() };
    store.store.get_opts(&path, same).await.unwrap();
    let other = GetOptions { if_match: Some("\"other\"".into()), ..GetOptions::default() };
    let refused = store.store.get_opts(&path, other).await.unwrap_err();
    assert!(matches!(refused, Error::Precondition { .. }), "{refused}");
}

fn keeps_the_promises_of_a_store(server: &Server) {
    let (store, other) = (open(server, "behaviours"), open(server, "behaviours"));
    Runtime::new().unwrap().block_on(async {
        conditions_hold(&store).await;
        uploads_go_by_their_ids(&store, &other).await;
        names_and_listings_are_as_they_were_written(&store).await;
        parts_of_objects_are_read(&store).await;
    });
}

const OUTPUT: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv", "parquet"]
partition_by = ["name"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
"#;

const LOGS: &str =
    "{\"id\":1,\"name\":\"a/b: c%\"}\n{\"id\":2,\"name\":\"日本\"}\nbad\n{\"id\":3}\n";

/// A run whose source, tables, quarantine and state are all in the store.
fn runs_wholly_in_a_store(server: &Server) {
    let runtime = Runtime::new().unwrap();
    let local = Project::new().pipeline(OUTPUT).logs("a.ndjson", LOGS);
    local.run().published();
    let project = Project::new().pipeline(OUTPUT);
    runtime.block_on(server.put("raw/dt=2026-11-21/a.ndjson", LOGS.as_bytes()));
    let ashiato = |subcommand: &str, arguments: &[&str]| {
        let mut command = project.command(subcommand, arguments);
        command.env("SOURCE", format!("{}/raw", server.bucket));
        command.env("OUT", format!("{}/out", server.bucket));
        finish(server.set(&mut command))
    };
    let day = ["--date", "2026-11-21"];
    let result = ashiato("run", &day).published();
    let counts = ["lines", "decoded", "rejected"].map(|key| result[key].as_u64().unwrap());
    assert_eq!(counts, [4, 3, 1]);
    assert!(result["store"]["complete_multipart"]["requests"].as_u64().unwrap() >= 6);

    let contents = |objects: std::collections::BTreeMap<String, Vec<u8>>| {
        let files = objects.into_iter().filter(|(name, _)| !name.ends_with("_SUCCESS"));
        let by_folder = files.map(|(name, bytes)| {
            (name.rsplit_once('/').map(|path| path.0.to_owned()).unwrap_or_default(), bytes)
        });
        by_folder.collect::<Vec<_>>()
    };
    let expected = contents(crate::support::files_below(&local.path("out/rows")));
    assert_eq!(expected.len(), 6);
    assert_eq!(contents(runtime.block_on(server.objects("out/rows"))), expected);
    assert_eq!(runtime.block_on(server.objects("out/quarantine")).len(), 1);

    assert_eq!(ashiato("run", &day).result()["status"], "already_published");
    ashiato("run", &["--date", "2026-11-21", "--force"]).published();
    assert_eq!(contents(runtime.block_on(server.objects("out/rows"))), expected);
    assert_eq!(runtime.block_on(server.open_uploads("out")), 0);
    let verified = ashiato("verify", &["--date", "2026-11-21", "--deep"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let collected = ashiato("gc", &["--older-than", "0"]);
    assert_eq!(collected.result()["pending_records"], serde_json::json!([]));
    assert_eq!(contents(runtime.block_on(server.objects("out/rows"))), expected);

    // Shards, one of them tried twice.
    runtime.block_on(server.put("raw/dt=2026-11-21/b.ndjson", b"{\"id\":4,\"name\":\"b\"}\n"));
    for shard in ["0/2", "1/2", "1/2"] {
        let written = ashiato("run", &["--date", "2026-11-21", "--shard", shard]);
        assert_eq!(written.result()["status"], "written", "{written:?}");
    }
    assert_eq!(contents(runtime.block_on(server.objects("out/rows"))), expected, "not yet");
    ashiato("publish", &["--date", "2026-11-21", "--shards", "2"]).published();
    assert_eq!(runtime.block_on(server.objects("out/rows/tsv")).len(), 5);
    assert_eq!(runtime.block_on(server.open_uploads("out")), 0);
    assert!(runtime.block_on(server.objects("out/state/shop/pending")).is_empty());
}

#[test]
fn s3_keeps_the_promises_of_a_store_and_whole_runs_work_in_it() {
    let server = servers::s3();
    keeps_the_promises_of_a_store(&server);
    runs_wholly_in_a_store(&server);
}

#[test]
fn azure_keeps_the_promises_of_a_store_and_whole_runs_work_in_it() {
    let server = servers::azure();
    keeps_the_promises_of_a_store(&server);
    runs_wholly_in_a_store(&server);
}

#[test]
fn google_keeps_the_promises_of_a_store_and_whole_runs_work_in_it() {
    let server = servers::gcs();
    keeps_the_promises_of_a_store(&server);
    runs_wholly_in_a_store(&server);
}
