use std::io::Read;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;

use super::*;

fn encode(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let schema = batch.schema();
    let mut out = Vec::new();
    let block = TsvBlock::new(&schema, batch.columns(), batch.num_rows())?;
    block.encode_rows(&mut (0..batch.num_rows() as u32), &mut out)?;
    Ok(out)
}

fn text_cell(text: &str) -> Vec<u8> {
    encode(vec![("s", Arc::new(StringArray::from(vec![text])))]).unwrap()
}

#[test]
fn text_is_escaped_byte_for_byte_as_hives_own_writer_does() {
    assert_eq!(text_cell("a\tb"), b"a\\\tb\n");
    assert_eq!(text_cell("a\nb"), b"a\\nb\n");
    assert_eq!(text_cell("a\rb"), b"a\\rb\n");
    assert_eq!(text_cell("a\r\nb"), b"a\\r\\nb\n");
    assert_eq!(text_cell("a\\b"), b"a\\\\b\n");
    assert_eq!(text_cell("\\N"), b"\\\\N\n");
    assert_eq!(text_cell(""), b"\n");
    assert_eq!(text_cell("日本😀\u{85}\u{2028}"), "日本😀\u{85}\u{2028}\n".as_bytes());
    assert_eq!(text_cell("\t"), b"\\\t\n");
}

#[test]
fn every_ascii_character_has_the_bytes_that_hives_own_writer_gave() {
    for byte in 0_u8..0x80 {
        let text = format!("<{}>", char::from(byte));
        let cell: Vec<u8> = match byte {
            b'\n' => b"\\n".to_vec(),
            b'\r' => b"\\r".to_vec(),
            b'\\' => b"\\\\".to_vec(),
            2..=9 => vec![b'\\', byte],
            plain => vec![plain],
        };
        let expected = [b"<", &cell[..], b">\n"].concat();
        assert_eq!(text_cell(&text), expected, "{byte:#04x}");
    }
}

#[test]
fn a_row_of_every_type_and_a_row_of_nulls_have_their_golden_bytes() {
    let decimal = Decimal128Array::from(vec![Some(1_234_567_890), None]);
    let decimal = decimal.with_precision_and_scale(10, 2).unwrap();
    let at = TimestampMicrosecondArray::from(vec![Some(1_795_266_300_123_450), None]);
    let rows = encode(vec![
        ("i8", Arc::new(Int8Array::from(vec![Some(-8), None])) as ArrayRef),
        ("i16", Arc::new(Int16Array::from(vec![Some(16), None]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(-32), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("本"), None]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(1e300), None]))),
        ("d", Arc::new(decimal)),
        ("t", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("f", Arc::new(BooleanArray::from(vec![Some(false), None]))),
        ("dt", Arc::new(Date32Array::from(vec![Some(20_778), None]))),
        ("at", Arc::new(at.clone())),
        ("utc", Arc::new(at.with_timezone("UTC"))),
    ])
    .unwrap();
    let expected = "-8\t16\t-32\t9007199254740993\t本\t0.1\t1.0E300\t12345678.90\ttrue\tfalse\t\
                    2026-11-21\t2026-11-21 13:05:00.12345\t2026-11-21 13:05:00.12345\n\
                    \\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n";
    assert_eq!(String::from_utf8(rows).unwrap(), expected);
}

#[test]
fn not_a_number_and_infinities_read_as_java_writes_them() {
    let values = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let rows = encode(vec![("x", Arc::new(Float64Array::from(values)))]).unwrap();
    assert_eq!(rows, b"NaN\nInfinity\n-Infinity\n-0.0\n");
}

#[test]
fn a_year_that_hive_would_read_as_null_is_a_data_error_that_names_the_column() {
    let far = encode(vec![("born", Arc::new(Date32Array::from(vec![0, 2_932_897])))]);
    let error = far.unwrap_err();
    assert_eq!(error.exit_code(), 65);
    assert!(error.to_string().contains("column `born`"), "{error}");
}

#[test]
fn what_the_decompressors_read_is_what_was_encoded() {
    let folder = tempfile::tempdir().unwrap();
    // More than one chunk, so that the encoder is entered several times.
    let texts: Vec<String> = (0..40_000).map(|i| format!("{i}\t{}", "x".repeat(40))).collect();
    let expected: String = (0..40_000).map(|i| format!("{i}\\\t{}\n", "x".repeat(40))).collect();
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let batch = RecordBatch::try_from_iter([("s", texts)]).unwrap();
    for compression in [TsvCompression::Uncompressed, TsvCompression::Gzip, TsvCompression::Bzip2] {
        let path = folder.path().join(extension(compression));
        let mut file = TsvFile::create(path.clone(), compression).unwrap();
        let schema = batch.schema();
        let block = TsvBlock::new(&schema, batch.columns(), batch.num_rows()).unwrap();
        file.write(&block, None).unwrap();
        assert_eq!(file.rows(), 40_000);
        let sealed = file.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(sealed.bytes, bytes.len() as u64);
        let mut text = String::new();
        match compression {
            TsvCompression::Uncompressed => (&bytes[..]).read_to_string(&mut text),
            TsvCompression::Gzip => {
                flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text)
            }
            TsvCompression::Bzip2 => {
                bzip2::read::MultiBzDecoder::new(&bytes[..]).read_to_string(&mut text)
            }
        }
        .unwrap();
        assert!(text == expected, "{compression:?}");
    }
}
