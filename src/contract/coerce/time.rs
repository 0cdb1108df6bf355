//! Dates and timestamps from texts and epoch numbers.
//!
//! ```text
//! "2026-11-21t13:05:00.1234567+09:00"   rfc3339: lower case, seven fraction digits, an offset
//!   date and time 2026-11-21 13:05:00.123456 (digits beyond the microsecond are cut off)
//!   minus 9 hours → 1795233900123456 µs since 1970-01-01T00:00:00Z
//! ```

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::super::TimestampForm;
use super::MisfitReason;
use super::number::cut_at_scale;
use crate::json::{Json, JsonKind, is_json_number};

/// 0001-01-01T00:00:00Z, the earliest timestamp, in microseconds.
const TIMESTAMP_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z, the latest timestamp, in microseconds.
const TIMESTAMP_MAX: i64 = 253_402_300_799_999_999;

/// A timestamp column's forms, made ready.
#[derive(Debug, Clone)]
pub(super) struct TimestampReader {
    forms: Vec<Form>,
    assumed_zone: Option<Tz>,
    number_in_string: bool,
}

#[derive(Debug, Clone)]
enum Form {
    Rfc3339,
    /// An epoch number with this many decimal places to the microsecond.
    Epoch(u32),
    Pattern(Vec<Item<'static>>),
}

impl TimestampReader {
    pub(super) fn new(
        forms: &[TimestampForm],
        assumed_zone: Option<Tz>,
        number_in_string: bool,
    ) -> Self {
        let forms = forms.iter().map(Form::new).collect();
        TimestampReader { forms, assumed_zone, number_in_string }
    }

    /// Microseconds since the epoch, by the first form that fits.
    pub(super) fn read(&self, json: &Json<'_>) -> Result<i64, MisfitReason> {
        match &json.kind {
            JsonKind::Number => self.read_number(json.raw),
            JsonKind::String(text) => self.read_text(text),
            _ => Err(MisfitReason::TypeMismatch),
        }
    }

    fn read_number(&self, number: &str) -> Result<i64, MisfitReason> {
        let mut scales = self.forms.iter().filter_map(Form::epoch_scale).peekable();
        if scales.peek().is_none() {
            return Err(MisfitReason::TypeMismatch);
        }
        scales.find_map(|scale| epoch(number, scale)).ok_or(MisfitReason::OutOfRange)
    }

    fn read_text(&self, text: &str) -> Result<i64, MisfitReason> {
        let takes_text = |form: &Form| form.epoch_scale().is_none() || self.number_in_string;
        if !self.forms.iter().any(takes_text) {
            return Err(MisfitReason::TypeMismatch);
        }
        let by_form = |form: &Form| match form {
            Form::Rfc3339 => rfc3339(text, self.assumed_zone),
            Form::Pattern(items) => by_pattern(text, items, self.assumed_zone),
            Form::Epoch(scale) if self.number_in_string && is_json_number(text) => {
                epoch(text, *scale)
            }
            Form::Epoch(_) => None,
        };
        self.forms.iter().find_map(by_form).ok_or(MisfitReason::InvalidTimestamp)
    }
}

impl Form {
    fn new(form: &TimestampForm) -> Self {
        match form {
            TimestampForm::Rfc3339 => Form::Rfc3339,
            TimestampForm::EpochSeconds => Form::Epoch(6),
            TimestampForm::EpochMilliseconds => Form::Epoch(3),
            TimestampForm::EpochMicroseconds => Form::Epoch(0),
            // An item that chrono does not know fits no text.
            TimestampForm::Pattern(pattern) => {
                Form::Pattern(StrftimeItems::new(pattern).map(Item::to_owned).collect())
            }
        }
    }

    fn epoch_scale(&self) -> Option<u32> {
        match self {
            Form::Epoch(scale) => Some(*scale),
            Form::Rfc3339 | Form::Pattern(_) => None,
        }
    }
}

/// Days since 1970-01-01 of `2026-11-21`, years 0001 to 9999.
pub(super) fn date(text: &str) -> Option<i32> {
    let (date, rest) = leading_date(text)?;
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    let in_range = rest.is_empty() && !text.starts_with("0000");
    i32::try_from(days).ok().filter(|_| in_range)
}

/// Whether a pattern names a whole date and time, and whether it names the offset too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum PatternKind {
    /// chrono knows no such directive.
    Invalid,
    /// No full date, hour and minute can be read by it.
    Incomplete,
    /// A local date and time.
    Local,
    /// A date and time with its offset, or an epoch.
    Absolute,
}

