//! Where copies of tables go: one reading of a target for all commands that take one.
//!
//! ```text
//! hdfs://nn/lake, HDFS://nn/lake    Hadoop's
//! hdfs:///lake, hdfs:/lake          Hadoop's, at its default name node
//! /lake                             in Hadoop's default file system (fs.defaultFS), as for Hadoop
//! file:///lake, file:/lake          this machine's disk; %20 is no space, as for Hadoop
//! s3://b/lake, s3a://b/lake         the bucket, s3a://b/lake for Hadoop; likewise gs, az, abfss
//! ```

use super::hdfs::Hdfs;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::location::{CLOUD_SCHEMES, StoreLocation, path_of_url, split_scheme};

/// URL schemes that only Hadoop knows.
const HADOOP_SCHEMES: [&str; 11] =
    ["hdfs", "viewfs", "webhdfs", "swebhdfs", "ofs", "o3fs", "wasb", "wasbs", "adl", "oss", "cosn"];

/// Characters that the `hadoop` command takes for a glob.
const GLOB_CHARACTERS: [char; 7] = ['[', ']', '{', '}', '*', '?', '\\'];

/// A folder that gets copies of tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTarget {
    /// As Hadoop names it, without `/` at the end.
    url: String,
    kind: TargetKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TargetKind {
    /// Only Hadoop can open it.
    Hadoop,
    /// A path without a scheme, which lies where Hadoop's configuration says.
    HadoopDefault,
    /// This program opens it itself.
    Store(StoreLocation),
}

impl CopyTarget {
    /// Reads a target: a URL, or an absolute path in Hadoop's default file system.
    ///
    /// # Errors
    /// `Error::Config` for what is neither, and for names that the `hadoop` command would take for
    /// something else.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self> {
        let trimmed = text.trim_end_matches('/');
        let (url, kind) = match split_scheme(text) {
            None if !text.starts_with('/') => {
                let expected = "expected a URL such as hdfs://namenode/lake, or an absolute path \
                                in Hadoop's default file system";
                return Err(refused(text, expected));
            }
            None => (trimmed.to_owned(), TargetKind::HadoopDefault),
            Some((scheme, rest)) if HADOOP_SCHEMES.contains(&scheme.as_str()) => {
                (url_of(&scheme, rest), TargetKind::Hadoop)
            }
            Some((scheme, rest)) if scheme == "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(refused(text, "expected `file:///` and an absolute path"));
                }
                let place = StoreLocation::parse(path)?;
                (format!("file://{}", path.trim_end_matches('/')), TargetKind::Store(place))
            }
            Some((scheme, _)) if !is_known_scheme(&scheme) => {
                let known = HADOOP_SCHEMES.join(", ");
                let reason = format!(
                    "unknown scheme `{scheme}`; expected a path, a scheme of Hadoop's ({known}), \
                     or one of: file, {}",
                    CLOUD_SCHEMES.map(|(known, _)| known).join(", ")
                );
                return Err(refused(text, &reason));
            }
            Some((scheme, rest)) if !rest.starts_with("//") => {
                return Err(refused(text, &format!("expected `{scheme}://` and more")));
            }
            Some((scheme, rest)) => {
                let place = StoreLocation::parse(&format!("{scheme}:{rest}"));
                let place = place.map_err(|error| refused(text, &error.to_string()))?;
                (place.hadoop_url(environment), TargetKind::Store(place))
            }
        };
        match problem_of(&url) {
            Some(problem) => Err(refused(text, &problem)),
            None => Ok(CopyTarget { url, kind }),
        }
    }

    /// The folder as Hadoop names it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder below it.
    ///
    /// # Errors
    /// `Error::Config` if the place cannot hold it.
    pub fn below(&self, name: &str) -> Result<Self> {
        let kind = match &self.kind {
            TargetKind::Store(place) => {
                let base = place.to_string();
                TargetKind::Store(StoreLocation::parse(&format!(
                    "{}/{name}",
                    base.trim_end_matches('/')
                ))?)
            }
            other => other.clone(),
        };
        Ok(CopyTarget { url: format!("{}/{name}", self.url), kind })
    }

    /// The place that this program opens itself; none if only Hadoop can.
    pub fn store(&self) -> Option<&StoreLocation> {
        match &self.kind {
            TargetKind::Store(place) => Some(place),
            TargetKind::Hadoop | TargetKind::HadoopDefault => None,
        }
    }

    /// The folder in Hadoop's keeping; none if this program opens it itself.
    pub fn hdfs(&self) -> Option<Hdfs> {
        self.store().is_none().then(|| Hdfs::at(&self.url))
    }

    /// Whether it may be the same place as one that a pipeline writes to, or one is in the other.
    ///
    /// Where Hadoop's default file system is, only Hadoop knows: it may be this disk.
    pub fn may_overlap(&self, other: &StoreLocation) -> bool {
        match &self.kind {
            TargetKind::Store(place) => place.overlaps(other),
            TargetKind::Hadoop => false,
            TargetKind::HadoopDefault => {
                StoreLocation::parse(&self.url).is_ok_and(|place| place.overlaps(other))
            }
        }
    }
}

