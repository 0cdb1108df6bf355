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
use std::time::Duration;

use tokio::time::Instant;

pub use report::{LoadReport, Measured};

use crate::error::{Error, Result};

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

/// Makes traffic, and says how it was answered.
///
/// # Errors
/// [`Error::Usage`] for a rate, connections or visitors of none; [`Error::Unavailable`] if nobody
/// listens there.
pub async fn load(settings: &LoadSettings) -> Result<LoadReport> {
    let LoadSettings { rate, connections, visitors, events, .. } = *settings;
    if !(rate > 0.0 && rate.is_finite()) || connections == 0 || visitors == 0 || events == 0 {
        return Err(Error::Usage(
            "expected a rate, connections, visitors and events of more than 0".to_owned(),
        ));
    }
    // Each connection sends at its turn: the first one of a round at once, the last one at its end.
    let turn = Duration::from_secs_f64(1.0 / rate);
    let round = Duration::from_secs_f64(connections as f64 / rate);
    let began = Instant::now() + Duration::from_millis(200);
    let tasks = (0..connections).map(|number| {
        let settings = settings.clone();
        let first = began + turn.mul_f64(number as f64);
        tokio::spawn(async move { connection::drive(&settings, number, began, first, round).await })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut measured = Measured::new()?;
    for task in tasks {
        let one = task.await.map_err(|error| Error::Bug(format!("making traffic: {error}")))?;
        measured.add(&one?)?;
    }
    Ok(measured.report(settings))
}
