//! The arithmetic against a slow, obvious twin: fractions with a long division by hand.

use proptest::prelude::*;

use super::*;

/// `n / d` yen, rounded by looking at the floor and at what is left of the absolute value.
fn twin(n: i128, d: i128, rounding: Rounding) -> i128 {
    let (mut yen, mut left) = (0_i128, n.abs());
    let mut step = d << 60;
    while step >= d {
        while left >= step {
            left -= step;
            yen += step / d;
        }
        step >>= 1;
    }
    let up = match rounding {
        Rounding::Down => false,
        Rounding::HalfUp => left + left >= d,
        Rounding::Up => left > 0,
    };
    (yen + i128::from(up)) * n.signum()
}

fn rate(ten_thousandths: i32) -> Rate {
    Rate::from_fraction(&format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000))
        .unwrap()
}

fn any_rounding() -> impl Strategy<Value = Rounding> {
    prop::sample::select(Rounding::ALL.to_vec())
}

proptest! {
    #[test]
    fn tax_on_an_amount_is_what_long_division_gives(
        amount in any::<i32>(), scale in 0_u8..=6, bp in 0..=10_000, mode in any_rounding(),
    ) {
        let yen = 10_i128.pow(scale.into());
        let expected = twin(i128::from(amount) * i128::from(bp), 10_000 * yen, mode) * yen;
        prop_assert_eq!(tax_on(amount.into(), scale, rate(bp), mode), Some(expected));
    }

    #[test]
    fn tax_within_an_amount_is_what_long_division_gives(
        amount in any::<i32>(), scale in 0_u8..=6, bp in 0..=10_000, mode in any_rounding(),
    ) {
        let yen = 10_i128.pow(scale.into());
        let within = i128::from(amount) * i128::from(bp);
        let expected = twin(within, (10_000 + i128::from(bp)) * yen, mode) * yen;
        prop_assert_eq!(tax_within(amount.into(), scale, rate(bp), mode), Some(expected));
    }

    #[test]
    fn taking_the_tax_out_of_an_amount_undoes_putting_it_on(
        amount in any::<i64>(), scale in 0_u8..=18, bp in 0..=10_000, mode in any_rounding(),
    ) {
        let tax = tax_on(amount.into(), scale, rate(bp), mode).unwrap();
        let included = i128::from(amount) + tax;
        prop_assert_eq!(tax_within(included, scale, rate(bp), mode), Some(tax));
    }

    #[test]
    fn a_refund_takes_back_what_its_sale_bore(
        amount in any::<i64>(), scale in 0_u8..=18, bp in 0..=10_000, mode in any_rounding(),
    ) {
        let sale = tax_on(amount.into(), scale, rate(bp), mode).unwrap();
        prop_assert_eq!(tax_on(-i128::from(amount), scale, rate(bp), mode), Some(-sale));
    }

    #[test]
    fn an_invoice_rounds_the_sum_of_each_rate(
        items in prop::collection::vec((any::<i32>(), prop::bool::ANY), 0..12),
        mode in any_rounding(),
    ) {
        let rates = [rate(800), rate(1000)];
        let sum = |reduced: bool| -> i128 {
            items.iter().filter(|(_, r)| *r == reduced).map(|(a, _)| i128::from(*a)).sum()
        };
        let expected = twin(sum(true) * 800, 10_000, mode) + twin(sum(false) * 1000, 10_000, mode);
        let priced = items.iter().map(|(a, r)| (i128::from(*a), rates[usize::from(!r)]));
        let items: Vec<(i128, Rate)> = priced.collect();
        prop_assert_eq!(tax_on_invoice(&items, 0, mode), Some(expected));
    }
}

#[test]
fn the_widest_decimals_are_exact_or_none_but_never_wrong() {
    let widest = 10_i128.pow(38) - 1;
    assert_eq!(tax_on(widest, 0, rate(1000), Rounding::Down), Some(10_i128.pow(37) - 1));
    assert_eq!(tax_on(widest, 0, rate(1000), Rounding::Up), Some(10_i128.pow(37)));
    assert_eq!(tax_on(-widest, 18, rate(10_000), Rounding::Up), Some(-(10_i128.pow(38))));
    assert_eq!(tax_on(i128::MAX, 0, Rate::ONE, Rounding::Down), Some(i128::MAX));
    assert_eq!(tax_on(i128::MIN, 0, Rate::ONE, Rounding::Down), Some(i128::MIN));
    assert_eq!(tax_on(1, SCALE_MAX + 1, Rate::ONE, Rounding::Down), None);
    assert_eq!(tax_on_invoice(&[(i128::MAX, Rate::ONE), (1, Rate::ONE)], 0, Rounding::Up), None);
}

#[test]
fn halves_go_away_from_zero_and_less_than_halves_do_not() {
    let half_up = |amount| tax_on(amount, 0, rate(1000), Rounding::HalfUp);
    assert_eq!(half_up(4), Some(0));
    assert_eq!(half_up(5), Some(1));
    assert_eq!(half_up(-4), Some(0));
    assert_eq!(half_up(-5), Some(-1));
}

#[test]
fn an_invoice_rounds_once_where_its_items_would_have_rounded_each() {
    let items = [(99, rate(800)), (99, rate(800)), (99, rate(1000)), (99, rate(1000))];
    // 198 × 8 % = 15.84 and 198 × 10 % = 19.8; one by one it would have been 7 + 7 + 9 + 9.
    assert_eq!(tax_on_invoice(&items, 0, Rounding::Down), Some(15 + 19));
    assert_eq!(tax_on_invoice(&[], 0, Rounding::Down), Some(0));
}

#[test]
fn a_refund_takes_back_the_tax_that_its_sale_bore() {
    let eight_percent = Rate::from_fraction("0.08").unwrap();
    assert_eq!(tax_on(198, 0, eight_percent, Rounding::Down), Some(15)); // 15.84
    assert_eq!(tax_on(-198, 0, eight_percent, Rounding::Down), Some(-15));
    assert_eq!(tax_within(213, 0, eight_percent, Rounding::Down), Some(15)); // 15.77…
}
