use std::io;

use proptest::prelude::*;

use super::*;
use crate::scan::decompress::ReadFailure;

/// Gives at most `read_bytes` at once, then maybe fails.
struct Slow {
    bytes: Vec<u8>,
    at: usize,
    read_bytes: usize,
    failure: Option<ReadFailure>,
}

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(!into.is_empty(), "a read into nothing looks like the end");
        let length = self.read_bytes.min(into.len()).min(self.bytes.len() - self.at);
        into[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        match &self.failure {
            Some(failure) if length == 0 => Err(failure.clone().into()),
            _ => Ok(length),
        }
    }
}

fn framer_of(reader: impl Read + Send + 'static, line_max: usize, chunk: usize) -> Framer {
    let options = FrameOptions {
        line_bytes_max: line_max,
        chunk_bytes_target: chunk,
        ..FrameOptions::default()
    };
    Framer::new(Box::new(reader), ReadBytes::default(), options).unwrap()
}

fn frame(bytes: &[u8], line_max: usize, chunk: usize) -> Vec<Framed> {
    let (framed, framer) = frame_slowly(bytes, line_max, chunk, usize::MAX, None);
    assert_eq!(framer.bytes(), bytes.len() as u64);
    framed
}

fn frame_slowly(
    bytes: &[u8],
    line_max: usize,
    chunk: usize,
    read_bytes: usize,
    failure: Option<ReadFailure>,
) -> (Vec<Framed>, Framer) {
    let slow = Slow { bytes: bytes.to_vec(), at: 0, read_bytes, failure };
    let mut framer = framer_of(slow, line_max, chunk);
    let mut framed = Vec::new();
    while let Some(part) = framer.next_framed().unwrap() {
        framed.push(part);
    }
    assert_eq!(framer.next_framed().unwrap(), None, "the end stays the end");
    (framed, framer)
}

fn lines(bytes: &'static [u8], first_line: u64, first_offset: u64, count: u64) -> Framed {
    Framed::Lines(Lines { bytes: Bytes::from_static(bytes), first_line, first_offset, count })
}

fn too_long(raw: &'static [u8], line: u64, offset: u64, bytes: u64, line_max: u64) -> Framed {
    Framed::Reject(Reject {
        reason: RejectReason::LineTooLong,
        path: None,
        expected: format!("a line of at most {line_max} bytes"),
        found: format!("{bytes} bytes"),
        line,
        offset,
        raw: Bytes::from_static(raw),
        bytes_omitted: bytes - raw.len() as u64,
    })
}

#[test]
fn line_ends_and_blank_lines_are_kept_and_the_last_may_be_missing() {
    assert_eq!(frame(b"a\r\n\n\r\nb", 10, 100), [lines(b"a\r\n\n\r\nb", 1, 0, 4)]);
    assert_eq!(frame(b"a\nb\n", 10, 100), [lines(b"a\nb\n", 1, 0, 2)]);
    assert_eq!(frame(b"\n", 10, 100), [lines(b"\n", 1, 0, 1)]);
    assert_eq!(frame(b"", 10, 100), []);
}

#[test]
fn chunks_end_at_line_ends_and_number_on() {
    let chunks = [lines(b"aaa\n", 1, 0, 1), lines(b"bbb\n", 2, 4, 1), lines(b"c\n", 3, 8, 1)];
    assert_eq!(frame(b"aaa\nbbb\nc\n", 10, 5), chunks);
}

#[test]
fn a_byte_order_mark_is_taken_off_the_objects_start_only() {
    let marked = b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n";
    assert_eq!(frame(marked, 10, 100), [lines(b"a\n\xef\xbb\xbfb\n", 1, 3, 2)]);
    assert_eq!(frame(b"\xef\xbb\xbf", 10, 100), []);
    assert_eq!(frame(b"\xef\xbb", 10, 100), [lines(b"\xef\xbb", 1, 0, 1)]);
    assert_eq!(frame(b"\xef\xbb\xbf\n", 10, 1), [lines(b"\n", 1, 3, 1)]);
}

#[test]
fn a_byte_order_mark_does_not_count_for_the_line_limit() {
    assert_eq!(frame(b"\xef\xbb\xbfabcd\n", 4, 100), [lines(b"abcd\n", 1, 3, 1)]);
}

#[test]
fn a_line_of_exactly_the_limit_is_good_whatever_its_line_end() {
    for chunk in 1..20 {
        for end in [&b""[..], b"\n", b"\r\n"] {
            let bytes = [&b"abcd"[..], end].concat();
            let framed = frame(&bytes, 4, chunk);
            let [Framed::Lines(one)] = &framed[..] else { panic!("{framed:?}") };
            assert_eq!((&one.bytes[..], one.count), (&bytes[..], 1));
        }
    }
}

