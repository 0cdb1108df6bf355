//! `ashiato collect`: takes events over HTTP and lands them in object storage.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::MultiProgress;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::args::CollectArgs;
use super::context::new_answering_runtime;
use super::new_stores;
use super::output::print_json;
use super::run::{LOG_VARIABLE, start_logging};
use crate::base::clock::SystemWallClock;
use crate::base::config::ConfigFile;
use crate::base::environment::Environment;
use crate::base::error::{Diagnostic, Error, Result};
use crate::base::ids::RandomIds;
use crate::base::telemetry::set_log_filter;
use crate::collector::{
    CollectorConfig, CollectorContext, CollectorSignals, StopTokens, check_collector_config,
    collect, parse_collector_config,
};

/// Files that are kept for the spool, the visit store and the object store.
const FILES_RESERVED: u64 = 256;

/// Collects until a signal comes, which is the way to stop it and no error.
pub(super) fn run(args: &CollectArgs, environment: &Environment) -> Result<()> {
    start_logging(&args.logs, environment, &MultiProgress::new());
    let mut config = config_of(args, environment)?;
    if config.cookies.keys.is_empty() {
        tracing::warn!(
            "cookies are not signed: whoever knows a visitor's id can pass for that visitor; set \
             ASHIATO_COOKIE_KEY to 32 random bytes"
        );
    }
    let files = raise_file_limit();
    bound_connections(&mut config, files);
    set_log(&config, environment);
    // What visitors did is nobody else's to read: files get 0600 and folders 0700, wherever they
    // are made. Those that land have a mode of their own.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let cores = || std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let threads = args.threads.map_or_else(cores, NonZeroUsize::get);
    let runtime = new_answering_runtime(threads)?;
    runtime.block_on(async {
        let context = CollectorContext {
            stores: new_stores(environment)?,
            clock: Arc::new(SystemWallClock),
            ids: Arc::new(RandomIds),
        };
        let (sender, reload) = mpsc::channel(1);
        let signals = CollectorSignals { stop: watch_for_stop()?, reload };
        let reread = Reread { args: args.clone(), environment: environment.clone(), files };
        let reloading = tokio::spawn(watch_for_reload(reread, sender)?);
        let (data, landing) = (config.data.clone(), config.landing.location.clone());
        let ready = move |address: SocketAddr| {
            tracing::info!(%address, data = %data.display(), %landing, "collecting");
            // Who started it may wait for this line; nobody need read it.
            let _ = print_json(&serde_json::json!({"status": "collecting", "address": address}));
        };
        let collected = collect(config, context, signals, ready).await;
        reloading.abort();
        collected
    })
}

/// SIGTERM stops once it has been seen that the collector is not ready; SIGINT, or another signal
/// after that, at once.
fn watch_for_stop() -> Result<StopTokens> {
    let stop = StopTokens::default();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let (mut signals, stop) = (watch(kind)?, stop.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if kind == SignalKind::interrupt() || stop.soon.is_cancelled() {
                    stop.now.cancel();
                }
                stop.soon.cancel();
            }
        });
    }
    Ok(stop)
}

/// What a configuration is read again by.
struct Reread {
    args: CollectArgs,
    environment: Environment,
    /// Files that may be open.
    files: Option<u64>,
}

/// SIGHUP has the configuration read again; one that is wrong changes nothing.
fn watch_for_reload(
    reread: Reread,
    configs: mpsc::Sender<CollectorConfig>,
) -> Result<impl Future<Output = ()>> {
    let Reread { args, environment, files } = reread;
    let mut signals = watch(SignalKind::hangup())?;
    Ok(async move {
        while signals.recv().await.is_some() {
            match config_of(&args, &environment) {
                Ok(mut config) => {
                    bound_connections(&mut config, files);
                    set_log(&config, &environment);
                    // It is gone when the collector stops.
                    let _ = configs.send(config).await;
                }
                Err(error) => tracing::error!(%error, "the configuration stays as it was"),
            }
        }
    })
}

fn watch(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|error| Error::Unavailable(format!("watching for signals: {error}")))
}

/// Logs what the configuration says, unless the environment does.
fn set_log(config: &CollectorConfig, environment: &Environment) {
    if let (Some(log), None) = (&config.log, environment.get(LOG_VARIABLE)) {
        set_log_filter(log);
    }
}

/// Bounds connections to the files that there may be, less those that all else needs.
fn bound_connections(config: &mut CollectorConfig, files: Option<u64>) {
    let Some(files) = files else { return };
    let reserved = FILES_RESERVED.min(files / 2);
    let connections = usize::try_from(files - reserved).unwrap_or(usize::MAX).max(1);
    let configured = config.limits.connections_max;
    if configured > connections {
        tracing::warn!(
            configured,
            connections,
            files,
            "`connections_max` is more than the files that this process may open: taking fewer \
             connections; raise the hard limit of open files (`ulimit -Hn`, `LimitNOFILE=`)"
        );
        config.limits.connections_max = connections;
    }
}

/// The configuration that a file and flags say.
fn config_of(args: &CollectArgs, environment: &Environment) -> Result<CollectorConfig> {
    let mut config = read_config(args.config.as_deref(), environment)?;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(data) = &args.data {
        config.data.clone_from(data);
    }
    if let Some(landing) = &args.landing {
        config.landing.location.clone_from(landing);
    }
    Ok(config)
}

/// Reads a configuration; without a file it is the default one.
pub(super) fn read_config(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<CollectorConfig> {
    let file = config_file(path)?;
    parse_collector_config(&file, &|name| environment.get(name).map(str::to_owned))
}

/// The configuration of a file, and where it names secrets that are not at hand.
pub(super) fn check_config(
    path: &Path,
    environment: &Environment,
) -> Result<(CollectorConfig, Vec<Diagnostic>)> {
    let file = config_file(Some(path))?;
    check_collector_config(&file, &|name| environment.get(name).map(str::to_owned))
}

fn config_file(path: Option<&Path>) -> Result<ConfigFile> {
    let text = path.map(std::fs::read_to_string).transpose().map_err(|error| {
        let path = path.unwrap_or(Path::new("")).display();
        Error::config(format!("reading the configuration {path}: {error}"))
    })?;
    let path = path.map_or_else(|| PathBuf::from("the default configuration"), PathBuf::from);
    Ok(ConfigFile { path, text: text.unwrap_or_default() })
}

/// A connection is an open file, and the usual bound is 1,024 of them; gives how many there may be.
pub(super) fn raise_file_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= hard {
        return Some(soft);
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(error) => {
            tracing::warn!(%error, soft, "the bound of open files stays as it is");
            Some(soft)
        }
    }
}
