//! Rows as Parquet that the table's readers take; see [`parquet_schema`](super::parquet_schema).
//!
//! One row group is encoded in memory at a time; it is closed at `row_group_bytes_target`. Footers
//! name the program (`created_by`) and what the caller passes (the run). The Arrow schema is not
//! embedded: it would say nothing that the Parquet schema does not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr,
};
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};
use rayon::prelude::*;

use crate::base::error::{Error, Result};
use crate::base::fs::write_error;
use crate::pipeline::{ParquetCompression, ParquetOptions};
use crate::sink::choice::{ColumnChoice, choose};
use crate::sink::file::{HashedFile, Sealed};
use crate::sink::parquet_columns::{ColumnEncoder, EncodedColumn, RowGroupMaker};
use crate::sink::parquet_schema::{is_hive, parquet_schema};

/// The end of a file's name.
pub(crate) const EXTENSION: &str = "parquet";

/// The program's name in footers, in the form that parquet-mr's version parser takes.
const CREATED_BY: &str = concat!("ashiato version ", env!("CARGO_PKG_VERSION"));

/// Bytes that an open file's writer holds for one leaf column before any value.
const COLUMN_STATE_BYTES: u64 = 32 << 10;

/// Rows that are encoded at once where NULLs stand among values.
const WRITE_BATCH_ROWS: usize = 8192;

/// What all Parquet files of one table have in common.
pub(crate) struct ParquetLayout {
    schema: SchemaRef,
    root: TypePtr,
    properties: WriterPropertiesBuilder,
    file_properties: WriterPropertiesPtr,
    is_hive: bool,
    /// Which fields the table is sorted by.
    is_sort_column: Vec<bool>,
    row_group_bytes_target: u64,
    leaves: u64,
}

/// A Parquet file that is being written.
pub(crate) struct ParquetFile {
    writer: SerializedFileWriter<HashedFile>,
    /// The columns of the row group that is being encoded; none between two.
    row_group: Vec<ColumnEncoder>,
    row_group_bytes_target: u64,
    path: PathBuf,
    rows: u64,
}

/// What is written at once: the columns of a block, and what was chosen from them for the row
/// groups that begin with it.
pub(crate) struct ParquetBlock<'a> {
    layout: &'a ParquetLayout,
    columns: &'a [ArrayRef],
    rows: usize,
    maker: OnceLock<Result<RowGroupMaker>>,
}

impl ParquetLayout {
    /// A layout for rows of `schema` (stored types, without partition columns) that are sorted by
    /// `sort_by`, if at all; `metadata` goes into each footer.
    pub(crate) fn new(
        schema: SchemaRef,
        options: &ParquetOptions,
        sort_by: &[String],
        metadata: &[(String, String)],
    ) -> Result<Self> {
        let root = parquet_schema(&schema, options.target)?;
        let metadata = metadata.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(codec(options.compression)?)
            .set_write_batch_size(WRITE_BATCH_ROWS)
            .set_key_value_metadata(Some(metadata));
        let leaves = SchemaDescriptor::new(Arc::clone(&root)).num_columns() as u64;
        let fields = schema.fields().iter();
        Ok(ParquetLayout {
            is_sort_column: fields.map(|field| sort_by.contains(field.name())).collect(),
            schema,
            root,
            file_properties: Arc::new(properties.clone().build()),
            properties,
            is_hive: is_hive(options.target),
            row_group_bytes_target: options.row_group_bytes_target,
            leaves,
        })
    }

    /// Bytes that an open file holds in memory, however few rows it has.
    pub(crate) fn state_bytes(&self) -> u64 {
        self.leaves * COLUMN_STATE_BYTES
    }

    /// Encoded bytes at which a row group is ended.
    pub(crate) fn row_group_bytes_target(&self) -> u64 {
        self.row_group_bytes_target
    }

    /// The columns of a block of so many rows that is about to be written.
    pub(crate) fn block<'a>(&'a self, columns: &'a [ArrayRef], rows: usize) -> ParquetBlock<'a> {
        ParquetBlock { layout: self, columns, rows, maker: OnceLock::new() }
    }

    /// Creates a file.
    pub(crate) fn create(&self, path: PathBuf) -> Result<ParquetFile> {
        let file = HashedFile::create(path.clone())?;
        let (root, properties) = (Arc::clone(&self.root), Arc::clone(&self.file_properties));
        let writer = SerializedFileWriter::new(file, root, properties);
        Ok(ParquetFile {
            writer: writer.map_err(|err| parquet_error(&path, err))?,
            row_group: Vec::new(),
            row_group_bytes_target: self.row_group_bytes_target,
            path,
            rows: 0,
        })
    }

