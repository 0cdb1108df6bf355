//! Opens stores by path or URL.
//!
//! Cloud stores take credentials, region and endpoint from environment variables under the names
//! that `object_store` knows: `AWS_…` (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`,
//! `AWS_ALLOW_HTTP`), `GOOGLE_…` (`GOOGLE_SERVICE_ACCOUNT`), `AZURE_…`
//! (`AZURE_STORAGE_ACCOUNT_NAME`). Without credentials there, the machine's own are asked for
//! (instance metadata); `~/.aws` is not read.
//!
//! Another endpoint than the cloud's (MinIO, Ceph, an emulator) is `AWS_ENDPOINT`,
//! `GOOGLE_BASE_URL` or `AZURE_STORAGE_ENDPOINT`; without TLS, `AWS_ALLOW_HTTP`,
//! `GOOGLE_ALLOW_HTTP` or `AZURE_ALLOW_HTTP` must be `true`.
//!
//! What fails and may pass is tried again with growing random pauses, for a minute or as many
//! seconds as `ASHIATO_RETRY_SECONDS` says: answers of 408, 429 and 5xx, lost or refused
//! connections, time-outs. `Retry-After` is heeded, and a read that breaks off goes on where it
//! broke. What still fails then is [`Error::Unavailable`], for the orchestrator to retry.
//! `ASHIATO_REQUESTS_MAX` (64) bounds the requests in flight, `ASHIATO_BANDWIDTH_MAX` (as
//! `100MiB`, per second; no bound by default) the bytes that are read, and those that are written,
//! by all stores of a run together. Local files are read and written once and without bounds.
//! [`Stores`] says how this is stacked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, Error as Failure, HeaderMap, HeaderValue, ObjectStore, RetryConfig,
};
use url::Url;

use super::answer::AnswerConnector;
use super::endpoint::{azure_container, check_endpoint, is_true, unusable_client};
use super::layer::{Layer, UploadStore};
use super::local_files::{Listed, LocalFiles};
use super::meter::{MeteredStore, Operation, StoreMeter};
use super::odd_names::text_of_path;
use super::odd_objects::OddObjects;
use super::open_uploads::{Bucket, BucketUploads, ListUploads};
use super::stores::Stores;
use crate::error::{Error, Result};

/// The environment's variables, taken once at the program's start. Never printed.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Arc<BTreeMap<String, String>>,
}

impl Environment {
    /// Takes variables; those that are not UTF-8 are left out.
    pub fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let utf8 = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment { variables: Arc::new(variables.filter_map(utf8).collect()) }
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Environment({} variables)", self.variables.len())
    }
}

/// A place in a store, as configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    /// Without `/` at the end, except for the root of the file system.
    text: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Local(PathBuf),
    Remote {
        cloud: Cloud,
        /// The URL of the bucket or container, without a path.
        bucket: String,
        prefix: Path,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloud {
    S3,
    Google,
    Azure,
}

/// URL schemes of cloud stores.
pub(super) const CLOUD_SCHEMES: [(&str, Cloud); 7] = [
    ("s3", Cloud::S3),
    ("s3a", Cloud::S3),
    ("gs", Cloud::Google),
    ("az", Cloud::Azure),
    ("azure", Cloud::Azure),
    ("abfs", Cloud::Azure),
    ("abfss", Cloud::Azure),
];

/// An opened store and the place in it.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store, with its behaviours.
    pub store: Arc<dyn ObjectStore>,
    /// The same store's uploads by id; local files have none.
    pub uploads: Option<Arc<dyn UploadStore>>,
    /// Tells which uploads are open, where a store has uploads that stay open.
    pub open_uploads: Option<Arc<dyn ListUploads>>,
    /// The place in it.
    pub prefix: Path,
    /// The place as configuration names it, without a `/` at its end.
    pub display: String,
    /// The place in the file system, if it is there.
    pub local: Option<PathBuf>,
    /// What was asked of the store, and of all others that were opened with the same [`Stores`].
    pub meter: StoreMeter,
}

impl Store {
    /// A place in a store that is open already, which is metered from here on, and no more.
    pub fn of(store: Arc<dyn ObjectStore>, prefix: Path, display: impl Into<String>) -> Self {
        let meter = StoreMeter::default();
        let layer = Layer::plain(store).wrap(|inner| MeteredStore::new(inner, meter.clone()));
        Store::at(&layer, prefix, display, meter)
    }

    fn at(layer: &Layer, prefix: Path, display: impl Into<String>, meter: StoreMeter) -> Self {
        Store {
            store: Arc::clone(layer.store()),
            uploads: layer.uploads().cloned(),
            open_uploads: None,
            prefix,
            display: display.into(),
            local: None,
            meter,
        }
    }

