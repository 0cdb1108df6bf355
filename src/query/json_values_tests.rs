use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, DurationSecondArray, Float32Array,
    Float64Array, Int64Array, Int64Builder, ListArray, MapBuilder, RecordBatch, StructArray,
    TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{Field, Int64Type};
use serde_json::json;

use super::*;

fn row_of(column: ArrayRef) -> Vec<Value> {
    let rows = RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap();
    rows_as_json(&rows)
}

#[test]
fn a_value_is_shown_with_all_that_it_holds_whatever_its_type() {
    let decimals = |value, scale| -> ArrayRef {
        let array = Decimal128Array::from(vec![value]);
        Arc::new(array.with_precision_and_scale(38, scale).unwrap())
    };
    let instants = TimestampMicrosecondArray::from(vec![1_795_233_900_000_000]);
    let shown: [(ArrayRef, Value); 15] = [
        (Arc::new(Int64Array::from(vec![i64::MIN])), json!(i64::MIN)),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), json!(u64::MAX)),
        (Arc::new(Float32Array::from(vec![0.1])), json!(0.1)),
        (Arc::new(Float64Array::from(vec![f64::NAN])), json!("NaN")),
        (Arc::new(BinaryArray::from(vec![&[255_u8, 0][..]])), json!("ff00")),
        (decimals(125_000, 4), json!(12.5)),
        (decimals(7, 0), json!(7)),
        (decimals(i128::from(i64::MAX) + 1, 0), json!("9223372036854775808")),
        (decimals(1_234_567_890_123_456_789, 4), json!("123456789012345.6789")),
        (Arc::new(instants.clone()), json!("2026-11-21T04:05:00")),
        (Arc::new(instants.with_timezone("+09:00")), json!("2026-11-21T13:05:00+09:00")),
        (
            Arc::new(TimestampSecondArray::from(vec![i64::MAX])),
            json!("9223372036854775807 (Timestamp(s))"),
        ),
        (
            Arc::new(TimestampSecondArray::from(vec![i64::MAX]).with_timezone("+09:00")),
            json!("9223372036854775807 (Timestamp(s, \"+09:00\"))"),
        ),
        (Arc::new(Date32Array::from(vec![i32::MAX])), json!("2147483647 (Date32)")),
        (Arc::new(DurationSecondArray::from(vec![60])), json!("PT60S")),
    ];
    for (column, expected) in shown {
        assert_eq!(row_of(Arc::clone(&column)), [json!({"a": expected})], "{column:?}");
    }
}

#[test]
fn values_within_others_are_shown_as_they_are_alone() {
    let beyond: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(i64::MAX), None]));
    let shown = json!("9223372036854775807 (Timestamp(s))");
    let field = Arc::new(Field::new("at", beyond.data_type().clone(), true));
    let structs = StructArray::from(vec![(field, beyond)]);
    assert_eq!(row_of(Arc::new(structs)), [json!({"a": {"at": shown}}), json!({"a": {}})]);
    let lists =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    assert_eq!(row_of(Arc::new(lists)), [json!({"a": [1, null]}), json!({})]);
}

#[test]
fn a_map_whose_keys_are_numbers_has_their_texts_for_keys() {
    let mut maps = MapBuilder::new(None, Int64Builder::new(), Int64Builder::new());
    maps.keys().append_value(1);
    maps.values().append_value(2);
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    assert_eq!(row_of(Arc::new(maps.finish())), [json!({"a": {"1": 2}}), json!({})]);
}
