//! Connections: how many, how long, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
/// or `time_max` is over.
pub(super) async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    stop: CancellationToken,
    time_max: Duration,
) {
    let builder = new_builder(&service.config.limits);
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
        let answering = Arc::clone(&service);
        let respond = service_fn(move |request| {
            let service = Arc::clone(&answering);
            async move { Ok::<_, Infallible>(service.answer(request, peer).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), respond);
        let connection = graceful.watch(connection.into_owned());
        let metrics = Arc::clone(&service.metrics);
        tokio::spawn(async move {
            metrics.connection(1);
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection broke");
            }
            metrics.connection(-1);
            drop(place);
        });
    }
    drop(listener);
    service.stop();
    if tokio::time::timeout(time_max, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still busy and are cut off");
    }
}

fn new_builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_time_max)
        .max_buf_size(limits.header_bytes_max.max(BUFFER_BYTES_MIN))
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