    /// The object of a name below the place.
    ///
    /// # Errors
    /// [`Error::Bug`] for a name with empty or dotted parts, which would lead elsewhere.
    pub fn path_of(&self, name: &str) -> Result<Path> {
        let full = match (self.prefix.as_ref(), name) {
            (prefix, "") => prefix.to_owned(),
            ("", name) => name.to_owned(),
            (prefix, name) => format!("{prefix}/{name}"),
        };
        let refused = |error: &dyn std::fmt::Display| {
            Error::Bug(format!("naming an object `{name}` below {}: {error}", self.display))
        };
        let path = Path::parse(&full).map_err(|error| refused(&error))?;
        // The parser drops a slash at either end, and with it what stood there.
        if path.as_ref() == full { Ok(path) } else { Err(refused(&"it has empty parts")) }
    }

    /// An object's full name, as a person would paste it; `object` is the prefix or lies below it.
    pub fn display_of(&self, object: &Path) -> String {
        let object = text_of_path(object);
        let below = object.strip_prefix(self.prefix.as_ref()).unwrap_or(&object);
        // What follows the first slash may begin with one, where a part is empty.
        match below.strip_prefix('/').unwrap_or(below) {
            "" => self.display.clone(),
            below => format!("{}/{below}", self.display.trim_end_matches('/')),
        }
    }

    /// All that lies below a prefix, whatever its name.
    pub fn list_all(&self, prefix: &Path) -> BoxStream<'static, Result<Listed, Failure>> {
        if self.local.is_some() {
            self.meter.add_request(Operation::List);
            return LocalFiles::list_all(prefix);
        }
        self.store.list(Some(prefix)).map_ok(Listed::Object).boxed()
    }
}

impl StoreLocation {
    /// Reads a local path (relative ones are relative to the working directory) or a URL:
    ///
    /// - `s3://`, `s3a://`, `gs://` with a bucket, `az://`, `azure://`, `abfs://`, `abfss://` with
    ///   a container (or `container@account.dfs.core.windows.net`). What follows is the objects'
    ///   name as it is: `%20` is no space, as for Hadoop and the clouds' own tools.
    /// - `file:///`, in which `%20` is a space, as RFC 8089 has it.
    ///
    /// # Errors
    /// [`Error::Config`] for another scheme, a broken URL or an empty path.
    pub fn parse(text: &str) -> Result<Self> {
        // A scheme may be written in capitals, and names one place all the same.
        let lower = split_scheme(text).filter(|(_, rest)| rest.starts_with("//"));
        let lower = lower.map(|(scheme, rest)| format!("{scheme}:{rest}"));
        let text = lower.as_deref().unwrap_or(text);
        let place = match text.split_once("://") {
            None if text.is_empty() => return Err(refused(text, "expected a path or a URL")),
            None => Place::Local(PathBuf::from(text)),
            Some(("file", _)) => Place::Local(path_of_file_url(text)?),
            Some((scheme, rest)) => parse_cloud_url(text, scheme, rest)?,
        };
        let text = match text.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        Ok(StoreLocation { text: text.to_owned(), place })
    }

