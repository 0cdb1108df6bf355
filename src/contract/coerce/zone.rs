//! Zones as texts name them: `Asia/Tokyo`, `JST`, `UTC+9`, `+09:00`.
//!
//! An abbreviation is read in the assumed zone first, if that has such a one at that time: `CST` is
//! Chinese in `Asia/Shanghai`, and `IST` is Indian in `Asia/Kolkata`. Else it is one of the table
//! below: those of RFC 5322 (section 4.3) and others that mean one thing only. `IST`, `BST` and
//! `AST` mean several, and are none by themselves.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};

use super::time_parts::leading_offset;

/// What a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// Seconds to the east of UTC.
    Fixed(i32),
    Named(Tz),
}

/// Abbreviations with their minutes to the east of UTC; of several, the first is meant if it is
/// not 0xffff.
const ABBREVIATIONS: [(&str, &[i32]); 56] = [
    ("UTC", &[0]),
    ("GMT", &[0]),
    ("UT", &[0]),
    ("Z", &[0]),
    ("WET", &[0]),
    ("WEST", &[60]),
    ("CET", &[60]),
    ("CEST", &[120]),
    ("MET", &[60]),
    ("MEST", &[120]),
    ("EET", &[120]),
    ("EEST", &[180]),
    ("MSK", &[180]),
    ("SAST", &[120]),
    ("WAT", &[60]),
    ("CAT", &[120]),
    ("EAT", &[180]),
    ("PKT", &[300]),
    ("NPT", &[345]),
    ("WIB", &[420]),
    ("WITA", &[480]),
    ("WIT", &[540]),
    ("SGT", &[480]),
    ("HKT", &[480]),
    ("JST", &[540]),
    ("KST", &[540]),
    ("AWST", &[480]),
    ("ACST", &[570]),
    ("ACDT", &[630]),
    ("AEST", &[600]),
    ("AEDT", &[660]),
    ("NZST", &[720]),
    ("NZDT", &[780]),
    ("BRT", &[-180]),
    ("ART", &[-180]),
    ("NST", &[-210]),
    ("NDT", &[-150]),
    ("EST", &[-300]),
    ("EDT", &[-240]),
    ("CST", &[-360, 480, -300]),
    ("CDT", &[-300, -240]),
    ("MST", &[-420]),
    ("MDT", &[-360]),
    ("PST", &[-480, 480]),
    ("PDT", &[-420]),
    ("AKST", &[-540]),
    ("AKDT", &[-480]),
    ("HST", &[-600]),
    ("SST", &[-660]),
    ("ChST", &[600]),
    ("IST", &[UNTOLD, 330, 120, 60]),
    ("IDT", &[180]),
    ("BST", &[UNTOLD, 60, 360, 660]),
    ("AST", &[UNTOLD, -240, 180]),
    ("ADT", &[UNTOLD, -180, 240]),
    ("PHT", &[480]),
];

/// Which of several offsets is meant cannot be told.
const UNTOLD: i32 = 0xffff;

/// Zones of the IANA database by their names in lower case.
static NAMED: LazyLock<HashMap<String, Tz>> = LazyLock::new(|| {
    TZ_VARIANTS.into_iter().map(|zone| (zone.name().to_ascii_lowercase(), zone)).collect()
});

/// The zone that a text names for a local time; none if it names no single one.
pub(super) fn find_zone(text: &str, time: NaiveDateTime, assumed_zone: Option<Tz>) -> Option<Zone> {
    if let Some(seconds) = offset(text) {
        return Some(Zone::Fixed(seconds));
    }
    if let Some(seconds) = assumed_zone.and_then(|zone| abbreviated_in(zone, text, time)) {
        return Some(Zone::Fixed(seconds));
    }
    if let Some(minutes) = abbreviation(text) {
        let minutes = minutes.first().filter(|minutes| **minutes != UNTOLD)?;
        return Some(Zone::Fixed(minutes * 60));
    }
    named(text).map(Zone::Named)
}

/// Whether a text names a zone that has this offset at that moment.
pub(super) fn may_have_offset(text: &str, micros: i64, seconds: i32) -> bool {
    if let Some(named) = offset(text) {
        return named == seconds;
    }
    let in_zone =
        named(text).zip(DateTime::from_timestamp_micros(micros)).is_some_and(|(zone, time)| {
            let offset = zone.offset_from_utc_datetime(&within_tables(time.naive_utc()));
            offset.fix().local_minus_utc() == seconds
        });
    in_zone || abbreviation(text).is_some_and(|minutes| minutes.iter().any(|m| m * 60 == seconds))
}

