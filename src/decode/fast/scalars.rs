//! Values of a fixed size, by the forms that the contract accepts, and the places after them.

use super::forms::Forms;
use super::time::{LastDate, epoch, quoted_rfc3339};
use crate::json::scan::input::{Unhandled, byte, eight};
use crate::json::scan::number::{plain_integer, plain_number};

#[inline(always)]
pub(super) fn is_null(bytes: &[u8], at: usize) -> bool {
    eight(bytes, at) as u32 == u32::from_le_bytes(*b"null")
}

#[inline(always)]
pub(super) fn boolean(bytes: &[u8], at: usize) -> Result<(u8, usize), Unhandled> {
    let word = eight(bytes, at);
    if word as u32 == u32::from_le_bytes(*b"true") {
        return Ok((1, at + 4));
    }
    let is_false = byte(bytes, at) == b'f' && (word >> 8) as u32 == u32::from_le_bytes(*b"alse");
    if is_false { Ok((0, at + 5)) } else { Err(Unhandled) }
}

/// A number by `$read`, also in a string if `$in_string`, and the place after it. A macro, for a
/// function would call its argument instead of being compiled with it.
macro_rules! number {
    ($read:ident, $bytes:expr, $at:expr, $in_string:expr) => {{
        let quoted = byte($bytes, $at) == b'"';
        let number = $read($bytes, $at + usize::from(quoted))?;
        if quoted && (!$in_string || byte($bytes, number.end) != b'"') {
            return Err(Unhandled);
        }
        (number, number.end + usize::from(quoted))
    }};
}

#[inline(always)]
pub(super) fn integer(bytes: &[u8], at: usize, forms: &Forms) -> Result<(i64, usize), Unhandled> {
    let (number, end) = number!(plain_integer, bytes, at, forms.number_in_string);
    Ok((number.to_i64()?, end))
}

#[inline(always)]
pub(super) fn double(bytes: &[u8], at: usize, forms: &Forms) -> Result<(f64, usize), Unhandled> {
    let (number, end) = number!(plain_number, bytes, at, forms.number_in_string);
    Ok((number.to_f64()?, end))
}

#[inline(always)]
pub(super) fn decimal(bytes: &[u8], at: usize, forms: &Forms) -> Result<(i128, usize), Unhandled> {
    let (number, end) = number!(plain_number, bytes, at, forms.number_in_string);
    Ok((number.to_decimal(forms.scale, forms.limit)?, end))
}

#[inline(always)]
pub(super) fn timestamp(
    bytes: &[u8],
    at: usize,
    forms: &Forms,
    last_date: &mut LastDate,
) -> Result<(i64, usize), Unhandled> {
    let quoted = byte(bytes, at) == b'"';
    if quoted
        && forms.rfc3339
        && let Ok(read) = quoted_rfc3339(bytes, at + 1, last_date)
    {
        return Ok(read);
    }
    if quoted && !forms.epoch_in_string {
        return Err(Unhandled);
    }
    let (number, end) = number!(plain_integer, bytes, at, true);
    let value = number.to_i64()?;
    let micros = forms.epochs.iter().find_map(|unit| epoch(value, *unit)).ok_or(Unhandled)?;
    Ok((micros, end))
}
