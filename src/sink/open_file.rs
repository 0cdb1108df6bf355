//! The files of one table that are being written.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::datatypes::SchemaRef;

use super::names::table_file;
use super::parquet::{self, ParquetBlock, ParquetFile, ParquetLayout};
use super::tsv::{self, TsvBlock, TsvFile};
use crate::base::error::{Error, Result};
use crate::base::run_ids::AttemptId;
use crate::pipeline::{Format, TsvCompression};
use crate::sink::file::Sealed;

/// Row groups at which a file is ended, however small: a footer must stay readable.
const ROW_GROUPS_MAX: usize = 1000;

/// One table of an output.
pub(crate) struct TableWriter {
    /// The format's name.
    pub(crate) format: &'static str,
    encoding: Encoding,
    in_files: SchemaRef,
    file_bytes_target: u64,
    /// Number of the next file; unique over the table's attempt, so that no name comes twice.
    next_file: usize,
}

enum Encoding {
    Parquet(Box<ParquetLayout>),
    Tsv(TsvCompression),
}

/// A file that takes rows.
pub(crate) struct OpenFile {
    pub(crate) name: String,
    encoder: Encoder,
    file_bytes_target: u64,
}

enum Encoder {
    Parquet(Box<ParquetFile>),
    Tsv(Box<TsvFile>),
}

/// The columns of a block, ready for the files of one table.
pub(crate) enum TableBlock<'a> {
    Parquet(Box<ParquetBlock<'a>>),
    Tsv(TsvBlock<'a>),
}

impl TableWriter {
    /// `in_files` are the columns of the files, `sort_by` those that order their rows.
    pub(crate) fn new(
        format: &Format,
        in_files: &SchemaRef,
        sort_by: &[String],
        footer: &[(String, String)],
    ) -> Result<Self> {
        let (encoding, file_bytes_target) = match format {
            Format::Parquet(options) => {
                let layout = ParquetLayout::new(Arc::clone(in_files), options, sort_by, footer)?;
                (Encoding::Parquet(Box::new(layout)), options.file_bytes_target)
            }
            Format::Tsv(options) => (Encoding::Tsv(options.compression), options.file_bytes_target),
        };
        let in_files = Arc::clone(in_files);
        let format = format.name();
        Ok(TableWriter { format, encoding, in_files, file_bytes_target, next_file: 0 })
    }

    /// Creates the next file in `folder`.
    pub(crate) fn create_file(&mut self, folder: PathBuf, attempt: &AttemptId) -> Result<OpenFile> {
        let name = table_file(self.next_file, attempt, self.extension());
        self.next_file += 1;
        let path = folder.join(&name);
        let encoder = match &self.encoding {
            Encoding::Parquet(layout) => Encoder::Parquet(Box::new(layout.create(path)?)),
            Encoding::Tsv(compression) => {
                Encoder::Tsv(Box::new(TsvFile::create(path, *compression)?))
            }
        };
        Ok(OpenFile { name, encoder, file_bytes_target: self.file_bytes_target })
    }

    /// The columns of a block of so many rows, as this table's files take them: the first ones, if
    /// other tables of the output have more.
    pub(crate) fn block<'a>(
        &'a self,
        columns: &'a [ArrayRef],
        rows: usize,
    ) -> Result<TableBlock<'a>> {
        let columns = &columns[..self.in_files.fields().len()];
        Ok(match &self.encoding {
            Encoding::Parquet(layout) => TableBlock::Parquet(Box::new(layout.block(columns, rows))),
            Encoding::Tsv(_) => TableBlock::Tsv(TsvBlock::new(&self.in_files, columns, rows)?),
        })
    }

    /// Bytes that an open file of this table holds in memory, however few rows it has.
    pub(crate) fn state_bytes(&self) -> u64 {
        match &self.encoding {
            Encoding::Parquet(layout) => layout.state_bytes(),
            Encoding::Tsv(compression) => tsv::state_bytes(*compression),
        }
    }

    /// The least number of bytes at which something is ended: a file, or a row group.
    pub(crate) fn bytes_target(&self) -> u64 {
        match &self.encoding {
            Encoding::Parquet(layout) => {
                layout.row_group_bytes_target().min(self.file_bytes_target)
            }
            Encoding::Tsv(_) => self.file_bytes_target,
        }
    }

    fn extension(&self) -> &'static str {
        match &self.encoding {
            Encoding::Parquet(_) => parquet::EXTENSION,
            Encoding::Tsv(compression) => tsv::extension(*compression),
        }
    }
}

impl OpenFile {
    /// Appends the given rows of a block, or all of them.
    pub(crate) fn write(
        &mut self,
        block: &TableBlock<'_>,
        rows: Option<&UInt32Array>,
    ) -> Result<()> {
        match (&mut self.encoder, block) {
            (Encoder::Parquet(file), TableBlock::Parquet(block)) => file.write(block, rows),
            (Encoder::Tsv(file), TableBlock::Tsv(block)) => {
                file.write(block, rows.map(|rows| &rows.values()[..]))
            }
            _ => Err(Error::Bug("a block of another table".to_owned())),
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        match &self.encoder {
            Encoder::Parquet(file) => file.rows(),
            Encoder::Tsv(file) => file.rows(),
        }
    }

    /// Bytes that can be freed by ending the row group.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match &self.encoder {
            Encoder::Parquet(file) => file.memory_bytes(),
            Encoder::Tsv(_) => 0,
        }
    }

    /// Frees the memory that can be freed without ending the file.
    pub(crate) fn end_row_group(&mut self) -> Result<()> {
        match &mut self.encoder {
            Encoder::Parquet(file) => file.end_row_group(),
            Encoder::Tsv(_) => Ok(()),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        match &self.encoder {
            Encoder::Parquet(file) => {
                file.bytes() >= self.file_bytes_target || file.row_groups() >= ROW_GROUPS_MAX
            }
            Encoder::Tsv(file) => file.bytes() >= self.file_bytes_target,
        }
    }

    /// Ends the file; the caller syncs it.
    pub(crate) fn finish(self) -> Result<Sealed> {
        match self.encoder {
            Encoder::Parquet(file) => file.finish(),
            Encoder::Tsv(file) => file.finish(),
        }
    }
}
