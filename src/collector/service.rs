//! What is asked for, and what is answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{ALLOW, CONNECTION, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{Answer, AnswerSettings, Place, empty, fault, json, text};
use super::body::{BodyTaker, Refused, TakenBody, body_kind};
use super::client::{Client, Way, client_of};
use super::config::{CollectorConfig, Limits};
use super::events::{Body, BodyFault, EventReader, Events, NotUtf8};
use super::intake::{Delivery, IntakeQueue, Receipt};
use super::metrics::Metrics;
use super::pixel::{PIXEL, event_of_query};
use crate::config::line_and_column;
use crate::decode::Cpu;
use crate::error::Error;
use crate::spool::Backlog;
use crate::visits::MigratingVisitStore;

/// Bytes of bodies that are in memory at a time, until they are answered.
const BODIES_BYTES_MAX: usize = 256 << 20;
/// For how long the collector says that it is not ready after events could not be made durable.
/// Whoever sends it none in that time is not to wait for ever.
const UNREADY_FOR: Duration = Duration::from_secs(5);
/// The share of the backlog's bound from which on the collector says that it is not ready.
const READY_BACKLOG: f64 = 0.8;

/// Answers requests; shared by all connections.
#[derive(Debug)]
pub(super) struct Service {
    pub config: CollectorConfig,
    pub answers: AnswerSettings,
    pub intake: IntakeQueue,
    pub backlog: Backlog,
    pub metrics: Arc<Metrics>,
    pub migration: Option<MigratingVisitStore>,
    bodies: BodyTaker,
    rate: Option<DefaultKeyedRateLimiter<IpAddr>>,
    cpu: Cpu,
    began: Instant,
    /// When events could not be made durable last, in milliseconds since it began; 0 for never.
    failed_ms: AtomicU64,
    stopping: AtomicBool,
}

/// What a client does with cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// It brought its visitor's.
    Kept,
    /// It brought none that is good.
    New,
    /// It brought some, though its page has no consent for any.
    Unwanted,
}

impl Keeping {
    fn of(client: &Client) -> Self {
        match client.anonymous {
            true if client.parts => Keeping::Unwanted,
            _ if client.keeps_cookies => Keeping::Kept,
            _ => Keeping::New,
        }
    }
}

/// What came of an event, in the body of a 202.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum EventResult {
    Accepted { event_id: String },
    Refused { event_id: Option<String>, reason: String },
}

/// The body of a 202.
#[derive(Debug, Serialize)]
struct Results {
    accepted: usize,
    refused: usize,
    results: Vec<EventResult>,
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<&'static str>,
    backlog_bytes: u64,
    backlog_bytes_max: u64,
    waiting_requests: usize,
}

