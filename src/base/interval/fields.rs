//! The fields of a path template, and what of the time they leave out.
//!
//! ```text
//! %m/%d/      no year: 2025 reads the folders of 2026 again
//! %Y/%V/      a week without its year: 2024-01-01 and 2024-12-30 are both in `2024/01/`
//! ```

/// The finest field of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Minute,
    Hour,
    Day,
}

/// The fields that a template may have, each with the time that it tells.
pub(super) const FIELDS: [(&str, Unit); 20] = [
    ("%Y", Unit::Day),
    ("%y", Unit::Day),
    ("%m", Unit::Day),
    ("%d", Unit::Day),
    ("%j", Unit::Day),
    ("%F", Unit::Day),
    ("%H", Unit::Hour),
    ("%M", Unit::Minute),
    ("%-m", Unit::Day),
    ("%-d", Unit::Day),
    ("%-j", Unit::Day),
    ("%-H", Unit::Hour),
    ("%-M", Unit::Minute),
    ("%e", Unit::Day),
    ("%k", Unit::Hour),
    ("%b", Unit::Day),
    ("%B", Unit::Day),
    ("%G", Unit::Day),
    ("%V", Unit::Day),
    ("%-V", Unit::Day),
];

/// What the fields of a template leave out of the time, and what to write; none if they give no two
/// times one name, but for those within one folder.
pub(super) fn left_out(fields: &[&str]) -> Option<(&'static str, &'static str)> {
    let has = |any: &[&str]| fields.iter().any(|field| any.contains(field));
    let (year, iso_year) = (has(&["%Y", "%y", "%F"]), has(&["%G"]));
    let month = has(&["%m", "%-m", "%b", "%B", "%F"]);
    let day_of_month = has(&["%d", "%-d", "%e", "%F"]);
    let day_of_year = has(&["%j", "%-j", "%F"]);
    let week = has(&["%V", "%-V"]);
    let (hour, minute) = (has(&["%H", "%-H", "%k"]), has(&["%M", "%-M"]));
    let day = (day_of_month && month) || day_of_year;
    if fields.is_empty() {
        None
    } else if !year && !iso_year {
        Some(("no year", "begin with `%Y`: `%Y/%m/%d/`"))
    } else if !year && (month || day) {
        // Some days of December and January have another year there.
        Some(("a week's year, but a month or a day", "write `%Y` for `%G`"))
    } else if week && !iso_year && !month && !day_of_year {
        Some(("a week without its year", "write `%G` for `%Y`: `%G/%V/`"))
    } else if day_of_month && !month && !day_of_year {
        Some(("a day without its month", "write `%m` before `%d`: `%Y/%m/%d/`"))
    } else if hour && !day {
        Some(("an hour without its day", "write the day before `%H`: `%Y/%m/%d/%H/`"))
    } else if minute && !hour {
        Some(("a minute without its hour", "write `%H` before `%M`: `%Y/%m/%d/%H%M/`"))
    } else {
        None
    }
}
