//! Lines as they should not be, one kind for each way in which a contract refuses a line.

use super::json_text::push;
use super::random::SeededRandom;
use super::visit::LogVersion;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Cut off in the middle.
    CutOff,
    /// JSON, but no object.
    NoObject,
    /// Bytes of Shift_JIS.
    OtherEncoding,
    /// Half a surrogate pair.
    HalfPair,
    /// U+0000 in a title.
    Nul,
    /// A hundred arrays in each other.
    Deep,
    /// No event's id.
    NoId,
    /// A text for a number (or a bool for a time).
    OtherType,
    /// 2^63, one more than an int64 holds.
    Huge,
    /// A time that no clock shows.
    NoTime,
    /// A line of more than 64 KiB.
    Long,
    /// A purchase of -1 items: a row that an expectation refuses, not a bad line.
    NegativeQuantity,
    /// Nothing, or white space.
    Blank,
}

impl Flaw {
    /// All kinds, in the order in which they take turns. Their number is prime, so that objects
    /// which begin at different kinds have them all between them.
    pub(super) const ALL: [Flaw; 13] = [
        Flaw::CutOff,
        Flaw::NoId,
        Flaw::OtherType,
        Flaw::Blank,
        Flaw::NoTime,
        Flaw::OtherEncoding,
        Flaw::NegativeQuantity,
        Flaw::NoObject,
        Flaw::Huge,
        Flaw::HalfPair,
        Flaw::Deep,
        Flaw::Nul,
        Flaw::Long,
    ];

    /// The name under which a run counts such lines; none for those that it does not refuse.
    pub(super) fn reason(self) -> Option<&'static str> {
        Some(match self {
            Flaw::CutOff => "invalid_json",
            Flaw::NoObject => "not_an_object",
            Flaw::OtherEncoding => "invalid_utf8",
            Flaw::HalfPair => "lone_surrogate",
            Flaw::Nul => "nul_character",
            Flaw::Deep => "too_deep",
            Flaw::NoId => "missing_required",
            Flaw::OtherType => "type_mismatch",
            Flaw::Huge => "out_of_range",
            Flaw::NoTime => "invalid_timestamp",
            Flaw::Long => "line_too_long",
            Flaw::NegativeQuantity | Flaw::Blank => return None,
        })
    }
}

/// Arrays in each other in a [`Flaw::Deep`] line.
const DEPTH: usize = 100;

/// A line that is no record at all; false if the flaw is one of a record.
pub(super) fn push_no_record(out: &mut Vec<u8>, flaw: Flaw, random: &mut SeededRandom) -> bool {
    const OTHERS: [&str; 5] =
        ["[\"page_view\",\"books\"]", "\"page_view\"", "null", "42", "[{\"v\":2}]"];
    const BLANKS: [&str; 3] = ["", "   ", "\t"];
    match flaw {
        Flaw::NoObject => push(out, random.pick(&OTHERS)),
        Flaw::Blank => push(out, random.pick(&BLANKS)),
        _ => return false,
    }
    true
}

/// Adds what a flaw puts at a record's end, before the last brace.
pub(super) fn push_flawed_members(out: &mut Vec<u8>, flaw: Option<Flaw>, version: LogVersion) {
    match flaw {
        Some(Flaw::OtherEncoding) => {
            // "メモ" in Shift_JIS.
            push(out, ",\"memo\":\"");
            out.extend_from_slice(&[0x83, 0x81, 0x83, 0x82]);
            out.push(b'"');
        }
        Some(Flaw::HalfPair) => push(out, ",\"memo\":\"\\ud83d\""),
        Some(Flaw::Deep) => {
            push(out, ",\"memo\":");
            out.extend(std::iter::repeat_n(b'[', DEPTH));
            out.extend(std::iter::repeat_n(b']', DEPTH));
        }
        Some(Flaw::Huge) => {
            push(out, if version == LogVersion::V1 { ",\"trace_id\":" } else { ",\"trace\":" });
            push(out, "9223372036854775808");
        }
        _ => {}
    }
}

/// Cuts a record off after a comma in its second half, so that no escape is cut in two.
pub(super) fn cut_off(out: &mut Vec<u8>, start: usize) {
    let middle = start + (out.len() - start) / 2;
    let comma = out[middle..].windows(2).position(|pair| pair == b",\"");
    out.truncate(comma.map_or(out.len() - 1, |comma| middle + comma + 1));
}
