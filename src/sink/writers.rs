//! The writers of one output: all of its tables from one pass, in bounded memory.
//!
//! Batches are gathered into blocks; a block is routed at once and encoded by columns and files on
//! the threads of the pool, while this thread waits.
//!
//! A partition whose rows arrive while fewer than `open_writers_max` files are open gets a writer
//! and keeps it; the rows of all others are handed back. As no writer is closed before
//! [`OutputWriter::close_open`], a partition that was refused once is refused for good: the caller
//! sorts the refused rows by partition key and gives them to [`OutputWriter::write_sorted`], which
//! needs one writer at a time. So 100,000 partitions take the memory of a few, and each partition
//! has few files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::base::error::{Diagnostic, Error, Result};
use crate::base::fs::{SYNCED_ONE_BY_ONE, sync_paths};
use crate::base::run_ids::AttemptId;
use crate::pipeline::{Format, Output};
use crate::sink::block::{Block, lay_together};
use crate::sink::encoders::EncoderPool;
use crate::sink::file::Sealed;
use crate::sink::names::table_folder;
use crate::sink::open_file::{OpenFile, TableBlock, TableWriter};
use crate::sink::route::{Part, Router};
use crate::sink::stored::stored_schema;
use crate::store::Upload;

/// Bytes of a block: beyond them nothing gets faster.
const BLOCK_BYTES_MAX: u64 = 16 << 20;

/// Part of the memory, and of the least target size, that a block may take.
const BLOCK_SHARE: u64 = 8;

/// The bounds of an output's writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// Files that may be open at once, over all tables of the output; at least one partition's.
    pub open_writers_max: usize,
    /// Bytes that the block and the encoders may hold in memory, over all open files; at least one
    /// partition's.
    pub buffered_bytes_max: u64,
    /// Keys and values for the footers of Parquet files, such as the run's id.
    pub footer: Vec<(String, String)>,
}

/// One finished file: below the staging folder, or uploaded from there.
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
    /// Where the bytes are, if the table is in an object store; else the staging folder has them.
    pub upload: Option<Upload>,
}

impl WrittenFile {
    /// The path below the table's root: `dt=2026-11-21/service=books/part-00000-a1.parquet`.
    pub fn path(&self) -> String {
        match self.hive_path.as_str() {
            "" => self.name.clone(),
            hive_path => format!("{hive_path}/{}", self.name),
        }
    }
}

/// Writes the rows of one output, in all of its formats, below the staging folder.
pub struct OutputWriter {
    output: String,
    staging: PathBuf,
    attempt: AttemptId,
    /// The columns of the files, by their numbers in the rows: those that name partitions last, if
    /// any table keeps them.
    columns: Vec<usize>,
    in_files: SchemaRef,
    router: Router,
    encoders: EncoderPool,
    tables: Vec<TableWriter>,
    block: Block,
    /// Whether the block's rows are ordered by partition key.
    is_sorted: bool,
    open: BTreeMap<String, OpenPartition>,
    open_partitions_max: usize,
    /// Bytes that the open files hold in memory, as of the last block.
    encoder_bytes: u64,
    encoder_bytes_max: u64,
    written: Vec<WrittenFile>,
    /// Whether some of these were not brought to the disk yet.
    has_unsynced: bool,
}

/// A partition that has writers: one a table, in their order; none between two files.
struct OpenPartition {
    files: Vec<Option<OpenFile>>,
}

/// The rows of a block that go to one partition.
struct OpenPart {
    hive_path: String,
    rows: Option<UInt32Array>,
    partition: OpenPartition,
}

/// A file that takes no more rows.
struct FullFile {
    table: usize,
    hive_path: String,
    file: OpenFile,
}

