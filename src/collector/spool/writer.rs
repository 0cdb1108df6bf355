//! The writing end of the write-ahead log: appends, segments that begin and end, recovery.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use chrono_tz::Tz;

use super::backlog::Backlog;
use super::frame::Frames;
use super::length::{Length, forget, remove_strays};
use super::recent::{DeduplicationKeys, RecentIds, keys_in};
use super::segment::{
    EXTENSION, EventKeys, OpenSegment, SealedSegment, SegmentDamage, SegmentName, is_file_of,
    lines_of, list_segments, put_aside, read_segment, remove_landed,
};
use crate::base::error::{Error, Result};
use crate::base::fs::{create_folders, disk_error, sync_folder};
use crate::base::ids::Ids;

/// Bytes by which it is seen whether there is space.
const PROBE_BYTES: usize = 64 << 10;

/// How the spool is written.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// The collector's name, with which objects' names begin.
    pub collector: String,
    /// The folder, which holds nothing else.
    pub folder: PathBuf,
    /// The object's folder by arrival time, in `strftime`'s terms: `dt=%Y-%m-%d/hr=%H`.
    pub path: String,
    /// The zone of that time.
    pub time_zone: Tz,
    /// Bytes after which a segment ends.
    pub segment_bytes_max: u64,
    /// Time after its first line when a segment ends.
    pub segment_age_max: Duration,
    /// Events that are known at least, to take none twice.
    pub recent_ids_min: usize,
}

/// One event of an [`Append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// By which the event is known: one that has a key of an earlier one has come again.
    pub keys: EventKeys,
    /// Where its line ends among the lines.
    pub end: usize,
}

/// Lines that become durable together.
#[derive(Debug, Default)]
pub struct Append {
    /// Whole lines; each begins with its keys ([`super::begin_line`]).
    pub lines: Vec<u8>,
    /// The lines' keys and ends, in their order.
    pub entries: Vec<Entry>,
}

/// Events of an [`Append`] that were not written, as they were known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownEvents {
    /// Those that came again, or of which nobody can say what they were.
    pub repeated: usize,
    /// Those of which only the id was known: they say something else than the event that had it.
    pub reused: usize,
}

/// Makes lines durable; one process has a spool open at a time.
#[derive(Debug)]
pub struct Spool {
    settings: SpoolSettings,
    open: Option<OpenSegment>,
    backlog: Backlog,
    recent: RecentIds,
    frames: Frames,
    /// Gives segments their ids.
    ids: Arc<dyn Ids>,
    /// Held as long as the spool is open.
    lock: fs::File,
}

impl Spool {
    /// Opens the spool, which is made if it is not there: whatever an earlier process left is
    /// sealed, and queued in the backlog.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder cannot be used, or another process uses it.
    pub fn open(settings: SpoolSettings, ids: Arc<dyn Ids>) -> Result<Self> {
        let folder = &settings.folder;
        let failed = |error| disk_error("opening the spool", folder, &error);
        create_folders(folder)?;
        let lock = lock(folder)?;
        remove_landed(folder).map_err(failed)?;
        let mut recent = RecentIds::new(settings.recent_ids_min);
        read_ids(folder, &mut recent).map_err(failed)?;
        let backlog = Backlog::default();
        for segment in list_segments(folder).map_err(failed)? {
            match recover(segment, &mut recent)? {
                RecoveredSegment::Whole(segment) => backlog.push(segment),
                RecoveredSegment::Shortened(segment) => {
                    backlog.count_damaged();
                    backlog.push(segment);
                }
                RecoveredSegment::Nothing => {}
                RecoveredSegment::Damaged => backlog.count_damaged(),
            }
        }
        for lost in remove_strays(folder, EXTENSION).map_err(failed)? {
            tracing::error!(
                segment = %lost.segment.display(),
                lost_bytes = lost.bytes,
                "the spool is damaged: somebody removed a segment of acknowledged events, which \
                 are lost; only the collector may touch this folder"
            );
            backlog.count_damaged();
        }
        sync_folder(folder)?;
        let (open, frames) = (None, Frames::default());
        Ok(Spool { settings, open, backlog, recent, frames, ids, lock })
    }

    /// What waits for the object store.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Whether an event was taken lately.
    #[cfg(test)]
    pub fn knows(&self, id: uuid::Uuid) -> bool {
        self.recent.contains(id.as_u128())
    }

