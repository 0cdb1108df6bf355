//! Visitors' records on this machine's disk, in fjall (a log-structured merge tree).
//!
//! ```text
//! g0000000041   records written in the 41st span of time     dropped whole when its time is up
//! g0000000042   records written since, newer ones first      written now
//! ```
//!
//! A record lies in the generation in which it was written last, and older ones may hold what it
//! was before. So nothing is ever deleted one by one: a generation of which all records are over is
//! dropped, and so is the oldest one when the store outgrows its bound; a generation that is large
//! ends before its time, so that this takes only the oldest records.
//!
//! An error of the disk (a full one, say) closes the database, and the next use opens it again. One
//! that is damaged is put aside as `visits.damaged`, and a new one begun: visits go on by what the
//! visitors' cookies say, but without their carts.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::store::{PROBE, RecordPage, StoredRecord, Swap, Swapped, VisitStore, VisitorId};
use crate::base::clock::WallClock;
use crate::base::error::{Error, Result};
use crate::base::fs::disk_error;
use crate::base::low_priority::with_threads_that_give_way;

/// Spans of time that a record's time is cut into.
const GENERATIONS: i64 = 4;
/// Of the bytes on disk, the part at which another generation begins before its time.
const SIZE_PARTS: u64 = 8;
/// Records in memory, as they are expected.
const PRESENT_EXPECTED: usize = 65_536;
/// Bytes of memory of a record besides its own.
const PRESENT_OVERHEAD: usize = 96;
/// Tables that are open at a time: connections want files too.
const TABLES_OPEN_MAX: usize = 64;
/// Bytes of records in memory that become a table on disk: what is sorted and written at a time is
/// to take tens of milliseconds, for requests want the same cores.
const TABLE_BYTES: u64 = 16 << 20;
/// Memory for blocks that were read.
const CACHE_BYTES: u64 = 32 << 20;
/// Bytes of the journal, after which the tables are written for which it is kept.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;

/// Where records lie, for how long, and how many.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// The folder, which holds nothing else.
    pub folder: PathBuf,
    /// How long a record is of use after it was written.
    pub record_ttl: Duration,
    /// Bytes on disk beyond which the oldest records are dropped, without the journal, which has
    /// some 128 MiB at most.
    pub size_bytes_max: u64,
    /// Bytes of records that are kept in memory.
    pub cache_bytes_max: u64,
    /// Counts stores that were put aside as damaged.
    pub damaged: Arc<AtomicU64>,
    /// For how long the clock must have said that records are over before they are dropped: one
    /// that is wrong for a moment is to cost nobody the visit.
    pub expiry_delay: Duration,
}

/// Visitors' records on this machine's disk; clones share them.
#[derive(Clone)]
pub struct EmbeddedVisitStore {
    settings: EmbeddedSettings,
    clock: Arc<dyn WallClock>,
    /// Closed after an error.
    opened: Arc<Mutex<Option<Opened>>>,
    /// Since when the clock has said that the oldest generation is over.
    over_since: Arc<Mutex<Option<Instant>>>,
}

impl fmt::Debug for EmbeddedVisitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedVisitStore({})", self.settings.folder.display())
    }
}

impl EmbeddedVisitStore {
    /// Opens the store, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder cannot be used, or another process uses it.
    pub fn open(settings: EmbeddedSettings, clock: Arc<dyn WallClock>) -> Result<Self> {
        let opened = Opened::open(&settings)?;
        let opened = Arc::new(Mutex::new(Some(opened)));
        Ok(EmbeddedVisitStore { settings, clock, opened, over_since: Arc::default() })
    }

    /// Does something with the database, which may wait for the disk. A runtime of many threads
    /// has others for its other work meanwhile; one of a single thread is there for this alone.
    fn with<T>(
        &self,
        doing: &str,
        work: impl FnOnce(&mut Opened, &Self) -> fjall::Result<T>,
    ) -> Result<T> {
        let work = || {
            let mut slot = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.is_none() {
                *slot = Some(Opened::open(&self.settings)?);
            }
            let Some(opened) = slot.as_mut() else { unreachable!("it was opened above") };
            work(opened, self).map_err(|error| {
                *slot = None;
                if is_damage(&error)
                    && let Err(error) = self.settings.put_aside(&error.to_string())
                {
                    return error;
                }
                self.settings.error(doing, &error)
            })
        };
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => work(),
            _ => tokio::task::block_in_place(work),
        }
    }

    /// The present span of time.
    fn span(&self) -> i64 {
        self.clock.now_ms().div_euclid(self.span_ms())
    }

    /// Whether a generation is over, and has been for long enough to believe the clock.
    fn is_over(&self, oldest: i64, span: i64) -> bool {
        let mut since = self.over_since.lock().unwrap_or_else(PoisonError::into_inner);
        if oldest.saturating_add(GENERATIONS) >= span {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() >= self.settings.expiry_delay
    }

    fn span_ms(&self) -> i64 {
        let ttl_ms = i64::try_from(self.settings.record_ttl.as_millis()).unwrap_or(i64::MAX);
        (ttl_ms / GENERATIONS).max(1)
    }
}