impl OutputWriter {
    /// Writers for rows of `schema`, the view's without its excluded columns, that encode on the
    /// threads of `encoders`.
    ///
    /// Files go to `<staging>/<output>.<format>/<hive path>/`, names hold `attempt`. A type that
    /// cannot be stored is an `Error::Config`; [`check_output`](super::check_output) finds it
    /// earlier.
    pub fn new(
        output: &Output,
        schema: &Schema,
        staging: PathBuf,
        attempt: AttemptId,
        options: &WriterOptions,
        encoders: EncoderPool,
    ) -> Result<Self> {
        let stored = stored_schema(schema).map_err(|problems| {
            Error::Config(problems.into_iter().map(Diagnostic::new).collect())
        })?;
        let router = Router::new(&stored, &output.partition_by)?;
        let project = |columns: &[usize]| {
            let projected = stored.project(columns);
            projected.map(Arc::new).map_err(|err| Error::Bug(format!("projecting: {err}")))
        };
        let data = project(router.data_columns())?;
        let mut columns = router.data_columns().to_vec();
        if output.keep_partition_columns {
            columns.extend(router.key_columns());
        }
        let in_files = project(&columns)?;
        let tables = output.tables.iter().map(|table| {
            let own = match table.format {
                Format::Parquet(_) => &in_files,
                // Its columns are told by their order alone, which partition columns are not in.
                Format::Tsv(_) => &data,
            };
            TableWriter::new(&table.format, own, &output.sort_by, &options.footer)
        });
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let block_bytes_max = block_bytes_max(&tables, options);
        Ok(OutputWriter {
            output: output.name.clone(),
            staging,
            attempt,
            columns,
            in_files,
            router,
            encoders,
            open: BTreeMap::new(),
            open_partitions_max: open_partitions_max(&tables, options),
            block: Block::new(stored, block_bytes_max),
            is_sorted: false,
            tables,
            encoder_bytes: 0,
            // What is left when a full block is laid together.
            encoder_bytes_max: options.buffered_bytes_max - 2 * block_bytes_max,
            written: Vec::new(),
            has_unsynced: false,
        })
    }

