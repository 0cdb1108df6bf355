//! Values as the text that Hive reads back: in TSV cells and in partition directories.
//!
//! The forms were compared byte for byte with what Hive 2.3's LazySimpleSerDe writes.

use std::io::Write;
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Years that Hive's text form of dates holds: it has four digits and no sign.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// The days of these years since 1970-01-01.
const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// The microseconds of these days.
const MICROS: RangeInclusive<i64> =
    *DAYS.start() as i64 * MICROS_PER_DAY..=(*DAYS.end() as i64 + 1) * MICROS_PER_DAY - 1;

/// A day outside the years 0001 to 9999, which Hive would read back as NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct YearOutOfRange;

impl YearOutOfRange {
    pub(crate) const EXPECTED: &str =
        "a year from 0001 to 9999, which is all that Hive's text form holds";
}

impl std::fmt::Display for YearOutOfRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let expected = Self::EXPECTED;
        write!(
            f,
            "expected {expected}, found a day outside of them; filter it in the view or make it \
             NULL",
        )
    }
}

/// Whether [`push_date`] can write a day.
pub(crate) fn has_year(days: i32) -> bool {
    DAYS.contains(&days)
}

/// Whether [`push_timestamp`] can write an instant.
pub(crate) fn has_timestamp_year(micros: i64) -> bool {
    MICROS.contains(&micros)
}

/// Appends `value` in decimal digits.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends `2026-11-21`; `days` since 1970-01-01.
pub(crate) fn push_date(out: &mut Vec<u8>, days: i32) -> Result<(), YearOutOfRange> {
    let date = NaiveDate::from_epoch_days(days).ok_or(YearOutOfRange)?;
    if !YEARS.contains(&date.year()) {
        return Err(YearOutOfRange);
    }
    push_padded(out, date.year().unsigned_abs(), 4);
    out.push(b'-');
    push_padded(out, date.month(), 2);
    out.push(b'-');
    push_padded(out, date.day(), 2);
    Ok(())
}

/// Appends `2026-11-21 13:05:00.12345`, trailing zeros and an empty fraction cut;
/// `micros` since 1970-01-01 00:00:00.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, micros: i64) -> Result<(), YearOutOfRange> {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| YearOutOfRange)?;
    push_date(out, days)?;
    let in_day = micros.rem_euclid(MICROS_PER_DAY);
    // Below 86,400: fits.
    let seconds = (in_day / MICROS_PER_SECOND) as u32;
    for (mark, part) in [(b' ', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)] {
        out.push(mark);
        push_padded(out, part, 2);
    }
    // Below 1,000,000: fits.
    let mut fraction = (in_day % MICROS_PER_SECOND) as u32;
    if fraction > 0 {
        let mut digits = 6;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        out.push(b'.');
        push_padded(out, fraction, digits);
    }
    Ok(())
}

/// Appends a decimal in plain digits with all of its scale: 1250 at scale 2 is `12.50`.
pub(crate) fn push_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    let scale = usize::from(scale.unsigned_abs());
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    push_integer(out, value.unsigned_abs());
    if scale > 0 {
        let digits = out.len() - start;
        if digits <= scale {
            let zeros = scale + 1 - digits;
            out.splice(start..start, std::iter::repeat_n(b'0', zeros));
        }
        out.insert(out.len() - scale, b'.');
    }
}

/// Appends a double in the form of Java's `Double.toString`, shortest round trip: `0.1`, `1.0E300`.
pub(crate) fn push_double(out: &mut Vec<u8>, value: f64) {
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    push_java_float(out, plain, value.is_nan(), value.is_infinite(), value > 0.0, &value);
}

/// Appends a float in the form of Java's `Float.toString`, shortest round trip.
pub(crate) fn push_float(out: &mut Vec<u8>, value: f32) {
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    push_java_float(out, plain, value.is_nan(), value.is_infinite(), value > 0.0, &value);
}

fn push_java_float(
    out: &mut Vec<u8>,
    plain: bool,
    nan: bool,
    infinite: bool,
    positive: bool,
    value: &(impl std::fmt::Debug + std::fmt::LowerExp),
) {
    if nan {
        out.extend_from_slice(b"NaN");
    } else if infinite {
        out.extend_from_slice(if positive { b"Infinity" } else { b"-Infinity" });
    } else if plain {
        // Debug always has a point: `1.0`. Writing to a Vec cannot fail.
        let _ = write!(out, "{value:?}");
    } else {
        let start = out.len();
        let _ = write!(out, "{value:e}");
        let has_point = out[start..].contains(&b'.');
        if let Some(e) = out[start..].iter().position(|byte| *byte == b'e') {
            let e = start + e;
            out[e] = b'E';
            if !has_point {
                out.splice(e..e, *b".0");
            }
        }
    }
}

