//! The writers of one output: all of its tables from one pass, in bounded memory.
//!
//! A partition whose rows arrive while fewer than `open_writers_max` files are open gets a writer
//! and keeps it; the rows of all others are handed back. As no writer is closed before
//! [`OutputWriter::close_open`], a partition that was refused once is refused for good: the caller
//! sorts the refused rows by partition key and gives them to [`OutputWriter::write_sorted`], which
//! needs one writer at a time. So 100,000 partitions take the memory of a few, and each partition
//! has few files.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::error::{Diagnostic, Error, Result};
use crate::pipeline::{Format, Output, TsvCompression};
use crate::sink::file::{Sealed, write_error};
use crate::sink::parquet::{self, ParquetFile, ParquetLayout};
use crate::sink::route::{Part, Router, take_rows};
use crate::sink::stored::{stored_schema, to_stored};
use crate::sink::tsv::{self, TsvFile};
use crate::store::paths::RunPaths;

/// Row groups at which a file is ended, however small: a footer must stay readable.
const ROW_GROUPS_MAX: usize = 1000;

/// The bounds of an output's writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// Files that may be open at once, over all tables of the output; at least one partition's.
    pub open_writers_max: usize,
    /// Bytes that encoders may hold in memory, over all open files; at least one partition's.
    pub buffered_bytes_max: u64,
    /// Keys and values for the footers of Parquet files, such as the run's id.
    pub footer: Vec<(String, String)>,
}

/// One finished file below the staging folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WrittenFile {
    /// The output's name.
    pub output: String,
    /// The format's name, `parquet` or `tsv`.
    pub format: String,
    /// `dt=2026-11-21/service=books`; empty if the table has no partitions.
    pub hive_path: String,
    /// The file's name.
    pub name: String,
    /// How many rows it holds.
    pub rows: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// SHA-256 of those bytes, 64 hexadecimal digits, lower case.
    pub sha256: String,
}

/// Writes the rows of one output, in all of its formats, below the staging folder.
pub struct OutputWriter {
    output: String,
    staging: PathBuf,
    paths: RunPaths,
    stored: SchemaRef,
    router: Router,
    tables: Vec<TableWriter>,
    open: HashMap<String, OpenPartition>,
    open_partitions_max: usize,
    buffered_bytes: u64,
    buffered_bytes_max: u64,
    written: Vec<WrittenFile>,
    /// Holds a chunk of encoded text.
    scratch: Vec<u8>,
}

/// One table of the output.
struct TableWriter {
    /// The format's name.
    format: &'static str,
    encoding: Encoding,
    file_bytes_target: u64,
    /// Number of the next file; unique over the table's attempt, so that no name comes twice.
    next_file: usize,
}

enum Encoding {
    Parquet(ParquetLayout),
    Tsv(TsvCompression),
}

/// A partition that has writers.
struct OpenPartition {
    /// One a table, in their order; none between two files.
    files: Vec<Option<OpenFile>>,
    /// Bytes that the files hold in memory, as of the last write.
    buffered_bytes: u64,
}

struct OpenFile {
    name: String,
    encoder: Encoder,
}

enum Encoder {
    Parquet(Box<ParquetFile>),
    Tsv(Box<TsvFile>),
}

