//! Parts of dates and times: digits, fractions, offsets, times of day.

use chrono::{NaiveDate, NaiveDateTime};

/// A date's time of day; `24:00:00` is the next day's midnight (ISO 8601-1:2019, 5.3.1.1), and
/// second 60 has chrono's form of a leap second.
pub(super) fn clock(
    date: NaiveDate,
    hour: u32,
    minute: u32,
    second: u32,
    micro: u32,
) -> Option<NaiveDateTime> {
    match (hour, second) {
        (24, _) if (minute, second, micro) == (0, 0, 0) => date.succ_opt()?.and_hms_opt(0, 0, 0),
        (_, 60) => date.and_hms_micro_opt(hour, minute, 59, 1_000_000 + micro),
        _ => date.and_hms_micro_opt(hour, minute, second, micro),
    }
}

/// `+09:00`, `+0900`, `+09`, `+09:18:59` or `Z` in seconds, and what stands after it.
pub(super) fn leading_offset(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((0, rest));
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = leading_number(text.strip_prefix(['+', '-'])?, 2)?;
    let colon = rest.starts_with(':');
    let sixty = |text: &'_ str| {
        let digits = if colon { text.strip_prefix(':')? } else { text };
        leading_number(digits, 2).map(|(number, rest)| (number, text.len() - rest.len()))
    };
    let (minutes, length) = sixty(rest).unwrap_or((0, 0));
    let rest = &rest[length..];
    let (seconds, length) = if length > 0 { sixty(rest).unwrap_or((0, 0)) } else { (0, 0) };
    let rest = &rest[length..];
    let total = i32::try_from(hours * 3600 + minutes * 60 + seconds).ok()?;
    (hours < 24 && minutes < 60 && seconds < 60).then_some((sign * total, rest))
}

/// Exactly so many digits, and what is behind them.
pub(super) fn leading_number(text: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let only_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| only_digits)?;
    Some((number, rest))
}

/// Microseconds of the digits after a point, at most so many, and how many there are.
pub(super) fn leading_fraction_digits(text: &str, most: usize) -> (u32, usize) {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit);
    let count = digits.clone().count();
    let padded = digits.chain(std::iter::repeat(b'0')).take(6);
    let micros = padded.fold(0, |micros, digit| micros * 10 + u32::from(digit - b'0'));
    (micros, count)
}