    /// The place in the file system, absolute and without `.` and `..`, if it is there: what is
    /// written down of a place must be the same from wherever it is named.
    pub fn local_path(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Local(path) => Some(resolved(path)),
            Place::Remote { .. } => None,
        }
    }

    /// Whether it is on disk.
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Local(_))
    }

    /// The same place by an absolute path or the URL as it was given, for records that must
    /// outlive the working directory.
    pub fn absolute(&self) -> String {
        match self.local_path() {
            // Without `.` within and `/` at the end.
            Some(path) => path.components().collect::<PathBuf>().display().to_string(),
            None => self.text.clone(),
        }
    }

    /// The same place as Hadoop names it: `file:///out`, `s3a://bucket/out`, `gs://bucket/out`,
    /// `abfss://container@account.dfs.core.windows.net/out`. Nothing is escaped, as Hadoop takes
    /// `%20` literally.
    pub fn hadoop_url(&self, environment: &Environment) -> String {
        let Place::Remote { cloud, bucket, prefix } = &self.place else {
            return format!("file://{}", self.absolute());
        };
        let (scheme, host) = bucket.split_once("://").unwrap_or(("", bucket));
        let base = match cloud {
            Cloud::S3 => format!("s3a://{host}"),
            Cloud::Google => format!("gs://{host}"),
            Cloud::Azure if host.contains('@') => format!("{scheme}://{host}"),
            Cloud::Azure => {
                let account = environment.get("AZURE_STORAGE_ACCOUNT_NAME").unwrap_or("ACCOUNT");
                format!("abfss://{host}@{account}.dfs.core.windows.net")
            }
        };
        match prefix.as_ref() {
            "" => base,
            prefix => format!("{base}/{prefix}"),
        }
    }

    /// Whether one of two places contains the other, or they are the same; by name only.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Place::Local(a), Place::Local(b)) => {
                let (a, b) = (resolved(a), resolved(b));
                a.starts_with(&b) || b.starts_with(&a)
            }
            (
                Place::Remote { cloud, bucket, prefix },
                Place::Remote { cloud: other_cloud, bucket: other_bucket, prefix: other_prefix },
            ) => {
                let host = |bucket: &str| {
                    let (_, host) = bucket.split_once("://").unwrap_or(("", bucket));
                    host.split('@').next().unwrap_or_default().to_owned()
                };
                let is_same = cloud == other_cloud && host(bucket) == host(other_bucket);
                let contains = |a: &Path, b: &Path| a.prefix_matches(b) || b.prefix_matches(a);
                is_same && contains(prefix, other_prefix)
            }
            _ => false,
        }
    }

    /// Opens the store; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL or the environment is not enough to reach it.
    pub fn open(&self, stores: &Stores) -> Result<Store> {
        let unusable = |error: &dyn std::fmt::Display| refused(&self.text, &error.to_string());
        let meter = stores.meter().clone();
        match &self.place {
            Place::Local(path) => {
                let absolute = std::path::absolute(path).map_err(|error| unusable(&error))?;
                let prefix = name_in_local_store(&absolute).map_err(|error| unusable(&error))?;
                let files = Layer::plain(Arc::new(LocalFiles::new()));
                let store = Store::at(&stores.stack_local(files), prefix, &self.text, meter);
                Ok(Store { local: Some(absolute), ..store })
            }
            #[cfg(test)]
            Place::Remote { bucket, prefix, .. } if stores.bucket(bucket).is_some() => {
                let layer = stores.bucket(bucket).map(|layer| stores.stack_cloud(layer));
                let layer = layer.ok_or_else(|| unusable(&"no such bucket"))?;
                let store = Store::at(&layer, prefix.clone(), &self.text, meter);
                Ok(Store { open_uploads: stores.open_uploads(bucket), ..store })
            }
            Place::Remote { cloud, bucket, prefix } => {
                check_endpoint(*cloud, stores.environment())
                    .map_err(|reason| refused(&self.text, &reason))?;
                let opened = open_cloud(*cloud, bucket, stores.environment());
                let (client, open_uploads) =
                    opened.map_err(|error| refused(&self.text, &unusable_client(&error)))?;
                let layer = stores.stack_cloud(Layer::with_uploads(client));
                let store = Store::at(&layer, prefix.clone(), &self.text, meter);
                Ok(Store { open_uploads, ..store })
            }
        }
    }
}

impl std::fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The scheme of a URL, in lower case, and what follows its colon; none of a path.
pub(super) fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(is_letter)
        && rest.starts_with('/');
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The absolute path without `.` and `..`, by name only.
fn resolved(path: &FilePath) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    resolved
}

fn refused(text: &str, reason: &str) -> Error {
    Error::config(format!("location `{text}`: {reason}"))
}

fn path_of_file_url(text: &str) -> Result<PathBuf> {
    let url = Url::parse(text).map_err(|error| refused(text, &format!("no URL: {error}")))?;
    if url.query().is_some() || url.fragment().is_some() {
        let reason = "found `?` or `#`, which do not name files in a URL; write a plain path";
        return Err(refused(text, reason));
    }
    url.to_file_path().map_err(|()| {
        refused(text, "expected `file:///` and an absolute path on this machine, or a plain path")
    })
}

/// Cuts by hand: a URL's parser would escape names and take `#` and `?` out of them.
fn parse_cloud_url(text: &str, scheme: &str, rest: &str) -> Result<Place> {
    let Some((_, cloud)) = CLOUD_SCHEMES.iter().find(|(known, _)| *known == scheme) else {
        let known = CLOUD_SCHEMES.map(|(known, _)| known).join(", ");
        let mut reason =
            format!("unknown scheme `{scheme}`; expected a path or one of: file, {known}");
        if matches!(scheme, "hdfs" | "viewfs" | "webhdfs") {
            reason += "; `ashiato distcp --target` brings published tables to Hadoop";
        }
        return Err(refused(text, &reason));
    };
    let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(refused(text, &format!("expected `{scheme}://BUCKET/…`, found no bucket")));
    }
    // The parser would drop a slash at the begin, and read other objects.
    if name.starts_with('/') || name.contains("//") {
        let reason = "found an empty part (`//`); name the objects' place without it, or a place \
                      above it: whatever lies below a place is read, also where parts are empty";
        return Err(refused(text, reason));
    }
    let prefix = Path::parse(name).map_err(|error| refused(text, &error.to_string()))?;
    Ok(Place::Remote { cloud: *cloud, bucket: format!("{scheme}://{bucket}"), prefix })
}

