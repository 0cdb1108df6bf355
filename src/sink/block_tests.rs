use datafusion::arrow::array::*;
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{Fields, Int32Type, Schema};

use super::*;

fn batch(texts: &[&str]) -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("s", texts, true)]).unwrap()
}

/// The blocks that batches make, as the texts in them.
fn blocks(batches: &[RecordBatch], bytes_max: u64) -> Vec<Vec<String>> {
    let mut block = Block::new(batches[0].schema(), bytes_max);
    let mut blocks = Vec::new();
    let mut end = |block: &mut Block| {
        let texts = block.column(0).unwrap();
        blocks.push(texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect());
        block.clear();
    };
    for batch in batches {
        let mut rest = Some(block.arrive(batch).unwrap());
        while let Some(rows) = rest {
            rest = block.add(rows);
            if rest.is_some() {
                end(&mut block);
            }
        }
    }
    end(&mut block);
    blocks
}

#[test]
fn blocks_end_at_the_same_rows_however_batches_cut_them() {
    let texts: Vec<String> = (0..100).map(|i| "x".repeat(i * 7 % 30)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let whole = batch(&texts);
    let expected = blocks(std::slice::from_ref(&whole), 200);
    assert!(expected.len() > 8);
    assert_eq!(expected.concat(), texts);
    for size in [1, 3, 17, 99] {
        let cut = (0..100).step_by(size).map(|start| whole.slice(start, size.min(100 - start)));
        assert_eq!(blocks(&cut.collect::<Vec<_>>(), 200), expected, "{size} rows a batch");
    }
}

#[test]
fn a_row_larger_than_a_block_is_one() {
    let large = "x".repeat(1000);
    let texts = ["a", &large, "b", "c"];
    assert_eq!(blocks(&[batch(&texts)], 20), [vec!["a"], vec![&large], vec!["b", "c"]]);
}

#[test]
fn a_block_has_no_more_than_its_rows() {
    let texts = vec![""; 2 * ROWS_MAX + 5];
    let rows: Vec<usize> = blocks(&[batch(&texts)], 1 << 30).iter().map(Vec::len).collect();
    assert_eq!(rows, [ROWS_MAX, ROWS_MAX, 5]);
}

#[test]
fn rows_come_back_as_they_came() {
    let mut block = Block::new(batch(&[]).schema(), 1 << 20);
    for texts in [["a", "b"], ["c", "d"], ["e", "f"]] {
        let arrived = block.arrive(&batch(&texts)).unwrap();
        assert!(block.add(arrived).is_none());
    }
    let back = block.as_they_came(&[1, 4, 5]).unwrap();
    assert_eq!(back, [batch(&["b"]), batch(&["e", "f"])]);
}

#[test]
fn the_bytes_of_rows_add_up_for_each_layout_that_waits_in_a_block() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2); 5]),
    ]);
    let fields: Fields = Schema::new(vec![Field::new("l", list.data_type().clone(), true)]).fields;
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None])),
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("日本"), Some("")])),
        Arc::new(BinaryArray::from_vec(vec![b"", b"1", b"22", b"333"])),
        Arc::new(StringViewArray::from(vec!["", "short", "longer than twelve bytes", "x"])),
        Arc::new(StructArray::new(fields, vec![Arc::new(list.clone())], Some(nulls))),
        Arc::new(list),
    ];
    for column in columns {
        let name = column.data_type();
        let whole = bytes_of_rows(&column, 0, 4);
        assert!(whole > 0, "{name}");
        for cut in 0..=4 {
            let in_place = bytes_of_rows(&column, 0, cut) + bytes_of_rows(&column, cut, 4);
            assert_eq!(in_place, whole, "{name} at {cut}");
            let (left, right) = (column.slice(0, cut), column.slice(cut, 4 - cut));
            let cut_apart = bytes_of_rows(&left, 0, cut) + bytes_of_rows(&right, 0, 4 - cut);
            assert_eq!(cut_apart, whole, "{name} sliced at {cut}");
        }
    }
}
