//! What an interval published: `manifest.json`, written whole or not at all.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::distcp::DistCp;

/// What an interval published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub version: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// The interval's id, `20261121T000000Z-20261122T000000Z`.
    pub interval: IntervalId,
    /// The interval's start, as the caller writes instants.
    pub interval_start: String,
    /// The interval's end, which is not part of it.
    pub interval_end: String,
    /// The attempt that published.
    pub attempt: AttemptId,
    /// When it did.
    pub published_at: String,
    /// The publish of the interval that this one followed, if there was one.
    pub previous: Option<PreviousManifest>,
    /// What the tables were made with.
    pub provenance: Provenance,
    /// The objects that were read.
    pub inputs: Vec<ManifestInput>,
    /// Intervals inside this one whose files this publish removed.
    pub replaced_intervals: Vec<IntervalId>,
    /// The tables: first those of this publish, then those that earlier ones of the interval wrote
    /// at roots that are no longer in the pipeline.
    pub tables: Vec<ManifestTable>,
    /// What the run counted: lines, rejects by reason, rows by output, as its result says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<serde_json::Value>,
}

impl Manifest {
    /// The attempt that published, and its interval.
    pub fn key(&self) -> AttemptKey {
        AttemptKey::new(&self.interval, &self.attempt)
    }
}

/// The manifest that another one followed; it lies in the interval's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousManifest {
    /// The attempt that published it.
    pub attempt: AttemptId,
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// What tables were made with. A run whose inputs and provenance are the same makes the same
/// tables. Digests are SHA-256, 64 hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of this program.
    pub ashiato: String,
    /// Digest of `pipeline.toml`.
    pub pipeline: String,
    /// Digest of `contract.toml`.
    pub contract: String,
    /// Digests of the SQL files, by view.
    pub sql: BTreeMap<String, String>,
    /// The values of the pipeline's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The geographic databases, as `GeoLite2-City 2026-11-17`.
    pub geoip: Vec<String>,
    /// The tax table, `japan` or a file, and its digest.
    pub tax_table: String,
    /// The objects of tables that were joined.
    pub references: Vec<ManifestInput>,
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
    /// The table's root: an absolute path or a URL.
    #[serde(deserialize_with = "read_root")]
    pub root: String,
    /// Its columns, partition columns among them.
    pub columns: Vec<ManifestColumn>,
    /// The columns that are directories, outermost first.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// How its files hold points in time: `int64` or `int96` in Parquet, `text` in TSV.
    #[serde(default)]
    pub timestamps: String,
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

/// A root as it is called now: paths with `..` in them were written down as they were once.
fn read_root<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let root = String::deserialize(deserializer)?;
    Ok(StoreLocation::parse(&root).map_or(root, |location| location.absolute()))
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// Its name.
    pub name: String,
    /// Its Arrow type as text, such as `Decimal128(12, 2)`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What a struct consists of; of a list, its element.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ManifestColumn>,
}

impl ManifestColumn {
    /// A column as its field says it.
    pub fn of(field: &Field) -> Self {
        let fields = match field.data_type() {
            DataType::List(element) => vec![Self::of(element)],
            DataType::Struct(fields) => fields.iter().map(|field| Self::of(field)).collect(),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => pair.iter().map(|field| Self::of(field)).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let (name, data_type) = (field.name().clone(), field.data_type().to_string());
        ManifestColumn { name, data_type, fields }
    }

    /// The type without what it is made of: `List`, `Decimal128`.
    pub(in crate::commit) fn kind(&self) -> &str {
        self.data_type.split('(').next().unwrap_or_default()
    }
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

#[cfg(test)]
impl Manifest {
    /// A manifest that says nothing yet.
    pub(crate) fn of_tests() -> Self {
        Manifest {
            version: crate::commit::state::VERSION,
            pipeline: "p".into(),
            interval: IntervalId::new(""),
            interval_start: String::new(),
            interval_end: String::new(),
            attempt: AttemptId::new("a"),
            published_at: String::new(),
            previous: None,
            provenance: Provenance::default(),
            inputs: Vec::new(),
            replaced_intervals: Vec::new(),
            tables: Vec::new(),
            counts: None,
        }
    }
}
