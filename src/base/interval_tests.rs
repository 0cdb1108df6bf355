//! Days, hours and templates, also where the clock jumps.

use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

const TOKYO: Tz = chrono_tz::Asia::Tokyo;
const BERLIN: Tz = chrono_tz::Europe::Berlin;
const HAVANA: Tz = chrono_tz::America::Havana;
const APIA: Tz = chrono_tz::Pacific::Apia;
const KATHMANDU: Tz = chrono_tz::Asia::Kathmandu;
const ST_JOHNS: Tz = chrono_tz::America::St_Johns;
const LORD_HOWE: Tz = chrono_tz::Australia::Lord_Howe;

fn expand(template: &str, interval: &Interval, zone: Tz) -> Vec<String> {
    PathTemplate::parse(template).unwrap().expand(interval, zone).unwrap()
}

fn minutes_of(interval: &Interval) -> i64 {
    (interval.end() - interval.start()).num_minutes()
}

fn refusal(start: &str, end: &str) -> String {
    let error = Interval::parse(start, end).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    error.to_string()
}

#[test]
fn an_empty_interval_is_refused_and_airflow_is_named() {
    let message = refusal("2026-11-21T00:00:00+09:00", "2026-11-20T15:00:00Z");
    assert!(message.contains("is empty"), "{message}");
    assert!(message.contains("@hourly"), "{message}");
    assert!(message.contains("CronDataIntervalTimetable"), "{message}");
}

#[test]
fn a_backward_interval_is_refused_with_the_reason() {
    let message = refusal("2026-11-22T00:00:00Z", "2026-11-21T00:00:00Z");
    assert!(message.contains("runs backward"), "{message}");
}

#[test]
fn a_bound_without_an_offset_is_refused_with_the_reason() {
    for without in ["2026-11-20T00:00:00", "2026-11-20 00:00:00.5"] {
        let message = refusal(without, "2026-11-21T00:00:00Z");
        assert!(message.contains("found no offset"), "{message}");
    }
    let message = refusal("yesterday", "2026-11-21T00:00:00Z");
    assert!(message.contains("interval start yesterday: expected RFC 3339"), "{message}");
}

#[test]
fn a_bound_with_a_fraction_or_beyond_year_9999_is_refused() {
    let message = refusal("2026-11-21T00:00:00Z", "2026-11-21T23:59:59.999Z");
    assert!(message.contains("2026-11-21T23:59:59.999Z: expected whole seconds"), "{message}");
    refusal("2026-11-21T00:00:00Z", "2026-11-21T23:59:60Z");
    refusal("9999-12-31T00:00:00-09:00", "9999-12-31T23:59:59-09:00");
}

#[test]
fn bounds_with_different_offsets_mean_the_same_interval() {
    let tokyo = Interval::parse("2026-11-21T00:00:00+09:00", "2026-11-21T15:00:00Z").unwrap();
    assert_eq!(tokyo, Interval::of_date("2026-11-21", TOKYO).unwrap());
    assert_eq!(tokyo.id().as_str(), "20261120T150000Z-20261121T150000Z");
    assert_eq!(tokyo.start_rfc3339(), "2026-11-20T15:00:00Z");
    assert_eq!(tokyo.end_rfc3339(), "2026-11-21T15:00:00Z");
}

#[test]
fn an_id_leads_back_to_its_interval_and_nothing_else_does() {
    let interval = Interval::of_date("2026-11-21", TOKYO).unwrap();
    assert_eq!(Interval::parse_id(interval.id().as_str()).unwrap(), interval);
    let same = "20261120T150000Z-20261120T150000Z";
    for wrong in ["", "x", "20261120T150000Z", "20261120T150000Z-2026112T150000Z", same] {
        assert_eq!(Interval::parse_id(wrong).unwrap_err().exit_code(), 64, "{wrong}");
    }
}

#[test]
fn an_interval_contains_its_parts_and_does_not_overlap_its_neighbours() {
    let day = Interval::of_date("2026-11-21", TOKYO).unwrap();
    let hour = Interval::of_hour("2026-11-21T23", TOKYO).unwrap();
    let next = Interval::of_date("2026-11-22", TOKYO).unwrap();
    assert!(day.contains(&hour) && day.contains(&day) && !hour.contains(&day));
    assert!(day.overlaps(&hour) && hour.overlaps(&day));
    assert!(!day.overlaps(&next) && !next.overlaps(&hour));
}

