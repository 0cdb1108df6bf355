//! One connection: requests at their times, responses and their cookies.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::LoadSettings;
use super::report::Measured;
use super::visitor::SimulatedVisitor;
use crate::base::clock::WallClock;
use crate::base::error::{Error, Result};

/// How long a collector may take to start.
const START_MAX: Duration = Duration::from_secs(5);
/// How long to wait before a connection that broke is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// How long before the first request is due all is got ready.
const START_PAUSE: Duration = Duration::from_millis(200);
/// How late a connection may take the next request and still have been free for it.
const FREE: Duration = Duration::from_millis(1);
/// How late a request is sent that is counted as late.
const LATE: Duration = Duration::from_millis(5);
/// How often a part of all connections may be opened besides.
const GROWTH_EVERY: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Trial {
    pub settings: LoadSettings,
    pub clock: Arc<dyn WallClock>,
    pub began: Instant,
    pub measured: Mutex<Measured>,
    /// The number of the next request, in the order in which they are due.
    next: AtomicU64,
    visitors: Mutex<Visitors>,
    growth: Mutex<Growth>,
    /// Told of each connection that is to be opened.
    more: mpsc::UnboundedSender<()>,
}

/// Visitors who are there, and wait for their turn.
#[derive(Debug)]
struct Visitors {
    waiting: VecDeque<SimulatedVisitor>,
    next: u64,
}

/// How connections become more.
#[derive(Debug)]
struct Growth {
    connections: usize,
    /// When connections were counted last that were opened.
    since: Instant,
    opened: usize,
}

impl Trial {
    /// A trial that begins soon.
    pub fn new(
        settings: LoadSettings,
        clock: Arc<dyn WallClock>,
        more: mpsc::UnboundedSender<()>,
    ) -> Result<Self> {
        let (began, first) = (Instant::now() + START_PAUSE, settings.visitors as u64);
        let waiting =
            (0..first).map(|number| SimulatedVisitor::new(settings.seed, number)).collect();
        let connections = settings.connections_first;
        Ok(Trial {
            clock,
            began,
            measured: Mutex::new(Measured::new()?),
            next: AtomicU64::new(0),
            visitors: Mutex::new(Visitors { waiting, next: first }),
            growth: Mutex::new(Growth { connections, since: began, opened: 0 }),
            more,
            settings,
        })
    }

    /// Connections that were opened.
    pub fn connections(&self) -> usize {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner).connections
    }

    /// When the next request is due; none if that is after the end.
    fn next_due(&self) -> Option<Instant> {
        let LoadSettings { rate, warm_up, duration, .. } = self.settings;
        let after = Duration::from_secs_f64(self.next.fetch_add(1, Relaxed) as f64 / rate);
        (after < warm_up + duration).then(|| self.began + after)
    }

    /// The visitor whose turn it is; another one comes for each that has gone.
    fn next_visitor(&self) -> SimulatedVisitor {
        let mut visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = visitors.waiting.pop_front().filter(|visitor| !visitor.is_gone());
        waiting.unwrap_or_else(|| {
            visitors.next += 1;
            SimulatedVisitor::new(self.settings.seed, visitors.next)
        })
    }

    fn give_back(&self, visitor: SimulatedVisitor) {
        let mut visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        if visitors.waiting.len() < self.settings.visitors {
            visitors.waiting.push_back(visitor);
        }
    }

    /// Has another connection opened, as all were busy when a request was due; not too many at a
    /// time, for what makes responses late for a moment makes them no faster.
    fn grow(&self) {
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        if growth.since.elapsed() > GROWTH_EVERY {
            (growth.since, growth.opened) = (Instant::now(), 0);
        }
        let at_a_time = (growth.connections / 8).max(4);
        if growth.connections < self.settings.connections_max && growth.opened < at_a_time {
            growth.opened += 1;
            growth.connections += 1;
            let _ = self.more.send(());
        }
    }

    /// Notes the response to what was due at a time, and sent at another.
    fn note(&self, due: Instant, sent: Instant, was_free: bool, status: Option<u16>) {
        let counted_from = self.began + self.settings.warm_up;
        if due < counted_from {
            return;
        }
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.saturating_duration_since(due) > LATE {
            match was_free {
                true => measured.sent_late += 1,
                false => measured.waited_for_connection += 1,
            }
        }
        measured.response_time += sent.elapsed();
        match status {
            Some(status) => measured.answered(status, due.elapsed()),
            None => measured.broken += 1,
        }
        measured.elapsed = measured.elapsed.max(counted_from.elapsed());
    }
}