#[test]
fn a_line_of_one_byte_more_is_a_reject_and_framing_goes_on_behind_it() {
    for chunk in 1..20 {
        let long = too_long(b"abcd", 1, 0, 5, 4);
        assert_eq!(frame(b"abcde", 4, chunk), std::slice::from_ref(&long));
        assert_eq!(frame(b"abcde\n", 4, chunk), std::slice::from_ref(&long));
        assert_eq!(frame(b"abcde\nf", 4, chunk), [long.clone(), lines(b"f", 2, 6, 1)]);
        assert_eq!(frame(b"abcde\r\nf", 4, chunk), [long, lines(b"f", 2, 7, 1)]);
        // A CR that no LF follows is a byte of the line.
        assert_eq!(frame(b"abcd\r", 4, chunk), [too_long(b"abcd", 1, 0, 5, 4)]);
    }
}

#[test]
fn rejects_and_lines_come_in_the_objects_order() {
    let framed = frame(b"a\nb\nlonglong\nc\nlonglonglong\nd\n", 4, 1000);
    let expected = [
        lines(b"a\nb\n", 1, 0, 2),
        too_long(b"long", 3, 4, 8, 4),
        lines(b"c\n", 4, 13, 1),
        too_long(b"long", 5, 15, 12, 4),
        lines(b"d\n", 6, 28, 1),
    ];
    assert_eq!(framed, expected);
}

#[test]
fn a_damage_keeps_the_lines_before_it_and_rejects_the_broken_one() {
    let damage = || Some(ReadFailure::Damage("gzip: torn".into()));
    let reject = |raw: &'static [u8], line, offset, bytes_omitted| {
        Framed::Reject(Reject {
            reason: RejectReason::DamagedStream,
            path: None,
            expected: "an undamaged compressed stream".into(),
            found: "gzip: torn".into(),
            line,
            offset,
            raw: Bytes::from_static(raw),
            bytes_omitted,
        })
    };
    for (bytes, expected) in [
        (&b"a\nb\nc"[..], vec![lines(b"a\nb\n", 1, 0, 2), reject(b"c", 3, 4, 0)]),
        (b"a\n", vec![lines(b"a\n", 1, 0, 1), reject(b"", 2, 2, 0)]),
        (b"", vec![reject(b"", 1, 0, 0)]),
        (b"abcdefghijkl", vec![reject(b"abcd", 1, 0, 8)]),
    ] {
        for read_bytes in [1, 2, 100] {
            let (framed, framer) = frame_slowly(bytes, 4, 100, read_bytes, damage());
            assert_eq!(framed, expected);
            let count: u64 = framed.iter().map(line_count).sum();
            assert_eq!(framer.lines(), count);
        }
    }
}

