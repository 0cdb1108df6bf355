//! Rows by partition.
//!
//! ```text
//! batch            service: books, music, books      (rows 0, 1, 2)
//! rows by key      [0, 2], [1]                       stable within a key
//! parts            "service=books" × [0, 2], "service=music" × [1]
//! ```

use std::collections::HashMap;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::row::{Row, RowConverter, Rows, SortField};

use crate::base::error::{Error, Result};
use crate::sink::hive_path::{PartitionKey, UnusableKey, partition_value};

/// Splits rows of one stored schema by the partition that they belong to.
pub(crate) struct Router {
    columns: Vec<(usize, String)>,
    /// Columns that stay in the files.
    data_columns: Vec<usize>,
    /// None if the table has no partitions.
    converter: Option<RowConverter>,
}

/// The rows of a block that belong to one partition, ascending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// `dt=2026-11-21/service=books`; empty if the table has no partitions.
    pub(crate) hive_path: String,
    /// The row numbers; none means all rows of the block.
    pub(crate) rows: Option<Vec<u32>>,
}

/// Rows of a batch that share a partition key of no use, ascending.
#[derive(Debug, PartialEq, Eq)]
pub struct UnusableRows {
    /// What is wrong with the key.
    pub key: UnusableKey,
    /// The row numbers.
    pub rows: Vec<u32>,
}

impl Router {
    /// A router for rows of `schema`, a stored schema.
    pub(crate) fn new(schema: &Schema, partition_by: &[String]) -> Result<Self> {
        let index_of = |column: &String| {
            let index = schema.index_of(column);
            let index = index.map_err(|err| Error::Bug(format!("partitioning: {err}")))?;
            Ok((index, column.clone()))
        };
        let columns = partition_by.iter().map(index_of).collect::<Result<Vec<_>>>()?;
        let is_data = |index: &usize| columns.iter().all(|(key, _)| key != index);
        let data_columns = (0..schema.fields().len()).filter(is_data).collect();
        let sort_field =
            |(index, _): &(usize, String)| SortField::new(schema.field(*index).data_type().clone());
        let converter = match columns.is_empty() {
            true => None,
            false => {
                Some(RowConverter::new(columns.iter().map(sort_field).collect()).map_err(
                    |err| Error::Bug(format!("partitioning by {partition_by:?}: {err}")),
                )?)
            }
        };
        Ok(Router { columns, data_columns, converter })
    }

    /// Numbers of the columns that stay in the files, ascending.
    pub(crate) fn data_columns(&self) -> &[usize] {
        &self.data_columns
    }

    /// Numbers of the columns that name partitions, outermost first.
    pub(crate) fn key_columns(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|(index, _)| *index)
    }

    /// The parts of a block of so many rows (at least one), in the order of their first rows;
    /// `keys` are its key columns. A key that cannot be a hive path is an `Error::Bug`.
    pub(crate) fn route(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<Part>> {
        let Some(converter) = &self.converter else {
            return Ok(vec![Part { hive_path: String::new(), rows: None }]);
        };
        if keys.iter().all(has_one_value) {
            return self.name_parts(keys, vec![vec![0]]).map(all_rows_in_one);
        }
        let comparable = convert(converter, keys)?;
        debug_assert_eq!(comparable.num_rows(), rows);
        let parts = self.name_parts(keys, rows_by_key(comparable.iter()))?;
        Ok(if parts.len() == 1 { all_rows_in_one(parts) } else { parts })
    }

    /// The rows whose keys cannot be a hive path, by key, in the order of their first rows.
    pub(crate) fn unusable_rows(&self, keys: &[ArrayRef]) -> Result<Vec<UnusableRows>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let mut unusable = Vec::new();
        for rows in rows_by_key(convert(converter, keys)?.iter()) {
            if let Err(key) = self.hive_path(keys, rows[0])? {
                unusable.push(UnusableRows { key, rows });
            }
        }
        Ok(unusable)
    }

    /// Gives each group of rows its path; NULL and the empty string share one.
    fn name_parts(&self, keys: &[ArrayRef], groups: Vec<Vec<u32>>) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::with_capacity(groups.len());
        let mut part_of_path: HashMap<String, usize> = HashMap::with_capacity(groups.len());
        for rows in groups {
            let hive_path = self.hive_path(keys, rows[0])?.map_err(|unusable| {
                Error::Bug(format!("a row of no partition was not sorted out: {unusable}"))
            })?;
            match part_of_path.get(&hive_path) {
                None => {
                    part_of_path.insert(hive_path.clone(), parts.len());
                    parts.push(Part { hive_path, rows: Some(rows) });
                }
                Some(&known) => {
                    let merged = parts[known].rows.get_or_insert_default();
                    merged.extend(rows);
                    merged.sort_unstable();
                }
            }
        }
        Ok(parts)
    }

    fn hive_path(&self, keys: &[ArrayRef], row: u32) -> Result<Result<String, UnusableKey>> {
        let mut values = Vec::with_capacity(self.columns.len());
        for ((_, column), key) in self.columns.iter().zip(keys) {
            match partition_value(column, key, row as usize)? {
                Ok(value) => values.push((column.clone(), value)),
                Err(unusable) => return Ok(Err(unusable)),
            }
        }
        Ok(PartitionKey(values).hive_path())
    }
}

