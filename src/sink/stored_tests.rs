use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;

use super::*;

fn stored(array: ArrayRef) -> Result<ArrayRef> {
    let schema = Schema::new(vec![Field::new("x", array.data_type().clone(), true)]);
    let schema = stored_schema(&schema).map_err(|problems| Error::config(problems.join("\n")))?;
    cast_column(&array, schema.field(0))
}

#[test]
fn every_layout_of_text_is_stored_as_the_same_array() {
    let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("日本"), None, Some("")]));
    let values = vec![Some("日本"), None, Some("")];
    let dictionary: DictionaryArray<Int8Type> = values.clone().into_iter().collect();
    let layouts: [ArrayRef; 4] = [
        Arc::new(LargeStringArray::from(values.clone())),
        Arc::new(StringViewArray::from(values.clone())),
        Arc::new(StringArray::from(values)),
        Arc::new(dictionary),
    ];
    for layout in layouts {
        assert_eq!(&stored(layout).unwrap(), &expected);
    }
    assert_eq!(stored(Arc::new(NullArray::new(2))).unwrap().data_type(), &DataType::Utf8);
}

#[test]
fn instants_of_any_unit_and_zone_become_utc_microseconds() {
    let nanos = TimestampNanosecondArray::from(vec![1_500_000_000_123_456_789]);
    let nanos = stored(Arc::new(nanos.with_timezone("Asia/Tokyo"))).unwrap();
    let expected = TimestampMicrosecondArray::from(vec![1_500_000_000_123_456]);
    let expected: ArrayRef = Arc::new(expected.with_timezone("UTC"));
    assert_eq!(&nanos, &expected);

    let seconds = stored(Arc::new(TimestampSecondArray::from(vec![-1]))).unwrap();
    let expected: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1_000_000]));
    assert_eq!(&seconds, &expected);
}

#[test]
fn an_unsigned_integer_beyond_the_signed_ones_is_a_data_error_that_names_the_column() {
    let fits = stored(Arc::new(UInt64Array::from(vec![i64::MAX as u64]))).unwrap();
    assert_eq!(fits.as_primitive::<Int64Type>().value(0), i64::MAX);
    let error = stored(Arc::new(UInt64Array::from(vec![u64::MAX]))).unwrap_err();
    assert_eq!(error.exit_code(), 65);
    assert!(error.to_string().contains("column `x`"), "{error}");
}

#[test]
fn narrow_decimals_and_lists_of_any_layout_become_one_kind() {
    let decimal = Decimal32Array::from(vec![1250]).with_precision_and_scale(9, 2).unwrap();
    let expected = Decimal128Array::from(vec![1250]).with_precision_and_scale(9, 2).unwrap();
    assert_eq!(&stored(Arc::new(decimal)).unwrap(), &(Arc::new(expected) as ArrayRef));

    let mut builder = LargeListBuilder::new(StringViewBuilder::new());
    builder.append_value([Some("a"), None]);
    let list = stored(Arc::new(builder.finish())).unwrap();
    let element = Arc::new(Field::new("element", DataType::Utf8, true));
    assert_eq!(list.data_type(), &DataType::List(element));
    assert_eq!(list.as_list::<i32>().value(0).as_string::<i32>().value(0), "a");
}

#[test]
fn what_no_table_holds_is_refused_with_advice() {
    let refused = [
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Decimal256(39, 0),
        DataType::Decimal128(5, -2),
        DataType::Decimal128(5, 6),
        DataType::Struct(Fields::empty()),
        DataType::List(Arc::new(Field::new("item", DataType::Time32(TimeUnit::Second), true))),
    ];
    for data_type in refused {
        let schema = Schema::new(vec![Field::new("x", data_type.clone(), true)]);
        let problems = stored_schema(&schema).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("column `x`: "), "{data_type}: {}", problems[0]);
    }
}
