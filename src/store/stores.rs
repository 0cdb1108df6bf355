//! What all stores of a run share, and the order in which their behaviours are stacked.
//!
//! ```text
//! caller ─► retry ─► limit ─► meter ─► cloud client ─► transient ─► HTTP
//! caller ────────────────────► meter ─► local files
//! ```
//!
//! - `retry` stands outermost: between two tries it holds no permit among the requests in flight.
//! - `limit` gives each try a permit, and each byte its time.
//! - `meter` stands innermost and counts what really goes over the line: every try, and bytes
//!   twice that were sent twice.
//! - `transient`, below the client, lets `retry` see statuses and headers. The client's own retries
//!   are switched off.
//!
//! Local files are only metered: they are read and written once, without bounds.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::layer::Layer;
use super::limit::{LimitedStore, Limits, REQUESTS_MAX_LEAST};
use super::meter::{MeteredStore, StoreMeter};
use super::retry::{Retries, RetryPolicy, RetryStore};
use crate::base::clock::Clock;
use crate::base::config::parse_byte_size;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};

const RETRY_SECONDS: &str = "ASHIATO_RETRY_SECONDS";
const REQUESTS_MAX: &str = "ASHIATO_REQUESTS_MAX";
const BANDWIDTH_MAX: &str = "ASHIATO_BANDWIDTH_MAX";

/// How stores behave, from the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StoreSettings {
    /// How long a request is tried.
    retry_time: Duration,
    /// Requests in flight, over all stores.
    requests_max: usize,
    /// Bytes per second that are read, and bytes per second that are written, over all stores.
    bandwidth_max: Option<NonZeroU64>,
}

impl StoreSettings {
    fn of(environment: &Environment) -> Result<Self> {
        let retry_seconds = read(environment, RETRY_SECONDS, "seconds", |text| text.parse().ok())?;
        let requests_max = read(
            environment,
            REQUESTS_MAX,
            &format!("a number of requests from {REQUESTS_MAX_LEAST} on"),
            |text| text.parse().ok().filter(|max| *max >= REQUESTS_MAX_LEAST),
        )?;
        let bandwidth_max = read(
            environment,
            BANDWIDTH_MAX,
            "bytes per second such as `100MiB`, more than none",
            |text| parse_byte_size(text).ok().and_then(NonZeroU64::new),
        )?;
        Ok(StoreSettings {
            retry_time: Duration::from_secs(retry_seconds.unwrap_or(60)),
            requests_max: requests_max.unwrap_or(64),
            bandwidth_max,
        })
    }
}

fn read<T>(
    environment: &Environment,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>> {
    let Some(text) = environment.get(name) else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| {
        Error::config(format!("environment variable {name}: expected {expected}, found `{text}`"))
    })
}

/// What all stores of a run share: variables, limits, retries, the meter. Clones share it too.
#[derive(Debug, Clone)]
pub struct Stores {
    environment: Environment,
    retries: Arc<Retries>,
    limits: Arc<Limits>,
    meter: StoreMeter,
    clock: Arc<dyn Clock>,
    /// Stores that stand for buckets, by their URLs.
    #[cfg(test)]
    buckets: std::collections::BTreeMap<String, super::faults::FaultyStore>,
}

impl Stores {
    /// Reads `ASHIATO_RETRY_SECONDS` (60 by default), `ASHIATO_REQUESTS_MAX` (64) and
    /// `ASHIATO_BANDWIDTH_MAX` (as `100MiB` per second; no bound). Pauses between tries are drawn
    /// from `seed`, which should be another for each process.
    ///
    /// # Errors
    /// [`Error::Config`] if one of them is unreadable.
    pub fn new(environment: Environment, clock: Arc<dyn Clock>, seed: u64) -> Result<Self> {
        let settings = StoreSettings::of(&environment)?;
        let meter = StoreMeter::default();
        let bandwidth_max = settings.bandwidth_max.map(NonZeroU64::get);
        let limits = Arc::new(Limits::new(settings.requests_max, bandwidth_max, &clock));
        let policy = RetryPolicy::for_time(settings.retry_time);
        let own = Arc::clone(&clock);
        let retries = Arc::new(Retries::new(policy, own, seed, meter.clone()));
        Ok(Stores {
            environment,
            retries,
            limits,
            meter,
            clock,
            #[cfg(test)]
            buckets: std::collections::BTreeMap::new(),
        })
    }

    /// The variables that stores are opened with.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The clock that retries and limits go by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What was asked of all these stores so far.
    pub fn meter(&self) -> &StoreMeter {
        &self.meter
    }

    /// Stacks the behaviours of a cloud's store on its client.
    pub(super) fn stack_cloud(&self, client: Layer) -> Layer {
        client
            .wrap(|inner| MeteredStore::new(inner, self.meter.clone()))
            .wrap(|inner| LimitedStore::new(inner, Arc::clone(&self.limits)))
            .wrap(|inner| RetryStore::new(inner, Arc::clone(&self.retries)))
    }

    /// Stacks the behaviours of local files.
    pub(super) fn stack_local(&self, files: Layer) -> Layer {
        files.wrap(|inner| MeteredStore::new(inner, self.meter.clone()))
    }
}

#[cfg(test)]
impl Stores {
    /// Has a store stand for a bucket such as `s3://lake`, below all behaviours.
    pub(crate) fn with_bucket(mut self, url: &str, store: super::faults::FaultyStore) -> Self {
        self.buckets.insert(url.to_owned(), store);
        self
    }

    /// What tells the open uploads of what stands for a bucket.
    pub(super) fn open_uploads(
        &self,
        url: &str,
    ) -> Option<Arc<dyn super::open_uploads::ListUploads>> {
        Some(Arc::new(self.buckets.get(url)?.clone()))
    }

    /// What stands for a bucket.
    pub(super) fn bucket(&self, url: &str) -> Option<Layer> {
        let store = self.buckets.get(url)?;
        Some(Layer::with_uploads(Arc::new(store.clone())))
    }

    /// For tests that care for nothing of it.
    pub(crate) fn of_tests(environment: &Environment) -> Self {
        Stores::new(environment.clone(), Arc::new(crate::base::clock::TestClock::default()), 0)
            .unwrap()
    }
}

#[cfg(test)]
#[path = "stores_tests.rs"]
mod tests;
