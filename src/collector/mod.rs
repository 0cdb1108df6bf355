//! The collector: browsers' events, given their visits and durable before they are answered.
//!
//! ```text
//! browser ─► connection ─► request ─► body ─► events ─► [queue] ─► visits ─► spool ─► response
//!            server        service    body    events    intake    spooler │
//!                                                                         └► landing ─► store
//! ```
//!
//! One event on its way:
//!
//! 1. `body`: gzip in bounds → `{"event_id":"0199…","event":"click","via":"ad"}`;
//! 2. `events`: checked to be JSON, and where its few members stand that are looked at;
//! 3. `client`: 192.0.2.1, a browser, cookies of visitor 0199…a1;
//! 4. `intake`: with all that came meanwhile → visit 0199…b7, its third event, by way of `ad`;
//! 5. `envelope`: `{"event_id":"0199…","received_at":…,"visit":{…},"via":…,"body":{…}}`;
//! 6. the spool has it on disk → 204 with cookies; a minute later it is in the object store.
//!
//! What is answered with 2xx is on this machine's disk, and reaches the object store once. What is
//! not, the client sends again, with the same id.

mod body;
mod claims;
mod client;
mod clock;
mod config;
mod config_file;
mod config_store;
mod control;
mod cookies;
mod envelope;
mod event_keys;
mod events;
mod frames;
mod health;
mod intake;
mod limiter;
mod members;
mod metrics;
mod origins;
mod pixel;
mod process;
mod receipt;
mod response;
mod serve;
mod server;
mod service;
mod shares;
mod socket;
pub mod spool;
mod spooler;
pub mod visits;

pub use config::*;
pub use config_file::{check_collector_config, parse_collector_config};
pub use control::{ControlRequest, ask_control};
pub use serve::{CollectorContext, CollectorSignals, collect};
pub use server::StopTokens;
