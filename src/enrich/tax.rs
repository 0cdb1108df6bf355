//! Rates of the consumption tax by category and day.
//!
//! One row of the table's CSV through each step:
//!
//! ```text
//! standard,2019-10-01,0.10
//!   ─► category "standard", from day 18170 (2019-10-01), rate 1000 ten-thousandths
//!   ─► rate("standard", 18169) = Known(0.0800)      2019-09-30, the row before
//!      rate("standard", 18170) = Known(0.1000)      2019-10-01
//!      rate("luxury",   18170) = UnknownCategory
//! ```
//!
//! Days are days in Asia/Tokyo, counted from 1970-01-01 as Arrow's `Date32` does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use chrono::NaiveDate;

use crate::base::error::{Diagnostic, Error, Result};

const BUNDLED: &str = include_str!("tax_rates.csv");
const COLUMNS: [&str; 3] = ["category", "from", "rate"];
const SECONDS_PER_DAY: i64 = 86_400;
/// Japan is at UTC+9 and has had no daylight saving time since 1951, long before the tax.
const TOKYO_OFFSET_SECONDS: i64 = 9 * 3600;

/// A tax rate, exact, in ten-thousandths: 800 is 8 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i32);

impl Rate {
    /// No tax.
    pub const ZERO: Rate = Rate(0);
    /// 100 %, the highest rate a table may hold.
    pub const ONE: Rate = Rate(10_000);

    /// The rate in ten-thousandths, 0 to 10,000.
    pub fn ten_thousandths(self) -> i32 {
        self.0
    }

    /// Reads a fraction of at most four digits, from `0` to `1`: `0.08` is 8 %. None otherwise.
    pub fn from_fraction(text: &str) -> Option<Rate> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 4 || whole.len() > 1 {
            return None;
        }
        let padded: i32 = format!("{fraction:0<4}").parse().ok()?;
        let rate = Rate(whole.parse::<i32>().ok()? * 10_000 + padded);
        (rate <= Rate::ONE).then_some(rate)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

/// What a table knows of a category on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLookup {
    /// The rate.
    Known(Rate),
    /// The table has no such category.
    UnknownCategory,
    /// The table has the category, but its first rate begins after that day.
    NoRate,
}

/// Rates by category and first day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxTable {
    name: String,
    /// Rates of a category by first day, ascending; `i32::MIN` stands for "since ever".
    categories: BTreeMap<String, Vec<(i32, Rate)>>,
}

impl TaxTable {
    /// Japan's rates, with the categories `standard`, `reduced` and `exempt`; the source stands in
    /// the file itself.
    pub fn bundled() -> TaxTable {
        let read = TaxTable::from_csv(Path::new("tax_rates.csv"), BUNDLED);
        let table = read.expect("the bundled table is part of the program and tests read it");
        TaxTable { name: "bundled".to_owned(), ..table }
    }

    /// Reads a table: CSV with the columns `category`, `from` (`YYYY-MM-DD` in Asia/Tokyo, or empty
    /// for "since ever") and `rate` (a fraction such as `0.08`). Lines that begin with `#` are
    /// comments. `file` names it in errors, which are all found at once, each with its line.
    pub fn from_csv(file: &Path, text: &str) -> Result<TaxTable> {
        let text = text.trim_start_matches('\u{feff}');
        let mut dialect = csv::ReaderBuilder::new();
        dialect.comment(Some(b'#')).flexible(true).trim(csv::Trim::All);
        let mut reader = dialect.from_reader(text.as_bytes());
        let columns = read_header(&mut reader).map_err(|d| Error::Config(vec![d.in_file(file)]))?;

        let mut findings = Vec::new();
        let mut categories: BTreeMap<String, Vec<(i32, Rate)>> = BTreeMap::new();
        for record in reader.records() {
            match record.map_err(unreadable).and_then(|record| read_row(&record, columns)) {
                Ok((line, category, from, rate)) => {
                    let rates = categories.entry(category).or_default();
                    match rates.binary_search_by_key(&from, |(from, _)| *from) {
                        Ok(_) => findings.push(at_line(line, "a second rate from the same day")),
                        Err(place) => rates.insert(place, (from, rate)),
                    }
                }
                Err(finding) => findings.push(finding),
            }
        }
        if categories.is_empty() && findings.is_empty() {
            findings.push(Diagnostic::new("expected at least one rate, found none"));
        }
        if findings.is_empty() {
            return Ok(TaxTable { name: file.display().to_string(), categories });
        }
        Err(Error::Config(findings.into_iter().map(|d| d.in_file(file)).collect()))
    }

