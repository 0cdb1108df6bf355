//! One object: its lines, in the compression and with the line ends that real objects have.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use flate2::write::GzEncoder;

use super::flaw::Flaw;
use super::hour::Hour;
use super::record::RecordWriter;
use super::summary::RecordCounts;

/// Bytes that are gathered before they are compressed.
const BUFFER_BYTES: usize = 256 << 10;
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
const HOUR_MS: u32 = 3_600_000;
/// A record's time strays by at most so many milliseconds from the even flow.
const JITTER_MS: u32 = 1_500;

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Zstd,
    Plain,
}

impl Codec {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Codec::Gzip => ".gz",
            Codec::Zstd => ".zst",
            Codec::Plain => "",
        }
    }
}

/// How much an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectSize {
    /// So many lines.
    Lines(u64),
    /// As many whole lines as reach so many bytes before compression.
    Bytes(u64),
}

/// An object that shall be written. Its number in the run settles what is peculiar about it.
#[derive(Debug, Clone)]
pub(super) struct ObjectPlan {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) hour: Hour,
    pub(super) codec: Codec,
    pub(super) size: ObjectSize,
    /// Likelihood of a flawed line in 2^32ths.
    pub(super) flaws: u64,
}

/// What became of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct WrittenObject {
    pub(super) bytes: u64,
    pub(super) compressed_bytes: u64,
    pub(super) counts: RecordCounts,
}

impl ObjectPlan {
    fn line_end(&self) -> &'static [u8] {
        if self.number % 8 == 1 { b"\r\n" } else { b"\n" }
    }

    fn has_byte_order_mark(&self) -> bool {
        self.number % 8 == 4
    }

    fn lacks_last_line_end(&self) -> bool {
        self.number % 8 == 3
    }

    /// Two gzip members or zstd frames, the second of which begins in the middle of a line.
    fn has_two_members(&self) -> bool {
        self.number % 4 >= 2
    }

    /// Writes the object; what stood under its name is replaced.
    pub(super) fn write(&self, seed: u64) -> io::Result<WrittenObject> {
        let mut writer = RecordWriter::new(seed, self.number, self.hour.clone());
        let mut object = ObjectFile::create(self)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + (BUFFER_BYTES >> 2));
        if self.has_byte_order_mark() {
            buffer.extend_from_slice("\u{feff}".as_bytes());
        }
        let mut flaw_index = self.number as usize * 5;
        let mut strips_line_end = self.lacks_last_line_end();
        while let Some(progress) = self.progress(&writer.counts, object.bytes + buffer.len() as u64)
        {
            let at = self.time_at(progress, writer.counts.lines);
            let flawed = writer.is_flawed(self.flaws);
            let flaw = flawed.then(|| Flaw::ALL[flaw_index % Flaw::ALL.len()]);
            flaw_index += usize::from(flawed);
            let start = buffer.len();
            writer.write_line(&mut buffer, at, flaw);
            // Without its end a blank line would be none.
            strips_line_end = self.lacks_last_line_end() && flaw != Some(Flaw::Blank);
            buffer.extend_from_slice(self.line_end());
            if self.has_two_members() && object.members == 1 && progress >= 1 << 31 {
                let middle = start + (buffer.len() - start) / 2;
                object.write(&buffer[..middle])?;
                object = object.begin_member()?;
                buffer.drain(..middle);
            }
            if buffer.len() >= BUFFER_BYTES {
                // The last line's end stays, since it may be the object's last one.
                let last = buffer.split_off(buffer.len() - self.line_end().len());
                object.write(&buffer)?;
                buffer = last;
            }
        }
        if strips_line_end {
            buffer.truncate(buffer.len().saturating_sub(self.line_end().len()));
        }
        object.write(&buffer)?;
        object.finish(writer.counts)
    }

    /// How much of the object is written, in 2^32ths; none if it is all.
    fn progress(&self, counts: &RecordCounts, bytes: u64) -> Option<u64> {
        let (done, all) = match self.size {
            ObjectSize::Lines(lines) => (counts.lines, lines),
            ObjectSize::Bytes(all) => (bytes, all),
        };
        (done < all).then(|| ((u128::from(done) << 32) / u128::from(all)) as u64)
    }

    /// The time of a line, in milliseconds from the hour's beginning, at which the first one is.
    fn time_at(&self, progress: u64, line: u64) -> u32 {
        let even = ((progress * u64::from(HOUR_MS)) >> 32) as u32;
        let jitter = super::random::mixed(line ^ u64::from(self.number) << 48) >> 40;
        let jitter = if line == 0 { 0 } else { jitter as u32 % JITTER_MS };
        (even + jitter).min(HOUR_MS - 1)
    }
}

/// An object's file with its compression.
struct ObjectFile {
    codec: Codec,
    encoder: ObjectEncoder,
    members: u32,
    bytes: u64,
}

enum ObjectEncoder {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl ObjectFile {
    fn create(plan: &ObjectPlan) -> io::Result<Self> {
        let file = BufWriter::new(File::create(&plan.path)?);
        let encoder = ObjectEncoder::begin(plan.codec, file)?;
        Ok(ObjectFile { codec: plan.codec, encoder, members: 1, bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        match &mut self.encoder {
            ObjectEncoder::Plain(file) => file.write_all(bytes),
            ObjectEncoder::Gzip(encoder) => encoder.write_all(bytes),
            ObjectEncoder::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Ends the gzip member or zstd frame and begins another.
    fn begin_member(self) -> io::Result<Self> {
        let file = self.encoder.end_member()?;
        let encoder = ObjectEncoder::begin(self.codec, file)?;
        Ok(ObjectFile { encoder, members: self.members + 1, ..self })
    }

    fn finish(self, counts: RecordCounts) -> io::Result<WrittenObject> {
        let mut file = self.encoder.end_member()?;
        file.flush()?;
        let compressed_bytes = file.get_ref().metadata()?.len();
        Ok(WrittenObject { bytes: self.bytes, compressed_bytes, counts })
    }
}

impl ObjectEncoder {
    fn begin(codec: Codec, file: BufWriter<File>) -> io::Result<Self> {
        Ok(match codec {
            Codec::Plain => ObjectEncoder::Plain(file),
            Codec::Gzip => {
                ObjectEncoder::Gzip(GzEncoder::new(file, flate2::Compression::new(GZIP_LEVEL)))
            }
            Codec::Zstd => {
                let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                ObjectEncoder::Zstd(encoder)
            }
        })
    }

    fn end_member(self) -> io::Result<BufWriter<File>> {
        match self {
            ObjectEncoder::Plain(file) => Ok(file),
            ObjectEncoder::Gzip(encoder) => encoder.finish(),
            ObjectEncoder::Zstd(encoder) => encoder.finish(),
        }
    }
}
