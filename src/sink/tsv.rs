//! Rows as text that Hive's LazySimpleSerDe reads: `FIELDS TERMINATED BY '\t' ESCAPED BY '\\'
//! NULL DEFINED AS '\\N'`, with `'serialization.escape.crlf'='true'`.
//!
//! ```text
//! tab → backslash, tab     LF → \n     CR → \r     backslash → \\     NULL → \N     "" stays ""
//! U+0002 to U+0008 → backslash, the character itself: Hive's separators of nested levels
//! ```
//!
//! The bytes are those that Hive 2.3's own writer gives under the same table definition, compared
//! for each ASCII character. There is no header. Lists, structs, maps and binary are refused by
//! [`check_tsv_schema`](super::check_tsv_schema): LazySimpleSerDe has a form for them, but few
//! other readers of TSV know it.

use std::io::{self, Write};
use std::path::PathBuf;

use bzip2::write::BzEncoder;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use flate2::write::GzEncoder;

use crate::base::error::{Error, Result};
use crate::base::fs::write_error;
use crate::pipeline::TsvCompression;
use crate::sink::file::{HashedFile, Sealed};
use crate::sink::text;

/// Encoded bytes that are handed to the compressor at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes that zlib's compressor holds at 15 window bits and memory level 8, rounded up.
const GZIP_STATE_BYTES: u64 = 384 << 10;

/// Bytes that bzip2's compressor holds at block size 9 (400k + 8 × 900k, by its manual).
const BZIP2_STATE_BYTES: u64 = 7_600 << 10;

/// A TSV file that is being written.
pub(crate) struct TsvFile {
    stream: TextStream,
    rows: u64,
}

enum TextStream {
    Plain(HashedFile),
    Gzip(Box<GzEncoder<HashedFile>>),
    Bzip2(Box<BzEncoder<HashedFile>>),
}

/// The end of a file's name: `tsv.gz`.
pub(crate) fn extension(compression: TsvCompression) -> &'static str {
    match compression {
        TsvCompression::Uncompressed => "tsv",
        TsvCompression::Gzip => "tsv.gz",
        TsvCompression::Bzip2 => "tsv.bz2",
    }
}

/// Bytes that an open file holds in memory, however few rows it has.
pub(crate) fn state_bytes(compression: TsvCompression) -> u64 {
    match compression {
        TsvCompression::Uncompressed => 0,
        TsvCompression::Gzip => GZIP_STATE_BYTES,
        TsvCompression::Bzip2 => BZIP2_STATE_BYTES,
    }
}

impl TsvFile {
    /// Creates the file.
    pub(crate) fn create(path: PathBuf, compression: TsvCompression) -> Result<Self> {
        let file = HashedFile::create(path)?;
        let stream = match compression {
            TsvCompression::Uncompressed => TextStream::Plain(file),
            TsvCompression::Gzip => {
                TextStream::Gzip(Box::new(GzEncoder::new(file, flate2::Compression::default())))
            }
            TsvCompression::Bzip2 => {
                TextStream::Bzip2(Box::new(BzEncoder::new(file, bzip2::Compression::best())))
            }
        };
        Ok(TsvFile { stream, rows: 0 })
    }

    /// Appends the given rows of a block's columns, which have stored types; all without `rows`.
    pub(crate) fn write(&mut self, block: &TsvBlock<'_>, rows: Option<&[u32]>) -> Result<()> {
        // Row numbers fit 32 bits: a block is small.
        let all = 0..block.rows as u32;
        match rows {
            Some(rows) => self.write_rows(block, rows.iter().copied()),
            None => self.write_rows(block, all),
        }
    }

    fn write_rows(
        &mut self,
        block: &TsvBlock<'_>,
        mut rows: impl ExactSizeIterator<Item = u32>,
    ) -> Result<()> {
        self.rows += rows.len() as u64;
        let mut chunk = Vec::new();
        while rows.len() > 0 {
            chunk.clear();
            block.encode_rows(&mut rows, &mut chunk)?;
            self.stream
                .write_all(&chunk)
                .map_err(|err| write_error(self.stream.file().path(), &err))?;
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes on disk so far; the compressor holds back some.
    pub(crate) fn bytes(&self) -> u64 {
        self.stream.file().bytes()
    }

    /// Writes what the compressor holds and brings all to the disk.
    pub(crate) fn finish(mut self) -> Result<Sealed> {
        let ended = match &mut self.stream {
            TextStream::Plain(_) => Ok(()),
            TextStream::Gzip(encoder) => encoder.try_finish(),
            TextStream::Bzip2(encoder) => encoder.try_finish(),
        };
        ended.map_err(|err| write_error(self.stream.file().path(), &err))?;
        self.stream.file_mut().seal()
    }
}

impl TextStream {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            TextStream::Plain(file) => file.write_all(bytes),
            TextStream::Gzip(encoder) => encoder.write_all(bytes),
            TextStream::Bzip2(encoder) => encoder.write_all(bytes),
        }
    }

    fn file(&self) -> &HashedFile {
        match self {
            TextStream::Plain(file) => file,
            TextStream::Gzip(encoder) => encoder.get_ref(),
            TextStream::Bzip2(encoder) => encoder.get_ref(),
        }
    }

