//! Open-loop traffic for a collector: visitors with cookies, at a rate that waits for no response.
//!
//! ```text
//! schedule     20,000 requests/s: one is due every 50 µs, and goes over a connection that is free
//! visitor      one of 20,000: page_view, click, cart_add, purchase …, then another comes
//! request      POST /v1/events with the visitor's cookies and one event, or some
//! latency      from the moment when it should have been sent to its response
//! ```
//!
//! A request is due when the schedule says, whether the one before it was answered or not. Where
//! the collector is late, those that wait after it are late too, and their waiting counts: nothing
//! is left out because nobody was there to ask (coordinated omission). Where all connections are
//! busy, others are opened, up to a number; and where it was that number, or the machine that makes
//! the traffic, that kept requests from going out, the report says so.

mod connection;
mod report;
mod visitor;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use connection::{Trial, drive};
pub use report::LoadReport;

use crate::base::clock::WallClock;
use crate::base::error::{Error, Result};

/// What traffic to make.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSettings {
    /// The collector.
    pub target: SocketAddr,
    /// Requests a second.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// Requests before that which are not counted, as a time.
    pub warm_up: Duration,
    /// Connections over which they go at first.
    pub connections_first: usize,
    /// Connections that there may be, where these are busy.
    pub connections_max: usize,
    /// Visitors who are there at a time.
    pub visitors: usize,
    /// Events of a request.
    pub events: usize,
    /// What all is drawn from. Another trial with the same one sends events of the same ids.
    pub seed: u64,
    /// Threads that make the traffic.
    pub threads: usize,
}

/// Makes traffic, and says how it was answered. Events have the clock's time.
///
/// # Errors
/// [`Error::Usage`] for a rate, a duration, connections or visitors of none;
/// [`Error::Unavailable`] if nobody listens there.
pub async fn load(settings: &LoadSettings, clock: &Arc<dyn WallClock>) -> Result<LoadReport> {
    let LoadSettings { rate, duration, connections_first, visitors, events, .. } = *settings;
    let is_some = rate > 0.0 && rate.is_finite() && !duration.is_zero();
    if !is_some || connections_first == 0 || visitors == 0 || events == 0 {
        return Err(Error::Usage(
            "expected a rate, a duration, connections, visitors and events of more than 0"
                .to_owned(),
        ));
    }
    // Whoever starts the collector at the same time need not wait for it.
    connection::await_listener(settings.target).await?;
    let (more, mut wanted) = mpsc::unbounded_channel();
    let trial = Arc::new(Trial::new(settings.clone(), Arc::clone(clock), more)?);
    let (began, used) = (Instant::now(), cpu_time());
    let mut tasks = JoinSet::new();
    for _ in 0..connections_first {
        tasks.spawn(drive(Arc::clone(&trial)));
    }
    loop {
        tokio::select! {
            Some(()) = wanted.recv() => {
                tasks.spawn(drive(Arc::clone(&trial)));
            }
            ended = tasks.join_next() => match ended {
                Some(ended) => {
                    ended.map_err(|error| Error::Bug(format!("making traffic: {error}")))??;
                }
                None => break,
            },
        }
    }
    let cpu = cpu_time().saturating_sub(used).as_secs_f64();
    let share = cpu / (began.elapsed().as_secs_f64() * settings.threads.max(1) as f64);
    let measured = trial.measured.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(measured.report(settings, trial.connections(), share))
}

/// What of processors this process has used.
fn cpu_time() -> Duration {
    let Ok(used) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let duration = |time: TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(micros.unsigned_abs())
    };
    duration(used.user_time()) + duration(used.system_time())
}
