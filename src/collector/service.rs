//! Requests and their responses: routes, checks and refusals.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{ACCEPT, ALLOW, CONNECTION, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use serde::Serialize;

use super::body::{BodyKind, BodyTaker, ContentEncoding, Refused, TakenBody, body_kind};
use super::client::{Client, Way, client_of};
use super::config::{CollectorConfig, CollectorLimits};
use super::event_keys::{EventKeyMaker, SECRET_BYTES};
use super::events::{Body, BodyError, EventReader, Events, NotUtf8};
use super::health::Health;
use super::intake::{Delivery, IntakeQueue};
use super::limiter::{Bill, ClientLimiter};
use super::metrics::{Metrics, to_prometheus_text};
use super::pixel::{PIXEL, event_of_query};
use super::receipt::Receipt;
use super::response::{
    BodyPosition, CollectorResponse, ResponseSettings, empty, error_response, json, text,
};
use super::shares::Share;
use super::spool::Backlog;
use super::visits::MigratingVisitStore;
use crate::base::config::line_and_column;
use crate::base::error::Error;
use crate::json::scan::Cpu;

/// Answers requests; shared by all connections. Another one takes its place when the configuration
/// is read again.
#[derive(Debug)]
pub(super) struct CollectorService {
    pub config: CollectorConfig,
    pub responses: ResponseSettings,
    pub intake: IntakeQueue,
    pub backlog: Backlog,
    pub metrics: Arc<Metrics>,
    pub migration: Option<MigratingVisitStore>,
    health: Arc<Health>,
    bodies: BodyTaker,
    limiter: ClientLimiter,
    keys: EventKeyMaker,
    cpu: Cpu,
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
/// What services share that follow each other.
#[derive(Debug, Clone)]
pub(super) struct ServiceParts {
    pub intake: IntakeQueue,
    pub backlog: Backlog,
    pub metrics: Arc<Metrics>,
    pub migration: Option<MigratingVisitStore>,
    pub health: Arc<Health>,
    pub bodies: BodyTaker,
    /// For events' keys where no key signs cookies; it ends with the process.
    pub secret: [u8; SECRET_BYTES],
}

/// Places of events in their body, and why they are refused.
type Refusals = Vec<(usize, String)>;

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

impl CollectorService {
    pub fn new(config: CollectorConfig, parts: ServiceParts) -> Self {
        let CollectorLimits { body_bytes_max, request_time_max, .. } = config.limits;
        let ServiceParts { intake, backlog, metrics, migration, health, bodies, secret } = parts;
        let derived = config.cookies.keys.derive(b"addresses in keys of events");
        CollectorService {
            keys: EventKeyMaker::new(&derived.unwrap_or(secret)),
            responses: ResponseSettings::new(&config),
            limiter: ClientLimiter::new(&config.limits),
            config,
            intake,
            backlog,
            metrics,
            migration,
            health,
            bodies: bodies.with_bounds(body_bytes_max, request_time_max),
            cpu: Cpu::best(),
        }
    }

    /// Says from now on that the collector is not ready.
    pub fn stop(&self) {
        self.health.stop();
    }

    /// Forgets the rates of clients that are gone; asked now and then.
    pub fn tidy(&self) {
        self.limiter.tidy();
    }

    /// Answers a request of whoever is connected at `peer`.
    pub async fn respond<B>(&self, request: Request<B>, peer: SocketAddr) -> CollectorResponse
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let mut cors = HeaderMap::new();
        if let Some(origin) = head.headers.get(ORIGIN) {
            // A copy: else all of the head would stay in memory until its body is there.
            cors.extend(HeaderValue::from_bytes(origin.as_bytes()).map(|origin| (ORIGIN, origin)));
        }
        let refusal = self.refuse_page(&head.headers, &head.uri);
        let takes_body = head.method == Method::POST && head.uri.path() == "/v1/events";
        let mut response = match (refusal, takes_body) {
            (Some(refusal), _) => error_response(StatusCode::FORBIDDEN, &refusal, None),
            (None, true) => match self.begin_body(&head, peer) {
                Ok((client, kind)) => {
                    drop(head);
                    self.take_body(client, kind, body).await
                }
                Err(refused) => self.of_refused(&refused, 1),
            },
            (None, false) => self.respond_to_head(&head, peer).await,
        };
        self.responses.add_cors(&mut response, &cors);
        self.metrics.request(response.status().as_u16(), began.elapsed());
        response
    }

