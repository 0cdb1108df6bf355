use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, ListArray};
use datafusion::arrow::datatypes::Int64Type;

use super::*;

/// A column beside a column of lists of these lengths.
fn batch(lengths: &[usize]) -> RecordBatch {
    let rows = lengths.iter().map(|length| Some(vec![Some(1_i64); *length]));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7; lengths.len()]));
    RecordBatch::try_from_iter([("n", numbers), ("list", lists)]).unwrap()
}

fn lengths_of(slices: &[RecordBatch]) -> Vec<usize> {
    slices.iter().map(RecordBatch::num_rows).collect()
}

#[test]
fn short_lists_stay_together_and_long_ones_are_cut_apart() {
    let lists = Cut::ByLists(vec![1]);
    let short = slices_of(&batch(&[3; 100]), &lists).unwrap();
    assert_eq!(lengths_of(&short), [100]);
    let long = slices_of(&batch(&[1_000_000, 1_000_000, 2, 1_000_000, 1]), &lists).unwrap();
    assert_eq!(lengths_of(&long), [1, 2, 2]);
    assert!(slices_of(&batch(&[]), &lists).unwrap().is_empty());
}

#[test]
fn rows_are_cut_after_a_number_and_none_is_lost() {
    let slices = slices_of(&batch(&[1; 10]), &Cut::ByRows(4)).unwrap();
    assert_eq!(lengths_of(&slices), [4, 4, 2]);
}
