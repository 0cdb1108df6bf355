//! Dates and timestamps from texts and epoch numbers.
//!
//! ```text
//! "2026-11-21t13:05:00.1234567+09:00"   rfc3339: lower case, seven fraction digits, an offset
//!   date and time 2026-11-21 13:05:00.123456 (digits beyond the microsecond are cut off)
//!   minus 9 hours → 1795233900123456 µs since 1970-01-01T00:00:00Z
//! ```

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::super::{EpochUnit, TimestampForm};
use super::MisfitReason;
use super::number::cut_at_scale;
use super::pattern::Pattern;
use super::time_parts::{clock, leading_fraction_digits, leading_number, leading_offset};
use super::zone::{Zone, find_zone, local_offset, may_have_offset};
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
    Epoch(EpochUnit),
    Pattern(Pattern),
}

/// A date column's forms, made ready.
#[derive(Debug, Clone)]
pub(super) struct DateReader {
    forms: Vec<Form>,
}

impl DateReader {
    pub(super) fn new(forms: &[TimestampForm]) -> Self {
        DateReader { forms: forms.iter().filter_map(Form::new).collect() }
    }

    /// Days since 1970-01-01, by the first form that fits.
    pub(super) fn read(&self, json: &Json<'_>, number_as_text: bool) -> Result<i32, MisfitReason> {
        let text = match &json.kind {
            JsonKind::String(text) => text.as_ref(),
            JsonKind::Number if number_as_text => json.raw,
            _ => return Err(MisfitReason::TypeMismatch),
        };
        let by_form = |form: &Form| match form {
            Form::Rfc3339 => date(text),
            Form::Pattern(pattern) => days(pattern.read(text)?.date()?),
            Form::Epoch(_) => None,
        };
        self.forms.iter().find_map(by_form).ok_or(MisfitReason::InvalidTimestamp)
    }
}

impl TimestampReader {
    pub(super) fn new(
        forms: &[TimestampForm],
        assumed_zone: Option<Tz>,
        number_in_string: bool,
    ) -> Self {
        let forms = forms.iter().filter_map(Form::new).collect();
        TimestampReader { forms, assumed_zone, number_in_string }
    }

    /// Microseconds since the epoch, by the first form that fits.
    pub(super) fn read(&self, json: &Json<'_>, number_as_text: bool) -> Result<i64, MisfitReason> {
        match &json.kind {
            JsonKind::Number if number_as_text => self.read_text(json.raw),
            JsonKind::Number => self.read_number(json.raw),
            JsonKind::String(text) => self.read_text(text),
            _ => Err(MisfitReason::TypeMismatch),
        }
    }

    fn read_number(&self, number: &str) -> Result<i64, MisfitReason> {
        let mut units = self.forms.iter().filter_map(Form::epoch_unit).peekable();
        if units.peek().is_none() {
            return Err(MisfitReason::TypeMismatch);
        }
        units.find_map(|unit| epoch(number, unit)).ok_or(MisfitReason::OutOfRange)
    }

    fn read_text(&self, text: &str) -> Result<i64, MisfitReason> {
        let takes_text = |form: &Form| form.epoch_unit().is_none() || self.number_in_string;
        if !self.forms.iter().any(takes_text) {
            return Err(MisfitReason::TypeMismatch);
        }
        let by_form = |form: &Form| match form {
            Form::Rfc3339 => rfc3339(text, self.assumed_zone),
            Form::Pattern(pattern) => by_pattern(text, pattern, self.assumed_zone),
            Form::Epoch(unit) if self.number_in_string && is_json_number(text) => {
                epoch(text, *unit)
            }
            Form::Epoch(_) => None,
        };
        self.forms.iter().find_map(by_form).ok_or(MisfitReason::InvalidTimestamp)
    }
}

impl Form {
    /// A form made ready; none for a pattern that is none, which no contract has.
    fn new(form: &TimestampForm) -> Option<Self> {
        Some(match form {
            TimestampForm::Rfc3339 => Form::Rfc3339,
            TimestampForm::Epoch(unit) => Form::Epoch(*unit),
            TimestampForm::Pattern(pattern) => Form::Pattern(Pattern::new(pattern).ok()?),
        })
    }

