use std::sync::Arc;

use datafusion::arrow::array::*;

use super::*;

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

#[test]
fn ids_get_no_dictionary_and_no_statistics_that_rule_nothing_out() {
    let ids =
        texts((0..5000_u64).map(|i| format!("{:016x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15))));
    assert_eq!(choose(&ids, false), ColumnChoice { dictionary: false, min_max: false });
    assert_eq!(choose(&ids, true), ColumnChoice { dictionary: false, min_max: true });
}

#[test]
fn repeating_texts_get_a_dictionary() {
    let addresses = texts((0..5000).map(|i| format!("10.0.{}.1", i % 1000)));
    assert_eq!(choose(&addresses, false), ColumnChoice { dictionary: true, min_max: false });
    let services = texts((0..5000).map(|i| format!("service {}", i % 8)));
    assert_eq!(choose(&services, false), ColumnChoice { dictionary: true, min_max: true });
}

#[test]
fn numbers_keep_their_statistics_and_get_a_dictionary_if_they_repeat() {
    let distinct: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
    assert_eq!(choose(&distinct, false), ColumnChoice { dictionary: false, min_max: true });
    let few: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..5000).map(|i| f64::from(i % 9))));
    assert_eq!(choose(&few, false), ColumnChoice { dictionary: true, min_max: true });
    // Only the rows of a slice are looked at.
    let tail = distinct.slice(4000, 1000);
    assert_eq!(choose(&tail, false), ColumnChoice { dictionary: false, min_max: true });
}

#[test]
fn few_values_and_nested_ones_are_left_to_the_encoder() {
    let nulls: ArrayRef = Arc::new(StringArray::new_null(5000));
    assert_eq!(choose(&nulls, false), UNKNOWN);
    assert_eq!(choose(&texts(std::iter::once("x".to_owned())), false), UNKNOWN);
}
