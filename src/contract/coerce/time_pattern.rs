//! Patterns as SQL functions take them: with the same meaning as in a contract.

use std::fmt;

use chrono_tz::Tz;

use super::pattern::{Pattern, PatternFault, Wanted, written};
use super::time::{by_pattern, days};

const DAY_MICROS: i64 = 86_400_000_000;

/// A pattern of dates or of instants; a text that names no zone is in UTC.
#[derive(Debug, Clone)]
pub struct TimePattern {
    pattern: Pattern,
    is_date: bool,
}

impl TimePattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn new(text: &str) -> Result<Self, PatternFault> {
        let checked = Pattern::new(text).and_then(|pattern| {
            let is_date = !pattern.names_time();
            pattern.check(if is_date { Wanted::Date } else { Wanted::Timestamp })?;
            Ok(TimePattern { pattern, is_date })
        });
        checked.map_err(|fault| of_pattern(text, fault))
    }

    /// Microseconds since the epoch; of a date those of its midnight. None if the text is not of
    /// the pattern.
    pub fn read(&self, text: &str) -> Option<i64> {
        if self.is_date {
            let days = days(self.pattern.read(text)?.date()?)?;
            return Some(i64::from(days) * DAY_MICROS);
        }
        by_pattern(text, &self.pattern, Some(Tz::UTC))
    }
}

/// A pattern of times of day.
#[derive(Debug, Clone)]
pub struct TimeOfDayPattern(Pattern);

impl TimeOfDayPattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn new(text: &str) -> Result<Self, PatternFault> {
        let checked = Pattern::new(text).and_then(|pattern| {
            pattern.check_time_of_day()?;
            Ok(TimeOfDayPattern(pattern))
        });
        checked.map_err(|fault| of_pattern(text, fault))
    }

    /// Microseconds since midnight; none if the text is not of the pattern.
    pub fn read(&self, text: &str) -> Option<i64> {
        self.0.read(text)?.micros_of_day()
    }
}

/// The pattern by which chrono writes what this one means.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn pattern_to_write(text: &str) -> Result<String, PatternFault> {
    written(text).map_err(|fault| of_pattern(text, fault))
}

fn of_pattern(text: &str, fault: PatternFault) -> PatternFault {
    PatternFault { message: format!("pattern `{text}` {}", fault.message), ..fault }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

#[cfg(test)]
#[path = "time_pattern_tests.rs"]
mod tests;