impl Service {
    pub fn new(
        config: CollectorConfig,
        intake: IntakeQueue,
        backlog: Backlog,
        metrics: Arc<Metrics>,
        migration: Option<MigratingVisitStore>,
    ) -> Self {
        let Limits { body_bytes_max, request_time_max, client_rate_max, .. } = config.limits;
        let rate = std::num::NonZeroU32::new(client_rate_max);
        Service {
            answers: AnswerSettings::new(&config),
            rate: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            config,
            intake,
            backlog,
            metrics,
            migration,
            bodies: BodyTaker::new(body_bytes_max, request_time_max, BODIES_BYTES_MAX),
            cpu: Cpu::best(),
            began: Instant::now(),
            failed_ms: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Says from now on that the collector is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Forgets the rates of clients that are gone; asked now and then.
    pub fn tidy(&self) {
        if let Some(rate) = &self.rate {
            rate.retain_recent();
        }
    }

    /// Answers a request of whoever is connected at `peer`.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Answer
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let headers = head.headers;
        let refusal = self.refuse_page(&headers, &head.uri);
        let mut answer = match (head.method, head.uri.path()) {
            _ if refusal.is_some() => {
                fault(StatusCode::FORBIDDEN, &refusal.unwrap_or_default(), None)
            }
            (Method::POST, "/v1/events") => {
                self.take_body(&headers, head.uri.query(), body, peer).await
            }
            (Method::GET, "/v1/pixel.gif") => {
                self.take_pixel(&headers, head.uri.query().unwrap_or_default(), peer).await
            }
            // Mail servers look whether it is there; nobody has seen it by that.
            (Method::HEAD, "/v1/pixel.gif") => text(StatusCode::OK, "image/gif", PIXEL),
            (Method::OPTIONS, "/v1/events" | "/v1/pixel.gif") => self.answers.preflight(),
            (Method::GET | Method::HEAD, "/healthz") => text(StatusCode::OK, "text/plain", "ok\n"),
            (Method::GET | Method::HEAD, "/readyz") => self.readiness(),
            (Method::GET | Method::HEAD, "/metrics") => text(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                self.metrics.text(&self.backlog, self.migration.as_ref()),
            ),
            (_, "/v1/events") => not_allowed("POST, OPTIONS"),
            (_, "/v1/pixel.gif" | "/healthz" | "/readyz" | "/metrics") => {
                not_allowed("GET, HEAD, OPTIONS")
            }
            _ => fault(StatusCode::NOT_FOUND, "expected /v1/events or /v1/pixel.gif", None),
        };
        self.answers.add_cors(&mut answer, &headers);
        self.metrics.request(answer.status().as_u16(), began.elapsed());
        answer
    }

    /// Why a page may not send events here, if it may not.
    fn refuse_page(&self, headers: &HeaderMap, target: &Uri) -> Option<String> {
        let takes_events = matches!(target.path(), "/v1/events" | "/v1/pixel.gif");
        let checked = || self.answers.origins.check(headers, target.authority());
        // A picture says no origin, whatever page it stands in, and that is its use.
        let is_picture = target.path() == "/v1/pixel.gif" && !headers.contains_key(ORIGIN);
        if takes_events && !is_picture { checked().err() } else { None }
    }

    /// Gives an answer what its client is to remember, or to forget.
    fn add_ids(&self, answer: &mut Answer, receipt: &Receipt, keeping: Keeping) {
        match &receipt.visit {
            Some(visit) => self.answers.add_visit(answer, visit, keeping == Keeping::Kept),
            None if keeping == Keeping::Unwanted => self.answers.expire_cookies(answer),
            None => {}
        }
    }

    async fn take_body<B>(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        body: B,
        peer: SocketAddr,
    ) -> Answer
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let client = client_of(headers, query, Way::Post, peer, &self.config);
        if let Err(refused) = self.admit(&client) {
            return of_refused(&refused);
        }
        let limits = &self.config.limits;
        let kind = match body_kind(headers) {
            Ok(kind) => kind,
            Err(refused) => return of_refused(&refused),
        };
        let TakenBody { bytes, room } = match self.bodies.take(body, kind.packing).await {
            Ok(taken) => taken,
            Err(refused) => {
                let mut answer = of_refused(&refused);
                // What is left of the body is not read.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return answer;
            }
        };
        let body = match Body::new(&bytes) {
            Ok(body) => body,
            Err(NotUtf8 { message, before }) => {
                self.metrics.refused(1);
                let place = place_of(&before, before.len(), 0);
                return fault(StatusCode::BAD_REQUEST, &message, Some(place));
            }
        };
        let reader = EventReader { limits, renewing: &self.config.renewing_events, cpu: self.cpu };
        match reader.read(&body, kind.is_ndjson) {
            Ok(events) => self.take_events(client, body, events, room).await,
            Err(BodyFault { message, at, is_too_large }) => {
                self.metrics.refused(1);
                let place = place_of(body.text(), at, body.skipped);
                let status = match is_too_large {
                    true => StatusCode::PAYLOAD_TOO_LARGE,
                    false => StatusCode::BAD_REQUEST,
                };
                fault(status, &message, Some(place))
            }
        }
    }

    /// Takes the events of a body, and answers when they are durable.
    async fn take_events(
        &self,
        client: Client,
        body: Body,
        events: Events,
        room: OwnedSemaphorePermit,
    ) -> Answer {
        let max = self.config.limits.events_max;
        if events.len() > max {
            let error = format!("expected at most {max} events, found more");
            return fault(StatusCode::PAYLOAD_TOO_LARGE, &error, None);
        }
        let keeping = Keeping::of(&client);
        let mut delivery = Delivery::new(client, body, events.len());
        let mut refusals = Vec::new();
        for (place, event) in events.into_iter().enumerate() {
            match event {
                Ok(event) => delivery.push(event),
                Err(refusal) => refusals.push((place, refusal.reason)),
            }
        }
        self.metrics.refused(refusals.len());
        let receipt = match self.deliver(delivery, Some(room)).await {
            Ok(receipt) => receipt,
            Err(refused) => return of_refused(&refused),
        };
        let mut answer = match (refusals.is_empty(), receipt.ids.is_empty()) {
            (true, _) => empty(StatusCode::NO_CONTENT),
            (false, false) => json(StatusCode::ACCEPTED, &results(&receipt, refusals)),
            // Who looks at the status alone is not to believe that anything was taken.
            (false, true) => json(StatusCode::BAD_REQUEST, &results(&receipt, refusals)),
        };
        self.add_ids(&mut answer, &receipt, keeping);
        answer
    }

