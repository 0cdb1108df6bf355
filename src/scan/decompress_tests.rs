use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::formats::{GZIP_MAGIC, LZ4_MAGIC, XZ_MAGIC, ZSTD_MAGIC};
use super::*;
use crate::decode::RejectReason;
use crate::scan::frame::{FrameOptions, Framed, Framer};
use crate::scan::read::ReadBytes;

const LINES: &[u8] = b"{\"a\":1}\n{\"b\":\"\xe8\xb6\xb3\xe8\xb7\xa1\"}\r\n\n{\"c\":[1,2,3]}\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One frame with a checksum.
fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A frame of linked blocks of 64 KiB with checksums.
fn lz4_frame(bytes: &[u8]) -> Vec<u8> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max64KB)
        .block_checksums(true)
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn skippable_frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&[0x5a, 0x2a, 0x4d, 0x18][..], &length, bytes].concat()
}

/// Gives one byte at a time, interrupted before each.
struct Trickle<R> {
    reader: R,
    interrupt: bool,
}

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = into.len().min(1);
        self.reader.read(&mut into[..length])
    }
}

/// All bytes, or those before the damage and its message.
fn decompress(compressed: &[u8]) -> (Vec<u8>, Option<String>) {
    let at_once = read_all(compressed);
    let trickled = read_all(Trickle { reader: compressed, interrupt: false });
    let same = at_once.0.iter().zip(&trickled.0).take_while(|(a, b)| a == b).count();
    let lengths = (at_once.0.len(), trickled.0.len());
    assert_eq!((same, same), lengths, "the size of reads makes no difference");
    assert_eq!(at_once.1.is_some(), trickled.1.is_some());
    at_once
}

fn read_all(reader: impl Read + Send) -> (Vec<u8>, Option<String>) {
    let mut bytes = Vec::new();
    let error = Decompressor::new(reader).read_to_end(&mut bytes).err();
    let damage = error.map(|error| match classify(&error) {
        ReadFailure::Damage(message) => message,
        ReadFailure::Unreadable(unreadable) => format!("unreadable: {}", unreadable.reason),
        ReadFailure::Store(error) => panic!("{error}"),
    });
    (bytes, damage)
}

fn whole(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    (bytes.to_vec(), None)
}

#[test]
fn plain_bytes_pass_through() {
    assert_eq!(decompress(LINES), whole(LINES));
    assert_eq!(decompress(b""), whole(b""));
    assert_eq!(decompress(b"{"), whole(b"{"));
    assert_eq!(decompress(b"[1]"), whole(b"[1]"));
}

#[test]
fn all_members_of_a_gzip_are_read() {
    let members = [gzip(b"a\nb"), gzip(b""), gzip(b"c\n"), gzip(LINES)].concat();
    assert_eq!(decompress(&members), whole(&[b"a\nbc\n", LINES].concat()));
    assert_eq!(decompress(&gzip(b"")), whole(b""));
}

#[test]
fn all_frames_of_a_zstd_are_read_and_skippable_ones_skipped() {
    let (first, second, skipped) =
        (zstd_frame(b"a\nb"), zstd_frame(LINES), skippable_frame(b"not\na\nline\n"));
    let expected = [b"a\nb", LINES].concat();
    for frames in [
        [&first[..], &skipped, &second].concat(),
        [&skipped[..], &first, &second].concat(),
        [&first[..], &zstd_frame(b""), &second, &skipped, &skippable_frame(b"")].concat(),
    ] {
        assert_eq!(decompress(&frames), whole(&expected));
    }
}

#[test]
fn zeros_behind_the_last_gzip_member_are_padding() {
    for zeros in [1, 2, 7, 512, 3 * INPUT_BYTES] {
        assert_eq!(decompress(&[gzip(LINES), vec![0; zeros]].concat()), whole(LINES));
    }
}

#[test]
fn anything_else_behind_the_last_member_or_frame_is_damage_and_keeps_what_was_before() {
    let padded = [gzip(LINES), vec![0; 9], gzip(LINES)].concat();
    for damaged in [
        [&gzip(LINES)[..], b"x"].concat(),
        [&gzip(LINES)[..], b"garbage, longer than a header"].concat(),
        [&gzip(LINES)[..], &zstd_frame(LINES)].concat(),
        padded,
        [&zstd_frame(LINES)[..], b"x"].concat(),
        [&zstd_frame(LINES)[..], b"garbage, longer than a header"].concat(),
        [&zstd_frame(LINES)[..], &gzip(LINES)].concat(),
        [&zstd_frame(LINES)[..], &[0; 9]].concat(),
    ] {
        let (bytes, damage) = decompress(&damaged);
        assert_eq!(bytes, LINES);
        assert!(damage.is_some());
    }
}

