//! `ashiato generate`: synthetic action logs of any size, for trials and benchmarks.
//!
//! Everything is drawn from the seed, each object on its own, so that the same call writes the same
//! bytes however many threads there are. One call on its way:
//!
//! ```text
//! arguments   --seed 7 --lines 2000 --hours 4 --objects-per-hour 2 --compression mixed
//! plan        8 objects: dt=2026-11-21/hr=00/part-00000.ndjson.gz: 268 lines, …
//! object.rs   lines every 13.4 s of the hour, flawed ones among them, gzip of two members, …
//! visit.rs    a visit of u0000012 at `food`, from Japan, with an iPhone
//! record.rs   {"v":2,"event_id":"9c5f…","time":"2026-11-21T00:05:00.123+09:00",…}
//! flaw.rs     {"v":2,"event_id":"9c5f…","time":"2026-11-21T00:61:00.123+09:00",…}
//! summary     {"seed":7,"files":8,"bytes":1761203,…,"lines":2000,"records":1953,…}
//! ```
//!
//! Objects are not all alike, as real ones aren't: by their number some have CRLF for LF, a byte
//! order mark, no last line end, or two gzip members (zstd frames).

mod catalogue;
mod flaw;
mod hour;
mod json_text;
mod object;
mod random;
mod record;
mod summary;
mod visit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, TimeZone};

use crate::base::config::parse_byte_size;
use crate::base::error::{Error, Result};

use hour::Hour;
use object::{Codec, ObjectPlan, ObjectSize, WrittenObject};
pub use summary::GenerateSummary;

/// Asia/Tokyo is nine hours before UTC and has no daylight saving time.
const TOKYO_OFFSET_SECONDS: i32 = 9 * 3600;
/// Lines if neither `--lines` nor `--bytes` says how many.
const LINES_DEFAULT: u64 = 10_000;
const HOURS_MAX: u32 = 24 * 366;
const OBJECTS_PER_HOUR_MAX: u32 = 10_000;
/// Visits by hour of the day, relative to each other: quiet before dawn, most after dinner.
const TRAFFIC: [u64; 24] =
    [30, 18, 10, 7, 6, 8, 15, 28, 38, 40, 42, 46, 60, 48, 44, 45, 48, 52, 58, 66, 76, 84, 74, 50];

/// What to generate and where.
#[derive(Debug, Clone, clap::Args)]
pub struct GenerateArgs {
    /// Directory to write to, as dt=2026-11-21/hr=13/part-00000.ndjson.gz; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Number from which everything is drawn; the same one gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Lines in all, bad and blank ones among them [default: 10000]
    #[arg(long, value_name = "N", conflicts_with = "bytes")]
    pub lines: Option<u64>,

    /// Bytes in all before compression, such as 1GiB; the last line of each object ends after it
    #[arg(long, value_name = "SIZE", value_parser = parse_byte_size)]
    pub bytes: Option<u64>,

    /// First day, in Asia/Tokyo
    #[arg(long, value_name = "DATE", default_value = "2026-11-21")]
    pub date: NaiveDate,

    /// Hours from that day's beginning, over which the lines are spread as visitors come
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub hours: u32,

    /// Of those, write only these, such as 0,9,23 (on the second day they count on from 24)
    #[arg(long, value_name = "HOUR", value_delimiter = ',')]
    pub only_hours: Vec<u32>,

    /// Objects in each hour's directory
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub objects_per_hour: u32,

    /// How objects are compressed; mixed takes turns
    #[arg(long, value_enum, default_value_t = CompressionChoice::Gzip)]
    pub compression: CompressionChoice,

    /// Share of lines that are blank or that the pipeline refuses, each kind in turn, 0 to 1
    #[arg(long, value_name = "RATIO", default_value_t = 0.001)]
    pub bad_ratio: f64,

    /// Replace the part files in the hours' directories, if there are any
    #[arg(long)]
    pub force: bool,
}

/// Compressions by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CompressionChoice {
    /// gzip, level 6.
    Gzip,
    /// Zstandard, level 3.
    Zstd,
    /// None.
    None,
    /// gzip and Zstandard by turns.
    Mixed,
}

impl CompressionChoice {
    fn codec(self, number: u32) -> Codec {
        match self {
            CompressionChoice::Gzip => Codec::Gzip,
            CompressionChoice::Zstd => Codec::Zstd,
            CompressionChoice::None => Codec::Plain,
            CompressionChoice::Mixed if number.is_multiple_of(2) => Codec::Gzip,
            CompressionChoice::Mixed => Codec::Zstd,
        }
    }
}

/// Generates action logs.
///
/// # Errors
/// `Error::Usage` if an argument is out of its range, or if there are part files where some would
/// be written and `force` is not set; `Error::Unavailable` if a file cannot be written.
pub fn generate(args: &GenerateArgs) -> Result<GenerateSummary> {
    check_arguments(args)?;
    let objects = plan_objects(args)?;
    clear_directories(&objects, args.force)?;
    let mut summary =
        GenerateSummary { seed: args.seed, files: objects.len() as u64, ..Default::default() };
    for written in write_objects(&objects, args.seed)? {
        summary.bytes += written.bytes;
        summary.compressed_bytes += written.compressed_bytes;
        summary.counts.add(&written.counts);
    }
    Ok(summary)
}