#[test]
fn a_local_day_has_as_many_hours_as_the_clock_shows() {
    let hours = |day: &str, zone: Tz| minutes_of(&Interval::of_date(day, zone).unwrap()) / 60;
    assert_eq!(hours("2026-11-21", TOKYO), 24);
    assert_eq!(hours("2026-03-29", BERLIN), 23);
    assert_eq!(hours("2026-10-25", BERLIN), 25);
}

#[test]
fn a_day_whose_midnight_the_clock_skips_or_repeats_touches_its_neighbours() {
    for (day, next, minutes) in
        [("2026-03-08", "2026-03-09", 23 * 60), ("2026-11-01", "2026-11-02", 25 * 60)]
    {
        let day = Interval::of_date(day, HAVANA).unwrap();
        assert_eq!(minutes_of(&day), minutes);
        assert_eq!(day.end(), Interval::of_date(next, HAVANA).unwrap().start());
    }
}

#[test]
fn a_day_that_the_zone_skipped_is_refused() {
    let error = Interval::of_date("2011-12-30", APIA).unwrap_err();
    assert!(error.to_string().contains("Pacific/Apia skipped this day"), "{error}");
    assert_eq!(minutes_of(&Interval::of_date("2011-12-29", APIA).unwrap()), 24 * 60);
    assert_eq!(minutes_of(&Interval::of_date("2011-12-31", APIA).unwrap()), 24 * 60);
}

#[test]
fn what_is_no_day_or_hour_is_refused() {
    for wrong in ["2026-02-30", "2026-2-3", "today", "2026-11-21T00", " 2026-11-21", ""] {
        assert!(Interval::of_date(wrong, TOKYO).is_err(), "{wrong}");
    }
    for wrong in ["2026-11-21", "2026-11-21T24", "2026-11-21T1", "2026-11-21 01", ""] {
        assert!(Interval::of_hour(wrong, TOKYO).is_err(), "{wrong}");
    }
}

#[test]
fn a_skipped_hour_is_refused_and_a_doubled_one_is_two_hours() {
    let error = Interval::of_hour("2026-03-29T02", BERLIN).unwrap_err();
    assert!(error.to_string().contains("skips this hour"), "{error}");
    let doubled = Interval::of_hour("2026-10-25T02", BERLIN).unwrap();
    assert_eq!(doubled.id().as_str(), "20261025T000000Z-20261025T020000Z");
    let plain = Interval::of_hour("2026-11-21T13", TOKYO).unwrap();
    assert_eq!(plain.id().as_str(), "20261121T040000Z-20261121T050000Z");
}

#[test]
fn an_hour_that_the_clock_skips_in_half_is_its_other_half() {
    // On Lord Howe Island the clock goes forward at 02:00 to 02:30, and back at 02:00 to 01:30.
    assert_eq!(minutes_of(&Interval::of_hour("2026-10-04T02", LORD_HOWE).unwrap()), 30);
    assert_eq!(minutes_of(&Interval::of_hour("2026-04-05T01", LORD_HOWE).unwrap()), 90);
}

#[test]
fn a_template_expands_to_the_local_hours_of_the_interval() {
    let day = Interval::of_date("2026-11-21", TOKYO).unwrap();
    let prefixes = expand("dt=%Y-%m-%d/hr=%H/", &day, TOKYO);
    assert_eq!(prefixes.len(), 24);
    assert_eq!(prefixes[0], "dt=2026-11-21/hr=00/");
    assert_eq!(prefixes[23], "dt=2026-11-21/hr=23/");
    assert_eq!(expand("dt=%Y-%m-%d/", &day, TOKYO), ["dt=2026-11-21/"]);
    assert_eq!(expand("dt=%F/", &day, Tz::UTC), ["dt=2026-11-20/", "dt=2026-11-21/"]);
    assert_eq!(expand("%y%j-100%%/", &day, TOKYO), ["26325-100%/"]);
    let third = Interval::of_date("2026-02-03", TOKYO).unwrap();
    assert_eq!(
        expand("%-m.%-d/%e|%b/%B/%G-W%V/%-V/", &third, TOKYO),
        ["2.3/ 3|Feb/February/2026-W06/6/"]
    );
    assert_eq!(expand("%F-%-H.gz", &third, TOKYO)[9..11], ["2026-02-03-9.gz", "2026-02-03-10.gz"]);
    assert_eq!(expand("%k", &third, TOKYO)[9..11], [" 9", "10"]);
    assert_eq!(expand("a/*/{b}/%F/", &third, TOKYO), ["a/*/{b}/2026-02-03/"]);
}

