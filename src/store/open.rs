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
//! seconds as `ASHIATO_RETRY_SECONDS` says: responses of 408, 429 and 5xx, lost or refused
//! connections, time-outs. `Retry-After` is heeded, and a read that breaks off goes on where it
//! broke. What still fails then is [`Error::Unavailable`], for the orchestrator to retry.
//! `ASHIATO_REQUESTS_MAX` (64) bounds the requests in flight, `ASHIATO_BANDWIDTH_MAX` (as
//! `100MiB`, per second; no bound by default) the bytes that are read, and those that are written,
//! by all stores of a run together. Local files are read and written once and without bounds.
//! [`Stores`] says how this is stacked.

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

use super::endpoint::{azure_container, check_endpoint, is_true, unusable_client};
use super::layer::{Layer, UploadStore};
use super::local_files::{Listed, LocalFiles};
use super::meter::{MeteredStore, Operation, StoreMeter};
use super::noncanonical_names::text_of_path;
use super::noncanonical_objects::NoncanonicalObjects;
use super::open_uploads::{Bucket, BucketUploads, ListUploads};
use super::stores::Stores;
use super::transient::ClassifyingConnector;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::location::{Cloud, LocationKind, StoreLocation};

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

    /// Opens the store; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL or the environment is not enough to reach it.
    pub fn open(location: &StoreLocation, stores: &Stores) -> Result<Self> {
        let unusable = |error: &dyn std::fmt::Display| location.refused(&error.to_string());
        let meter = stores.meter().clone();
        match location.kind() {
            LocationKind::Local(path) => {
                let absolute = std::path::absolute(path).map_err(|error| unusable(&error))?;
                let prefix = name_in_local_store(&absolute).map_err(|error| unusable(&error))?;
                let files = Layer::plain(Arc::new(LocalFiles::new()));
                let store = Store::at(&stores.stack_local(files), prefix, location.as_str(), meter);
                Ok(Store { local: Some(absolute), ..store })
            }
            #[cfg(test)]
            LocationKind::Remote { bucket, prefix, .. } if stores.bucket(bucket).is_some() => {
                let layer = stores.bucket(bucket).map(|layer| stores.stack_cloud(layer));
                let layer = layer.ok_or_else(|| unusable(&"no such bucket"))?;
                let store = Store::at(&layer, prefix.clone(), location.as_str(), meter);
                Ok(Store { open_uploads: stores.open_uploads(bucket), ..store })
            }
            LocationKind::Remote { cloud, bucket, prefix } => {
                check_endpoint(*cloud, stores.environment())
                    .map_err(|reason| location.refused(&reason))?;
                let opened = open_cloud(*cloud, bucket, stores.environment());
                let (client, open_uploads) =
                    opened.map_err(|error| location.refused(&unusable_client(&error)))?;
                let layer = stores.stack_cloud(Layer::with_uploads(client));
                let store = Store::at(&layer, prefix.clone(), location.as_str(), meter);
                Ok(Store { open_uploads, ..store })
            }
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
    let http = ClassifyingConnector.connect(&options)?;
    let listing =
        |bucket| -> Arc<dyn ListUploads> { Arc::new(BucketUploads { bucket, http: http.clone() }) };
    let reading = |client, bucket| -> Arc<dyn UploadStore> {
        Arc::new(NoncanonicalObjects::new(client, bucket, http.clone()))
    };
    let once =
        RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() };
    Ok(match cloud {
        Cloud::S3 => {
            let builder = AmazonS3Builder::new().with_url(bucket).with_retry(once);
            let builder = builder.with_http_connector(ClassifyingConnector);
            let set = AmazonS3Builder::with_config;
            let client = Arc::new(configure(builder, "AWS_", environment, set).build()?);
            let own = Bucket::S3(Arc::clone(&client));
            (reading(client, own.clone()), Some(listing(own)))
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
            let builder =
                builder.with_client_options(options).with_http_connector(ClassifyingConnector);
            let set = GoogleCloudStorageBuilder::with_config;
            let client = Arc::new(configure(builder, "GOOGLE_", environment, set).build()?);
            let base = environment.get("GOOGLE_BASE_URL");
            let base = base.unwrap_or("https://storage.googleapis.com").trim_end_matches('/');
            let (_, name) = bucket.split_once("://").unwrap_or(("", bucket));
            let own = Bucket::Google { client: Arc::clone(&client), url: format!("{base}/{name}") };
            (reading(client, own.clone()), Some(listing(own)))
        }
        Cloud::Azure => {
            let builder = MicrosoftAzureBuilder::new().with_url(bucket).with_retry(once);
            let builder = builder.with_http_connector(ClassifyingConnector);
            let set = MicrosoftAzureBuilder::with_config;
            let client = Arc::new(configure(builder, "AZURE_", environment, set).build()?);
            let (url, account) = azure_container(bucket, environment);
            let own = Bucket::Azure { client: Arc::clone(&client), url, account };
            (reading(client, own), None)
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
    let own = environment.iter().filter(|(name, _)| name.starts_with(prefix));
    own.fold(builder, |builder, (name, value)| match name.to_ascii_lowercase().parse() {
        Ok(key) => set(builder, key, value.to_owned()),
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
