//! The collector's story: open, serve, stop.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::body::BodyTaker;
use super::claims::ClaimBounds;
use super::clock::SteadyClock;
use super::config::{CollectorConfig, CollectorLimits, VisitStoreConfig};
use super::control::{self, Control};
use super::event_keys::SECRET_BYTES;
use super::health::{Health, Probe};
use super::intake::Intake;
use super::metrics::Metrics;
use super::server::{self, StopTokens};
use super::service::{CollectorService, ServiceParts};
use super::spool::{Landed, Landing, LandingSettings, Spool, SpoolSettings};
use super::visits::{
    EmbeddedSettings, EmbeddedVisitStore, MigratingVisitStore, RedisVisitStore, VisitService,
    VisitStore,
};
use crate::base::clock::WallClock;
use crate::base::error::Result;
use crate::base::ids::Ids;
use crate::base::location::StoreLocation;
use crate::store::{Store, Stores};

/// How often the rates of clients that are gone are forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// Bytes of bodies that are in memory at a time, until they are answered; clients share them.
const BODIES_BYTES_MAX: usize = 256 << 20;
/// For how long the clock must say that visitors' records are over before they are dropped.
const EXPIRY_DELAY: Duration = Duration::from_secs(600);

/// What comes from outside.
#[derive(Debug, Clone)]
pub struct CollectorContext {
    /// Opens the place where events land.
    pub stores: Stores,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Where new ids come from.
    pub ids: Arc<dyn Ids>,
}

/// What a collector is told while it runs.
#[derive(Debug)]
pub struct CollectorSignals {
    /// To stop.
    pub stop: StopTokens,
    /// To go by another configuration, as far as that can be changed without a restart.
    pub reload: mpsc::Receiver<CollectorConfig>,
}

/// Collects events until it is told to stop: it is not ready then, and a while later new
/// connections are refused, requests that began are answered, and what lies in the spool lands, all
/// within the configured time. What did not land by then lands after the next start.
///
/// `ready` is told the address when requests are served.
///
/// # Errors
/// [`crate::base::error::Error::Config`] if the address, the store or the folder cannot be used;
/// [`crate::base::error::Error::Unavailable`] if another process uses the folder.
pub async fn collect(
    config: CollectorConfig,
    mut context: CollectorContext,
    signals: CollectorSignals,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<()> {
    context.clock = Arc::new(SteadyClock::new(context.clock));
    let location = StoreLocation::parse(&config.landing.location)?;
    let landing_store = Store::open(&location, &context.stores)?;
    let spool = Spool::open(spool_settings(&config), Arc::clone(&context.ids))?;
    let metrics = Arc::new(Metrics::new(landing_store.meter.clone()));
    let backlog = spool.backlog().clone();
    let landing = Landing::new(landing_settings(&config, landing_store), backlog.clone());
    let opened = open_visits(&config, &context, &metrics);
    let (visits, migration) = landing_at_least(opened, &landing, config.stop_time_max).await?;
    keep_private(&config);
    let control_socket = control::listen(&config.data)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr().unwrap_or(config.listen);

    let (health, probed) = (Arc::new(Health::default()), Arc::clone(&visits));
    let spool_folder = config.data.join("spool");
    let probe = Probe { health: Arc::clone(&health), visits: probed, spool: spool_folder };
    let intake = new_intake(&config, &context, visits, &metrics);
    let claim_bounds = Arc::clone(&intake.claim_bounds);
    // Whoever works for requests goes on until these are answered.
    let stop_work = CancellationToken::new();
    let waiting_max = config.limits.waiting_requests_max;
    let (intake, intake_ended) = intake.start(spool, waiting_max, stop_work.clone())?;
    let control = Control::new(&config, migration.clone());
    let control = tokio::spawn(control::serve(control, control_socket, stop_work.clone()));
    let counted = Arc::clone(&metrics);
    let count = move |landed: &Result<Landed>| counted.landed(landed.as_ref().ok());
    let (lander, told, stop_lander) = (landing.clone(), count.clone(), stop_work.clone());
    let landing_task = tokio::spawn(async move { lander.run(told, stop_lander).await });

    let (bodies, secret) = (new_bodies(&config), new_secret(&context));
    let parts = ServiceParts { intake, backlog, metrics, migration, health, bodies, secret };
    let services = Arc::new(ArcSwap::from_pointee(CollectorService::new(config, parts.clone())));
    // Whoever looks right now whether it is ready is told so.
    probe.look().await;
    let beside = [
        tokio::spawn(tidy(Arc::clone(&services))),
        tokio::spawn(reload(Arc::clone(&services), parts, claim_bounds, signals.reload)),
        tokio::spawn(probe.run()),
    ];
    ready(address);
    let stopped = server::serve(listener, Arc::clone(&services), signals.stop).await;

    let time_max = services.load().config.stop_time_max;
    for task in beside {
        task.abort();
        // What it holds of the intake is to be gone, for that ends when nobody can send any more.
        let _ = task.await;
    }
    stop_work.cancel();
    drop(services);
    let rest = async {
        // It ends when all that waited is answered, and the last segment is sealed.
        let _ = intake_ended.await;
        // Two may not land the same segment at once.
        let _ = landing_task.await;
        landing.drain(count).await
    };
    finish(rest, stopped + time_max).await;
    control.abort();
    Ok(())
}

/// What was opened. If it was not, what was acknowledged before lands at least.
async fn landing_at_least<T>(
    opened: Result<T>,
    landing: &Landing,
    time_max: Duration,
) -> Result<T> {
    if opened.is_err() {
        finish(landing.drain(|_| ()), Instant::now() + time_max).await;
    }
    opened
}

fn landing_settings(config: &CollectorConfig, store: Store) -> LandingSettings {
    LandingSettings {
        store,
        spool: config.data.join("spool"),
        recent_ids_min: config.landing.recent_ids_min,
        file_mode: config.landing.file_mode,
    }
}

fn new_intake(
    config: &CollectorConfig,
    context: &CollectorContext,
    visits: Arc<dyn VisitStore>,
    metrics: &Arc<Metrics>,
) -> Intake {
    let visit_service =
        VisitService { store: visits, rules: config.visits, ids: Arc::clone(&context.ids) };
    Intake {
        collector: config.name.clone(),
        visit_service,
        long_ttl_ms: config.visits.long_ttl_ms,
        line_bytes_max: config.limits.line_bytes_max,
        clock: Arc::clone(&context.clock),
        metrics: Arc::clone(metrics),
        claim_bounds: Arc::new(ArcSwap::from_pointee(ClaimBounds::of(&config.limits))),
        services: Mutex::default(),
    }
}

fn new_bodies(config: &CollectorConfig) -> BodyTaker {
    let CollectorLimits { body_bytes_max, request_time_max, .. } = config.limits;
    BodyTaker::new(body_bytes_max, request_time_max, BODIES_BYTES_MAX)
}

/// A secret that nobody else knows, as long as this process lives.
fn new_secret(context: &CollectorContext) -> [u8; SECRET_BYTES] {
    // Each id has 74 random bits.
    let ids = (0..4).map(|_| context.ids.next(context.clock.now_ms()));
    ids.fold(Sha256::new(), |hash, id| hash.chain_update(id)).finalize().into()
}

/// Forgets now and then what clients did that are gone.
async fn tidy(services: Arc<ArcSwap<CollectorService>>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        services.load_full().tidy();
    }
}

