//! Visits: who comes, for how long, and which way an item went into the cart.
//!
//! ```text
//! cookies    ashiato_long=0199…a1, ashiato_short=0199…b7.1795233900123.4
//! record     {"short":"0199…b7","seq":4,"seen_ms":1795233900123,"touch":{"via":"…ad…",…},…}
//! event      cart_add of sku 7
//! outcome    long 0199…a1, short 0199…b7, seq 5, via {"channel":"ad"}
//! record     {…,"seq":5,…,"cart":[{"sku":"7","quantity":1,"via":{"channel":"ad"},…}]}
//! ```
//!
//! - `record`, `advance`, `attribution` and `counted` are the rules: pure functions of what is
//!   known of a visitor, an event and the time.
//! - [`VisitStore`] keeps records: embedded, in Redis, or in two places while they move. It changes
//!   a record only if that still is what was read, so that processes that serve the same visitor at
//!   once agree.
//! - [`VisitService`] serves many requests at a time: one load and one compare-and-swap.
//! - `backfill` copies and compares what lies in two stores.

mod advance;
pub(crate) mod attribution;
mod backfill;
mod counted;
mod embedded;
#[cfg(test)]
mod memory;
mod migrating;
mod record;
mod redis_store;
mod store;
mod visit_service;

pub use advance::{VisitOutcome, VisitRules};
pub use attribution::{AttributionRules, EventFacts, EventKind, ItemFacts, ItemVia, Touching, Via};
pub use backfill::{Backfill, BackfillProgress};
pub use embedded::{EmbeddedSettings, EmbeddedVisitStore};
pub use migrating::{MigratingVisitStore, Phase};
pub use record::ShortCookie;
pub use redis_store::{REDIS_PREFIX_DEFAULT, RedisVisitStore};
pub use store::VisitStore;
pub use visit_service::{VisitRequest, VisitService};
