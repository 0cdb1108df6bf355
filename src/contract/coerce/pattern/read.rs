//! A text by a pattern → the fields of a time.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Weekday};

use super::super::time_parts::{clock, leading_fraction_digits, leading_offset};
use super::compile::is_zone_character;
use super::{Item, NameLength, Number, Part, Pattern};

/// What a text says.
#[derive(Debug, Clone, Default)]
pub(in crate::contract::coerce) struct Fields<'t> {
    year: i32,
    month: u32,
    day: u32,
    day_of_year: u32,
    weekday: Option<Weekday>,
    hour: u32,
    is_afternoon: Option<bool>,
    minute: u32,
    second: u32,
    micro: u32,
    /// Seconds to the east of UTC.
    pub offset: Option<i32>,
    /// A zone's name, abbreviation or offset.
    pub zone: Option<&'t str>,
    /// Seconds since the epoch without their fraction, and whether a minus sign stands before them.
    epoch: Option<(i64, bool)>,
}

impl Pattern {
    /// What a text says; none if it is not of the pattern.
    pub(in crate::contract::coerce) fn read<'t>(&self, text: &'t str) -> Option<Fields<'t>> {
        let mut fields = Fields::default();
        let mut rest = text;
        for item in &self.items {
            rest = fields.take(item, rest)?;
        }
        rest.is_empty().then_some(fields)
    }
}