    /// Takes the rows of partitions that have a writer or get one; hands back the others, in their
    /// order, as they came, from this batch or earlier ones. Rows without a partition, which
    /// [`PartitionCheck`](super::PartitionCheck) finds, are a bug.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        self.take_batch(batch, false)
    }

    /// Takes rows that arrive ordered by partition key: each partition's writer is closed when the
    /// next one begins. Rows in another order make more files, not a wrong table.
    pub fn write_sorted(&mut self, batch: &RecordBatch) -> Result<()> {
        self.take_batch(batch, true).and_then(|refused| none_refused(&refused))
    }

    /// Writes all rows that were taken and ends all open files; hands back the rows of partitions
    /// that had no writer.
    pub fn close_open(&mut self) -> Result<Vec<RecordBatch>> {
        let refused = self.end_block()?;
        self.close_partitions()?;
        Ok(refused)
    }

    /// Ends all open files; returns what was written, ordered by format, hive path and name.
    ///
    /// All files and the folders that name them have reached the disk.
    pub fn finish(mut self) -> Result<Vec<WrittenFile>> {
        none_refused(&self.close_open()?)?;
        self.sync()?;
        self.written.sort();
        Ok(self.written)
    }

    /// Hands out the files that are finished so far; they are forgotten here, and may be removed.
    pub fn take_written(&mut self) -> Vec<WrittenFile> {
        std::mem::take(&mut self.written)
    }

    /// Bytes that rows and the encoders of all open files hold in memory.
    pub fn buffered_bytes(&self) -> u64 {
        self.block.memory_bytes() + self.encoder_bytes
    }

    /// Partitions that have open files.
    pub fn open_partitions(&self) -> usize {
        self.open.len()
    }

    fn take_batch(&mut self, batch: &RecordBatch, is_sorted: bool) -> Result<Vec<RecordBatch>> {
        let mut refused = Vec::new();
        if self.is_sorted != is_sorted {
            refused.extend(self.end_block()?);
            self.is_sorted = is_sorted;
        }
        let mut arrived = Some(self.block.arrive(batch)?);
        while let Some(rows) = arrived {
            arrived = self.block.add(rows);
            if arrived.is_some() {
                refused.extend(self.end_block()?);
            }
        }
        Ok(refused)
    }

    /// Routes and encodes the rows of the block; returns those of partitions without a writer.
    fn end_block(&mut self) -> Result<Vec<RecordBatch>> {
        if self.block.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.router.key_columns().map(|key| self.block.column(key));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let parts = self.router.route(&keys, self.block.rows())?;
        let (parts, refused) = match self.is_sorted {
            true => (parts, Vec::new()),
            false => self.admit(parts)?,
        };
        let rows = self.block.rows();
        let pieces = self.block.pieces(&self.columns);
        self.block.clear();
        let columns = self.encoders.run(|| {
            let pieces = pieces.into_par_iter().zip(&self.in_files.fields()[..]);
            pieces.map(|(pieces, field)| lay_together(pieces, field)).collect::<Vec<_>>()
        });
        let columns = columns.into_iter().collect::<Result<Vec<_>>>()?;
        if self.is_sorted {
            self.write_in_turn(parts, &columns, rows)?;
        } else {
            let open = self.write_parts(parts, &columns, rows)?;
            self.open.extend(open);
        }
        self.count_memory();
        self.shrink()?;
        Ok(refused)
    }

    /// Parts the parts that have a writer or get one from the rows of all others.
    fn admit(&self, parts: Vec<Part>) -> Result<(Vec<Part>, Vec<RecordBatch>)> {
        let mut free = self.open_partitions_max - self.open.len();
        let (admitted, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| {
            let is_open = self.open.contains_key(&part.hive_path);
            let is_new = !is_open && free > 0;
            free -= usize::from(is_new);
            is_open || is_new
        });
        let all = || (0..).take(self.block.rows()).collect();
        let refused = others.into_iter().flat_map(|part| part.rows.unwrap_or_else(all));
        let mut refused: Vec<u32> = refused.collect();
        refused.sort_unstable();
        Ok((admitted, self.block.as_they_came(&refused)?))
    }

    /// Writes parts that come in the order of their keys: all but the last are complete.
    fn write_in_turn(&mut self, parts: Vec<Part>, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if !parts.first().is_some_and(|part| self.open.contains_key(&part.hive_path)) {
            self.close_partitions()?;
        }
        let mut parts = parts.into_iter().peekable();
        while parts.peek().is_some() {
            let some = parts.by_ref().take(self.open_partitions_max).collect();
            let mut open = self.write_parts(some, columns, rows)?;
            // Without a further part, the next block may go on with the last one.
            let last = open.pop();
            self.open.extend(open);
            self.close_partitions()?;
            self.open.extend(last);
        }
        Ok(())
    }

    /// Encodes parts of a block, all at once; returns their partitions, in the parts' order.
    fn write_parts(
        &mut self,
        parts: Vec<Part>,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<(String, OpenPartition)>> {
        let parts = parts.into_iter().map(|part| self.open_part(part));
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        let blocks = self.tables.iter().map(|table| table.block(columns, rows));
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        self.encoders.run(|| {
            let encoded = parts.par_iter_mut().map(|part| part.write(&blocks));
            encoded.collect::<Vec<Result<()>>>().into_iter().collect::<Result<()>>()
        })?;
        drop(blocks);
        let full = parts.iter_mut().flat_map(|part| {
            let OpenPart { hive_path, partition, .. } = part;
            let files = partition.files.iter_mut().enumerate();
            files.filter_map(|(table, slot)| {
                let file = slot.take_if(|file| file.is_full())?;
                Some(FullFile { table, hive_path: hive_path.clone(), file })
            })
        });
        let full = full.collect();
        self.finish_files(full)?;
        Ok(parts.into_iter().map(|part| (part.hive_path, part.partition)).collect())
    }

    /// Takes a part's partition out, for the time of writing; an error ends the whole attempt.
    fn open_part(&mut self, part: Part) -> Result<OpenPart> {
        let Part { hive_path, rows } = part;
        let mut partition = self
            .open
            .remove(&hive_path)
            .unwrap_or_else(|| OpenPartition { files: self.tables.iter().map(|_| None).collect() });
        for (table, slot) in partition.files.iter_mut().enumerate() {
            if slot.is_none() {
                let folder = self.table_folder(table).join(&hive_path);
                *slot = Some(self.tables[table].create_file(folder, &self.attempt)?);
            }
        }
        Ok(OpenPart { hive_path, rows: rows.map(UInt32Array::from), partition })
    }

    fn close_partitions(&mut self) -> Result<()> {
        let mut files = Vec::new();
        for (hive_path, partition) in std::mem::take(&mut self.open) {
            for (table, file) in partition.files.into_iter().enumerate() {
                let hive_path = hive_path.clone();
                files.extend(file.map(|file| FullFile { table, hive_path, file }));
            }
        }
        self.encoder_bytes = 0;
        self.finish_files(files)
    }

    /// Ends files, several at once: each waits for the disk.
    fn finish_files(&mut self, files: Vec<FullFile>) -> Result<()> {
        let folders: Vec<PathBuf> = (0..self.tables.len()).map(|t| self.table_folder(t)).collect();
        // The more there are, the better it is to sync all of them once, at the end.
        let is_synced = self.written.len() + files.len() <= SYNCED_ONE_BY_ONE;
        self.has_unsynced |= !is_synced;
        let finish = |full: FullFile| -> Result<WrittenFile> {
            let path = folders[full.table].join(&full.hive_path).join(&full.file.name);
            let rows = full.file.rows();
            let name = full.file.name.clone();
            let Sealed { bytes, sha256 } = full.file.finish()?;
            if is_synced {
                sync_paths(&[path])?;
            }
            let output = self.output.clone();
            let format = self.tables[full.table].format.to_owned();
            let hive_path = full.hive_path;
            Ok(WrittenFile { output, format, hive_path, name, rows, bytes, sha256, upload: None })
        };
        let written: Vec<_> = self.encoders.run(|| files.into_par_iter().map(finish).collect());
        self.written.extend(written.into_iter().collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    /// While encoders hold too much, the one that holds most writes its row group.
    fn shrink(&mut self) -> Result<()> {
        while self.encoder_bytes > self.encoder_bytes_max {
            // The first by path among equals, so that the same rows make the same files.
            let open = self.open.values_mut().rev();
            let largest = open.max_by_key(|partition| partition.memory_bytes());
            let Some(partition) = largest.filter(|partition| partition.memory_bytes() > 0) else {
                // What is left is the fixed state of the few open files.
                return Ok(());
            };
            let before = partition.memory_bytes();
            self.encoders.run(|| {
                partition.files.iter_mut().flatten().try_for_each(OpenFile::end_row_group)
            })?;
            self.encoder_bytes -= before - partition.memory_bytes();
        }
        Ok(())
    }

    fn count_memory(&mut self) {
        let partitions = self.open.values();
        let bytes = partitions.flat_map(|partition| self.tables.iter().zip(&partition.files));
        let bytes = bytes.filter_map(|(table, file)| {
            file.as_ref().map(|file| table.state_bytes() + file.memory_bytes())
        });
        self.encoder_bytes = bytes.sum();
    }

    fn table_folder(&self, table: usize) -> PathBuf {
        let format = self.tables[table].format;
        self.staging.join(table_folder(&self.output, format))
    }

    /// Brings the folders' entries to the disk, as a file whose name is lost is lost, and the files
    /// that are not there yet.
    fn sync(&self) -> Result<()> {
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        let mut paths = Vec::new();
        for file in &self.written {
            let table = self.staging.join(table_folder(&file.output, &file.format));
            let leaf = table.join(&file.hive_path);
            if self.has_unsynced {
                paths.push(leaf.join(&file.name));
            }
            let up_to_staging = leaf.ancestors().take_while(|folder| *folder != self.staging);
            folders.extend(up_to_staging.map(Path::to_path_buf));
        }
        if !folders.is_empty() {
            folders.insert(self.staging.clone());
        }
        paths.extend(folders);
        sync_paths(&paths)
    }
}

impl OpenPartition {
    /// Bytes that can be freed by ending row groups.
    fn memory_bytes(&self) -> u64 {
        self.files.iter().flatten().map(OpenFile::memory_bytes).sum()
    }
}

impl OpenPart {
    /// Encodes the part's rows for each table, `blocks` in the tables' order.
    fn write(&mut self, blocks: &[TableBlock<'_>]) -> Result<()> {
        let rows = self.rows.as_ref();
        let files = self.partition.files.par_iter_mut().zip(blocks);
        let written = files.map(|(file, block)| match file {
            Some(file) => file.write(block, rows),
            None => Err(Error::Bug("a partition without a file".to_owned())),
        });
        written.collect::<Vec<Result<()>>>().into_iter().collect()
    }
}

fn none_refused(refused: &[RecordBatch]) -> Result<()> {
    match refused {
        [] => Ok(()),
        _ => Err(Error::Bug("rows without a writer were not taken back".to_owned())),
    }
}

/// How many bytes a block may have: a part of the memory, and so few that files and row groups end
/// near their targets.
fn block_bytes_max(tables: &[TableWriter], options: &WriterOptions) -> u64 {
    let targets = tables.iter().map(TableWriter::bytes_target);
    let least = targets.chain([options.buffered_bytes_max]).min().unwrap_or_default();
    (least / BLOCK_SHARE).min(BLOCK_BYTES_MAX)
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