/// Tries a strftime pattern on a sample that it formats itself.
pub(in super::super) fn pattern_kind(pattern: &str) -> PatternKind {
    use std::fmt::Write as _;

    let Ok(items) = StrftimeItems::new(pattern).parse_to_owned() else {
        return PatternKind::Invalid;
    };
    let sample = DateTime::<Utc>::from_timestamp_micros(1_795_266_309_123_456).unwrap_or_default();
    let mut text = String::new();
    let formatted = sample.fixed_offset().format_with_items(items.iter());
    if write!(text, "{formatted}").is_err() {
        return PatternKind::Invalid;
    }
    let mut parsed = Parsed::new();
    if parse(&mut parsed, &text, items.iter()).is_err() {
        PatternKind::Incomplete
    } else if parsed.to_datetime().is_ok() {
        PatternKind::Absolute
    } else if parsed.to_naive_datetime_with_offset(0).is_ok() {
        PatternKind::Local
    } else {
        PatternKind::Incomplete
    }
}

/// An epoch number whose unit is 10^`scale` microseconds.
fn epoch(number: &str, scale: u32) -> Option<i64> {
    let micros = i64::try_from(cut_at_scale(number, scale)?.unscaled).ok()?;
    in_range(micros)
}

fn in_range(micros: i64) -> Option<i64> {
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros).then_some(micros)
}

/// RFC 3339, section 5.6: `2026-11-21T13:05:00.25+09:00`; `t`, `z` and a space for `T` too.
///
/// A text that ends behind the time is local to `assumed_zone`, if there is one.
fn rfc3339(text: &str, assumed_zone: Option<Tz>) -> Option<i64> {
    let (date, rest) = leading_date(text)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (hour, rest) = leading_number(rest, 2)?;
    let (minute, rest) = leading_number(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = leading_number(rest.strip_prefix(':')?, 2)?;
    let (micro, rest) = leading_fraction(rest)?;
    let time = match second {
        // chrono's form of a leap second.
        60 => date.and_hms_micro_opt(hour, minute, 59, 1_000_000 + micro),
        _ => date.and_hms_micro_opt(hour, minute, second, micro),
    }?;
    match rest {
        "" => local(time, assumed_zone?),
        "Z" | "z" => at_offset(time, 0),
        _ => at_offset(time, offset_seconds(rest)?),
    }
}

/// `+09:00` in seconds.
fn offset_seconds(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = leading_number(text.strip_prefix(['+', '-'])?, 2)?;
    let (minutes, rest) = leading_number(rest.strip_prefix(':')?, 2)?;
    let valid = rest.is_empty() && hours < 24 && minutes < 60;
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    valid.then_some(sign * seconds)
}

fn leading_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = leading_number(text, 4)?;
    let (month, rest) = leading_number(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = leading_number(rest.strip_prefix('-')?, 2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some((date, rest))
}

/// Exactly so many digits, and what is behind them.
fn leading_number(text: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let only_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| only_digits)?;
    Some((number, rest))
}

/// Microseconds of `.25`, if there is a fraction; digits beyond the sixth are cut off.
fn leading_fraction(text: &str) -> Option<(u32, &str)> {
    let Some(fraction) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = fraction.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(fraction.len());
    let (digits, rest) = fraction.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = padded.fold(0, |micros, digit| micros * 10 + u32::from(digit - b'0'));
    Some((micros, rest))
}

fn by_pattern(text: &str, items: &[Item<'static>], assumed_zone: Option<Tz>) -> Option<i64> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).ok()?;
    if parsed.offset().is_some() || parsed.timestamp().is_some() {
        return micros(parsed.to_datetime().ok()?.to_utc());
    }
    local(parsed.to_naive_datetime_with_offset(0).ok()?, assumed_zone?)
}

/// A time that a zone skips is none; of a time that it has twice, the earlier counts.
fn local(time: NaiveDateTime, zone: Tz) -> Option<i64> {
    micros(zone.from_local_datetime(&time).earliest()?.to_utc())
}

fn at_offset(time: NaiveDateTime, seconds: i32) -> Option<i64> {
    let offset = FixedOffset::east_opt(seconds)?;
    micros(offset.from_local_datetime(&time).single()?.to_utc())
}

/// Microseconds since the epoch; a leap second, which only 23:59 has, is the next day's first.
fn micros(time: DateTime<Utc>) -> Option<i64> {
    let is_leap = time.nanosecond() >= 1_000_000_000;
    let may_leap = time.hour() == 23 && time.minute() == 59;
    in_range(time.timestamp_micros()).filter(|_| !is_leap || may_leap)
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
