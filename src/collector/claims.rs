//! What an event claims that every table needs: its time, its service and its name.
//!
//! ```text
//! "time":"2031-01-01T00:00:00Z"   "time":"<arrival>","client_time":"2031-…" beside the body
//! "service":"x7f3a…"              "service":"other"
//! "event":5                       "event":"other"
//! ```
//!
//! Tables are partitioned by day and service, and clients may claim any: some thousand events would
//! make as many partitions. So a time far from the arrival counts as the arrival's, and services
//! are those that are configured, or as many as may be an hour. An event without a service or a
//! name has those of all others: what is acknowledged is to get into the table. The body stays as
//! it is.

use std::collections::HashMap;
use std::ops::Range;

use chrono::{DateTime, Timelike};

use super::config::CollectorLimits;
use super::members::string_of;

/// Bytes of a time that are kept beside the arrival's.
const TIME_BYTES_MAX: usize = 64;
/// Bytes of a service's name.
const SERVICE_BYTES_MAX: usize = 64;
const HOUR_MS: i64 = 3_600_000;
/// The service of events that claim none that may be, and the name of those without one.
pub(super) const OTHER: &str = "other";

/// What an event claims, as places in the text in which it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Its time.
    time: Option<Range<usize>>,
    /// That time, if it can be read, in milliseconds since 1970.
    time_ms: Option<i64>,
    /// Its service.
    service: Option<Range<usize>>,
    /// Whether it has a name.
    is_named: bool,
}

impl Claims {
    /// Notes the time, whose value stands at a place of `bytes`; null is none.
    pub(super) fn set_time(&mut self, bytes: &[u8], place: Range<usize>) {
        let value = &bytes[place.clone()];
        self.time_ms = time_of(value);
        self.time = Some(place).filter(|_| value != b"null");
    }

    /// Notes the service in the same way.
    pub(super) fn set_service(&mut self, bytes: &[u8], place: Range<usize>) {
        let is_null = &bytes[place.clone()] == b"null";
        self.service = Some(place).filter(|_| !is_null);
    }

    /// Notes the event's name: a text that is not empty, however it is written.
    pub(super) fn set_event(&mut self, value: &[u8]) {
        self.is_named = value.first() == Some(&b'"') && value.len() > 2;
    }
}

/// A text by RFC 3339, or milliseconds since 1970 as a number or a text: what contracts read as one
/// of these, and no more of it.
fn time_of(value: &[u8]) -> Option<i64> {
    if value.first() != Some(&b'"') {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    let text = string_of(value).filter(|text| text.is_ascii())?;
    match DateTime::parse_from_rfc3339(&text) {
        // A leap second has no place among the others.
        Ok(time) if time.nanosecond() < 1_000_000_000 => Some(time.timestamp_millis()),
        Ok(_) => None,
        // As JSON writes a number.
        Err(_) if text.starts_with(['+', '0']) || text.starts_with("-0") => None,
        Err(_) => text.parse().ok(),
    }
}

/// What events may claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClaimBounds {
    behind_ms: i64,
    ahead_ms: i64,
    services: Vec<String>,
    services_max: usize,
}

impl ClaimBounds {
    pub fn of(limits: &CollectorLimits) -> Self {
        let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        ClaimBounds {
            behind_ms: ms(limits.client_clock_behind_max),
            ahead_ms: ms(limits.client_clock_ahead_max),
            services: limits.services.clone(),
            services_max: limits.services_max,
        }
    }
}

/// What stands beside an event, as what it claims does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Replaced<'a> {
    /// The client's own time, as JSON, where the arrival's counts.
    pub time: Option<&'a str>,
    /// The service that counts.
    pub service: Option<&'static str>,
    /// The event's name that counts.
    pub event: Option<&'static str>,
}

/// Services that were named this hour, and how often.
#[derive(Debug, Default)]
pub(super) struct Services {
    hour: i64,
    counts: HashMap<String, u64>,
}