fn convert(converter: &RowConverter, keys: &[ArrayRef]) -> Result<Rows> {
    let rows = converter.convert_columns(keys);
    rows.map_err(|err| Error::Bug(format!("comparing partition keys: {err}")))
}

fn all_rows_in_one(parts: Vec<Part>) -> Vec<Part> {
    parts.into_iter().map(|part| Part { rows: None, ..part }).collect()
}

/// Whether all values are the first one: a day's logs often have one `dt`.
fn has_one_value(array: &ArrayRef) -> bool {
    let rows = array.len();
    array.slice(0, rows - 1) == array.slice(1, rows - 1)
}

/// Row numbers grouped by equal keys, groups in the order of their first rows.
fn rows_by_key<'a>(keys: impl Iterator<Item = Row<'a>>) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut group_of_key: HashMap<Row<'a>, usize> = HashMap::new();
    let mut last: Option<(Row<'a>, usize)> = None;
    for (row, key) in (0_u32..).zip(keys) {
        // Neighbours often share their key: look there first.
        let group = match last {
            Some((last_key, group)) if last_key == key => group,
            _ => *group_of_key.entry(key).or_insert(groups.len()),
        };
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(row);
        last = Some((key, group));
    }
    groups
}

/// The given rows of `batch`, in the given order.
pub(crate) fn take_rows(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt32Array::from(rows))
        .map_err(|err| Error::Bug(format!("taking rows of a partition: {err}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray};

    use super::*;

    fn batch(services: Vec<Option<&str>>) -> RecordBatch {
        let n = services.len();
        let days: ArrayRef = Arc::new(Date32Array::from(vec![20_778; n]));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n as i64));
        let services: ArrayRef = Arc::new(StringArray::from(services));
        RecordBatch::try_from_iter([("service", services), ("id", ids), ("dt", days)]).unwrap()
    }

    fn route(router: &Router, batch: &RecordBatch) -> Vec<Part> {
        let keys: Vec<_> = router.key_columns().map(|key| batch.column(key).clone()).collect();
        router.route(&keys, batch.num_rows()).unwrap()
    }

    #[test]
    fn rows_keep_their_order_within_a_partition() {
        let batch = batch(vec![Some("b"), Some("a"), Some("b"), None, Some("a"), Some("")]);
        let by = ["dt".to_owned(), "service".to_owned()];
        let router = Router::new(&batch.schema(), &by).unwrap();
        assert_eq!(router.data_columns(), [1]);
        let parts = route(&router, &batch);
        let part = |path: &str, rows: &[u32]| Part {
            hive_path: format!("dt=2026-11-21/service={path}"),
            rows: Some(rows.to_vec()),
        };
        let expected =
            [part("b", &[0, 2]), part("a", &[1, 4]), part("__HIVE_DEFAULT_PARTITION__", &[3, 5])];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_batch_of_one_partition_is_not_taken_apart() {
        let one = batch(vec![Some("b"), Some("b")]);
        let router = Router::new(&one.schema(), &["service".to_owned()]).unwrap();
        let expected = [Part { hive_path: "service=b".into(), rows: None }];
        assert_eq!(route(&router, &one), expected);
        let nulls = batch(vec![None, Some("")]);
        assert_eq!(route(&router, &nulls).len(), 1);

        let whole = Router::new(&one.schema(), &[]).unwrap();
        assert_eq!(route(&whole, &one), [Part { hive_path: String::new(), rows: None }]);
        assert_eq!(whole.data_columns(), [0, 1, 2]);
    }
}