impl EmbeddedSettings {
    fn error(&self, doing: &str, error: &fjall::Error) -> Error {
        let folder = self.folder.display();
        Error::Unavailable(format!("{doing} in the visit store {folder}: {error}"))
    }

    /// Puts a damaged store aside, in place of one that was put aside before.
    fn put_aside(&self, damage: &str) -> Result<()> {
        let mut aside = self.folder.clone().into_os_string();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        let failed = |error| disk_error("putting aside the visit store", &self.folder, &error);
        match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::rename(&self.folder, &aside).map_err(failed)?;
        fs::DirBuilder::new().mode(0o700).create(&self.folder).map_err(failed)?;
        self.damaged.fetch_add(1, Relaxed);
        tracing::error!(
            damage,
            aside = %aside.display(),
            "the visit store is damaged: it was put aside and a new one begins, in which visits go \
             on by what cookies say, without carts; check this disk"
        );
        Ok(())
    }
}

/// Whether an error says that what lies on disk is not what was written, and not that the disk is
/// full, say, or that the system lacks something that comes back.
fn is_damage(error: &fjall::Error) -> bool {
    use fjall::Error as Fault;
    let io = match error {
        Fault::Io(io) | Fault::Storage(fjall::LsmError::Io(io)) => io,
        Fault::Poisoned | Fault::KeyspaceDeleted | Fault::Locked => return false,
        _ => return true,
    };
    let kinds = [
        ErrorKind::NotFound,
        ErrorKind::UnexpectedEof,
        ErrorKind::InvalidData,
        ErrorKind::InvalidInput,
        ErrorKind::IsADirectory,
        ErrorKind::AlreadyExists,
    ];
    kinds.contains(&io.kind()) || io.raw_os_error() == Some(nix::errno::Errno::EIO as i32)
}

/// The open database; of the generations, the newest has the greatest number.
struct Opened {
    database: Database,
    generations: BTreeMap<i64, Keyspace>,
    /// Records of those who are here: each event reads its visitor's record twice.
    present: Present,
}

/// Records that were written lately, as they are now, up to a number of bytes. What is too much
/// leaves one by one: nobody waits then.
type Present = Cache<VisitorId, StoredRecord, RecordBytes, RandomState>;

/// What a record takes of the memory.
#[derive(Debug, Clone, Copy)]
struct RecordBytes;

impl Weighter<VisitorId, StoredRecord> for RecordBytes {
    fn weight(&self, _: &VisitorId, record: &StoredRecord) -> u64 {
        (record.len() + PRESENT_OVERHEAD) as u64
    }
}

fn new_present(bytes_max: u64) -> Present {
    let lifecycle = DefaultLifecycle::default();
    Cache::with(PRESENT_EXPECTED, bytes_max, RecordBytes, RandomState::default(), lifecycle)
}

fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(TABLE_BYTES)
}

impl Opened {
    fn open(settings: &EmbeddedSettings) -> Result<Self> {
        // Some damage makes the database panic.
        let damage = match catch_unwind(AssertUnwindSafe(|| Self::try_open(settings))) {
            Ok(Err(error)) if is_damage(&error) && settings.folder.is_dir() => error.to_string(),
            Ok(opened) => return opened.map_err(|error| Self::not_opened(settings, &error)),
            Err(_) => "opening it panicked".to_owned(),
        };
        settings.put_aside(&damage)?;
        Self::try_open(settings).map_err(|error| Self::not_opened(settings, &error))
    }

    fn not_opened(settings: &EmbeddedSettings, error: &fjall::Error) -> Error {
        match error {
            fjall::Error::Locked => Error::Unavailable(format!(
                "opening the visit store {}: another process has it open; one collector has one \
                 folder",
                settings.folder.display()
            )),
            error => settings.error("opening", error),
        }
    }

    fn try_open(settings: &EmbeddedSettings) -> fjall::Result<Self> {
        let builder = Database::builder(&settings.folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(TABLES_OPEN_MAX))
            .worker_threads(1);
        // Its worker sorts and merges tables for seconds, while requests need the cores.
        let database = with_threads_that_give_way(|| builder.open())?;
        let mut generations = BTreeMap::new();
        for name in database.list_keyspace_names() {
            let number = name.strip_prefix('g').and_then(|number| number.parse().ok());
            if let Some(number) = number {
                let keyspace = database.keyspace(&name, keyspace_options)?;
                generations.insert(number, keyspace);
            }
        }
        Ok(Opened { database, generations, present: new_present(settings.cache_bytes_max) })
    }

    /// The newest record of a visitor.
    fn get(&self, visitor: VisitorId) -> fjall::Result<Option<StoredRecord>> {
        if let Some(record) = self.present.get(&visitor) {
            return Ok(Some(record.clone()));
        }
        for generation in self.generations.values().rev() {
            if let Some(value) = generation.get(visitor.as_bytes())? {
                return Ok(Some(StoredRecord::copy_from_slice(&value)));
            }
        }
        Ok(None)
    }

