use datafusion::arrow::array::*;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::Int32Type;
use proptest::prelude::*;

use super::*;
use crate::sink::hive_path::PartitionKey;

fn check(columns: Vec<(&str, ArrayRef)>) -> Vec<UnusableRows> {
    let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let batch = columns.into_iter().map(|(name, array)| (name, array, true)).collect::<Vec<_>>();
    let batch = RecordBatch::try_from_iter_with_nullable(batch).unwrap();
    PartitionCheck::new(&batch.schema(), &names).unwrap().unusable_rows(&batch).unwrap()
}

fn bad_rows(array: ArrayRef) -> Vec<u32> {
    check(vec![("key", array)]).into_iter().flat_map(|unusable| unusable.rows).collect()
}

#[test]
fn rows_are_found_by_key_and_the_others_left_alone() {
    let long = "x".repeat(300);
    let keys = ["books", &long, "__HIVE_DEFAULT_PARTITION__", "", &long, "music"];
    let found = check(vec![("service", Arc::new(StringViewArray::from(keys.to_vec())))]);
    assert_eq!(
        found.iter().map(|unusable| &unusable.rows[..]).collect::<Vec<_>>(),
        [&[1, 4][..], &[2]]
    );
    assert_eq!(found[0].key.column, "service");
    assert!(found[0].key.found.starts_with("308 bytes"), "{:?}", found[0].key);
}

#[test]
fn all_layouts_of_text_are_looked_at() {
    let slashes = "/".repeat(84);
    let fits = "/".repeat(83);
    let plain: ArrayRef = Arc::new(StringArray::from(vec![Some(&fits[..]), None, Some(&slashes)]));
    let numbered: DictionaryArray<Int32Type> = [&fits[..], &fits, &slashes].into_iter().collect();
    let large = cast(&plain, &DataType::LargeUtf8).unwrap();
    let views = cast(&plain, &DataType::Utf8View).unwrap();
    for array in [plain, large, views, Arc::new(numbered)] {
        assert_eq!(bad_rows(array), [2]);
    }
}

#[test]
fn days_and_instants_in_years_without_a_text_are_found_but_not_behind_nulls() {
    let behind_null = Date32Array::new(vec![i32::MAX, 0].into(), Some(vec![false, true].into()));
    assert_eq!(bad_rows(Arc::new(behind_null)), [0_u32; 0]);
    assert_eq!(bad_rows(Arc::new(Date32Array::from(vec![0, 2_932_897, 2_932_896]))), [1]);
    let year_10000 = 253_402_300_800_i64;
    assert_eq!(bad_rows(Arc::new(TimestampSecondArray::from(vec![0, year_10000]))), [1]);
    let micros = TimestampMicrosecondArray::from(vec![year_10000 * 1_000_000, 0]);
    assert_eq!(bad_rows(Arc::new(micros.with_timezone("Asia/Tokyo"))), [0]);
    assert_eq!(bad_rows(Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]))), [0_u32; 0]);
}

#[test]
fn a_table_without_partitions_takes_every_row() {
    let array: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(4096)]));
    let batch = RecordBatch::try_from_iter([("key", array)]).unwrap();
    let check = PartitionCheck::new(&batch.schema(), &[]).unwrap();
    assert_eq!(check.unusable_rows(&batch).unwrap(), []);
    assert_eq!(check.unusable_rows(&batch.slice(0, 0)).unwrap(), []);
}

fn value() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(DEFAULT_PARTITION.to_owned())),
        3 => "[a-z]{26}".prop_map(Some),
        4 => "[a/]{0,90}".prop_map(Some),
        2 => "[a/]{70,260}".prop_map(Some),
    ]
}

proptest! {
    #[test]
    fn the_check_and_the_paths_agree_on_every_row(
        rows in proptest::collection::vec(proptest::collection::vec(value(), 5), 1..6),
        columns in 1..6_usize,
    ) {
        let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        let column = |column: usize| rows.iter().map(move |row| row[column].clone());
        let arrays = (0..columns).map(|number| {
            let array: ArrayRef = Arc::new(column(number).collect::<StringArray>());
            (&names[number][..], array)
        });
        let mut found: Vec<u32> =
            check(arrays.collect()).into_iter().flat_map(|unusable| unusable.rows).collect();
        found.sort_unstable();
        let key = |row: &[Option<String>]| {
            PartitionKey(names.iter().cloned().zip(row.iter().cloned()).collect())
        };
        let expected: Vec<u32> = (0..)
            .zip(&rows)
            .filter(|(_, row)| key(row).hive_path().is_err())
            .map(|(number, _)| number)
            .collect();
        prop_assert_eq!(found, expected);
    }
}