/// A cloud's client, and what tells its open uploads.
type OpenedCloud = (Arc<dyn UploadStore>, Option<Arc<dyn ListUploads>>);

/// Opens a cloud store with its own variables of the environment; it asks once for all.
fn open_cloud(
    cloud: Cloud,
    bucket: &str,
    environment: &Environment,
) -> Result<OpenedCloud, object_store::Error> {
    let is_set = |name| environment.get(name).is_some_and(is_true);
    let allows_http = ["AWS_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP"].into_iter().any(is_set);
    let options = ClientOptions::new().with_allow_http(allows_http || cloud == Cloud::Azure);
    let http = AnswerConnector.connect(&options)?;
    let listing =
        |bucket| -> Arc<dyn ListUploads> { Arc::new(BucketUploads { bucket, http: http.clone() }) };
    let odd = |client, bucket| -> Arc<dyn UploadStore> {
        Arc::new(OddObjects::new(client, bucket, http.clone()))
    };
    let once =
        RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
    Ok(match cloud {
        Cloud::S3 => {
            let builder = AmazonS3Builder::new().with_url(bucket).with_retry(once);
            let builder = builder.with_http_connector(AnswerConnector);
            let set = AmazonS3Builder::with_config;
            let client = Arc::new(configure(builder, "AWS_", environment, set).build()?);
            let own = Bucket::S3(Arc::clone(&client));
            (odd(client, own.clone()), Some(listing(own)))
        }
        Cloud::Google => {
            // Google would else unpack what is stored with `Content-Encoding: gzip`, and then knows
            // neither its length nor ranges of it.
            // <https://cloud.google.com/storage/docs/transcoding#decompressive_transcoding>
            let as_stored = HeaderMap::from_iter([(
                "accept-encoding".parse().map_err(failed)?,
                HeaderValue::from_static("gzip"),
            )]);
            let options = ClientOptions::new().with_default_headers(as_stored);
            let builder = GoogleCloudStorageBuilder::new().with_url(bucket).with_retry(once);
            let builder = builder.with_client_options(options).with_http_connector(AnswerConnector);
            let set = GoogleCloudStorageBuilder::with_config;
            let client = Arc::new(configure(builder, "GOOGLE_", environment, set).build()?);
            let base = environment.get("GOOGLE_BASE_URL");
            let base = base.unwrap_or("https://storage.googleapis.com").trim_end_matches('/');
            let (_, name) = bucket.split_once("://").unwrap_or(("", bucket));
            let own = Bucket::Google { client: Arc::clone(&client), url: format!("{base}/{name}") };
            (odd(client, own.clone()), Some(listing(own)))
        }
        Cloud::Azure => {
            let builder = MicrosoftAzureBuilder::new().with_url(bucket).with_retry(once);
            let builder = builder.with_http_connector(AnswerConnector);
            let set = MicrosoftAzureBuilder::with_config;
            let client = Arc::new(configure(builder, "AZURE_", environment, set).build()?);
            let (url, account) = azure_container(bucket, environment);
            let own = Bucket::Azure { client: Arc::clone(&client), url, account };
            (odd(client, own), None)
        }
    })
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Generic { store: "client", source: Box::new(error) }
}

/// Hands every variable that names a key of the store's client to its builder. Only those with the
/// cloud's prefix: the clients would also take `TOKEN`, `TIMEOUT` or `ENDPOINT` for themselves.
fn configure<B, K: FromStr>(
    builder: B,
    prefix: &str,
    environment: &Environment,
    set: impl Fn(B, K, String) -> B,
) -> B {
    let own = environment.variables.iter().filter(|(name, _)| name.starts_with(prefix));
    own.fold(builder, |builder, (name, value)| match name.to_ascii_lowercase().parse() {
        Ok(key) => set(builder, key, value.clone()),
        Err(_) => builder,
    })
}

/// A file's name in the local store, character by character (`object_store`'s own constructors
/// would escape some); `.` and `..` are resolved, symbolic links are not.
fn name_in_local_store(absolute: &FilePath) -> Result<Path, String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in absolute.components() {
        match component {
            Component::Normal(part) => {
                parts.push(part.to_str().ok_or("expected a path in UTF-8")?);
            }
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Path::parse(parts.join("/")).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
