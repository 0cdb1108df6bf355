//! Finds the objects of an interval.
//!
//! | the location | what is listed |
//! |---|---|
//! | exists as an object or file | it alone, whatever the interval |
//! | has one of `*?[{` and is no local file or folder | what the glob matches, at any time |
//! | anything else is a directory | all below the template's directories of the interval |
//!
//! A template that does not end in `/` may also name objects (`app-%Y%m%d.log.gz`).
//!
//! Skipped are, below the location, names with a part that begins with `_` or `.`, as readers of
//! tables do (`_SUCCESS`, `_temporary/…`, `.part-0.crc`), and objects without a byte: they have no
//! lines, and in object stores they stand for directories. On local disk `object_store` also hides
//! names that end in `#` and digits, which are its unfinished uploads.

use futures::{StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobMatcher};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::decompress::Unreadable;
use crate::error::{Error, Result};
use crate::interval::{Interval, PathTemplate};
use crate::store::{Store, store_error};

/// What to list below a location.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSpec {
    /// The directories below a directory, by time.
    pub path: PathTemplate,
    /// Which objects count, by their path below the template's directory: `*.gz` those right in
    /// it, `**/*.gz` all below it. In a glob `*` and `?` do not match `/`.
    pub glob: Option<String>,
}

/// One object to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceObject {
    /// Its full name, as a person would paste it.
    pub location: String,
    /// Its name in the store.
    #[serde(with = "path_as_text")]
    pub path: Path,
    /// Bytes as stored.
    pub size: u64,
    /// What changes if the object does; not all stores have it.
    pub e_tag: Option<String>,
    /// The `key=value` directories of its name, outermost first; Hive's NULL is none.
    pub partition_values: Vec<(String, Option<String>)>,
    /// Why it cannot be read, if its name alone says so.
    pub unreadable: Option<Unreadable>,
}

mod path_as_text {
    use object_store::path::Path;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(path.as_ref())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Path, D::Error> {
        Path::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Prefixes that are listed at a time.
const LISTINGS_MAX: usize = 8;

/// Finds the objects of an interval, in the order of their locations.
///
/// Nothing there for the interval is an empty list.
///
/// # Errors
/// - [`Error::Config`] if there is nothing at all at the location, access to it is denied, or a
///   glob is broken;
/// - [`Error::Usage`] if the interval has too many prefixes;
/// - [`Error::Unavailable`] if the store cannot be reached.
pub async fn list_objects(
    store: &Store,
    spec: &SourceSpec,
    interval: &Interval,
    zone: chrono_tz::Tz,
) -> Result<Vec<SourceObject>> {
    let mut objects = if is_glob(store) {
        list_glob(store).await?
    } else if let Some(object) = find_root_object(store).await? {
        vec![object_of(store, object)]
    } else {
        list_directory(store, spec, interval, zone).await?
    };
    objects.retain(|object| object.size > 0);
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    objects.dedup_by(|a, b| a.path == b.path);
    Ok(objects)
}

/// Whether what was listed depends on the interval. If not, each interval reads all of it.
pub fn is_listed_by_time(store: &Store, spec: &SourceSpec, objects: &[SourceObject]) -> bool {
    let is_root = |object: &SourceObject| object.path == store.prefix;
    spec.path.has_time_field() && !is_glob(store) && !objects.iter().any(is_root)
}

const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

fn is_glob(store: &Store) -> bool {
    let exists = store.local.as_ref().is_some_and(|path| path.exists());
    store.prefix.as_ref().contains(WILDCARDS) && !exists
}

/// The location itself, if it is an object; one without a byte may stand for a directory.
async fn find_root_object(store: &Store) -> Result<Option<ObjectMeta>> {
    let is_file = store.local.as_ref().map(|path| path.is_file());
    if is_file == Some(false) || store.prefix.as_ref().is_empty() {
        return Ok(None);
    }
    let found = find_object(store, &store.prefix).await?;
    Ok(found.filter(|object| object.size > 0 || is_file == Some(true)))
}

/// The object of this very name.
async fn find_object(store: &Store, path: &Path) -> Result<Option<ObjectMeta>> {
    match store.store.head(path).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(store_error(&format!("looking for {}", store.display_of(path)), &error)),
    }
}

/// Everything that the location's own glob matches.
async fn list_glob(store: &Store) -> Result<Vec<SourceObject>> {
    let (base, pattern) = split_at_wildcard(store);
    let matcher = compile_glob(&pattern)?;
    let metas = list_prefix(&base, &base.prefix).await?;
    if metas.is_empty() {
        require_root(&base).await?;
    }
    let matching =
        metas.into_iter().filter(|meta| matcher.is_match(below(&base.prefix, &meta.location)));
    Ok(matching.map(|meta| object_of(&base, meta)).collect())
}

/// Cuts a location before its first part with a wildcard: the directory, and the glob below it.
fn split_at_wildcard(store: &Store) -> (Store, String) {
    let parts: Vec<&str> = store.prefix.as_ref().split('/').collect();
    let fixed = parts.iter().take_while(|part| !part.contains(WILDCARDS)).count();
    // `display` may begin differently (`..`, a scheme), but it ends as the name does.
    let mut display = store.display.as_str();
    for _ in fixed..parts.len() {
        display = display.rsplit_once('/').map_or("", |(before, _)| before);
    }
    let display = match (display, &store.local) {
        ("", Some(_)) if store.display.starts_with('/') => "/",
        ("", Some(_)) => ".",
        (display, _) => display,
    };
    let base = Store {
        prefix: Path::parse(parts[..fixed].join("/")).unwrap_or_default(),
        display: display.to_owned(),
        local: store.local.clone().map(|path| {
            let ancestors = parts.len() - fixed;
            path.ancestors().nth(ancestors).map(Into::into).unwrap_or(path)
        }),
        ..store.clone()
    };
    (base, parts[fixed..].join("/"))
}

/// All objects of the template's directories of the interval.
async fn list_directory(
    store: &Store,
    spec: &SourceSpec,
    interval: &Interval,
    zone: chrono_tz::Tz,
) -> Result<Vec<SourceObject>> {
    let matcher = spec.glob.as_deref().map(compile_glob).transpose()?;
    let prefixes = spec.path.expand(interval, zone)?;
    let listings = futures::stream::iter(prefixes).map(|prefix| {
        let matcher = matcher.as_ref();
        async move { list_template_prefix(store, &prefix, matcher).await }
    });
    let listed: Vec<Vec<ObjectMeta>> = listings.buffered(LISTINGS_MAX).try_collect().await?;
    let objects: Vec<SourceObject> =
        listed.into_iter().flatten().map(|meta| object_of(store, meta)).collect();
    if objects.is_empty() {
        require_root(store).await?;
    }
    Ok(objects)
}

async fn list_template_prefix(
    store: &Store,
    prefix: &str,
    matcher: Option<&GlobMatcher>,
) -> Result<Vec<ObjectMeta>> {
    let joined = format!("{}/{prefix}", store.prefix);
    let base = Path::parse(joined.trim_matches('/'))
        .map_err(|error| Error::config(format!("source path `{joined}`: {error}")))?;
    let mut metas = list_prefix(store, &base).await?;
    if metas.is_empty() && !prefix.is_empty() && !prefix.ends_with('/') {
        metas.extend(find_object(store, &base).await?);
    }
    if let Some(matcher) = matcher {
        metas.retain(|meta| {
            let name = match below(&base, &meta.location) {
                "" => meta.location.filename().unwrap_or_default(),
                name => name,
            };
            matcher.is_match(name)
        });
    }
    Ok(metas)
}

fn compile_glob(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| Error::config(format!("source glob `{pattern}`: {error}")))?;
    Ok(glob.compile_matcher())
}

