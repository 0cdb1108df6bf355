use super::*;

fn day(text: &str) -> i32 {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap().to_epoch_days()
}

fn findings(csv: &str) -> Vec<String> {
    match TaxTable::from_csv(Path::new("rates.csv"), csv) {
        Err(Error::Config(findings)) => findings.iter().map(ToString::to_string).collect(),
        other => panic!("expected findings, found {other:?}"),
    }
}

#[test]
fn every_bundled_rate_begins_on_its_day_and_not_the_day_before() {
    let table = TaxTable::bundled();
    let changes = [
        ("standard", "1989-04-01", "0.0000", "0.0300"),
        ("standard", "1997-04-01", "0.0300", "0.0500"),
        ("standard", "2014-04-01", "0.0500", "0.0800"),
        ("standard", "2019-10-01", "0.0800", "0.1000"),
        ("reduced", "1989-04-01", "0.0000", "0.0300"),
        ("reduced", "1997-04-01", "0.0300", "0.0500"),
        ("reduced", "2014-04-01", "0.0500", "0.0800"),
        ("reduced", "2019-10-01", "0.0800", "0.0800"),
        ("exempt", "2019-10-01", "0.0000", "0.0000"),
    ];
    for (category, first, before, after) in changes {
        let on = |day: i32| match table.rate(category, day) {
            RateLookup::Known(rate) => rate.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(on(day(first) - 1), before, "{category} the day before {first}");
        assert_eq!(on(day(first)), after, "{category} on {first}");
    }
    assert_eq!(table.name(), "bundled");
    assert_eq!(table.last_change(), NaiveDate::from_ymd_opt(2019, 10, 1));
    assert_eq!(table.categories().collect::<Vec<_>>(), ["exempt", "reduced", "standard"]);
}

#[test]
fn a_category_that_the_table_lacks_is_not_a_rate_that_has_not_begun() {
    let table = TaxTable::from_csv(Path::new("t.csv"), "category,from,rate\na,2020-01-01,0.5\n");
    let table = table.unwrap();
    assert_eq!(table.rate("b", 0), RateLookup::UnknownCategory);
    assert_eq!(table.rate("a", day("2019-12-31")), RateLookup::NoRate);
    assert_eq!(table.rate("a", day("2020-01-01")), RateLookup::Known(Rate(5000)));
    assert_eq!(table.name(), "t.csv");
}

#[test]
fn a_table_may_name_its_columns_in_any_order_and_hold_comments_and_a_byte_order_mark() {
    let csv = "\u{feff}# mine\nrate,category,from\r\n0.08,\"food\", 2019-10-01\r\n0,food,\r\n";
    let table = TaxTable::from_csv(Path::new("t.csv"), csv).unwrap();
    assert_eq!(table.rate("food", day("2019-09-30")), RateLookup::Known(Rate::ZERO));
    assert_eq!(table.rate("food", day("2019-10-01")), RateLookup::Known(Rate(800)));
}

#[test]
fn every_fault_of_a_table_is_found_at_once_with_its_line() {
    let csv = "category,from,rate\n\
        a,2019-10-01,8\n\
        a,2019-13-01,0.08\n\
        ,2019-10-01,0.08\n\
        a,2019-10-01\n\
        a,2019-10-01,0.08\n\
        a,2019-10-01,0.10\n";
    assert_eq!(
        findings(csv),
        [
            "rates.csv:2:1: expected a fraction from 0 to 1 with at most four decimals, such as \
             0.08, found `8`",
            "rates.csv:3:1: expected a day such as 2019-10-01, found `2019-13-01`",
            "rates.csv:4:1: expected a category, found nothing",
            "rates.csv:5:1: expected 3 values, found 2",
            "rates.csv:7:1: a second rate from the same day",
        ]
    );
}

#[test]
fn a_table_without_its_columns_or_rows_is_refused() {
    let expected = "expected the columns category, from, rate";
    assert_eq!(findings("category,rate\n"), [format!("rates.csv:1:1: {expected}, no `from`")]);
    let twice = findings("category,from,rate,rate\n");
    assert_eq!(twice, [format!("rates.csv:1:1: {expected}, `rate` twice")]);
    let other = findings("category,from,rate,note\n");
    assert_eq!(other, [format!("rates.csv:1:1: {expected}, found `note`")]);
    let none = findings("category,from,rate\n");
    assert_eq!(none, ["rates.csv: expected at least one rate, found none"]);
    assert_eq!(findings(""), [format!("rates.csv:1:1: {expected}, no `category`")]);
}

#[test]
fn rates_are_read_exactly_or_not_at_all() {
    let read = |text| Rate::from_fraction(text).map(|rate| rate.ten_thousandths());
    assert_eq!(read("0"), Some(0));
    assert_eq!(read("0.1"), Some(1000));
    assert_eq!(read("0.0625"), Some(625));
    assert_eq!(read("1"), Some(10_000));
    for wrong in ["", ".", "0.", ".1", "-0.1", "+0.1", "0.00001", "1.0001", "8%", "1e-1", "０.1"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn a_day_in_tokyo_begins_at_fifteen_hours_utc() {
    let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp();
    assert_eq!(day_in_tokyo(instant("2019-09-30T14:59:59Z")), day("2019-09-30"));
    assert_eq!(day_in_tokyo(instant("2019-09-30T15:00:00Z")), day("2019-10-01"));
    assert_eq!(day_in_tokyo(instant("1969-12-31T14:59:59Z")), day("1969-12-31"));
    assert_eq!(day_in_tokyo(i64::MAX), i32::MAX);
    assert_eq!(day_in_tokyo(i64::MIN), i32::MIN);
}
