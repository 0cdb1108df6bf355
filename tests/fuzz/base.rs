//! As much of `base` as decoding and reading events needs.

#[path = "../../src/base/config/mod.rs"]
pub mod config;
#[path = "../../src/base/error.rs"]
pub mod error;
#[path = "../../src/base/ids.rs"]
pub mod ids;
