//! Exact arithmetic of the tax: integers only, rounded once, to whole yen.
//!
//! An amount is a count of units of `10^-scale` yen: 12,345 at scale 2 is 123.45 yen, and an
//! integer column has scale 0. Tax is always a whole number of yen, whatever the amount's scale,
//! because an invoice states no smaller tax (Consumption Tax Act, article 57-4, and its Enforcement
//! Order, article 70-10): 123.45 yen at 10 % rounded `down` bear 12.00 yen. Who needs the tax
//! before rounding multiplies by the rate.
//!
//! ```text
//! tax_on(198, 0, 8 %, Down)        15     15.84
//! tax_on(-198, 0, 8 %, Down)      -15    -15.84
//! tax_within(213, 0, 8 %, Down)    15     15.77…
//! ```

use super::tax::Rate;

/// The largest scale of a decimal amount: beyond it, intermediate products could leave 128 bits.
pub const SCALE_MAX: u8 = 18;

/// What becomes of a fraction of a yen.
///
/// Each mode looks at the distance from zero, so a refund of -198 yen takes back exactly the tax
/// that the sale of 198 yen bore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// Toward zero: 15.84 → 15, -15.84 → -15. What most shops do.
    #[default]
    Down,
    /// To the nearest, halves away from zero: 0.5 → 1, -0.5 → -1.
    HalfUp,
    /// Away from zero: 15.01 → 16, -15.01 → -16.
    Up,
}

impl Rounding {
    /// Every mode.
    pub const ALL: [Rounding; 3] = [Rounding::Down, Rounding::HalfUp, Rounding::Up];

    /// The mode of a name as SQL and pipelines write it; none if there is no such mode.
    pub fn from_name(name: &str) -> Option<Self> {
        Rounding::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// The name in SQL and pipelines: `down`, `half_up` or `up`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rounding::Down => "down",
            Rounding::HalfUp => "half_up",
            Rounding::Up => "up",
        }
    }
}

/// The tax on an amount that does not include it: `amount × rate`, rounded to whole yen, in the
/// amount's units. None if the result or the scale is out of range.
pub fn tax_on(amount: i128, scale: u8, rate: Rate, rounding: Rounding) -> Option<i128> {
    let yen = yen_units(scale)?;
    let denominator = i128::from(Rate::ONE.ten_thousandths());
    whole_yen(amount, i128::from(rate.ten_thousandths()), denominator, yen, rounding)
}

/// The tax within an amount that includes it: `amount × rate ÷ (1 + rate)`, rounded to whole yen,
/// in the amount's units. None if the result or the scale is out of range.
pub fn tax_within(amount: i128, scale: u8, rate: Rate, rounding: Rounding) -> Option<i128> {
    let yen = yen_units(scale)?;
    let rate = i128::from(rate.ten_thousandths());
    let denominator = i128::from(Rate::ONE.ten_thousandths()) + rate;
    whole_yen(amount, rate, denominator, yen, rounding)
}

/// The tax of an invoice over amounts that do not include it: amounts are added up by rate, and
/// each sum is rounded once (Enforcement Order of the Consumption Tax Act, article 70-10, in force
/// since 2023-10-01), whatever the items would have been rounded to one by one. In the amounts'
/// units; none if a sum, the result or the scale is out of range.
pub fn tax_on_invoice(items: &[(i128, Rate)], scale: u8, rounding: Rounding) -> Option<i128> {
    let mut sums: Vec<(Rate, i128)> = Vec::new();
    for (amount, rate) in items {
        match sums.iter_mut().find(|(known, _)| known == rate) {
            Some((_, sum)) => *sum = sum.checked_add(*amount)?,
            None => sums.push((*rate, *amount)),
        }
    }
    let taxes = sums.into_iter().map(|(rate, sum)| tax_on(sum, scale, rate, rounding));
    taxes.into_iter().try_fold(0_i128, |total, tax| total.checked_add(tax?))
}

/// How many of an amount's units make a yen.
fn yen_units(scale: u8) -> Option<i128> {
    (scale <= SCALE_MAX).then(|| 10_i128.pow(u32::from(scale)))
}

fn whole_yen(
    amount: i128,
    rate: i128,
    denominator: i128,
    yen: i128,
    rounding: Rounding,
) -> Option<i128> {
    divide(amount, rate, denominator * yen, rounding)?.checked_mul(yen)
}

/// `amount × numerator ÷ denominator`, rounded. The whole part of `amount ÷ denominator` is set
/// aside first, so that only the remainder, which is small, is multiplied before the division.
fn divide(amount: i128, numerator: i128, denominator: i128, rounding: Rounding) -> Option<i128> {
    if let (Ok(amount), Ok(numerator), Ok(denominator)) =
        (i64::try_from(amount), i64::try_from(numerator), i64::try_from(denominator))
        && let Some(product) = amount.checked_mul(numerator)
    {
        // Nearly all amounts: one 64-bit division, ten times faster than 128-bit ones.
        let (quotient, remainder) = (product / denominator, product % denominator);
        let step = away_from_zero(remainder.into(), denominator.into(), amount.into(), rounding);
        return Some(i128::from(quotient) + step);
    }
    let whole = (amount / denominator).checked_mul(numerator)?;
    let part = (amount % denominator) * numerator;
    let (quotient, remainder) = (part / denominator, part % denominator);
    let step = away_from_zero(remainder, denominator, amount, rounding);
    whole.checked_add(quotient)?.checked_add(step)
}

/// One step away from zero if a division with this remainder is rounded that way, else none.
fn away_from_zero(remainder: i128, denominator: i128, amount: i128, rounding: Rounding) -> i128 {
    let is_rounded = match rounding {
        Rounding::Down => false,
        Rounding::HalfUp => remainder.abs() * 2 >= denominator,
        Rounding::Up => remainder != 0,
    };
    if is_rounded { amount.signum() } else { 0 }
}

#[cfg(test)]
#[path = "rounding_tests.rs"]
mod tests;
