//! One connection: requests at their times, answers and their cookies.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, SET_COOKIE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::LoadSettings;
use super::report::Measured;
use super::visitor::Visitor;
use crate::error::{Error, Result};

/// How long to wait before a connection that broke is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Sends a request every `round` from `first` on, until the time is over.
pub(super) async fn drive(
    settings: &LoadSettings,
    number: usize,
    began: Instant,
    first: Instant,
    round: Duration,
) -> Result<Measured> {
    let mut measured = Measured::new()?;
    let counted_from = began + settings.warm_up;
    let end = counted_from + settings.duration;
    let places = (settings.visitors / settings.connections).max(1) as u64;
    let mut next_visitor = number as u64 * 1_000_000_000;
    let mut visitors: Vec<Visitor> = Vec::new();
    for _ in 0..places {
        visitors.push(Visitor::new(settings.seed, next_visitor));
        next_visitor += 1;
    }
    let mut sender = connect(settings).await?;
    let (mut due, mut turn) = (first, 0);
    while due < end {
        sleep_until(due).await;
        let place = turn % visitors.len();
        turn += 1;
        if visitors[place].is_gone() {
            visitors[place] = Visitor::new(settings.seed, next_visitor);
            next_visitor += 1;
        }
        let visitor = &mut visitors[place];
        let answered = ask(&mut sender, settings, visitor).await;
        if due >= counted_from {
            match answered {
                Some(status) => measured.answered(status, due.elapsed()),
                None => measured.broken += 1,
            }
            measured.elapsed = counted_from.elapsed();
        }
        if answered.is_none() {
            while Instant::now() < end && sender.is_closed() {
                match connect(settings).await {
                    Ok(opened) => sender = opened,
                    Err(_) => sleep(RECONNECT_PAUSE).await,
                }
            }
        }
        due += round;
    }
    Ok(measured)
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(settings: &LoadSettings) -> Result<Sender> {
    let target = settings.target;
    let failed = |error: &dyn std::fmt::Display| {
        Error::Unavailable(format!("connecting to the collector at {target}: {error}"))
    };
    let stream = TcpStream::connect(target).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends a visitor's next request; gives the answer's status, or none if the connection broke.
async fn ask(sender: &mut Sender, settings: &LoadSettings, visitor: &mut Visitor) -> Option<u16> {
    let body = visitor.next_body(settings.events);
    let mut request = Request::post("/v1/events")
        .header(HOST, "collector")
        .header(CONTENT_TYPE, "text/plain")
        .header(USER_AGENT, visitor.agent());
    if !visitor.cookies.is_empty() {
        request = request.header(COOKIE, visitor.cookies.as_str());
    }
    let request = request.body(Full::new(Bytes::from(body))).ok()?;
    sender.ready().await.ok()?;
    let answer: Response<_> = sender.send_request(request).await.ok()?;
    let status = answer.status().as_u16();
    keep_cookies(answer.headers(), &mut visitor.cookies);
    answer.into_body().collect().await.ok()?;
    Some(status)
}

fn keep_cookies(headers: &HeaderMap, cookies: &mut String) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    cookies.clear();
    for cookie in headers.get_all(SET_COOKIE) {
        let pair = cookie.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or_default();
        if !cookies.is_empty() {
            cookies.push_str("; ");
        }
        cookies.push_str(pair);
    }
}
