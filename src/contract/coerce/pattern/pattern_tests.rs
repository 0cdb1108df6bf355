use std::io::Write as _;
use std::process::{Command, Stdio};

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use chrono_tz::Tz;

use super::*;
use crate::contract::TimestampForm;
use crate::contract::coerce::MisfitReason;
use crate::contract::coerce::time::TimestampReader;
use crate::json::read_json;

const NOON: i64 = 1_795_233_900_000_000; // 2026-11-21T04:05:00Z, 13:05 in Tokyo

fn read_in(pattern: &str, zone: Option<Tz>, text: &str) -> Option<i64> {
    let forms = [TimestampForm::Pattern(pattern.to_owned())];
    let json = serde_json::Value::from(text).to_string();
    let read = TimestampReader::new(&forms, zone, false).read(&read_json(&json, 1).unwrap(), false);
    assert!(matches!(read, Ok(_) | Err(MisfitReason::InvalidTimestamp)), "{read:?}");
    read.ok()
}

fn read(pattern: &str, text: &str) -> Option<i64> {
    read_in(pattern, Some(Tz::Asia__Tokyo), text)
}

/// Why a pattern is refused for a timestamp.
fn refusal(pattern: &str) -> String {
    let checked = Pattern::new(pattern).and_then(|made| made.check(Wanted::Timestamp));
    let fault = checked.expect_err(pattern);
    format!("{}; {}", fault.message, fault.help)
}

#[test]
fn a_fraction_is_of_a_second_however_many_digits_it_has() {
    let comma = "%Y-%m-%dT%H:%M:%S,%f";
    for (digits, micros) in
        [("1", 100_000), ("123", 123_000), ("000001", 1), ("123456", 123_456), ("1234569", 123_456)]
    {
        let text = format!("2026-11-21T13:05:00,{digits}");
        assert_eq!(read(comma, &text), Some(NOON + micros), "{text}");
    }
    for text in ["2026-11-21T13:05:00,", "2026-11-21T13:05:00,1234567890", "2026-11-21T13:05:00.1"]
    {
        assert_eq!(read(comma, text), None, "{text}");
    }
    let exact = "%F %T.%3f";
    assert_eq!(read(exact, "2026-11-21 13:05:00.123"), Some(NOON + 123_000));
    assert_eq!(read(exact, "2026-11-21 13:05:00.12"), None);
    assert_eq!(read(exact, "2026-11-21 13:05:00.1234"), None);
    let optional = "%F %T%.f";
    assert_eq!(read(optional, "2026-11-21 13:05:00"), Some(NOON));
    assert_eq!(read(optional, "2026-11-21 13:05:00.5"), Some(NOON + 500_000));
    assert_eq!(read(optional, "2026-11-21 13:05:00."), None);
    assert_eq!(read("%Y%m%d%H%M%S%f", "20261121130500250"), Some(NOON + 250_000));
}

#[test]
fn a_zone_is_applied_or_the_text_is_rejected_but_never_ignored() {
    let zoned = "%Y-%m-%d %H:%M:%S %Z";
    for (time, zone) in [
        ("04:05", "UTC"),
        ("04:05", "gmt"),
        ("04:05", "Z"),
        ("13:05", "JST"),
        ("13:05", "Asia/Tokyo"),
        ("13:05", "asia/tokyo"),
        ("13:05", "UTC+9"),
        ("13:05", "UTC+09:00"),
        ("13:05", "GMT+0900"),
        ("13:05", "+09:00"),
        ("13:05", "+09"),
        ("13:05", "Etc/GMT-9"),
        ("09:35", "UTC+5:30"),
    ] {
        let text = format!("2026-11-21 {time}:00 {zone}");
        assert_eq!(read(zoned, &text), Some(NOON), "{text}");
    }
    for (time, zone) in
        [("20:05", "PST"), ("20:05", "-08:00"), ("23:05", "America/New_York"), ("23:05", "EST")]
    {
        let text = format!("2026-11-20 {time}:00 {zone}");
        assert_eq!(read(zoned, &text), Some(NOON), "{text}");
    }
    for zone in ["xyz!", "XYZ", "IST", "BST", "", "+9", "+25:00", "UTC+", "UTC+9x", "Tokyo", "A"] {
        assert_eq!(read(zoned, &format!("2026-11-21 13:05:00 {zone}")), None, "{zone}");
    }
}

