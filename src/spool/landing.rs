//! The landing end: sealed segments become objects, the oldest first, and leave the disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::backlog::Backlog;
use super::segment::{SealedSegment, ids_of, read_segment};
use crate::error::{Error, Result};
use crate::store::durable::{create_folders, disk_error, remove_file, sync_folder};
use crate::store::{Store, store_error};

/// Compression of objects: Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;
/// How long to wait after a failure before the next try; doubled up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Where and under which names segments land.
#[derive(Debug, Clone)]
pub struct LandingSettings {
    /// The place below which the hours' folders are.
    pub store: Store,
    /// The collector's name, with which objects' names begin.
    pub collector: String,
    /// The spool's folder.
    pub spool: PathBuf,
    /// Bytes of event ids that are kept for the next start.
    pub ids_bytes_max: u64,
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
}

impl Landing {
    /// Lands what a backlog holds.
    pub fn new(settings: LandingSettings, backlog: Backlog) -> Self {
        Landing { settings, backlog }
    }

    /// Lands segment after segment, and tries for ever what fails; `landed` is told of each try.
    pub async fn run(&self, landed: impl Fn(&Result<Landed>)) {
        let mut pause = PAUSES.0;
        loop {
            let Some(segment) = self.backlog.first() else {
                self.backlog.sealed().await;
                continue;
            };
            let done = self.land(&segment).await;
            landed(&done);
            match done {
                Ok(_) => pause = PAUSES.0,
                Err(error) => {
                    let waiting = self.backlog.segments();
                    tracing::warn!(%error, waiting, "landing failed; trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Lands what is sealed now; ends at the first failure.
    ///
    /// # Errors
    /// As the store says.
    pub async fn drain(&self, landed: impl Fn(&Result<Landed>)) -> Result<()> {
        while let Some(segment) = self.backlog.first() {
            let done = self.land(&segment).await;
            landed(&done);
            done?;
        }
        Ok(())
    }

    async fn land(&self, segment: &SealedSegment) -> Result<Landed> {
        let object = self.object_name(segment);
        let (path, spool) = (segment.path.clone(), self.settings.spool.clone());
        let packed = in_background("packing a segment", move || pack(&path)).await?;
        let bytes = packed.object.len() as u64;
        let was_there = self.put(&object, packed.object).await?;
        let (segment, ids_bytes_max) = (segment.clone(), self.settings.ids_bytes_max);
        let removed = segment.clone();
        in_background("removing a segment", move || {
            write_ids(&spool, &segment, &packed.ids)?;
            remove_file(&segment.path)?;
            trim_ids(&spool, ids_bytes_max)
        })
        .await?;
        self.backlog.remove(&removed);
        Ok(Landed { object, bytes, was_there })
    }

    /// `dt=2026-11-21/hr=13/web-1-0199….ndjson.zst`.
    fn object_name(&self, segment: &SealedSegment) -> String {
        let (collector, id) = (&self.settings.collector, segment.name.id);
        let name = format!("{collector}-{id}.ndjson.zst");
        match segment.name.folder.as_str() {
            "" => name,
            folder => format!("{folder}/{name}"),
        }
    }

    /// Puts an object if there is none; says whether the very same one was there.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<bool> {
        let store = &self.settings.store;
        if let Some(local) = &store.local {
            let path = local.join(name);
            return in_background("landing a segment", move || put_file(&path, &bytes)).await;
        }
        let path = store.path_of(name)?;
        let shown = store.display_of(&path);
        let doing = format!("landing {shown}");
        let payload = PutPayload::from(bytes.clone());
        let options = PutOptions::from(PutMode::Create);
        match store.store.put_opts(&path, payload, options).await {
            Ok(_) => Ok(false),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let found = store.store.get(&path).await.map_err(|e| store_error(&doing, &e))?;
                let found = found.bytes().await.map_err(|e| store_error(&doing, &e))?;
                check_same(&shown, &found, &bytes).map(|()| true)
            }
            Err(error) => Err(store_error(&doing, &error)),
        }
    }
}

/// An object and the ids of its events.
struct Packed {
    object: Vec<u8>,
    ids: Vec<u8>,
}

fn pack(path: &Path) -> Result<Packed> {
    let pack = || {
        let mut ids = Vec::new();
        let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        read_segment(path, |lines| {
            ids_of(lines).for_each(|id| ids.extend_from_slice(&id.to_be_bytes()));
            encoder.write_all(lines)
        })?;
        Ok(Packed { object: encoder.finish()?, ids })
    };
    pack().map_err(|error| disk_error("reading", path, &error))
}

/// That what is there holds the same lines; another version may have packed them otherwise.
fn check_same(shown: &str, found: &[u8], own: &[u8]) -> Result<()> {
    let same = found == own
        || matches!(
            (unpacked(found), unpacked(own)),
            (Ok(found), Ok(own)) if found == own
        );
    if same {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "landing {shown}: an object of that name is there and holds something else; nothing was \
         overwritten. Do two collectors share a spool's copy? Move the object away and this lands"
    )))
}

fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    zstd::Decoder::new(bytes)?.read_to_end(&mut lines)?;
    Ok(lines)
}

/// Puts a file if there is none: it and its name are on disk when this returns.
fn put_file(path: &Path, bytes: &[u8]) -> Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folders(folder)?;
    let put = || {
        let mut named = tempfile::Builder::new();
        // As any file of this user's: others read it, if they may.
        named.prefix(".landing-").permissions(fs::Permissions::from_mode(0o666));
        let mut file = named.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(false),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(refused) => Err(refused.error),
        }
    };
    let there = put().map_err(|error| disk_error("landing", path, &error))?;
    sync_folder(folder)?;
    if there {
        let found = fs::read(path).map_err(|error| disk_error("reading", path, &error))?;
        check_same(&path.display().to_string(), &found, bytes)?;
    }
    Ok(there)
}

fn write_ids(spool: &Path, segment: &SealedSegment, ids: &[u8]) -> Result<()> {
    let path = spool.join(segment.name.ids_name());
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(ids)?;
        file.sync_all()
    };
    write().map_err(|error| disk_error("writing", &path, &error))
}

/// Removes the oldest files of ids beyond a number of bytes.
fn trim_ids(spool: &Path, bytes_max: u64) -> Result<()> {
    let trim = || {
        let mut files = Vec::new();
        for entry in fs::read_dir(spool)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "ids") {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
        files.sort();
        let mut kept = 0;
        for (path, bytes) in files.into_iter().rev() {
            kept += bytes;
            if kept > bytes_max && kept > bytes {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    };
    trim().map_err(|error: io::Error| disk_error("tidying", spool, &error))
}

async fn in_background<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Bug(format!("{doing}: {error}")))?
}

#[cfg(test)]
#[path = "landing_tests.rs"]
mod tests;
