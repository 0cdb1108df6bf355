//! Dates and RFC 3339 timestamps in fixed places, eight bytes at a time.
//!
//! ```text
//! bytes   2026-11-21T13:05:00.123+09:00"
//! word    2026-11-        digits and hyphens in their places
//! byte            21      digits; the day is the one of the last timestamp: 20778 days
//! word               13:05:00   digits and colons in their places
//! word                        123+09:0   three digits: 123000 µs
//! offset                         +09:00  minus nine hours → 1795233900123000
//! ```

use crate::contract::EpochUnit;
use crate::json::scan::input::{Unhandled, byte, eight};
use crate::json::scan::number::{leading_digits, some_digits};

/// 0001-01-01T00:00:00Z, the earliest timestamp, in microseconds.
const TIMESTAMP_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z, the latest timestamp, in microseconds.
const TIMESTAMP_MAX: i64 = 253_402_300_799_999_999;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The last date that was read: most logs are of one day.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LastDate {
    year_month: u64,
    day: u16,
    days: i32,
}

/// Whether eight bytes are digits, but for those bytes of `others` that are not zero: they must be
/// just those.
#[inline(always)]
const fn is_shaped(word: u64, others: u64) -> bool {
    const LOWS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let mut expected = 0x3030_3030_3030_3030;
    let mut add = 0x7676_7676_7676_7676;
    let mut place = 0;
    while place < 64 {
        if others >> place & 0xff != 0 {
            expected = expected & !(0xff << place) | others & 0xff << place;
            add = add & !(0xff << place) | 0x7f << place;
        }
        place += 8;
    }
    let difference = word ^ expected;
    ((difference & LOWS).wrapping_add(add) | difference) & !LOWS == 0
}

/// The number of the two digits at a place of a word.
#[inline(always)]
fn two(word: u64, place: u32) -> u32 {
    let pair = (word >> (8 * place)) as u32;
    (pair & 0xf) * 10 + (pair >> 8 & 0xf)
}

/// Days since 1970-01-01 of the date at a place, ten bytes; years 0000 to 9999.
#[inline(always)]
pub(super) fn date(bytes: &[u8], at: usize, last: &mut LastDate) -> Result<i32, Unhandled> {
    let year_month = eight(bytes, at);
    let day = u16::from_le_bytes([byte(bytes, at + 8), byte(bytes, at + 9)]);
    if year_month == last.year_month && day == last.day && day != 0 {
        return Ok(last.days);
    }
    let days = new_date(year_month, day)?;
    *last = LastDate { year_month, day, days };
    Ok(days)
}

#[cold]
fn new_date(year_month: u64, day: u16) -> Result<i32, Unhandled> {
    let day_digits = [day as u8, (day >> 8) as u8];
    if !is_shaped(year_month, u64::from_le_bytes(*b"\0\0\0\0-\0\0-"))
        || !day_digits.iter().all(u8::is_ascii_digit)
    {
        return Err(Unhandled);
    }
    let year = two(year_month, 0) * 100 + two(year_month, 2);
    let month = two(year_month, 5);
    let day = two(u64::from(day), 0);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return Err(Unhandled),
    };
    if day == 0 || day > days_of_month {
        return Err(Unhandled);
    }
    Ok(days_from_civil(year as i32, month as i32, day as i32))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, by Howard Hinnant, "chrono-compatible
/// low-level date algorithms": years that begin in March, in eras of 400 years.
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = year - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Days since 1970-01-01 of a date from after its opening quote, years 0001 to 9999, and the place
/// after its closing one.
#[inline(always)]
pub(super) fn quoted_date(
    bytes: &[u8],
    at: usize,
    last: &mut LastDate,
) -> Result<(i32, usize), Unhandled> {
    const YEAR_1: i32 = -719_162;
    let days = date(bytes, at, last)?;
    if days < YEAR_1 || byte(bytes, at + 10) != b'"' {
        return Err(Unhandled);
    }
    Ok((days, at + 11))
}

