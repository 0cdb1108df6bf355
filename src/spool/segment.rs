//! One file of frames: written, cut off where it broke, read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::frame::{HEADER_BYTES, MAGIC, Next, read_frame};

const EXTENSION: &str = "spool";
const LANDED_EXTENSION: &str = "landed";

/// What a segment's name says: `dt=2026-11-21,hr=13,web-1.0199….spool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentName {
    /// The object's folder below the landing's place: `dt=2026-11-21/hr=13`.
    pub folder: String,
    /// The name of the collector that began it.
    pub collector: String,
    /// The segment's own id; ids of later segments sort behind.
    pub id: Uuid,
}

impl SegmentName {
    /// The file's name.
    pub fn file_name(&self) -> String {
        let SegmentName { folder, collector, id } = self;
        format!("{},{collector}.{id}.{EXTENSION}", folder.replace('/', ","))
    }

    /// The object's name: `dt=2026-11-21/hr=13/web-1-0199….ndjson.zst`.
    pub fn object_name(&self) -> String {
        let SegmentName { folder, collector, id } = self;
        let name = format!("{collector}-{id}.ndjson.zst");
        if folder.is_empty() { name } else { format!("{folder}/{name}") }
    }

    /// The name of the file with the segment's event ids.
    pub fn ids_name(&self) -> String {
        format!("{}.ids", self.id)
    }

    fn parse(file_name: &str) -> Option<Self> {
        let stem = file_name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
        let (folder, rest) = stem.rsplit_once(',')?;
        let (collector, id) = rest.split_once('.')?;
        let id = Uuid::try_parse(id).ok()?;
        Some(SegmentName { folder: folder.replace(',', "/"), collector: collector.to_owned(), id })
    }
}

/// A segment that is written no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedSegment {
    /// What its name says.
    pub name: SegmentName,
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub name: SegmentName,
    pub path: PathBuf,
    file: File,
    /// Bytes that are durable.
    pub bytes: u64,
    /// When it began, by the arrival of its first line.
    pub begun_ms: i64,
}

impl OpenSegment {
    /// Begins a segment: the file and its name are on disk when this returns.
    pub fn create(spool: &Path, name: SegmentName, begun_ms: i64) -> io::Result<Self> {
        let path = spool.join(name.file_name());
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        File::open(spool)?.sync_all()?;
        Ok(OpenSegment { name, path, file, bytes: 0, begun_ms })
    }

    /// Writes a sealed frame; it is durable when this returns. After an error the segment is as it
    /// was before, or must be given up if that fails too.
    pub fn append(&mut self, frame: &[u8]) -> Result<(), AppendError> {
        let written = self.file.write_all(frame);
        match written.and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.bytes += frame.len() as u64;
                Ok(())
            }
            Err(error) => Err(AppendError { error, restored: self.cut_off().is_ok() }),
        }
    }

    /// Has another file stand for the segment's own.
    #[cfg(test)]
    pub fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Cuts off what is not durable.
    fn cut_off(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes))?;
        self.file.sync_data()
    }

    /// Ends the segment.
    pub fn seal(self) -> SealedSegment {
        SealedSegment { name: self.name, path: self.path, bytes: self.bytes }
    }
}

/// Why a frame was not written.
#[derive(Debug)]
pub(super) struct AppendError {
    pub error: io::Error,
    /// Whether the segment can be written further.
    pub restored: bool,
}

/// The name that a segment gets when it has landed, until it is gone.
pub(super) fn landed_path(segment: &Path) -> PathBuf {
    segment.with_extension(LANDED_EXTENSION)
}

/// Removes what an earlier process left of segments that had landed.
pub(super) fn remove_landed(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == LANDED_EXTENSION) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Segments that an earlier process left, the oldest first.
pub(super) fn list_segments(spool: &Path) -> io::Result<Vec<SealedSegment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(SegmentName::parse);
        if let Some(name) = name {
            segments.push(SealedSegment {
                name,
                path: entry.path(),
                bytes: entry.metadata()?.len(),
            });
        }
    }
    segments.sort_by_key(|segment| segment.name.id);
    Ok(segments)
}

/// What a segment's file holds besides whole frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes between whole frames: the disk lost what was acknowledged.
    pub lost_bytes: u64,
    /// Bytes behind the last whole frame: a write that a crash cut off, never acknowledged.
    pub torn_bytes: u64,
}

/// Reads all whole frames of a segment's first `bytes`; `each` gets their lines.
///
/// # Errors
/// What reading says, or `each`.
pub(super) fn read_segment(
    path: &Path,
    bytes: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Damage> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut buffer, mut at, mut damage) = (Vec::new(), 0_u64, Damage::default());
    loop {
        match read_frame(&mut file.by_ref().take(bytes - at), &mut buffer)? {
            Next::Frame { .. } => {
                each(&buffer)?;
                at += (HEADER_BYTES + buffer.len()) as u64;
            }
            Next::End => return Ok(damage),
            Next::Broken => {
                file.seek(SeekFrom::Start(at))?;
                let mut rest = Vec::new();
                file.by_ref().take(bytes - at).read_to_end(&mut rest)?;
                let Some(skipped) = next_frame(&rest)? else {
                    damage.torn_bytes = rest.len() as u64;
                    return Ok(damage);
                };
                damage.lost_bytes += skipped as u64;
                at += skipped as u64;
                file.seek(SeekFrom::Start(at))?;
            }
        }
    }
}

/// Where the next whole frame begins behind the first byte.
fn next_frame(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut buffer = Vec::new();
    for at in memchr::memmem::find_iter(bytes, &MAGIC).filter(|at| *at > 0) {
        if let Next::Frame { .. } = read_frame(&mut &bytes[at..], &mut buffer)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The ids of a frame's events: each line begins with `{"event_id":"<UUID>"`.
pub(super) fn ids_of(lines: &[u8]) -> impl Iterator<Item = u128> + '_ {
    const BEFORE: usize = r#"{"event_id":""#.len();
    let id_of = |line: &[u8]| Uuid::try_parse_ascii(line.get(BEFORE..BEFORE + 36)?).ok();
    lines.split(|byte| *byte == b'\n').filter_map(id_of).map(|id| id.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_the_object_goes() {
        let id = Uuid::from_u64_pair(1, 2);
        let id_text = "00000000-0000-0001-0000-000000000002";
        for (folder, file, object) in [
            ("dt=2026-11-21/hr=13", "dt=2026-11-21,hr=13,web-1.", "dt=2026-11-21/hr=13/web-1-"),
            ("", ",web-1.", "web-1-"),
        ] {
            let name = SegmentName { folder: folder.into(), collector: "web-1".into(), id };
            assert_eq!(name.file_name(), format!("{file}{id_text}.spool"));
            assert_eq!(name.object_name(), format!("{object}{id_text}.ndjson.zst"));
            assert_eq!(SegmentName::parse(&name.file_name()), Some(name));
        }
        for foreign in ["x.spool", "00000000-0000-0001-0000-000000000002.ids", "a,b", ".spool"] {
            assert_eq!(SegmentName::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn ids_are_found_at_the_beginning_of_lines() {
        let id = Uuid::from_u64_pair(3, 4);
        let lines = format!("{{\"event_id\":\"{id}\",\"x\":1}}\nshort\n");
        assert_eq!(ids_of(lines.as_bytes()).collect::<Vec<_>>(), [id.as_u128()]);
    }
}
