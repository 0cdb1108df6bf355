//! Lines within a block of bytes.

use std::ops::Range;

/// One line without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it stands in the block.
    pub range: Range<usize>,
    /// How many lines stand before it in the block.
    pub index: u64,
}

/// The lines of a block; what stands after the last LF is a line if it has a byte.
pub(super) fn split_lines(block: &[u8]) -> impl Iterator<Item = Line> + '_ {
    let mut start = 0;
    let pieces = block.split_inclusive(|byte| *byte == b'\n');
    pieces.zip(0..).map(move |(piece, index)| {
        let line = piece.strip_suffix(b"\n").unwrap_or(piece);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let range = start..start + line.len();
        start += piece.len();
        Line { range, index }
    })
}

/// Whether a line has nothing but JSON's white space.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(block: &str) -> Vec<&str> {
        split_lines(block.as_bytes()).map(|line| &block[line.range]).collect()
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_the_last_may_lack_it() {
        assert_eq!(lines(""), Vec::<&str>::new());
        assert_eq!(lines("\n"), [""]);
        assert_eq!(lines("a\nb\r\n\r\nc"), ["a", "b", "", "c"]);
        assert_eq!(lines("a\r\r\nb\r"), ["a\r", "b"]);
        assert_eq!(lines("a\rb\n"), ["a\rb"]);
    }

    #[test]
    fn lines_of_white_space_are_blank_and_others_are_not() {
        for blank in ["", " ", "\t \r"] {
            assert!(is_blank(blank.as_bytes()), "{blank:?}");
        }
        for other in ["\u{3000}", "\u{b}", "\u{feff}", "0"] {
            assert!(!is_blank(other.as_bytes()), "{other:?}");
        }
    }
}
