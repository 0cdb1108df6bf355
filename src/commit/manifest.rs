//! What an interval published: `manifest.json`, written whole or not at all.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::commit::distcp::DistCp;
use crate::commit::durable::read_file;
use crate::error::{Error, Result};

/// The form of manifests and intents that this program writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;

/// What an interval published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub version: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// The interval's id, `20261121T000000Z-20261122T000000Z`.
    pub interval: String,
    /// The interval's start, as the caller writes instants.
    pub interval_start: String,
    /// The interval's end, which is not part of it.
    pub interval_end: String,
    /// The attempt that published.
    pub attempt: String,
    /// When it did.
    pub published_at: String,
    /// The objects that were read.
    #[serde(default)]
    pub inputs: Vec<ManifestInput>,
    /// Intervals inside this one whose files this publish removed.
    pub replaced_intervals: Vec<String>,
    /// The tables: first those of this publish, then those that earlier ones of the interval wrote
    /// at roots that are no longer in the pipeline.
    pub tables: Vec<ManifestTable>,
}

/// One object that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestInput {
    /// Its full name, as a person would paste it.
    pub location: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// What changes if the object does; not all stores have it.
    pub e_tag: Option<String>,
}

/// The files of one table that belong to the interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root, absolute.
    pub root: PathBuf,
    /// Its columns, partition columns among them.
    #[serde(default)]
    pub columns: Vec<ManifestColumn>,
    /// The partitions that have files of the interval, sorted.
    pub partitions: Vec<String>,
    /// The files of the interval.
    pub files: Vec<ManifestFile>,
    /// Files of earlier publishes that this one removed; where a copy of the table is kept, they
    /// must go there too.
    pub removed: Vec<String>,
    /// How to copy what was published.
    pub distcp: DistCp,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// Its name.
    pub name: String,
    /// Its Arrow type as text, such as `Decimal128(12, 2)`.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// One file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The path below the table's root.
    pub path: String,
    /// How many rows it holds.
    pub rows: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// SHA-256 of those bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// Reads a manifest; none if it is not there.
///
/// One that this program cannot have written is an `Error::Config`.
pub fn read_manifest(path: &Path) -> Result<Option<Manifest>> {
    let manifest: Option<Manifest> = read_json(path)?;
    if let Some(Manifest { version, .. }) = &manifest {
        check_version(path, *version)?;
    }
    Ok(manifest)
}

/// Reads a JSON file of the state folder; none if it is not there.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|err| {
        Error::config(format!(
            "reading {}: expected what ashiato wrote there, found: {err}; restore the file",
            path.display()
        ))
    })
}

pub(super) fn check_version(path: &Path, version: u32) -> Result<()> {
    if version == VERSION {
        return Ok(());
    }
    Err(Error::config(format!(
        "reading {}: expected version {VERSION}, found {version}; use the ashiato that wrote it",
        path.display()
    )))
}

/// A value of the state folder as JSON with line ends.
pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec_pretty(value);
    let mut json = json.map_err(|err| Error::Bug(format!("writing JSON: {err}")))?;
    json.push(b'\n');
    Ok(json)
}
