//! One connection: requests at their times, answers and their cookies.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::LoadSettings;
use super::report::Measured;
use super::visitor::Visitor;
use crate::error::{Error, Result};
use crate::store::WallClock;

/// How long a collector may take to start.
const START_MAX: Duration = Duration::from_secs(5);
/// How long to wait before a connection that broke is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Trial {
    pub settings: LoadSettings,
    pub clock: Arc<dyn WallClock>,
    pub began: Instant,
    pub measured: Mutex<Measured>,
}

impl Trial {
    /// Notes the answer to what was due at a time.
    fn note(&self, due: Instant, status: Option<u16>) {
        let counted_from = self.began + self.settings.warm_up;
        if due < counted_from {
            return;
        }
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => measured.answered(status, due.elapsed()),
            None => measured.broken += 1,
        }
        measured.elapsed = measured.elapsed.max(counted_from.elapsed());
    }
}

/// Sends requests over the connection of a number, each at its turn, until the time is over.
pub(super) async fn drive(trial: &Trial, number: usize) -> Result<()> {
    let LoadSettings { target, rate, connections, visitors, events, seed, .. } = trial.settings;
    let end = trial.began + trial.settings.warm_up + trial.settings.duration;
    let places = (visitors / connections).max(1) as u64;
    let mut next_visitor = number as u64 * 1_000_000_000;
    let mut visitors: Vec<Visitor> = Vec::new();
    for _ in 0..places {
        visitors.push(Visitor::new(seed, next_visitor));
        next_visitor += 1;
    }
    let mut wire = connect(target).await?;
    // The first connection sends at once, the last one at the end of a round.
    let round = Duration::from_secs_f64(connections as f64 / rate);
    let (mut due, mut turn) = (trial.began + round.mul_f64(number as f64 / connections as f64), 0);
    while due < end {
        sleep_until(due).await;
        let place = turn % visitors.len();
        turn += 1;
        if visitors[place].is_gone() {
            visitors[place] = Visitor::new(seed, next_visitor);
            next_visitor += 1;
        }
        let visitor = &mut visitors[place];
        let body = visitor.next_body(events, trial.clock.now_ms());
        let answered = wire.ask(&body, visitor).await;
        trial.note(due, answered);
        while answered.is_none() && Instant::now() < end {
            match connect(target).await {
                Ok(opened) => {
                    wire = opened;
                    break;
                }
                Err(_) => sleep(RECONNECT_PAUSE).await,
            }
        }
        due += round;
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
    /// Sends a visitor's next request; gives the answer's status, or none if the connection broke.
    async fn ask(&mut self, body: &str, visitor: &mut Visitor) -> Option<u16> {
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
            if let Some(status) = read_answer(&self.arrived, &mut visitor.cookies)? {
                return Some(status);
            }
        }
    }
}

/// An answer's status, once all of it is there; the outer one is none if it cannot be read.
fn read_answer(bytes: &[u8], cookies: &mut String) -> Option<Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let head = match answer.parse(bytes).ok()? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Some(None),
    };
    let (mut length, mut is_first) = (0, true);
    for header in answer.headers.iter() {
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
    Some(answer.code.filter(|_| bytes.len() >= head + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_all_of_it_is_there_and_its_cookies_kept() {
        let whole = "HTTP/1.1 202 Accepted\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\n\
                     content-length: 2\r\n\r\n{}";
        for length in 0..whole.len() {
            let mut cookies = "old".to_owned();
            assert_eq!(read_answer(&whole.as_bytes()[..length], &mut cookies), Some(None));
        }
        let mut cookies = "old".to_owned();
        assert_eq!(read_answer(whole.as_bytes(), &mut cookies), Some(Some(202)));
        assert_eq!(cookies, "a=1; b=2");
        let bare = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read_answer(bare, &mut cookies), Some(Some(204)));
        assert_eq!(cookies, "a=1; b=2", "without new ones the old ones stay");
        assert_eq!(read_answer(b"SSH-2.0", &mut cookies), None);
    }
}
