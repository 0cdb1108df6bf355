//! Connections: how many, how long, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::config::Limits;
use super::service::Service;
use crate::error::{Error, Result};

/// Requests of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 256;
/// How often an idle HTTP/2 connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a connection may be open between two requests.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long to wait after the system had no file left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The least that HTTP/1 reads into.
const BUFFER_BYTES_MIN: usize = 8192;

/// Opens the port.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::config(format!(
            "listening on {address}: another process does; set `listen` to a free port"
        )),
        _ => Error::config(format!("listening on {address}: {error}; set `listen`")),
    })
}

/// Serves connections until `stop` is cancelled, and then those that are open until they are idle,
/// or `time_max` is over; gives the time when it was told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: CancellationToken,
    time_max: Duration,
) -> Instant {
    let builder = new_builder(&service.config.limits);
    let first_request_max = service.config.limits.request_time_max;
    let places = Arc::new(Semaphore::new(service.config.limits.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files, most likely: those that are open will close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            service.metrics.connection_refused();
            continue;
        };
        // An answer is one small write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        let (answering, use_of_it) = (Arc::clone(&service), Arc::new(Use::default()));
        let used = Arc::clone(&use_of_it);
        let respond = service_fn(move |request| {
            let (service, used) = (Arc::clone(&answering), Arc::clone(&used));
            async move {
                let _answering = used.begin();
                Ok::<_, Infallible>(service.answer(request, peer).await)
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), respond);
        let connection = graceful.watch(connection.into_owned());
        let metrics = Arc::clone(&service.metrics);
        tokio::spawn(async move {
            metrics.connection(1);
            if let Err(error) = while_used(connection, first_request_max, &use_of_it).await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            metrics.connection(-1);
            drop(place);
        });
    }
    let stopped = Instant::now();
    drop(listener);
    service.stop();
    if tokio::time::timeout(time_max, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still busy and are cut off");
    }
    stopped
}

/// What a connection is used for.
#[derive(Debug, Default)]
struct Use {
    /// Requests whose heads have arrived.
    begun: AtomicU64,
    /// Of those, requests that are being answered.
    open: AtomicU64,
}

/// As long as it lives, a request is being answered.
struct Answering(Arc<Use>);

impl Use {
    fn begin(self: Arc<Self>) -> Answering {
        self.begun.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Answering(self)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// A connection's end. It comes early if there is no first request in time, or no other one for
/// [`IDLE_MAX`]: a client that sends nothing, or reads no answer, would be waited for for ever.
async fn while_used<E>(
    connection: impl Future<Output = std::result::Result<(), E>>,
    first_request_max: Duration,
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
        (time_max, before) = (IDLE_MAX, begun);
    }
}

fn new_builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_time_max)
        .max_buf_size(limits.header_bytes_max.max(BUFFER_BYTES_MIN))
        // Answers are one small piece.
        .writev(false)
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
