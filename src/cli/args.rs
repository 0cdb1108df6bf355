//! The arguments of all subcommands.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::base::config::parse_duration;
use crate::base::telemetry::LogFormat;
use crate::collector::visits::Phase;
use crate::scan::Shard;
use crate::tools::generate::GenerateArgs;

/// Turns behaviour logs into tables.
///
/// JSON logs in object storage become partitioned Parquet and TSV that Hadoop takes as they are.
#[derive(Debug, Parser)]
#[command(name = "ashiato", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  done
   64  wrong usage: fix the command line
   65  the data broke a threshold or an expectation: look at the quarantine
   70  a bug in ashiato: report it
   75  a passing failure: retry
   78  wrong configuration: fix the pipeline's files
   99  nothing to do for this interval: skip
  130  stopped by SIGINT; nothing half-visible
  143  stopped by SIGTERM; nothing half-visible (`collect` ends well by it: 0)";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a pipeline over one data interval
    Run(Box<RunArgs>),
    /// Publish what the shards of a run have written
    Publish(Box<PublishArgs>),
    /// List what a pipeline has published: when, from which inputs, made with what
    Runs(RunsArgs),
    /// Copy a published interval to another cluster with DistCp, or print the script that does
    Distcp(DistcpArgs),
    /// Compare a published interval, or a copy of it, with its manifest
    Verify(VerifyArgs),
    /// Remove what attempts that died have left: unfinished uploads, staged files
    Gc(GcArgs),
    /// Take over the tables that the pipeline published under another name or with another state
    Adopt(AdoptArgs),
    /// Check a pipeline without touching data: configuration, SQL, outputs, expectations
    Check(CheckArgs),
    /// Describe the SQL functions
    Functions(FunctionsArgs),
    /// Take events over HTTP, give visits their ids, and land JSON in object storage
    Collect(Box<CollectArgs>),
    /// Send a collector realistic traffic at a rate, and tell how fast it answers
    Load(LoadArgs),
    /// Move visits from one store to another while a collector runs
    Visits(VisitsArgs),
    /// Make synthetic action logs for trials and benchmarks
    Generate(GenerateArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    #[command(flatten)]
    pub interval: IntervalArgs,

    /// A value for a parameter of the pipeline; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,

    /// Print what the run would do, and stop
    #[arg(long)]
    pub dry_run: bool,

    /// Run even if the interval is published already, from the same input by the same pipeline
    #[arg(long)]
    pub force: bool,

    /// Publish however much is rejected: thresholds are not held against this run
    #[arg(long)]
    pub allow_rejects: bool,

    /// Read only one of COUNT parts of the input, and leave its files to `ashiato publish`
    #[arg(long, value_name = "INDEX/COUNT", default_value = "0/1", hide_default_value = true)]
    pub shard: Shard,

    /// Write the result to this file too, besides stdout
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    #[command(flatten)]
    pub logs: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    #[command(flatten)]
    pub interval: IntervalArgs,

    /// How many shards the run has
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub shards: u32,

    /// Publish however much is rejected: thresholds are not held against this run
    #[arg(long)]
    pub allow_rejects: bool,

    /// A value for a parameter of the pipeline; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,

    /// Write the result to this file too, besides stdout
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    #[command(flatten)]
    pub logs: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    #[command(flatten)]
    pub interval: IntervalArgs,

    /// Also publishes that were replaced since
    #[arg(long)]
    pub all: bool,

    /// Name every object that was read
    #[arg(long)]
    pub inputs: bool,

    /// Print JSON, one publish a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DistcpArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    #[command(flatten)]
    pub interval: IntervalArgs,

    /// The folder that gets all tables, each in one of its own: hdfs://namenode/warehouse. A path
    /// without a scheme is in Hadoop's default file system; file:///… is this machine's disk
    #[arg(long, value_name = "URL")]
    pub target: String,

    /// Copy, by the `hadoop` command, and verify; without it, a script that copies is printed
    #[arg(long)]
    pub run: bool,

    #[command(flatten)]
    pub logs: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    #[command(flatten)]
    pub interval: IntervalArgs,

    /// The target of `ashiato distcp`, as it was given there, instead of the tables themselves
    #[arg(long, value_name = "URL")]
    pub at: Option<String>,

    /// Read every file: compare SHA-256 and count the rows
    #[arg(long)]
    pub deep: bool,
}

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    /// Only tell what would be removed
    #[arg(long)]
    pub dry_run: bool,

    /// Leave alone what is younger, in hours: its attempt may be alive
    #[arg(long, value_name = "HOURS", default_value_t = 48)]
    pub older_than: u32,
}