    async fn take_pixel(&self, headers: &HeaderMap, query: &str, peer: SocketAddr) -> Answer {
        let client = client_of(headers, Some(query), Way::Pixel, peer, &self.config);
        if let Err(refused) = self.admit(&client) {
            return of_refused(&refused);
        }
        let body = match Body::new(event_of_query(query).as_bytes()) {
            Ok(body) => body,
            Err(NotUtf8 { message, .. }) => {
                return fault(StatusCode::BAD_REQUEST, &message, None);
            }
        };
        let renewing = &self.config.renewing_events;
        let reader = EventReader { limits: &self.config.limits, renewing, cpu: self.cpu };
        let events = match reader.read(&body, false) {
            Ok(events) => events,
            Err(error) => return fault(StatusCode::BAD_REQUEST, &error.message, None),
        };
        let keeping = Keeping::of(&client);
        let mut delivery = Delivery::new(client, body, events.len());
        for mut event in events.into_iter().flatten() {
            event.facts.is_passive = true;
            delivery.push(event);
        }
        match self.deliver(delivery, None).await {
            Ok(receipt) => {
                let mut answer = text(StatusCode::OK, "image/gif", PIXEL);
                self.add_ids(&mut answer, &receipt, keeping);
                answer
            }
            Err(refused) => of_refused(&refused),
        }
    }

    /// Refuses whom there is no room for.
    fn admit(&self, client: &Client) -> Result<(), Refused> {
        if let (Some(rate), Some(ip)) = (&self.rate, &client.ip)
            && rate.check_key(ip).is_err()
        {
            let max = self.config.limits.client_rate_max;
            let error = format!("expected at most {max} requests a second of one client");
            return Err(Refused { status: StatusCode::TOO_MANY_REQUESTS, error });
        }
        if self.backlog.bytes() >= self.config.landing.backlog_bytes_max {
            return Err(overloaded("too much waits for the object store"));
        }
        Ok(())
    }

    /// Has a delivery taken; its body's room is held until it is answered.
    async fn deliver(
        &self,
        delivery: Delivery,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Receipt, Refused> {
        if delivery.facts.is_empty() {
            return Ok(Receipt { ids: Vec::new(), visit: None });
        }
        let Some(done) = self.intake.deliver(delivery, room).await else {
            return Err(overloaded("too many requests wait"));
        };
        done.map_err(|error| {
            self.failed_ms.store(self.age_ms(), Relaxed);
            match error {
                // What the disk or the store said is for the operator: it stands in the log.
                Error::Unavailable(_) => overloaded("the events could not be made durable"),
                _ => overloaded("the events were not taken"),
            }
        })
    }

    /// Milliseconds since it began, from 1.
    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whether events could not be made durable just now.
    fn fails(&self) -> bool {
        let failed_ms = self.failed_ms.load(Relaxed);
        failed_ms > 0 && u128::from(self.age_ms() - failed_ms) < UNREADY_FOR.as_millis()
    }

    fn readiness(&self) -> Answer {
        let (bytes, max) = (self.backlog.bytes(), self.config.landing.backlog_bytes_max);
        let mut reasons = Vec::new();
        if self.stopping.load(Relaxed) {
            reasons.push("stopping");
        }
        if bytes as f64 >= max as f64 * READY_BACKLOG {
            reasons.push("the object store is behind");
        }
        if self.fails() {
            reasons.push("the last events could not be made durable");
        }
        let readiness = Readiness {
            ready: reasons.is_empty(),
            reasons,
            backlog_bytes: bytes,
            backlog_bytes_max: max,
            waiting_requests: self.intake.waiting(),
        };
        match readiness.ready {
            true => json(StatusCode::OK, &readiness),
            false => json(StatusCode::SERVICE_UNAVAILABLE, &readiness),
        }
    }
}

fn overloaded(error: &str) -> Refused {
    Refused { status: StatusCode::SERVICE_UNAVAILABLE, error: error.to_owned() }
}

fn of_refused(refused: &Refused) -> Answer {
    fault(refused.status, &refused.error, None)
}

fn not_allowed(methods: &'static str) -> Answer {
    let error = format!("expected {methods}");
    let mut answer = fault(StatusCode::METHOD_NOT_ALLOWED, &error, None);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// Each event's result in the body's order: where none was refused, one was accepted.
fn results(receipt: &Receipt, refusals: Vec<(usize, String)>) -> Results {
    let (accepted, refused) = (receipt.ids.len(), refusals.len());
    let mut ids = receipt.ids.iter();
    let mut refusals = refusals.into_iter().peekable();
    let result = |place| match refusals.next_if(|(refused, _)| *refused == place) {
        Some((_, reason)) => EventResult::Refused { event_id: None, reason },
        None => EventResult::Accepted {
            event_id: ids.next().map(ToString::to_string).unwrap_or_default(),
        },
    };
    Results { accepted, refused, results: (0..accepted + refused).map(result).collect() }
}

/// A place in a text before which some bytes were skipped.
fn place_of(text: &str, at: usize, skipped: usize) -> Place {
    let (line, column) = line_and_column(text, at);
    Place { byte: skipped + at, line, column }
}
