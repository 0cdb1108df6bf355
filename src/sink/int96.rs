//! Timestamps as Hive 2 and 3 read them: INT96, which the Arrow writer does not have.
//!
//! ```text
//! 2026-11-21T04:05:00.5Z   1_795_233_900_500_000 µs since 1970
//! INT96                    14_700_500_000_000 ns of the day (8 bytes), Julian day 2_461_366 (4)
//! ```
//!
//! The layout is Impala's, as parquet-mr's `NanoTime` reads it: nanoseconds of the day,
//! little-endian, then the Julian day number. Values are in UTC. Hive 2 and 3 show them without a
//! shift to the local zone as long as `hive.parquet.timestamp.skip.conversion` is at its default,
//! true, since the footer's `created_by` is not parquet-mr.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::arrow::array::{Array, TimestampMicrosecondArray};
use datafusion::parquet::column::page::{CompressedPage, PageWriteSpec, PageWriter};
use datafusion::parquet::column::writer::{
    ColumnCloseResult, ColumnWriterImpl, get_column_writer, get_typed_column_writer,
};
use datafusion::parquet::data_type::{Int96, Int96Type};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::properties::WriterPropertiesPtr;
use datafusion::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use datafusion::parquet::schema::types::ColumnDescPtr;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// The Julian day number of 1970-01-01.
const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;
/// Bytes of a value.
const INT96_BYTES: u64 = 12;
/// Rows at which Parquet's writer ends a page; a page holds no more than these in memory.
const PAGE_ROWS_MAX: u64 = 20_000;

/// Encodes the timestamps of one column of one row group.
pub(crate) struct Int96Column {
    writer: ColumnWriterImpl<'static, Int96Type>,
    pages: Pages,
    rows: u64,
}

/// The finished pages of a column, in memory until their row group is closed.
type Pages = Arc<Mutex<TrackedWrite<Vec<u8>>>>;

/// A finished column: its pages, and what the row group must know of them.
pub(crate) struct Int96Pages {
    pub(crate) pages: Bytes,
    pub(crate) close: ColumnCloseResult,
}

/// Hands pages to a buffer that the column can still reach.
struct SharedPages(Pages);

impl Int96Column {
    /// `column` is optional, not repeated, not nested; `properties` set no dictionary for it.
    pub(crate) fn new(column: ColumnDescPtr, properties: WriterPropertiesPtr) -> Self {
        let pages = Arc::new(Mutex::new(TrackedWrite::new(Vec::new())));
        let page_writer = Box::new(SharedPages(Arc::clone(&pages)));
        let writer = get_column_writer(column, properties, page_writer);
        Int96Column { writer: get_typed_column_writer(writer), pages, rows: 0 }
    }

    pub(crate) fn write(&mut self, array: &TimestampMicrosecondArray) -> Result<()> {
        let levels: Vec<i16> = (0..array.len()).map(|row| i16::from(array.is_valid(row))).collect();
        let values: Vec<Int96> = array.iter().flatten().map(int96_of_micros).collect();
        self.writer.write_batch(&values, Some(&levels), None)?;
        self.rows += array.len() as u64;
        Ok(())
    }

    /// Bytes that the column holds in memory, at most.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let open_page = self.rows.min(PAGE_ROWS_MAX) * INT96_BYTES;
        self.writer.get_total_bytes_written() + open_page
    }

    /// Ends the column.
    pub(crate) fn close(self) -> Result<Int96Pages> {
        let close = self.writer.close()?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = std::mem::replace(&mut *pages, TrackedWrite::new(Vec::new()));
        Ok(Int96Pages { pages: pages.into_inner()?.into(), close })
    }
}

impl PageWriter for SharedPages {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        SerializedPageWriter::new(&mut *pages).write_page(page)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// `micros` since 1970-01-01 00:00:00 as nanoseconds of the day and Julian day.
fn int96_of_micros(micros: i64) -> Int96 {
    // An i64 of microseconds spans 2^28 days: the Julian day fits 32 bits, as a signed number.
    let day = (micros.div_euclid(MICROS_PER_DAY) + JULIAN_DAY_OF_EPOCH) as u32;
    let nanos = (micros.rem_euclid(MICROS_PER_DAY) * 1000) as u64;
    let mut value = Int96::new();
    value.set_data(nanos as u32, (nanos >> 32) as u32, day);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int96_counts_julian_days_and_nanoseconds() {
        let parts = |micros| {
            let value = int96_of_micros(micros);
            let [low, high, day] = value.data() else { panic!("three words") };
            (u64::from(*high) << 32 | u64::from(*low), *day as i32)
        };
        assert_eq!(parts(0), (0, 2_440_588));
        assert_eq!(parts(-1), (86_399_999_999_000, 2_440_587));
        assert_eq!(parts(1_795_233_900_500_000), (14_700_500_000_000, 2_461_366));
        for micros in [0, -1, 1_795_233_900_123_456, -62_135_596_800_000_000, i64::MIN, i64::MAX] {
            assert_eq!(int96_of_micros(micros).to_micros(), micros);
        }
    }
}
