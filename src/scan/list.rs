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
//! Every name that is listed is read, skipped with a count ([`Skipped`]), or an object that cannot
//! be read, with the reason. Skipped are, below the location, names with a part that begins with
//! `_` or `.`, as readers of tables do (`_SUCCESS`, `_temporary/…`, `.part-0.crc`); objects without
//! a byte, which have no lines, and in object stores stand for directories; on disk the unfinished
//! uploads of `object_store`, which end in `#` and digits; and what a glob does not match.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use globset::{GlobBuilder, GlobMatcher};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::decompress::Unreadable;
use super::nearest::nearest_names;
use super::wildcards::{Folders, OpenedPrefix};
use crate::base::error::{Error, Result};
use crate::base::interval::{Interval, PathTemplate};
use crate::store::noncanonical_names::{is_escaped_path, text_of_path};
use crate::store::{Listed, Store, store_error};

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

/// Names that are not read, by the reason: how many.
pub type Skipped = BTreeMap<&'static str, u64>;

/// What was found for an interval.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects, in the order of their locations; some may be known to be unreadable.
    pub objects: Vec<SourceObject>,
    /// The other names.
    pub skipped: Skipped,
    /// The first and the last place that was looked at, and how many they are.
    pub looked_at: Option<(String, String, usize)>,
}

/// The names that are there, nearest to where an interval's objects were looked for.
pub async fn nearest_to(store: &Store, spec: &SourceSpec, listing: &Listing) -> Vec<String> {
    let Some((first, ..)) = &listing.looked_at else { return Vec::new() };
    if is_glob(store) || spec.path.as_str().is_empty() {
        return Vec::new();
    }
    let root = format!("{}/", store.display.trim_end_matches('/'));
    let wanted = first.strip_prefix(&root).unwrap_or(first);
    // What a template leaves open is no name to look for.
    let open = wanted.find(['*', '{']).map_or(wanted.len(), |at| at);
    let names = nearest_names(store, &wanted[..open]).await;
    names.into_iter().map(|name| format!("{root}{name}")).collect()
}

/// Prefixes that are listed at a time.
const LISTINGS_MAX: usize = 8;

/// Finds the objects of an interval.
///
/// Nothing there for the interval is an empty listing.
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
) -> Result<Listing> {
    let mut listing = if is_glob(store) {
        list_glob(store).await?
    } else if let Some(object) = find_root_object(store).await? {
        if !spec.path.as_str().is_empty() || spec.glob.is_some() {
            return Err(Error::config(format!(
                "source `{}`: `path` and `glob` have no effect: `location` is an object; name its \
                 folder, or leave them out",
                store.display
            )));
        }
        Listing { objects: vec![object_of(store, object)], ..Listing::default() }
    } else {
        list_directory(store, spec, interval, zone).await?
    };
    let Listing { objects, skipped, .. } = &mut listing;
    objects.sort_by(|a, b| (&a.location, &a.path).cmp(&(&b.location, &b.path)));
    objects.dedup_by(|a, b| a.path == b.path);
    let before = objects.len();
    objects.retain(|object| object.size > 0 || object.unreadable.is_some());
    count_skipped(skipped, "empty", before - objects.len());
    Ok(listing)
}

fn count_skipped(skipped: &mut Skipped, reason: &'static str, names: usize) {
    if names > 0 {
        *skipped.entry(reason).or_default() += names as u64;
    }
}

/// Whether what was listed depends on the interval. If not, each interval reads all of it.
pub fn is_listed_by_time(store: &Store, spec: &SourceSpec, objects: &[SourceObject]) -> bool {
    let is_root = |object: &SourceObject| object.path == store.prefix;
    spec.path.has_time_field() && !is_glob(store) && !objects.iter().any(is_root)
}

/// What makes a location a pattern.
pub const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

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
async fn list_glob(store: &Store) -> Result<Listing> {
    let (base, pattern) = split_at_wildcard(store);
    let matcher = compile_glob(&pattern)?;
    let mut found = list_prefix(&base, &base.prefix).await?;
    if found.objects.is_empty() && found.skipped.is_empty() {
        require_root(&base).await?;
    }
    keep_matching(&mut found, &matcher, |path| below(&base.prefix, path));
    found.looked_at = Some((store.display.clone(), store.display.clone(), 1));
    Ok(found)
}

/// Leaves out what a glob does not match.
fn keep_matching(found: &mut Listing, matcher: &GlobMatcher, name_of: impl Fn(&Path) -> String) {
    let before = found.objects.len();
    found.objects.retain(|object| matcher.is_match(name_of(&object.path)));
    count_skipped(&mut found.skipped, "glob", before - found.objects.len());
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
) -> Result<Listing> {
    let matcher = spec.glob.as_deref().map(compile_glob).transpose()?;
    let templates = spec.path.expand(interval, zone)?;
    let mut listing = Listing::default();
    if let (Some(first), Some(last)) = (templates.first(), templates.last()) {
        let shown = |prefix: &str| format!("{}/{prefix}", store.display.trim_end_matches('/'));
        listing.looked_at = Some((shown(first), shown(last), templates.len()));
    }
    let mut folders = Folders::of(store);
    let mut prefixes = Vec::new();
    for template in &templates {
        prefixes.extend(folders.open(template).await?);
    }
    let listings = futures::stream::iter(prefixes).map(|prefix| {
        let matcher = matcher.as_ref();
        async move { list_template_prefix(store, prefix, matcher).await }
    });
    let listed: Vec<Listing> = listings.buffered(LISTINGS_MAX).try_collect().await?;
    for Listing { objects, skipped, .. } in listed {
        listing.objects.extend(objects);
        for (reason, names) in skipped {
            *listing.skipped.entry(reason).or_default() += names;
        }
    }
    if listing.objects.is_empty() {
        require_root(store).await?;
    }
    Ok(listing)
}

