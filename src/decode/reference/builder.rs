//! Rows of values → Arrow arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder,
    Int64Builder, ListArray, StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, FieldRef};

use crate::contract::{ColumnType, Value};

/// The array of one column in the making.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, DataType),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    List(ListBuilder),
}

/// A list column in the making: arrow's own builder would need each column's concrete type.
#[derive(Debug)]
pub(super) struct ListBuilder {
    element: FieldRef,
    columns: Vec<ColumnBuilder>,
    lengths: Vec<usize>,
    list_is_present: Vec<bool>,
    element_is_present: Vec<bool>,
}

impl ColumnBuilder {
    pub(super) fn new(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::String | ColumnType::Json => ColumnBuilder::Text(StringBuilder::new()),
            ColumnType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnType::Int32 => ColumnBuilder::Int32(Int32Builder::new()),
            ColumnType::Int64 => ColumnBuilder::Int64(Int64Builder::new()),
            ColumnType::Float64 => ColumnBuilder::Float64(Float64Builder::new()),
            ColumnType::Decimal { .. } => {
                ColumnBuilder::Decimal(Decimal128Builder::new(), column_type.arrow_type())
            }
            ColumnType::Date { .. } => ColumnBuilder::Date(Date32Builder::new()),
            ColumnType::Timestamp { .. } => {
                let builder = TimestampMicrosecondBuilder::new();
                ColumnBuilder::Timestamp(builder.with_data_type(column_type.arrow_type()))
            }
            ColumnType::List(columns) => ColumnBuilder::List(ListBuilder {
                element: Arc::new(ColumnType::list_element(columns)),
                columns: columns.iter().map(|c| ColumnBuilder::new(&c.column_type)).collect(),
                lengths: Vec::new(),
                list_is_present: Vec::new(),
                element_is_present: Vec::new(),
            }),
        }
    }

    /// Appends a value of the column's type; another one, which its reader never gives, is NULL.
    pub(super) fn append(&mut self, value: &Value<'_>) {
        match (self, value) {
            (ColumnBuilder::Bool(builder), Value::Bool(value)) => builder.append_value(*value),
            (ColumnBuilder::Int32(builder), Value::Int32(value)) => builder.append_value(*value),
            (ColumnBuilder::Int64(builder), Value::Int64(value)) => builder.append_value(*value),
            (ColumnBuilder::Float64(builder), Value::Float64(value)) => {
                builder.append_value(*value);
            }
            (ColumnBuilder::Decimal(builder, _), Value::Decimal(value)) => {
                builder.append_value(*value);
            }
            (ColumnBuilder::Date(builder), Value::Date(value)) => builder.append_value(*value),
            (ColumnBuilder::Timestamp(builder), Value::Timestamp(value)) => {
                builder.append_value(*value);
            }
            (ColumnBuilder::Text(builder), Value::Text(value)) => builder.append_value(value),
            (ColumnBuilder::List(builder), Value::List(elements)) => builder.append(elements),
            (builder, _) => builder.append_null(),
        }
    }

    fn append_null(&mut self) {
        match self {
            ColumnBuilder::Bool(builder) => builder.append_null(),
            ColumnBuilder::Int32(builder) => builder.append_null(),
            ColumnBuilder::Int64(builder) => builder.append_null(),
            ColumnBuilder::Float64(builder) => builder.append_null(),
            ColumnBuilder::Decimal(builder, _) => builder.append_null(),
            ColumnBuilder::Date(builder) => builder.append_null(),
            ColumnBuilder::Timestamp(builder) => builder.append_null(),
            ColumnBuilder::Text(builder) => builder.append_null(),
            ColumnBuilder::List(builder) => {
                builder.lengths.push(0);
                builder.list_is_present.push(false);
            }
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            ColumnBuilder::Bool(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int32(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int64(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float64(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Decimal(builder, data_type) => {
                Arc::new(builder.with_data_type(data_type).finish())
            }
            ColumnBuilder::Date(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Timestamp(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Text(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::List(builder) => Arc::new(builder.finish()),
        }
    }
}

impl ListBuilder {
    fn append(&mut self, elements: &[Option<Vec<Value<'_>>>]) {
        self.lengths.push(elements.len());
        self.list_is_present.push(true);
        for element in elements {
            self.element_is_present.push(element.is_some());
            match element {
                Some(values) => {
                    for (column, value) in self.columns.iter_mut().zip(values) {
                        column.append(value);
                    }
                }
                None => self.columns.iter_mut().for_each(ColumnBuilder::append_null),
            }
        }
    }

    fn finish(self) -> ListArray {
        let columns: Vec<ArrayRef> = self.columns.into_iter().map(ColumnBuilder::finish).collect();
        let fields = match self.element.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => Default::default(),
        };
        let count = self.element_is_present.len();
        let present = Some(NullBuffer::from(self.element_is_present));
        let elements = match columns.is_empty() {
            true => StructArray::new_empty_fields(count, present),
            false => StructArray::new(fields, columns, present),
        };
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let present = Some(NullBuffer::from(self.list_is_present));
        ListArray::new(self.element, offsets, Arc::new(elements), present)
    }
}