#[test]
fn an_abbreviation_is_that_of_the_assumed_zone_if_it_has_such_a_one() {
    let zoned = "%Y-%m-%d %H:%M:%S %Z";
    let at = |zone, text: &str| read_in(zoned, Some(zone), text);
    let utc = |text: &str| read_in(zoned, None, text).unwrap();
    let day = "2026-11-21 12:00:00";
    let is = |hour: &str| Some(utc(&format!("2026-11-21 {hour} UTC")));
    assert_eq!(at(Tz::Asia__Shanghai, &format!("{day} CST")), is("04:00:00"));
    assert_eq!(at(Tz::America__Chicago, &format!("{day} CST")), is("18:00:00"));
    assert_eq!(read_in(zoned, None, &format!("{day} CST")), is("18:00:00"));
    assert_eq!(at(Tz::Asia__Kolkata, &format!("{day} IST")), is("06:30:00"));
    assert_eq!(
        at(Tz::Europe__London, "2026-07-01 12:00:00 BST"),
        Some(utc("2026-07-01 11:00:00 UTC"))
    );
    // Of an hour that the clocks have twice, the abbreviation says which.
    let new_york = |text: &str| at(Tz::America__New_York, text);
    assert_eq!(new_york("2026-11-01 01:30:00 EDT"), Some(utc("2026-11-01 05:30:00 UTC")));
    assert_eq!(new_york("2026-11-01 01:30:00 EST"), Some(utc("2026-11-01 06:30:00 UTC")));
}

#[test]
fn an_offset_and_a_zone_must_not_contradict_each_other() {
    let both = "%a %b %e %Y %H:%M:%S GMT%z (%Z)";
    assert_eq!(read(both, "Sat Nov 21 2026 13:05:00 GMT+0900 (JST)"), Some(NOON));
    assert_eq!(read(both, "Sat Nov 21 2026 13:05:00 GMT+0900 (Asia/Tokyo)"), Some(NOON));
    assert_eq!(read(both, "Sat Nov 21 2026 09:35:00 GMT+0530 (IST)"), Some(NOON));
    for zone in ["PST", "America/New_York", "UTC", "XYZ"] {
        let text = format!("Sat Nov 21 2026 13:05:00 GMT+0900 ({zone})");
        assert_eq!(read(both, &text), None, "{text}");
    }
}

#[test]
fn offsets_are_read_in_all_the_ways_that_they_are_written() {
    for directive in ["%z", "%:z", "%#z"] {
        let pattern = format!("%F %T{directive}");
        for offset in ["+0900", "+09:00", "+09", "+09:00:00", "+090000"] {
            let text = format!("2026-11-21 13:05:00{offset}");
            assert_eq!(read_in(&pattern, None, &text), Some(NOON), "{text}");
        }
        for zero in ["Z", "z", "+00", "-00:00"] {
            let text = format!("2026-11-21 04:05:00{zero}");
            assert_eq!(read_in(&pattern, None, &text), Some(NOON), "{text}");
        }
        for wrong in ["", "+9", "09:00", "+09:60", "+24:00", "+09:0", "+090", "UTC"] {
            let text = format!("2026-11-21 13:05:00{wrong}");
            assert_eq!(read_in(&pattern, None, &text), None, "{text}");
        }
    }
}

#[test]
fn a_year_has_the_digits_that_its_directive_says() {
    assert_eq!(read("%Y/%m/%d %H:%M", "2026/11/21 13:05"), Some(NOON));
    for text in ["26/11/21 13:05", "026/11/21 13:05", "12026/11/21 13:05", "+2026/11/21 13:05"] {
        assert_eq!(read("%Y/%m/%d %H:%M", text), None, "{text}");
    }
    assert_eq!(read("%y/%m/%d %H:%M", "26/11/21 13:05"), Some(NOON));
    assert_eq!(read("%y/%m/%d %H:%M", "2026/11/21 13:05"), None);
    assert_eq!(read("%y-%m-%d %H:%M", "69-01-01 09:00"), Some(-31_536_000_000_000));
    assert_eq!(read("%y-%m-%d %H:%M", "68-01-01 09:00"), Some(3_092_601_600_000_000));
}