    fn file_mut(&mut self) -> &mut HashedFile {
        match self {
            TextStream::Plain(file) => file,
            TextStream::Gzip(encoder) => encoder.get_mut(),
            TextStream::Bzip2(encoder) => encoder.get_mut(),
        }
    }
}

/// A column, known by its type once a batch.
enum Cells<'a> {
    Text(&'a StringArray),
    Bool(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, i8),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
}

/// Whether a value of this stored type has a form in TSV.
pub(crate) fn can_encode(stored: &DataType) -> bool {
    !stored.is_nested() && !matches!(stored, DataType::Binary)
}

/// What is written at once: the columns of a block.
pub(crate) struct TsvBlock<'a> {
    schema: &'a Schema,
    cells: Vec<Cells<'a>>,
    rows: usize,
}

impl<'a> TsvBlock<'a> {
    /// The columns of a block of so many rows, of the stored types in `schema`.
    pub(crate) fn new(schema: &'a Schema, columns: &'a [ArrayRef], rows: usize) -> Result<Self> {
        let cells = columns.iter().zip(schema.fields()).map(|(array, field)| {
            cells_of(array).ok_or_else(|| {
                let (column, data_type) = (field.name(), array.data_type());
                Error::Bug(format!("writing column `{column}` ({data_type}) as TSV"))
            })
        });
        Ok(TsvBlock { schema, cells: cells.collect::<Result<_>>()?, rows })
    }

    /// Appends rows until `out` holds a chunk.
    fn encode_rows(&self, rows: &mut impl Iterator<Item = u32>, out: &mut Vec<u8>) -> Result<()> {
        for row in rows {
            for (column, cells) in self.cells.iter().enumerate() {
                if column > 0 {
                    out.push(b'\t');
                }
                cells.encode(row as usize, out).map_err(|problem| {
                    let column = self.schema.field(column).name();
                    Error::Data(format!("writing column `{column}` as TSV: {problem}"))
                })?;
            }
            out.push(b'\n');
            if out.len() >= CHUNK_BYTES {
                break;
            }
        }
        Ok(())
    }
}

fn cells_of(array: &ArrayRef) -> Option<Cells<'_>> {
    Some(match array.data_type() {
        DataType::Utf8 => Cells::Text(array.as_string()),
        DataType::Boolean => Cells::Bool(array.as_boolean()),
        DataType::Int8 => Cells::Int8(array.as_primitive()),
        DataType::Int16 => Cells::Int16(array.as_primitive()),
        DataType::Int32 => Cells::Int32(array.as_primitive()),
        DataType::Int64 => Cells::Int64(array.as_primitive()),
        DataType::Float32 => Cells::Float32(array.as_primitive()),
        DataType::Float64 => Cells::Float64(array.as_primitive()),
        DataType::Decimal128(_, scale) => Cells::Decimal(array.as_primitive(), *scale),
        DataType::Date32 => Cells::Date(array.as_primitive()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Cells::Timestamp(array.as_primitive()),
        _ => return None,
    })
}

impl Cells<'_> {
    #[inline]
    fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), text::YearOutOfRange> {
        if self.is_null(row) {
            out.extend_from_slice(b"\\N");
            return Ok(());
        }
        match self {
            Cells::Text(array) => push_escaped(out, array.value(row).as_bytes()),
            Cells::Bool(array) if array.value(row) => out.extend_from_slice(b"true"),
            Cells::Bool(_) => out.extend_from_slice(b"false"),
            Cells::Int8(array) => text::push_integer(out, array.value(row)),
            Cells::Int16(array) => text::push_integer(out, array.value(row)),
            Cells::Int32(array) => text::push_integer(out, array.value(row)),
            Cells::Int64(array) => text::push_integer(out, array.value(row)),
            Cells::Float32(array) => text::push_float(out, array.value(row)),
            Cells::Float64(array) => text::push_double(out, array.value(row)),
            Cells::Decimal(array, scale) => text::push_decimal(out, array.value(row), *scale),
            Cells::Date(array) => return text::push_date(out, array.value(row)),
            Cells::Timestamp(array) => return text::push_timestamp(out, array.value(row)),
        }
        Ok(())
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Text(array) => array.is_null(row),
            Cells::Bool(array) => array.is_null(row),
            Cells::Int8(array) => array.is_null(row),
            Cells::Int16(array) => array.is_null(row),
            Cells::Int32(array) => array.is_null(row),
            Cells::Int64(array) => array.is_null(row),
            Cells::Float32(array) => array.is_null(row),
            Cells::Float64(array) => array.is_null(row),
            Cells::Decimal(array, _) => array.is_null(row),
            Cells::Date(array) => array.is_null(row),
            Cells::Timestamp(array) => array.is_null(row),
        }
    }
}

fn push_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = text.iter().position(|byte| is_escaped(*byte)) {
        out.extend_from_slice(&text[..at]);
        out.push(b'\\');
        out.push(match text[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            itself => itself,
        });
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, 0x02..=b'\n' | b'\r' | b'\\')
}

#[cfg(test)]
#[path = "tsv_tests.rs"]
mod tests;
