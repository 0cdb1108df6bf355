//! A connection's socket, which accounts for what has arrived of a head that is not whole.
//!
//! ```text
//! "POST /v1/ev"                 11 bytes of the connection are held, and its time runs
//! "ents HTTP/1.1\r\n…\r\n\r\n"    the head is whole: nothing is held any more
//! ```
//!
//! Nearly all heads come whole, and cost nothing here. Those that do not are bounded in time each,
//! and in bytes all together, which clients share fairly: thousands of connections that each begin
//! a large head would take the memory of all others. Of HTTP/2 it counts the frames that bring
//! nothing, too (see `frames`).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::frames::{FrameBudget, FrameReader, GO_AWAY};
use super::metrics::Metrics;
use super::shares::{FairShares, Share};

/// Bytes of a head that any connection may hold, however much others do.
const SHARE_BYTES: usize = 2048;
/// How long a client may go on sending what is not read after the last response, and how much:
/// closing before that has the system throw away the response (RFC 9112, section 9.6).
const LINGER: (Duration, usize) = (Duration::from_secs(2), 8 << 20);
/// How a connection of HTTP/2 begins (RFC 9113, section 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of heads that are not whole, of all connections; clients share them.
#[derive(Debug)]
pub(super) struct Heads {
    pub time_max: Duration,
    pub metrics: Arc<Metrics>,
    shares: Arc<FairShares>,
}

impl Heads {
    pub fn new(bytes_max: usize, time_max: Duration, metrics: Arc<Metrics>) -> Self {
        Heads { time_max, metrics, shares: FairShares::new(bytes_max) }
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
    /// Whether a body was refused, of which the rest is not read.
    is_unread: AtomicBool,
}

/// As long as it lives, a request is being answered.
#[derive(Debug)]
pub(super) struct RequestInFlight(Arc<Use>);

impl Use {
    /// Notes that a head is whole.
    pub fn begin(self: &Arc<Self>) -> RequestInFlight {
        self.head_bytes.store(0, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        RequestInFlight(Arc::clone(self))
    }

    /// Notes that a body's rest is not read, nor another request.
    pub fn leave_unread(&self) {
        self.is_unread.store(true, Relaxed);
    }
}

impl Drop for RequestInFlight {
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
    held: Share,
    /// Ends when a head has taken too long.
    time: Option<Pin<Box<Sleep>>>,
    protocol: Protocol,
    linger: Linger,
}

/// How a connection's end goes.
#[derive(Debug)]
enum Linger {
    /// It has not come.
    Open,
    /// Nothing more is written; what arrives is thrown away until then, up to so many bytes.
    Until(Pin<Box<Sleep>>, usize),
    /// Nothing more is read either.
    Closed,
}

/// What a connection speaks, as far as its first bytes have arrived.
#[derive(Debug)]
enum Protocol {
    /// So many of them are those of HTTP/2.
    Unknown(usize),
    Http1,
    Http2(Box<Http2>),
}

/// A connection of HTTP/2.
#[derive(Debug)]
struct Http2 {
    arriving: FrameReader,
    leaving: FrameReader,
    budget: FrameBudget,
    /// Whether it has sent too much that brings nothing.
    is_over: bool,
}

impl Socket {
    pub fn new(stream: TcpStream, peer: IpAddr, used: Arc<Use>, heads: Arc<Heads>) -> Self {
        let held = heads.shares.begin(peer);
        let (protocol, linger) = (Protocol::Unknown(0), Linger::Open);
        Socket { stream, used, heads, held, time: None, protocol, linger }
    }

    /// What is to be done once nothing more is written.
    fn begin_linger(&self) -> Linger {
        // After a body that was refused, what arrives is its rest.
        let is_unread = self.used.is_unread.load(Relaxed);
        let is_head_bad = !is_unread
            && self.used.head_bytes.load(Relaxed) > 0
            && self.used.open.load(Relaxed) == 0
            && matches!(self.protocol, Protocol::Http1 | Protocol::Unknown(_));
        if is_head_bad {
            self.heads.metrics.head_refused();
        }
        match is_head_bad || is_unread {
            true => Linger::Until(Box::pin(sleep(LINGER.0)), LINGER.1),
            false => Linger::Closed,
        }
    }

