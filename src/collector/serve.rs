//! The collector's story: open, serve, stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::config::{CollectorConfig, VisitStoreConfig};
use super::control::{self, Control};
use super::intake::Intake;
use super::metrics::Metrics;
use super::server;
use super::service::Service;
use crate::error::Result;
use crate::spool::{Landed, Landing, LandingSettings, Spool, SpoolSettings};
use crate::store::{StoreLocation, Stores, WallClock};
use crate::visits::{
    EmbeddedSettings, EmbeddedVisitStore, Ids, MigratingVisitStore, RedisVisitStore, VisitDesk,
    VisitStore,
};

/// How often the rates of clients that are gone are forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// Bytes of an id in the spool's files of ids.
const ID_BYTES: u64 = 16;

/// What comes from outside.
#[derive(Debug, Clone)]
pub struct CollectorSupplies {
    /// Opens the place where events land.
    pub stores: Stores,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Where new ids come from.
    pub ids: Arc<dyn Ids>,
}

/// Collects events until `stop` is cancelled: new connections are refused then, requests that
/// began are answered, and what lies in the spool lands, all within the configured time. What did
/// not land by then lands after the next start.
///
/// `ready` is told the address when requests are served.
///
/// # Errors
/// [`crate::error::Error::Config`] if the address, the store or the folder cannot be used;
/// [`crate::error::Error::Unavailable`] if another process uses the folder.
pub async fn collect(
    config: CollectorConfig,
    supplies: CollectorSupplies,
    stop: CancellationToken,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<()> {
    let location = StoreLocation::parse(&config.landing.location)?;
    let landing_store = location.open(&supplies.stores)?;
    let spool = Spool::open(spool_settings(&config), Arc::clone(&supplies.ids))?;
    let (visits, migration) = open_visits(&config, &supplies)?;
    let control_socket = control::listen(&config.data)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr().unwrap_or(config.listen);

    let metrics = Arc::new(Metrics::default());
    let backlog = spool.backlog().clone();
    let landing_settings = LandingSettings {
        store: landing_store,
        spool: config.data.join("spool"),
        ids_bytes_max: config.landing.recent_ids_min as u64 * ID_BYTES,
        file_mode: config.landing.file_mode,
    };
    let landing = Landing::new(landing_settings, backlog.clone());
    let desk = VisitDesk { store: visits, rules: config.visits, ids: Arc::clone(&supplies.ids) };
    let intake = new_intake(&config, desk, &supplies, &metrics);
    // Whoever works for requests goes on until these are answered.
    let stop_work = CancellationToken::new();
    let waiting_max = config.limits.waiting_requests_max;
    let (queue, intake_ended) = intake.start(spool, waiting_max, stop_work.clone())?;
    let control = Control::new(&config, migration.clone());
    let control = tokio::spawn(control::serve(control, control_socket, stop.clone()));
    let counted = Arc::clone(&metrics);
    let count = move |landed: &Result<Landed>| {
        counted.landed(landed.as_ref().ok().map(|landed| landed.bytes));
    };
    let (lander, told, stop_lander) = (landing.clone(), count.clone(), stop_work.clone());
    let landing_task = tokio::spawn(async move { lander.run(told, stop_lander).await });

    let time_max = config.stop_time_max;
    let service = Arc::new(Service::new(config, queue, backlog, metrics, migration));
    let tidied = Arc::clone(&service);
    let tidy = tokio::spawn(async move {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            tidied.tidy();
        }
    });
    ready(address);
    // Half of the time is for clients, so that some is left for the object store.
    let stopped = server::serve(listener, Arc::clone(&service), stop, time_max / 2).await;

    stop_work.cancel();
    drop(service);
    let rest = async {
        // It ends when all that waited is answered, and the last segment is sealed.
        let _ = intake_ended.await;
        // Two may not land the same segment at once.
        let _ = landing_task.await;
        landing.drain(count).await
    };
    finish(rest, stopped + time_max).await;
    tidy.abort();
    control.abort();
    Ok(())
}

fn new_intake(
    config: &CollectorConfig,
    desk: VisitDesk,
    supplies: &CollectorSupplies,
    metrics: &Arc<Metrics>,
) -> Intake {
    Intake {
        collector: config.name.clone(),
        desk,
        long_ttl_ms: config.visits.long_ttl_ms,
        line_bytes_max: config.limits.line_bytes_max,
        clock: Arc::clone(&supplies.clock),
        metrics: Arc::clone(metrics),
    }
}

/// Lands the rest, as far as there is time.
async fn finish(rest: impl Future<Output = Result<()>>, deadline: Instant) {
    tracing::info!("stopping: finishing what was begun");
    match tokio::time::timeout_at(deadline.into(), rest).await {
        Ok(Ok(())) => tracing::info!("all events have landed"),
        Ok(Err(error)) => tracing::warn!(%error, "the spool keeps the rest for the next start"),
        Err(_) => tracing::warn!("out of time; the spool keeps the rest for the next start"),
    }
}

fn spool_settings(config: &CollectorConfig) -> SpoolSettings {
    let landing = &config.landing;
    SpoolSettings {
        collector: config.name.clone(),
        folder: config.data.join("spool"),
        path: landing.path.clone(),
        time_zone: landing.time_zone,
        segment_bytes_max: landing.object_bytes_max,
        segment_age_max: landing.object_age_max,
        recent_ids_min: landing.recent_ids_min,
    }
}

type OpenedVisits = (Arc<dyn VisitStore>, Option<MigratingVisitStore>);

fn open_visits(config: &CollectorConfig, supplies: &CollectorSupplies) -> Result<OpenedVisits> {
    let VisitStoreConfig::Migrating { old, new } = &config.visit_store else {
        return Ok((open_store(&config.visit_store, config, supplies)?, None));
    };
    let (old, new) = (open_store(old, config, supplies)?, open_store(new, config, supplies)?);
    let phase = control::read_phase(config)?;
    tracing::info!(%phase, "visits are moving from one store to another");
    let migrating = MigratingVisitStore::new(old, new, phase);
    Ok((Arc::new(migrating.clone()), Some(migrating)))
}

fn open_store(
    store: &VisitStoreConfig,
    config: &CollectorConfig,
    supplies: &CollectorSupplies,
) -> Result<Arc<dyn VisitStore>> {
    match store {
        VisitStoreConfig::Embedded { folder, size_bytes_max } => {
            let record_ttl_ms = config.visits.record_ttl_ms();
            let settings = EmbeddedSettings {
                folder: folder.clone().unwrap_or_else(|| config.data.join("visits")),
                record_ttl: Duration::from_millis(u64::try_from(record_ttl_ms).unwrap_or(0)),
                size_bytes_max: *size_bytes_max,
            };
            Ok(Arc::new(EmbeddedVisitStore::open(settings, Arc::clone(&supplies.clock))?))
        }
        VisitStoreConfig::Redis { url, prefix, timeout } => {
            Ok(Arc::new(RedisVisitStore::open(url, prefix, *timeout)?))
        }
        VisitStoreConfig::Migrating { .. } => Err(crate::error::Error::config(
            "`[visit_store]`: a store that moves cannot be moved itself",
        )),
    }
}