fn line_count(framed: &Framed) -> u64 {
    match framed {
        Framed::Lines(lines) => lines.count,
        Framed::Reject(_) => 1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_of_the_store_is_an_error_each_time() {
    for bytes in [&b""[..], b"a\nb", b"longlonglong"] {
        let failure = ReadFailure::Store(Error::Unavailable("gone".into()));
        let slow = Slow { bytes: bytes.to_vec(), at: 0, read_bytes: 3, failure: Some(failure) };
        let mut framer = framer_of(slow, 4, 5);
        for _ in 0..3 {
            let error = loop {
                match framer.next_framed() {
                    Ok(part) => assert!(part.is_some(), "an unread object has no end"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(&error, Error::Unavailable(m) if m == "gone"), "{error:?}");
        }
    }
}

#[test]
fn a_line_far_beyond_the_limit_is_never_buffered() {
    let bytes = 64 << 20;
    let line = io::repeat(b'x').take(bytes).chain(&b"\nok\n"[..]);
    let mut framer = framer_of(line, 1000, 4096);
    let Some(Framed::Reject(reject)) = framer.next_framed().unwrap() else { panic!("no reject") };
    assert_eq!(reject.raw.len(), 1000);
    assert_eq!(reject.bytes_omitted, bytes - 1000);
    assert!(framer.input.buffer.capacity() <= 4096, "{}", framer.input.buffer.capacity());
    assert_eq!(framer.next_framed().unwrap(), Some(lines(b"ok\n", 2, bytes + 1, 1)));
    assert_eq!(framer.next_framed().unwrap(), None);
}

#[test]
fn a_chunk_grows_for_a_long_line_only_and_shrinks_again() {
    let long = [&[b'x'; 5000][..], b"\n"].concat();
    let bytes = [&b"a\n".repeat(100)[..], &long, &b"b\n".repeat(1000)].concat();
    let sizes: Vec<usize> = frame(&bytes, 10_000, 100)
        .iter()
        .map(|framed| match framed {
            Framed::Lines(lines) => lines.bytes.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), bytes.len());
    assert!(sizes.iter().all(|size| *size <= 10_002), "{sizes:?}");
    assert_eq!(sizes.iter().filter(|size| **size > 100).count(), 1, "{sizes:?}");
}

#[test]
fn limits_of_no_byte_are_refused() {
    for options in [
        FrameOptions { line_bytes_max: 0, ..FrameOptions::default() },
        FrameOptions { chunk_bytes_target: 0, ..FrameOptions::default() },
    ] {
        let refused = Framer::new(Box::new(io::empty()), ReadBytes::default(), options);
        assert!(matches!(refused, Err(Error::Bug(_))));
    }
}

/// A line: number, offset, bytes kept, bytes omitted, and why it is a reject.
type Line = (u64, u64, Vec<u8>, u64, Option<RejectReason>);

/// The reference implementation: all lines of all bytes at once.
fn split_naively(bytes: &[u8], line_max: usize, damaged: bool) -> Vec<Line> {
    let bom = if bytes.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
    let mut split = Vec::new();
    let mut offset = bom;
    let mut pieces: Vec<&[u8]> = bytes[bom..].split_inclusive(|byte| *byte == b'\n').collect();
    let last_is_whole = pieces.last().is_none_or(|last| last.ends_with(b"\n"));
    if damaged && last_is_whole {
        pieces.push(b"");
    }
    for (index, piece) in pieces.iter().enumerate() {
        let mut content = *piece;
        if let Some(before) = piece.strip_suffix(b"\n") {
            content = before.strip_suffix(b"\r").unwrap_or(before);
        }
        let reason = if damaged && index + 1 == pieces.len() {
            Some(RejectReason::DamagedStream)
        } else {
            (content.len() > line_max).then_some(RejectReason::LineTooLong)
        };
        let kept = match reason {
            Some(_) => &content[..content.len().min(line_max)],
            None => piece,
        };
        let omitted = if reason.is_some() { content.len() - kept.len() } else { 0 };
        split.push((index as u64 + 1, offset as u64, kept.to_vec(), omitted as u64, reason));
        offset += piece.len();
    }
    split
}

/// The lines of what was framed.
fn flatten(framed: &[Framed]) -> Vec<Line> {
    let mut flat = Vec::new();
    for part in framed {
        match part {
            Framed::Reject(r) => {
                flat.push((r.line, r.offset, r.raw.to_vec(), r.bytes_omitted, Some(r.reason)));
            }
            Framed::Values(_) | Framed::Unreadable(_) => panic!("{part:?}"),
            Framed::Lines(lines) => {
                let (mut number, mut offset) = (lines.first_line, lines.first_offset);
                for line in lines.bytes.split_inclusive(|byte| *byte == b'\n') {
                    flat.push((number, offset, line.to_vec(), 0, None));
                    number += 1;
                    offset += line.len() as u64;
                }
                assert_eq!(number - lines.first_line, lines.count);
                assert!(lines.count > 0);
            }
        }
    }
    flat
}

fn object_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(BYTE_ORDER_MARK.to_vec()),
        6 => prop::collection::vec(b'a'..=b'z', 0..12),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    (any::<bool>(), prop::collection::vec(piece, 0..60)).prop_map(|(marked, pieces)| {
        let mark = if marked { BYTE_ORDER_MARK } else { b"" };
        [mark, &pieces.concat()].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn framing_equals_a_naive_split_whatever_the_chunks_and_reads(
        bytes in object_bytes(),
        line_max in 1_usize..30,
        chunk in 1_usize..80,
        read_bytes in 1_usize..50,
        damaged: bool,
    ) {
        let failure = damaged.then(|| ReadFailure::Damage("torn".into()));
        let (framed, framer) = frame_slowly(&bytes, line_max, chunk, read_bytes, failure);
        let expected = split_naively(&bytes, line_max, damaged);
        prop_assert_eq!(framer.lines(), expected.len() as u64);
        prop_assert_eq!(framer.bytes(), bytes.len() as u64);
        for part in &framed {
            if let Framed::Lines(lines) = part {
                prop_assert!(lines.bytes.len() <= chunk.max(line_max + 2).max(3));
            }
        }
        prop_assert_eq!(flatten(&framed), expected);
    }
}