fn push_padded(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut digits = [b'0'; 10];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        // Below 10: fits.
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[10 - width..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn timestamps_lose_trailing_zeros_as_hive_writes_them() {
        let at = |micros| text(|out| push_timestamp(out, micros).unwrap());
        assert_eq!(at(0), "1970-01-01 00:00:00");
        assert_eq!(at(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(at(1_795_266_300_123_450), "2026-11-21 13:05:00.12345");
        assert_eq!(at(1_795_266_300_100_000), "2026-11-21 13:05:00.1");
        assert_eq!(at(1_795_266_300_000_001), "2026-11-21 13:05:00.000001");
        assert_eq!(at(1_795_266_300_000_010), "2026-11-21 13:05:00.00001");
        assert_eq!(at(-62_135_596_800_000_000), "0001-01-01 00:00:00");
        assert_eq!(at(253_402_300_799_999_999), "9999-12-31 23:59:59.999999");
    }

    #[test]
    fn years_that_hive_cannot_read_are_refused() {
        let mut out = Vec::new();
        assert_eq!(push_timestamp(&mut out, -62_135_596_800_000_001), Err(YearOutOfRange));
        assert_eq!(push_timestamp(&mut out, 253_402_300_800_000_000), Err(YearOutOfRange));
        assert_eq!(push_timestamp(&mut out, i64::MIN), Err(YearOutOfRange));
        assert_eq!(push_date(&mut out, i32::MAX), Err(YearOutOfRange));
        assert_eq!(push_date(&mut out, 2_932_897), Err(YearOutOfRange));
        assert_eq!(push_date(&mut out, 2_932_896), Ok(()));
        for days in [-719_163, -719_162, 0, 2_932_896, 2_932_897, i32::MIN, i32::MAX] {
            assert_eq!(push_date(&mut out, days).is_ok(), has_year(days), "{days}");
        }
        let ends = [-62_135_596_800_000_000, 253_402_300_799_999_999];
        for micros in ends.into_iter().flat_map(|end| [end - 1, end, end + 1]) {
            let written = push_timestamp(&mut out, micros).is_ok();
            assert_eq!(written, has_timestamp_year(micros), "{micros}");
        }
    }

    #[test]
    fn decimals_are_plain_with_all_of_their_scale() {
        let decimal = |value, scale| text(|out| push_decimal(out, value, scale));
        assert_eq!(decimal(1250, 2), "12.50");
        assert_eq!(decimal(-10, 2), "-0.10");
        assert_eq!(decimal(0, 2), "0.00");
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(decimal(-7, 3), "-0.007");
        assert_eq!(decimal(5, 1), "0.5");
        let widest = 10_i128.pow(38) - 1;
        assert_eq!(decimal(-widest, 38), format!("-0.{}", "9".repeat(38)));
    }

    #[test]
    fn doubles_look_like_javas_and_round_trip() {
        let double = |value| text(|out| push_double(out, value));
        // As Hive's own writer gave them.
        assert_eq!(double(0.333_333_333_333_333_3), "0.3333333333333333");
        assert_eq!(double(0.0), "0.0");
        assert_eq!(double(-0.0), "-0.0");
        assert_eq!(double(42.0), "42.0");
        assert_eq!(double(1e300), "1.0E300");
        assert_eq!(double(f64::NAN), "NaN");
        assert_eq!(double(f64::NEG_INFINITY), "-Infinity");
        assert_eq!(double(f64::INFINITY), "Infinity");
        assert_eq!(double(1e7), "1.0E7");
        assert_eq!(double(9_999_999.5), "9999999.5");
        assert_eq!(double(0.001), "0.001");
        assert_eq!(double(0.000_12), "1.2E-4");
        assert_eq!(text(|out| push_float(out, 1e-7)), "1.0E-7");
        assert_eq!(text(|out| push_float(out, 0.1)), "0.1");
        assert_eq!(text(|out| push_float(out, 123_456_789.0)), "1.2345679E8");
        for value in [f64::MIN_POSITIVE, f64::MAX, 5e-324, 0.1 + 0.2, -1.5e-9, 123_456.789] {
            let written: f64 = double(value).parse().unwrap();
            assert_eq!(written.to_bits(), value.to_bits());
        }
    }
}
