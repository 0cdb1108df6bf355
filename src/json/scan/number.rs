//! Numbers: eight digits at a time in a 64-bit word.
//!
//! ```text
//! bytes    3190920701523626307,"…
//! 8 bytes  31909207   all digits: pairs 31 90 92 07, fours 3190 9207, eight 31909207
//! 8 bytes  01523626   again
//! 8 bytes  307,"…     three digits, then something else: shifted up, read as 00000307
//! digits   3190920701523626307 in 19 digits, with no more looked at than that
//! ```

use super::input::{Unhandled, byte, eight};

const ZEROS: u64 = 0x3030_3030_3030_3030;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// 10^0 to 10^19.
pub(crate) const POWERS: [u64; 20] = powers();

const fn powers() -> [u64; 20] {
    let mut powers = [1; 20];
    let mut exponent = 1;
    while exponent < 20 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
}

/// Digits in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digits {
    /// The number that they are.
    pub value: u64,
    /// How many there are.
    pub count: usize,
}

/// How many of eight bytes, from the first on, are digits.
#[inline(always)]
pub(crate) fn leading_digits(word: u64) -> usize {
    let digits = word ^ ZEROS;
    let other = (((digits & !HIGHS) + 0x7676_7676_7676_7676) | digits) & HIGHS;
    (other.trailing_zeros() / 8) as usize
}

/// The number that eight digits are.
#[inline(always)]
pub(crate) fn eight_digits(word: u64) -> u64 {
    let digits = word ^ ZEROS;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// The number that the first `count` (1 to 8) of eight bytes, all digits, are.
#[inline(always)]
pub(crate) fn some_digits(word: u64, count: usize) -> u64 {
    let shift = 64 - 8 * count as u32;
    eight_digits(word << shift | ZEROS & !(u64::MAX << shift))
}

/// The digits at a place, 19 at most; more are unhandled.
#[inline(always)]
pub(crate) fn digits(bytes: &[u8], at: usize) -> Result<Digits, Unhandled> {
    let first = eight(bytes, at);
    let count = leading_digits(first);
    if count < 8 {
        let value = if count == 0 { 0 } else { some_digits(first, count) };
        return Ok(Digits { value, count });
    }
    let mut value = eight_digits(first);
    let second = eight(bytes, at + 8);
    let count = leading_digits(second);
    if count < 8 {
        let part = if count == 0 { 0 } else { some_digits(second, count) };
        return Ok(Digits { value: value * POWERS[count] + part, count: 8 + count });
    }
    value = value * 100_000_000 + eight_digits(second);
    let third = eight(bytes, at + 16);
    let count = leading_digits(third);
    if count > 3 {
        return Err(Unhandled);
    }
    let part = if count == 0 { 0 } else { some_digits(third, count) };
    Ok(Digits { value: value * POWERS[count] + part, count: 16 + count })
}

/// A number without an exponent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Whether there is a minus.
    pub negative: bool,
    /// All its digits as one number.
    pub digits: u64,
    /// How many of them stand after the point.
    pub fraction: usize,
    /// The place after it.
    pub end: usize,
}

/// The integer at a place, in JSON's form; with a point or an exponent it is unhandled.
#[inline(always)]
pub(crate) fn plain_integer(bytes: &[u8], at: usize) -> Result<Plain, Unhandled> {
    let negative = byte(bytes, at) == b'-';
    let start = at + usize::from(negative);
    let Digits { value, count } = digits(bytes, start)?;
    let end = start + count;
    let leading_zero = byte(bytes, start) == b'0' && count > 1;
    if count == 0 || leading_zero || matches!(byte(bytes, end), b'.' | b'e' | b'E') {
        return Err(Unhandled);
    }
    Ok(Plain { negative, digits: value, fraction: 0, end })
}

/// The number at a place, in JSON's form; with an exponent or more than 19 digits it is unhandled.
#[inline(always)]
pub(crate) fn plain_number(bytes: &[u8], at: usize) -> Result<Plain, Unhandled> {
    let negative = byte(bytes, at) == b'-';
    let start = at + usize::from(negative);
    let whole = digits(bytes, start)?;
    let leading_zero = byte(bytes, start) == b'0' && whole.count > 1;
    if whole.count == 0 || leading_zero {
        return Err(Unhandled);
    }
    let mut number = Plain { negative, digits: whole.value, fraction: 0, end: start + whole.count };
    if byte(bytes, number.end) == b'.' {
        let part = digits(bytes, number.end + 1)?;
        if part.count == 0 || whole.count + part.count > 19 {
            return Err(Unhandled);
        }
        number.digits = whole.value * POWERS[part.count] + part.value;
        number.fraction = part.count;
        number.end += 1 + part.count;
    }
    if matches!(byte(bytes, number.end), b'e' | b'E') {
        return Err(Unhandled);
    }
    Ok(number)
}

impl Plain {
    /// The integer, if 64 bits hold it.
    #[inline(always)]
    pub(crate) fn to_i64(self) -> Result<i64, Unhandled> {
        let limit = i64::MAX as u64 + u64::from(self.negative);
        if self.digits > limit {
            return Err(Unhandled);
        }
        let value = self.digits as i64;
        Ok(if self.negative { value.wrapping_neg() } else { value })
    }

    /// The double, where one exactly rounded operation gives it: an integer that a double holds,
    /// divided by a power of ten that a double holds (Clinger, "How to read floating point numbers
    /// accurately", 1990).
    #[inline(always)]
    pub(crate) fn to_f64(self) -> Result<f64, Unhandled> {
        const EXACT: [f64; 20] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
            1e16, 1e17, 1e18, 1e19,
        ];
        if self.digits > 1 << 53 {
            return Err(Unhandled);
        }
        let double = self.digits as f64 / EXACT[self.fraction];
        Ok(if self.negative { -double } else { double })
    }

    /// The number times 10^`scale`, if it has no more digits than that after the point and is
    /// below `limit`.
    #[inline(always)]
    pub(crate) fn to_decimal(self, scale: usize, limit: u128) -> Result<i128, Unhandled> {
        let zeros = scale.checked_sub(self.fraction).ok_or(Unhandled)?;
        let power = POWERS.get(zeros).ok_or(Unhandled)?;
        // 2^64 times 10^19 is below 2^128.
        let unscaled = u128::from(self.digits) * u128::from(*power);
        if unscaled >= limit {
            return Err(Unhandled);
        }
        let unscaled = i128::try_from(unscaled).map_err(|_| Unhandled)?;
        Ok(if self.negative { -unscaled } else { unscaled })
    }
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