impl<'t> Fields<'t> {
    /// Reads an item and gives what stands after it.
    fn take(&mut self, item: &Item, text: &'t str) -> Option<&'t str> {
        let rest = match item {
            Item::Text(literal) => text.strip_prefix(literal.as_str())?,
            Item::Space => {
                let rest = text.trim_start();
                (rest.len() < text.len()).then_some(rest)?
            }
            Item::Number(number) => {
                let (value, rest) = number.read(text)?;
                self.set(number.part, value)?;
                rest
            }
            Item::MonthName(length) => {
                let (month, rest) = name(text, &MONTHS, *length)?;
                self.month = month + 1;
                rest
            }
            Item::WeekdayName(length) => {
                let (weekday, rest) = name(text, &WEEKDAYS, *length)?;
                self.weekday = weekday_from_monday(weekday);
                rest
            }
            Item::Half => {
                let (half, rest) = text.split_at_checked(2)?;
                let is_afternoon = half.eq_ignore_ascii_case("PM");
                (is_afternoon || half.eq_ignore_ascii_case("AM")).then_some(())?;
                self.is_afternoon = Some(is_afternoon);
                rest
            }
            Item::Fraction(least, most) => self.take_fraction(text, *least, *most)?,
            Item::PointAndFraction => match text.strip_prefix('.') {
                Some(digits) => self.take_fraction(digits, 1, usize::MAX)?,
                None => text,
            },
            Item::Offset => {
                let (offset, rest) = leading_offset(text)?;
                self.offset = Some(offset);
                rest
            }
            Item::Zone => {
                let end = text.find(|c| !is_zone_character(c)).unwrap_or(text.len());
                self.zone = Some(&text[..end]);
                &text[end..]
            }
            Item::Epoch => {
                let (is_negative, digits) = match text.strip_prefix('-') {
                    Some(digits) => (true, digits),
                    None => (false, text),
                };
                let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                self.epoch = Some((digits[..end].parse().ok()?, is_negative));
                &digits[end..]
            }
        };
        Some(rest)
    }

    fn take_fraction(&mut self, text: &'t str, least: usize, most: usize) -> Option<&'t str> {
        let (micro, digits) = leading_fraction_digits(text, most);
        self.micro = micro;
        (digits >= least).then(|| &text[digits..])
    }

    /// Writes a number down, if there is such a one.
    fn set(&mut self, part: Part, value: u32) -> Option<()> {
        let is_valid = match part {
            Part::Year | Part::YearOfCentury => true,
            Part::Month => (1..=12).contains(&value),
            Part::Day => (1..=31).contains(&value),
            Part::DayOfYear => (1..=366).contains(&value),
            Part::Hour => value <= 24,
            Part::HourOfHalf => (1..=12).contains(&value),
            Part::Minute => value <= 59,
            Part::Second => value <= 60,
            Part::WeekdayFromMonday => (1..=7).contains(&value),
            Part::WeekdayFromSunday => value <= 6,
        };
        match part {
            Part::Year => self.year = i32::try_from(value).ok()?,
            Part::YearOfCentury => {
                self.year = i32::try_from(value).ok()? + if value >= 69 { 1900 } else { 2000 };
            }
            Part::Month => self.month = value,
            Part::Day => self.day = value,
            Part::DayOfYear => self.day_of_year = value,
            Part::Hour | Part::HourOfHalf => self.hour = value,
            Part::Minute => self.minute = value,
            Part::Second => self.second = value,
            Part::WeekdayFromMonday => self.weekday = weekday_from_monday(value.checked_sub(1)?),
            Part::WeekdayFromSunday => self.weekday = weekday_from_monday((value + 6) % 7),
        }
        is_valid.then_some(())
    }

    /// The day, if there is such a one.
    pub(in crate::contract::coerce) fn date(&self) -> Option<NaiveDate> {
        let date = match self.day_of_year {
            0 => NaiveDate::from_ymd_opt(self.year, self.month, self.day),
            day => NaiveDate::from_yo_opt(self.year, day),
        }?;
        let fits = self.weekday.is_none_or(|weekday| weekday == date.weekday());
        fits.then_some(date)
    }

    /// The date and time of day.
    pub(in crate::contract::coerce) fn local_time(&self) -> Option<NaiveDateTime> {
        clock(self.date()?, self.hour_of_day(), self.minute, self.second, self.micro)
    }

    fn hour_of_day(&self) -> u32 {
        match self.is_afternoon {
            None => self.hour,
            Some(is_afternoon) => self.hour % 12 + if is_afternoon { 12 } else { 0 },
        }
    }

    /// Microseconds since midnight, if the day has such a time.
    pub(in crate::contract::coerce) fn micros_of_day(&self) -> Option<i64> {
        let (hour, second) = (self.hour_of_day(), self.second);
        let seconds = i64::from(hour * 3600 + self.minute * 60 + second);
        (hour < 24 && second < 60).then(|| seconds * 1_000_000 + i64::from(self.micro))
    }

    /// Microseconds since the epoch, if the text says it in seconds.
    pub(in crate::contract::coerce) fn epoch_micros(&self) -> Option<Option<i64>> {
        let (seconds, is_negative) = self.epoch?;
        let micros = seconds.checked_mul(1_000_000);
        let micros = micros.and_then(|micros| micros.checked_add(i64::from(self.micro)));
        Some(micros.map(|micros| if is_negative { -micros } else { micros }))
    }
}

impl Number {
    fn read<'t>(&self, text: &'t str) -> Option<(u32, &'t str)> {
        let (digits, space) = match text.strip_prefix(' ') {
            Some(digits) if self.is_spaced => (digits, 1),
            _ => (text, 0),
        };
        let most = self.most - space;
        let count = digits.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < self.least.saturating_sub(space).max(1) {
            return None;
        }
        let (number, rest) = digits.split_at(count);
        Some((number.parse().ok()?, rest))
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The place of the name that a text begins with, and what stands after it.
fn name<'t>(text: &'t str, names: &[&str], length: NameLength) -> Option<(u32, &'t str)> {
    (0_u32..).zip(names).find_map(|(place, name)| {
        let name = match length {
            NameLength::Three => &name[..3],
            NameLength::Whole => name,
        };
        let (found, rest) = text.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then_some((place, rest))
    })
}

fn weekday_from_monday(days: u32) -> Option<Weekday> {
    Weekday::try_from(u8::try_from(days).ok()?).ok()
}