/// All objects below a prefix that are not hidden.
async fn list_prefix(store: &Store, base: &Path) -> Result<Vec<ObjectMeta>> {
    let is_visible = |meta: &ObjectMeta| {
        let name = below(&store.prefix, &meta.location);
        futures::future::ready(!name.split('/').any(|part| part.starts_with(['_', '.'])))
    };
    let listing = store.store.list(Some(base)).try_filter(is_visible);
    let listed: Result<Vec<ObjectMeta>, _> = listing.try_collect().await;
    listed.map_err(|error| store_error(&format!("listing {}", store.display_of(base)), &error))
}

/// Tells "nothing for this interval" from "nothing there at all".
async fn require_root(store: &Store) -> Result<()> {
    let exists = match &store.local {
        Some(folder) => folder.is_dir(),
        None => {
            let first = store.store.list(Some(&store.prefix)).next().await.transpose();
            let doing = format!("listing {}", store.display);
            first.map_err(|error| store_error(&doing, &error))?.is_some()
                || find_object(store, &store.prefix).await?.is_some()
        }
    };
    if exists {
        return Ok(());
    }
    let expected = match &store.local {
        Some(_) => "a file or a directory, found neither",
        None => "an object or objects below it, found none",
    };
    Err(Error::config(format!(
        "listing source `{}`: expected {expected}; check `location` under `[source]`",
        store.display
    )))
}

fn below<'p>(base: &Path, path: &'p Path) -> &'p str {
    path.as_ref().strip_prefix(base.as_ref()).unwrap_or(path.as_ref()).trim_start_matches('/')
}

fn object_of(store: &Store, meta: ObjectMeta) -> SourceObject {
    SourceObject {
        location: store.display_of(&meta.location),
        partition_values: partition_values(&meta.location),
        path: meta.location,
        size: meta.size,
        e_tag: meta.e_tag,
        unreadable: None,
    }
}

/// How Hive writes NULL and the empty string in a directory's name.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The `key=value` directories of an object's name. `%XX` are bytes of UTF-8; Hive itself escapes
/// only ASCII (`FileUtils.escapePathName`), other writers all.
fn partition_values(path: &Path) -> Vec<(String, Option<String>)> {
    let Some((folders, _)) = path.as_ref().rsplit_once('/') else { return Vec::new() };
    let unescape = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('='));
    pairs
        .map(|(key, value)| (unescape(key), (value != HIVE_NULL).then(|| unescape(value))))
        .collect()
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
