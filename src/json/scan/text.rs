//! Strings: copied without their escapes, or only checked.

use super::cpu::{BLOCK, Kernel};
use super::input::{Unhandled, block, byte, eight};

/// Copies a string's text to `out`, from after its opening quote; gives the place after the
/// closing one. U+0000 and half a surrogate pair are unhandled.
#[inline(always)]
pub(crate) fn copy_text<K: Kernel>(
    kernel: K,
    bytes: &[u8],
    mut at: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Unhandled> {
    loop {
        let next = block(bytes, at)?;
        if out.capacity() - out.len() < BLOCK {
            reserve_block(out);
        }
        // The whole block, whatever it is: a fixed length is copied by two instructions.
        out.extend_from_slice(next);
        let specials = kernel.specials(next);
        if specials == 0 {
            at += BLOCK;
            continue;
        }
        let plain = specials.trailing_zeros() as usize;
        out.truncate(out.len() - BLOCK + plain);
        at += plain;
        let special = byte(bytes, at);
        if special == b'"' {
            return Ok(at + 1);
        }
        if special != b'\\' {
            return Err(Unhandled);
        }
        at = unescape(bytes, at, out)?;
    }
}

/// Out of line, so that nothing of a block need be kept over the call.
#[cold]
#[inline(never)]
fn reserve_block(out: &mut Vec<u8>) {
    out.reserve(BLOCK);
}

/// Checks a string from after its opening quote; gives the place after the closing one. With
/// `nul_unhandled` as [`copy_text`], else U+0000 passes, as it does in what is skipped.
#[inline(always)]
pub(crate) fn check_text<K: Kernel>(
    kernel: K,
    bytes: &[u8],
    mut at: usize,
    nul_unhandled: bool,
) -> Result<usize, Unhandled> {
    loop {
        let next = block(bytes, at)?;
        let specials = kernel.specials(next);
        if specials == 0 {
            at += BLOCK;
            continue;
        }
        let plain = specials.trailing_zeros() as usize;
        at += plain;
        match next[plain] {
            b'"' => return Ok(at + 1),
            b'\\' => at = after_escape(bytes, at, nul_unhandled)?,
            _ => return Err(Unhandled),
        }
    }
}

/// What a byte after a backslash stands for, if it is a character of its own; else 0.
const fn simple_escapes() -> [u8; 256] {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 8;
    table[b'f' as usize] = 12;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
}

static SIMPLE_ESCAPES: [u8; 256] = simple_escapes();

/// The value of a hexadecimal digit; 0xff for other bytes.
const fn hexadecimal_digits() -> [u8; 256] {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
}

static HEXADECIMAL_DIGITS: [u8; 256] = hexadecimal_digits();

/// Writes what the escapes from `at` on stand for; gives the first place that is no backslash.
#[inline(always)]
fn unescape(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> Result<usize, Unhandled> {
    loop {
        let simple = SIMPLE_ESCAPES[byte(bytes, at + 1) as usize];
        if simple != 0 {
            out.push(simple);
            at += 2;
        } else {
            let (character, after) = code_point(bytes, at)?;
            if character == '\0' {
                return Err(Unhandled);
            }
            push_character(out, character);
            at = after;
        }
        if byte(bytes, at) != b'\\' {
            return Ok(at);
        }
    }
}

/// Writes a character: four bytes, of which as many stay as it has.
#[inline(always)]
fn push_character(out: &mut Vec<u8>, character: char) {
    let code = character as u32;
    let low = |shift: u32| (code >> shift & 0x3f) as u8 | 0x80;
    let (encoded, length) = match code {
        0..0x80 => ([code as u8, 0, 0, 0], 1),
        0x80..0x800 => ([(code >> 6) as u8 | 0xc0, low(0), 0, 0], 2),
        0x800..0x1_0000 => ([(code >> 12) as u8 | 0xe0, low(6), low(0), 0], 3),
        _ => ([(code >> 18) as u8 | 0xf0, low(12), low(6), low(0)], 4),
    };
    out.extend_from_slice(&encoded);
    out.truncate(out.len() - 4 + length);
}

/// Checks one escape; gives the place after it.
#[inline(always)]
fn after_escape(bytes: &[u8], at: usize, nul_unhandled: bool) -> Result<usize, Unhandled> {
    if SIMPLE_ESCAPES[byte(bytes, at + 1) as usize] != 0 {
        return Ok(at + 2);
    }
    match code_point(bytes, at)? {
        ('\0', _) if nul_unhandled => Err(Unhandled),
        (_, after) => Ok(after),
    }
}

/// The character of an escape `\u…` at `at`, or of two that are a surrogate pair.
#[inline(always)]
fn code_point(bytes: &[u8], at: usize) -> Result<(char, usize), Unhandled> {
    let unit = code_unit(bytes, at)?;
    if unit & 0xf800 != 0xd800 {
        return char::from_u32(unit).map(|character| (character, at + 6)).ok_or(Unhandled);
    }
    let low = code_unit(bytes, at + 6)?;
    if unit >= 0xdc00 || low & 0xfc00 != 0xdc00 {
        return Err(Unhandled);
    }
    let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(code).map(|character| (character, at + 12)).ok_or(Unhandled)
}

/// The number of the escape `\u…` at `at`.
#[inline(always)]
fn code_unit(bytes: &[u8], at: usize) -> Result<u32, Unhandled> {
    let escape = eight(bytes, at).to_le_bytes();
    if escape[..2] != *b"\\u" {
        return Err(Unhandled);
    }
    let digit = |place: usize| HEXADECIMAL_DIGITS[escape[place] as usize];
    let digits = [digit(2), digit(3), digit(4), digit(5)];
    if digits[0] | digits[1] | digits[2] | digits[3] > 15 {
        return Err(Unhandled);
    }
    Ok(digits.iter().fold(0, |unit, digit| unit << 4 | u32::from(*digit)))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