#[test]
fn a_template_without_fields_is_itself() {
    let day = Interval::of_date("2026-11-21", TOKYO).unwrap();
    assert_eq!(expand("", &day, TOKYO), [""]);
    assert_eq!(expand("raw/web/", &day, TOKYO), ["raw/web/"]);
}

#[test]
fn an_interval_within_an_hour_or_across_a_border_has_each_hour_it_touches() {
    let parse = |start: &str, end: &str| {
        let at = |time: &str| format!("2026-11-21T{time}+09:00");
        Interval::parse(&at(start), &at(end)).unwrap()
    };
    assert_eq!(expand("%H/", &parse("13:10:00", "13:40:00"), TOKYO), ["13/"]);
    assert_eq!(expand("%H/", &parse("13:30:00", "14:00:00"), TOKYO), ["13/"]);
    let across = parse("13:59:59", "14:00:01");
    assert_eq!(expand("%H/", &across, TOKYO), ["13/", "14/"]);
    assert_eq!(expand("%H%M/", &across, TOKYO), ["1359/", "1400/"]);
    let kolkata = expand("%H/", &across, chrono_tz::Asia::Kolkata);
    assert_eq!(kolkata, ["10/"]);
}

#[test]
fn a_doubled_hour_comes_once_and_a_skipped_one_never() {
    let autumn = Interval::of_date("2026-10-25", BERLIN).unwrap();
    assert_eq!(expand("%H/", &autumn, BERLIN).len(), 24);
    assert_eq!(expand("%H%M/", &autumn, BERLIN).len(), 24 * 60);
    let spring = Interval::of_date("2026-03-29", BERLIN).unwrap();
    let hours = expand("%H/", &spring, BERLIN);
    assert_eq!(hours.len(), 23);
    assert!(!hours.contains(&"02/".to_owned()));
}

#[test]
fn a_prefix_that_comes_back_later_comes_once() {
    let days = Interval::parse("2026-11-19T00:00:00Z", "2026-11-22T00:00:00Z").unwrap();
    assert_eq!(expand("%H%M/", &days, TOKYO).len(), 24 * 60);
}