    fn epoch_unit(&self) -> Option<EpochUnit> {
        match self {
            Form::Epoch(unit) => Some(*unit),
            Form::Rfc3339 | Form::Pattern(_) => None,
        }
    }
}

/// Days since 1970-01-01 of `2026-11-21`, years 0001 to 9999.
fn date(text: &str) -> Option<i32> {
    let (date, rest) = leading_date(text)?;
    days(date).filter(|_| rest.is_empty())
}

/// Days since 1970-01-01, in years 0001 to 9999.
pub(super) fn days(date: NaiveDate) -> Option<i32> {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).ok().filter(|_| (1..=9999).contains(&date.year()))
}

/// An epoch number; what is beyond the microsecond is cut off towards the past.
fn epoch(number: &str, unit: EpochUnit) -> Option<i64> {
    let micros = match unit {
        EpochUnit::Second => cut_at_scale(number, 6)?.unscaled,
        EpochUnit::Millisecond => cut_at_scale(number, 3)?.unscaled,
        EpochUnit::Microsecond => cut_at_scale(number, 0)?.unscaled,
        EpochUnit::Nanosecond => cut_at_scale(number, 0)?.unscaled.div_euclid(1000),
    };
    in_range(i64::try_from(micros).ok()?)
}

fn in_range(micros: i64) -> Option<i64> {
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&micros).then_some(micros)
}

/// RFC 3339, section 5.6: `2026-11-21T13:05:00.25+09:00`; also with `t`, `z`, a space for `T`, and
/// an offset as databases write it: `+09`, `+0900`, `+09:18:59`, a space before it, `UTC`.
///
/// A text that ends after the time is local to `assumed_zone`, if there is one.
fn rfc3339(text: &str, assumed_zone: Option<Tz>) -> Option<i64> {
    let (date, rest) = leading_date(text)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (hour, rest) = leading_number(rest, 2)?;
    let (minute, rest) = leading_number(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = leading_number(rest.strip_prefix(':')?, 2)?;
    let (micro, rest) = leading_fraction(rest)?;
    let time = clock(date, hour, minute, second, micro)?;
    if rest.is_empty() {
        return local(time, assumed_zone?);
    }
    match rest.strip_prefix(' ').unwrap_or(rest) {
        "UTC" => at_offset(time, 0),
        offset => {
            let (seconds, rest) = leading_offset(offset)?;
            at_offset(time, seconds).filter(|_| rest.is_empty())
        }
    }
}

fn leading_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = leading_number(text, 4)?;
    let (month, rest) = leading_number(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = leading_number(rest.strip_prefix('-')?, 2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some((date, rest))
}

/// Microseconds of `.25`, if there is a fraction; digits beyond the sixth are cut off.
fn leading_fraction(text: &str) -> Option<(u32, &str)> {
    let Some(fraction) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let (micros, digits) = leading_fraction_digits(fraction, usize::MAX);
    (digits > 0).then(|| (micros, &fraction[digits..]))
}

/// Microseconds since the epoch of a text by a pattern.
pub(super) fn by_pattern(text: &str, pattern: &Pattern, assumed_zone: Option<Tz>) -> Option<i64> {
    let fields = pattern.read(text)?;
    if let Some(micros) = fields.epoch_micros() {
        return in_range(micros?);
    }
    let time = fields.local_time()?;
    match (fields.offset, fields.zone) {
        (None, None) => local(time, assumed_zone?),
        (None, Some(zone)) => match find_zone(zone, time, assumed_zone)? {
            Zone::Fixed(seconds) => at_offset(time, seconds),
            Zone::Named(zone) => local(time, zone),
        },
        (Some(seconds), zone) => {
            let micros = at_offset(time, seconds)?;
            zone.is_none_or(|zone| may_have_offset(zone, micros, seconds)).then_some(micros)
        }
    }
}

/// A time that a zone skips is none; of a time that it has twice, the earlier counts.
fn local(time: NaiveDateTime, zone: Tz) -> Option<i64> {
    micros(local_offset(zone, time)?.from_local_datetime(&time).single()?.to_utc())
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