#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    /// The name under which the tables were published; the pipeline's own if absent
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,

    /// The state with which they were published; the pipeline's own if absent
    #[arg(long, value_name = "LOCATION")]
    pub from_state: Option<String>,

    /// Only tell what would be taken over
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct IntervalArgs {
    /// First instant of the interval, RFC 3339 with an offset
    #[arg(long, value_name = "RFC3339", requires = "interval_end")]
    pub interval_start: Option<String>,

    /// First instant after the interval, RFC 3339 with an offset
    #[arg(long, value_name = "RFC3339", requires = "interval_start")]
    pub interval_end: Option<String>,

    /// A local day in the pipeline's time zone, such as 2026-11-21
    #[arg(long, conflicts_with_all = ["interval_start", "interval_end", "hour"])]
    pub date: Option<String>,

    /// A local hour in the pipeline's time zone, such as 2026-11-21T13
    #[arg(long, conflicts_with_all = ["interval_start", "interval_end"])]
    pub hour: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct LogArgs {
    /// How log lines on stderr look
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// No progress, only warnings and errors on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The pipeline's folder: pipeline.toml, contract.toml and SQL files
    #[arg(value_name = "PIPELINE_DIR")]
    pub pipeline: PathBuf,

    /// A collector's configuration: what it takes must get into the tables
    #[arg(long, value_name = "FILE")]
    pub collector: Option<PathBuf>,

    /// Print what is found as one JSON document on stdout, for editors and CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FunctionsArgs {
    /// Only functions whose name contains this
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CollectArgs {
    /// The configuration; without one, a trial's: loopback, everything below out/
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where to listen, instead of what the configuration says
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// The folder of spool and visits, instead of what the configuration says
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Where events land, instead of what the configuration says
    #[arg(long, value_name = "LOCATION")]
    pub landing: Option<String>,

    /// Threads; the number of cores if absent
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,

    #[command(flatten)]
    pub logs: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct VisitsArgs {
    /// The configuration that the collector runs with
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// The collector's folder, instead of what the configuration says
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,

    #[command(subcommand)]
    pub command: VisitsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum VisitsCommand {
    /// Tell the phase, and what was compared and copied since the start
    Status,
    /// Go to a phase: old, dual (write both), new_first, new
    Phase {
        /// The phase
        phase: Phase,
        /// Even by more than a step, or if visits change their ids by that
        #[arg(long)]
        force: bool,
    },
    /// Copy what the old store has and the new one lacks; goes on where the last one ended
    Backfill {
        /// Begin anew
        #[arg(long)]
        restart: bool,
        /// Copy what the new store has and the old one lacks, before a way back
        #[arg(long)]
        back: bool,
    },
    /// Compare both stores: exit code 0 if the new one has all that the old one has, else 65
    Report,
}

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// The collector: a host and a port, or http:// before them
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub target: String,

    /// Requests a second, whether they are answered or not
    #[arg(long, value_name = "RATE", default_value_t = 1000.0)]
    pub rate: f64,

    /// For how long they count
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,

    /// For how long before that they do not
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub warm_up: Duration,

    /// Visitors who are there at a time; each goes after some pages, and another comes. As many as
    /// requests a second, if absent, so that each does something once a second
    #[arg(long, value_name = "COUNT")]
    pub visitors: Option<usize>,

    /// Connections over which they come; as many as the rate needs, if absent
    #[arg(long, value_name = "COUNT")]
    pub connections: Option<usize>,

    /// Events a request
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub events: usize,

    /// Number from which all is drawn; another one each time if absent. The same one sends events
    /// of the same ids, which a collector that knows them takes for sent again
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Threads
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub threads: usize,
}
