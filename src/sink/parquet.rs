//! Rows as Parquet that the table's readers take; see [`parquet_schema`](super::parquet_schema).
//!
//! One row group is encoded in memory at a time; it is closed at `row_group_bytes_target`. Footers
//! name the program (`created_by`) and what the caller passes (the run). The Arrow schema is not
//! embedded: it would say nothing that the Parquet schema does not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesPtr,
};
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};

use crate::error::{Error, Result};
use crate::pipeline::{ParquetCompression, ParquetOptions};
use crate::sink::file::{HashedFile, Sealed, write_error};
use crate::sink::int96::Int96Column;
use crate::sink::parquet_schema::{is_hive, parquet_schema};

/// The end of a file's name.
pub(super) const EXTENSION: &str = "parquet";

/// The program's name in footers, in the form that parquet-mr's version parser takes.
const CREATED_BY: &str = concat!("ashiato version ", env!("CARGO_PKG_VERSION"));

/// Bytes that an open file's writer holds for one leaf column before any value.
const COLUMN_STATE_BYTES: u64 = 32 << 10;

/// What all Parquet files of one table have in common.
pub(super) struct ParquetLayout {
    schema: SchemaRef,
    root: TypePtr,
    properties: WriterPropertiesPtr,
    row_group_bytes_target: u64,
    leaves: u64,
}

/// A Parquet file that is being written.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<HashedFile>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    row_group: Option<RowGroup>,
    row_group_bytes_target: u64,
    path: PathBuf,
    rows: u64,
}

/// The row group that is being encoded.
struct RowGroup {
    /// In the order of the schema's fields.
    columns: Vec<ColumnEncoder>,
}

enum ColumnEncoder {
    /// One writer a leaf.
    Arrow(Vec<ArrowColumnWriter>),
    Int96(Box<Int96Column>),
}

impl ParquetLayout {
    /// A layout for rows of `schema` (stored types, without partition columns); `metadata` goes
    /// into each footer.
    pub(super) fn new(
        schema: SchemaRef,
        options: &ParquetOptions,
        metadata: &[(String, String)],
    ) -> Result<Self> {
        let root = parquet_schema(&schema, options.target)?;
        let metadata = metadata.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(codec(options.compression)?)
            .set_key_value_metadata(Some(metadata));
        if is_hive(options.target) {
            let is_timestamp =
                |field: &&FieldRef| matches!(field.data_type(), DataType::Timestamp(_, _));
            for field in schema.fields().iter().filter(is_timestamp) {
                let path = ColumnPath::from(field.name().as_str());
                // The specification gives INT96 no order, so statistics could mislead.
                properties = properties
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                    .set_column_dictionary_enabled(path, false);
            }
        }
        let leaves = SchemaDescriptor::new(Arc::clone(&root)).num_columns() as u64;
        let properties = Arc::new(properties.build());
        let row_group_bytes_target = options.row_group_bytes_target;
        Ok(ParquetLayout { schema, root, properties, row_group_bytes_target, leaves })
    }

    /// Bytes that an open file holds in memory, however few rows it has.
    pub(super) fn state_bytes(&self) -> u64 {
        self.leaves * COLUMN_STATE_BYTES
    }

    /// Creates a file.
    pub(super) fn create(&self, path: PathBuf) -> Result<ParquetFile> {
        let file = HashedFile::create(path.clone())?;
        let writer =
            SerializedFileWriter::new(file, Arc::clone(&self.root), Arc::clone(&self.properties));
        let writer = writer.map_err(|err| parquet_error(&path, err))?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&self.schema));
        Ok(ParquetFile {
            writer,
            factory,
            schema: Arc::clone(&self.schema),
            row_group: None,
            row_group_bytes_target: self.row_group_bytes_target,
            path,
            rows: 0,
        })
    }
}