    /// The generation that is written now: a clock that steps back begins no older one.
    fn current(&mut self, span: i64) -> fjall::Result<Keyspace> {
        let newest = self.generations.last_key_value().map(|(number, _)| *number);
        let number = newest.map_or(span, |newest| newest.max(span));
        self.begin(number)
    }

    fn begin(&mut self, number: i64) -> fjall::Result<Keyspace> {
        if let Some(keyspace) = self.generations.get(&number) {
            return Ok(keyspace.clone());
        }
        let name = format!("g{number:010}");
        let keyspace = self.database.keyspace(&name, keyspace_options)?;
        self.generations.insert(number, keyspace.clone());
        Ok(keyspace)
    }

    fn swap(&mut self, swaps: &[Swap], span: i64) -> fjall::Result<Vec<Swapped>> {
        let current = self.current(span)?;
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        // What this batch makes of a record is not to be read yet.
        let mut pending: HashMap<VisitorId, &StoredRecord, RandomState> =
            HashMap::with_capacity_and_hasher(swaps.len(), RandomState::default());
        let mut outcomes = Vec::with_capacity(swaps.len());
        for swap in swaps {
            let found = match pending.get(&swap.visitor) {
                Some(record) => Some(StoredRecord::clone(record)),
                None => self.get(swap.visitor)?,
            };
            if found != swap.expected {
                outcomes.push(Swapped::Conflict);
                continue;
            }
            batch.insert(&current, swap.visitor.as_bytes().as_slice(), &swap.new[..]);
            pending.insert(swap.visitor, &swap.new);
            outcomes.push(Swapped::Stored);
        }
        batch.commit()?;
        for (visitor, record) in pending {
            self.present.insert(visitor, record.clone());
        }
        Ok(outcomes)
    }

    /// Drops generations that are over, and the oldest ones of too many bytes; begins another one
    /// where the newest is large, so that what is dropped at a time is a small part.
    fn sweep(&mut self, store: &EmbeddedVisitStore) -> fjall::Result<()> {
        let span = store.span();
        let newest = self.current(span)?;
        while let Some((number, _)) = self.generations.first_key_value()
            && store.is_over(*number, span)
        {
            self.drop_oldest()?;
        }
        let size_bytes_max = store.settings.size_bytes_max;
        if newest.disk_space() > size_bytes_max / SIZE_PARTS {
            let number = self.generations.last_key_value().map_or(span, |(number, _)| *number);
            self.begin(number + 1)?;
        }
        if self.generations.values().map(Keyspace::disk_space).sum::<u64>() <= size_bytes_max {
            return Ok(());
        }
        tracing::warn!(
            folder = %store.settings.folder.display(),
            size_bytes_max,
            "the visit store is full: the oldest visitors are forgotten"
        );
        self.drop_oldest()
    }

    fn drop_oldest(&mut self) -> fjall::Result<()> {
        // Some of them may be of that generation.
        self.present.clear();
        match self.generations.pop_first() {
            Some((_, keyspace)) => self.database.delete_keyspace(keyspace),
            None => Ok(()),
        }
    }

    /// Records after a visitor, in the order of their ids.
    fn scan(&self, after: Option<VisitorId>, limit: usize) -> fjall::Result<RecordPage> {
        let mut newest: BTreeMap<VisitorId, StoredRecord> = BTreeMap::new();
        // Up to the last visitor of a generation that was cut off, all are complete.
        let mut complete_to: Option<VisitorId> = None;
        for generation in self.generations.values().rev() {
            let from = after.map_or_else(Vec::new, |id| [id.as_bytes().as_slice(), &[0]].concat());
            let mut count = 0;
            for entry in generation.range(from..).take(limit) {
                let (key, value) = entry.into_inner()?;
                let Ok(visitor) = VisitorId::from_slice(&key) else { continue };
                if visitor == PROBE {
                    continue;
                }
                newest.entry(visitor).or_insert_with(|| StoredRecord::copy_from_slice(&value));
                count += 1;
                if count == limit {
                    complete_to = Some(complete_to.map_or(visitor, |to| to.min(visitor)));
                }
            }
        }
        let records: Vec<_> = newest
            .into_iter()
            .filter(|(visitor, _)| complete_to.is_none_or(|to| *visitor <= to))
            .collect();
        let last = records.last().map(|(visitor, _)| visitor.to_string());
        Ok(RecordPage { records, next: last.filter(|_| complete_to.is_some()) })
    }
}

#[async_trait]
impl VisitStore for EmbeddedVisitStore {
    async fn load(&self, visitors: &[VisitorId]) -> Result<Vec<Option<StoredRecord>>> {
        self.with("reading records", |opened, _| {
            visitors.iter().map(|visitor| opened.get(*visitor)).collect()
        })
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<Swapped>> {
        self.with("writing records", |opened, store| opened.swap(swaps, store.span()))
    }

    async fn scan(&self, from: Option<&str>, limit: usize) -> Result<RecordPage> {
        let after = from.and_then(|id| VisitorId::try_parse(id).ok());
        self.with("listing records", |opened, _| opened.scan(after, limit.max(1)))
    }

    async fn sweep(&self) -> Result<()> {
        self.with("dropping old records", Opened::sweep)
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