    /// `bundled`, or the file as it was named.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table's categories in order of their names.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.keys().map(String::as_str)
    }

    /// The last day at which a rate of the table begins; none if all hold since ever.
    pub fn last_change(&self) -> Option<NaiveDate> {
        let begins = self.categories.values().flatten().map(|(from, _)| *from);
        NaiveDate::from_epoch_days(begins.max()?)
    }

    /// The rate of a category on a day in Asia/Tokyo (days since 1970-01-01).
    pub fn rate(&self, category: &str, day: i32) -> RateLookup {
        let Some(rates) = self.categories.get(category) else {
            return RateLookup::UnknownCategory;
        };
        match rates.partition_point(|(from, _)| *from <= day).checked_sub(1) {
            Some(last) => RateLookup::Known(rates[last].1),
            None => RateLookup::NoRate,
        }
    }
}

/// The day in Asia/Tokyo (days since 1970-01-01) of an instant (seconds since 1970-01-01T00:00Z).
/// Days that a `Date32` cannot hold become its first or last one.
pub fn day_in_tokyo(epoch_seconds: i64) -> i32 {
    let day = epoch_seconds.saturating_add(TOKYO_OFFSET_SECONDS).div_euclid(SECONDS_PER_DAY);
    day.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// Positions of `category`, `from` and `rate` in a row.
fn read_header(reader: &mut csv::Reader<&[u8]>) -> Result<[usize; 3], Diagnostic> {
    let header = reader.headers().map_err(unreadable)?;
    let line = header.position().map_or(1, csv::Position::line);
    let expected = || format!("expected the columns {}", COLUMNS.join(", "));
    if let Some(other) = header.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(at_line(line, format!("{}, found `{other}`", expected())));
    }
    let mut places = [0; 3];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let mut found = (0..header.len()).filter(|i| &header[*i] == column);
        *place = match (found.next(), found.next()) {
            (Some(only), None) => only,
            (None, _) => return Err(at_line(line, format!("{}, no `{column}`", expected()))),
            _ => return Err(at_line(line, format!("{}, `{column}` twice", expected()))),
        };
    }
    Ok(places)
}

fn read_row(
    record: &csv::StringRecord,
    columns: [usize; 3],
) -> Result<(u64, String, i32, Rate), Diagnostic> {
    let line = record.position().map_or(0, csv::Position::line);
    if record.len() != COLUMNS.len() {
        let found = format!("expected {} values, found {}", COLUMNS.len(), record.len());
        return Err(at_line(line, found));
    }
    let [category, from, rate] = columns.map(|i| &record[i]);
    if category.is_empty() {
        return Err(at_line(line, "expected a category, found nothing"));
    }
    let day = if from.is_empty() {
        i32::MIN
    } else {
        let date = NaiveDate::parse_from_str(from, "%Y-%m-%d");
        let wrong = |_| at_line(line, format!("expected a day such as 2019-10-01, found `{from}`"));
        date.map_err(wrong)?.to_epoch_days()
    };
    let fraction = "a fraction from 0 to 1 with at most four decimals, such as 0.08";
    let wrong = || at_line(line, format!("expected {fraction}, found `{rate}`"));
    Ok((line, category.to_owned(), day, Rate::from_fraction(rate).ok_or_else(wrong)?))
}

fn at_line(line: u64, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(message).at(usize::try_from(line).unwrap_or(usize::MAX), 1)
}

fn unreadable(error: csv::Error) -> Diagnostic {
    let line = error.position().map_or(1, csv::Position::line);
    at_line(line, format!("the row cannot be read as CSV: {error}"))
}

#[cfg(test)]
#[path = "tax_tests.rs"]
mod tests;
