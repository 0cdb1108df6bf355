//! Frames of the write-ahead log: lines with a checksum, one after the other in a file.
//!
//! ```text
//! 0   "ASF1"           the kind of frame
//! 4   u32, LE          bytes of the lines
//! 8   u32, LE          number of lines
//! 12  u32, LE          CRC-32 (ISO-HDLC) of bytes 4 to 11 and of the lines
//! 16  the lines        each with its line end
//! ```

use std::io::{self, ErrorKind, Read};

/// Bytes of a frame before its lines.
pub(super) const HEADER_BYTES: usize = 16;
/// Bytes of a frame's lines at most: what claims to be longer is no frame.
pub(super) const LINES_BYTES_MAX: usize = 256 << 20;

/// Bytes of lines after which a frame is closed: what is read at a time stays small.
const FRAME_BYTES: usize = 8 << 20;

/// How a frame begins.
pub(super) const MAGIC: [u8; 4] = *b"ASF1";

/// What the next bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A frame, whose lines are in the buffer.
    Frame {
        /// How many lines.
        lines: u32,
    },
    /// The end, right after a frame.
    End,
    /// No frame: one that was cut off, or damage.
    Broken,
}

/// Frames one after the other, for one write.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Where the frame that is filled begins, and how many lines it has.
    open: Option<(usize, u32)>,
}

impl Frames {
    /// Forgets all; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.open = None;
    }

    /// Adds a line, with its line end.
    pub fn push(&mut self, line: &[u8]) {
        let (start, lines) = self.open.unwrap_or((self.bytes.len(), 0));
        if lines == 0 {
            self.bytes.resize(start + HEADER_BYTES, 0);
        }
        self.bytes.extend_from_slice(line);
        self.open = Some((start, lines + 1));
        if self.bytes.len() - start >= FRAME_BYTES {
            self.seal();
        }
    }

    /// Ends the frame that is filled.
    pub fn seal(&mut self) {
        if let Some((start, lines)) = self.open.take() {
            seal_frame(&mut self.bytes[start..], lines);
        }
    }

    /// All frames, once they are sealed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Puts a frame's header into `frame`, which has room for it in front of the lines.
fn seal_frame(frame: &mut [u8], lines: u32) {
    let bytes = u32::try_from(frame.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&MAGIC);
    frame[4..8].copy_from_slice(&bytes.to_le_bytes());
    frame[8..12].copy_from_slice(&lines.to_le_bytes());
    let checksum = checksum(&frame[4..12], &frame[HEADER_BYTES..]);
    frame[12..16].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads the next frame's lines into `buffer`, which is cleared first.
///
/// # Errors
/// What reading the file says; the end of the file is none.
pub(super) fn read_frame(file: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Next> {
    buffer.clear();
    let mut header = [0; HEADER_BYTES];
    match read_full(file, &mut header)? {
        0 => return Ok(Next::End),
        HEADER_BYTES => {}
        _ => return Ok(Next::Broken),
    }
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let bytes = word(4) as usize;
    if header[..4] != MAGIC || bytes > LINES_BYTES_MAX {
        return Ok(Next::Broken);
    }
    // A broken length must not take memory that the file cannot fill.
    file.take(bytes as u64).read_to_end(buffer)?;
    if buffer.len() < bytes || checksum(&header[4..12], buffer) != word(12) {
        return Ok(Next::Broken);
    }
    Ok(Next::Frame { lines: word(8) })
}

/// Whether bytes at a file's end, which are no frame, are the beginning of one whose rest was never
/// written. Anything else was whole once, and the disk has changed it.
///
/// A write that a crash cuts off leaves the first bytes of what was to be written, or zeros where a
/// file system had made room.
pub(super) fn is_torn(bytes: &[u8]) -> bool {
    if bytes.iter().all(|byte| *byte == 0) {
        return true;
    }
    let Some((header, lines)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return bytes.iter().zip(MAGIC).all(|(found, expected)| *found == expected);
    };
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|place| header[at + place]));
    if header[..4] != MAGIC || word(4) as usize > LINES_BYTES_MAX {
        return false;
    }
    // Where the lines that are there have the checksum, it is the length that was changed.
    let mut own = header[4..12].to_vec();
    own[..4].copy_from_slice(&u32::try_from(lines.len()).unwrap_or(u32::MAX).to_le_bytes());
    (word(4) as usize) > lines.len() && checksum(&own, lines) != word(12)
}

fn checksum(header: &[u8], lines: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(lines);
    hasher.finalize()
}

/// As many bytes as there are, up to the buffer's length.
fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(lines: &[u8], count: u32) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend_from_slice(lines);
        seal_frame(&mut frame, count);
        frame
    }

    #[test]
    fn frames_are_read_one_after_the_other_up_to_the_end() {
        let file = [frame_of(b"a\nb\n", 2), frame_of(b"", 0), frame_of(b"c\n", 1)].concat();
        let (mut rest, mut buffer) = (file.as_slice(), Vec::new());
        let mut read = || (read_frame(&mut rest, &mut buffer).unwrap(), buffer.clone());
        assert_eq!(read(), (Next::Frame { lines: 2 }, b"a\nb\n".to_vec()));
        assert_eq!(read(), (Next::Frame { lines: 0 }, Vec::new()));
        assert_eq!(read(), (Next::Frame { lines: 1 }, b"c\n".to_vec()));
        assert_eq!(read(), (Next::End, Vec::new()));
    }

    #[test]
    fn a_frame_that_was_cut_off_is_told_from_one_in_which_a_bit_changed() {
        let frame = frame_of(b"{\"n\":1}\n{\"n\":2}\n", 2);
        for length in 1..frame.len() {
            assert!(is_torn(&frame[..length]), "{length}");
        }
        assert!(is_torn(&[0; 4096]), "room that was never written");
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_torn(&changed), "{bit}");
        }
    }

    #[test]
    fn many_lines_become_frames_that_are_each_short_enough_to_be_read() {
        let (mut frames, line) = (Frames::default(), [&[b'x'; 1 << 20][..], b"\n"].concat());
        (0..20).for_each(|_| frames.push(&line));
        frames.seal();
        let (mut file, mut buffer, mut counts) = (frames.bytes(), Vec::new(), Vec::new());
        while let Next::Frame { lines } = read_frame(&mut file, &mut buffer).unwrap() {
            assert_eq!(buffer.len(), lines as usize * line.len());
            counts.push(lines);
        }
        assert_eq!((counts, file.len()), (vec![8, 8, 4], 0));
    }

    #[test]
    fn a_frame_that_is_cut_off_anywhere_or_changed_in_any_bit_is_broken() {
        let frame = frame_of(b"{\"n\":1}\n", 1);
        let mut buffer = Vec::new();
        for length in 1..frame.len() {
            let next = read_frame(&mut &frame[..length], &mut buffer).unwrap();
            assert_eq!(next, Next::Broken, "{length}");
        }
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let next = read_frame(&mut changed.as_slice(), &mut buffer).unwrap();
            assert_eq!(next, Next::Broken, "{bit}");
        }
    }
}
