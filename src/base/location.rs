//! Places of objects, as configuration names them: parsed once, without asking anyone.

use std::path::{Component, Path as FilePath, PathBuf};

use object_store::path::Path;
use url::Url;

use super::environment::Environment;
use super::error::{Error, Result};

/// A place in a store, as configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    /// Without `/` at the end, except for the root of the file system.
    text: String,
    kind: LocationKind,
}

/// What a location names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LocationKind {
    Local(PathBuf),
    Remote {
        cloud: Cloud,
        /// The URL of the bucket or container, without a path.
        bucket: String,
        prefix: Path,
    },
}

/// Whose object store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    S3,
    Google,
    Azure,
}

/// URL schemes of cloud stores.
pub(crate) const CLOUD_SCHEMES: [(&str, Cloud); 7] = [
    ("s3", Cloud::S3),
    ("s3a", Cloud::S3),
    ("gs", Cloud::Google),
    ("az", Cloud::Azure),
    ("azure", Cloud::Azure),
    ("abfs", Cloud::Azure),
    ("abfss", Cloud::Azure),
];

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
        let kind = match text.split_once("://") {
            None if text.is_empty() => return Err(refused(text, "expected a path or a URL")),
            None => LocationKind::Local(PathBuf::from(text)),
            Some(("file", _)) => LocationKind::Local(path_of_file_url(text)?),
            Some((scheme, rest)) => parse_cloud_url(text, scheme, rest)?,
        };
        let text = match text.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        Ok(StoreLocation { text: text.to_owned(), kind })
    }

    /// The place in the file system, absolute and without `.` and `..`, if it is there: what is
    /// written down of a place must be the same from wherever it is named.
    pub fn local_path(&self) -> Option<PathBuf> {
        match &self.kind {
            LocationKind::Local(path) => Some(resolved(path)),
            LocationKind::Remote { .. } => None,
        }
    }

    /// Whether it is on disk.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, LocationKind::Local(_))
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
        let LocationKind::Remote { cloud, bucket, prefix } = &self.kind else {
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
        match (&self.kind, &other.kind) {
            (LocationKind::Local(a), LocationKind::Local(b)) => {
                let (a, b) = (resolved(a), resolved(b));
                a.starts_with(&b) || b.starts_with(&a)
            }
            (
                LocationKind::Remote { cloud, bucket, prefix },
                LocationKind::Remote {
                    cloud: other_cloud,
                    bucket: other_bucket,
                    prefix: other_prefix,
                },
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

    /// The location as it was given, without `/` at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the location names.
    pub(crate) fn kind(&self) -> &LocationKind {
        &self.kind
    }

    /// That the location cannot be used, and why.
    pub(crate) fn refused(&self, reason: &str) -> Error {
        refused(&self.text, reason)
    }
}

impl std::fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The scheme of a URL, in lower case, and what follows its colon; none of a path.
pub(crate) fn split_scheme(text: &str) -> Option<(String, &str)> {
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
fn parse_cloud_url(text: &str, scheme: &str, rest: &str) -> Result<LocationKind> {
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
    // The parser would drop a slash at the beginning, and read other objects.
    if name.starts_with('/') || name.contains("//") {
        let reason = "found an empty part (`//`); name the objects' place without it, or a place \
                      above it: whatever lies below a place is read, also where parts are empty";
        return Err(refused(text, reason));
    }
    let prefix = Path::parse(name).map_err(|error| refused(text, &error.to_string()))?;
    Ok(LocationKind::Remote { cloud: *cloud, bucket: format!("{scheme}://{bucket}"), prefix })
}

/// The path of a URL, or of a path: without scheme and authority, which Hadoop may print otherwise
/// than they were given.
pub(crate) fn path_of_url(text: &str) -> &str {
    let Some((_, rest)) = split_scheme(text) else { return text };
    match rest.strip_prefix("//") {
        Some(after) => after.find('/').map_or("", |slash| &after[slash..]),
        None => rest,
    }
}
