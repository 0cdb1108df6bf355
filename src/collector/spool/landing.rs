//! Idempotent upload: sealed segments become objects, the oldest first, and leave the disk.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::length::forget;
use super::recent::{KeysFile, events_in};
use super::segment::{
    SealedSegment, SegmentDamage, landed_path, lines_of, put_aside, read_segment,
};
use crate::base::error::{Error, Result};
use crate::base::fs::{create_folders, disk_error, remove_file, sync_folder};
use crate::base::low_priority::{Pace, in_background};
use crate::store::{Store, store_error};

/// Compression of objects. Zstandard's own default (3) takes twice the time, which requests need,
/// and made no fewer bytes of events.
const ZSTD_LEVEL: i32 = 1;
/// Bytes that are packed or written at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of a segment that are removed at a time.
const REMOVED_BYTES: u64 = 4 << 20;
/// Segments that may wait without a hurry.
const GENTLE_SEGMENTS: usize = 2;
/// Names that are tried where other objects have a segment's own.
const NAMES_MAX: u32 = 8;
/// How long to wait after a failure before the next try; doubled up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Where and under which names segments land.
#[derive(Debug, Clone)]
pub struct LandingSettings {
    /// The place below which the hours' folders are.
    pub store: Store,
    /// The spool's folder.
    pub spool: PathBuf,
    /// Events whose keys are kept at least for the next start.
    pub recent_ids_min: usize,
    /// The permissions of files that land in a folder, which get to list it what they get to read.
    pub file_mode: u32,
}

/// Lands segments; runs beside the writing end.
#[derive(Debug, Clone)]
pub struct Landing {
    settings: LandingSettings,
    backlog: Backlog,
}

/// What has landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The object's name below the place.
    pub object: String,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it was there already.
    pub was_there: bool,
    /// Other objects that had its name.
    pub conflicts: u32,
}

impl Landing {
    /// Lands what a backlog holds.
    pub fn new(settings: LandingSettings, backlog: Backlog) -> Self {
        Landing { settings, backlog }
    }

