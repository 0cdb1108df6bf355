//! Object stores by path or URL, and the names of all that is written.
//!
//! ```text
//! "s3://logs/raw/"  ─► StoreLocation      what configuration says, checked without asking anyone
//!                   ─► Store              a client with retries and a meter, and the place in it
//!                   ─► raw/dt=2026-11-21/a.gz, for people s3://logs/raw/dt=2026-11-21/a.gz
//! ```

mod failure;
mod meter;
mod open;
pub mod paths;

pub use failure::store_error;
pub use meter::StoreMeter;
pub use open::{Environment, Store, StoreLocation};
