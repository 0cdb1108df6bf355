//! Half-open data intervals, and path templates that expand over them.
//!
//! ```text
//! --date 2026-11-21, Asia/Tokyo   ─► [2026-11-20T15:00:00Z, 2026-11-21T15:00:00Z)
//! id                              ─► 20261120T150000Z-20261121T150000Z
//! dt=%Y-%m-%d/hr=%H/              ─► dt=2026-11-21/hr=00/ … dt=2026-11-21/hr=23/
//! ```

mod fields;

use std::collections::HashSet;
use std::fmt::Write;

use chrono::{
    DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat,
    TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

use self::fields::{FIELDS, Unit, left_out};
use super::error::{Error, Result};
use super::run_ids::IntervalId;

/// A half-open span of time, `[start, end)`, never empty, in whole seconds of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Interval {
    /// The interval between two instants.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is empty or runs backward, or if a bound has a fraction of a second:
    /// such a bound is nearly always the end of a closed interval (`23:59:59.999`), and the id
    /// names whole seconds.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self> {
        for bound in [start, end] {
            if bound.nanosecond() != 0 || !(1..=9999).contains(&bound.year()) {
                return Err(Error::Usage(format!(
                    "interval bound {}: expected whole seconds of the years 1 to 9999; the end is \
                     the first instant behind the interval, such as the next midnight",
                    text_of(bound)
                )));
            }
        }
        let (from, to) = (text_of(start), text_of(end));
        if start == end {
            return Err(Error::Usage(format!(
                "the interval [{from}, {to}) is empty: its start is its end. Airflow 3 gives such \
                 intervals for schedules like `@hourly`; give the DAG a CronDataIntervalTimetable, \
                 or pass the bounds yourself"
            )));
        }
        if start > end {
            return Err(Error::Usage(format!(
                "the interval [{from}, {to}) runs backward: its end lies before its start; are \
                 start and end swapped?"
            )));
        }
        Ok(Interval { start, end })
    }

    /// The interval between two RFC 3339 texts, each with an offset.
    ///
    /// # Errors
    /// [`Error::Usage`] if a text has no offset or is no RFC 3339, and as [`Interval::new`].
    pub fn parse(start: &str, end: &str) -> Result<Self> {
        Interval::new(parse_bound("start", start)?, parse_bound("end", end)?)
    }

    /// A local day, such as `2026-11-21`: from its first instant to the next day's, so it has 23
    /// or 25 hours where the clock jumps.
    ///
    /// # Errors
    /// [`Error::Usage`] if the text is no day, or the zone skipped it.
    pub fn of_date(text: &str, zone: Tz) -> Result<Self> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        // chrono takes `2026-1-2` as well.
        let day = day.filter(|day| day.format("%Y-%m-%d").to_string() == text);
        let wrong = || Error::Usage(format!("date {text}: expected a day such as 2026-11-21"));
        let day = day.ok_or_else(wrong)?;
        let start = first_instant(day, zone).filter(|at| local(*at, zone).date() == day);
        let skipped = || Error::Usage(format!("date {text}: {zone} skipped this day"));
        let start = start.ok_or_else(skipped)?;
        let end = day.succ_opt().and_then(|next| first_instant(next, zone)).ok_or_else(wrong)?;
        Interval::new(start, end)
    }

    /// A local hour, such as `2026-11-21T13`: from its first minute to after its last. An hour
    /// that the clock shows twice is two hours long, and one that it skips in part is shorter.
    ///
    /// # Errors
    /// [`Error::Usage`] if the text is no hour, or the clock skips all of it.
    pub fn of_hour(text: &str, zone: Tz) -> Result<Self> {
        let hour = NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").ok();
        let hour = hour.filter(|hour| hour.format("%Y-%m-%dT%H").to_string() == text);
        let hour = hour.ok_or_else(|| {
            Error::Usage(format!("hour {text}: expected an hour such as 2026-11-21T13"))
        })?;
        let minutes = (0..60).map(|minute| hour + Duration::minutes(minute));
        let first = minutes.clone().find_map(|at| zone.from_local_datetime(&at).earliest());
        let last = minutes.rev().find_map(|at| zone.from_local_datetime(&at).latest());
        let (Some(first), Some(last)) = (first, last) else {
            return Err(Error::Usage(format!("hour {text}: the clock of {zone} skips this hour")));
        };
        Interval::new(first.to_utc(), last.to_utc() + Duration::minutes(1))
    }

    /// First instant of the interval.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// First instant after the interval.
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// First instant of the interval, RFC 3339 in UTC: `2026-11-20T15:00:00Z`.
    pub fn start_rfc3339(&self) -> String {
        text_of(self.start)
    }

    /// First instant after the interval, RFC 3339 in UTC.
    pub fn end_rfc3339(&self) -> String {
        text_of(self.end)
    }

    /// A name without `:`, another for each interval: `20261120T150000Z-20261121T150000Z`.
    pub fn id(&self) -> IntervalId {
        let (start, end) = (self.start.format(ID_FORMAT), self.end.format(ID_FORMAT));
        IntervalId::new(format!("{start}-{end}"))
    }

    /// The interval of an [`Interval::id`].
    ///
    /// # Errors
    /// [`Error::Usage`] if the text is no id.
    pub fn parse_id(id: &str) -> Result<Self> {
        let bounds = id.split_once('-').and_then(|(start, end)| {
            let parse = |text| NaiveDateTime::parse_from_str(text, ID_FORMAT).ok();
            Some((parse(start)?.and_utc(), parse(end)?.and_utc()))
        });
        let interval = bounds.map(|(start, end)| Interval::new(start, end)).transpose()?;
        interval.filter(|interval| interval.id().as_str() == id).ok_or_else(|| {
            Error::Usage(format!(
                "interval id {id}: expected such as 20261121T000000Z-20261122T000000Z"
            ))
        })
    }

    /// Whether every instant of `other` lies in this interval.
    pub fn contains(&self, other: &Interval) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether some instant lies in both.
    pub fn overlaps(&self, other: &Interval) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A span of local time that starts and ends with the clock or the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// From one full hour to the next.
    Hour,
    /// From one day's first instant to the next day's.
    Day,
    /// From one month's first instant to the next month's.
    Month,
}