impl std::fmt::Display for CopyTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.url.is_empty() { "/" } else { &self.url })
    }
}

/// `hdfs:/lake` and `hdfs:///lake` are one URL.
fn url_of(scheme: &str, rest: &str) -> String {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    format!("{scheme}://{}", rest.trim_end_matches('/'))
}

fn problem_of(url: &str) -> Option<String> {
    let is_bad = |c: &char| GLOB_CHARACTERS.contains(c) || c.is_control();
    if let Some(c) = url.chars().find(is_bad) {
        return Some(format!("it holds {c:?}, which `hadoop` does not take as it is"));
    }
    if url.contains("@ACCOUNT.") {
        return Some("set AZURE_STORAGE_ACCOUNT_NAME, which is a part of its URL".to_owned());
    }
    let path = path_of_url(url);
    if path.contains(':') {
        return Some("it holds `:` in a folder's name, which Hadoop refuses".to_owned());
    }
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.trim() == name;
    let mut names = path.split('/').skip(1);
    (!names.all(is_name)).then(|| {
        "a folder's name in it is empty, `.` or `..`, or begins or ends with white space".to_owned()
    })
}

fn is_known_scheme(scheme: &str) -> bool {
    scheme == "file" || CLOUD_SCHEMES.iter().any(|(known, _)| *known == scheme)
}

fn refused(text: &str, reason: &str) -> Error {
    Error::config(format!("target `{text}`: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CopyTarget> {
        CopyTarget::parse(text, &Environment::default())
    }

    #[test]
    fn one_place_has_one_url_however_it_is_written() {
        for (text, url) in [
            ("hdfs://nn/lake/", "hdfs://nn/lake"),
            ("HDFS://nn:8020/Lake", "hdfs://nn:8020/Lake"),
            ("hdfs:/lake", "hdfs:///lake"),
            ("hdfs:///lake", "hdfs:///lake"),
            ("hdfs://nn", "hdfs://nn"),
            ("/lake/", "/lake"),
            ("/", ""),
            ("file:/lake", "file:///lake"),
            ("FILE:///a%20b", "file:///a%20b"),
            ("s3://b/lake", "s3a://b/lake"),
            ("S3A://b/lake/", "s3a://b/lake"),
            ("gs://b", "gs://b"),
        ] {
            let target = parse(text).unwrap();
            assert_eq!(target.url(), url, "{text}");
            assert_eq!(target.below("rows").unwrap().url(), format!("{url}/rows"), "{text}");
        }
        let disk = parse("file:///a%20b").unwrap();
        let local = disk.store().unwrap().local_path().unwrap();
        assert_eq!(local.to_str(), Some("/a%20b"), "as Hadoop has it");
        assert!(parse("/lake").unwrap().hdfs().is_some());
    }

    #[test]
    fn what_hadoop_would_take_otherwise_is_refused_as_configuration() {
        for text in [
            "",
            "lake",
            "./lake",
            "~/lake",
            "ftp://h/x",
            "hdfs://nn/a*",
            "hdfs://nn/{a}",
            "/a:b",
            "/a//b",
            "/a/../b",
            "/a /b",
            "/a\nb",
            "file://host/x",
            "az://container/x",
            "s3:///x",
        ] {
            assert_eq!(parse(text).map_err(|error| error.exit_code()), Err(78), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_scheme_is_answered_with_all_that_a_target_may_have() {
        let error = parse("foo://x/y").unwrap_err().to_string();
        for scheme in ["unknown scheme `foo`", "hdfs", "viewfs", "file", "s3a", "abfss"] {
            assert!(error.contains(scheme), "{error}");
        }
    }

    #[test]
    fn a_target_in_a_pipelines_own_place_is_known() {
        let lake = StoreLocation::parse("/lake/rows").unwrap();
        for (text, is_own) in [
            ("file:///lake", true),
            ("file:///lake/rows/copy", true),
            ("/lake/rows", true),
            ("hdfs://nn/lake/rows", false),
            ("s3://lake/rows", false),
            ("/lakes", false),
        ] {
            assert_eq!(parse(text).unwrap().may_overlap(&lake), is_own, "{text}");
        }
    }
}
