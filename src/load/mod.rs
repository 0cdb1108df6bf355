//! Traffic for a collector's trial: visitors with cookies, at a rate that waits for no answer.
//!
//! ```text
//! schedule     20,000 requests/s over 200 connections: each sends every 10 ms
//! visitor      one of 100 a connection: page_view, click, cart_add, purchase …, then another
//! request      POST /v1/events with the visitor's cookies and one event, or some
//! latency      from the moment when it should have been sent to its answer
//! ```
//!
//! A request is due when the schedule says, whether the one before it was answered or not. Where
//! the collector is late, those that wait behind it are late too, and their waiting counts: nothing
//! is left out because nobody was there to ask (coordinated omission).

mod connection;
mod report;
mod visitor;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use connection::Trial;
pub use report::{LoadReport, Measured};

use crate::error::{Error, Result};
use crate::store::WallClock;

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
    /// Connections over which they go.
    pub connections: usize,
    /// Visitors who are there at a time.
    pub visitors: usize,
    /// Events of a request.
    pub events: usize,
    /// What all is drawn from.
    pub seed: u64,
}

/// Makes traffic, and says how it was answered. Events have the clock's time.
///
/// # Errors
/// [`Error::Usage`] for a rate, a duration, connections or visitors of none;
/// [`Error::Unavailable`] if nobody listens there.
pub async fn load(settings: &LoadSettings, clock: &Arc<dyn WallClock>) -> Result<LoadReport> {
    let LoadSettings { rate, duration, connections, visitors, events, .. } = *settings;
    let is_some = rate > 0.0 && rate.is_finite() && !duration.is_zero();
    if !is_some || connections == 0 || visitors == 0 || events == 0 {
        return Err(Error::Usage(
            "expected a rate, a duration, connections, visitors and events of more than 0"
                .to_owned(),
        ));
    }
    // Whoever starts the collector at the same time need not wait for it.
    connection::await_listener(settings.target).await?;
    let trial = Arc::new(Trial {
        settings: settings.clone(),
        clock: Arc::clone(clock),
        began: Instant::now() + Duration::from_millis(200),
        measured: Mutex::new(Measured::new()?),
    });
    let tasks = (0..connections).map(|number| {
        let trial = Arc::clone(&trial);
        tokio::spawn(async move { connection::drive(&trial, number).await })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.map_err(|error| Error::Bug(format!("making traffic: {error}")))??;
    }
    let measured = trial.measured.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(measured.report(settings))
}