impl Services {
    /// What does not count of what an event claims that arrived at `now_ms`.
    pub fn check<'a>(
        &mut self,
        claims: &Claims,
        text: &'a str,
        now_ms: i64,
        bounds: &ClaimBounds,
    ) -> Replaced<'a> {
        let is_in_time = claims.time_ms.is_some_and(|time_ms| {
            let behind_ms = now_ms.saturating_sub(time_ms);
            behind_ms <= bounds.behind_ms && behind_ms.saturating_neg() <= bounds.ahead_ms
        });
        let raw = |place: &Range<usize>| &text[place.clone()];
        let time = claims.time.as_ref().filter(|_| !is_in_time).map(raw);
        let time = time.map(|time| if time.len() <= TIME_BYTES_MAX { time } else { "null" });
        let service = claims.service.as_ref().map(raw);
        let is_known = service.is_some_and(|service| self.knows(service, now_ms, bounds));
        let other = |is_fine: bool| (!is_fine).then_some(OTHER);
        Replaced { time, service: other(is_known), event: other(claims.is_named) }
    }

    /// Whether a service, as JSON, is one that may be.
    fn knows(&mut self, service: &str, now_ms: i64, bounds: &ClaimBounds) -> bool {
        let name = string_of(service.as_bytes()).filter(|name| is_name(name));
        let Some(name) = name else { return false };
        if !bounds.services.is_empty() {
            return bounds.services.iter().any(|one| *one == name);
        }
        let hour = now_ms.div_euclid(HOUR_MS);
        if hour != self.hour {
            self.begin(hour, bounds.services_max);
        }
        if let Some(count) = self.counts.get_mut(&*name) {
            *count += 1;
            return true;
        }
        let has_room = self.counts.len() < bounds.services_max;
        if has_room {
            self.counts.insert(name.into_owned(), 1);
        }
        has_room
    }

    /// Begins another hour: those that were named most have their places from the start, so that
    /// names that somebody makes up keep none of them out.
    fn begin(&mut self, hour: i64, max: usize) {
        self.hour = hour;
        let mut counts: Vec<_> = self.counts.drain().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.truncate(max.div_ceil(2));
        let used = counts.into_iter().filter(|(_, count)| *count > 0);
        self.counts.extend(used.map(|(name, _)| (name, 0)));
    }
}