    /// Makes row groups whose columns are encoded as fits the given ones.
    fn choose(&self, columns: &[ArrayRef]) -> Result<RowGroupMaker> {
        let choices = columns.par_iter().zip(&self.is_sort_column);
        let choices: Vec<ColumnChoice> =
            choices.map(|(column, is_sort_column)| choose(column, *is_sort_column)).collect();
        let mut properties = self.properties.clone();
        let mut only_nulls = vec![false; columns.len()];
        let fields = self.schema.fields().iter().zip(choices).zip(&mut only_nulls);
        for ((field, choice), only_nulls) in fields.filter(|((field, _), _)| is_flat(field)) {
            // The specification gives INT96 no order, so statistics could mislead.
            let is_int96 = self.is_hive && matches!(field.data_type(), DataType::Timestamp(_, _));
            let path = ColumnPath::from(field.name().as_str());
            if is_int96 || !choice.min_max {
                properties =
                    properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
            }
            *only_nulls = !choice.min_max;
            let dictionary = choice.dictionary && !is_int96;
            properties = properties.set_column_dictionary_enabled(path, dictionary);
        }
        let (schema, root) = (Arc::clone(&self.schema), Arc::clone(&self.root));
        RowGroupMaker::new(schema, root, Arc::new(properties.build()), only_nulls)
            .map_err(|err| Error::Bug(format!("making a row group: {err}")))
    }
}

impl ParquetBlock<'_> {
    fn encoders(&self) -> Result<Vec<ColumnEncoder>> {
        let maker = self.maker.get_or_init(|| self.layout.choose(self.columns));
        let maker = maker.as_ref().map_err(Error::clone)?;
        maker.encoders().map_err(|err| Error::Bug(format!("making a row group: {err}")))
    }
}

impl ParquetFile {
    /// Appends the given rows of `block`, or all; ends the row group if it has reached its target.
    ///
    /// Columns are encoded beside each other on the threads of the pool that this runs on.
    pub(crate) fn write(
        &mut self,
        block: &ParquetBlock<'_>,
        rows: Option<&UInt32Array>,
    ) -> Result<()> {
        if self.row_group.is_empty() {
            self.row_group = block.encoders()?;
        }
        let columns = self.row_group.par_iter_mut().zip(block.columns);
        let encoded = columns.map(|(encoder, column)| encoder.write(column, rows));
        let encoded: Vec<_> = encoded.collect();
        for encoded in encoded {
            encoded?.map_err(|err| parquet_error(&self.path, err))?;
        }
        self.rows += rows.map_or(block.rows, |rows| rows.len()) as u64;
        if self.row_group_bytes() >= self.row_group_bytes_target {
            self.end_row_group()?;
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that the file would have if its row group were ended now, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64 + self.row_group_bytes()
    }

    /// Row groups that are written.
    pub(crate) fn row_groups(&self) -> usize {
        self.writer.flushed_row_groups().len()
    }

    /// Bytes that the row group holds in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.row_group.iter().map(ColumnEncoder::memory_bytes).sum()
    }

    /// Writes the row group to the file, if it has rows.
    pub(crate) fn end_row_group(&mut self) -> Result<()> {
        if self.row_group.is_empty() {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.row_group).into_par_iter();
        let columns: Vec<Result<EncodedColumn, ParquetError>> =
            columns.map(ColumnEncoder::close).collect();
        let write = || -> Result<(), ParquetError> {
            let mut open = self.writer.next_row_group()?;
            for column in columns {
                column?.append_to(&mut open)?;
            }
            open.close()?;
            Ok(())
        };
        write().map_err(|err| parquet_error(&self.path, err))
    }

    /// Writes the last row group and the footer, and brings all to the disk.
    pub(crate) fn finish(mut self) -> Result<Sealed> {
        self.end_row_group()?;
        self.writer.finish().map_err(|err| parquet_error(&self.path, err))?;
        self.writer.inner_mut().seal()
    }

    fn row_group_bytes(&self) -> u64 {
        self.row_group.iter().map(ColumnEncoder::encoded_bytes).sum()
    }
}

fn is_flat(field: &Field) -> bool {
    !field.data_type().is_nested()
}

fn codec(compression: ParquetCompression) -> Result<Compression> {
    Ok(match compression {
        ParquetCompression::Uncompressed => Compression::UNCOMPRESSED,
        ParquetCompression::Snappy => Compression::SNAPPY,
        ParquetCompression::Zstd(level) => {
            let level = ZstdLevel::try_new(level);
            Compression::ZSTD(level.map_err(|err| Error::config(err.to_string()))?)
        }
    })
}

/// Tells a failing disk (retry) from a failing program (report).
fn parquet_error(path: &Path, err: ParquetError) -> Error {
    match err {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(io) => write_error(path, &io),
            Err(other) => Error::Bug(format!("writing {}: {other}", path.display())),
        },
        other => Error::Bug(format!("writing {}: {other}", path.display())),
    }
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
