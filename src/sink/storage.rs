//! What planning an output asks of the files that it is written to.

use datafusion::arrow::datatypes::DataType;

use super::check::check_output;
use super::stored::stored_type;
use super::stored_check::may_not_fit;
use crate::query::Storage;

/// The rules of Parquet and TSV files as this sink writes them.
pub const STORAGE: Storage = Storage { check_output, cast_to };

/// Columns whose values may not fit are cast where a row that fails still knows where it is from;
/// what is nested is checked by rows when it is written.
fn cast_to(data_type: &DataType) -> Option<DataType> {
    let is_cast = may_not_fit(data_type) && !data_type.is_nested();
    if is_cast { stored_type(data_type).ok() } else { None }
}
