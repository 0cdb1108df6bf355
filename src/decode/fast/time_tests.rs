use chrono::{DateTime, Datelike, NaiveDate};
use proptest::prelude::*;

use super::*;

fn padded(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\",", &[b'\n'; 64]].concat()
}

fn read(text: &str, last: &mut LastDate) -> Option<i64> {
    let (micros, end) = quoted_rfc3339(&padded(text), 0, last).ok()?;
    assert_eq!(end, text.len() + 1, "{text}");
    Some(micros)
}

#[test]
fn every_day_from_year_1_to_9999_is_read_and_no_other() {
    let mut last = LastDate::default();
    let mut text = String::new();
    for day in NaiveDate::from_ymd_opt(1, 1, 1).unwrap().iter_days() {
        if day.year() > 9999 {
            break;
        }
        text.clear();
        text.push_str(&day.format("%Y-%m-%d").to_string());
        let expected = Ok((day.to_epoch_days(), 11));
        assert_eq!(quoted_date(&padded(&text), 0, &mut last), expected, "{text}");
    }
    for wrong in [
        "2026-02-29",
        "1900-02-29",
        "2026-04-31",
        "2026-00-10",
        "2026-13-01",
        "2026-01-00",
        "0000-12-31",
        "2026-1-001",
        "2026/01/01",
        "20260101  ",
        "２026-01-01",
        "+026-01-01",
    ] {
        assert_eq!(quoted_date(&padded(wrong), 0, &mut last), Err(Unhandled), "{wrong}");
    }
}

#[test]
fn a_date_of_other_bytes_than_the_last_one_is_read_anew() {
    let mut last = LastDate::default();
    for text in ["2026-11-21", "2026-11-22", "2026-12-22", "2026-11-21"] {
        let day: NaiveDate = text.parse().unwrap();
        assert_eq!(quoted_date(&padded(text), 0, &mut last), Ok((day.to_epoch_days(), 11)));
    }
    // The bytes before the first date are zeros, which must not pass for it.
    assert_eq!(quoted_date(&[0; 64], 0, &mut LastDate::default()), Err(Unhandled));
}

proptest! {
    #[test]
    fn timestamps_are_those_that_chrono_reads_or_unhandled(
        days in -719_162..2_932_896_i32,
        clock in (0..24_u32, 0..60_u32, 0..60_u32),
        fraction in "(\\.[0-9]{1,9})?",
        offset in prop_oneof![Just("Z".to_owned()), "[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]"],
        separator in prop::sample::select(vec!["T", "t", " "]),
    ) {
        let date = NaiveDate::from_epoch_days(days).unwrap().format("%Y-%m-%d");
        let (hour, minute, second) = clock;
        let text = format!(
            "{date}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{offset}"
        );
        let expected = DateTime::parse_from_rfc3339(&text).unwrap().timestamp_micros();
        let in_range = (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&expected);
        let read = read(&text, &mut LastDate::default());
        if in_range && fraction.len() <= 8 {
            prop_assert_eq!(read, Some(expected), "{}", text);
        } else {
            prop_assert_eq!(read, None, "{}", text);
        }
    }

    #[test]
    fn a_damaged_timestamp_is_only_read_as_chrono_reads_it(
        at in 0..29_usize,
        byte in 0x20..0x7f_u8,
    ) {
        let mut text = *b"2026-11-21T13:05:00.123+09:00";
        text[at] = byte;
        let text = std::str::from_utf8(&text).unwrap();
        if !text.contains('"') && let Some(micros) = read(text, &mut LastDate::default()) {
            let expected = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            prop_assert_eq!(micros, expected, "{}", text);
        }
    }

    #[test]
    fn epochs_are_scaled_exactly_or_out_of_range(number in any::<i64>()) {
        use EpochUnit::{Microsecond, Millisecond, Nanosecond, Second};

        let coarse = [(Second, 1_000_000_000_i128), (Millisecond, 1_000_000)];
        let fine = [(Microsecond, 1_000), (Nanosecond, 1)];
        for (unit, nanos) in coarse.into_iter().chain(fine) {
            let exact = (i128::from(number) * nanos).div_euclid(1_000);
            let in_range = (i128::from(TIMESTAMP_MIN)..=i128::from(TIMESTAMP_MAX)).contains(&exact);
            let expected = in_range.then(|| i64::try_from(exact).unwrap());
            prop_assert_eq!(epoch(number, unit), expected);
            prop_assert_eq!(epoch(number % 1_000_000_000, unit).is_some(), true);
        }
    }

    #[test]
    fn offsets_of_databases_are_those_of_rfc_3339(hours in 0..24_u32, minutes in 0..60_u32) {
        let of = |offset: String| {
            let text = format!("2026-11-21 13:05:00{offset}");
            quoted_rfc3339(&padded(&text), 0, &mut LastDate::default()).ok()
        };
        let of = |offset| of(offset).map(|(micros, _end)| micros);
        for sign in ["+", "-"] {
            let whole = of(format!("{sign}{hours:02}:{minutes:02}"));
            prop_assert!(whole.is_some());
            prop_assert_eq!(of(format!("{sign}{hours:02}{minutes:02}")), whole);
            prop_assert_eq!(of(format!("{sign}{hours:02}")), of(format!("{sign}{hours:02}:00")));
            prop_assert_eq!(of(format!("{sign}{hours}:{minutes:02}0")), None);
        }
    }
}