impl OutputWriter {
    /// Writers for rows of `schema`, the view's without its excluded columns.
    ///
    /// Files go to `<staging>/<output>.<format>/<hive path>/`, names come from `paths`. A type that
    /// cannot be stored is an `Error::Config`; [`check_output`](super::check_output) finds it
    /// earlier.
    pub fn new(
        output: &Output,
        schema: &Schema,
        staging: PathBuf,
        paths: RunPaths,
        options: &WriterOptions,
    ) -> Result<Self> {
        let stored = stored_schema(schema).map_err(|problems| {
            Error::Config(problems.into_iter().map(Diagnostic::new).collect())
        })?;
        let router = Router::new(&stored, &output.partition_by)?;
        let in_files = stored.project(router.data_columns());
        let in_files = Arc::new(in_files.map_err(|err| Error::Bug(format!("projecting: {err}")))?);
        let table = |format: &Format| TableWriter::new(format, &in_files, &options.footer);
        let tables = output.tables.iter().map(|t| table(&t.format)).collect::<Result<Vec<_>>>()?;
        Ok(OutputWriter {
            output: output.name.clone(),
            staging,
            paths,
            stored,
            router,
            open: HashMap::new(),
            open_partitions_max: open_partitions_max(&tables, options),
            tables,
            buffered_bytes: 0,
            buffered_bytes_max: options.buffered_bytes_max,
            written: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Writes the rows of partitions that have a writer or get one; hands back the others, in their
    /// order, as they came.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let stored = to_stored(batch, &self.stored)?;
        let mut refused: Vec<u32> = Vec::new();
        for Part { hive_path, rows } in self.router.route(&stored)? {
            if self.open.contains_key(&hive_path) || self.open.len() < self.open_partitions_max {
                self.write_part(&hive_path, &stored, rows)?;
            } else {
                // No row numbers mean all rows.
                let all = || (0..).take(stored.num_rows()).collect();
                refused.extend(rows.unwrap_or_else(all));
            }
        }
        if refused.is_empty() {
            return Ok(None);
        }
        refused.sort_unstable();
        take_rows(batch, refused).map(Some)
    }

    /// Writes rows that arrive ordered by partition key: each partition's writer is closed when the
    /// next one begins. Rows in another order make more files, not a wrong table.
    pub fn write_sorted(&mut self, batch: &RecordBatch) -> Result<()> {
        let stored = to_stored(batch, &self.stored)?;
        for Part { hive_path, rows } in self.router.route(&stored)? {
            if !self.open.contains_key(&hive_path) {
                self.close_open()?;
            }
            self.write_part(&hive_path, &stored, rows)?;
        }
        Ok(())
    }

    /// Ends all open files.
    pub fn close_open(&mut self) -> Result<()> {
        for (hive_path, partition) in std::mem::take(&mut self.open) {
            for (table, file) in partition.files.into_iter().enumerate() {
                if let Some(file) = file {
                    self.finish_file(table, &hive_path, file)?;
                }
            }
        }
        self.buffered_bytes = 0;
        Ok(())
    }

    /// Ends all open files; returns what was written, ordered by format, hive path and name.
    ///
    /// All files and the folders that name them have reached the disk.
    pub fn finish(mut self) -> Result<Vec<WrittenFile>> {
        self.close_open()?;
        self.sync_folders()?;
        self.written.sort();
        Ok(self.written)
    }

    /// Bytes that the encoders of all open files hold in memory.
    pub fn buffered_bytes(&self) -> u64 {
        self.buffered_bytes
    }

    /// Partitions that have open files.
    pub fn open_partitions(&self) -> usize {
        self.open.len()
    }

    fn write_part(
        &mut self,
        hive_path: &str,
        stored: &RecordBatch,
        rows: Option<Vec<u32>>,
    ) -> Result<()> {
        let columns = stored.project(self.router.data_columns());
        let columns = columns.map_err(|err| Error::Bug(format!("projecting a batch: {err}")))?;
        let part = match rows {
            None => columns,
            Some(rows) => take_rows(&columns, rows)?,
        };
        // Taken out for the time of writing; an error ends the whole attempt.
        let mut partition = self.open.remove(hive_path).unwrap_or_else(|| OpenPartition {
            files: self.tables.iter().map(|_| None).collect(),
            buffered_bytes: 0,
        });
        for table in 0..self.tables.len() {
            self.write_to_table(table, hive_path, &mut partition.files[table], &part)?;
        }
        self.buffered_bytes -= partition.buffered_bytes;
        partition.buffered_bytes = self.state_and_memory_bytes(&partition);
        self.buffered_bytes += partition.buffered_bytes;
        self.open.insert(hive_path.to_owned(), partition);
        self.shrink()
    }

    fn write_to_table(
        &mut self,
        table: usize,
        hive_path: &str,
        slot: &mut Option<OpenFile>,
        part: &RecordBatch,
    ) -> Result<()> {
        let mut file = match slot.take() {
            Some(file) => file,
            None => self.create_file(table, hive_path)?,
        };
        match &mut file.encoder {
            Encoder::Parquet(encoder) => encoder.write(part)?,
            Encoder::Tsv(encoder) => encoder.write(part, &mut self.scratch)?,
        }
        if file.is_full(self.tables[table].file_bytes_target) {
            return self.finish_file(table, hive_path, file);
        }
        *slot = Some(file);
        Ok(())
    }

    fn create_file(&mut self, table: usize, hive_path: &str) -> Result<OpenFile> {
        let folder = self.table_folder(table).join(hive_path);
        let writer = &mut self.tables[table];
        let name = self.paths.table_file(writer.next_file, writer.extension());
        writer.next_file += 1;
        let path = folder.join(&name);
        let encoder = match &writer.encoding {
            Encoding::Parquet(layout) => Encoder::Parquet(Box::new(layout.create(path)?)),
            Encoding::Tsv(compression) => {
                Encoder::Tsv(Box::new(TsvFile::create(path, *compression)?))
            }
        };
        Ok(OpenFile { name, encoder })
    }

    fn finish_file(&mut self, table: usize, hive_path: &str, file: OpenFile) -> Result<()> {
        let rows = file.rows();
        let Sealed { bytes, sha256 } = match file.encoder {
            Encoder::Parquet(encoder) => encoder.finish()?,
            Encoder::Tsv(encoder) => encoder.finish()?,
        };
        self.written.push(WrittenFile {
            output: self.output.clone(),
            format: self.tables[table].format.to_owned(),
            hive_path: hive_path.to_owned(),
            name: file.name,
            rows,
            bytes,
            sha256,
        });
        Ok(())
    }

    /// While encoders hold too much, the one that holds most writes its row group.
    fn shrink(&mut self) -> Result<()> {
        while self.buffered_bytes > self.buffered_bytes_max {
            let held = |partition: &OpenPartition| {
                partition.files.iter().flatten().map(OpenFile::memory_bytes).sum::<u64>()
            };
            let largest = self.open.iter_mut().max_by_key(|(_, partition)| held(partition));
            let Some((_, partition)) = largest.filter(|(_, partition)| held(partition) > 0) else {
                // What is left is the fixed state of the few open files.
                return Ok(());
            };
            let before = held(partition);
            for file in partition.files.iter_mut().flatten() {
                if let Encoder::Parquet(encoder) = &mut file.encoder {
                    encoder.end_row_group()?;
                }
            }
            let freed = before - held(partition);
            partition.buffered_bytes -= freed;
            self.buffered_bytes -= freed;
        }
        Ok(())
    }

    fn state_and_memory_bytes(&self, partition: &OpenPartition) -> u64 {
        let files = self.tables.iter().zip(&partition.files);
        let bytes = files.filter_map(|(table, file)| {
            file.as_ref().map(|file| table.state_bytes() + file.memory_bytes())
        });
        bytes.sum()
    }

    fn table_folder(&self, table: usize) -> PathBuf {
        let format = self.tables[table].format;
        self.staging.join(RunPaths::table_folder(&self.output, format))
    }

    /// Brings the folders' entries to the disk: a file whose name is lost is lost.
    fn sync_folders(&self) -> Result<()> {
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for file in &self.written {
            let table = self.staging.join(RunPaths::table_folder(&file.output, &file.format));
            let leaf = table.join(&file.hive_path);
            let up_to_staging = leaf.ancestors().take_while(|folder| *folder != self.staging);
            folders.extend(up_to_staging.map(Path::to_path_buf));
        }
        if !folders.is_empty() {
            folders.insert(self.staging.clone());
        }
        for folder in &folders {
            let synced = File::open(folder).and_then(|open| open.sync_all());
            synced.map_err(|err| write_error(folder, &err))?;
        }
        Ok(())
    }
}

impl TableWriter {
    fn new(format: &Format, in_files: &SchemaRef, footer: &[(String, String)]) -> Result<Self> {
        let (encoding, file_bytes_target) = match format {
            Format::Parquet(options) => {
                let layout = ParquetLayout::new(Arc::clone(in_files), options, footer)?;
                (Encoding::Parquet(layout), options.file_bytes_target)
            }
            Format::Tsv(options) => (Encoding::Tsv(options.compression), options.file_bytes_target),
        };
        Ok(TableWriter { format: format.name(), encoding, file_bytes_target, next_file: 0 })
    }

    fn extension(&self) -> &'static str {
        match &self.encoding {
            Encoding::Parquet(_) => parquet::EXTENSION,
            Encoding::Tsv(compression) => tsv::extension(*compression),
        }
    }

    /// Bytes that an open file of this table holds in memory, however few rows it has.
    fn state_bytes(&self) -> u64 {
        match &self.encoding {
            Encoding::Parquet(layout) => layout.state_bytes(),
            Encoding::Tsv(compression) => tsv::state_bytes(*compression),
        }
    }
}

impl OpenFile {
    fn rows(&self) -> u64 {
        match &self.encoder {
            Encoder::Parquet(encoder) => encoder.rows(),
            Encoder::Tsv(encoder) => encoder.rows(),
        }
    }

    /// Bytes that can be freed by ending the row group.
    fn memory_bytes(&self) -> u64 {
        match &self.encoder {
            Encoder::Parquet(encoder) => encoder.memory_bytes(),
            Encoder::Tsv(_) => 0,
        }
    }

    fn is_full(&self, file_bytes_target: u64) -> bool {
        match &self.encoder {
            Encoder::Parquet(encoder) => {
                encoder.bytes() >= file_bytes_target || encoder.row_groups() >= ROW_GROUPS_MAX
            }
            Encoder::Tsv(encoder) => encoder.bytes() >= file_bytes_target,
        }
    }
}

/// How many partitions may be open: by the number of files, and by what an open file holds at
/// least.
fn open_partitions_max(tables: &[TableWriter], options: &WriterOptions) -> usize {
    let by_files = options.open_writers_max / tables.len().max(1);
    let state_bytes: u64 = tables.iter().map(TableWriter::state_bytes).sum();
    let by_bytes = options.buffered_bytes_max / state_bytes.max(1);
    by_files.min(usize::try_from(by_bytes).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
#[path = "writers_tests.rs"]
mod tests;
