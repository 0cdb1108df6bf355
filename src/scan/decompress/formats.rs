//! Tells what an object is by its first bytes.

use serde::{Deserialize, Serialize};

/// What an object's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text, or too few bytes to tell.
    Plain,
    /// Packed in a format that is read.
    Packed(Packing),
    /// It ends inside of this format's magic number.
    Torn(Packing),
    /// A format that is not read.
    Unreadable(Unreadable),
}

/// Formats that are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Lz4,
}

impl Packing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Bzip2 => "bzip2",
            Packing::Xz => "xz",
            Packing::Lz4 => "lz4",
        }
    }
}

/// Why nothing of an object can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// What the object is, in a word or two: `zip`, `UTF-16`.
    pub format: String,
    /// What was found, and what was expected.
    pub reason: String,
}

impl Unreadable {
    /// An object of this format, described as `what`.
    pub(crate) fn new(format: &str, what: &str) -> Self {
        let reason =
            format!("{what}; expected JSON text, plain or as gzip, zstd, bzip2, xz or lz4");
        Unreadable { format: format.to_owned(), reason }
    }
}

/// Bytes that are enough to tell any format: tar's magic number stands after a file's header.
pub(crate) const HEAD_BYTES: usize = 512;

pub(crate) const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
pub(crate) const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
pub(crate) const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
pub(crate) const LZ4_MAGIC: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
const BZIP2_BEGIN: &[u8] = b"BZh";
/// A block's and an empty stream's magic numbers: the digits of pi and of its square root.
const BZIP2_MAGICS: [&[u8]; 2] =
    [&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], &[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];

/// No JSON text begins with any of these, so that no good line is lost to an object's torn end.
const WHOLE_MAGICS: [(Packing, &[u8]); 4] = [
    (Packing::Gzip, GZIP_MAGIC),
    (Packing::Zstd, ZSTD_MAGIC),
    (Packing::Xz, XZ_MAGIC),
    (Packing::Lz4, LZ4_MAGIC),
];