/// Has requests answered by each configuration that comes, as far as it can be changed.
async fn reload(
    services: Arc<ArcSwap<CollectorService>>,
    parts: ServiceParts,
    claim_bounds: Arc<ArcSwap<ClaimBounds>>,
    mut configs: mpsc::Receiver<CollectorConfig>,
) {
    while let Some(config) = configs.recv().await {
        let (config, unchanged) = services.load().config.reloaded(config);
        claim_bounds.store(Arc::new(ClaimBounds::of(&config.limits)));
        services.store(Arc::new(CollectorService::new(config, parts.clone())));
        match unchanged.is_empty() {
            true => tracing::info!("the configuration was read again"),
            false => tracing::warn!(
                keys = unchanged.join(", "),
                "the configuration was read again, but for keys that need a restart"
            ),
        }
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

/// Has what an earlier version may have made for all to read be the collector's own.
fn keep_private(config: &CollectorConfig) {
    for folder in ["spool", "visits"].map(|name| config.data.join(name)) {
        let private = std::fs::Permissions::from_mode(0o700);
        if folder.is_dir()
            && let Err(error) = std::fs::set_permissions(&folder, private)
        {
            tracing::warn!(%error, folder = %folder.display(), "others may read what lies there");
        }
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

fn open_visits(
    config: &CollectorConfig,
    context: &CollectorContext,
    metrics: &Metrics,
) -> Result<OpenedVisits> {
    let VisitStoreConfig::Migrating { old, new } = &config.visit_store else {
        return Ok((open_store(&config.visit_store, config, context, metrics)?, None));
    };
    let open = |store| open_store(store, config, context, metrics);
    let (old, new) = (open(old)?, open(new)?);
    let phase = control::read_phase(config)?;
    tracing::info!(%phase, "visits are moving from one store to another");
    let migrating = MigratingVisitStore::new(old, new, phase);
    Ok((Arc::new(migrating.clone()), Some(migrating)))
}

fn open_store(
    store: &VisitStoreConfig,
    config: &CollectorConfig,
    context: &CollectorContext,
    metrics: &Metrics,
) -> Result<Arc<dyn VisitStore>> {
    match store {
        VisitStoreConfig::Embedded { folder, size_bytes_max, cache_bytes_max } => {
            let record_ttl_ms = config.visits.record_ttl_ms();
            let settings = EmbeddedSettings {
                folder: folder.clone().unwrap_or_else(|| config.data.join("visits")),
                record_ttl: Duration::from_millis(u64::try_from(record_ttl_ms).unwrap_or(0)),
                size_bytes_max: *size_bytes_max,
                cache_bytes_max: *cache_bytes_max,
                expiry_delay: EXPIRY_DELAY,
                damaged: Arc::clone(&metrics.visit_damage),
            };
            Ok(Arc::new(EmbeddedVisitStore::open(settings, Arc::clone(&context.clock))?))
        }
        VisitStoreConfig::Redis { url, prefix, timeout } => {
            Ok(Arc::new(RedisVisitStore::open(url, prefix, *timeout)?))
        }
        VisitStoreConfig::Migrating { .. } => Err(crate::base::error::Error::config(
            "`[visit_store]`: a store that moves cannot be moved itself",
        )),
    }
}
