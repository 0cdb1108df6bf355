//! Ashiato (足跡, footprints): behaviour logs in, tables out.
#![warn(missing_docs)]

pub mod commit;
pub mod config;
pub mod contract;
pub mod decode;
pub mod enrich;
pub mod error;
pub mod interval;
pub mod json;
pub mod pipeline;
pub mod quarantine;
pub mod sink;
pub mod source;
pub mod store;
pub mod transform;
pub mod udf;
