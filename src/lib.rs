//! Ashiato (足跡, footprints): behaviour logs in, tables out.
//!
//! # The data's way
//!
//! ```text
//!  list ─► read ─► decompress ─► frame ─► decode ──► query ─► expect ─► sink ─► stage ─► publish
//!  └────────────────── scan ───────────────┘  │       (SQL)     │               └── commit ──┘
//!                                             └─ rejects ─► quarantine
//! ```
//!
//! Data goes one way, and three functions are enough to tell it: `scan::scan` gives a stream of
//! batches, `query::Engine::query` turns streams into streams, `sink::write` turns a stream into
//! files. `run::execute` has the whole run on one screen.
//!
//! # Invariants
//!
//! 1. Nothing is lost, nothing is twice: every input line ends as decoded, rejected or blank, and
//!    the run's result proves it.
//! 2. A reader never sees half a run: files become visible only at publish, `_SUCCESS` comes last.
//! 3. The same run twice gives the same table: a rerun replaces what its interval wrote before,
//!    and only that. No file name is ever used again for other bytes.
//! 4. Memory is bounded by configuration, not by input.
//! 5. Bad input is data, not an error: it lies in the quarantine, byte for byte.
//! 6. Errors are for the reader: what was done to which object, expected, found, what to do.
//! 7. Clocks, ids and randomness come in as arguments.
//! 8. stdout is for machines: its last line is the run's result.
//!
//! # The folders
//!
//! Each imports only those above it, and the architecture test knows each pair by name.
//!
//! ```text
//! base         errors, configuration files, intervals, locations, clocks, ids, files, logs
//! json         JSON as bytes: the vectorised scanner, the plain reader
//! store        object stores and their decorators: retry, meter, limits, fault injection
//! contract     columns, JSON paths, types, coercions → the Arrow schema
//! enrich       tax, GeoIP, user agents, URLs: pure look-ups
//! pipeline     pipeline.toml → Pipeline, typed and resolved
//! decode       NDJSON bytes → record batches and rejects; fast, and a reference implementation
//! udf          one SQL function a file over enrich
//! scan         list, read ahead, decompress, frame, decode → a stream of batches
//! quarantine   rejects → files, with reason, object, line and offset; thresholds
//! query        the engine: logs and reference tables, views of SQL files, expectations
//! sink         partition paths, rolling writers, Parquet, TSV
//! commit       stage, intent, manifest, publish, recover, verify, gc, DistCp
//! run          a run: planned, executed, reported
//! collector    a program of its own: events over HTTP, visits, the spool, landing
//! tools        synthetic logs and open-loop traffic
//! cli          the command line, one file a subcommand
//! ```
//!
//! # To embed it
//!
//! [`Pipeline::load`] reads a pipeline, [`Runner`] runs it over an [`Interval`] and gives a
//! [`RunReport`]; [`collect`] is the collector. What is not named here is the program's own.
#![warn(missing_docs)]

pub(crate) mod base;
pub mod cli;
pub(crate) mod collector;
pub(crate) mod commit;
pub(crate) mod contract;
pub(crate) mod decode;
pub(crate) mod enrich;
pub(crate) mod json;
pub(crate) mod pipeline;
pub(crate) mod quarantine;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod sink;
pub(crate) mod store;
pub(crate) mod tools;
pub(crate) mod udf;

pub use base::clock::{SystemWallClock, WallClock};
pub use base::config::ConfigFile;
pub use base::environment::Environment;
pub use base::error::{Diagnostic, Error, Result, Signal};
pub use base::ids::{Ids, RandomIds};
pub use base::interval::Interval;
pub use base::telemetry::Progress;
pub use collector::{
    CollectorConfig, CollectorContext, CollectorSignals, StopTokens, collect,
    parse_collector_config,
};
pub use pipeline::Pipeline;
pub use run::{RunControl, RunOptions, RunReport, RunResult, Runner, Status, check_pipeline};
pub use scan::Shard;
pub use store::Stores;

/// What benchmarks and tests of this repository reach into; it changes with any version.
#[doc(hidden)]
pub mod internals {
    pub use crate::base::clock::SystemClock;
    pub use crate::base::location::StoreLocation;
    pub use crate::base::run_ids::AttemptId;
    pub use crate::contract::{Contract, parse_contract};
    pub use crate::decode::{Decoder, Lines, ReferenceDecoder};
    pub use crate::enrich::{Enrichment, GeoDatabases, Keys, TaxUnknown};
    pub use crate::pipeline::*;
    pub use crate::scan::{FrameOptions, SourceObject, open_object};
    pub use crate::sink::{EncoderPool, OutputWriter, PartitionKey, WriterOptions};
    pub use crate::store::Store;
    pub use crate::tools::generate::{CompressionChoice, GenerateArgs, generate};

    /// The SQL functions.
    pub mod udf {
        pub use crate::udf::{all, docs, register};
    }
}
