//! Connections: how many, how long, and how they end (graceful shutdown).

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::client::{SITE_CLIENTS, client_key, is_trusted, site_key};
use super::config::CollectorLimits;
use super::service::CollectorService;
use super::socket::{Heads, Socket, Use};
use crate::base::error::{Error, Result};

/// Requests of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 256;
/// How often an idle HTTP/2 connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long to wait after the system had no file left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The least that HTTP/1 reads into.
const BUFFER_BYTES_MIN: usize = 8192;

/// Tokens that are cancelled to stop.
#[derive(Debug, Clone, Default)]
pub struct StopTokens {
    /// To stop, once whoever sends requests here has had the time to see that it is not ready.
    pub soon: CancellationToken,
    /// To stop without that.
    pub now: CancellationToken,
}

/// Opens the port.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::config(format!(
            "listening on {address}: another process does; set `listen` to a free port"
        )),
        _ => Error::config(format!("listening on {address}: {error}; set `listen`")),
    })
}

/// Serves connections until it is told to stop, and then those that are open until they are idle,
/// or the time is over; gives the time when it was told.
///
/// It tells that it is not ready for `stop_delay` first, and takes requests as before: whoever
/// balances the load is to see it before the port closes.
pub(super) async fn serve(
    listener: TcpListener,
    services: Arc<ArcSwap<CollectorService>>,
    stop: StopTokens,
) -> Instant {
    let connections = Connections::new(&services);
    let mut delay = Box::pin(stop_delay(&services, &stop));
    let stopped = loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            stopped = &mut delay => break stopped,
        };
        match accepted {
            Ok((stream, peer)) => connections.open(stream, peer),
            Err(error) => {
                // Out of files, most likely: those that are open will close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    drop(listener);
    // Half of the rest is for clients, so that some is left for the object store.
    let time_max = services.load().config.stop_time_max;
    let time_max = time_max.saturating_sub(stopped.elapsed()) / 2;
    if tokio::time::timeout(time_max, connections.graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still busy and are cut off");
    }
    stopped
}

/// Comes when the port is to close; gives the time when it was told to stop.
async fn stop_delay(services: &ArcSwap<CollectorService>, stop: &StopTokens) -> Instant {
    tokio::select! {
        () = stop.soon.cancelled() => {}
        () = stop.now.cancelled() => {}
    }
    let (stopped, service) = (Instant::now(), services.load_full());
    service.stop();
    let delay = service.config.stop_delay;
    if !delay.is_zero() && !stop.now.is_cancelled() {
        tracing::info!(?delay, "stopping: not ready from now on, and taking requests until then");
        stop.now.run_until_cancelled(tokio::time::sleep(delay)).await;
    }
    stopped
}

/// What all connections share.
struct Connections {
    services: Arc<ArcSwap<CollectorService>>,
    builder: Builder<TokioExecutor>,
    heads: Arc<Heads>,
    places: Arc<Semaphore>,
    clients: Arc<Clients>,
    /// Of each /48 of IPv6.
    sites: Arc<Clients>,
    graceful: GracefulShutdown,
}

impl Connections {
    fn new(services: &Arc<ArcSwap<CollectorService>>) -> Self {
        let service = services.load();
        let limits = &service.config.limits;
        let (metrics, time_max) = (Arc::clone(&service.metrics), limits.request_time_max);
        Connections {
            services: Arc::clone(services),
            builder: new_builder(limits),
            heads: Arc::new(Heads::new(limits.heads_bytes_max, time_max, metrics)),
            places: Arc::new(Semaphore::new(limits.connections_max)),
            clients: Arc::default(),
            sites: Arc::default(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Serves a connection, or closes it at once.
    fn open(&self, stream: TcpStream, peer: SocketAddr) {
        let service = self.services.load();
        let Some(place) = self.place_of(&service, peer) else {
            service.metrics.connection_refused();
            return;
        };
        // A response is one small write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        let (services, used) = (Arc::clone(&self.services), Arc::new(Use::default()));
        let socket = Socket::new(stream, peer.ip(), Arc::clone(&used), Arc::clone(&self.heads));
        let beginning = Arc::clone(&used);
        let respond = service_fn(move |request| {
            let (service, used) = (services.load_full(), Arc::clone(&beginning));
            let in_flight = used.begin();
            async move {
                let _in_flight = in_flight;
                let response = service.respond(request, peer).await;
                if response.headers().contains_key(CONNECTION) {
                    used.leave_unread();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(socket), respond);
        let connection = self.graceful.watch(connection.into_owned());
        let metrics = Arc::clone(&service.metrics);
        let CollectorLimits { request_time_max, idle_time_max, .. } = service.config.limits;
        tokio::spawn(async move {
            metrics.connection(1);
            let times = (request_time_max, idle_time_max);
            if let Err(error) = while_used(connection, times, &used).await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            metrics.connection(-1);
            drop(place);
        });
    }

    /// A place for a connection, if there is one for its client.
    fn place_of(&self, service: &CollectorService, peer: SocketAddr) -> Option<ConnectionPermit> {
        let all = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let ip = peer.ip().to_canonical();
        let max = service.config.limits.client_connections_max;
        // A proxy has the connections of many.
        if max == 0 || is_trusted(ip, &service.config.trusted_proxies) {
            return Some(ConnectionPermit { _all: all, _own: None, _of_site: None });
        }
        let own = self.clients.enter(client_key(ip), max)?;
        let of_site = match site_key(ip) {
            Some(site) => Some(self.sites.enter(site, max.saturating_mul(SITE_CLIENTS as usize))?),
            None => None,
        };
        Some(ConnectionPermit { _all: all, _own: Some(own), _of_site: of_site })
    }
}

/// A connection's place among all, and among its client's.
struct ConnectionPermit {
    _all: OwnedSemaphorePermit,
    _own: Option<ClientConnection>,
    _of_site: Option<ClientConnection>,
}

/// How many connections clients have.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<IpAddr, usize, RandomState>>);

impl Clients {
    fn enter(self: &Arc<Self>, client: IpAddr, max: usize) -> Option<ClientConnection> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(ClientConnection { clients: Arc::clone(self), client })
    }
}

/// One of a client's connections.
struct ClientConnection {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// A connection's end. It comes early if there is no first request in time, or no other one for
/// the time that a connection may be idle: a client that sends nothing, or reads no response, would
/// be waited for for ever.
async fn while_used<E>(
    connection: impl Future<Output = std::result::Result<(), E>>,
    (first_request_max, idle_max): (Duration, Duration),
    used: &Use,
) -> std::result::Result<(), E> {
    let mut connection = std::pin::pin!(connection);
    let (mut time_max, mut before) = (first_request_max, 0);
    loop {
        if let Ok(ended) = tokio::time::timeout(time_max, &mut connection).await {
            return ended;
        }
        let begun = used.begun.load(Relaxed);
        if begun == before && used.open.load(Relaxed) == 0 {
            return Ok(());
        }
        (time_max, before) = (idle_max, begun);
    }
}

fn new_builder(limits: &CollectorLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The socket has the time of a head, which begins with the head's first byte.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes_max.max(BUFFER_BYTES_MIN))
        // Responses are one small piece.
        .writev(false)
        // Who says that no more is coming may wait for the response all the same.
        .half_close(true)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(limits.request_time_max);
    builder
}
