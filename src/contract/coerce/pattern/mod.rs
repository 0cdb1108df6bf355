//! Patterns of dates and times, with the meaning that strptime has in C and Python.
//!
//! ```text
//! %d/%b/%Y:%H:%M:%S %z
//!   items    day, "/", month's name, "/", year, ":", hour, ":", minute, ":", second, space, offset
//! 21/Nov/2026:13:05:00 +0900
//!   fields   year 2026, month 11, day 21, hour 13, minute 5, second 0, offset 32400 s
//!   local    2026-11-21 13:05:00, which the offset makes 1795233900000000 µs
//! ```
//!
//! What each directive reads:
//!
//! - `%Y`: the year, four digits. `%y`: two digits of it; 69 to 99 are 1969 to 1999, 00 to 68 are
//!   2000 to 2068.
//! - `%m`, `%d`, `%H`, `%I`, `%M`, `%S`: month, day, hour, hour from 1 to 12, minute and second in
//!   one or two digits. `%e`, `%k`, `%l`: day, hour and hour from 1 to 12 that may be padded with a
//!   space; `%d` takes that as well.
//! - `%j`: the day of the year, one to three digits.
//! - `%b` and `%h`, `%B`: the month's English name, of three letters or whole, in any case.
//! - `%a`, `%A`: the weekday's English name, of three letters or whole, in any case. `%u`, `%w`:
//!   its number, 1 to 7 from Monday on or 0 to 6 from Sunday on. It must be that of the date.
//! - `%p` and `%P`: AM or PM, in any case; goes with `%I`.
//! - `%f`: a second's fraction, one to nine digits; `5` is half a second. `%1f` to `%9f`: just so
//!   many. `%.f`: a point and such digits, or nothing. `%.3f`: a point and three digits.
//! - `%z`, also `%:z` and `%#z`: an offset as `+0900`, `+09:00`, `+09`, `+09:00:00` or `Z`.
//! - `%Z`: a zone, as `Asia/Tokyo`, `JST`, `UTC+9`, or what `%z` takes; beside `%z` it must fit.
//! - `%s`: seconds since 1970-01-01T00:00:00Z.
//! - `%F`, `%T`, `%R`, `%D`, `%r`: `%Y-%m-%d`, `%H:%M:%S`, `%H:%M`, `%m/%d/%y`, `%I:%M:%S %p`.
//! - `%n`, `%t` and white space: white space, one character or more. `%%`: a percent sign.
//! - Any other character: itself.
//!
//! With `0` after the `%`, a number has all its digits (`%0m`); `-` and `_` change nothing but
//! that `_` allows spaces for zeros. Numbers that stand side by side (`%Y%m%d`) have all their
//! digits.
//!
//! `24:00:00` is the next day's midnight; second 60 is taken at 23:59 UTC only and is the next
//! day's first second. Digits beyond the microsecond are cut off.

mod compile;
mod cover;
mod read;
mod write;

pub use self::compile::PatternFault;
pub(in crate::contract) use self::compile::Wanted;
pub(in crate::contract) use self::write::written;

/// A pattern made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Pattern {
    items: Vec<Item>,
    /// What the pattern names, each with its directive.
    named: Vec<(Named, String)>,
}

/// What a pattern has its texts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Year,
    Month,
    Day,
    DayOfYear,
    Weekday,
    Hour,
    HourOfHalf,
    Half,
    Minute,
    Second,
    Fraction,
    Offset,
    Zone,
    Epoch,
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    /// This text, byte for byte.
    Text(String),
    /// White space, one character or more.
    Space,
    Number(Number),
    MonthName(NameLength),
    WeekdayName(NameLength),
    /// AM or PM.
    Half,
    /// Digits after a second's point, at least and at most so many.
    Fraction(usize, usize),
    /// A point and such digits, or nothing.
    PointAndFraction,
    Offset,
    Zone,
    /// Seconds since the epoch.
    Epoch,
}

/// A number of digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    part: Part,
    least: usize,
    most: usize,
    /// Whether a space may stand for its first digit.
    is_spaced: bool,
    /// Whether it was asked for without padding.
    is_bare: bool,
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfHalf,
    Minute,
    Second,
    WeekdayFromMonday,
    WeekdayFromSunday,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameLength {
    Three,
    Whole,
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