    /// Lands segment after segment until it is stopped, which it heeds between two of them; tries
    /// for ever what fails, but lets others go first. `landed` is told of each try.
    pub async fn run(&self, landed: impl Fn(&Result<Landed>), stop: CancellationToken) {
        let mut pause = PAUSES.0;
        while !stop.is_cancelled() {
            let Some(segment) = self.backlog.first() else {
                stop.run_until_cancelled(self.backlog.sealed()).await;
                continue;
            };
            let (backlog, stop_now) = (self.backlog.clone(), stop.clone());
            let hurries = move || stop_now.is_cancelled() || backlog.segments() > GENTLE_SEGMENTS;
            let done = self.land(&segment, hurries).await;
            landed(&done);
            match done {
                Ok(_) => pause = PAUSES.0,
                Err(error) => {
                    self.backlog.postpone(&segment);
                    let waiting = self.backlog.segments();
                    tracing::warn!(%error, waiting, "landing failed; trying again in {pause:?}");
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Tries to land each segment that is sealed now.
    ///
    /// # Errors
    /// As the store says of the first one that did not.
    pub async fn drain(&self, landed: impl Fn(&Result<Landed>)) -> Result<()> {
        let mut failed = Ok(());
        for _ in 0..self.backlog.segments() {
            let Some(segment) = self.backlog.first() else { break };
            let done = self.land(&segment, || true).await;
            landed(&done);
            if let Err(error) = done {
                self.backlog.postpone(&segment);
                failed = failed.and(Err(error));
            }
        }
        failed
    }

    async fn land(
        &self,
        segment: &SealedSegment,
        hurries: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<Landed> {
        let (read, pace) = (segment.clone(), Pace::new(hurries.clone()));
        let packed = in_background("packing a segment", move || Ok(pack(&read, pace))).await?;
        let Packed { object, ids, damage } = match packed {
            Ok(packed) => packed,
            Err(error) => return Err(self.give_up(segment, &error)),
        };
        let done = self.put_under_a_free_name(segment, object, hurries.clone()).await?;
        let (landed, spool) = (segment.clone(), self.settings.spool.clone());
        let (events_min, pace) = (self.settings.recent_ids_min, Pace::new(hurries));
        in_background("removing a segment", move || {
            leave_ids(&spool, &landed, ids.bytes(), damage, pace)?;
            trim_ids(&spool, events_min)
        })
        .await?;
        self.backlog.remove(segment);
        if damage.lost_bytes > 0 {
            self.backlog.count_damaged();
        }
        Ok(done)
    }

    /// Puts a segment aside that cannot be read, so that all others land.
    fn give_up(&self, segment: &SealedSegment, error: &io::Error) -> Error {
        let failed = disk_error("reading", &segment.path, error);
        if is_short_of_something(error) {
            return failed;
        }
        match put_aside(&segment.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, segment = %segment.path.display(), "it stays as it is");
                return failed;
            }
            Err(_) => tracing::error!(
                segment = %segment.path.display(),
                lost_bytes = segment.bytes,
                "the spool is damaged: somebody removed a segment of acknowledged events, which \
                 are lost; only the collector may touch this folder"
            ),
            Ok(aside) => tracing::error!(
                %error,
                segment = %aside.display(),
                "the spool is damaged: a segment of acknowledged events cannot be read and was \
                 put aside; check this disk"
            ),
        }
        self.backlog.count_damaged();
        self.backlog.remove(segment);
        failed
    }

    /// Puts a segment's object. Where another one has its name, what that one lacks goes under the
    /// next name: nothing is overwritten, nothing is there twice, and nothing waits for a person.
    async fn put_under_a_free_name(
        &self,
        segment: &SealedSegment,
        mut object: Bytes,
        hurries: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<Landed> {
        for conflicts in 0..NAMES_MAX {
            let name = segment.name.object_name(conflicts);
            let bytes = object.len() as u64;
            let done = |was_there| Landed { object: name.clone(), bytes, was_there, conflicts };
            let found = self.put(&name, object.clone(), Pace::new(hurries.clone())).await?;
            let Some(found) = found else { return Ok(done(false)) };
            let own = object.clone();
            let lacks = in_background("comparing objects", move || lacking(&found, &own)).await?;
            let Some(lacks) = lacks else { return Ok(done(true)) };
            tracing::error!(
                object = %name,
                segment = %segment.path.display(),
                "another object has the name of a segment's, and lacks events that are in this \
                 one: they go under another name. Do two collectors share a spool's copy, or was \
                 the object changed?"
            );
            object = lacks;
        }
        Err(Error::Unavailable(format!(
            "landing {}: {NAMES_MAX} other objects have its names; move them away and it lands",
            segment.path.display()
        )))
    }

    /// Puts an object if there is none of its name, else gives what is there.
    async fn put(&self, name: &str, bytes: Bytes, pace: Pace) -> Result<Option<Bytes>> {
        let store = &self.settings.store;
        if let Some(local) = &store.local {
            let path = local.join(name);
            let mode = self.settings.file_mode;
            let put = move || put_file(&path, &bytes, mode, pace);
            return in_background("landing a segment", put).await;
        }
        let path = store.path_of(name)?;
        let doing = format!("landing {}", store.display_of(&path));
        let payload = PutPayload::from(bytes);
        let options = PutOptions::from(PutMode::Create);
        match store.store.put_opts(&path, payload, options).await {
            Ok(_) => Ok(None),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let found = store.store.get(&path).await.map_err(|e| store_error(&doing, &e))?;
                let found = found.bytes().await.map_err(|e| store_error(&doing, &e))?;
                Ok(Some(found))
            }
            Err(error) => Err(store_error(&doing, &error)),
        }
    }
}

/// An object and the keys of its events.
struct Packed {
    object: Bytes,
    ids: KeysFile,
    damage: SegmentDamage,
}

fn pack(segment: &SealedSegment, mut pace: Pace) -> io::Result<Packed> {
    let mut ids = KeysFile::new();
    let mut encoder = new_encoder()?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let damage = read_segment(&segment.path, segment.bytes, |lines| {
        for (keys, line) in lines_of(lines) {
            ids.push(keys);
            piece.extend_from_slice(line);
            if piece.len() >= PIECE_BYTES {
                encoder.write_all(&piece)?;
                piece.clear();
                pace.rest();
            }
        }
        Ok(())
    })?;
    encoder.write_all(&piece)?;
    Ok(Packed { object: Bytes::from(encoder.finish()?), ids, damage })
}

fn new_encoder() -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// Whether reading failed for want of what comes back, and not because of the file.
fn is_short_of_something(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let passing = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EAGAIN];
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::OutOfMemory
        || passing.iter().any(|errno| code == Some(*errno as i32))
}

/// Leaves only its events' ids of a segment that has landed.
fn leave_ids(
    spool: &Path,
    segment: &SealedSegment,
    ids: &[u8],
    damage: SegmentDamage,
    pace: Pace,
) -> Result<()> {
    let path = spool.join(segment.name.ids_name());
    let leave = || fs::File::create(&path).and_then(|mut file| write_synced(&mut file, ids));
    match leave() {
        Ok(()) => discard(segment, damage, pace),
        Err(error) if is_full(&error) => {
            // The space that is missing is the segment's own. A crash between the two forgets ids,
            // and nothing else.
            discard(segment, damage, pace)?;
            if let Err(error) = leave() {
                tracing::warn!(%error, "events that have landed are not known after a restart");
            }
            Ok(())
        }
        Err(error) => Err(disk_error("writing", &path, &error)),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn write_synced(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes a segment; one that is damaged is put aside, for whoever can still read more of it.
fn discard(segment: &SealedSegment, damage: SegmentDamage, pace: Pace) -> Result<()> {
    let path = &segment.path;
    // First of all: a length without a segment is one that somebody else removed.
    forget(path);
    if damage == SegmentDamage::default() {
        return remove_slowly(path, segment.bytes, pace);
    }
    let aside = put_aside(path).map_err(|error| disk_error("putting aside", path, &error))?;
    tracing::error!(
        segment = %aside.display(),
        bytes = damage.lost_bytes + damage.torn_bytes,
        "the spool is damaged: all that can be read of it has landed; check this disk"
    );
    Ok(())
}

/// Removes a segment piece by piece: to forget all of a large file at once holds up the disk, and a
/// core with it.
fn remove_slowly(path: &Path, bytes: u64, mut pace: Pace) -> Result<()> {
    let landed = landed_path(path);
    // From now on it is no segment: a shorter one that a crash left would land once more.
    if fs::rename(path, &landed).is_err() {
        // A full disk may have no room for another name.
        return remove_file(path);
    }
    let mut shorten = || {
        let file = fs::OpenOptions::new().write(true).open(&landed)?;
        let mut left = bytes;
        while left > REMOVED_BYTES {
            left -= REMOVED_BYTES;
            file.set_len(left)?;
            pace.rest();
        }
        fs::remove_file(&landed)
    };
    let named = path.parent().map_or(Ok(()), sync_folder);
    let removed =
        named.and_then(|()| shorten().map_err(|error| disk_error("removing", &landed, &error)));
    if let Err(error) = removed {
        tracing::warn!(%error, "a segment that has landed goes with the next start");
    }
    Ok(())
}

/// An object of those of its own lines that another one lacks; none if that one has them all. Of
/// one that is damaged those before the damage count as there, as they do for whoever reads it.
fn lacking(found: &[u8], own: &[u8]) -> Result<Option<Bytes>> {
    if found == own {
        return Ok(None);
    }
    let pack = || {
        // Another version may have packed the same lines otherwise.
        let (found, own) = (unpacked_as_far_as_possible(found), unpacked(own)?);
        let there: HashSet<&[u8]> = found.split_inclusive(|byte| *byte == b'\n').collect();
        let mut encoder = new_encoder()?;
        let mut count = 0;
        for line in own.split_inclusive(|byte| *byte == b'\n') {
            if !there.contains(line) {
                encoder.write_all(line)?;
                count += 1;
            }
        }
        let packed = Bytes::from(encoder.finish()?);
        Ok((count > 0).then_some(packed))
    };
    pack().map_err(|error: io::Error| Error::Bug(format!("comparing objects: {error}")))
}

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    zstd::Decoder::new(bytes)?.read_to_end(&mut lines)?;
    Ok(lines)
}

/// What can be unpacked before a damage, if there is any.
///
/// A call of the decoder that meets a damage drops what it has unpacked before, so each gets one
/// byte: all blocks before the damaged one are unpacked then.
fn unpacked_as_far_as_possible(bytes: &[u8]) -> Vec<u8> {
    if let Ok(lines) = unpacked(bytes) {
        return lines;
    }
    let mut lines = Vec::new();
    if let Ok(mut decoder) = zstd::Decoder::with_buffer(BufReader::with_capacity(1, bytes))
        && let Err(error) = decoder.read_to_end(&mut lines)
    {
        tracing::warn!(%error, unpacked_bytes = lines.len(), "the object that is there is damaged");
    }
    lines
}

/// Puts a file if there is none of its name, else gives what is there; its own one and its name are
/// on disk when this returns.
fn put_file(path: &Path, bytes: &[u8], mode: u32, mut pace: Pace) -> Result<Option<Bytes>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folders_for(folder, mode)?;
    // The object's own, so that what a crash leaves goes with the next try.
    let mut prefix = OsString::from(".landing-");
    prefix.push(path.file_name().unwrap_or_default());
    let mut put = || {
        match fs::remove_file(folder.join(&prefix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut named = tempfile::Builder::new();
        let mut file = named.prefix(&prefix).rand_bytes(0).tempfile_in(folder)?;
        // Whatever the process's mask: others read it, if they may.
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        for piece in bytes.chunks(PIECE_BYTES) {
            file.write_all(piece)?;
            pace.rest();
        }
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(false),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(refused) => Err(refused.error),
        }
    };
    let there = put().map_err(|error| disk_error("landing", path, &error))?;
    sync_folder(folder)?;
    if !there {
        return Ok(None);
    }
    match fs::read(path) {
        Ok(found) => Ok(Some(Bytes::from(found))),
        // A folder has none of the lines. What cannot be read now may have all of them.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Some(Bytes::new())),
        Err(error) => Err(disk_error("comparing with", path, &error)),
    }
}

/// Creates a folder and those above it, which whoever may read a file of `mode` may list.
fn create_folders_for(folder: &Path, mode: u32) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
    create_folders(folder)?;
    for made in missing.into_iter().filter(|path| !path.as_os_str().is_empty()) {
        let permissions = fs::Permissions::from_mode(0o700 | mode & 0o444 | (mode & 0o444) >> 2);
        fs::set_permissions(made, permissions)
            .map_err(|error| disk_error("setting the permissions of", made, &error))?;
    }
    Ok(())
}

/// Removes the oldest files of keys beyond those of a number of events.
fn trim_ids(spool: &Path, events_min: usize) -> Result<()> {
    let trim = || {
        let mut files = Vec::new();
        for entry in fs::read_dir(spool)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "ids") {
                files.push((entry.path(), events_in(entry.metadata()?.len())));
            }
        }
        files.sort();
        let mut kept = 0;
        for (path, events) in files.into_iter().rev() {
            if kept >= events_min as u64 {
                fs::remove_file(path)?;
            }
            kept += events;
        }
        Ok(())
    };
    trim().map_err(|error: io::Error| disk_error("tidying", spool, &error))
}

#[cfg(test)]
#[path = "landing_tests.rs"]
mod tests;