/// Magic numbers of formats that are not read, with where they stand.
const UNREADABLE: [(usize, &[u8], &str, &str); 26] = [
    (0, b"PK\x03\x04", "zip", "a zip archive"),
    (0, b"PK\x05\x06", "zip", "an empty zip archive"),
    (0, b"PK\x07\x08", "zip", "a part of a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "rar", "a rar archive"),
    (257, b"ustar", "tar", "a tar archive"),
    (0, b"PAR1", "parquet", "a Parquet file"),
    (0, b"PARE", "parquet", "an encrypted Parquet file"),
    (0, b"Obj\x01", "avro", "an Avro file"),
    (0, b"ORC", "orc", "an ORC file"),
    (0, b"ARROW1", "arrow", "an Arrow file"),
    (0, b"\xff\xff\xff\xff", "arrow", "an Arrow stream"),
    (0, b"SEQ\x06", "sequence file", "a Hadoop sequence file"),
    (0, b"\x1f\x9d", "compress", "compressed by compress(1)"),
    (0, b"\x1f\xa0", "compress", "compressed by compress(1), with LZH"),
    (0, b"LZIP", "lzip", "compressed by lzip"),
    (0, b"\x5d\x00\x00", "lzma", "compressed as .lzma, which is the form before xz"),
    (0, b"\x89LZO", "lzop", "compressed by lzop"),
    (0, b"\xff\x06\x00\x00sNaPpY", "snappy", "snappy in frames"),
    (0, b"\x82SNAPPY\x00", "snappy", "snappy as Java's stream"),
    (0, b"\x02\x21\x4c\x18", "lz4, legacy", "lz4 in its legacy form; made anew without `-l`"),
    (0, b"SQLite format 3\0", "sqlite", "an SQLite database"),
    (0, b"%PDF-", "pdf", "a PDF document"),
    (0, b"-----BEGIN PGP", "pgp", "encrypted or signed by PGP"),
    (0, b"age-encryption.org/", "age", "encrypted by age"),
    (0, b"Salted__", "openssl", "encrypted by openssl enc"),
];

/// Tells what begins with `head`: [`HEAD_BYTES`], or all that there is.
pub(crate) fn tell(head: &[u8]) -> Content {
    for (packing, whole) in WHOLE_MAGICS {
        if !head.is_empty() && head.len() < whole.len() && whole.starts_with(head) {
            return Content::Torn(packing);
        }
        if head.starts_with(whole) {
            return Content::Packed(packing);
        }
    }
    if let Some(packing) = packing_of_skippable_frame(head) {
        return Content::Packed(packing);
    }
    if !head.is_empty() && BZIP2_BEGIN.starts_with(head) {
        return Content::Torn(Packing::Bzip2);
    }
    if let [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] = head
        && BZIP2_MAGICS.iter().any(|magic| rest.starts_with(&magic[..rest.len().min(6)]))
    {
        return Content::Packed(Packing::Bzip2);
    }
    let known = UNREADABLE.iter().find(|(at, magic, format, _)| {
        let after = head.get(*at..).and_then(|rest| rest.strip_prefix(*magic));
        // Some magic numbers are words; a bad line may begin with them.
        let is_word = matches!(*format, "parquet" | "orc" | "arrow" | "lzip");
        after.is_some_and(|after| !is_word || !matches!(after, [b' '..=b'~', ..]))
    });
    if let Some((_, _, format, what)) = known {
        return Content::Unreadable(Unreadable::new(format, what));
    }
    match tell_wide_text(head).or_else(|| tell_binary(head)) {
        Some(unreadable) => Content::Unreadable(unreadable),
        None => Content::Plain,
    }
}

/// Frames to be skipped are the same for zstd (RFC 8878, 3.1.2) and lz4: `0x184d2a50` to
/// `0x184d2a5f`, little-endian. What comes after them says which it is.
fn packing_of_skippable_frame(head: &[u8]) -> Option<Packing> {
    let mut rest = head;
    while let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, after @ ..] = rest {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        rest = after.get(length..).unwrap_or_default();
    }
    if rest.len() == head.len() && !matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
        return None;
    }
    Some(if rest.starts_with(LZ4_MAGIC) { Packing::Lz4 } else { Packing::Zstd })
}

/// Text of two or four bytes a character, told by its mark or by its first two characters, of
/// which JSON has no other than ASCII ones (RFC 4627, 3).
fn tell_wide_text(head: &[u8]) -> Option<Unreadable> {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let format = match head {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        [a, 0, 0, 0, ..] | [0, 0, 0, a, ..] if is_text(a) => "UTF-32",
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] if is_text(a) && is_text(b) => "UTF-16",
        _ => return None,
    };
    Some(Unreadable::new(format, &format!("text in {format}, not in UTF-8")))
}

/// Fewer bytes than this are too few to tell binary data from a bad line.
const BINARY_BYTES_MIN: usize = 32;