    /// Throws away what arrives, for as long as it is worth while.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Linger::Until(time, bytes_left) = &mut self.linger else { return Poll::Ready(()) };
        let mut bytes = [0; 16 << 10];
        while *bytes_left > 0 && time.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    *bytes_left = bytes_left.saturating_sub(buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }

    /// Looks at bytes that have arrived; whether the connection may go on.
    fn look_at(&mut self, bytes: &[u8]) -> bool {
        match &mut self.protocol {
            Protocol::Http1 => true,
            Protocol::Http2(_) => self.count_frames(bytes),
            Protocol::Unknown(count) => {
                let expected = &HTTP2[*count..];
                let length = expected.len().min(bytes.len());
                *count += length;
                if bytes[..length] != expected[..length] {
                    self.protocol = Protocol::Http1;
                } else if *count == HTTP2.len() {
                    self.protocol = Protocol::Http2(Box::new(Http2 {
                        arriving: FrameReader::default(),
                        leaving: FrameReader::default(),
                        budget: FrameBudget::new(Instant::now()),
                        is_over: false,
                    }));
                }
                self.count_frames(&bytes[length..])
            }
        }
    }

    /// Charges a connection of HTTP/2 for its frames; whether it may go on.
    fn count_frames(&mut self, bytes: &[u8]) -> bool {
        let Protocol::Http2(http2) = &mut self.protocol else { return true };
        let Http2 { arriving, leaving, budget, is_over } = &mut **http2;
        let used = &self.used;
        arriving.read(bytes, |frame| {
            *is_over = *is_over || !budget.pay(frame, used.begun.load(Relaxed), Instant::now);
        });
        if *is_over {
            self.heads.metrics.connection_cut();
            if leaving.is_between_frames() {
                // As far as there is room for it: who floods need not be told.
                let _ = self.stream.try_write(&GO_AWAY);
            }
        }
        !*is_over
    }

    /// Whether the connection is to end, as its next head takes too much or too long, or its frames
    /// bring nothing.
    ///
    /// What arrives over HTTP/2 between requests may be no head, and its own pings bound the time.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        if matches!(&self.protocol, Protocol::Http2(http2) if http2.is_over) {
            return true;
        }
        let bytes = self.used.head_bytes.load(Relaxed);
        if bytes == 0 || self.used.open.load(Relaxed) > 0 {
            if self.held.bytes() > 0 || self.time.is_some() {
                self.held.shrink_to(0);
                self.time = None;
            }
            return false;
        }
        let more = bytes.saturating_sub(self.held.bytes());
        if bytes > SHARE_BYTES && !self.held.grow(more) {
            self.heads.metrics.connection_cut();
            return true;
        }
        if matches!(self.protocol, Protocol::Http2(_)) {
            return false;
        }
        let time_max = self.heads.time_max;
        let time = self.time.get_or_insert_with(|| Box::pin(sleep(time_max)));
        time.as_mut().poll(context).is_ready()
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
        if socket.used.open.load(Relaxed) == 0 {
            socket.used.head_bytes.fetch_add(arrived.len(), Relaxed);
        }
        if !socket.look_at(arrived) {
            buffer.set_filled(before);
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
        let socket = self.get_mut();
        let written = ready!(Pin::new(&mut socket.stream).poll_write(context, bytes))?;
        if let Protocol::Http2(http2) = &mut socket.protocol {
            http2.leaving.read(&bytes[..written], |_| {});
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if matches!(socket.linger, Linger::Open) {
            ready!(Pin::new(&mut socket.stream).poll_shutdown(context))?;
            socket.linger = socket.begin_linger();
        }
        ready!(socket.poll_linger(context));
        socket.linger = Linger::Closed;
        Poll::Ready(Ok(()))
    }
}