/// The last year of the zones' tables; the rules that hold then are taken to hold for ever.
const TABLES_END: i32 = 2099;
/// Years after which days of the week and leap years repeat.
const CYCLE_YEARS: i32 = 28;

/// The time itself, or beyond the tables the same time of a year with the same calendar.
pub(super) fn within_tables(time: NaiveDateTime) -> NaiveDateTime {
    if time.year() <= TABLES_END {
        return time;
    }
    let same_calendar = |year: &i32| {
        let first = |year| NaiveDate::from_ymd_opt(year, 1, 1);
        let (known, wanted) = (first(*year), first(time.year()));
        let both = known.zip(wanted);
        both.is_some_and(|(known, wanted)| {
            known.weekday() == wanted.weekday() && known.leap_year() == wanted.leap_year()
        })
    };
    let mut years = TABLES_END - CYCLE_YEARS + 1..=TABLES_END;
    years.find(same_calendar).and_then(|year| time.with_year(year)).unwrap_or(time)
}

/// The offset of a local time in a zone; the earlier time counts of one that it has twice.
pub(super) fn local_offset(zone: Tz, time: NaiveDateTime) -> Option<FixedOffset> {
    let local = zone.offset_from_local_datetime(&within_tables(time));
    local.earliest().map(|offset| offset.fix())
}

/// The offset at which a zone calls itself that at a local time.
fn abbreviated_in(zone: Tz, text: &str, time: NaiveDateTime) -> Option<i32> {
    let local = zone.offset_from_local_datetime(&within_tables(time));
    let both = [local.earliest(), local.latest()];
    let found = both
        .into_iter()
        .flatten()
        .find(|offset| offset.abbreviation().is_some_and(|known| known.eq_ignore_ascii_case(text)));
    found.map(|offset| offset.fix().local_minus_utc())
}

fn abbreviation(text: &str) -> Option<&'static [i32]> {
    let found = ABBREVIATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(text));
    found.map(|(_, minutes)| *minutes)
}

fn named(text: &str) -> Option<Tz> {
    NAMED.get(&text.to_ascii_lowercase()).copied()
}

/// `+09:00`, `Z`, `UTC+9`, `GMT-03:30` in seconds.
fn offset(text: &str) -> Option<i32> {
    if let Some((seconds, "")) = leading_offset(text) {
        return Some(seconds);
    }
    let (name, rest) = text.split_at_checked(text.find(['+', '-'])?)?;
    if !["UTC", "GMT", "UT"].iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return None;
    }
    let (sign, digits) = rest.split_at(1);
    let hour = digits.split(':').next().unwrap_or(digits);
    let padded = if hour.len() == 1 { format!("{sign}0{digits}") } else { rest.to_owned() };
    leading_offset(&padded).filter(|(_, behind)| behind.is_empty()).map(|(seconds, _)| seconds)
}

#[cfg(test)]
mod far_tests {
    use super::*;

    #[test]
    fn rules_of_summer_time_hold_beyond_the_tables() {
        let noon = |year, month, day| {
            let day = NaiveDate::from_ymd_opt(year, month, day).unwrap();
            day.and_hms_opt(12, 0, 0).unwrap()
        };
        let hours = |zone, time| local_offset(zone, time).unwrap().local_minus_utc() / 3600;
        for year in [2099, 2100, 2101, 2150, 2400] {
            assert_eq!(hours(Tz::Europe__Berlin, noon(year, 7, 1)), 2, "{year}");
            assert_eq!(hours(Tz::Europe__Berlin, noon(year, 1, 15)), 1, "{year}");
            assert_eq!(hours(Tz::America__New_York, noon(year, 7, 1)), -4, "{year}");
            assert_eq!(hours(Tz::Asia__Tokyo, noon(year, 7, 1)), 9, "{year}");
        }
        // The last Sunday of March 2101 is the 27th.
        assert_eq!(hours(Tz::Europe__Berlin, noon(2101, 3, 26)), 1);
        assert_eq!(hours(Tz::Europe__Berlin, noon(2101, 3, 27)), 2);
    }
}