impl Grain {
    /// All of them, the shortest first.
    pub const ALL: [Grain; 3] = [Grain::Hour, Grain::Day, Grain::Month];

    /// The name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Grain::Hour => "hour",
            Grain::Day => "day",
            Grain::Month => "month",
        }
    }

    /// Whether one of these spans begins at an instant.
    fn begins_at(self, at: DateTime<Utc>, zone: Tz) -> bool {
        let shown = local(at, zone);
        match self {
            // Where the clock jumps over a full hour, the next one begins with the jump.
            Grain::Hour => {
                let before = local(at - Duration::seconds(1), zone);
                shown.minute() == 0 && shown.second() == 0 || before.hour() != shown.hour()
            }
            Grain::Day => first_instant(shown.date(), zone) == Some(at),
            Grain::Month => shown.day() == 1 && first_instant(shown.date(), zone) == Some(at),
        }
    }
}

impl Interval {
    /// Whether it consists of whole spans of a grain in a zone: one, or some in a row.
    pub fn consists_of(&self, grain: Grain, zone: Tz) -> bool {
        grain.begins_at(self.start, zone) && grain.begins_at(self.end, zone)
    }
}

const ID_FORMAT: &str = "%Y%m%dT%H%M%SZ";

fn text_of(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn parse_bound(bound: &str, text: &str) -> Result<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let without_offset = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    if without_offset.iter().any(|form| NaiveDateTime::parse_from_str(text, form).is_ok()) {
        return Err(Error::Usage(format!(
            "interval {bound} {text}: expected RFC 3339 with an offset, found no offset; without \
             one it could be any zone's time: append `Z` or such as `+09:00`"
        )));
    }
    Err(Error::Usage(format!(
        "interval {bound} {text}: expected RFC 3339 with an offset, such as \
         2026-11-21T00:00:00+09:00"
    )))
}

fn local(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    at.with_timezone(&zone).naive_local()
}