/// Data in which no line begins as JSON and many bytes are none of a text: encrypted, or in a
/// format that is not known here. A bad line before good ones is not that.
fn tell_binary(head: &[u8]) -> Option<Unreadable> {
    let begins_as_json =
        |line: &[u8]| matches!(line.trim_ascii_start().first(), Some(b'{' | b'[' | 0x1e));
    if head.len() < BINARY_BYTES_MIN || head.split(|byte| *byte == b'\n').any(begins_as_json) {
        return None;
    }
    let is_control = |byte: &u8| *byte < b' ' && !b"\t\n\r\x1b\x1e".contains(byte);
    let controls = head.iter().filter(|byte| is_control(byte)).count();
    // What is cut off at the head's end is no fault.
    let undecodable: usize =
        head.utf8_chunks().map(|chunk| chunk.invalid().len()).sum::<usize>().saturating_sub(3);
    // Of random bytes an eighth are control characters and a third is not UTF-8.
    if (controls + undecodable) * 5 < head.len() || controls == 0 {
        return None;
    }
    let first: Vec<String> = head[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let what = format!("binary data that begin with {}", first.join(" "));
    Some(Unreadable::new("binary", &what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(head: &[u8]) -> Option<String> {
        match tell(head) {
            Content::Unreadable(unreadable) => Some(unreadable.format),
            _ => None,
        }
    }

    #[test]
    fn text_is_plain_whatever_it_begins_with() {
        let long = |first: &str| format!("{first}\n{}", "{\"a\":1}\n".repeat(40)).into_bytes();
        for first in
            ["", "{}", "[", "B-", "BZh9 is a name", "PK", "7z", "ORC, a", "PAR1 x", "\u{feff}{}"]
        {
            assert_eq!(tell(first.as_bytes()), Content::Plain, "{first:?}");
            assert_eq!(tell(&long(first)), Content::Plain, "{first:?}");
        }
        let shift_jis = [b"{\"a\":\"", &[0x91, 0xab, 0x90, 0xd5].repeat(20)[..], b"\"}\n"].concat();
        assert_eq!(tell(&shift_jis), Content::Plain);
        assert_eq!(tell(&[0x91, 0xab, 0x90, 0xd5].repeat(20)), Content::Plain, "a bad line");
        let torn = [&[0; 200][..], b"\n{\"a\":1}\n"].concat();
        assert_eq!(tell(&torn), Content::Plain, "zeros of a torn write, then lines");
    }

    #[test]
    fn what_is_packed_is_told_by_its_magic_number() {
        for (head, packing) in [
            (&b"\x1f\x8b\x08"[..], Packing::Gzip),
            (b"\x28\xb5\x2f\xfd\x04", Packing::Zstd),
            (b"\x50\x2a\x4d\x18\x01\0\0\0x\x28\xb5\x2f\xfd", Packing::Zstd),
            (b"\x5f\x2a\x4d\x18\x01\0\0\0x\x04\x22\x4d\x18", Packing::Lz4),
            (b"BZh91AY&SY", Packing::Bzip2),
            (b"BZh1\x17\x72\x45\x38\x50\x90", Packing::Bzip2),
            (b"\xfd7zXZ\0", Packing::Xz),
            (b"\x04\x22\x4d\x18\x64", Packing::Lz4),
        ] {
            assert_eq!(tell(head), Content::Packed(packing), "{head:?}");
        }
        assert_eq!(tell(b"\x1f"), Content::Torn(Packing::Gzip));
        assert_eq!(tell(b"BZ"), Content::Torn(Packing::Bzip2));
        assert_eq!(tell(b"\xfd7z"), Content::Torn(Packing::Xz));
    }

    #[test]
    fn what_is_not_read_is_named() {
        let tar = [&[b'a'; 100][..], &[0; 157], b"ustar\x0000", &[0; 248]].concat();
        let random: Vec<u8> =
            (0..200_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (head, format) in [
            (&b"PK\x03\x04\x14"[..], "zip"),
            (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
            (b"Rar!\x1a\x07\x01\0", "rar"),
            (&tar, "tar"),
            (b"PAR1\x15\x04", "parquet"),
            (b"Obj\x01\x04", "avro"),
            (b"ORC\x08\x03", "orc"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\xfe\xff\0{\0}", "UTF-16"),
            (b"{\0\"\0a\0", "UTF-16"),
            (b"\0{\0\"\0a", "UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32"),
            (b"\0\0\0{\0\0\0\"", "UTF-32"),
            (b"\x1f\x9d\x90", "compress"),
            (b"\x5d\0\0\x80\0", "lzma"),
            (b"\xff\x06\0\0sNaPpY\x01", "snappy"),
            (&random, "binary"),
        ] {
            assert_eq!(format_of(head).as_deref(), Some(format), "{head:?}");
        }
    }
}