/// Microseconds since the epoch of an RFC 3339 timestamp with its offset, from after its opening
/// quote, and the place after its closing one. Second 60 and eight fraction digits or more are
/// unhandled.
#[inline(always)]
pub(super) fn quoted_rfc3339(
    bytes: &[u8],
    at: usize,
    last: &mut LastDate,
) -> Result<(i64, usize), Unhandled> {
    let days = date(bytes, at, last)?;
    let clock = eight(bytes, at + 11);
    let separated = matches!(byte(bytes, at + 10), b'T' | b't' | b' ');
    if !separated || !is_shaped(clock, u64::from_le_bytes(*b"\0\0:\0\0:\0\0")) {
        return Err(Unhandled);
    }
    let (hour, minute, second) = (two(clock, 0), two(clock, 3), two(clock, 6));
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Unhandled);
    }
    let mut micros = i64::from(hour * 3600 + minute * 60 + second) * SECOND;
    let mut end = at + 19;
    if byte(bytes, end) == b'.' {
        let word = eight(bytes, end + 1);
        let count = leading_digits(word);
        if count == 0 || count == 8 {
            return Err(Unhandled);
        }
        const TO_MICROS: [u64; 8] = [0, 100_000, 10_000, 1_000, 100, 10, 1, 0];
        micros += match count {
            7 => (some_digits(word, 7) / 10) as i64,
            _ => (some_digits(word, count) * TO_MICROS[count]) as i64,
        };
        end += 1 + count;
    }
    let (offset, end) = offset(bytes, end)?;
    let micros = i64::from(days) * DAY + micros - offset;
    if byte(bytes, end) != b'"' || !(TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros) {
        return Err(Unhandled);
    }
    Ok((micros, end + 1))
}

/// The microseconds of `+09:00`, `+0900`, `+09` or `Z` at a place, and the place after it.
#[inline(always)]
fn offset(bytes: &[u8], at: usize) -> Result<(i64, usize), Unhandled> {
    let word = eight(bytes, at);
    let sign = match word as u8 {
        b'Z' | b'z' => return Ok((0, at + 1)),
        b'+' => 1,
        b'-' => -1,
        _ => return Err(Unhandled),
    };
    let clock = word >> 8 & 0xff_ffff_ffff | 0x30_3030 << 40;
    let (hours, minutes) = (two(clock, 0), two(clock, 3));
    if !is_shaped(clock, u64::from_le_bytes(*b"\0\0:\0\0\0\0\0")) {
        let (clock, length) = short_offset(word >> 8)?;
        return Ok((sign * clock, at + length));
    }
    if hours > 23 || minutes > 59 {
        return Err(Unhandled);
    }
    Ok((sign * i64::from(hours * 3600 + minutes * 60) * SECOND, at + 6))
}

/// The microseconds of `0900` or `09`, as databases write offsets, and its length with the sign.
#[inline(never)]
fn short_offset(word: u64) -> Result<(i64, usize), Unhandled> {
    let (minutes, length) = match leading_digits(word) {
        4 => (two(word, 2), 5),
        2 => (0, 3),
        _ => return Err(Unhandled),
    };
    let hours = two(word, 0);
    if hours > 23 || minutes > 59 {
        return Err(Unhandled);
    }
    Ok((i64::from(hours * 3600 + minutes * 60) * SECOND, length))
}

/// Microseconds since the epoch of so many units; what is less than one is cut off.
#[inline(always)]
pub(super) fn epoch(number: i64, unit: EpochUnit) -> Option<i64> {
    let micros = match unit {
        EpochUnit::Second => number.checked_mul(1_000_000)?,
        EpochUnit::Millisecond => number.checked_mul(1_000)?,
        EpochUnit::Microsecond => number,
        EpochUnit::Nanosecond => number.div_euclid(1_000),
    };
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros).then_some(micros)
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