#[test]
fn a_damage_is_told_again_by_each_further_read() {
    let torn = gzip(LINES);
    let mut reader = Decompressor::new(&torn[..torn.len() - 1]);
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let error = reader.read_to_end(&mut bytes).unwrap_err();
        assert!(matches!(classify(&error), ReadFailure::Damage(_)), "{error:?}");
        assert_eq!(bytes, LINES);
    }
}

/// Frames all of a compressed object: the lines before any damage, and that damage's reject.
fn frame(compressed: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let reader = Decompressor::new(Trickle {
        reader: io::Cursor::new(compressed.to_vec()),
        interrupt: false,
    });
    let options =
        FrameOptions { line_bytes_max: 100, chunk_bytes_target: 32, ..FrameOptions::default() };
    let mut framer = Framer::new(Box::new(reader), ReadBytes::default(), options).unwrap();
    let (mut lines, mut count, mut damaged) = (Vec::new(), 0, None);
    while let Some(framed) = framer.next_framed().unwrap() {
        assert!(damaged.is_none(), "the damage is the last");
        match framed {
            Framed::Lines(some) => {
                lines.extend_from_slice(&some.bytes);
                count += some.count;
            }
            Framed::Reject(reject) => {
                assert_eq!(reject.reason, RejectReason::DamagedStream);
                assert_eq!(reject.offset, lines.len() as u64);
                count += 1;
                assert_eq!(reject.line, count);
                damaged = Some(reject.raw.to_vec());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(framer.lines(), count);
    (lines, damaged)
}

/// Truncates `compressed` everywhere: a cut at one of `borders` (or nowhere) is no damage, all
/// others are, and keep a prefix of whole lines.
fn truncate_everywhere(compressed: &[u8], original: &[u8], borders: &[usize]) {
    for cut in 0..=compressed.len() {
        let (lines, damaged) = frame(&compressed[..cut]);
        let whole_object = cut == 0 || borders.contains(&cut) || cut == compressed.len();
        assert_eq!(damaged.is_none(), whole_object, "cut at {cut}");
        assert!(original.starts_with(&lines), "cut at {cut}");
        if let Some(rest) = damaged {
            assert!(lines.is_empty() || lines.ends_with(b"\n"), "cut at {cut}");
            assert!(original[lines.len()..].starts_with(&rest), "cut at {cut}");
            assert!(!rest.contains(&b'\n'), "cut at {cut}");
        }
    }
    assert_eq!(frame(compressed), (original.to_vec(), None));
}

/// Some lines that do not compress away.
fn many_lines() -> Vec<u8> {
    (0_u32..60)
        .flat_map(|n| format!("{{\"n\":{}}}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

#[test]
fn a_gzip_truncated_anywhere_keeps_the_lines_before() {
    let lines = many_lines();
    truncate_everywhere(&gzip(&lines), &lines, &[]);
    let (first, second) = (gzip(LINES), gzip(&lines));
    truncate_everywhere(&[&first[..], &second].concat(), &[LINES, &lines].concat(), &[first.len()]);
}

#[test]
fn a_zstd_truncated_anywhere_keeps_the_lines_before() {
    let lines = many_lines();
    truncate_everywhere(&zstd_frame(&lines), &lines, &[]);
    let (first, skipped) = (zstd_frame(LINES), skippable_frame(b"x\n"));
    let borders = [first.len(), first.len() + skipped.len()];
    let frames = [&first[..], &skipped, &zstd_frame(&lines)].concat();
    truncate_everywhere(&frames, &[LINES, &lines].concat(), &borders);
}

#[test]
fn bzip2_xz_and_lz4_truncated_anywhere_keep_the_lines_before() {
    let lines = many_lines();
    for pack in [bzip2, xz, lz4_frame] {
        let (first, second) = (pack(LINES), pack(&lines));
        let borders = [first.len()];
        truncate_everywhere(&[&first[..], &second].concat(), &[LINES, &lines].concat(), &borders);
    }
}

#[test]
fn bzip2_xz_and_lz4_are_read_over_all_streams_and_blocks() {
    let lines = some_blocks_of_lines();
    for pack in [bzip2, xz, lz4_frame] {
        let streams = [pack(&lines), pack(b""), pack(LINES)].concat();
        let (bytes, damage) = decompress(&streams);
        assert!(bytes == [&lines[..], LINES].concat() && damage.is_none(), "{damage:?}");
    }
    let skipped = [&skippable_frame(b"x\n")[..], &lz4_frame(LINES), &skippable_frame(b"")].concat();
    assert_eq!(decompress(&skipped), whole(LINES));
}

#[test]
fn what_was_packed_twice_is_unpacked_twice_and_not_without_end() {
    let twice = gzip(&zstd_frame(LINES));
    assert_eq!(decompress(&twice), whole(LINES));
    assert_eq!(decompress(&lz4_frame(&xz(&bzip2(LINES)))), whole(LINES));
    let endless = gzip(&gzip(&gzip(&gzip(LINES))));
    let (bytes, fault) = decompress(&endless);
    assert!(bytes.is_empty() && fault.unwrap().contains("packed more than 3 times"));
    let (lines, rest) = frame(&gzip(&gzip(&many_lines())[..200]));
    assert!(many_lines().starts_with(&lines) && !lines.is_empty() && rest.is_some());
}

#[test]
fn an_archive_within_a_packed_object_is_named() {
    for (bytes, name) in [
        (&b"PK\x03\x04\x14\0\0\0"[..], "zip"),
        (b"{\0\"\0a\0\"\0", "UTF-16"),
        (b"Obj\x01\x04\x16avro.schema", "Avro"),
    ] {
        for object in [bytes.to_vec(), gzip(bytes), bzip2(bytes)] {
            let (bytes, fault) = decompress(&object);
            assert!(bytes.is_empty(), "{name}");
            let fault = fault.unwrap();
            assert!(fault.starts_with("unreadable: ") && fault.contains(name), "{fault}");
        }
    }
}

#[test]
fn a_zstd_frame_that_needs_a_dictionary_is_unreadable_and_says_so() {
    let samples: Vec<Vec<u8>> =
        (0..2000).map(|n| format!("{{\"id\":{n},\"name\":\"n{n}\"}}").into_bytes()).collect();
    let dictionary = zstd::dict::from_samples(&samples, 4096).unwrap();
    let mut compressor = zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
    let (bytes, fault) = decompress(&compressor.compress(LINES).unwrap());
    assert!(bytes.is_empty());
    assert!(fault.unwrap().starts_with("unreadable: zstd with a dictionary"));
}

#[test]
fn a_flipped_bit_in_checked_data_is_never_passed_over() {
    let lines = many_lines();
    let gzip = gzip(&lines);
    // Behind the header, whose time, flags and system nothing checks.
    for at in 10..gzip.len() {
        flip_and_expect_damage(&gzip, at);
    }
    let zstd = zstd_frame(&lines);
    for at in 4..zstd.len() {
        flip_and_expect_damage(&zstd, at);
    }
}

/// Lines that fill some blocks of either format.
fn some_blocks_of_lines() -> Vec<u8> {
    let hash = |n: u32| n.wrapping_mul(2_654_435_761) ^ (n >> 3);
    (0..40_000).flat_map(|n| format!("{{\"n\":{}}}\n", hash(n)).into_bytes()).collect()
}

#[test]
fn a_late_damage_keeps_what_was_before_even_if_all_came_in_one_read() {
    let original = some_blocks_of_lines();
    let packed = [gzip(&original), zstd_frame(&original), bzip2(&original), lz4_frame(&original)];
    for compressed in packed {
        assert!(compressed.len() > INPUT_BYTES);
        for percent in [5, 30, 60, 95] {
            let at = compressed.len() * percent / 100;
            let mut damaged = compressed.clone();
            damaged[at..at + 8].fill(0xff);
            let (torn, torn_damage) = decompress(&compressed[..at]);
            let (bytes, damage) = decompress(&damaged);
            assert!(damage.is_some() && torn_damage.is_some());
            let same = torn.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
            assert!(same == torn.len(), "{percent}: {same} of {} bytes", torn.len());
        }
    }
}

fn flip_and_expect_damage(compressed: &[u8], at: usize) {
    for bit in 0..8 {
        let mut flipped = compressed.to_vec();
        flipped[at] ^= 1 << bit;
        let reader = Decompressor::new(&flipped[..]);
        let mut bytes = Vec::new();
        let read = reader.take(10 << 20).read_to_end(&mut bytes);
        // A flip may also make it ask for a dictionary.
        let damaged = read.is_err_and(|e| !matches!(classify(&e), ReadFailure::Store(_)));
        // A flip may sit in a bit that nothing means (padding, an unused header bit).
        assert!(damaged || bytes == many_lines(), "bit {bit} of byte {at}");
    }
}

#[test]
fn a_bomb_is_decompressed_in_small_pieces() {
    let bytes = 64_u64 << 20;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let line = [&[b' '; 1023][..], b"\n"].concat().repeat(64);
    for _ in 0..bytes / line.len() as u64 {
        encoder.write_all(&line).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!((bomb.len() as u64) < bytes / 100);
    let reader = Decompressor::new(io::Cursor::new(bomb));
    let options = FrameOptions::default();
    let mut framer = Framer::new(Box::new(reader), ReadBytes::default(), options).unwrap();
    while let Some(framed) = framer.next_framed().unwrap() {
        let Framed::Lines(lines) = framed else { panic!("{framed:?}") };
        assert!(lines.bytes.len() <= options.chunk_bytes_target);
    }
    assert_eq!((framer.bytes(), framer.lines()), (bytes, bytes / 1024));
}

#[test]
fn a_zstd_window_beyond_the_limit_is_unreadable_and_takes_no_memory() {
    // RFC 8878, 3.1.1.1: no single segment, no checksum, no content size; window of 2^28 bytes.
    let huge = [ZSTD_MAGIC, &[0x00, 18 << 3], &[0x01, 0x00, 0x00]].concat();
    let (bytes, damage) = decompress(&huge);
    assert!(bytes.is_empty());
    assert!(damage.is_some_and(|message| message.starts_with("unreadable: zstd with a window")));
}

#[test]
fn failures_of_the_store_are_no_damage_in_any_format() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io_error(Error::Unavailable("reading x: gone".into())))
        }
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::InvalidData, "bad sector"))
        }
    }
    let objects = [
        LINES.to_vec(),
        gzip(&many_lines()),
        zstd_frame(&many_lines()),
        bzip2(&many_lines()),
        xz(&many_lines()),
        lz4_frame(&many_lines()),
    ];
    for object in objects {
        for cut in 0..object.len() {
            let failing = fail_behind(&object[..cut], Failing);
            assert!(matches!(failing, Error::Unavailable(m) if m == "reading x: gone"));
            let broken = fail_behind(&object[..cut], Broken);
            assert!(matches!(broken, Error::Unavailable(m) if m.contains("bad sector")));
        }
    }
}

