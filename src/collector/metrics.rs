//! What is counted, for Prometheus.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::spool::Backlog;
use crate::visits::{MigratingVisitStore, Phase};

/// Upper bounds of the histograms of times, in seconds.
const SECONDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

/// A phase of a move.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

/// What is counted; cheap to raise from any thread.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<StatusLabel, Counter>,
    request_seconds: Histogram,
    batch_requests: Histogram,
    batch_seconds: Histogram,
    visit_seconds: Histogram,
    spool_seconds: Histogram,
    batches_refused: Counter,
    events: Counter,
    events_known: Counter,
    events_refused: Counter,
    item_via_left_out: Counter,
    connections: Gauge,
    connections_refused: Counter,
    landed_objects: Counter,
    landed_bytes: Counter,
    landing_failures: Counter,
    backlog_bytes: Gauge<u64, AtomicU64>,
    backlog_segments: Gauge,
    migration: [Counter; 4],
    phase: Family<PhaseLabel, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("ashiato_collector"),
            requests: Family::default(),
            request_seconds: seconds(),
            batch_requests: Histogram::new([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0]),
            batch_seconds: seconds(),
            visit_seconds: seconds(),
            spool_seconds: seconds(),
            batches_refused: Counter::default(),
            events: Counter::default(),
            events_known: Counter::default(),
            events_refused: Counter::default(),
            item_via_left_out: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            landed_objects: Counter::default(),
            landed_bytes: Counter::default(),
            landing_failures: Counter::default(),
            backlog_bytes: Gauge::default(),
            backlog_segments: Gauge::default(),
            migration: Default::default(),
            phase: Family::default(),
        };
        metrics.register_requests();
        metrics.register_stores();
        metrics
    }
}

impl Metrics {
    fn register_requests(&mut self) {
        let Metrics { registry, .. } = self;
        let unit = || Unit::Seconds;
        registry.register("requests", "Requests answered, by status", self.requests.clone());
        let help = "From a request's head to its answer";
        registry.register_with_unit("request", help, unit(), self.request_seconds.clone());
        let help = "Requests taken together";
        registry.register("batch_requests", help, self.batch_requests.clone());
        let help = "Time to take a batch, until it is durable";
        registry.register_with_unit("batch", help, unit(), self.batch_seconds.clone());
        let help = "Of that, in the visit store";
        registry.register_with_unit("batch_visits", help, unit(), self.visit_seconds.clone());
        let help = "Of that, in the spool";
        registry.register_with_unit("batch_spool", help, unit(), self.spool_seconds.clone());
        let help = "Batches that did not become durable";
        registry.register("batches_refused", help, self.batches_refused.clone());
        registry.register("events", "Events that are durable", self.events.clone());
        let help = "Events that came again and were not taken twice";
        registry.register("events_known", help, self.events_known.clone());
        let help = "Events that were no JSON objects, or too large or deep";
        registry.register("events_refused", help, self.events_refused.clone());
        let help = "Items whose via had no room in their event's line";
        registry.register("item_via_left_out", help, self.item_via_left_out.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        let help = "Connections closed at once, as there were too many";
        registry.register("connections_refused", help, self.connections_refused.clone());
    }

    fn register_stores(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register("landed_objects", "Objects that landed", self.landed_objects.clone());
        let help = "Their bytes, compressed";
        registry.register("landed_bytes", help, self.landed_bytes.clone());
        let help = "Tries to land that failed";
        registry.register("landing_failures", help, self.landing_failures.clone());
        let help = "Bytes in the spool that the object store does not have";
        registry.register("backlog_bytes", help, self.backlog_bytes.clone());
        let help = "Segments that wait to land";
        registry.register("backlog_segments", help, self.backlog_segments.clone());
        let names = [
            ("visits_compared", "Records read in both visit stores while they move"),
            ("visits_differing", "Of those, records that were not the same"),
            ("visits_copied", "Records that the new visit store lacked and was given"),
            ("visits_new_missed", "Batches that the new visit store missed"),
        ];
        for ((name, help), counter) in names.into_iter().zip(&self.migration) {
            registry.register(name, help, counter.clone());
        }
        let help = "1 for the phase that a move of visits is in";
        registry.register("visits_phase", help, self.phase.clone());
    }

    /// A request was answered.
    pub fn request(&self, status: u16, took: Duration) {
        self.requests.get_or_create(&StatusLabel { status }).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// A batch of requests was taken, or refused.
    pub fn batch(&self, requests: usize, took: Duration, is_durable: bool) {
        self.batch_requests.observe(requests as f64);
        self.batch_seconds.observe(took.as_secs_f64());
        self.batches_refused.inc_by(u64::from(!is_durable));
    }

    /// A batch was given its visits.
    pub fn visits(&self, took: Duration) {
        self.visit_seconds.observe(took.as_secs_f64());
    }

    /// A batch's events were written, but for those that are known.
    pub fn spool(&self, took: Duration, taken: usize, known: usize) {
        self.spool_seconds.observe(took.as_secs_f64());
        self.events.inc_by(taken as u64);
        self.events_known.inc_by(known as u64);
    }

    /// Events were refused.
    pub fn refused(&self, events: usize) {
        self.events_refused.inc_by(events as u64);
    }

    /// Items whose `via` was left out of a line.
    pub fn item_via_left_out(&self, items: usize) {
        if items > 0 {
            self.item_via_left_out.inc_by(items as u64);
        }
    }

    /// A connection was opened (1) or closed (-1).
    pub fn connection(&self, change: i64) {
        self.connections.inc_by(change);
    }

    /// A connection was closed at once.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// An object landed; none if that failed.
    pub fn landed(&self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => {
                self.landed_objects.inc();
                self.landed_bytes.inc_by(bytes);
            }
            None => {
                self.landing_failures.inc();
            }
        }
    }

    /// All of it, in the text format of Prometheus (OpenMetrics).
    pub fn text(&self, backlog: &Backlog, migration: Option<&MigratingVisitStore>) -> String {
        self.backlog_bytes.set(backlog.bytes());
        self.backlog_segments.set(i64::try_from(backlog.segments()).unwrap_or(i64::MAX));
        if let Some(migration) = migration {
            let counts = migration.counts();
            let values = [counts.compared, counts.differing, counts.copied, counts.new_missed];
            for (counter, value) in self.migration.iter().zip(values) {
                counter.inner().store(value, Relaxed);
            }
            for phase in Phase::ALL {
                let gauge = self.phase.get_or_create(&PhaseLabel { phase: phase.name() });
                gauge.set(i64::from(phase == migration.phase()));
            }
        }
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
