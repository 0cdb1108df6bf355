//! `ashiato collect`: takes events over HTTP and lands them in object storage.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::MultiProgress;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use tokio_util::sync::CancellationToken;

use super::args::CollectArgs;
use super::new_stores;
use super::output::print_json;
use super::run::start_logging;
use super::signals::Stop;
use super::supplies::new_answering_runtime;
use crate::collector::{CollectorConfig, CollectorSupplies, collect, parse_collector_config};
use crate::config::ConfigFile;
use crate::error::{Error, Result};
use crate::store::{Environment, SystemWallClock};
use crate::visits::RandomIds;

/// Collects until a signal comes, which is the way to stop it and no error.
pub(super) fn run(args: &CollectArgs, environment: &Environment) -> Result<()> {
    start_logging(&args.logs, environment, &MultiProgress::new());
    let config = config_of(args, environment)?;
    if config.cookies.keys.is_empty() {
        tracing::warn!(
            "cookies are not signed: whoever knows a visitor's id can pass for that visitor; set \
             ASHIATO_COOKIE_KEY to 32 random bytes"
        );
    }
    raise_file_limit();
    // What visitors did is nobody else's to read: files get 0600 and folders 0700, wherever they
    // are made. Those that land have a mode of their own.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let cores = || std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let threads = args.threads.map_or_else(cores, NonZeroUsize::get);
    let runtime = new_answering_runtime(threads)?;
    runtime.block_on(async {
        let supplies = CollectorSupplies {
            stores: new_stores(environment)?,
            clock: Arc::new(SystemWallClock),
            ids: Arc::new(RandomIds),
        };
        let stop = CancellationToken::new();
        let _watched = Stop::watch(stop.clone())?;
        let (data, landing) = (config.data.clone(), config.landing.location.clone());
        let ready = move |address: SocketAddr| {
            tracing::info!(%address, data = %data.display(), %landing, "collecting");
            // Who started it may wait for this line; nobody need read it.
            let _ = print_json(&serde_json::json!({"status": "collecting", "address": address}));
        };
        collect(config, supplies, stop, ready).await
    })
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
    let text = path.map(std::fs::read_to_string).transpose().map_err(|error| {
        let path = path.unwrap_or(Path::new("")).display();
        Error::config(format!("reading the configuration {path}: {error}"))
    })?;
    let path = path.map_or_else(|| PathBuf::from("the default configuration"), PathBuf::from);
    let file = ConfigFile { path, text: text.unwrap_or_default() };
    parse_collector_config(&file, &|name| environment.get(name).map(str::to_owned))
}

/// A connection is an open file, and the usual bound is 1,024 of them.
pub(super) fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, "the bound of open files stays as it is");
    }
}
