//! Directories, globs and single objects, on disk and in an object store.

use std::fs;
use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;
use crate::base::environment::Environment;
use crate::base::location::StoreLocation;
use crate::store::Stores;

const ZONE: chrono_tz::Tz = chrono_tz::Asia::Tokyo;

fn folder_with(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}\n").unwrap();
    }
    folder
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn list_in(store: &Store, path: &str, glob: Option<&str>) -> Result<Vec<SourceObject>> {
    let path = PathTemplate::parse(path).unwrap();
    let spec = SourceSpec { path, glob: glob.map(str::to_owned) };
    let interval = Interval::of_date("2026-11-21", ZONE)?;
    Ok(block_on(list_objects(store, &spec, &interval, ZONE))?.objects)
}

fn list(location: &str, path: &str, glob: Option<&str>) -> Result<Vec<SourceObject>> {
    let store =
        Store::open(&StoreLocation::parse(location)?, &Stores::of_tests(&Environment::default()))?;
    list_in(&store, path, glob)
}

fn list_below(
    folder: &tempfile::TempDir,
    location: &str,
    path: &str,
    glob: Option<&str>,
) -> Vec<String> {
    let root = format!("{}/", folder.path().display());
    let listed = list(&format!("{root}{location}"), path, glob).unwrap();
    let below = |object: &SourceObject| object.location.strip_prefix(&root).unwrap().to_owned();
    listed.iter().map(below).collect()
}

fn bucket_with(names: &[&str], prefix: &str) -> Store {
    let store = Arc::new(InMemory::new());
    for name in names {
        let payload = if name.ends_with('/') { "" } else { "{}\n" };
        let path = Path::parse(name).unwrap();
        block_on(store.put(&path, payload.into())).unwrap();
    }
    let display = format!("s3://bucket/{prefix}");
    Store::of(store, Path::parse(prefix).unwrap(), display.trim_end_matches('/'))
}

fn locations(objects: &[SourceObject]) -> Vec<&str> {
    objects.iter().map(|object| object.location.as_str()).collect()
}

const TWO_DAYS: [&str; 4] = [
    "logs/dt=2026-11-21/hr=01/b.gz",
    "logs/dt=2026-11-21/hr=00/a.gz",
    "logs/dt=2026-11-20/hr=23/x.gz",
    "logs/dt=2026-11-211/hr=00/near-miss.gz",
];

#[test]
fn only_the_intervals_directories_are_listed_in_order() {
    let folder = folder_with(&TWO_DAYS);
    assert_eq!(
        list_below(&folder, "logs/", "dt=%Y-%m-%d/hr=%H/", None),
        ["logs/dt=2026-11-21/hr=00/a.gz", "logs/dt=2026-11-21/hr=01/b.gz"]
    );
    let listed = list_in(&bucket_with(&TWO_DAYS, "logs"), "dt=%Y-%m-%d/hr=%H/", None).unwrap();
    assert_eq!(
        locations(&listed),
        ["s3://bucket/logs/dt=2026-11-21/hr=00/a.gz", "s3://bucket/logs/dt=2026-11-21/hr=01/b.gz",]
    );
    assert_eq!(listed[1].path.as_ref(), "logs/dt=2026-11-21/hr=01/b.gz");
    assert_eq!(listed[1].size, 3);
    let value = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    assert_eq!(listed[1].partition_values, [value("dt", "2026-11-21"), value("hr", "01")]);
}

#[test]
fn the_root_of_a_bucket_is_a_directory() {
    let listed = list_in(&bucket_with(&["dt=2026-11-21/a"], ""), "dt=%F/", None).unwrap();
    assert_eq!(locations(&listed), ["s3://bucket/dt=2026-11-21/a"]);
}

#[test]
fn hidden_names_directory_markers_and_empty_objects_are_skipped() {
    let files = ["d/a", "d/_SUCCESS", "d/.a.crc", "d/_tmp/b", "d/.x/c"];
    let folder = folder_with(&files);
    fs::write(folder.path().join("d/empty"), "").unwrap();
    assert_eq!(list_below(&folder, "d", "", None), ["d/a"]);
    let store = bucket_with(&["d/", "d/hr=00/", "d/hr=01/", "d/hr=01/a", "d/_SUCCESS"], "d");
    assert_eq!(locations(&list_in(&store, "", None).unwrap()), ["s3://bucket/d/hr=01/a"]);
    let empty = format!("{}/d/empty", folder.path().display());
    assert!(list(&empty, "", None).unwrap().is_empty());
    assert!(list_in(&bucket_with(&["empty/"], "empty"), "", None).unwrap().is_empty());
}

#[test]
fn a_hidden_directory_that_the_location_itself_names_is_listed() {
    let folder = folder_with(&["_raw/.d/a"]);
    assert_eq!(list_below(&folder, "_raw/.d", "", None), ["_raw/.d/a"]);
    assert_eq!(list_below(&folder, "_raw/.d/*", "", None), ["_raw/.d/a"]);
}

