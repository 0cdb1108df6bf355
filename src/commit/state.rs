//! The state folder: small JSON documents with compare-and-swap, on disk or in an object store.
//!
//! ```text
//! read       shop/head.json ─► { "sequence": 7, … } and its version
//! swap       only if that version is still there: of two writers one wins
//! create     swap of none: only if there is none
//! put        whatever is there, for names that one attempt alone writes
//! ```
//!
//! In an object store the conditions are the store's own (if-none-match, if-match). On disk they
//! hold among those that take the publish lock; every write reaches the disk before it returns.

use std::path::{Path, PathBuf};

use object_store::UpdateVersion;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};
use crate::base::fs::{names_in, read_file, remove_empty_folder, remove_file, write_atomically};
use crate::store::{BlockingStore, Found};

/// The form of all documents that this program writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;

/// The state of all pipelines at one location.
#[derive(Debug, Clone)]
pub(super) struct State {
    backend: Backend,
}

#[derive(Debug, Clone)]
enum Backend {
    Disk(PathBuf),
    Store(BlockingStore),
}

/// A document as it was read.
#[derive(Debug)]
pub(super) struct Document {
    name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) version: Version,
}

/// What a replacement must find in place.
#[derive(Debug, Clone)]
pub(super) enum Version {
    Disk([u8; 32]),
    Store(UpdateVersion),
}

#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

impl Document {
    /// The value that the document holds.
    ///
    /// One that this program cannot have written is an `Error::Config`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let damaged = |err: serde_json::Error| {
            Error::config(format!(
                "reading {}: expected what ashiato wrote there, found: {err}; restore it",
                self.name
            ))
        };
        let Versioned { version } = serde_json::from_slice(&self.bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(Error::config(format!(
                "reading {}: expected version {VERSION}, found {version}; use the ashiato that \
                 wrote it",
                self.name
            )));
        }
        serde_json::from_slice(&self.bytes).map_err(damaged)
    }
}

impl State {
    /// State in a folder, absolute.
    pub(super) fn on_disk(root: PathBuf) -> Self {
        State { backend: Backend::Disk(root) }
    }

    /// State in an object store.
    pub(super) fn in_store(store: BlockingStore) -> Self {
        State { backend: Backend::Store(store) }
    }

    /// The folder, if it is on disk.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.backend {
            Backend::Disk(root) => Some(root),
            Backend::Store(_) => None,
        }
    }

    /// A document's full name, as a person would paste it.
    pub(super) fn display_of(&self, name: &str) -> String {
        match &self.backend {
            Backend::Disk(root) => root.join(name).display().to_string(),
            Backend::Store(store) => store.display_of(name),
        }
    }

    /// A document; none if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Document>> {
        let found = match &self.backend {
            Backend::Disk(root) => read_file(&root.join(name))?.map(|bytes| {
                let version = Version::Disk(Sha256::digest(&bytes).into());
                (bytes, version)
            }),
            Backend::Store(store) => store
                .get(name)?
                .map(|Found { bytes, version }| (bytes.to_vec(), Version::Store(version))),
        };
        let name = self.display_of(name);
        Ok(found.map(|(bytes, version)| Document { name, bytes, version }))
    }

    /// A document's value; none if it is not there.
    pub(super) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.read(name)?.map(|document| document.parse()).transpose()
    }

    /// Writes a document, whatever was there.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match &self.backend {
            Backend::Disk(root) => {
                let path = root.join(name);
                write_atomically(&temporary_of(&path), &path, bytes)
            }
            Backend::Store(store) => store.put(name, bytes.to_vec()),
        }
    }

    /// Compare-and-swap: writes a document in place of the one that was read, or of none; says
    /// whether it did.
    pub(super) fn swap(&self, name: &str, last: Option<&Version>, bytes: &[u8]) -> Result<bool> {
        match (&self.backend, last) {
            (Backend::Disk(_), last) => {
                let found = self.read(name)?.map(|document| document.version);
                let is_last = match (&found, last) {
                    (Some(Version::Disk(found)), Some(Version::Disk(last))) => found == last,
                    (None, None) => true,
                    _ => false,
                };
                if is_last {
                    self.put(name, bytes)?;
                }
                Ok(is_last)
            }
            (Backend::Store(store), None) => store.create(name, bytes.to_vec()),
            (Backend::Store(store), Some(Version::Store(version))) => {
                store.replace(name, bytes.to_vec(), version.clone())
            }
            (Backend::Store(_), Some(Version::Disk(_))) => {
                Err(Error::Bug(format!("{name}: a version of another backend")))
            }
        }
    }

    /// Removes documents; those that are gone are as good as removed.
    pub(super) fn remove<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
        match &self.backend {
            Backend::Store(store) => store.delete(names),
            Backend::Disk(root) => names.into_iter().try_for_each(|name| {
                let path = root.join(name);
                remove_file(&path)?;
                // The folders that it alone was in, up to the pipeline's.
                for folder in path.ancestors().skip(1).take(name.matches('/').count() - 1) {
                    if !remove_empty_folder(folder)? {
                        break;
                    }
                }
                Ok(())
            }),
        }
    }

    /// The names right below a folder, of documents and of further folders, sorted.
    pub(super) fn names_in(&self, folder: &str) -> Result<Vec<String>> {
        let names = match &self.backend {
            Backend::Disk(root) => names_in(&root.join(folder))?,
            Backend::Store(store) => store.names_in(folder)?,
        };
        Ok(names.into_iter().filter(|name| !name.ends_with(TEMPORARY)).collect())
    }
}

/// What ends the name under which a document is written before it is renamed.
const TEMPORARY: &str = ".tmp";

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// A document's bytes: JSON with line ends.
pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec_pretty(value);
    let mut json = json.map_err(|err| Error::Bug(format!("writing JSON: {err}")))?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_writers_that_read_the_same_version_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::on_disk(folder.path().to_path_buf());
        assert!(state.swap("p/head.json", None, b"1").unwrap());
        assert!(!state.swap("p/head.json", None, b"2").unwrap());
        let read = state.read("p/head.json").unwrap().unwrap();
        assert!(state.swap("p/head.json", Some(&read.version), b"3").unwrap());
        assert!(!state.swap("p/head.json", Some(&read.version), b"4").unwrap());
        assert_eq!(state.read("p/head.json").unwrap().unwrap().bytes, b"3");
    }

    #[test]
    fn a_removed_document_takes_its_empty_folders_along_but_not_the_pipelines() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::on_disk(folder.path().to_path_buf());
        state.put("p/pending/i/0-of-1/a.json", b"1").unwrap();
        state.put("p/pending/i/0-of-1/b.json", b"1").unwrap();
        state.remove(["p/pending/i/0-of-1/a.json"]).unwrap();
        assert_eq!(state.names_in("p/pending/i/0-of-1").unwrap(), ["b.json"]);
        state.remove(["p/pending/i/0-of-1/b.json", "p/pending/i/gone.json"]).unwrap();
        assert_eq!(state.names_in("p").unwrap(), Vec::<String>::new());
        assert!(folder.path().join("p").is_dir());
    }
}