/// The first instant that shows a local day or a later one; none at the end of the calendar.
fn first_instant(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let midnight = day.and_time(NaiveTime::MIN);
    if let Some(first) = zone.from_local_datetime(&midnight).earliest() {
        return Some(first.to_utc());
    }
    // The clock skips midnight: search for the second at which it jumps.
    let mut before = midnight.and_utc().checked_sub_signed(Duration::hours(48))?;
    let mut from = midnight.and_utc().checked_add_signed(Duration::hours(48))?;
    while from - before > Duration::seconds(1) {
        let middle = before + Duration::seconds((from - before).num_seconds() / 2);
        if local(middle, zone).date() >= day {
            from = middle;
        } else {
            before = middle;
        }
    }
    Some(from)
}

/// A path with strftime fields, `dt=%Y-%m-%d/hr=%H/`, below a source's location.
///
/// Its fields are `%Y` (year), `%y` (year, two digits), `%m` (month), `%d` (day), `%j` (day of the
/// year), `%F` (`%Y-%m-%d`), `%H` (hour), `%M` (minute) and `%%` (a percent sign); `%b` and `%B`
/// (English names of months), `%G` and `%V` (year and week of ISO 8601). `%-m` and the like are
/// without a leading zero, `%e` (day) and `%k` (hour) have a blank in its place. The empty template
/// is the location itself.
///
/// Between the fields a part, or a piece of one, may be left open: `*` stands for any text without
/// a `/`, `{account}` for such a text that becomes the column `account`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    text: String,
    pieces: Vec<Piece>,
    unit: Option<Unit>,
    /// What its braces name, in their order.
    open_names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A strftime field with its percent sign.
    Field(&'static str),
}

impl Piece {
    fn field(&self) -> Option<&'static str> {
        match self {
            Piece::Field(field) => Some(field),
            Piece::Text(_) => None,
        }
    }
}

/// More prefixes than this are a mistake in the interval or the template.
const PREFIXES_MAX: usize = 100_000;

impl PathTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it: an unknown field, an absolute path, an empty or climbing part, or a
    /// part that is left open in another way than by `*` and `{name}`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Err(format!(
                "path template `{text}`: expected a path below the location, found a leading `/`"
            ));
        }
        if text.contains("//") {
            return Err(format!("path template `{text}`: found an empty part (`//`)"));
        }
        if let Some(part) = text.split('/').find(|part| matches!(*part, "." | "..")) {
            return Err(format!("path template `{text}`: found `{part}`; name the folders"));
        }
        let open_names = parse_open_parts(text)?;
        let pieces = parse_pieces(text)?;
        let fields = pieces.iter().filter_map(Piece::field);
        let units = fields.filter_map(|field| FIELDS.iter().find(|(known, _)| *known == field));
        let unit = units.map(|(_, unit)| *unit).min();
        Ok(PathTemplate { text: text.to_owned(), pieces, unit, open_names })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a field of time; without one every interval has the same directory.
    pub fn has_time_field(&self) -> bool {
        self.unit.is_some()
    }

    /// What of the time the template leaves out, so that it gives several times one name, and what
    /// to write; none for a template without fields, whose directory all intervals share.
    pub fn left_out(&self) -> Option<(&'static str, &'static str)> {
        let fields: Vec<&str> = self.pieces.iter().filter_map(Piece::field).collect();
        left_out(&fields)
    }

    /// The distinct prefixes of all local times in an interval, in the order of time. An hour that
    /// the clock shows twice comes once, one that it skips not at all; an interval that covers
    /// half an hour has that hour.
    ///
    /// Local times change at whole quarters of an hour of UTC, as all zones' do since 1972.
    ///
    /// # Errors
    /// [`Error::Usage`] if the interval has more than 100,000 units of the finest field.
    pub fn expand(&self, interval: &Interval, zone: Tz) -> Result<Vec<String>> {
        let Some(unit) = self.unit else {
            return Ok(vec![self.prefix_at(NaiveDateTime::default())]);
        };
        let (unit_seconds, step) = match unit {
            Unit::Minute => (60, 60),
            Unit::Hour => (3600, 900),
            Unit::Day => (86_400, 900),
        };
        let (start, end) = (interval.start.timestamp(), interval.end.timestamp());
        if (end - start) / unit_seconds > PREFIXES_MAX as i64 {
            return Err(Error::Usage(format!(
                "expanding path template `{}` over [{}, {}): expected at most {PREFIXES_MAX} \
                 prefixes; run shorter intervals or use a coarser template",
                self.text,
                interval.start_rfc3339(),
                interval.end_rfc3339(),
            )));
        }
        let steps = (start.div_euclid(step) + 1..).map(|number| number * step);
        let instants = std::iter::once(start).chain(steps.take_while(|at| *at < end));
        let mut last_unit = None;
        let mut known = HashSet::new();
        let mut prefixes = Vec::new();
        for instant in instants {
            let utc = DateTime::from_timestamp(instant, 0).unwrap_or(interval.start);
            let offset = zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc();
            let local_unit = (instant + i64::from(offset)).div_euclid(unit_seconds);
            if last_unit.replace(local_unit) == Some(local_unit) {
                continue;
            }
            let prefix = self.prefix_at(local(utc, zone));
            if known.insert(prefix.clone()) {
                prefixes.push(prefix);
            }
        }
        Ok(prefixes)
    }

    fn prefix_at(&self, at: NaiveDateTime) -> String {
        let mut prefix = String::with_capacity(self.text.len() + 8);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => prefix.push_str(text),
                // Writing to a String cannot fail, and the fields are chrono's.
                Piece::Field(field) => drop(write!(prefix, "{}", at.format(field))),
            }
        }
        prefix
    }

    /// The columns that its parts give: the keys of `key=value`, outermost first, such as `dt` and
    /// `hr`, then the names in braces.
    pub fn columns(&self) -> Vec<String> {
        let keys = self.text.split('/').filter_map(|part| part.split_once('='));
        let keys = keys.map(|(key, _)| key).filter(|key| !key.contains(['*', '{']));
        let mut columns: Vec<String> = keys.map(str::to_owned).collect();
        let open = self.open_names.iter().filter(|name| !columns.contains(name));
        let open: Vec<String> = open.cloned().collect();
        columns.extend(open);
        columns
    }
}