#[test]
fn numbers_side_by_side_have_all_their_digits() {
    assert_eq!(read("%Y%m%dT%H%M%S", "20261121T130500"), Some(NOON));
    assert_eq!(read("%Y%m%dT%H%M%S", "2026112T130500"), None);
    assert_eq!(read("%Y%j%H%M", "20263251305"), Some(NOON));
    assert_eq!(read("%d.%m.%Y %H:%M", "1.2.2026 3:04"), read("%F %R", "2026-02-01 03:04"));
    assert_eq!(read("%-d.%-m.%Y %-H:%M", "1.2.2026 3:04"), read("%F %R", "2026-02-01 03:04"));
    assert_eq!(read("%0d.%0m.%Y %H:%M", "1.02.2026 3:04"), None);
    assert_eq!(read("%b %e %Y %k:%M", "Feb  1 2026  3:04"), read("%F %R", "2026-02-01 03:04"));
}

#[test]
fn names_are_english_whole_or_short_as_asked_for_and_fit_the_date() {
    let short = "%a, %d %b %Y %H:%M";
    for text in ["Sat, 21 Nov 2026 13:05", "sat, 21 NOV 2026 13:05"] {
        assert_eq!(read(short, text), Some(NOON), "{text}");
    }
    assert_eq!(read(short, "Sun, 21 Nov 2026 13:05"), None);
    assert_eq!(read(short, "Sat, 21 November 2026 13:05"), None);
    assert_eq!(read("%A %B %d %Y %H:%M", "Saturday November 21 2026 13:05"), Some(NOON));
    assert_eq!(read("%A %B %d %Y %H:%M", "Sat Nov 21 2026 13:05"), None);
    assert_eq!(read("%u %F %R", "6 2026-11-21 13:05"), Some(NOON));
    assert_eq!(read("%w %F %R", "6 2026-11-21 13:05"), Some(NOON));
    assert_eq!(read("%w %F %R", "5 2026-11-21 13:05"), None);
}

#[test]
fn half_days_begin_at_twelve() {
    let half = "%F %I:%M %p";
    for (text, same) in [
        ("2026-11-21 12:00 AM", "00:00"),
        ("2026-11-21 01:05 pm", "13:05"),
        ("2026-11-21 12:30 PM", "12:30"),
        ("2026-11-21 11:59 am", "11:59"),
    ] {
        assert_eq!(read(half, text), read("%F %R", &format!("2026-11-21 {same}")), "{text}");
    }
    for text in ["2026-11-21 13:05 PM", "2026-11-21 00:05 AM", "2026-11-21 1:05"] {
        assert_eq!(read(half, text), None, "{text}");
    }
}

#[test]
fn the_day_ends_at_24_and_a_leap_second_at_2359_utc() {
    let next = read("%F %T", "2026-11-22 00:00:00");
    assert_eq!(read("%F %T", "2026-11-21 24:00:00"), next);
    assert_eq!(read("%F %R", "2026-11-21 24:00"), next);
    for text in ["2026-11-21 24:00:01", "2026-11-21 24:01:00", "2026-11-21 25:00:00"] {
        assert_eq!(read("%F %T", text), None, "{text}");
    }
    assert_eq!(read("%F %T", "2017-01-01 08:59:60"), read("%F %T", "2017-01-01 09:00:00"));
    assert_eq!(read("%F %T", "2017-01-01 12:00:60"), None);
    assert_eq!(read("%F %T", "2017-01-01 08:59:61"), None);
}

#[test]
fn seconds_since_the_epoch_may_have_a_sign_and_a_fraction() {
    assert_eq!(read_in("%s", None, "1795233900"), Some(NOON));
    assert_eq!(read_in("%s %z", None, "1795233900 +0900"), Some(NOON));
    assert_eq!(read_in("%s.%f", None, "1795233900.25"), Some(NOON + 250_000));
    assert_eq!(read_in("%s.%f", None, "-1.5"), Some(-1_500_000));
    for text in ["", "-", "1.5", "99999999999999999999", "9999999999999"] {
        assert_eq!(read_in("%s", None, text), None, "{text}");
    }
}