#[test]
fn a_wrong_template_is_refused_with_the_reason() {
    let unknown = PathTemplate::parse("dt=%Q/").unwrap_err();
    assert!(unknown.contains("unknown field `%Q`; expected one of %Y %y %m"), "{unknown}");
    let cases = [
        ("%", "unknown field `%`"),
        ("a/%日", "unknown field `%日`"),
        ("%-Q/", "unknown field `%-Q`"),
        ("%-", "unknown field `%-`"),
        ("../%Y/", "found `..`"),
        ("a/./%Y/", "found `.`"),
        ("/%Y/", "leading `/`"),
        ("a//%Y/", "empty part"),
        ("%Y/**/", "wildcard"),
        ("%Y/?/", "wildcard"),
        ("%Y/app-*.gz", "last part"),
        ("{a/%Y/", "a brace alone"),
        ("a}/%Y/", "a brace alone"),
        ("{}/%Y/", "a column's name"),
        ("{1a}/%Y/", "a column's name"),
        ("{a}/{a}/", "stands twice"),
    ];
    for (text, reason) in cases {
        let error = PathTemplate::parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn too_many_prefixes_are_refused_at_once() {
    let ages = Interval::parse("0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z").unwrap();
    for template in ["%Y%m%d%H%M/", "%M/", "%F/"] {
        let template = PathTemplate::parse(template).unwrap();
        let error = template.expand(&ages, TOKYO).unwrap_err();
        assert!(error.to_string().contains("at most 100000 prefixes"), "{error}");
    }
    let decades = Interval::parse("2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z").unwrap();
    assert_eq!(expand("%F/", &decades, Tz::UTC).len(), 9497);
}

#[test]
fn keys_of_directories_are_columns() {
    let template = PathTemplate::parse("raw/dt=%Y-%m-%d/hr=%H/").unwrap();
    assert_eq!(template.columns(), ["dt", "hr"]);
    let template = PathTemplate::parse("{account}/*/r={r}/day={d}x/%Y/").unwrap();
    assert_eq!(template.columns(), ["r", "day", "account", "d"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The twin looks at every second of the interval.
    #[test]
    fn a_template_expands_as_a_walk_over_all_seconds_does(
        // Around the changes of 2026 in the northern and the southern hemisphere.
        around in prop::sample::select(vec![1_774_746_000_i64, 1_791_043_200, 1_792_890_000]),
        shift in -90_000_i64..90_000,
        length in 1_i64..20_000,
        zone in prop::sample::select(vec![
            BERLIN, LORD_HOWE, HAVANA, TOKYO, KATHMANDU, ST_JOHNS,
        ]),
        template in prop::sample::select(vec!["%F/", "%F/%H/", "%H%M/", "%d"]),
    ) {
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap();
        let start = around + shift;
        let interval = Interval::new(at(start), at(start + length)).unwrap();
        let mut walked: Vec<String> = Vec::new();
        for second in start..start + length {
            let prefix = at(second).with_timezone(&zone).format(template).to_string();
            if walked.last() != Some(&prefix) && !walked.contains(&prefix) {
                walked.push(prefix);
            }
        }
        prop_assert_eq!(expand(template, &interval, zone), walked);
    }
}

#[test]
fn an_interval_consists_of_whole_hours_days_or_months_of_its_zone() {
    let of =
        |start, end, grain, zone| Interval::parse(start, end).unwrap().consists_of(grain, zone);
    let day = ("2026-11-21T00:00:00+09:00", "2026-11-22T00:00:00+09:00");
    assert!(of(day.0, day.1, Grain::Day, TOKYO) && of(day.0, day.1, Grain::Hour, TOKYO));
    assert!(!of(day.0, day.1, Grain::Day, BERLIN) && !of(day.0, day.1, Grain::Month, TOKYO));
    let days = ("2026-11-01T00:00:00+09:00", "2026-12-01T00:00:00+09:00");
    assert!(of(days.0, days.1, Grain::Day, TOKYO) && of(days.0, days.1, Grain::Month, TOKYO));
    let hour = ("2026-11-21T13:00:00+09:00", "2026-11-21T14:00:00+09:00");
    assert!(of(hour.0, hour.1, Grain::Hour, TOKYO) && !of(hour.0, hour.1, Grain::Day, TOKYO));
    // Half past, by the clock of Kathmandu (+05:45), and full hours by it.
    assert!(!of(hour.0, hour.1, Grain::Hour, KATHMANDU));
    let nepal = ("2026-11-21T13:00:00+05:45", "2026-11-21T14:00:00+05:45");
    assert!(of(nepal.0, nepal.1, Grain::Hour, KATHMANDU));
    // Days of 23 and 25 hours.
    for date in ["2026-03-29", "2026-10-25"] {
        assert!(Interval::of_date(date, BERLIN).unwrap().consists_of(Grain::Day, BERLIN), "{date}");
    }
    for hour in ["2026-03-29T01", "2026-10-25T02"] {
        let interval = Interval::of_hour(hour, BERLIN).unwrap();
        assert!(interval.consists_of(Grain::Hour, BERLIN), "{hour}");
    }
}

#[test]
fn a_template_that_gives_several_times_one_name_says_what_it_leaves_out() {
    for (text, left_out) in [
        ("%m/%d/", "no year"),
        ("%H/", "no year"),
        ("%j/", "no year"),
        ("%V/", "no year"),
        ("%b-%d/", "no year"),
        ("%M/", "no year"),
        ("%Y/%d/", "a day without its month"),
        ("%Y/%H/", "an hour without its day"),
        ("%Y/%m/%H/", "an hour without its day"),
        ("%G/%V/%H/", "an hour without its day"),
        ("%F/%M/", "a minute without its hour"),
        ("%Y/%V/", "a week without its year"),
        ("%G/%m/%d/", "a week's year, but a month or a day"),
    ] {
        let template = PathTemplate::parse(text).unwrap();
        assert_eq!(template.left_out().map(|(what, _)| what), Some(left_out), "{text}");
    }
    for text in [
        "",
        "raw/",
        "100%%/",
        "%Y/",
        "%Y/%m/",
        "%y%m%d/",
        "%F/",
        "%F/%H/",
        "%F/%H%M/",
        "%Y/%j/",
        "%Y/%-j/%k/",
        "%G/%V/",
        "%G-W%-V/",
        "%Y/%B/%e/",
        "dt=%Y-%m-%d/hr=%H/",
        "%d/%m/%Y/%-H%-M/",
    ] {
        assert_eq!(PathTemplate::parse(text).unwrap().left_out(), None, "{text}");
    }
}
