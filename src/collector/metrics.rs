//! What is counted, for Prometheus.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::process::ProcessMetrics;
use super::spool::{Backlog, KnownEvents, Landed};
use super::visits::{MigratingVisitStore, Phase};
use crate::base::telemetry::dropped_log_lines;
use crate::store::{Operation, StoreMeter};

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
    process: ProcessMetrics,
    /// Of the store in which events land.
    store: StoreMeter,
    /// Visit stores that were put aside as damaged.
    pub visit_damage: Arc<AtomicU64>,
    requests: Family<StatusLabel, Counter>,
    request_seconds: Histogram,
    batch_requests: Histogram,
    batch_seconds: Histogram,
    visit_seconds: Histogram,
    spool_seconds: Histogram,
    batches_refused: Counter,
    events: Counter,
    events_known: Counter,
    events_id_reused: Counter,
    events_refused: Counter,
    item_via_left_out: Counter,
    connections: Gauge,
    connections_refused: Counter,
    connections_cut: Counter,
    heads_refused: Counter,
    log_lines_dropped: Counter,
    landed_objects: Counter,
    landed_bytes: Counter,
    landing_failures: Counter,
    landing_retries: Counter,
    landing_conflicts: Counter,
    segments_damaged: Counter,
    visit_stores_damaged: Counter,
    backlog_bytes: Gauge<u64, AtomicU64>,
    backlog_segments: Gauge,
    backlog_oldest_age: Gauge<f64, AtomicU64>,
    migration: [Counter; 4],
    phase: Family<PhaseLabel, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Nothing yet; events land in the store that is metered.
    pub fn new(store: StoreMeter) -> Self {
        let seconds = || Histogram::new(SECONDS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("ashiato_collector"),
            process: ProcessMetrics::default(),
            store,
            visit_damage: Arc::default(),
            requests: Family::default(),
            request_seconds: seconds(),
            batch_requests: Histogram::new([1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0]),
            batch_seconds: seconds(),
            visit_seconds: seconds(),
            spool_seconds: seconds(),
            batches_refused: Counter::default(),
            events: Counter::default(),
            events_known: Counter::default(),
            events_id_reused: Counter::default(),
            events_refused: Counter::default(),
            item_via_left_out: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            connections_cut: Counter::default(),
            heads_refused: Counter::default(),
            log_lines_dropped: Counter::default(),
            landed_objects: Counter::default(),
            landed_bytes: Counter::default(),
            landing_failures: Counter::default(),
            landing_retries: Counter::default(),
            landing_conflicts: Counter::default(),
            segments_damaged: Counter::default(),
            visit_stores_damaged: Counter::default(),
            backlog_bytes: Gauge::default(),
            backlog_segments: Gauge::default(),
            backlog_oldest_age: Gauge::default(),
            migration: Default::default(),
            phase: Family::default(),
        };
        metrics.register_requests();
        metrics.register_stores();
        metrics
    }

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
        let help = "Events not taken, as another one of their sender had their id";
        registry.register("events_id_reused", help, self.events_id_reused.clone());
        let help = "Events refused for good; a body that cannot be read counts as one";
        registry.register("events_refused", help, self.events_refused.clone());
        let help = "Items whose via had no room in their event's line";
        registry.register("item_via_left_out", help, self.item_via_left_out.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        let help = "Connections closed at once, as there were too many";
        registry.register("connections_refused", help, self.connections_refused.clone());
        let help = "Connections closed as unfinished heads or empty frames of HTTP/2 took too much";
        registry.register("connections_cut", help, self.connections_cut.clone());
        let help = "Connections closed as a head was no HTTP, too large or not whole";
        registry.register("heads_refused", help, self.heads_refused.clone());
        let help = "Log lines dropped as nobody read them";
        registry.register("log_lines_dropped", help, self.log_lines_dropped.clone());
    }

    fn register_stores(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register("landed_objects", "Objects that landed", self.landed_objects.clone());
        let help = "Their bytes, compressed";
        registry.register("landed_bytes", help, self.landed_bytes.clone());
        let help = "Tries to land that failed";
        registry.register("landing_failures", help, self.landing_failures.clone());
        let help = "Requests to the object store that failed and were sent again";
        registry.register("landing_retries", help, self.landing_retries.clone());
        let help = "Objects of a name that a segment was to have";
        registry.register("landing_conflicts", help, self.landing_conflicts.clone());
        let help = "Segments found damaged, cut short or removed by somebody";
        registry.register("segments_damaged", help, self.segments_damaged.clone());
        let help = "Visit stores found damaged and put aside";
        registry.register("visit_stores_damaged", help, self.visit_stores_damaged.clone());
        let help = "Bytes in the spool that the object store does not have";
        registry.register("backlog_bytes", help, self.backlog_bytes.clone());
        let help = "Segments that wait to land";
        registry.register("backlog_segments", help, self.backlog_segments.clone());
        let (help, unit) = ("Age of the oldest segment that waits to land", Unit::Seconds);
        let gauge = self.backlog_oldest_age.clone();
        registry.register_with_unit("backlog_oldest_age", help, unit, gauge);
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
    pub fn spool(&self, took: Duration, taken: usize, known: KnownEvents) {
        self.spool_seconds.observe(took.as_secs_f64());
        self.events.inc_by(taken as u64);
        self.events_known.inc_by(known.repeated as u64);
        self.events_id_reused.inc_by(known.reused as u64);
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

    /// A connection was closed, as unfinished heads took too much.
    pub fn connection_cut(&self) {
        self.connections_cut.inc();
    }

    /// A connection is closed as its next head is none.
    pub fn head_refused(&self) {
        self.heads_refused.inc();
    }

    /// An object landed; none if that failed.
    pub fn landed(&self, landed: Option<&Landed>) {
        match landed {
            Some(landed) => {
                self.landed_objects.inc();
                self.landed_bytes.inc_by(landed.bytes);
                self.landing_conflicts.inc_by(landed.conflicts.into());
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = |began_ms: i64| (now.as_secs_f64() - began_ms as f64 / 1000.0).max(0.0);
        self.backlog_oldest_age.set(backlog.oldest_ms().map_or(0.0, age));
        let counted = [
            (&self.segments_damaged, backlog.damaged()),
            (&self.visit_stores_damaged, self.visit_damage.load(Relaxed)),
            (&self.landing_retries, self.store.of(Operation::Put).retries),
            (&self.log_lines_dropped, dropped_log_lines()),
        ];
        for (counter, value) in counted {
            counter.inner().store(value, Relaxed);
        }
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
        let end = text.rfind("# EOF").unwrap_or(text.len());
        let end = text.split_off(end);
        self.process.write(&mut text);
        text + &end
    }
}

/// OpenMetrics as Prometheus's older text format has it: a counter's name has its ending in what is
/// said of it too, and there are no units and no end.
pub(super) fn to_prometheus_text(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, said] => help = Some((name, said)),
            ["#", "TYPE", name, kind] => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, said)) = help.take().filter(|(told, _)| *told == name) {
                    // Writing to memory does not fail.
                    let _ = writeln!(text, "# HELP {name}{suffix} {said}");
                }
                let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
            }
            ["#", ..] => {}
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The rules of `promtool check metrics`, as far as names, types and help go.
    #[test]
    fn metrics_are_as_prometheus_wants_them() {
        let metrics = Metrics::new(StoreMeter::default());
        metrics.request(204, Duration::from_millis(1));
        let openmetrics = metrics.text(&Backlog::default(), None);
        assert!(openmetrics.ends_with("# EOF\n"), "{openmetrics}");
        let text = to_prometheus_text(&openmetrics);
        let (mut kinds, mut helps) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, said] => assert!(helps.insert(name, said).is_none(), "{name}"),
                ["#", "TYPE", name, kind] => assert!(kinds.insert(name, kind).is_none(), "{name}"),
                _ => {
                    let name = line.split(['{', ' ']).next().unwrap();
                    let parts = ["_bucket", "_sum", "_count"];
                    let family = parts.iter().find_map(|part| name.strip_suffix(part));
                    let family = family.filter(|name| kinds.get(name) == Some(&"histogram"));
                    assert!(kinds.contains_key(family.unwrap_or(name)), "{line}");
                    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
        assert_eq!(kinds.keys().collect::<Vec<_>>(), helps.keys().collect::<Vec<_>>());
        for (name, kind) in kinds {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            for unit in ["_ms", "_millis", "_minutes", "_kb", "_mib", "_percent"] {
                assert!(!name.contains(unit), "{name}");
            }
            for word in ["counter", "gauge", "histogram"] {
                assert!(!name.contains(word), "{name}");
            }
        }
        for expected in ["process_open_fds", "process_cpu_seconds_total"] {
            assert!(helps.contains_key(expected), "{expected}");
        }
    }
}
