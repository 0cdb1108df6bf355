//! The columns that are the same in all rows of an object: its directories' keys, its name.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef};

use super::SourceObject;
use super::log_scan::LogScan;
use crate::base::error::{Error, Result};
use crate::contract::UnknownFields;

/// Where a column of the table `logs` comes from.
enum ColumnSource {
    /// The decoder, by its number there.
    Decoded(usize),
    /// A directory's key, by its number.
    Directory(usize),
    /// The object's name.
    Source,
}

/// Adds the columns of an object to what its lines were decoded to.
pub(crate) struct OriginColumns {
    scan: Arc<LogScan>,
    schema: SchemaRef,
}

impl LogScan {
    /// The columns that the decoder builds, by their numbers in the contract's schema.
    pub(crate) fn decoded_columns(&self) -> Vec<usize> {
        let decoded = |column: &usize| match self.source_of(*column) {
            ColumnSource::Decoded(number) => Some(number),
            ColumnSource::Directory(_) | ColumnSource::Source => None,
        };
        self.columns.iter().filter_map(decoded).collect()
    }

    /// Behind the contract's columns stand the directories' keys, the name, `_line` and `_offset`.
    fn source_of(&self, column: usize) -> ColumnSource {
        let keys = self.partition_columns.len();
        let collects = matches!(self.contract.unknown_fields, UnknownFields::Collect(_));
        let contract_columns = self.contract.columns.len() + usize::from(collects);
        match column.checked_sub(contract_columns) {
            None => ColumnSource::Decoded(column),
            Some(key) if key < keys => ColumnSource::Directory(key),
            Some(own) if own == keys => ColumnSource::Source,
            Some(_) => ColumnSource::Decoded(column - keys - 1),
        }
    }
}

impl OriginColumns {
    pub(crate) fn of(scan: &Arc<LogScan>) -> Result<Self> {
        Ok(OriginColumns { schema: scan.schema()?, scan: Arc::clone(scan) })
    }

    /// The scan's columns, out of [`LogScan::decoded_columns`] and the object that they are from.
    pub(crate) fn add_to(
        &self,
        decoded: &RecordBatch,
        object: &SourceObject,
    ) -> Result<RecordBatch> {
        let rows = decoded.num_rows();
        let mut decoded = decoded.columns().iter();
        let column = |column: &usize| match self.scan.source_of(*column) {
            ColumnSource::Decoded(_) => decoded.next().cloned(),
            ColumnSource::Directory(key) => Some(self.directory_value(key, object, rows)),
            ColumnSource::Source => Some(repeated(&object.location, rows)),
        };
        let columns = self.scan.columns.iter().filter_map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::Bug(format!("a decoded batch has another schema: {error}")))
    }

    fn directory_value(&self, key: usize, object: &SourceObject, rows: usize) -> ArrayRef {
        let key = &self.scan.partition_columns[key];
        let found = object.partition_values.iter().find(|(known, _)| known == key);
        match found.and_then(|(_, value)| value.as_deref()) {
            Some(value) => repeated(value, rows),
            None => new_null_array(&DataType::Utf8, rows),
        }
    }
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::new_repeated(text, rows))
}
