use super::super::super::TimestampForm;
use super::super::time::TimestampReader;
use super::*;
use crate::json::read_json;

/// By a contract's column in UTC.
fn by_contract(pattern: &str, text: &str) -> Option<i64> {
    let forms = [TimestampForm::Pattern(pattern.to_owned())];
    let json = serde_json::Value::from(text).to_string();
    let reader = TimestampReader::new(&forms, Some(Tz::UTC), false);
    reader.read(&read_json(&json, 1).unwrap(), false).ok()
}

#[test]
fn a_text_means_to_sql_what_it_means_to_a_contract() {
    for (pattern, text, is_read) in [
        ("%Y-%m-%d %H:%M", "2026-11-21 13:05", true),
        ("%Y-%m-%d %H:%M", "26-11-21 13:05", false),
        ("%y-%m-%d %H:%M", "68-11-21 13:05", true),
        ("%Y %j %H%M", "2026 325 1305", true),
        ("%d/%b/%Y:%T %z", "21/Nov/2026:13:05:00 +0900", true),
        ("%d %B %Y %I:%M %p", "21 november 2026 1:05 PM", true),
        ("%a %e %b %Y %R", "Fri 21 Nov 2026 13:05", false),
        ("%F %T,%f", "2026-11-21 13:05:00,5", true),
        ("%F %T,%3f", "2026-11-21 13:05:00,12", false),
        ("%F %T%.f", "2026-11-21 13:05:00", true),
        ("%F %T %Z", "2026-11-21 13:05:00 Asia/Tokyo", true),
        ("%F %T %Z", "2026-11-21 13:05:00 xyz", false),
        ("%F %T %#z", "2026-11-21 13:05:00 +09", true),
        ("%F %T", "2026-11-21 24:00:00", true),
        ("%F %T", "2026-02-29 00:00:00", false),
        ("%s", "1795233900", true),
    ] {
        let read = TimePattern::new(pattern).unwrap().read(text);
        assert_eq!(read, by_contract(pattern, text), "{pattern}: {text}");
        assert_eq!(read.is_some(), is_read, "{pattern}: {text}");
    }
}

#[test]
fn a_pattern_of_a_day_is_its_midnight() {
    let read = |pattern: &str, text: &str| TimePattern::new(pattern).unwrap().read(text);
    assert_eq!(read("%Y/%m/%d", "1970/01/02"), Some(86_400_000_000));
    assert_eq!(read("%Y/%m/%d", "70/01/02"), None);
    assert_eq!(read("%d.%m.%y", "02.01.70"), Some(86_400_000_000));
}

#[test]
fn a_time_of_day_is_read_and_more_is_refused() {
    let read = |pattern: &str, text: &str| TimeOfDayPattern::new(pattern).unwrap().read(text);
    assert_eq!(read("%H:%M:%S.%f", "01:00:01.5"), Some(3_601_500_000));
    assert_eq!(read("%I:%M %p", "12:30 AM"), Some(1_800_000_000));
    assert_eq!(read("%T", "24:00:00"), None);
    assert_eq!(read("%T", "23:59:60"), None);
    for (pattern, words) in [
        ("%F %T", "names more than a time of day"),
        ("%T %z", "names more than a time of day"),
        ("%M", "names no hour"),
        ("%I:%M", "not its half"),
        ("%Q", "unknown directive"),
    ] {
        let refused = TimeOfDayPattern::new(pattern).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn what_is_written_is_what_the_same_pattern_reads() {
    let time = chrono::DateTime::from_timestamp_micros(1_795_233_900_012_345).unwrap();
    for pattern in [
        "%Y-%m-%d %H:%M:%S.%f",
        "%y%m%d %I:%M:%S %p,%6f",
        "%F %T%.f",
        "%d/%b/%Y:%T.%f %z",
        "%A, %e %B %Y %k:%M:%S.%f",
        "%Y %j %R:%S.%f",
        "%D %r.%f",
        "%s.%f",
        "%-d.%-m.%Y %-H:%-M:%-S.%f %:z",
        "%_d %u %Y%n%b%t%T.%f%%",
    ] {
        let text = time.format(&pattern_to_write(pattern).unwrap()).to_string();
        let read = TimePattern::new(pattern).unwrap().read(&text);
        assert_eq!(read, Some(time.timestamp_micros()), "{pattern}: {text}");
    }
}

#[test]
fn what_means_something_else_elsewhere_is_not_written() {
    for pattern in ["%Q", "%+", "%v", "%4f", "%N", "%E", "%Ey", "%^a", "%#z", "%i", "%L", "%5Y"] {
        let refused = pattern_to_write(pattern).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("pattern `{pattern}` ")), "{refused}");
    }
    assert!(pattern_to_write("100%").unwrap_err().help.contains("`%%`"));
    assert_eq!(pattern_to_write("%G-W%V 100%%").unwrap(), "%G-W%V 100%%");
}