#[test]
fn a_pattern_that_cannot_be_honoured_is_refused_with_what_to_write() {
    let cases = [
        ("%F %T.%N %z", "unknown directive, `%N`; a second's fraction is `%f`"),
        ("%F %T.%L %z", "unknown directive, `%L`; a second's fraction is `%f`"),
        ("%v", "unknown directive, `%v`; write `%e-%b-%Y`"),
        ("%Q", "unknown directive, `%Q`; milliseconds since the epoch are the form `epoch_ms`"),
        ("%+", "unknown directive, `%+`; that is the form `rfc3339`"),
        ("%c", "unknown directive, `%c`; it depends on the locale"),
        ("%G-W%V-%u", "unknown directive, `%G`; weeks are not read"),
        ("%F %T %", "ends within a directive"),
        ("%EY-%m-%d", "unknown directive, `%E`; there are no other calendars"),
        ("%F %T%::z", "unknown directive, `%::z`; an offset in any form is `%z`"),
        ("%F %J", "unknown directive, `%J`; known are"),
        ("%m-%d %H:%M", "names no year; without it a text may mean many times: add `%Y`"),
        ("%Y %H:%M", "names no month and no day"),
        ("%F", "names no hour and no minute; for whole days take type `date`"),
        ("%F %H", "names no minute"),
        ("%F %I:%M", "names an hour from 1 to 12 (`%I`), but not its half; add `%p`"),
        ("%F %H:%M %p", "has `%p` beside an hour from 0 to 23; write `%I`"),
        ("%F %H:%M.%f", "names a fraction of a second, but no second"),
        ("%F %y %T", "names the year twice, by `%F` and `%y`"),
        ("%Y-%m-%b-%d %T", "names the month twice, by `%m` and `%b`"),
        ("%F %j %T", "names the day twice, by `%F` and `%j`"),
        ("%F %H %I:%M %p", "names the hour twice, by `%H` and `%I`"),
        ("%F %T%z%z", "names the offset twice"),
        ("%s %F", "names the whole time by `%s`, and `%F` beside it"),
        ("%s%3f", "has digits right beside `%s`, which takes them all"),
        ("%T%f%Y%m%d", "has digits right behind `%f`"),
        ("%-m%-d%Y %R", "has a number without padding (`%-`) right beside other digits"),
        ("%F %T%Z%%", ""),
        ("%FT%TZ", "has `Z` as mere text, so that nobody heeds it; write `%z`"),
        ("%F %T UTC", "has `UTC` as mere text, so that nobody heeds it; write `%Z`"),
        ("%F %T+09:00", "has `+09:00` as mere text, so that nobody heeds it; write `%z`"),
        ("%F %Z%T", "right behind `%Z`"),
        ("%z%Y-%m-%d %T", "right behind `%z`"),
    ];
    for (pattern, expected) in cases {
        if expected.is_empty() {
            assert!(Pattern::new(pattern).is_ok(), "{pattern}");
            continue;
        }
        let told = refusal(pattern);
        assert!(told.contains(expected), "{pattern}: {told}");
    }
}

