//! The columns that are the same in all rows of an object: its directories' keys, its name.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef};

use super::scan::LogScan;
use crate::error::{Error, Result};
use crate::source::SourceObject;

/// Columns behind the contract's and before `_line` and `_offset`.
pub(super) struct OriginColumns<'s> {
    scan: &'s LogScan,
    schema: SchemaRef,
    object: &'s SourceObject,
}

impl<'s> OriginColumns<'s> {
    pub(super) fn of(scan: &'s LogScan, object: &'s SourceObject) -> Result<Self> {
        Ok(OriginColumns { scan, schema: scan.schema()?, object })
    }

    /// The scan's columns, out of a decoded batch and the object's name.
    pub(super) fn add_to(&self, decoded: &RecordBatch) -> Result<RecordBatch> {
        let rows = decoded.num_rows();
        let keys = &self.scan.partition_columns;
        let contract_columns = decoded.num_columns() - 2;
        let column = |index: &usize| -> ArrayRef {
            match index.checked_sub(contract_columns) {
                None => Arc::clone(decoded.column(*index)),
                Some(key) if key < keys.len() => self.directory_value(&keys[key], rows),
                Some(own) if own == keys.len() => repeated(&self.object.location, rows),
                // Behind the name stand `_line` and `_offset`.
                Some(_) => Arc::clone(decoded.column(*index - keys.len() - 1)),
            }
        };
        let columns = self.scan.columns.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::Bug(format!("a decoded batch has another schema: {error}")))
    }

    fn directory_value(&self, key: &str, rows: usize) -> ArrayRef {
        let found = self.object.partition_values.iter().find(|(known, _)| known == key);
        match found.and_then(|(_, value)| value.as_deref()) {
            Some(value) => repeated(value, rows),
            None => new_null_array(&DataType::Utf8, rows),
        }
    }
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::new_repeated(text, rows))
}
