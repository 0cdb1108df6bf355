//! Numbers from their JSON text, digit by digit: none but a float64 ever goes through a float.

/// A number cut after some fraction digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// The number times 10^scale, rounded towards negative infinity.
    pub unscaled: i128,
    /// Whether nothing but zeros was cut off.
    pub exact: bool,
}

/// Cuts a JSON number after `scale` fraction digits; none if the rest is beyond 128 bits.
///
/// ```text
/// -1.2345e2 at scale 1:  digits 12345, point after 1 + 2, kept 3 + 1 digits → 1234, cut off 5
///                        → floor(-1234.5) = -1235, not exact
/// ```
pub(super) fn cut_at_scale(number: &str, scale: u32) -> Option<Cut> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => (true, mantissa),
        None => (false, mantissa),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_count = signed(integer.len() + fraction.len());
    let kept = signed(integer.len())
        .saturating_add(exponent_value(exponent))
        .saturating_add(i64::from(scale));

    let mut digits = integer.bytes().chain(fraction.bytes());
    let mut unscaled: i128 = 0;
    for _ in 0..kept.clamp(0, digits_count) {
        let digit = digits.next()? - b'0';
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let exact = digits.all(|digit| digit == b'0');
    if unscaled != 0 && kept > digits_count {
        let zeros = u32::try_from(kept - digits_count).ok()?;
        unscaled = unscaled.checked_mul(10_i128.checked_pow(zeros)?)?;
    }
    let unscaled = match (negative, exact) {
        (false, _) => unscaled,
        (true, true) => -unscaled,
        (true, false) => -unscaled - 1,
    };
    Some(Cut { unscaled, exact })
}

/// The number at `scale`, if it has no digits after that and at most `precision` digits in all.
pub(super) fn exact_decimal(number: &str, precision: u8, scale: u32) -> Option<i128> {
    let cut = cut_at_scale(number, scale).filter(|cut| cut.exact)?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (-limit < cut.unscaled && cut.unscaled < limit).then_some(cut.unscaled)
}

/// The number, if it is an integer that `T` holds; `1.0` and `1e3` are integers.
pub(super) fn exact_integer<T: TryFrom<i128>>(number: &str) -> Option<T> {
    let cut = cut_at_scale(number, 0).filter(|cut| cut.exact)?;
    T::try_from(cut.unscaled).ok()
}

/// The nearest double, if it is finite; a number that is too small for one is zero.
pub(super) fn nearest_double(number: &str) -> Option<f64> {
    number.parse().ok().filter(|double: &f64| double.is_finite())
}

/// An exponent; one beyond 64 bits is as good as infinite, for no line has so many digits.
fn exponent_value(text: &str) -> i64 {
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(limit)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(number: &str, scale: u32) -> Option<(i128, bool)> {
        cut_at_scale(number, scale).map(|cut| (cut.unscaled, cut.exact))
    }

    #[test]
    fn numbers_are_cut_digit_by_digit_towards_negative_infinity() {
        let cases = [
            ("0", 0, Some((0, true))),
            ("-0", 0, Some((0, true))),
            ("-0.0e5", 2, Some((0, true))),
            ("9007199254740993", 0, Some((9_007_199_254_740_993, true))),
            ("1.0", 0, Some((1, true))),
            ("1e3", 0, Some((1000, true))),
            ("1200e-2", 0, Some((12, true))),
            ("1.5", 0, Some((1, false))),
            ("-1.5", 0, Some((-2, false))),
            ("-1.2345e2", 1, Some((-1235, false))),
            ("0.001", 2, Some((0, false))),
            ("-0.001", 2, Some((-1, false))),
            ("1e-400", 2, Some((0, false))),
            ("0e99999999999999999999", 2, Some((0, true))),
            ("1e-99999999999999999999", 2, Some((0, false))),
            ("1e99999999999999999999", 2, None),
            ("1e38", 0, Some((10_i128.pow(38), true))),
            ("1e39", 0, None),
            ("12.300", 2, Some((1230, true))),
        ];
        for (number, scale, expected) in cases {
            assert_eq!(cut(number, scale), expected, "{number} at {scale}");
        }
    }

    #[test]
    fn integers_and_decimals_are_exact_or_nothing() {
        assert_eq!(exact_integer::<i64>("9223372036854775807"), Some(i64::MAX));
        assert_eq!(exact_integer::<i64>("9223372036854775808"), None);
        assert_eq!(exact_integer::<i64>("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(exact_integer::<i32>("2147483648"), None);
        assert_eq!(exact_integer::<i32>("1.5"), None);
        assert_eq!(exact_decimal("9999999999.99", 12, 2), Some(999_999_999_999));
        assert_eq!(exact_decimal("10000000000", 12, 2), None);
        assert_eq!(exact_decimal("1.005", 12, 2), None);
        let nines = "9".repeat(38);
        assert_eq!(exact_decimal(&nines, 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(exact_decimal(&format!("{nines}0"), 38, 0), None);
        assert_eq!(nearest_double("1e309"), None);
        assert_eq!(nearest_double("1e-400"), Some(0.0));
    }

    proptest! {
        #[test]
        fn a_cut_agrees_with_integer_division(
            unscaled in -10_i128.pow(18)..10_i128.pow(18), places in 0_u32..20, scale in 0_u32..20,
        ) {
            let power = 10_i128.pow(places);
            let sign = if unscaled < 0 { "-" } else { "" };
            let (whole, part) = (unscaled.abs() / power, unscaled.abs() % power);
            let width = places as usize;
            let plain = match places {
                0 => format!("{sign}{whole}"),
                _ => format!("{sign}{whole}.{part:0width$}"),
            };
            let scientific = format!("{unscaled}e-{places}");
            let scaled = unscaled * 10_i128.pow(scale.saturating_sub(places));
            let divisor = 10_i128.pow(places.saturating_sub(scale));
            let expected = (scaled.div_euclid(divisor), scaled.rem_euclid(divisor) == 0);
            prop_assert_eq!(cut(&plain, scale), Some(expected));
            prop_assert_eq!(cut(&scientific, scale), Some(expected));
        }
    }
}
