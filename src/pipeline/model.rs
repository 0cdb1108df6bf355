//! What a pipeline says, as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Output, Parameter};
use crate::base::config::ConfigFile;
use crate::base::interval::PathTemplate;
use crate::contract::{ColumnType, Contract};
use crate::enrich::TaxUnknown;

/// A definition of work: where logs lie, what they look like, what becomes of them.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The name in results and state; the folder's name unless it says otherwise.
    pub name: String,
    /// The folder that defines it.
    pub folder: PathBuf,
    /// The zone of local days, hours and path templates.
    pub time_zone: chrono_tz::Tz,
    /// Where the logs lie.
    pub source: Source,
    /// Where rejects go, and how many are too many.
    pub quarantine: Quarantine,
    /// The place of manifests, intents and staging, outside all tables: a path or a URL.
    pub state: String,
    /// What the SQL functions look things up in.
    pub enrichment: EnrichmentSettings,
    /// What SQL files may refer to as `$name`, besides the interval's bounds.
    pub parameters: BTreeMap<String, Parameter>,
    /// Tables that SQL files may join.
    pub references: Vec<Reference>,
    /// The views that are written.
    pub outputs: Vec<Output>,
    /// How much of the machine a run may take.
    pub resources: Resources,
    /// The shape of a log record.
    pub contract: Contract,
    /// The SQL files, one view each.
    pub views: Vec<View>,
    /// `pipeline.toml`, for errors found later.
    pub file: ConfigFile,
    /// `contract.toml`.
    pub contract_file: ConfigFile,
}

/// Where the logs lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// A directory, a glob or one object; a path or a URL.
    pub location: String,
    /// The directories below a directory, by time.
    pub path: PathTemplate,
    /// Which objects count, by their path below the expanded template.
    pub glob: Option<String>,
    /// Keys of `key=value` directories that are columns of `logs`, as text.
    pub partition_columns: Vec<String>,
    /// What makes a record of an object.
    pub framing: Framing,
    /// More objects of which nothing can be read than this fail the run.
    pub unreadable_objects_max: u64,
    /// What a run does if the source has nothing any more for an interval that was published.
    pub on_empty: OnEmpty,
    /// Where it stands in `pipeline.toml`: line and column from 1.
    pub place: (usize, usize),
}

/// What makes a record of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Told by each object's first record.
    #[default]
    Auto,
    /// Each line is one.
    Lines,
    /// Each JSON value is one, whatever lines they stand on.
    Values,
    /// Each element of an array is one.
    Array,
}

/// What a run does if the source has nothing any more for an interval that was published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnEmpty {
    /// The rows stay as they are, and there is nothing to do.
    #[default]
    Keep,
    /// The interval's rows go, as the source has none.
    Replace,
    /// The run fails.
    Fail,
}

impl OnEmpty {
    /// The name in configuration and results.
    pub fn name(self) -> &'static str {
        match self {
            OnEmpty::Keep => "keep",
            OnEmpty::Replace => "replace",
            OnEmpty::Fail => "fail",
        }
    }
}

/// Where rejects go, and how many are too many.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// A directory or URL outside all tables.
    pub location: String,
    /// More rejected lines than this stop the run.
    pub rejects_max: Option<u64>,
    /// A larger share of rejected lines than this, 0 to 1, fails the run; if absent, a safe one.
    pub reject_ratio_max: Option<f64>,
}

/// What the SQL functions look things up in.
#[derive(Debug, Clone, Default)]
pub struct EnrichmentSettings {
    /// MaxMind database files; for each field the first that knows it wins.
    pub geoip: Vec<NamedFile>,
    /// A tax table of the pipeline's own instead of Japan's.
    pub tax_table: Option<NamedFile>,
    /// What an unknown category or rate does.
    pub tax_unknown: TaxUnknown,
    /// Keys of `pseudonymize`, by name.
    pub keys: BTreeMap<String, Secret>,
}

/// A file that `pipeline.toml` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// Where `pipeline.toml` names it: line and column from 1.
    pub place: (usize, usize),
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself; do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A table that SQL files may join.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The table's name in SQL.
    pub name: String,
    /// A file, directory or URL.
    pub location: String,
    /// The format of its files.
    pub format: ReferenceFormat,
    /// The types of its columns, by name; others are text. Parquet has types of its own.
    pub types: BTreeMap<String, ColumnType>,
    /// Where it stands in `pipeline.toml`: line and column from 1.
    pub place: (usize, usize),
}

/// Formats of reference tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceFormat {
    /// Comma-separated values with a header line.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
}

/// How much of the machine a run may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes that the whole process may take.
    pub memory_limit_bytes: u64,
    /// Threads of the engine; the number of cores if absent.
    pub threads: Option<usize>,
    /// Files that an output may have open at a time.
    pub open_writers_max: usize,
    /// Where sorts and joins spill; the system's temporary directory if absent.
    pub spill: Option<PathBuf>,
    /// Steps that a recursive query may take.
    pub recursion_steps_max: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Resources {
            memory_limit_bytes: 512 << 20,
            threads: None,
            open_writers_max: 32,
            spill: None,
            recursion_steps_max: 10_000,
        }
    }
}

/// One SQL file: a view named by its stem.
#[derive(Debug, Clone)]
pub struct View {
    /// The view's name.
    pub name: String,
    /// Its file.
    pub file: ConfigFile,
}
