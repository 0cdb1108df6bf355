//! A segment, one file of the write-ahead log: written, truncated where a write tore, read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::frame::{HEADER_BYTES, MAGIC, Next, is_torn, read_frame};
use super::length::{Length, LengthNote, forget};
use super::recent::DeduplicationKeys;

pub(super) const EXTENSION: &str = "spool";
const LANDED_EXTENSION: &str = "landed";
/// Of a file that is written anew in place of one that somebody removed.
const COPY_EXTENSION: &str = "copy";
/// Bytes that are copied at a time.
const COPIED_BYTES: u64 = 1 << 20;
const DAMAGED_EXTENSION: &str = "damaged";

/// What a segment's name says: `dt=2026-11-21,hr=13,web-1.0199….spool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentName {
    /// The object's folder below the landing's place: `dt=2026-11-21/hr=13`.
    pub folder: String,
    /// The name of the collector that began it.
    pub collector: String,
    /// The segment's own id; ids of later segments sort after.
    pub id: Uuid,
}

impl SegmentName {
    /// The file's name.
    pub fn file_name(&self) -> String {
        let SegmentName { folder, collector, id } = self;
        format!("{},{collector}.{id}.{EXTENSION}", folder.replace('/', ","))
    }

    /// The object's name: `dt=2026-11-21/hr=13/web-1-0199….ndjson.zst`, and where other objects
    /// have the first names, `…-2.ndjson.zst`.
    pub fn object_name(&self, taken: u32) -> String {
        let SegmentName { folder, collector, id } = self;
        let number = if taken == 0 { String::new() } else { format!("-{}", taken + 1) };
        let name = format!("{collector}-{id}{number}.ndjson.zst");
        if folder.is_empty() { name } else { format!("{folder}/{name}") }
    }

    /// The name of the file with the segment's event ids.
    pub fn ids_name(&self) -> String {
        format!("{}.ids", self.id)
    }

    /// When the segment began, by its id, in milliseconds since 1970.
    pub fn begun_ms(&self) -> i64 {
        i64::try_from(self.id.as_u128() >> 80).unwrap_or(0)
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
    /// Which file of the file system it is.
    id: FileId,
    length: LengthNote,
    /// Bytes that are durable.
    pub bytes: u64,
    /// When it began, by the arrival of its first line.
    pub begun_ms: i64,
    /// Whether the file holds more than that, which could not be cut off.
    pub is_broken: bool,
}

impl OpenSegment {
    /// Begins a segment: the file and its name are on disk when this returns.
    pub fn create(spool: &Path, name: SegmentName, begun_ms: i64) -> io::Result<Self> {
        let path = spool.join(name.file_name());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let length = LengthNote::create(&path);
        File::open(spool)?.sync_all()?;
        let id = id_of(&file.metadata()?);
        Ok(OpenSegment { name, path, file, id, length, bytes: 0, begun_ms, is_broken: false })
    }

    /// Writes a sealed frame; it is durable when this returns, and is to be [taken
    /// back](OpenSegment::take_back) after an error.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all(frame)?;
        self.file.sync_data()?;
        self.bytes += frame.len() as u64;
        Ok(())
    }

    /// Says beside the file how long it is.
    pub fn note_length(&self) {
        self.length.note(self.bytes);
    }