    /// Makes lines durable that arrived at `now_ms`, but for those whose events were taken already;
    /// gives how many were not written for that reason.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if they are not durable; then none of them is taken.
    pub fn append(&mut self, append: &Append, now_ms: i64) -> Result<KnownEvents> {
        self.end_if_due(now_ms);
        self.frames.clear();
        let (mut start, mut known) = (0, KnownEvents::default());
        let mut taken: Vec<DeduplicationKeys> = Vec::with_capacity(append.entries.len());
        let mut own = HashSet::with_capacity(2 * append.entries.len());
        for entry in &append.entries {
            let keys = entry.keys.both();
            let is_known =
                keys.map(|key| key.map(|key| self.recent.contains(key) || own.contains(&key)));
            match is_known {
                [Some(true), Some(false)] => known.reused += 1,
                [Some(true), _] | [_, Some(true)] => known.repeated += 1,
                _ => {
                    own.extend(keys.into_iter().flatten());
                    taken.push(keys);
                    self.frames.push(&append.lines[start..entry.end]);
                }
            }
            start = entry.end;
        }
        if !taken.is_empty() {
            self.frames.seal();
            self.write_frames(now_ms)?;
            taken.into_iter().for_each(|keys| self.recent.insert(keys));
        }
        Ok(known)
    }