/// Whether a text is good for a service's name, and for a folder's: short, without what paths or
/// terminals take for something else, and not what stands for NULL there.
fn is_name(text: &str) -> bool {
    let is_forbidden = |c: char| c == '\\' || c == '/' || c.is_control();
    !text.is_empty()
        && text != "__HIVE_DEFAULT_PARTITION__"
        && text.len() <= SERVICE_BYTES_MAX
        && !text.contains(is_forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T04:05:00Z.
    const NOW_MS: i64 = 1_795_233_900_000;

    fn claims(time: &str, service: &str) -> (Claims, String) {
        let text = format!("{time}{service}");
        let mut claims = Claims::default();
        claims.set_time(text.as_bytes(), 0..time.len());
        claims.set_service(text.as_bytes(), time.len()..text.len());
        (claims, text)
    }

    fn check(
        services: &mut Services,
        limits: &CollectorLimits,
        time: &str,
        service: &str,
    ) -> (bool, bool) {
        let (claims, text) = claims(time, service);
        let bounds = ClaimBounds::of(limits);
        let replaced = services.check(&claims, &text, NOW_MS, &bounds);
        if let Some(kept) = replaced.time {
            assert!(kept == time || kept == "null", "{kept}");
        }
        (replaced.time.is_some(), replaced.service.is_some())
    }

    #[test]
    fn a_time_counts_if_it_can_be_read_and_is_near_the_arrival() {
        let mut services = Services::default();
        let mut is_replaced =
            |time: &str| check(&mut services, &CollectorLimits::default(), time, "\"books\"").0;
        for near in [
            "\"2026-11-21T13:05:00.123+09:00\"",
            "\"2026-11-21 05:04:59Z\"",
            "\"2026-11-14T04:05:00Z\"",
            "1795233900123",
            "\"1795233900123\"",
            "\"2026-11-21t04:04:59.5z\"",
            "null",
        ] {
            assert!(!is_replaced(near), "{near}");
        }
        for far in [
            "\"2026-11-21T05:05:01Z\"",
            "\"2026-11-14T04:04:59Z\"",
            "\"9999-12-31T23:59:59Z\"",
            "\"0001-01-01T00:00:00Z\"",
            "1795233900",
            "-9223372036854775808",
            "9223372036854775807",
            "1e300",
            "\"yesterday\"",
            "\"2026-11-21T04:04:60Z\"",
            "\"2026-11-21T04:05:00\u{2212}00:00\"",
            "\"+1795233900123\"",
            "\"01795233900123\"",
            "\"\"",
            "{\"a\":1}",
            "true",
        ] {
            assert!(is_replaced(far), "{far}");
        }
        let long = format!("\"{}\"", "x".repeat(100));
        let (claims, text) = claims(&long, "null");
        let bounds = ClaimBounds::of(&CollectorLimits::default());
        let replaced = Services::default().check(&claims, &text, NOW_MS, &bounds);
        assert_eq!(replaced.time, Some("null"));
    }

    #[test]
    fn services_are_those_that_are_configured() {
        let services = vec!["books".to_owned()];
        let limits = CollectorLimits { services, ..CollectorLimits::default() };
        let mut seen = Services::default();
        let mut is_other = |service: &str| check(&mut seen, &limits, "null", service).1;
        assert!(!is_other("\"books\"") && is_other("null"));
        assert!(is_other("\"food\"") && is_other("17") && is_other("\"\""));
        let any = CollectorLimits::default();
        assert!(check(&mut seen, &any, "null", "\"__HIVE_DEFAULT_PARTITION__\"").1);
    }

    #[test]
    fn an_event_without_a_name_has_that_of_all_others() {
        let is_other = |name: &str| {
            let mut claims = Claims::default();
            claims.set_event(name.as_bytes());
            let bounds = ClaimBounds::of(&CollectorLimits::default());
            Services::default().check(&claims, "", NOW_MS, &bounds).event.is_some()
        };
        for name in ["5", "null", "\"\"", "{}", "[\"a\"]", "true"] {
            assert!(is_other(name), "{name}");
        }
        assert!(!is_other("\"click\"") && !is_other("\"page\\u005fview\""));
    }

    #[test]
    fn without_that_they_are_bounded_in_number_and_invented_ones_keep_none_out_for_long() {
        let limits = CollectorLimits { services_max: 10, ..CollectorLimits::default() };
        let bounds = ClaimBounds::of(&limits);
        let mut services = Services::default();
        let mut other = |hour: i64, name: &str| {
            let (claims, text) = claims("null", &format!("\"{name}\""));
            let now_ms = NOW_MS + hour * HOUR_MS;
            services.check(&claims, &text, now_ms, &bounds).service.is_some()
        };
        for long in ["x".repeat(65), "a/b".to_owned(), "a\\u0000".to_owned()] {
            assert!(other(0, &long), "{long}");
        }
        // Whoever comes first fills the places.
        assert_eq!((0..1000).filter(|n| !other(0, &format!("evil-{n}"))).count(), 10);
        assert!(other(0, "books"));
        // In the next hour there is room again, and who has many events keeps it.
        assert!(!other(1, "books"));
        assert!((0..5).all(|_| !other(1, "books")));
        for hour in 1..5 {
            let named = (0..1000).filter(|n| !other(hour, &format!("evil-{hour}-{n}"))).count();
            assert!(named <= 9, "{named}");
            assert!(!other(hour, "books") && !other(hour, "books"));
        }
    }
}
