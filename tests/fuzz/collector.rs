//! As much of `collector` as reading events needs.

#[path = "../../src/collector/config.rs"]
pub mod config;
#[path = "../../src/collector/events.rs"]
pub mod events;