/// Checks the parts that are left open, and gives the names in braces.
fn parse_open_parts(text: &str) -> Result<Vec<String>, String> {
    let refused = |what: &str| Err(format!("path template `{text}`: {what}"));
    if text.contains(['?', '[', ']']) || text.contains("**") {
        return refused(
            "found a wildcard; expected plain names, strftime fields, `*` for (a piece of) one \
             part and `{name}` for one that becomes a column; put others into `glob`",
        );
    }
    let last = text.rsplit('/').next().unwrap_or_default();
    if last.contains(['*', '{']) {
        return refused(
            "its last part leaves something open; end it with `/` if it is a folder, and put what \
             names objects into `glob`",
        );
    }
    let mut names = Vec::new();
    for part in text.split('/') {
        let mut rest = part;
        while let Some(at) = rest.find(['{', '}']) {
            let (name, behind) = match rest[at..].strip_prefix('{').map(|r| r.split_once('}')) {
                Some(Some(named)) => named,
                _ => return refused("expected `{name}`, found a brace alone"),
            };
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) || name.starts_with(char::is_numeric) {
                return refused("expected a column's name of letters, digits and `_` in braces");
            }
            if names.iter().any(|known| known == name) {
                return refused(&format!("`{{{name}}}` stands twice"));
            }
            names.push(name.to_owned());
            rest = behind;
        }
    }
    Ok(names)
}

/// Cuts a template into plain text and fields.
fn parse_pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(position) = rest.find('%') {
        let (plain, from_field) = rest.split_at(position);
        pieces.push(Piece::Text(plain.to_owned()));
        let is_flag = |c: &char| *c == '-';
        let flag = from_field[1..].chars().next().filter(is_flag).map_or(0, char::len_utf8);
        let length = 1 + flag + from_field[1 + flag..].chars().next().map_or(0, char::len_utf8);
        let (field, behind) = from_field.split_at(length);
        let known = FIELDS.iter().find(|(known, _)| *known == field);
        pieces.push(match known {
            Some((known, _)) => Piece::Field(known),
            None if field == "%%" => Piece::Text("%".to_owned()),
            None => {
                let known = FIELDS.map(|(known, _)| known).join(" ");
                return Err(format!(
                    "path template `{text}`: unknown field `{field}`; expected one of {known} %%"
                ));
            }
        });
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

#[cfg(test)]
#[path = "interval_tests.rs"]
mod tests;