    /// Goes back to so many bytes, all of which were acknowledged.
    pub fn take_back(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.is_broken = self.cut_off().is_err();
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

    /// Says durably that what follows in the file was refused.
    pub fn end_here(&self) -> io::Result<()> {
        Length { bytes: self.bytes, is_end: true }.write_durably(&self.path)
    }

    /// Whether the file that is written is the one of its name.
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| id_of(&found) == self.id)
    }

    /// Writes the file anew, from the one that is open, as it lost its name; what was acknowledged
    /// is on disk under the name when this returns.
    pub fn put_back(&mut self) -> io::Result<()> {
        let copy_path = self.path.with_extension(COPY_EXTENSION);
        let mut options = OpenOptions::new();
        let mut copy =
            options.read(true).write(true).create(true).truncate(true).open(&copy_path)?;
        let mut at = 0;
        while at < self.bytes {
            let mut piece = vec![0; (self.bytes - at).min(COPIED_BYTES) as usize];
            self.file.read_exact_at(&mut piece, at)?;
            copy.write_all(&piece)?;
            at += piece.len() as u64;
        }
        copy.sync_all()?;
        fs::rename(&copy_path, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
        self.id = id_of(&copy.metadata()?);
        (self.file, self.length) = (copy, LengthNote::create(&self.path));
        self.is_broken = false;
        self.note_length();
        Ok(())
    }

    /// Ends the segment.
    pub fn seal(self) -> SealedSegment {
        SealedSegment { name: self.name, path: self.path, bytes: self.bytes }
    }
}

/// Whether a file that is open is the one that has the name now.
pub(super) fn is_file_of(file: &File, path: &Path) -> bool {
    let id = |metadata: io::Result<fs::Metadata>| metadata.map(|found| id_of(&found)).ok();
    id(file.metadata()) == id(fs::metadata(path))
}

/// The device, and the file's number there.
type FileId = (u64, u64);

fn id_of(metadata: &fs::Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// The name that a segment gets when it has landed, until it is gone.
pub(super) fn landed_path(segment: &Path) -> PathBuf {
    segment.with_extension(LANDED_EXTENSION)
}

/// The name that a segment gets that the disk has changed: it lands no more, and stays for whoever
/// can read more of it.
pub(super) fn damaged_path(segment: &Path) -> PathBuf {
    segment.with_extension(DAMAGED_EXTENSION)
}

/// Puts a segment aside as damaged; its new name is on disk when this returns.
pub(super) fn put_aside(segment: &Path) -> io::Result<PathBuf> {
    let aside = damaged_path(segment);
    forget(segment);
    fs::rename(segment, &aside)?;
    segment.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(aside)
}

/// Removes what an earlier process left of segments that had landed, or were being copied.
pub(super) fn remove_landed(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let path = entry?.path();
        if path.extension().is_some_and(|one| one == LANDED_EXTENSION || one == COPY_EXTENSION)
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, path = %path.display(), "what has landed could not be removed");
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
pub(super) struct SegmentDamage {
    /// Bytes that were frames: the disk lost what was acknowledged.
    pub lost_bytes: u64,
    /// Bytes at the end, of a write that a crash cut off: they were never acknowledged.
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
) -> io::Result<SegmentDamage> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut buffer, mut at, mut damage) = (Vec::new(), 0_u64, SegmentDamage::default());
    loop {
        match read_frame(&mut file.by_ref().take(bytes - at), &mut buffer)? {
            Next::Frame { .. } => {
                each(&buffer)?;
                at += (HEADER_BYTES + buffer.len()) as u64;
            }
            Next::End => {
                // A file that is shorter than it was has lost what stood there.
                damage.lost_bytes += bytes - at;
                return Ok(damage);
            }
            Next::Broken => {
                file.seek(SeekFrom::Start(at))?;
                let mut rest = Vec::new();
                file.by_ref().take(bytes - at).read_to_end(&mut rest)?;
                let Some(skipped) = next_frame(&rest)? else {
                    match is_torn(&rest) {
                        true => damage.torn_bytes = rest.len() as u64,
                        false => damage.lost_bytes += rest.len() as u64,
                    }
                    return Ok(damage);
                };
                damage.lost_bytes += skipped as u64;
                at += skipped as u64;
                file.seek(SeekFrom::Start(at))?;
            }
        }
    }
}