#[test]
fn a_glob_filter_sees_the_path_below_the_templates_directory() {
    let folder =
        folder_with(&["dt=2026-11-21/a.gz", "dt=2026-11-21/a.txt", "dt=2026-11-21/x/b.gz"]);
    let listed = list_below(&folder, "", "dt=%F/", Some("*.gz"));
    assert_eq!(listed, ["dt=2026-11-21/a.gz"]);
    assert_eq!(list_below(&folder, "", "dt=%F/", Some("**/*.gz")).len(), 2);
    let error = list(folder.path().to_str().unwrap(), "", Some("a[")).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().starts_with("source glob `a[`: "), "{error}");
}

#[test]
fn a_template_without_a_slash_at_its_end_may_name_objects() {
    let files = ["app-20261121.log.gz", "app-20261122.log.gz", "app-20261121.log.gz.old"];
    let folder = folder_with(&files);
    let listed = list_below(&folder, "", "app-%Y%m%d.log.gz", Some("*.gz"));
    assert_eq!(listed, ["app-20261121.log.gz"]);
    let listed = list_in(&bucket_with(&files, ""), "app-%Y%m%d.log.gz", None).unwrap();
    assert_eq!(locations(&listed), ["s3://bucket/app-20261121.log.gz"]);
}

#[test]
fn a_location_may_be_one_object_whatever_the_interval() {
    let name = "dt=2020-01-01/a b%3A#é[x].gz";
    let folder = folder_with(&[name, "dt=2020-01-01/a b%3A#éx.gz"]);
    assert_eq!(list_below(&folder, name, "", None), [name]);
    let bucket = bucket_with(&TWO_DAYS, TWO_DAYS[2]);
    for (path, glob) in [("dt=%F/", None), ("", Some("*.txt"))] {
        let error = list_in(&bucket, path, glob).unwrap_err().to_string();
        assert!(error.contains("`path` and `glob` have no effect"), "{error}");
    }
    let listed = list_in(&bucket, "", None).unwrap();
    assert_eq!(locations(&listed), ["s3://bucket/logs/dt=2026-11-20/hr=23/x.gz"]);
    assert_eq!(listed[0].partition_values[0].1.as_deref(), Some("2026-11-20"));
}

#[test]
fn a_location_may_be_a_glob_whatever_the_interval() {
    let files = ["a/1.gz", "b/2.gz", "b/c/3.gz", "b/4.txt", "b/_5.gz"];
    let folder = folder_with(&files);
    let list = |glob| list_below(&folder, glob, "dt=%F/", Some("*.zst"));
    assert_eq!(list("*/*.gz"), ["a/1.gz", "b/2.gz"]);
    assert_eq!(list("b/?.gz"), ["b/2.gz"]);
    assert_eq!(list("{a,b/c}/[13].gz"), ["a/1.gz", "b/c/3.gz"]);
    assert_eq!(list("**/*.gz"), ["a/1.gz", "b/2.gz", "b/c/3.gz"]);
    assert!(list("b/*.zst").is_empty());
    let listed = list_in(&bucket_with(&files, "*/*.gz"), "dt=%F/", None).unwrap();
    assert_eq!(locations(&listed), ["s3://bucket/a/1.gz", "s3://bucket/b/2.gz"]);
}

#[test]
fn a_relative_glob_lists_names_relative_to_the_working_directory() {
    let listed = list("s[r]c/lib.r?", "dt=%F/", None).unwrap();
    assert_eq!(locations(&listed), ["./src/lib.rs"]);
    let listed = list("src/../src/li*.rs", "dt=%F/", None).unwrap();
    assert_eq!(locations(&listed), ["src/../src/lib.rs"]);
}

#[test]
fn a_missing_location_is_an_error_but_a_missing_day_is_an_empty_list() {
    let folder = folder_with(&["dt=2020-01-01/a"]);
    assert!(list_below(&folder, "", "dt=%F/", None).is_empty());
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(list_below(&folder, "empty", "", None).is_empty());
    for missing in ["/no/such/folder", "/no/such/*.gz"] {
        let error = list(missing, "dt=%F/", None).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("expected a file or a directory, found neither"));
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
    assert!(list_in(&bucket_with(&TWO_DAYS, "logs"), "x-%F/", None).unwrap().is_empty());
    let error = list_in(&bucket_with(&TWO_DAYS, "lgos"), "dt=%F/", None).unwrap_err();
    assert!(error.to_string().contains("s3://bucket/lgos"), "{error}");
}

#[test]
fn directory_values_are_unescaped_as_hive_escapes_them() {
    let path = Path::parse("r/k=a%2Fb%3D/n=__HIVE_DEFAULT_PARTITION__/j=%E6%97%A5/e=/f=x").unwrap();
    let value = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let expected = [value("k", "a/b="), ("n".to_owned(), None), value("j", "日"), value("e", "")];
    assert_eq!(partition_values(&path), expected);
}

#[test]
fn an_object_survives_being_sent_as_json() {
    let listed = list_in(&bucket_with(&["k=a%2Fb/日 本"], ""), "", None).unwrap();
    let json = serde_json::to_string(&listed).unwrap();
    assert_eq!(serde_json::from_str::<Vec<SourceObject>>(&json).unwrap(), listed);
}
