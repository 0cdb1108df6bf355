//! The commit mark: how much of a segment was acknowledged, in a few bytes beside it.
//!
//! ```text
//! dt=2026-11-21,hr=13,web-1.0199….spool     frames
//! dt=2026-11-21,hr=13,web-1.0199….length    8 bytes, LE: their bytes; 1: whether no more count
//! ```
//!
//! A file that was cut short at the end looks like a write that a crash broke; this tells one from
//! the other. It is written after each fdatasync, and not synced itself: a crash of the machine may
//! leave an older length, which claims less, and never one that claims more. Only a segment that
//! holds a frame which was refused and could not be cut off gets its length for certain.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const EXTENSION: &str = "length";

/// What is known of a segment's length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Length {
    /// Bytes that were acknowledged, at least.
    pub bytes: u64,
    /// Whether whatever comes after them was refused.
    pub is_end: bool,
}

impl Length {
    /// What lies beside a segment; nothing where an earlier version wrote it.
    pub fn read(segment: &Path) -> Self {
        let bytes = fs::read(path_of(segment)).unwrap_or_default();
        let Some((length, [is_end])) = bytes.split_first_chunk::<8>() else {
            return Length::default();
        };
        Length { bytes: u64::from_le_bytes(*length), is_end: *is_end == 1 }
    }

    /// Writes it beside a segment.
    fn write(self, file: &File) -> io::Result<()> {
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8] = u8::from(self.is_end);
        file.write_all_at(&bytes, 0)
    }

    /// Writes it beside a segment; it is on disk when this returns.
    pub fn write_durably(self, segment: &Path) -> io::Result<()> {
        let file = File::create(path_of(segment))?;
        self.write(&file)?;
        file.sync_all()?;
        segment.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// Says beside the segment that is written how long it is.
#[derive(Debug)]
pub(super) struct LengthNote(Option<File>);

impl LengthNote {
    /// Begins one. It is for telling more, so nothing is refused for want of it.
    pub fn create(segment: &Path) -> Self {
        LengthNote(File::create(path_of(segment)).ok())
    }

    /// Notes that so many bytes are durable.
    pub fn note(&self, bytes: u64) {
        let length = Length { bytes, is_end: false };
        let _ = self.0.as_ref().map(|file| length.write(file));
    }
}

/// Forgets a segment's length, before the segment goes.
pub(super) fn forget(segment: &Path) {
    let _ = fs::remove_file(path_of(segment));
}

/// Removes lengths without a segment; gives the names of segments that were not ours to remove,
/// with the bytes that are lost.
pub(super) fn remove_strays(spool: &Path, segment_extension: &str) -> io::Result<Vec<Lost>> {
    let mut lost = Vec::new();
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let segment = path.with_extension(segment_extension);
        if !segment.exists() {
            let bytes = Length::read(&segment).bytes;
            fs::remove_file(&path)?;
            if bytes > 0 {
                lost.push(Lost { segment, bytes });
            }
        }
    }
    Ok(lost)
}

/// A segment that somebody removed.
#[derive(Debug)]
pub(super) struct Lost {
    pub segment: PathBuf,
    pub bytes: u64,
}

fn path_of(segment: &Path) -> PathBuf {
    segment.with_extension(EXTENSION)
}
