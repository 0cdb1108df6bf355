//! Locations as people write them.

use std::fs;

use object_store::ObjectStoreExt;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn open(text: &str) -> Result<Store> {
    Store::open(&StoreLocation::parse(text)?, &Stores::of_tests(&Environment::default()))
}

fn refusal(text: &str) -> String {
    let error = open(text).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    error.to_string()
}

#[test]
fn a_relative_path_is_relative_to_the_working_directory() {
    let store = open("a/../b c/%3A/dt=日本/").unwrap();
    assert!(store.prefix.as_ref().ends_with("b c/%3A/dt=日本"), "{}", store.prefix);
    assert_eq!(store.display, "a/../b c/%3A/dt=日本");
    assert!(store.local.as_ref().unwrap().is_absolute());
    let object = Path::parse(format!("{}/x.gz", store.prefix)).unwrap();
    assert_eq!(store.display_of(&object), "a/../b c/%3A/dt=日本/x.gz");
    assert_eq!(store.display_of(&store.prefix), "a/../b c/%3A/dt=日本");
}

#[test]
fn the_root_of_the_file_system_is_a_location() {
    let store = open("/").unwrap();
    assert_eq!(store.prefix.as_ref(), "");
    assert_eq!(store.display_of(&Path::from("etc/hosts")), "/etc/hosts");
}

#[tokio::test]
async fn files_with_names_that_a_url_would_escape_are_found_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        ["a b", "100%", "%3A", "a#b?c", "日本語", "k=a%2Fb", "{x}[y]~^`|\"<>", "+&;,@!$'()*"];
    for name in names {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join(name), name).unwrap();
        let text = folder.path().join(name).join(name).to_str().unwrap().to_owned();
        let store = open(&text).unwrap();
        let got = store.store.get(&store.prefix).await.unwrap().bytes().await.unwrap();
        assert_eq!(got, name, "{name}");
    }
    use futures::TryStreamExt;
    let store = open(folder.path().to_str().unwrap()).unwrap();
    let listed: Vec<_> = store.store.list(Some(&store.prefix)).try_collect().await.unwrap();
    let mut listed: Vec<_> = listed.iter().map(|meta| store.display_of(&meta.location)).collect();
    listed.sort();
    let path = |name: &&str| folder.path().join(name).join(name).to_str().unwrap().to_owned();
    let mut expected: Vec<_> = names.iter().map(path).collect();
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn a_file_url_is_decoded_and_must_be_absolute() {
    let store = open("file:///data/a%20b/dt=%E6%97%A5/").unwrap();
    assert_eq!(store.prefix.as_ref(), "data/a b/dt=日");
    assert!(refusal("file://data/x").contains("expected `file:///`"));
    assert!(refusal("file:///data/x?.gz").contains("write a plain path"));
}

#[test]
fn a_cloud_url_is_opened_with_its_own_variables_and_its_name_taken_as_it_is() {
    let aws = environment(&[
        ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ]);
    let location = StoreLocation::parse("s3://bucket/raw logs/k=a%3Ab/#1?/").unwrap();
    let store = Store::open(&location, &Stores::of_tests(&aws)).unwrap();
    assert_eq!(store.prefix.as_ref(), "raw logs/k=a%3Ab/#1?");
    assert_eq!(store.display, "s3://bucket/raw logs/k=a%3Ab/#1?");
    assert!(store.local.is_none());
    assert!(store.uploads.is_some());
    assert!(store.store.to_string().contains("bucket"), "{}", store.store);
    assert_eq!(open("gs://bucket").unwrap().prefix.as_ref(), "");
    let azure = environment(&[("AZURE_STORAGE_ACCOUNT_NAME", "account")]);
    for text in ["az://container/raw", "abfss://container@account.dfs.core.windows.net/raw"] {
        let store =
            Store::open(&StoreLocation::parse(text).unwrap(), &Stores::of_tests(&azure)).unwrap();
        assert_eq!(store.prefix.as_ref(), "raw");
    }
}

#[test]
fn variables_without_the_clouds_prefix_do_not_reach_the_client() {
    let stray = environment(&[("ENDPOINT", "no url"), ("TIMEOUT", "soon"), ("TOKEN", "x")]);
    assert!(
        Store::open(&StoreLocation::parse("s3://bucket/x").unwrap(), &Stores::of_tests(&stray))
            .is_ok()
    );
    let own = environment(&[("AWS_TIMEOUT", "soon")]);
    let error =
        Store::open(&StoreLocation::parse("s3://bucket/x").unwrap(), &Stores::of_tests(&own))
            .unwrap_err();
    assert_eq!(error.exit_code(), 78);
}

#[test]
fn a_location_that_names_nothing_is_refused_with_the_reason() {
    assert!(refusal("").contains("expected a path or a URL"));
    assert!(refusal("ftp://host/x").contains("unknown scheme `ftp`; expected a path or one of"));
    assert!(refusal("s3:///x").contains("found no bucket"));
    assert!(refusal("s3://bucket/a//b").contains("s3://bucket/a//b"));
    assert!(refusal("s3://bucket/a/../b").contains(".."));
    assert!(refusal("az://container/x").contains("az://container/x"));
}

#[test]
fn the_environment_is_never_printed() {
    let text = format!("{:?}", environment(&[("AWS_SECRET_ACCESS_KEY", "hush")]));
    assert_eq!(text, "Environment(1 variables)");
}