fn fail_behind(bytes: &[u8], failing: impl Read + Send) -> Error {
    let mut reader = Decompressor::new(bytes.chain(failing));
    let mut again = || classify(&reader.read_to_end(&mut Vec::new()).unwrap_err());
    match (again(), again()) {
        (ReadFailure::Store(first), ReadFailure::Store(second)) => {
            assert_eq!(first.to_string(), second.to_string());
            first
        }
        failures => panic!("{failures:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_was_compressed_in_parts_comes_back(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)
    ) {
        // What does not begin as text may be told to be something else.
        let parts = [vec![b"{".to_vec()], parts].concat();
        let original = parts.concat();
        let members: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
        prop_assert_eq!(read_all(&members[..]), whole(&original));
        let frames: Vec<u8> = parts.iter().flat_map(|part| zstd_frame(part)).collect();
        prop_assert_eq!(read_all(&frames[..]), whole(&original));
        for pack in [bzip2, xz, lz4_frame] {
            let packed: Vec<u8> = parts.iter().flat_map(|part| pack(part)).collect();
            prop_assert_eq!(read_all(&packed[..]), whole(&original));
        }
    }

    #[test]
    fn no_bytes_make_the_decompressor_fail_otherwise_than_by_damage(
        format in 0_usize..6,
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let magics = [GZIP_MAGIC, ZSTD_MAGIC, XZ_MAGIC, LZ4_MAGIC, b"BZh11AY&SY", b""];
        let magic = magics[format];
        let bytes = [magic, &tail].concat();
        let mut some = Vec::new();
        if let Err(error) = Decompressor::new(&bytes[..]).take(1 << 20).read_to_end(&mut some) {
            let failure = classify(&error);
            prop_assert!(!matches!(failure, ReadFailure::Store(_)), "{error:?}");
        }
    }
}
