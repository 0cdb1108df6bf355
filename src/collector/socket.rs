//! A connection's socket, which accounts for what has arrived of a head that is not whole.
//!
//! ```text
//! "POST /v1/ev"                 11 bytes of the connection are held, and its time runs
//! "ents HTTP/1.1\r\n…\r\n\r\n"    the head is whole: nothing is held any more
//! ```
//!
//! Nearly all heads come whole, and cost nothing here. Those that do not are bounded in time each,
//! and in bytes all together: thousands of connections that each begin a large head would take the
//! memory of all others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::metrics::Metrics;

/// Bytes of a head that any connection may hold, however much others do.
const SHARE_BYTES: usize = 2048;
/// How a connection of HTTP/2 begins.
const HTTP2: &[u8] = b"PRI";

/// Bytes of heads that are not whole, of all connections.
#[derive(Debug)]
pub(super) struct Heads {
    pub bytes_max: usize,
    pub time_max: Duration,
    pub metrics: Arc<Metrics>,
    bytes: AtomicUsize,
}

impl Heads {
    pub fn new(bytes_max: usize, time_max: Duration, metrics: Arc<Metrics>) -> Self {
        Heads { bytes_max, time_max, metrics, bytes: AtomicUsize::new(0) }
    }

    /// Holds as many bytes as a head has now, unless too much is held already.
    fn hold(&self, held: &mut usize, bytes: usize) -> bool {
        let more = bytes.saturating_sub(*held);
        let all = self.bytes.fetch_add(more, Relaxed) + more;
        *held += more;
        more == 0 || bytes <= SHARE_BYTES || all <= self.bytes_max
    }

    fn release(&self, held: &mut usize) {
        self.bytes.fetch_sub(std::mem::take(held), Relaxed);
    }
}

/// What a connection is used for.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// Requests whose heads have arrived.
    pub begun: AtomicU64,
    /// Of those, requests that are being answered.
    pub open: AtomicU64,
    /// Bytes that have arrived of the next head.
    head_bytes: AtomicUsize,
}

/// As long as it lives, a request is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Use>);

impl Use {
    /// Notes that a head is whole.
    pub fn begin(self: &Arc<Self>) -> Answering {
        self.head_bytes.store(0, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Answering(Arc::clone(self))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// A connection's socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    used: Arc<Use>,
    heads: Arc<Heads>,
    /// Bytes that are held among those of all heads.
    held: usize,
    /// Ends when a head has taken too long.
    time: Option<Pin<Box<Sleep>>>,
    /// How many of the connection's first bytes are those of HTTP/2, as far as they have arrived.
    matching: Option<usize>,
}

impl Socket {
    pub fn new(stream: TcpStream, used: Arc<Use>, heads: Arc<Heads>) -> Self {
        Socket { stream, used, heads, held: 0, time: None, matching: Some(0) }
    }

    /// Compares the connection's first bytes with those of HTTP/2.
    fn look_at(&mut self, bytes: &[u8]) {
        let Some(count) = self.matching.filter(|count| *count < HTTP2.len()) else { return };
        let expected = &HTTP2[count..];
        let length = expected.len().min(bytes.len());
        let is_same = bytes[..length] == expected[..length];
        self.matching = is_same.then_some(count + length);
    }

    /// Whether the connection is to end, as its next head takes too much or too long.
    ///
    /// What arrives over HTTP/2 between requests may be no head, and its own pings bound the time.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let bytes = self.used.head_bytes.load(Relaxed);
        if bytes == 0 || self.used.open.load(Relaxed) > 0 {
            if self.held > 0 || self.time.is_some() {
                self.heads.release(&mut self.held);
                self.time = None;
            }
            return false;
        }
        if !self.heads.hold(&mut self.held, bytes) {
            self.heads.metrics.connection_cut();
            return true;
        }
        if self.matching == Some(HTTP2.len()) {
            return false;
        }
        let time_max = self.heads.time_max;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep(time_max)));
        time.as_mut().poll(context).is_ready()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.heads.release(&mut self.held);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.is_over(context) {
            // As if the client had closed it.
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut socket.stream).poll_read(context, buffer))?;
        let arrived = &buffer.filled()[before..];
        socket.look_at(arrived);
        if socket.used.open.load(Relaxed) == 0 {
            socket.used.head_bytes.fetch_add(arrived.len(), Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
