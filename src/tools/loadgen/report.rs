//! What was measured: latencies, statuses, and what limited the rate.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::LoadSettings;
use crate::base::error::{Error, Result};

/// The longest latency that is told from longer ones, in microseconds.
const MICROS_MAX: u64 = 600_000_000;

/// What was seen, while it is seen.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Microseconds from when a request was due to its response.
    pub latency: Histogram<u64>,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were not answered: the connection broke.
    pub broken: u64,
    /// From when the first request was due to the last response.
    pub elapsed: Duration,
    /// Requests that were sent late, though a connection was free.
    pub sent_late: u64,
    /// Requests that were sent late, as all connections were busy.
    pub waited_for_connection: u64,
    /// From when requests were sent to their responses, all together.
    pub response_time: Duration,
}

/// What kept requests from being answered at their rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// There were too few connections: give more.
    Connections,
    /// Whoever made the traffic was too slow: give threads, or another machine.
    Generator,
    /// The collector.
    Collector,
}

/// What was seen, as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// Requests a second that were due.
    pub rate: f64,
    /// Requests a second that were answered with 2xx.
    pub answered_rate: f64,
    /// Requests that were due.
    pub requests: u64,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were not answered: the connection broke.
    pub broken: u64,
    /// Connections over which they went.
    pub connections: usize,
    /// Requests that were sent late, though a connection was free: the generator was too slow.
    pub sent_late: u64,
    /// Requests that were sent late, as all connections were busy.
    pub waited_for_connection: u64,
    /// What kept requests from being answered at their rate, if anything did.
    pub limited_by: Option<Bottleneck>,
    /// What all was drawn from.
    pub seed: u64,
    /// Milliseconds from when a request was due to its response, by percentile.
    pub latency_ms: BTreeMap<&'static str, f64>,
}

/// The share of requests from which on something is said to limit them.
const TELLING: f64 = 0.01;
/// The share of its threads' time from which on a generator has none left.
const CPU_SHARE_MAX: f64 = 0.9;
/// Responses that take longer, on the average, are the collector's fault.
const SLOW_ANSWER: Duration = Duration::from_millis(250);

/// Percentiles that are printed.
const PERCENTILES: [(&str, f64); 6] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
    ("max", 100.0),
];

impl Measured {
    /// Nothing yet.
    ///
    /// # Errors
    /// None that could happen: the bounds are fixed.
    pub fn new() -> Result<Self> {
        let latency = Histogram::new_with_max(MICROS_MAX, 3)
            .map_err(|error| Error::Bug(format!("making a histogram: {error}")))?;
        Ok(Measured {
            latency,
            statuses: BTreeMap::new(),
            broken: 0,
            elapsed: Duration::ZERO,
            sent_late: 0,
            waited_for_connection: 0,
            response_time: Duration::ZERO,
        })
    }

    /// Notes a response.
    pub fn answered(&mut self, status: u16, latency: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MICROS_MAX);
        self.latency.saturating_record(micros);
    }

    fn requests(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.broken
    }

    fn answered_rate(&self) -> f64 {
        let good: u64 = self.statuses.range(200..300).map(|(_, count)| count).sum();
        good as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }

    /// What kept requests from being answered at their rate; `cpu_share` is what the generator used
    /// of its threads' time.
    fn limit(&self, rate: f64, cpu_share: f64) -> Option<Bottleneck> {
        let requests = self.requests().max(1);
        let tells = |count: u64| count as f64 / requests as f64 >= TELLING;
        let (late, waited) = (tells(self.sent_late), tells(self.waited_for_connection));
        if !late && !waited {
            return (self.answered_rate() < rate * (1.0 - TELLING))
                .then_some(Bottleneck::Collector);
        }
        if cpu_share >= CPU_SHARE_MAX || self.sent_late > self.waited_for_connection {
            return Some(Bottleneck::Generator);
        }
        let mean = self.response_time.as_secs_f64() / requests as f64;
        let is_slow = mean >= SLOW_ANSWER.as_secs_f64();
        Some(if is_slow { Bottleneck::Collector } else { Bottleneck::Connections })
    }

    /// What is printed of it.
    pub fn report(&self, settings: &LoadSettings, connections: usize, cpu: f64) -> LoadReport {
        let of = |(name, percentile): (&'static str, f64)| {
            (name, self.latency.value_at_percentile(percentile) as f64 / 1000.0)
        };
        LoadReport {
            rate: settings.rate,
            answered_rate: self.answered_rate(),
            requests: self.requests(),
            statuses: self.statuses.clone(),
            broken: self.broken,
            connections,
            sent_late: self.sent_late,
            waited_for_connection: self.waited_for_connection,
            limited_by: self.limit(settings.rate, cpu),
            seed: settings.seed,
            latency_ms: PERCENTILES.into_iter().map(of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_limited_the_requests() {
        let measured = |good: u64, late: u64, waited: u64, mean_ms: u64| {
            let mut measured = Measured::new().unwrap();
            measured.statuses.insert(204, good);
            measured.elapsed = Duration::from_secs(1);
            (measured.sent_late, measured.waited_for_connection) = (late, waited);
            measured.response_time = Duration::from_millis(mean_ms * good);
            measured
        };
        let cases = [
            (measured(1000, 0, 0, 5), 0.5, None),
            (measured(999, 9, 9, 5), 0.5, None),
            (measured(500, 0, 0, 5), 0.5, Some(Bottleneck::Collector)),
            (measured(500, 0, 400, 5), 0.5, Some(Bottleneck::Connections)),
            (measured(1000, 0, 400, 5), 0.5, Some(Bottleneck::Connections)),
            (measured(500, 0, 400, 2000), 0.5, Some(Bottleneck::Collector)),
            (measured(500, 300, 100, 5), 0.5, Some(Bottleneck::Generator)),
            (measured(500, 0, 400, 5), 0.95, Some(Bottleneck::Generator)),
        ];
        for (number, (measured, cpu, expected)) in cases.into_iter().enumerate() {
            assert_eq!(measured.limit(1000.0, cpu), expected, "case {number}");
        }
    }
}
