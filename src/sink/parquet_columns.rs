//! The columns of a row group while they are encoded, each on whatever thread is free.

use std::io;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use datafusion::parquet::basic::Type;
use datafusion::parquet::data_type::ByteArray;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterPropertiesPtr;
use datafusion::parquet::file::statistics::{Statistics, ValueStatistics};
use datafusion::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use datafusion::parquet::schema::types::TypePtr;

use crate::base::error::Result;
use crate::sink::block::gather;
use crate::sink::file::HashedFile;
use crate::sink::int96::{Int96Column, Int96Pages};

/// Makes the encoders of row groups, all with the same choices.
pub(crate) struct RowGroupMaker {
    writer: SerializedFileWriter<io::Sink>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// Whether a field's statistics shall only say how many values are NULL.
    only_nulls: Vec<bool>,
}

/// Encodes one column of one row group.
pub(crate) struct ColumnEncoder {
    field: FieldRef,
    kind: Kind,
    /// NULLs so far, if the statistics shall say nothing else.
    nulls: Option<u64>,
}

enum Kind {
    /// One writer a leaf.
    Arrow(Vec<ArrowColumnWriter>),
    Int96(Box<Int96Column>),
}

/// A column of a row group that is ready to be written.
pub(crate) enum EncodedColumn {
    Arrow(Vec<ArrowColumnChunk>),
    Int96(Box<Int96Pages>),
}

impl RowGroupMaker {
    pub(crate) fn new(
        schema: SchemaRef,
        root: TypePtr,
        properties: WriterPropertiesPtr,
        only_nulls: Vec<bool>,
    ) -> Result<Self, ParquetError> {
        // Column writers are made from a file's properties. A file has the same ones for all of
        // its row groups, so this stands in for a file.
        let writer = SerializedFileWriter::new(io::sink(), root, properties)?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema));
        Ok(RowGroupMaker { writer, factory, schema, only_nulls })
    }

    /// The encoders of a new row group, in the order of the schema's fields.
    pub(crate) fn encoders(&self) -> Result<Vec<ColumnEncoder>, ParquetError> {
        let descriptors = self.writer.schema_descr();
        let leaves = self.factory.create_column_writers(0)?;
        let mut columns: Vec<ColumnEncoder> = Vec::with_capacity(self.schema.fields().len());
        for (leaf, writer) in leaves.into_iter().enumerate() {
            let column = descriptors.column(leaf);
            let field = descriptors.get_column_root_idx(leaf);
            let kind = match columns.get_mut(field) {
                Some(ColumnEncoder { kind: Kind::Arrow(leaves), .. }) => {
                    leaves.push(writer);
                    continue;
                }
                _ if column.physical_type() == Type::INT96 => {
                    let properties = Arc::clone(self.writer.properties());
                    Kind::Int96(Box::new(Int96Column::new(column, properties)))
                }
                _ => Kind::Arrow(vec![writer]),
            };
            let nulls = self.only_nulls[field].then_some(0);
            columns.push(ColumnEncoder {
                field: Arc::clone(&self.schema.fields()[field]),
                kind,
                nulls,
            });
        }
        Ok(columns)
    }
}

impl ColumnEncoder {
    /// Appends the given rows of `column`, or all of it.
    pub(crate) fn write(
        &mut self,
        column: &ArrayRef,
        rows: Option<&UInt32Array>,
    ) -> Result<Result<(), ParquetError>> {
        let array = gather(column, rows)?;
        Ok(self.encode(&array))
    }

    fn encode(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        if let Some(nulls) = &mut self.nulls {
            *nulls += array.logical_null_count() as u64;
        }
        match &mut self.kind {
            Kind::Arrow(writers) => {
                for (writer, leaf) in writers.iter_mut().zip(compute_leaves(&self.field, array)?) {
                    writer.write(&leaf)?;
                }
                Ok(())
            }
            Kind::Int96(column) => column.write(array.as_primitive()),
        }
    }

    /// Bytes that the column holds in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Arrow(writers) => writers.iter().map(|writer| writer.memory_size() as u64).sum(),
            Kind::Int96(column) => column.memory_bytes(),
        }
    }

    /// Bytes that the column would have in the file if it were ended now, about.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Arrow(writers) => {
                writers.iter().map(|writer| writer.get_estimated_total_bytes() as u64).sum()
            }
            Kind::Int96(column) => column.memory_bytes(),
        }
    }

    /// Encodes and compresses what is left.
    pub(crate) fn close(self) -> Result<EncodedColumn, ParquetError> {
        match self.kind {
            Kind::Int96(column) => {
                column.close().map(|pages| EncodedColumn::Int96(Box::new(pages)))
            }
            Kind::Arrow(writers) => {
                let chunks = writers.into_iter().map(ArrowColumnWriter::close);
                let mut chunks = chunks.collect::<Result<Vec<_>, _>>()?;
                if let (Some(nulls), [chunk]) = (self.nulls, &mut chunks[..]) {
                    tell_nulls(chunk, nulls)?;
                }
                Ok(EncodedColumn::Arrow(chunks))
            }
        }
    }
}

/// Adds statistics that say how many values are NULL, and nothing else.
fn tell_nulls(chunk: &mut ArrowColumnChunk, nulls: u64) -> Result<(), ParquetError> {
    let close = chunk.close_mut();
    let nulls = ValueStatistics::<ByteArray>::new(None, None, None, Some(nulls), false);
    let metadata = close.metadata.clone().into_builder();
    close.metadata = metadata.set_statistics(Statistics::ByteArray(nulls)).build()?;
    Ok(())
}

impl EncodedColumn {
    /// Writes the column as the next one of `row_group`.
    pub(crate) fn append_to(
        self,
        row_group: &mut SerializedRowGroupWriter<'_, HashedFile>,
    ) -> Result<(), ParquetError> {
        match self {
            EncodedColumn::Arrow(chunks) => {
                chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(row_group))
            }
            EncodedColumn::Int96(column) => {
                let Int96Pages { pages, close } = *column;
                row_group.append_column(&pages, close)
            }
        }
    }
}
