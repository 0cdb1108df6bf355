//! Numbers drawn from a seed: the same on every machine and with every version of the crates.
//!
//! The generator is PCG XSL RR 128/64, whose outputs are fixed by its definition; what is made of
//! them is integer arithmetic of this file's own, since the general `rand` crate promises no
//! stable results.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// The stream of PCG's reference implementation.
const STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96;

/// A source of numbers.
#[derive(Debug)]
pub(super) struct SeededRandom(Pcg64);

impl SeededRandom {
    /// The source of the part numbered `part` of what `seed` makes.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let high = mixed(seed ^ mixed(part));
        SeededRandom(Pcg64::new(u128::from(high) << 64 | u128::from(mixed(high)), STREAM))
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `end - 1`, all alike in likelihood; 0 for an `end` of 0.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let high = self.bits() >> 32;
        ((high * u64::from(end)) >> 32) as u32
    }

    /// A number from 0 to `end - 1`, low ones more often, much as a law of Zipf has it: the range
    /// is cut off at a power of two, each as likely as the other.
    pub(super) fn low_below(&mut self, end: u32) -> u32 {
        let scales = end.max(2).ilog2() + 1;
        let limit = 1_u64 << (1 + self.below(scales));
        self.below(end.min(u32::try_from(limit).unwrap_or(end)))
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of some things, all alike in likelihood.
    pub(super) fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u32) as usize]
    }

    /// One of some things, by their weights.
    pub(super) fn pick_weighted<'a, T>(
        &mut self,
        things: &'a [T],
        weight: impl Fn(&T) -> u32,
    ) -> &'a T {
        let mut left = self.below(things.iter().map(&weight).sum());
        let chosen = things.iter().find(|thing| {
            let weight = weight(thing);
            let chosen = left < weight;
            left = left.saturating_sub(weight);
            chosen
        });
        chosen.unwrap_or(&things[0])
    }
}

/// A bijection of 64 bits that leaves no pattern: the finalizer of SplitMix64 (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014).
pub(super) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_seed_and_part() {
        let draw = |seed, part| {
            let mut random = SeededRandom::new(seed, part);
            [random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(draw(7, 0), draw(7, 0));
        assert_ne!(draw(7, 0), draw(7, 1));
        assert_ne!(draw(7, 0), draw(8, 0));
        assert_eq!(SeededRandom::new(1, 2).bits(), 15_049_386_463_168_956_278);
    }

    #[test]
    fn low_numbers_are_drawn_more_often_but_all_are_drawn() {
        let mut random = SeededRandom::new(1, 1);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[random.low_below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| *count > 100), "{counts:?}");
        assert!(counts[0] > 3 * counts[9], "{counts:?}");
    }

    #[test]
    fn a_weight_of_zero_is_never_picked() {
        let mut random = SeededRandom::new(1, 1);
        for _ in 0..1_000 {
            assert_eq!(*random.pick_weighted(&[(0, 'a'), (3, 'b')], |thing| thing.0), (3, 'b'));
        }
    }
}