fn check_arguments(args: &GenerateArgs) -> Result<()> {
    let limits = [
        ("--hours", args.hours, HOURS_MAX),
        ("--objects-per-hour", args.objects_per_hour, OBJECTS_PER_HOUR_MAX),
    ];
    for (name, found, max) in limits {
        if !(1..=max).contains(&found) {
            return Err(Error::Usage(format!("{name}: expected 1 to {max}, found {found}")));
        }
    }
    if let Some(hour) = args.only_hours.iter().find(|hour| **hour >= args.hours) {
        let last = args.hours - 1;
        return Err(Error::Usage(format!("--only-hours: expected 0 to {last}, found {hour}")));
    }
    if !(0.0..=1.0).contains(&args.bad_ratio) {
        let found = args.bad_ratio;
        return Err(Error::Usage(format!("--bad-ratio: expected 0 to 1, found {found}")));
    }
    Ok(())
}

/// The objects in the order of their hours; those that would be empty are left out.
fn plan_objects(args: &GenerateArgs) -> Result<Vec<ObjectPlan>> {
    let mut hours: Vec<u32> = match args.only_hours.as_slice() {
        [] => (0..args.hours).collect(),
        only => only.to_vec(),
    };
    hours.sort_unstable();
    hours.dedup();
    let per_hour = args.objects_per_hour;
    let traffic = |hour: u32| TRAFFIC[hour as usize % TRAFFIC.len()];
    let weight_in_all: u64 = hours.iter().map(|hour| traffic(*hour) * u64::from(per_hour)).sum();
    let total = args.bytes.or(args.lines).unwrap_or(LINES_DEFAULT);
    let up_to =
        |weight: u64| (u128::from(total) * u128::from(weight) / u128::from(weight_in_all)) as u64;
    let mut weight = 0;
    let mut plans = Vec::new();
    for hour in hours {
        let start = start_of_hour(args.date, hour)?;
        let directory = args.out.join(start.format("dt=%Y-%m-%d/hr=%H").to_string());
        for part in 0..per_hour {
            let share = up_to(weight + traffic(hour)) - up_to(weight);
            weight += traffic(hour);
            if share == 0 {
                continue;
            }
            let number = plans.len() as u32;
            let codec = args.compression.codec(number);
            let name = format!("part-{part:05}.ndjson{}", codec.extension());
            plans.push(ObjectPlan {
                number,
                path: directory.join(name),
                hour: Hour::starting_at(start),
                codec,
                size: if args.bytes.is_some() {
                    ObjectSize::Bytes(share)
                } else {
                    ObjectSize::Lines(share)
                },
                flaws: (args.bad_ratio * 4_294_967_296.0) as u64,
            });
        }
    }
    Ok(plans)
}

fn start_of_hour(date: NaiveDate, hour: u32) -> Result<DateTime<FixedOffset>> {
    let start = FixedOffset::east_opt(TOKYO_OFFSET_SECONDS)
        .and_then(|tokyo| tokyo.from_local_datetime(&date.and_time(Default::default())).single())
        .and_then(|midnight| midnight.checked_add_signed(TimeDelta::hours(hour.into())));
    start.ok_or_else(|| {
        Error::Usage(format!("--date: expected a day of the years 0 to 9999, found {date}"))
    })
}

/// Makes the directories; old parts would be read along with the new ones, so they must go.
fn clear_directories(objects: &[ObjectPlan], force: bool) -> Result<()> {
    let mut directories: Vec<&Path> = objects.iter().filter_map(|o| o.path.parent()).collect();
    directories.dedup();
    let mut old = Vec::new();
    for directory in &directories {
        old.extend(parts_in(directory).map_err(|error| failed("listing", directory, &error))?);
    }
    if let Some(first) = old.first()
        && !force
    {
        return Err(Error::Usage(format!(
            "generating: {} part files are there already, the first is {}; choose another --out, \
             or replace them with --force",
            old.len(),
            first.display()
        )));
    }
    for part in &old {
        fs::remove_file(part).map_err(|error| failed("removing", part, &error))?;
    }
    for directory in directories {
        fs::create_dir_all(directory).map_err(|error| failed("making", directory, &error))?;
    }
    Ok(())
}

/// The part files of a directory, which may not be there.
fn parts_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let is_part = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with("part-") && name.contains(".ndjson"))
    };
    Ok(paths?.into_iter().filter(is_part).collect())
}

/// Writes all objects, on as many threads as the machine has cores; the first error stops them.
fn write_objects(objects: &[ObjectPlan], seed: u64) -> Result<Vec<WrittenObject>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(objects.len());
    let next = AtomicUsize::new(0);
    let written = Mutex::new(Ok(Vec::with_capacity(objects.len())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = object.write(seed);
                    let mut written = written.lock().unwrap_or_else(|broken| broken.into_inner());
                    match (outcome, written.as_mut()) {
                        (Ok(object), Ok(done)) => done.push(object),
                        (Err(error), Ok(_)) => {
                            *written = Err(failed("writing", &object.path, &error));
                        }
                        (_, Err(_)) => return,
                    }
                }
            });
        }
    });
    written.into_inner().unwrap_or_else(|broken| broken.into_inner())
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("{doing} {}: {error}; is there room and permission?", path.display());
    Error::Unavailable(message)
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