#[test]
fn a_date_has_no_time() {
    let check = |pattern: &str| Pattern::new(pattern).and_then(|p| p.check(Wanted::Date));
    for pattern in ["%Y%m%d", "%Y/%m/%d", "%d.%m.%Y", "%a, %e %b %y", "%Y-%j"] {
        assert_eq!(check(pattern), Ok(()), "{pattern}");
    }
    for pattern in ["%F %H", "%F%z", "%s", "%F %p", "%m/%d", "%Y-%m"] {
        assert!(check(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_pattern_covers_another_that_takes_no_other_texts() {
    let covers = |wide: &str, narrow: &str| {
        Pattern::new(wide).unwrap().covers(&Pattern::new(narrow).unwrap())
    };
    for (wide, narrow) in [
        ("%F %T", "%Y-%m-%d %H:%M:%S"),
        ("%F %T%.f", "%F %T"),
        ("%F %T%.f", "%F %T.%3f"),
        ("%F %T.%f", "%F %T.%6f"),
        ("%F %T.%f", "%F %T%.6f"),
        ("%F %T %Z", "%F %T %z"),
        ("%d.%m.%Y", "%0d.%0m.%Y"),
        ("%z", "%:z"),
    ] {
        assert!(covers(wide, narrow), "{wide} {narrow}");
    }
    for (one, other) in [
        ("%d/%m/%Y", "%m/%d/%Y"),
        ("%F %T.%3f", "%F %T.%f"),
        ("%F %T", "%F %T%.f"),
        ("%Y", "%y"),
        ("%b", "%B"),
        ("%F %T %z", "%F %T %Z"),
    ] {
        assert!(!covers(one, other), "{one} {other}");
    }
}

#[test]
fn the_page_names_no_directive_that_is_unknown_and_all_letters_that_are_known() {
    const PAGE: &str = include_str!("../../../../docs/contract.md");

    let table = PAGE.split("| directive | reads |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut letters = std::collections::BTreeSet::new();
    for row in rows {
        for word in row.split('`').skip(1).step_by(2).filter(|word| word.starts_with('%')) {
            let made = Pattern::new(word);
            assert!(made.is_ok(), "{word}: {made:?}");
            letters.extend(word.split('%').filter_map(|directive| directive.chars().next_back()));
        }
    }
    for letter in ('A'..='Z').chain('a'..='z') {
        let is_known = Pattern::new(&format!("%{letter}")).is_ok();
        assert_eq!(letters.contains(&letter), is_known, "%{letter}");
    }
}

/// SplitMix64: the same cases in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.below(usize::try_from(most - least + 1).unwrap())).unwrap()
    }
}

/// A pattern of directives that Python has too, and a text that it reads.
struct Case {
    pattern: String,
    text: String,
    has_weekday: bool,
    has_run: bool,
}

fn moment(random: &mut Random) -> NaiveDateTime {
    let days = random.between(-366, 36_000);
    let seconds = if random.one_in(5) { 0 } else { random.between(0, 86_399) };
    let date = NaiveDate::default() + chrono::Duration::days(days);
    date.and_hms_opt(0, 0, 0).unwrap() + chrono::Duration::seconds(seconds)
}

/// Directives in any order, each with what it says of a moment.
fn directives(random: &mut Random, at: NaiveDateTime) -> Vec<(&'static str, String)> {
    let pick = |random: &mut Random, short, whole| if random.one_in(2) { short } else { whole };
    let mut parts: Vec<(&str, String)> = Vec::new();
    let mut number = |directive, value: u32, width: usize| {
        parts.push((directive, format!("{value:0width$}")));
    };
    let year = u32::try_from(at.year()).unwrap();
    match random.one_in(4) && (1969..2069).contains(&year) {
        true => number("%y", year % 100, 2),
        false => number("%Y", year, 4),
    }
    match random.below(4) {
        0 => number("%j", at.ordinal(), 3),
        1 => {
            number("%d", at.day(), 2);
            let name = pick(random, "%b", "%B");
            parts.push((name, at.format(name).to_string()));
        }
        _ => {
            number("%d", at.day(), 2);
            number("%m", at.month(), 2);
        }
    }
    let mut number = |directive, value: u32, width: usize| {
        parts.push((directive, format!("{value:0width$}")));
    };
    match random.one_in(3) {
        true => {
            number("%I", at.hour12().1, 2);
            number("%M", at.minute(), 2);
            parts.push(("%p", at.format("%p").to_string()));
        }
        false => {
            number("%H", at.hour(), 2);
            number("%M", at.minute(), 2);
        }
    }
    if !random.one_in(4) {
        parts.push(("%S", format!("{:02}", at.second())));
        if random.one_in(2) {
            let digits = random.between(1, 6) as usize;
            let fraction: String = (0..digits).map(|_| random.of(&["0", "1", "5", "9"])).collect();
            parts.push(("%f", fraction));
        }
    }
    if random.one_in(5) {
        let name = pick(random, "%a", "%A");
        parts.push((name, at.format(name).to_string()));
    }
    match random.below(4) {
        0 => {
            let offset =
                random.of(&["+0900", "-08:00", "Z", "+05:30", "-0030", "+00:00", "+091858"]);
            parts.push(("%z", offset.to_owned()));
        }
        1 => parts.push(("%Z", random.of(&["UTC", "GMT", "utc"]).to_owned())),
        _ => {}
    }
    for place in (1..parts.len()).rev() {
        if random.one_in(2) {
            parts.swap(place, random.below(place + 1));
        }
    }
    parts
}

fn case(random: &mut Random) -> Case {
    let at = moment(random);
    let parts = directives(random, at);
    let separators: Vec<&str> = (0..parts.len())
        .map(|place| match (place, random.below(8)) {
            (0, _) | (_, 0) => "",
            _ => random.of(&["-", "/", ".", ":", " ", "T", ", ", "_", "|", " [", "日"]),
        })
        .collect();
    let mut case = Case {
        pattern: String::new(),
        text: String::new(),
        has_weekday: parts.iter().any(|(directive, _)| matches!(*directive, "%a" | "%A")),
        has_run: separators.iter().skip(1).any(|separator| separator.is_empty()),
    };
    for (place, (directive, value)) in parts.iter().enumerate() {
        let is_alone = !separators[place].is_empty()
            && separators.get(place + 1).is_none_or(|next| !next.is_empty());
        let may_shrink = matches!(*directive, "%m" | "%d" | "%H" | "%I" | "%M" | "%S" | "%j");
        let mut value = value.as_str();
        while may_shrink
            && is_alone
            && value.len() > 1
            && value.starts_with('0')
            && random.one_in(2)
        {
            value = &value[1..];
        }
        case.pattern.push_str(separators[place]);
        case.pattern.push_str(directive);
        case.text.push_str(separators[place]);
        case.text.push_str(value);
    }
    case
}

/// One character more, less or another.
fn damage(random: &mut Random, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random.below(characters.len());
    let other = random.of(&["0", "1", "2", "3", "9", " ", "-", ":", ".", "+", "x"]);
    let other = other.chars().next().unwrap();
    match random.below(3) {
        0 => characters[at] = other,
        1 => characters.insert(at, other),
        _ => drop(characters.remove(at)),
    }
    characters.into_iter().collect()
}

const STRPTIME: &str = r#"
import json, sys
from datetime import datetime, timezone
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
for line in sys.stdin:
    pattern, text = json.loads(line)
    try:
        time = datetime.strptime(text, pattern)
        past = (time if time.tzinfo else time.replace(tzinfo=timezone.utc)) - EPOCH
        print((past.days * 86400 + past.seconds) * 1000000 + past.microseconds)
    except (ValueError, IndexError, OverflowError):
        print("none")
"#;

/// What Python's strptime makes of texts, in microseconds since the epoch; UTC where none is named.
fn by_python(cases: &[(String, String)]) -> Vec<Option<i64>> {
    let mut python = Command::new("python3")
        .args(["-c", STRPTIME])
        .env("TZ", "UTC")
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut input = python.stdin.take().unwrap();
    let lines: String =
        cases.iter().map(|case| serde_json::to_string(case).unwrap() + "\n").collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let read: Vec<Option<i64>> = output.lines().map(|line| line.parse().ok()).collect();
    assert_eq!(read.len(), cases.len());
    read
}

#[test]
fn patterns_mean_what_they_mean_to_pythons_strptime() {
    let mut random = Random(20_261_121);
    let mut cases = Vec::new();
    while cases.len() < 4_000 {
        let case = case(&mut random);
        let made = Pattern::new(&case.pattern).and_then(|made| made.check(Wanted::Timestamp));
        if made.is_ok() {
            cases.push(case);
        }
    }
    let sound = cases.iter().map(|case| (case.pattern.clone(), case.text.clone()));
    let damaged: Vec<String> = cases.iter().map(|case| damage(&mut random, &case.text)).collect();
    let damaged = cases.iter().zip(damaged).map(|(case, text)| (case.pattern.clone(), text));
    let all: Vec<(String, String)> = sound.chain(damaged).collect();
    let python = by_python(&all);
    let (mut agreed, mut damaged_but_read) = (0, 0);
    for (place, ((pattern, text), expected)) in all.iter().zip(&python).enumerate() {
        let ours = read_in(pattern, Some(Tz::UTC), text);
        let case = &cases[place % cases.len()];
        let told = format!("{text:?} by {pattern:?}");
        if place < cases.len() {
            assert!(expected.is_some(), "{told}");
            assert_eq!(ours, *expected, "{told}");
        }
        match (ours, expected) {
            (Some(ours), Some(expected)) => assert_eq!(ours, *expected, "{told}"),
            // Python takes another weekday than the date's, and guesses at numbers side by side.
            (None, Some(_)) => assert!(case.has_weekday || case.has_run, "{told}"),
            // Python takes no hour 24, no second 60, no hour by itself as an offset, and no more
            // than six digits of a fraction.
            (Some(_), None) => {
                let ours_alone = text.contains("24") || text.contains("60") || is_ours(pattern);
                assert!(ours_alone, "{told}");
            }
            (None, None) => {}
        }
        agreed += usize::from(ours.is_some() && ours == *expected);
        damaged_but_read += usize::from(place >= cases.len() && ours.is_some());
    }
    assert!(agreed > 4_000 && damaged_but_read > 400, "{agreed} {damaged_but_read}");
}

/// Whether a pattern has directives that take more than Python's do.
fn is_ours(pattern: &str) -> bool {
    ["%z", "%Z", "%f"].iter().any(|directive| pattern.contains(directive))
}