    fn write_frames(&mut self, now_ms: i64) -> Result<()> {
        if self.open.as_ref().is_some_and(|open| open.is_broken) {
            // What was refused before is not to come back when others of its kind are taken.
            self.try_end()?;
        }
        if self.open.is_none() {
            self.keep_folder()?;
            let folder = &self.settings.folder;
            let name = SegmentName {
                collector: self.settings.collector.clone(),
                folder: object_folder(&self.settings, now_ms)?,
                id: self.ids.next(now_ms),
            };
            let created = OpenSegment::create(folder, name, now_ms);
            let failed = |error| disk_error("beginning a segment in", folder, &error);
            self.open = Some(created.map_err(failed)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let before = open.bytes;
        let appended = open.append(self.frames.bytes());
        let written = appended.map_err(|error| disk_error("writing", &open.path, &error));
        let written = written.and_then(|()| self.keep_in_place());
        let Some(open) = &mut self.open else { return written };
        match written {
            Ok(()) => open.note_length(),
            Err(_) => open.take_back(before),
        }
        self.backlog.set_open_bytes(open.bytes);
        if open.is_broken {
            // Nobody knows what of it is on disk; what was acknowledged is.
            self.end();
        }
        written
    }

    /// Makes the folder again, and locks it, if somebody removed it.
    fn keep_folder(&mut self) -> Result<()> {
        let folder = &self.settings.folder;
        if !is_file_of(&self.lock, &lock_path(folder)) {
            create_folders(folder)?;
            self.lock = lock(folder)?;
            tracing::error!(
                folder = %folder.display(),
                "somebody removed the spool while the collector runs: it goes on in a new one, but \
                 what waited there for the object store is lost; only the collector may touch it"
            );
        }
        Ok(())
    }

    /// Puts back the segment that is written if somebody removed it.
    fn keep_in_place(&mut self) -> Result<()> {
        if self.open.as_ref().is_none_or(OpenSegment::is_in_place) {
            return Ok(());
        }
        self.keep_folder()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.put_back().map_err(|error| disk_error("putting back", &open.path, &error))?;
        tracing::error!(
            segment = %open.path.display(),
            "somebody removed the file that is written: it was written anew with all that it held; \
             only the collector may touch the spool"
        );
        Ok(())
    }

    /// Looks after the spool while nothing comes: it stays in its place, and the segment ends when
    /// its time is up.
    pub fn tick(&mut self, now_ms: i64) {
        if let Err(error) = self.keep_folder().and_then(|()| self.keep_in_place()) {
            tracing::error!(%error, "the spool is not in its place");
        }
        self.end_if_due(now_ms);
    }

    /// Ends the segment if it is large, old, or of another hour.
    pub fn end_if_due(&mut self, now_ms: i64) {
        let Some(open) = &self.open else { return };
        let age_ms = now_ms.saturating_sub(open.begun_ms).unsigned_abs();
        let is_due = open.bytes >= self.settings.segment_bytes_max
            || u128::from(age_ms) >= self.settings.segment_age_max.as_millis()
            || object_folder(&self.settings, now_ms).is_ok_and(|now| now != open.name.folder);
        if is_due {
            self.end();
        }
    }

    /// Ends the segment, whatever it holds, so that it can land. One that cannot be ended stays as
    /// it is until it can.
    pub fn end(&mut self) {
        if let Err(error) = self.try_end() {
            tracing::error!(%error, "a segment cannot be ended yet");
        }
    }

    fn try_end(&mut self) -> Result<()> {
        self.keep_in_place()?;
        let Some(open) = &self.open else { return Ok(()) };
        let is_removed = open.bytes == 0 && fs::remove_file(&open.path).is_ok();
        if open.is_broken && !is_removed {
            open.end_here().map_err(|error| disk_error("ending", &open.path, &error))?;
        }
        let segment = self.open.take().map(OpenSegment::seal);
        self.backlog.set_open_bytes(0);
        match segment {
            Some(segment) if segment.bytes > 0 => self.backlog.push(segment),
            Some(segment) => forget(&segment.path),
            None => {}
        }
        Ok(())
    }
}

/// The folder of what arrives at a time: `dt=2026-11-21/hr=13`.
fn object_folder(settings: &SpoolSettings, now_ms: i64) -> Result<String> {
    let now = DateTime::from_timestamp_millis(now_ms)
        .ok_or_else(|| Error::Unavailable(format!("the clock says {now_ms} ms since 1970")))?;
    Ok(now.with_timezone(&settings.time_zone).format(&settings.path).to_string())
}

/// What became of a segment that an earlier process left.
enum RecoveredSegment {
    /// It lands, as far as it can be read.
    Whole(SealedSegment),
    /// So does it, but its end is lost.
    Shortened(SealedSegment),
    /// Nothing in it was acknowledged.
    Nothing,
    /// Nothing in it can be read; if there is anything, it was put aside.
    Damaged,
}

/// Looks at a segment that an earlier process left.
fn recover(mut segment: SealedSegment, recent: &mut RecentIds) -> Result<RecoveredSegment> {
    let path = &segment.path;
    let failed = |error| disk_error("recovering", path, &error);
    let acknowledged = Length::read(path);
    if acknowledged.is_end {
        segment.bytes = segment.bytes.min(acknowledged.bytes);
    }
    let mut frames = 0;
    let read = read_segment(path, segment.bytes, |lines| {
        lines_of(lines).for_each(|(keys, _)| recent.insert(keys));
        frames += 1;
        Ok(())
    });
    let whole_bytes = |damage: &SegmentDamage| segment.bytes - damage.torn_bytes;
    let cut_bytes = |damage: &SegmentDamage| acknowledged.bytes.saturating_sub(whole_bytes(damage));
    let damage = match read {
        Ok(damage) if frames > 0 || damage.lost_bytes == 0 && cut_bytes(&damage) == 0 => damage,
        read => {
            // Whatever is wrong with it, it is not to keep others from landing.
            let aside = put_aside(path).map_err(failed)?;
            let error = read.err().map(|error| error.to_string());
            tracing::error!(
                segment = %aside.display(),
                error = error.as_deref().unwrap_or("no frame is whole"),
                "the spool is damaged: a segment of acknowledged events cannot be read and was \
                 put aside; check this disk"
            );
            return Ok(RecoveredSegment::Damaged);
        }
    };
    if damage.lost_bytes > 0 {
        tracing::error!(
            segment = %path.display(),
            lost_bytes = damage.lost_bytes,
            "the spool is damaged: acknowledged events are lost; check this disk"
        );
    }
    let cut_bytes = cut_bytes(&damage);
    if cut_bytes > 0 {
        // What is left of the last frame stays for whoever can read more of it.
        tracing::error!(
            segment = %path.display(),
            lost_bytes = cut_bytes,
            "the spool is damaged: a segment was cut short, and acknowledged events are lost; \
             check this disk, and what else writes to it"
        );
        return Ok(RecoveredSegment::Shortened(segment));
    }
    if damage.torn_bytes > 0 {
        let torn_bytes = damage.torn_bytes;
        tracing::info!(segment = %path.display(), torn_bytes, "cutting off a broken write");
        segment.bytes -= torn_bytes;
    }
    // A frame may be whole that was not synced yet; from now on it is known, and must stay.
    let file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
    file.set_len(segment.bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    if segment.bytes == 0 {
        fs::remove_file(path).map_err(failed)?;
        forget(path);
        return Ok(RecoveredSegment::Nothing);
    }
    Ok(RecoveredSegment::Whole(segment))
}

/// Reads the keys of events that have landed, the oldest first.
fn read_ids(folder: &Path, recent: &mut RecentIds) -> std::io::Result<()> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ids") {
            files.push(path);
        }
    }
    files.sort();
    for path in files {
        let bytes = fs::read(&path).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "ids of events that have landed");
            Vec::new()
        });
        keys_in(&bytes).for_each(|keys| recent.insert(keys));
    }
    Ok(())
}

/// Looks whether a spool's disk can be written now.
///
/// # Errors
/// [`Error::Unavailable`] if it cannot.
pub fn probe_disk(folder: &Path) -> Result<()> {
    let path = folder.join("probe");
    let probe = || {
        let mut file = fs::File::create(&path)?;
        std::io::Write::write_all(&mut file, &[0; PROBE_BYTES])?;
        file.sync_data()?;
        fs::remove_file(&path)
    };
    probe().map_err(|error| {
        let _ = fs::remove_file(&path);
        disk_error("writing", &path, &error)
    })
}

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Takes the spool for this process.
fn lock(folder: &Path) -> Result<fs::File> {
    let path = lock_path(folder);
    let failed = |error| disk_error("opening", &path, &error);
    let file = fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Unavailable(format!(
            "opening the spool {}: another process has it open; one collector has one folder",
            folder.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(disk_error("locking", &path, &error)),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