/// Where the next whole frame begins after the first byte.
fn next_frame(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut buffer = Vec::new();
    for at in memchr::memmem::find_iter(bytes, &MAGIC).filter(|at| *at > 0) {
        if let Next::Frame { .. } = read_frame(&mut &bytes[at..], &mut buffer)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Characters of a key in front of its line: 16 bytes in base64url.
const KEY_CHARACTERS: usize = 22;

/// The deduplication keys of an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventKeys {
    /// Of its id and whose it is.
    pub by_id: Option<Uuid>,
    /// Of its id and all that it says.
    pub by_text: Option<Uuid>,
}

impl EventKeys {
    /// Both, as far as it has them.
    pub(super) fn both(self) -> DeduplicationKeys {
        [self.by_id, self.by_text].map(|key| key.map(|key| key.as_u128()))
    }
}

/// Begins a spooled line with its event's keys, one or two, which do not land. What follows is the
/// line that does, a JSON object.
pub fn begin_line(keys: EventKeys, lines: &mut Vec<u8>) {
    for key in [keys.by_id, keys.by_text].into_iter().flatten() {
        let mut text = [b'A'; KEY_CHARACTERS];
        // 16 bytes make 22 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(key.as_bytes(), &mut text);
        lines.extend_from_slice(&text);
    }
}

/// A frame's lines, with their line ends: each event's keys and what lands.
pub(super) fn lines_of(lines: &[u8]) -> impl Iterator<Item = (DeduplicationKeys, &[u8])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let line = rest.split_off(..end)?;
        (!line.is_empty()).then(|| split_line(line))
    })
}

fn split_line(line: &[u8]) -> (DeduplicationKeys, &[u8]) {
    if line.first() == Some(&b'{') {
        // An earlier version knew an event by its id, with which its line begins.
        const BEFORE: usize = r#"{"event_id":""#.len();
        let id = line.get(BEFORE..BEFORE + 36).and_then(|id| Uuid::try_parse_ascii(id).ok());
        return ([id.map(|id| id.as_u128()), None], line);
    }
    let (key, rest) = split_key(line);
    match rest.first() {
        Some(b'{') => ([key, None], rest),
        _ => {
            let (also, rest) = split_key(rest);
            ([key, also], rest)
        }
    }
}

fn split_key(line: &[u8]) -> (Option<u128>, &[u8]) {
    let Some((text, rest)) = line.split_at_checked(KEY_CHARACTERS) else { return (None, line) };
    let mut key = [0; 16 + 2];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut key) {
        Ok(16) => (key.first_chunk().map(|key| u128::from_be_bytes(*key)), rest),
        _ => (None, line),
    }
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
            assert_eq!(name.object_name(0), format!("{object}{id_text}.ndjson.zst"));
            assert_eq!(name.object_name(1), format!("{object}{id_text}-2.ndjson.zst"));
            assert_eq!(SegmentName::parse(&name.file_name()), Some(name));
        }
        for foreign in ["x.spool", "00000000-0000-0001-0000-000000000002.ids", "a,b", ".spool"] {
            assert_eq!(SegmentName::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn keys_are_found_at_the_beginning_of_lines_and_do_not_land() {
        let (id, key) = (Uuid::from_u64_pair(3, 4), Uuid::from_u64_pair(u64::MAX, 9));
        let also = Uuid::from_u64_pair(5, 6);
        let old = format!("{{\"event_id\":\"{id}\",\"x\":1}}\n");
        let mut lines = old.clone().into_bytes();
        begin_line(EventKeys { by_id: Some(key), by_text: None }, &mut lines);
        lines.extend_from_slice(b"{\"event_id\":\"evt_1\"}\n");
        begin_line(EventKeys { by_id: Some(key), by_text: Some(also) }, &mut lines);
        lines.extend_from_slice(b"{}\nshort\n");
        let (key, also) = (key.as_u128(), also.as_u128());
        let expected: [(_, &[u8]); 4] = [
            ([Some(id.as_u128()), None], old.as_bytes()),
            ([Some(key), None], b"{\"event_id\":\"evt_1\"}\n"),
            ([Some(key), Some(also)], b"{}\n"),
            ([None, None], b"short\n"),
        ];
        assert_eq!(lines_of(&lines).collect::<Vec<_>>(), expected);
    }
}