async fn list_template_prefix(
    store: &Store,
    OpenedPrefix { prefix, captured }: OpenedPrefix,
    matcher: Option<&GlobMatcher>,
) -> Result<Listing> {
    let joined = format!("{}/{prefix}", store.prefix);
    let base = Path::parse(joined.trim_matches('/'))
        .map_err(|error| Error::config(format!("source path `{joined}`: {error}")))?;
    let mut found = list_prefix(store, &base).await?;
    if found.objects.is_empty() && !prefix.is_empty() && !prefix.ends_with('/') {
        let object = find_object(store, &base).await?;
        found.objects.extend(object.map(|object| object_of(store, object)));
    }
    if let Some(matcher) = matcher {
        keep_matching(&mut found, matcher, |path| match below(&base, path) {
            name if name.is_empty() => path.filename().unwrap_or_default().to_owned(),
            name => name,
        });
    }
    for object in &mut found.objects {
        for (key, value) in &captured {
            if object.partition_values.iter().all(|(known, _)| known != key) {
                object.partition_values.push((key.clone(), Some(value.clone())));
            }
        }
    }
    Ok(found)
}

fn compile_glob(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| Error::config(format!("source glob `{pattern}`: {error}")))?;
    Ok(glob.compile_matcher())
}

/// All objects below a prefix that are not hidden.
async fn list_prefix(store: &Store, base: &Path) -> Result<Listing> {
    let mut found = Listing::default();
    let mut listed = store.list_all(base);
    while let Some(name) = listed.next().await {
        let doing = || format!("listing {}", store.display_of(base));
        let listed = name.map_err(|error| store_error(&doing(), &error))?;
        let (Listed::Object(ObjectMeta { location: path, .. })
        | Listed::UnfinishedUpload(path)
        | Listed::Unreadable(path, _)) = &listed;
        if below(&store.prefix, path).split('/').any(is_hidden) {
            count_skipped(&mut found.skipped, "hidden_name", 1);
            continue;
        }
        match listed {
            Listed::Object(meta) => found.objects.push(object_of(store, meta)),
            Listed::UnfinishedUpload(_) => {
                count_skipped(&mut found.skipped, "unfinished_upload", 1);
            }
            Listed::Unreadable(path, reason) => {
                found.objects.push(unreadable_object(store, path, reason));
            }
        }
    }
    Ok(found)
}

/// `.` and `..` as parts are non-canonical, but hide nothing.
fn is_hidden(part: &str) -> bool {
    part.starts_with(['_', '.']) && !matches!(part, "." | "..")
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

/// The name of an object below a prefix; it begins with a `/` where its first part is empty.
fn below(base: &Path, path: &Path) -> String {
    let name = text_of_path(path);
    let rest = name.strip_prefix(base.as_ref()).unwrap_or(&name);
    let rest = if base.as_ref().is_empty() { rest } else { rest.strip_prefix('/').unwrap_or(rest) };
    rest.to_owned()
}

fn object_of(store: &Store, meta: ObjectMeta) -> SourceObject {
    let has_dots = is_escaped_path(&meta.location)
        && text_of_path(&meta.location).split('/').any(|part| matches!(part, "." | ".."));
    let unreadable = has_dots.then(|| {
        unreadable_name("a part of its name is `.` or `..`, which no HTTP client asks for as it is")
    });
    SourceObject {
        location: store.display_of(&meta.location),
        partition_values: partition_values(&meta.location),
        path: meta.location,
        size: meta.size,
        e_tag: meta.e_tag,
        unreadable,
    }
}

fn unreadable_object(store: &Store, path: Path, reason: String) -> SourceObject {
    SourceObject {
        location: store.display_of(&path),
        partition_values: Vec::new(),
        path,
        size: 0,
        e_tag: None,
        unreadable: Some(unreadable_name(&reason)),
    }
}

fn unreadable_name(reason: &str) -> Unreadable {
    Unreadable { format: "name".to_owned(), reason: reason.to_owned() }
}

/// How Hive writes NULL and the empty string in a directory's name.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The `key=value` directories of an object's name. `%XX` are bytes of UTF-8; Hive itself escapes
/// only ASCII (`FileUtils.escapePathName`), other writers all.
fn partition_values(path: &Path) -> Vec<(String, Option<String>)> {
    let name = text_of_path(path);
    let Some((folders, _)) = name.rsplit_once('/') else { return Vec::new() };
    let unescape = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('='));
    pairs
        .map(|(key, value)| (unescape(key), (value != HIVE_NULL).then(|| unescape(value))))
        .collect()
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