impl ParquetFile {
    /// Appends the rows of `batch`; ends the row group if it has reached its target.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encode(batch).map_err(|err| parquet_error(&self.path, err))?;
        self.rows += batch.num_rows() as u64;
        if self.row_group_bytes() >= self.row_group_bytes_target {
            self.end_row_group()?;
        }
        Ok(())
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that the file would have if its row group were ended now, about.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64 + self.row_group_bytes()
    }

    /// Row groups that are written.
    pub(super) fn row_groups(&self) -> usize {
        self.writer.flushed_row_groups().len()
    }

    /// Bytes that the row group holds in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        let columns = self.row_group.iter().flat_map(|group| &group.columns);
        columns.map(ColumnEncoder::memory_bytes).sum()
    }

    /// Writes the row group to the file, if it has rows.
    pub(super) fn end_row_group(&mut self) -> Result<()> {
        let Some(row_group) = self.row_group.take() else { return Ok(()) };
        let write = || -> Result<(), ParquetError> {
            let mut open = self.writer.next_row_group()?;
            for column in row_group.columns {
                match column {
                    ColumnEncoder::Arrow(leaves) => {
                        for leaf in leaves {
                            leaf.close()?.append_to_row_group(&mut open)?;
                        }
                    }
                    ColumnEncoder::Int96(column) => {
                        let (pages, close) = column.close()?;
                        open.append_column(&pages, close)?;
                    }
                }
            }
            open.close()?;
            Ok(())
        };
        write().map_err(|err| parquet_error(&self.path, err))
    }

    /// Writes the last row group and the footer, and brings all to the disk.
    pub(super) fn finish(mut self) -> Result<Sealed> {
        self.end_row_group()?;
        self.writer.finish().map_err(|err| parquet_error(&self.path, err))?;
        self.writer.inner_mut().seal()
    }

    fn row_group_bytes(&self) -> u64 {
        let columns = self.row_group.iter().flat_map(|group| &group.columns);
        columns.map(ColumnEncoder::encoded_bytes).sum()
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let row_group = match &mut self.row_group {
            Some(row_group) => row_group,
            none => none.insert(RowGroup::new(&self.writer, &self.factory)?),
        };
        let columns = row_group.columns.iter_mut().zip(batch.columns());
        for ((encoder, array), field) in columns.zip(self.schema.fields()) {
            encoder.write(field, array)?;
        }
        Ok(())
    }
}

impl RowGroup {
    fn new(
        writer: &SerializedFileWriter<HashedFile>,
        factory: &ArrowRowGroupWriterFactory,
    ) -> Result<Self, ParquetError> {
        let schema = writer.schema_descr();
        let leaves = factory.create_column_writers(writer.flushed_row_groups().len())?;
        let mut columns: Vec<ColumnEncoder> = Vec::new();
        let mut last_field = None;
        for (leaf, arrow_writer) in leaves.into_iter().enumerate() {
            let column = schema.column(leaf);
            let field = schema.get_column_root_idx(leaf);
            match columns.last_mut() {
                _ if column.physical_type() == datafusion::parquet::basic::Type::INT96 => {
                    let properties = Arc::clone(writer.properties());
                    let encoder = Int96Column::new(column, properties);
                    columns.push(ColumnEncoder::Int96(Box::new(encoder)));
                }
                Some(ColumnEncoder::Arrow(leaves)) if last_field == Some(field) => {
                    leaves.push(arrow_writer);
                }
                _ => columns.push(ColumnEncoder::Arrow(vec![arrow_writer])),
            }
            last_field = Some(field);
        }
        Ok(RowGroup { columns })
    }
}

impl ColumnEncoder {
    fn write(&mut self, field: &FieldRef, array: &ArrayRef) -> Result<(), ParquetError> {
        match self {
            ColumnEncoder::Arrow(writers) => {
                for (writer, leaf) in writers.iter_mut().zip(compute_leaves(field, array)?) {
                    writer.write(&leaf)?;
                }
                Ok(())
            }
            ColumnEncoder::Int96(column) => column.write(array.as_primitive()),
        }
    }

    fn memory_bytes(&self) -> u64 {
        match self {
            ColumnEncoder::Arrow(writers) => {
                writers.iter().map(|writer| writer.memory_size() as u64).sum()
            }
            ColumnEncoder::Int96(column) => column.memory_bytes(),
        }
    }

    fn encoded_bytes(&self) -> u64 {
        match self {
            ColumnEncoder::Arrow(writers) => {
                writers.iter().map(|writer| writer.get_estimated_total_bytes() as u64).sum()
            }
            ColumnEncoder::Int96(column) => column.memory_bytes(),
        }
    }
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
