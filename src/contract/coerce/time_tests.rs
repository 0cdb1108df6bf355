use chrono_tz::{America::New_York, Asia::Tokyo};

use super::*;
use crate::json::read_json;

const NOON: i64 = 1_795_233_900_000_000; // 2026-11-21T04:05:00Z, 13:05 in Tokyo

fn read(forms: &[TimestampForm], zone: Option<Tz>, json: &str) -> Result<i64, MisfitReason> {
    TimestampReader::new(forms, zone, false).read(&read_json(json, 1).unwrap(), false)
}

fn text(json: &str) -> Result<i64, MisfitReason> {
    read(&[TimestampForm::Rfc3339], None, json)
}

#[test]
fn rfc_3339_texts_are_exact_to_the_microsecond() {
    let cases = [
        (r#""2026-11-21T13:05:00+09:00""#, NOON),
        (r#""2026-11-21t04:05:00z""#, NOON),
        (r#""2026-11-21 04:05:00Z""#, NOON),
        (r#""2026-11-20T23:35:00-04:30""#, NOON),
        (r#""2026-11-21 13:05:00+09""#, NOON),
        (r#""2026-11-21 13:05:00.0+0900""#, NOON),
        (r#""2026-11-21 13:23:59+09:18:59""#, NOON),
        (r#""2026-11-21 13:05:00 +0900""#, NOON),
        (r#""2026-11-21 04:05:00 UTC""#, NOON),
        (r#""2026-11-21 04:05:00+00""#, NOON),
        (r#""2026-11-20T24:00:00-04:05""#, NOON),
        (r#""2026-11-21T04:05:00-00:00""#, NOON),
        (r#""2026-11-21T04:05:00.1Z""#, NOON + 100_000),
        (r#""2026-11-21T04:05:00.123456789Z""#, NOON + 123_456),
        (r#""2026-11-21T04:05:00.999999999Z""#, NOON + 999_999),
        (r#""1969-12-31T23:59:59.9999999Z""#, -1),
        (r#""0001-01-01T00:00:00Z""#, TIMESTAMP_MIN),
        (r#""9999-12-31T23:59:59.999999Z""#, TIMESTAMP_MAX),
        (r#""2024-02-29T00:00:00Z""#, 1_709_164_800_000_000),
    ];
    for (json, micros) in cases {
        assert_eq!(text(json), Ok(micros), "{json}");
    }
}

#[test]
fn a_leap_second_is_the_next_days_first_and_only_at_2359_utc() {
    let first_of_2017 = 1_483_228_800_000_000;
    for json in [r#""2016-12-31T23:59:60Z""#, r#""2017-01-01T08:59:60+09:00""#] {
        assert_eq!(text(json), Ok(first_of_2017), "{json}");
    }
    assert_eq!(text(r#""2016-12-31T23:59:60.5Z""#), Ok(first_of_2017 + 500_000));
    for json in [r#""2016-12-31T12:00:60Z""#, r#""2016-12-31T23:59:60+09:00""#] {
        assert_eq!(text(json), Err(MisfitReason::InvalidTimestamp), "{json}");
    }
}

#[test]
fn what_is_no_rfc_3339_text_is_invalid() {
    let cases = [
        "",
        "2026-11-21",
        "2026-11-21T13:05",
        "2026-11-21T13:05Z",
        "2026-11-21T13:05:00",
        "2026-11-21T13:05:00+9:00",
        "2026-11-21T13:05:00.Z",
        "2026-11-21T13:05:00  Z",
        "2026-11-21T13:05:00+090",
        "2026-11-21T13:05:00+09:00 ",
        "2026-11-21T13:05:00+09:000",
        "2026-11-21T13:05:00JST",
        "2026-11-21T24:00:01Z",
        "2026-11-21T24:01:00Z",
        "2026-11-21T25:00:00Z",
        "9999-12-31T24:00:00Z",
        "2026-11-21T13:05:00,5Z",
        "2026-11-21T13:60:00Z",
        "2026-11-21T13:05:61Z",
        "2026-11-31T13:05:00Z",
        "2026-02-29T13:05:00Z",
        "2026-13-01T13:05:00Z",
        "26-11-21T13:05:00Z",
        "+2026-11-21T13:05:00Z",
        "2026-11-21T13:05:00+24:00",
        "2026-11-21T13:05:00+09:60",
        " 2026-11-21T13:05:00Z",
        "2026-11-21T13:05:00Z ",
        "2026-1１-21T13:05:00Z",
        "0000-12-31T00:00:00Z",
        "0001-01-01T00:00:00+09:00",
        "9999-12-31T23:59:59-09:00",
        "9999-12-31T23:59:60Z",
        "2026-11-21_13:05:00Z",
        "2026-+1-21T13:05:00Z",
    ];
    for case in cases {
        let json = format!("\"{case}\"");
        assert_eq!(text(&json), Err(MisfitReason::InvalidTimestamp), "{case}");
    }
    for json in ["1795233900", "true", "{}", "[]"] {
        assert_eq!(text(json), Err(MisfitReason::TypeMismatch), "{json}");
    }
}

#[test]
fn epoch_numbers_are_exact_and_cut_towards_the_past() {
    use EpochUnit::{Microsecond, Millisecond, Nanosecond, Second};

    let cases = [
        (Second, "1795233900", NOON),
        (Second, "1795233900.123456", NOON + 123_456),
        (Second, "1795233900.1234569", NOON + 123_456),
        (Second, "1.7952339e9", NOON),
        (Second, "-0.0000001", -1),
        (Second, "253402300799.999999", TIMESTAMP_MAX),
        (Millisecond, "1795233900123", NOON + 123_000),
        (Millisecond, "1795233900123.4567", NOON + 123_456),
        (Microsecond, "1795233900123456", NOON + 123_456),
        (Microsecond, "1795233900123456.9", NOON + 123_456),
        (Microsecond, "-62135596800000000", TIMESTAMP_MIN),
        (Nanosecond, "1795233900123456789", NOON + 123_456),
        (Nanosecond, "1795233900123456789.9", NOON + 123_456),
        (Nanosecond, "-1", -1),
        (Nanosecond, "253402300799999999999", TIMESTAMP_MAX),
    ];
    for (unit, json, micros) in cases {
        let read = read(&[TimestampForm::Epoch(unit)], None, json);
        assert_eq!(read, Ok(micros), "{unit:?} {json}");
    }
    let seconds = [TimestampForm::Epoch(Second)];
    for json in ["253402300800", "-62135596801", "1e30", "1e300"] {
        assert_eq!(read(&seconds, None, json), Err(MisfitReason::OutOfRange), "{json}");
    }
    assert_eq!(read(&seconds, None, r#""1795233900""#), Err(MisfitReason::TypeMismatch));
}

#[test]
fn of_several_epoch_forms_the_first_in_whose_range_the_number_is_wins() {
    use EpochUnit::{Microsecond, Millisecond, Nanosecond, Second};

    let forms = [Second, Millisecond, Microsecond, Nanosecond].map(TimestampForm::Epoch);
    for json in ["1795233900", "1795233900000", "1795233900000000", "1795233900000000000"] {
        assert_eq!(read(&forms, None, json), Ok(NOON), "{json}");
    }
    assert_eq!(read(&forms[..3], None, "1795233900000000000"), Err(MisfitReason::OutOfRange));
    assert_eq!(read(&forms, None, "253402300800000000000"), Err(MisfitReason::OutOfRange));
}

#[test]
fn epoch_numbers_in_strings_are_taken_only_with_number_in_string() {
    let forms = [TimestampForm::Rfc3339, TimestampForm::Epoch(EpochUnit::Second)];
    let json = read_json(r#""1795233900""#, 1).unwrap();
    assert_eq!(TimestampReader::new(&forms, None, true).read(&json, false), Ok(NOON));
    let without = TimestampReader::new(&forms, None, false).read(&json, false);
    assert_eq!(without, Err(MisfitReason::InvalidTimestamp));
    let json = read_json(r#"" 1795233900""#, 1).unwrap();
    let padded = TimestampReader::new(&forms, None, true).read(&json, false);
    assert_eq!(padded, Err(MisfitReason::InvalidTimestamp));
}

#[test]
fn patterns_read_whole_texts_with_their_offset() {
    let apache = [TimestampForm::Pattern("%d/%b/%Y:%H:%M:%S %z".to_owned())];
    assert_eq!(read(&apache, None, r#""21/Nov/2026:13:05:00 +0900""#), Ok(NOON));
    for json in [
        r#""21/Nov/2026:13:05:00""#,
        r#""21/Nov/2026:13:05:00 +0900 x""#,
        r#""31/Nov/2026:13:05:00 +0900""#,
        r#""21/Nov/20260:13:05:00 +0900""#,
        r#""21/Nov/2026:13:05:60 +0900""#,
    ] {
        assert_eq!(read(&apache, None, json), Err(MisfitReason::InvalidTimestamp), "{json}");
    }
    let epoch = [TimestampForm::Pattern("%s.%f".to_owned())];
    assert_eq!(read(&epoch, None, r#""1795233900.000000000""#), Ok(NOON));
    let unknown = [TimestampForm::Pattern("%Q".to_owned())];
    assert!(read(&unknown, None, r#""%Q""#).is_err());
}

#[test]
fn the_first_form_that_fits_wins() {
    let day_first = TimestampForm::Pattern("%d/%m/%Y %H:%M %z".to_owned());
    let month_first = TimestampForm::Pattern("%m/%d/%Y %H:%M %z".to_owned());
    let json = r#""02/01/2026 00:00 +0000""#;
    let february = 1_769_904_000_000_000;
    let january = 1_767_312_000_000_000;
    let forms = [day_first.clone(), month_first.clone()];
    assert_eq!(read(&forms, None, json), Ok(january));
    assert_eq!(read(&[month_first, day_first], None, json), Ok(february));
    assert_eq!(read(&forms, None, r#""11/21/2026 04:05 +0000""#), Ok(NOON));
}

#[test]
fn the_assumed_zone_is_for_texts_that_name_none() {
    let forms = [TimestampForm::Rfc3339, TimestampForm::Pattern("%Y/%m/%d %H:%M:%S".to_owned())];
    for json in [
        r#""2026-11-21T13:05:00""#,
        r#""2026-11-21 13:05:00.0""#,
        r#""2026/11/21 13:05:00""#,
        r#""2026-11-21T04:05:00Z""#,
    ] {
        assert_eq!(read(&forms, Some(Tokyo), json), Ok(NOON), "{json}");
    }
    assert_eq!(read(&forms, None, r#""2026/11/21 13:05:00""#), Err(MisfitReason::InvalidTimestamp));
}

#[test]
fn a_local_time_that_its_zone_skips_is_invalid_and_of_two_the_earlier_counts() {
    let local = |json| read(&[TimestampForm::Rfc3339], Some(New_York), json);
    let skipped = local(r#""2026-03-08T02:30:00""#);
    assert_eq!(skipped, Err(MisfitReason::InvalidTimestamp));
    assert_eq!(local(r#""2026-11-01T01:30:00""#), text(r#""2026-11-01T01:30:00-04:00""#));
    assert_eq!(local(r#""2026-11-01T02:30:00""#), text(r#""2026-11-01T02:30:00-05:00""#));
}

#[test]
fn dates_are_days_of_four_digit_years() {
    let cases = [("1970-01-01", 0), ("2026-11-21", 20_778), ("1969-12-31", -1)];
    for (text, days) in cases {
        assert_eq!(date(text), Some(days), "{text}");
    }
    assert_eq!(date("0001-01-01"), Some(-719_162));
    assert_eq!(date("9999-12-31"), Some(2_932_896));
    for text in
        ["", "0000-12-31", "2026-02-29", "2026-11-21 ", "2026-11-21T", "20261121", "2026-1-2"]
    {
        assert_eq!(date(text), None, "{text}");
    }
}

#[test]
fn dates_are_read_by_the_first_form_that_fits() {
    let read = |patterns: &[&str], json: &str| {
        let forms: Vec<TimestampForm> = patterns
            .iter()
            .map(|pattern| match *pattern {
                "rfc3339" => TimestampForm::Rfc3339,
                pattern => TimestampForm::Pattern(pattern.to_owned()),
            })
            .collect();
        DateReader::new(&forms).read(&read_json(json, 1).unwrap(), false)
    };
    let forms = ["rfc3339", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y"];
    for text in ["2026-11-21", "20261121", "2026/11/21", "21.11.2026"] {
        assert_eq!(read(&forms, &format!("\"{text}\"")), Ok(20_778), "{text}");
    }
    for text in ["2026-1-1", "2026112", "26/11/21", "21.11.26", "31.11.2026", "0000/01/01"] {
        let found = read(&forms, &format!("\"{text}\""));
        assert_eq!(found, Err(MisfitReason::InvalidTimestamp), "{text}");
    }
    assert_eq!(read(&forms, "20261121"), Err(MisfitReason::TypeMismatch));
    assert_eq!(read(&["%m/%d/%y"], "\"11/21/26\""), Ok(20_778));
}