/// Sends requests over a connection, each the next one that is due, until the time is over.
pub(super) async fn drive(trial: Arc<Trial>) -> Result<()> {
    let LoadSettings { target, warm_up, duration, events, .. } = trial.settings;
    let end = trial.began + warm_up + duration;
    let mut wire = connect(target).await?;
    while let Some(due) = trial.next_due() {
        let was_free = Instant::now() <= due + FREE;
        match was_free {
            true => sleep_until(due).await,
            false => trial.grow(),
        }
        let mut visitor = trial.next_visitor();
        let body = visitor.next_body(events, trial.clock.now_ms());
        let sent = Instant::now();
        let answered = wire.ask(&body, &mut visitor).await;
        trial.note(due, sent, was_free, answered);
        trial.give_back(visitor);
        while answered.is_none() && Instant::now() < end {
            match connect(target).await {
                Ok(opened) => {
                    wire = opened;
                    break;
                }
                Err(_) => sleep(RECONNECT_PAUSE).await,
            }
        }
    }
    Ok(())
}

/// Waits until somebody listens, for a while.
pub(super) async fn await_listener(target: SocketAddr) -> Result<()> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(target).await {
            Ok(_) => return Ok(()),
            Err(_) if began.elapsed() < START_MAX => sleep(RECONNECT_PAUSE).await,
            Err(error) => return Err(not_connected(target, &error)),
        }
    }
}

fn not_connected(target: SocketAddr, error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("connecting to the collector at {target}: {error}; does it run?"))
}

/// A connection, with what has arrived and was not read yet.
///
/// One write and one read a request, and `httparse` for what comes back: a client that does more
/// takes more of the machine that is on trial than the collector does.
struct Wire {
    stream: TcpStream,
    arrived: Vec<u8>,
    request: Vec<u8>,
}

async fn connect(target: SocketAddr) -> Result<Wire> {
    let failed = |error: &dyn std::fmt::Display| not_connected(target, error);
    let stream = TcpStream::connect(target).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    Ok(Wire { stream, arrived: Vec::with_capacity(4096), request: Vec::with_capacity(4096) })
}

impl Wire {
    /// Sends a visitor's next request; gives the status, or none if the connection broke.
    async fn ask(&mut self, body: &str, visitor: &mut SimulatedVisitor) -> Option<u16> {
        self.request.clear();
        let (agent, length) = (visitor.agent(), body.len());
        // Writing to memory does not fail.
        let _ = write!(
            self.request,
            "POST /v1/events HTTP/1.1\r\nhost: collector\r\ncontent-type: text/plain\r\n\
             user-agent: {agent}\r\ncontent-length: {length}\r\n"
        );
        if !visitor.cookies.is_empty() {
            let _ = write!(self.request, "cookie: {}\r\n", visitor.cookies);
        }
        let _ = write!(self.request, "\r\n{body}");
        self.stream.write_all(&self.request).await.ok()?;
        self.arrived.clear();
        loop {
            if self.stream.read_buf(&mut self.arrived).await.ok()? == 0 {
                return None;
            }
            if let Some(status) = read_response(&self.arrived, &mut visitor.cookies)? {
                return Some(status);
            }
        }
    }
}

/// A response's status, once all of it is there; the outer one is none if it cannot be read.
fn read_response(bytes: &[u8], cookies: &mut String) -> Option<Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes).ok()? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Some(None),
    };
    let (mut length, mut is_first) = (0, true);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value).ok()?.parse::<usize>().ok()?;
        } else if header.name.eq_ignore_ascii_case("set-cookie") {
            let pair = header.value.split(|byte| *byte == b';').next().unwrap_or_default();
            if std::mem::take(&mut is_first) {
                cookies.clear();
            } else {
                cookies.push_str("; ");
            }
            cookies.push_str(std::str::from_utf8(pair).ok()?);
        }
    }
    Some(response.code.filter(|_| bytes.len() >= head + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_once_all_of_it_is_there_and_its_cookies_kept() {
        let whole = "HTTP/1.1 202 Accepted\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\n\
                     content-length: 2\r\n\r\n{}";
        for length in 0..whole.len() {
            let mut cookies = "old".to_owned();
            assert_eq!(read_response(&whole.as_bytes()[..length], &mut cookies), Some(None));
        }
        let mut cookies = "old".to_owned();
        assert_eq!(read_response(whole.as_bytes(), &mut cookies), Some(Some(202)));
        assert_eq!(cookies, "a=1; b=2");
        let bare = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read_response(bare, &mut cookies), Some(Some(204)));
        assert_eq!(cookies, "a=1; b=2", "without new ones the old ones stay");
        assert_eq!(read_response(b"SSH-2.0", &mut cookies), None);
    }
}