    /// Answers what has no body that counts.
    async fn respond_to_head(&self, head: &Parts, peer: SocketAddr) -> CollectorResponse {
        let headers = &head.headers;
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/v1/pixel.gif") => {
                self.take_pixel(headers, head.uri.query().unwrap_or_default(), peer).await
            }
            // Mail servers look whether it is there; nobody has seen it by that.
            (&Method::HEAD, "/v1/pixel.gif") => text(StatusCode::OK, "image/gif", PIXEL),
            (&Method::OPTIONS, "/v1/events" | "/v1/pixel.gif") => self.responses.preflight(),
            (&Method::GET | &Method::HEAD, "/healthz") => {
                text(StatusCode::OK, "text/plain", "ok\n")
            }
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(headers),
            (_, "/v1/events") => not_allowed("POST, OPTIONS"),
            (_, "/v1/pixel.gif" | "/healthz" | "/readyz" | "/metrics") => {
                not_allowed("GET, HEAD, OPTIONS")
            }
            _ => {
                error_response(StatusCode::NOT_FOUND, "expected /v1/events or /v1/pixel.gif", None)
            }
        }
    }

    /// Why a page may not send events here, if it may not.
    fn refuse_page(&self, headers: &HeaderMap, target: &Uri) -> Option<String> {
        let takes_events = matches!(target.path(), "/v1/events" | "/v1/pixel.gif");
        let checked = || self.responses.origins.check(headers, target.authority());
        // A picture says no origin, whatever page it stands in, and that is its use.
        let is_picture = target.path() == "/v1/pixel.gif" && !headers.contains_key(ORIGIN);
        if takes_events && !is_picture { checked().err() } else { None }
    }

    /// Gives a response what its client is to remember, or to forget.
    fn add_ids(&self, response: &mut CollectorResponse, receipt: &Receipt, keeping: Keeping) {
        match &receipt.visit {
            Some(visit) => self.responses.add_visit(response, visit, keeping == Keeping::Kept),
            None if keeping == Keeping::Unwanted => self.responses.expire_cookies(response),
            None => {}
        }
    }

    /// What is counted, in the format that is asked for.
    fn metrics(&self, headers: &HeaderMap) -> CollectorResponse {
        let text_of = self.metrics.text(&self.backlog, self.migration.as_ref());
        let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        match accepts.is_some_and(|accepted| accepted.contains("application/openmetrics-text")) {
            true => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                text(StatusCode::OK, kind, text_of)
            }
            false => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                text(StatusCode::OK, kind, to_prometheus_text(&text_of))
            }
        }
    }

    /// Reads all that is needed of a head before its body.
    fn begin_body(&self, head: &Parts, peer: SocketAddr) -> Result<(Client, BodyKind), Refused> {
        let client = client_of(&head.headers, head.uri.query(), Way::Post, peer, &self.config);
        self.admit(&client)?;
        let kind = body_kind(&head.headers)?;
        if kind.encoding != ContentEncoding::None {
            self.limiter.admit_packed(&client)?;
        }
        Ok((client, kind))
    }

    async fn take_body<B>(&self, client: Client, kind: BodyKind, body: B) -> CollectorResponse
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limits = &self.config.limits;
        // Those of whom nothing is known are one.
        let whose = client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let taken = self.bodies.take(whose, body, kind.encoding).await;
        let TakenBody { bytes, memory, sent } = match taken {
            Ok(taken) => taken,
            Err(refused) => {
                let mut response = self.of_refused(&refused, 1);
                // What is left of the body is not read.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return response;
            }
        };
        let mut bill = Bill::of(sent);
        self.limiter.charge_unpacked(&client, &mut bill, bytes.len());
        let body = match Body::new(&bytes) {
            Ok(body) => body,
            Err(NotUtf8 { message, before }) => {
                self.metrics.refused(1);
                let place = place_of(&before, before.len(), 0);
                return error_response(StatusCode::BAD_REQUEST, &message, Some(place));
            }
        };
        let reader = EventReader { limits, renewing: &self.config.renewing_events, cpu: self.cpu };
        match reader.read(&body, kind.is_ndjson) {
            Ok(events) => match self.delivery(client, body, events, &mut bill) {
                Ok((delivery, refusals)) => self.take_events(delivery, refusals, memory).await,
                Err((refused, count)) => self.of_refused(&refused, count),
            },
            Err(BodyError { message, at, is_too_large }) => {
                self.metrics.refused(1);
                let place = place_of(body.text(), at, body.skipped);
                let status = match is_too_large {
                    true => StatusCode::PAYLOAD_TOO_LARGE,
                    false => StatusCode::BAD_REQUEST,
                };
                error_response(status, &message, Some(place))
            }
        }
    }

    /// What of a body's events is taken, and which ones are refused; not more than a request, and
    /// its client, may make of it. If all are refused, also says how many.
    fn delivery(
        &self,
        client: Client,
        body: Body,
        events: Events,
        bill: &mut Bill,
    ) -> Result<(Delivery, Refusals), (Refused, usize)> {
        let CollectorLimits { events_max, request_lines_bytes_max, .. } = self.config.limits;
        let count = events.len();
        let too_large =
            |error: String| (Refused { status: StatusCode::PAYLOAD_TOO_LARGE, error }, count);
        if events.len() > events_max {
            return Err(too_large(format!("expected at most {events_max} events, found more")));
        }
        let mut delivery = Delivery::new(client, body, events.len());
        let mut refusals = Vec::new();
        for (place, event) in events.into_iter().enumerate() {
            match event {
                Ok(event) => delivery.push(event, &self.keys),
                Err(refusal) => refusals.push((place, refusal.reason)),
            }
        }
        let bytes = delivery.lines_bytes();
        if bytes > request_lines_bytes_max {
            return Err(too_large(format!(
                "expected events that become at most {request_lines_bytes_max} bytes of lines, \
                 found some {bytes}, as each item of a cart gets what led to it: send fewer at a \
                 time"
            )));
        }
        let charged = self.limiter.charge_lines(&delivery.client, bill, bytes);
        charged.map_err(|refused| (refused, count))?;
        self.metrics.refused(refusals.len());
        Ok((delivery, refusals))
    }

    /// Takes the events of a body, and answers when they are durable.
    async fn take_events(
        &self,
        delivery: Delivery,
        refusals: Refusals,
        memory: Share,
    ) -> CollectorResponse {
        let keeping = Keeping::of(&delivery.client);
        let receipt = match self.deliver(delivery, Some(memory)).await {
            Ok(receipt) => receipt,
            Err(refused) => return of_refused(&refused),
        };
        let mut response = match (refusals.is_empty(), receipt.ids.is_empty()) {
            (true, _) => empty(StatusCode::NO_CONTENT),
            (false, false) => json(StatusCode::ACCEPTED, &results(&receipt, refusals)),
            // Who looks at the status alone is not to believe that anything was taken.
            (false, true) => json(StatusCode::BAD_REQUEST, &results(&receipt, refusals)),
        };
        self.add_ids(&mut response, &receipt, keeping);
        response
    }

    async fn take_pixel(
        &self,
        headers: &HeaderMap,
        query: &str,
        peer: SocketAddr,
    ) -> CollectorResponse {
        let client = client_of(headers, Some(query), Way::Pixel, peer, &self.config);
        if let Err(refused) = self.admit(&client) {
            return of_refused(&refused);
        }
        let body = match Body::new(event_of_query(query).as_bytes()) {
            Ok(body) => body,
            Err(NotUtf8 { message, .. }) => {
                self.metrics.refused(1);
                return error_response(StatusCode::BAD_REQUEST, &message, None);
            }
        };
        let renewing = &self.config.renewing_events;
        let reader = EventReader { limits: &self.config.limits, renewing, cpu: self.cpu };
        let events = match reader.read(&body, false) {
            Ok(events) => events,
            Err(error) => {
                self.metrics.refused(1);
                return error_response(StatusCode::BAD_REQUEST, &error.message, None);
            }
        };
        let keeping = Keeping::of(&client);
        let mut delivery = Delivery::new(client, body, events.len());
        for mut event in events.into_iter().flatten() {
            event.facts.is_passive = true;
            delivery.push(event, &self.keys);
        }
        match self.deliver(delivery, None).await {
            Ok(receipt) => {
                let mut response = text(StatusCode::OK, "image/gif", PIXEL);
                self.add_ids(&mut response, &receipt, keeping);
                response
            }
            Err(refused) => of_refused(&refused),
        }
    }

    /// Refuses whom there is no room for.
    fn admit(&self, client: &Client) -> Result<(), Refused> {
        self.limiter.admit(client)?;
        if self.backlog.bytes() >= self.config.landing.backlog_bytes_max {
            return Err(overloaded("too much waits for the object store"));
        }
        Ok(())
    }

    /// Has a delivery taken; its body's memory is held until it is answered.
    async fn deliver(&self, delivery: Delivery, memory: Option<Share>) -> Result<Receipt, Refused> {
        if delivery.facts.is_empty() {
            return Ok(Receipt { ids: Vec::new(), visit: None });
        }
        let Some(done) = self.intake.deliver(delivery, memory).await else {
            return Err(overloaded("too many requests wait"));
        };
        self.health.note(done.is_ok());
        done.map_err(|error| match error {
            // What the disk or the store said is for the operator: it stands in the log.
            Error::Unavailable(_) => overloaded("the events could not be made durable"),
            _ => overloaded("the events were not taken"),
        })
    }

    /// Says why events are refused, and counts them unless they may come again.
    fn of_refused(&self, refused: &Refused, events: usize) -> CollectorResponse {
        let is_for_good = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ];
        if is_for_good.contains(&refused.status) {
            self.metrics.refused(events);
        }
        of_refused(refused)
    }

    fn readiness(&self) -> CollectorResponse {
        let max = self.config.landing.backlog_bytes_max;
        let reasons = self.health.reasons(&self.backlog, max);
        let readiness = Readiness {
            ready: reasons.is_empty(),
            reasons,
            backlog_bytes: self.backlog.bytes(),
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

fn of_refused(refused: &Refused) -> CollectorResponse {
    error_response(refused.status, &refused.error, None)
}

fn not_allowed(methods: &'static str) -> CollectorResponse {
    let error = format!("expected {methods}");
    let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, &error, None);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Each event's result in the body's order: where none was refused, one was accepted.
fn results(receipt: &Receipt, refusals: Refusals) -> Results {
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
fn place_of(text: &str, at: usize, skipped: usize) -> BodyPosition {
    let (line, column) = line_and_column(text, at);
    BodyPosition { byte: skipped + at, line, column }
}
