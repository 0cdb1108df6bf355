//! Values that an output's files cannot hold, found before they reach a writer.
//!
//! ```text
//! batch     n: 1, 2^64 - 1 (UInt64, stored as Int64); day: 2026-11-21, 10000-01-01 (TSV)
//! columns   only those whose type may hold such values are looked at, all rows at once
//! found     row 1, column `n`: storing column `n` (UInt64) as Int64: …
//! sound     n as Int64: what the look at it has cast is handed on, and not cast again
//! ```

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};

use crate::base::error::{Error, Result};
use crate::pipeline::{Format, Output};
use crate::sink::partition_check::all_valid;
use crate::sink::stored::{cast_column, stored_type};
use crate::sink::text::{YearOutOfRange, has_timestamp_year, has_year};

/// Finds the rows that cannot be stored.
pub struct StoredCheck {
    columns: Vec<CheckedColumn>,
}

struct CheckedColumn {
    index: usize,
    stored: FieldRef,
    /// Whether the column stands in a TSV table, whose dates have years of four digits.
    is_in_tsv: bool,
}

/// A row that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitRow {
    /// Its number in the batch.
    pub row: usize,
    /// The first column that has no place for its value.
    pub column: String,
    /// What was found.
    pub message: String,
}

/// What a look at a batch has found.
pub enum Looked {
    /// All of its columns, those that were looked at as they are stored.
    Stored(Vec<ArrayRef>),
    /// The rows that cannot be stored, each once, in their order. There may be none, if the batch
    /// cannot be stored as it lies.
    Unfit(Vec<UnfitRow>),
}

impl StoredCheck {
    /// A check of rows of `schema`, the columns of the output's view.
    pub fn new(output: &Output, schema: &Schema) -> Result<Self> {
        let has_tsv = output.tables.iter().any(|table| matches!(table.format, Format::Tsv(_)));
        let mut columns = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if output.exclude.contains(field.name()) {
                continue;
            }
            let stored = stored_type(field.data_type())
                .map_err(|problem| Error::Bug(format!("checking `{}`: {problem}", field.name())))?;
            // Partition columns are in no TSV file, and checked as such.
            let is_in_tsv = has_tsv && !output.partition_by.contains(field.name());
            let is_in_tsv = is_in_tsv && has_years(&stored);
            if is_in_tsv || may_not_fit(field.data_type()) {
                let stored = Arc::new(Field::new(field.name(), stored, true));
                columns.push(CheckedColumn { index, stored, is_in_tsv });
            }
        }
        Ok(StoredCheck { columns })
    }

    /// `schema`, which begins with the columns of the view, with those that are looked at as they
    /// are stored.
    pub fn stored_schema(&self, schema: &Schema) -> SchemaRef {
        let mut fields = schema.fields().to_vec();
        for column in &self.columns {
            fields[column.index] = Arc::clone(&column.stored);
        }
        Arc::new(Schema::new(fields))
    }

    /// Casts the columns whose values may not fit what they are stored as.
    ///
    /// A slice of lists brings its neighbours' elements along, which a cast looks at, too. So each
    /// row is looked at in a copy of its own, and the others must be copied, even if no row is
    /// found unfit.
    pub fn look_at(&self, batch: &RecordBatch) -> Looked {
        let mut stored = batch.columns().to_vec();
        let mut unfit: Vec<UnfitRow> = Vec::new();
        let mut is_sound = true;
        for column in &self.columns {
            let values = batch.column(column.index);
            match column.store(values) {
                Ok(values) => stored[column.index] = values,
                Err(_) => {
                    is_sound = false;
                    let rows = 0..batch.num_rows();
                    unfit.extend(rows.filter_map(|row| column.unfit_row(values, row)));
                }
            }
        }
        if is_sound {
            return Looked::Stored(stored);
        }
        // Of the columns of one row the first one stays the first.
        unfit.sort_by_key(|unfit| unfit.row);
        unfit.dedup_by_key(|unfit| unfit.row);
        Looked::Unfit(unfit)
    }
}

impl CheckedColumn {
    /// The values as they are stored, or why some cannot be.
    fn store(&self, values: &ArrayRef) -> Result<ArrayRef, String> {
        let stored = cast_column(values, &self.stored).map_err(|error| match error {
            Error::Data(message) => message,
            other => other.to_string(),
        })?;
        if self.is_in_tsv && !all_have_years(&stored) {
            let name = self.stored.name();
            return Err(format!("writing column `{name}` as TSV: {YearOutOfRange}"));
        }
        Ok(stored)
    }

    fn unfit_row(&self, values: &ArrayRef, row: usize) -> Option<UnfitRow> {
        let index = UInt32Array::from(vec![u32::try_from(row).ok()?]);
        let message = self.store(&take(values, &index, None).ok()?).err()?;
        Some(UnfitRow { row, column: self.stored.name().clone(), message })
    }
}

/// Whether a cast of values to their stored type may fail.
pub fn may_not_fit(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::UInt64
        | T::Date64
        | T::Decimal256(_, _)
        | T::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) => true,
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item)
        | T::Map(item, _)
        | T::RunEndEncoded(_, item) => may_not_fit(item.data_type()),
        T::Struct(fields) => fields.iter().any(|field| may_not_fit(field.data_type())),
        T::Dictionary(_, values) => may_not_fit(values),
        _ => false,
    }
}

fn has_years(stored: &DataType) -> bool {
    matches!(stored, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _))
}

fn all_have_years(stored: &ArrayRef) -> bool {
    match stored.data_type() {
        DataType::Date32 => all_valid(stored.as_primitive::<Date32Type>(), has_year),
        _ => all_valid(stored.as_primitive::<TimestampMicrosecondType>(), has_timestamp_year),
    }
}
