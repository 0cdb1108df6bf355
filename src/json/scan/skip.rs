//! Values that no column takes: checked to be JSON, but not kept.

use super::cpu::{Kernel, Task};
use super::input::{Unhandled, after_space, byte, eight};
use super::number::leading_digits;
use super::text::check_text;

/// Levels of nesting that are skipped at most; deeper ones are unhandled.
const LEVELS_MAX: usize = 64;
/// Members up to which the keys of a skipped object are compared with each other.
const MEMBERS_MAX: usize = 16;

/// What skipping minds, besides JSON's grammar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SkipRules {
    /// Objects and arrays that may yet nest.
    pub depth_left: usize,
    /// Whether a key that stands twice in an object is unhandled.
    pub duplicates_unhandled: bool,
}

/// Skips the value at a place; gives the place after it.
#[inline(always)]
pub(crate) fn skip_value<K: Kernel>(
    kernel: K,
    bytes: &[u8],
    at: usize,
    rules: SkipRules,
) -> Result<usize, Unhandled> {
    match byte(bytes, at) {
        b'"' => check_text(kernel, bytes, at + 1, false),
        b'{' | b'[' => kernel.run(SkipNested { bytes, at, rules }),
        _ => skip_bare(bytes, at),
    }
}

/// Skips a number, `true`, `false` or `null`.
#[inline(always)]
fn skip_bare(bytes: &[u8], at: usize) -> Result<usize, Unhandled> {
    let word = eight(bytes, at);
    match word as u8 {
        b'-' | b'0'..=b'9' => skip_number(bytes, at),
        b't' if word as u32 == u32::from_le_bytes(*b"true") => Ok(at + 4),
        b'n' if word as u32 == u32::from_le_bytes(*b"null") => Ok(at + 4),
        b'f' if (word >> 8) as u32 == u32::from_le_bytes(*b"alse") => Ok(at + 5),
        _ => Err(Unhandled),
    }
}

#[inline(always)]
fn skip_number(bytes: &[u8], mut at: usize) -> Result<usize, Unhandled> {
    at += usize::from(byte(bytes, at) == b'-');
    at = match byte(bytes, at) {
        b'0' => at + 1,
        _ => skip_digits(bytes, at)?,
    };
    if byte(bytes, at) == b'.' {
        at = skip_digits(bytes, at + 1)?;
    }
    if matches!(byte(bytes, at), b'e' | b'E') {
        let signed = matches!(byte(bytes, at + 1), b'+' | b'-');
        at = skip_digits(bytes, at + 1 + usize::from(signed))?;
    }
    Ok(at)
}

/// Skips one digit or more.
#[inline(always)]
fn skip_digits(bytes: &[u8], mut at: usize) -> Result<usize, Unhandled> {
    let start = at;
    loop {
        let count = leading_digits(eight(bytes, at));
        at += count;
        if count < 8 {
            return if at == start { Err(Unhandled) } else { Ok(at) };
        }
    }
}

/// Skips an object or array.
struct SkipNested<'b> {
    bytes: &'b [u8],
    at: usize,
    rules: SkipRules,
}

impl Task for SkipNested<'_> {
    type Output = Result<usize, Unhandled>;

    #[inline(always)]
    fn with<K: Kernel>(self, kernel: K) -> Self::Output {
        if self.rules.duplicates_unhandled {
            return skip_nested_minding_keys(kernel, self.bytes, self.at, self.rules);
        }
        skip_nested(kernel, self.bytes, self.at, self.rules)
    }
}

/// Skips an object or array without recursion: a bit a level tells whether it is an object.
#[inline(always)]
fn skip_nested<K: Kernel>(
    kernel: K,
    bytes: &[u8],
    mut at: usize,
    rules: SkipRules,
) -> Result<usize, Unhandled> {
    let (mut objects, mut levels) = (0_u64, 0);
    let levels_max = rules.depth_left.min(LEVELS_MAX);
    loop {
        // A value begins here.
        match byte(bytes, at) {
            b'"' => at = check_text(kernel, bytes, at + 1, false)?,
            opening @ (b'{' | b'[') => {
                if levels == levels_max {
                    return Err(Unhandled);
                }
                levels += 1;
                objects = objects << 1 | u64::from(opening == b'{');
                at = after_space(bytes, at + 1);
                let closing = opening + 2;
                if byte(bytes, at) != closing {
                    if opening == b'{' {
                        at = skip_key(kernel, bytes, at)?;
                    }
                    continue;
                }
                at += 1;
                levels -= 1;
                objects >>= 1;
            }
            _ => at = skip_bare(bytes, at)?,
        }
        // A value ended here; whatever is closed is a value that ended.
        loop {
            if levels == 0 {
                return Ok(at);
            }
            at = after_space(bytes, at);
            let in_object = objects & 1 == 1;
            match (byte(bytes, at), in_object) {
                (b',', true) => {
                    at = skip_key(kernel, bytes, after_space(bytes, at + 1))?;
                    break;
                }
                (b',', false) => {
                    at = after_space(bytes, at + 1);
                    break;
                }
                (b'}', true) | (b']', false) => {
                    at += 1;
                    levels -= 1;
                    objects >>= 1;
                }
                _ => return Err(Unhandled),
            }
        }
    }
}

/// Skips a key and its colon, up to its value.
#[inline(always)]
fn skip_key<K: Kernel>(kernel: K, bytes: &[u8], at: usize) -> Result<usize, Unhandled> {
    if byte(bytes, at) != b'"' {
        return Err(Unhandled);
    }
    let at = after_space(bytes, check_text(kernel, bytes, at + 1, false)?);
    if byte(bytes, at) != b':' {
        return Err(Unhandled);
    }
    Ok(after_space(bytes, at + 1))
}

/// As [`skip_nested`], but recursive, and with the keys of each object compared: equal ones, more
/// than a few and those with escapes are unhandled.
fn skip_nested_minding_keys<K: Kernel>(
    kernel: K,
    bytes: &[u8],
    at: usize,
    rules: SkipRules,
) -> Result<usize, Unhandled> {
    let depth_left = rules.depth_left.min(LEVELS_MAX).checked_sub(1).ok_or(Unhandled)?;
    let rules = SkipRules { depth_left, ..rules };
    let is_object = byte(bytes, at) == b'{';
    let closing = byte(bytes, at) + 2;
    let mut at = after_space(bytes, at + 1);
    if byte(bytes, at) == closing {
        return Ok(at + 1);
    }
    let mut keys: [&[u8]; MEMBERS_MAX] = [b""; MEMBERS_MAX];
    let mut count = 0;
    loop {
        if is_object {
            let value = skip_key(kernel, bytes, at)?;
            let key = bytes.get(at..value).and_then(|text| text.split(|b| *b == b'"').nth(1));
            let key = key.filter(|key| !key.contains(&b'\\')).ok_or(Unhandled)?;
            if keys[..count].contains(&key) || count == MEMBERS_MAX {
                return Err(Unhandled);
            }
            keys[count] = key;
            count += 1;
            at = value;
        }
        at = after_space(bytes, skip_value(kernel, bytes, at, rules)?);
        match byte(bytes, at) {
            b',' => at = after_space(bytes, at + 1),
            end if end == closing => return Ok(at + 1),
            _ => return Err(Unhandled),
        }
    }
}

#[cfg(test)]
#[path = "skip_tests.rs"]
mod tests;
