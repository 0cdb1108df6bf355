//! How requests were answered.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::LoadSettings;
use crate::error::{Error, Result};

/// The longest latency that is told from longer ones, in microseconds.
const MICROS_MAX: u64 = 600_000_000;

/// What was seen, while it is seen.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Microseconds from when a request was due to its answer.
    pub latency: Histogram<u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were not answered: the connection broke.
    pub broken: u64,
    /// From when the first request was due to the last answer.
    pub elapsed: Duration,
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
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were not answered: the connection broke.
    pub broken: u64,
    /// Milliseconds from when a request was due to its answer, by percentile.
    pub latency_ms: BTreeMap<&'static str, f64>,
}

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
        Ok(Measured { latency, statuses: BTreeMap::new(), broken: 0, elapsed: Duration::ZERO })
    }

    /// Notes an answer.
    pub fn answered(&mut self, status: u16, latency: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MICROS_MAX);
        self.latency.saturating_record(micros);
    }

    /// What is printed of it.
    pub fn report(&self, settings: &LoadSettings) -> LoadReport {
        let good: u64 = self.statuses.range(200..300).map(|(_, count)| count).sum();
        let of = |(name, percentile): (&'static str, f64)| {
            (name, self.latency.value_at_percentile(percentile) as f64 / 1000.0)
        };
        LoadReport {
            rate: settings.rate,
            answered_rate: good as f64 / self.elapsed.as_secs_f64().max(1e-3),
            requests: self.statuses.values().sum::<u64>() + self.broken,
            statuses: self.statuses.clone(),
            broken: self.broken,
            latency_ms: PERCENTILES.into_iter().map(of).collect(),
        }
    }
}
