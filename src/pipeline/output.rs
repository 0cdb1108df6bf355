//! What an output is: a view that is written.

use crate::base::interval::Grain;

/// A view that is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The output's name in results and state.
    pub name: String,
    /// The view that is written.
    pub view: String,
    /// One table a format.
    pub tables: Vec<Table>,
    /// Columns that become directories, outermost first.
    pub partition_by: Vec<String>,
    /// Whether Parquet files hold those columns too.
    pub keep_partition_columns: bool,
    /// Columns that order the rows within a file.
    pub sort_by: Vec<String>,
    /// Columns of the view that are not written.
    pub exclude: Vec<String>,
    /// The spans of time whose rows it makes as a whole; none if it treats each row by itself.
    pub grain: Option<Grain>,
    /// Which changes of the columns since the last publish are taken.
    pub on_schema_change: OnSchemaChange,
    /// What must hold of the rows.
    pub expectations: Vec<Expectation>,
    /// Where it stands in `pipeline.toml`: line and column from 1.
    pub place: (usize, usize),
}

impl Output {
    /// The table's name in a metastore, which takes letters, digits and `_`: the output's, with the
    /// format's after it if there are several.
    pub fn table_name(&self, format: &Format) -> String {
        let name = self.name.replace('-', "_");
        if self.tables.len() > 1 { format!("{name}_{}", format.name()) } else { name }
    }
}

/// Which changes of a table's columns are taken; others end the run before it reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnSchemaChange {
    /// New columns, which readers of older files see as NULL.
    #[default]
    AllowAdded,
    /// None.
    Freeze,
    /// All of them.
    Any,
}

impl OnSchemaChange {
    /// The name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            OnSchemaChange::AllowAdded => "allow_added",
            OnSchemaChange::Freeze => "freeze",
            OnSchemaChange::Any => "any",
        }
    }
}

/// One format of an output, at its own root.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The root, which holds this table and nothing else: a path or a URL.
    pub location: String,
    /// How its files are written.
    pub format: Format,
}

/// How a table's files are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Apache Parquet.
    Parquet(ParquetOptions),
    /// Text as Hive's LazySimpleSerDe reads it.
    Tsv(TsvOptions),
}

impl Format {
    /// The name in configuration and results.
    pub fn name(&self) -> &'static str {
        match self {
            Format::Parquet(_) => "parquet",
            Format::Tsv(_) => "tsv",
        }
    }
}

/// How Parquet is written.
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetOptions {
    /// Who must be able to read it; settles timestamps and decimals together.
    pub target: ParquetTarget,
    /// The codec of data pages.
    pub compression: ParquetCompression,
    /// Encoded bytes of a row group at which it is closed.
    pub row_group_bytes_target: u64,
    /// Bytes of a file at which the next one is begun.
    pub file_bytes_target: u64,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        ParquetOptions {
            target: ParquetTarget::Spark,
            compression: ParquetCompression::Zstd(1),
            row_group_bytes_target: 128 << 20,
            file_bytes_target: 256 << 20,
        }
    }
}

/// Readers that differ in which timestamps and decimals they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetTarget {
    /// INT64 microseconds, decimals as narrow as they fit.
    Spark,
    /// As `Spark`.
    Trino,
    /// As `Spark`.
    DuckDb,
    /// As `Hive2`: that Hive reads INT64 timestamps came with HIVE-21215, in Hive 4.
    Hive3,
    /// Hive 2: INT96 timestamps, decimals as fixed-length byte arrays.
    Hive2,
}

/// Codecs of Parquet's data pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetCompression {
    /// None.
    Uncompressed,
    /// Snappy.
    Snappy,
    /// Zstandard at a level, 1 to 22.
    Zstd(i32),
}

/// How TSV is written.
#[derive(Debug, Clone, PartialEq)]
pub struct TsvOptions {
    /// The files' compression.
    pub compression: TsvCompression,
    /// Bytes of a (compressed) file at which the next one is begun.
    pub file_bytes_target: u64,
}

impl Default for TsvOptions {
    fn default() -> Self {
        TsvOptions { compression: TsvCompression::Gzip, file_bytes_target: 256 << 20 }
    }
}

/// Codecs that Hive reads text through without native libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsvCompression {
    /// None.
    Uncompressed,
    /// gzip.
    Gzip,
    /// bzip2, the only one that Hadoop splits.
    Bzip2,
}

/// A SQL predicate that each row of an output must meet; NULL counts as broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The expectation's name in results and in the quarantine.
    pub name: String,
    /// A SQL predicate over the view's columns.
    pub predicate: String,
    /// What a row that breaks it does.
    pub on_fail: OnFail,
    /// Where it stands in its file, for errors: line and column from 1.
    pub place: (usize, usize),
}

/// What a row that breaks an expectation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFail {
    /// The row goes to the quarantine, not to the table.
    Reject,
    /// The row is written and counted.
    Warn,
    /// The run fails with exit code 65.
    Fail,
}
