//! What is asked for, and what is answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::{Answer, AnswerSettings, Place, empty, fault, json, text};
use super::body::{Packing, Refused, body_kind, read_body};
use super::client::{Client, client_of};
use super::config::CollectorConfig;
use super::events::{Body, BodyFault, EventReader, Events};
use super::intake::{Delivery, IntakeQueue, Receipt};
use super::metrics::Metrics;
use super::pixel::{PIXEL, event_of_query};
use crate::config::line_and_column;
use crate::decode::Cpu;
use crate::error::Error;
use crate::spool::Backlog;
use crate::visits::MigratingVisitStore;

/// Bytes of bodies that are in memory at a time, in units of [`MEMORY_UNIT`].
const MEMORY_BYTES_MAX: usize = 256 << 20;
const MEMORY_UNIT: usize = 1 << 10;
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
    memory: Semaphore,
    rate: Option<DefaultKeyedRateLimiter<IpAddr>>,
    cpu: Cpu,
    /// Whether the last batch became durable.
    healthy: AtomicBool,
    stopping: AtomicBool,
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
        let rate = std::num::NonZeroU32::new(config.limits.client_rate_max);
        Service {
            answers: AnswerSettings::new(&config),
            rate: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            config,
            intake,
            backlog,
            metrics,
            migration,
            memory: Semaphore::new(MEMORY_BYTES_MAX / MEMORY_UNIT),
            cpu: Cpu::best(),
            healthy: AtomicBool::new(true),
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
        let mut answer = match (head.method, head.uri.path()) {
            (Method::POST, "/v1/events") => {
                self.take_body(&headers, head.uri.query(), body, peer).await
            }
            (Method::GET, "/v1/pixel.gif") => {
                self.take_pixel(&headers, head.uri.query().unwrap_or_default(), peer).await
            }
            (Method::OPTIONS, "/v1/events" | "/v1/pixel.gif") => self.answers.preflight(),
            (Method::GET | Method::HEAD, "/healthz") => text(StatusCode::OK, "text/plain", "ok\n"),
            (Method::GET | Method::HEAD, "/readyz") => self.readiness(),
            (Method::GET | Method::HEAD, "/metrics") => text(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                self.metrics.text(&self.backlog, self.migration.as_ref()),
            ),
            (_, "/v1/events") => not_allowed("POST, OPTIONS"),
            (_, "/v1/pixel.gif" | "/healthz" | "/readyz" | "/metrics") => not_allowed("GET"),
            _ => fault(StatusCode::NOT_FOUND, "expected /v1/events or /v1/pixel.gif", None),
        };
        self.answers.add_cors(&mut answer, &headers);
        self.metrics.request(answer.status().as_u16(), began.elapsed());
        answer
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
        let client = client_of(headers, query, peer, &self.config);
        if let Err(refused) = self.admit(&client) {
            return of_refused(&refused);
        }
        let limits = &self.config.limits;
        let kind = match body_kind(headers) {
            Ok(kind) => kind,
            Err(refused) => return of_refused(&refused),
        };
        let Some(_held) = self.hold_memory(headers, kind.packing) else {
            return of_refused(&overloaded("too many large bodies at a time"));
        };
        let read = read_body(body, kind.packing, limits.body_bytes_max, limits.request_time_max);
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(refused) => {
                let mut answer = of_refused(&refused);
                // What is left of the body is not read.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return answer;
            }
        };
        let body = match Body::new(bytes) {
            Ok(body) => body,
            Err(BodyFault { message, .. }) => {
                self.metrics.refused(1);
                return fault(StatusCode::BAD_REQUEST, &message, None);
            }
        };
        let reader = EventReader { limits, renewing: &self.config.renewing_events, cpu: self.cpu };
        match reader.read(&body, kind.is_ndjson) {
            Ok(events) => self.take_events(client, body, events).await,
            Err(BodyFault { message, at }) => {
                self.metrics.refused(1);
                let place = place_of(body.text(), at);
                fault(StatusCode::BAD_REQUEST, &message, Some(place))
            }
        }
    }

    /// Takes the events of a body, and answers when they are durable.
    async fn take_events(&self, client: Client, body: Body, events: Events) -> Answer {
        let max = self.config.limits.events_max;
        if events.len() > max {
            let error = format!("expected at most {max} events, found {}", events.len());
            return fault(StatusCode::PAYLOAD_TOO_LARGE, &error, None);
        }
        let (mut taken, mut refusals) = (Vec::with_capacity(events.len()), Vec::new());
        for (place, event) in events.into_iter().enumerate() {
            match event {
                Ok(event) => taken.push(event),
                Err(refusal) => refusals.push((place, refusal.reason)),
            }
        }
        self.metrics.refused(refusals.len());
        let receipt = match self.deliver(Delivery { client, body, events: taken }).await {
            Ok(receipt) => receipt,
            Err(refused) => return of_refused(&refused),
        };
        let mut answer = match refusals.is_empty() {
            true => empty(StatusCode::NO_CONTENT),
            false => json(StatusCode::ACCEPTED, &results(&receipt, refusals)),
        };
        if let Some(visit) = &receipt.visit {
            self.answers.add_visit(&mut answer, visit);
        }
        answer
    }

    async fn take_pixel(&self, headers: &HeaderMap, query: &str, peer: SocketAddr) -> Answer {
        let client = client_of(headers, Some(query), peer, &self.config);
        if let Err(refused) = self.admit(&client) {
            return of_refused(&refused);
        }
        let body = match Body::new(event_of_query(query).into_bytes()) {
            Ok(body) => body,
            Err(error) => return fault(StatusCode::BAD_REQUEST, &error.message, None),
        };
        let renewing = &self.config.renewing_events;
        let reader = EventReader { limits: &self.config.limits, renewing, cpu: self.cpu };
        let events = match reader.read(&body, false) {
            Ok(events) => events.into_iter().flatten().collect(),
            Err(error) => return fault(StatusCode::BAD_REQUEST, &error.message, None),
        };
        match self.deliver(Delivery { client, body, events }).await {
            Ok(receipt) => {
                let mut answer = text(StatusCode::OK, "image/gif", PIXEL);
                if let Some(visit) = &receipt.visit {
                    self.answers.add_visit(&mut answer, visit);
                }
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

    /// Holds memory for a body, as long as what it gives lives.
    fn hold_memory(&self, headers: &HeaderMap, packing: Packing) -> Option<SemaphorePermit<'_>> {
        let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let max = self.config.limits.body_bytes_max;
        let bytes: usize = told.filter(|_| packing == Packing::None).unwrap_or(max).min(max);
        let units = u32::try_from(bytes / MEMORY_UNIT + 1).unwrap_or(u32::MAX);
        self.memory.try_acquire_many(units).ok()
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Receipt, Refused> {
        if delivery.events.is_empty() {
            return Ok(Receipt { ids: Vec::new(), visit: None });
        }
        let Some(done) = self.intake.deliver(delivery).await else {
            return Err(overloaded("too many requests wait"));
        };
        self.healthy.store(done.is_ok(), Relaxed);
        done.map_err(|error| match error {
            // What the disk or the store said is for the operator: it stands in the log.
            Error::Unavailable(_) => overloaded("the events could not be made durable"),
            _ => overloaded("the events were not taken"),
        })
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
        if !self.healthy.load(Relaxed) {
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

fn place_of(text: &str, at: usize) -> Place {
    let (line, column) = line_and_column(text, at);
    Place { byte: at, line, column }
}
