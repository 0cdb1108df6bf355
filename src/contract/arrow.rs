//! The contract as an Arrow schema.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::{Column, ColumnType, Contract, UnknownFields};

/// The column that holds the name of the object that a row is from; the source adds it.
pub const SOURCE_COLUMN: &str = "_source";
/// The column that holds the number of a row's line in its object, from 1.
pub const LINE_COLUMN: &str = "_line";
/// The column that holds the offset of a row's line in its decompressed object, in bytes from 0.
pub const OFFSET_COLUMN: &str = "_offset";

impl Contract {
    /// The schema of the decoder's batches: the columns, the column that collects unknown fields
    /// if there is one (Utf8), then `_line` and `_offset` (Int64, never NULL).
    ///
    /// A required column is never NULL, for what would make it NULL rejects its line. The columns
    /// of a list are all nullable, for an element may be NULL.
    pub fn arrow_schema(&self) -> SchemaRef {
        let mut fields: Vec<Field> = self.columns.iter().map(Column::arrow_field).collect();
        if let UnknownFields::Collect(name) = &self.unknown_fields {
            fields.push(Field::new(name, DataType::Utf8, true));
        }
        fields.push(Field::new(LINE_COLUMN, DataType::Int64, false));
        fields.push(Field::new(OFFSET_COLUMN, DataType::Int64, false));
        Arc::new(Schema::new(fields))
    }
}

impl Column {
    fn arrow_field(&self) -> Field {
        Field::new(&self.name, self.column_type.arrow_type(), !self.required)
    }
}

impl ColumnType {
    /// The Arrow type: Utf8, Boolean, Int32, Int64, Float64, Decimal128, Date32,
    /// Timestamp(µs, "UTC"), List(Struct) or, for json, Utf8.
    pub fn arrow_type(&self) -> DataType {
        match self {
            ColumnType::String | ColumnType::Json => DataType::Utf8,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Int32 => DataType::Int32,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            ColumnType::Date { .. } => DataType::Date32,
            ColumnType::Timestamp { .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            ColumnType::List(columns) => DataType::List(Arc::new(Self::list_element(columns))),
        }
    }

    /// The field of a list's elements: a nullable struct of nullable columns.
    pub fn list_element(columns: &[Column]) -> Field {
        let fields: Fields =
            columns.iter().map(|column| column.arrow_field().with_nullable(true)).collect();
        Field::new_list_field(DataType::Struct(fields), true)
    }
}
