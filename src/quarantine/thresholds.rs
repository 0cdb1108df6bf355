//! How many rejects are too many.

use std::fmt;

/// Limits that fail a run; absent ones limit nothing. A limit may be reached, but not passed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// More rejects than this are too many.
    pub rejects_max: Option<u64>,
    /// A larger share than this, 0 to 1, is too much.
    pub reject_ratio_max: Option<f64>,
}

/// A limit that was passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Breach {
    /// More rejects than `max_rejects`.
    Count {
        /// How many there are (so far).
        rejected: u64,
        /// How many there may be.
        max: u64,
    },
    /// A larger share than `max_reject_ratio`.
    Ratio {
        /// How many there are.
        rejected: u64,
        /// Of how many.
        all: u64,
        /// The share that there may be.
        max: f64,
    },
}

impl Thresholds {
    /// Holds `rejected` of `all` against both limits, at the end.
    pub fn check(&self, rejected: u64, all: u64) -> Option<Breach> {
        let by_ratio = || {
            let max = self.reject_ratio_max?;
            // A quotient and a literal of the same number round to the same double; `max * all`
            // would make 57 of 100 more than 0.57.
            let broken = rejected > 0 && rejected as f64 / all as f64 > max;
            broken.then_some(Breach::Ratio { rejected, all, max })
        };
        self.check_early(rejected).or_else(by_ratio)
    }

    /// Holds `rejected` against the count alone, at any time: rejects only grow, whereas the share
    /// of rejects may still fall until the end.
    pub fn check_early(&self, rejected: u64) -> Option<Breach> {
        let max = self.rejects_max?;
        (rejected > max).then_some(Breach::Count { rejected, max })
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Count { rejected, max } => {
                write!(f, "expected at most {max} rejects (`max_rejects`), found {rejected}")
            }
            Breach::Ratio { rejected, all, max } => {
                let ratio = *rejected as f64 / *all as f64;
                write!(
                    f,
                    "expected at most a share of {max} of rejects (`max_reject_ratio`), found \
                     {rejected} of {all} ({ratio:.6})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_may_be_reached_but_not_passed() {
        let limits = Thresholds { rejects_max: Some(2), reject_ratio_max: Some(0.5) };
        assert_eq!(limits.check(2, 4), None);
        assert_eq!(limits.check(3, 100), Some(Breach::Count { rejected: 3, max: 2 }));
        assert_eq!(limits.check(2, 3), Some(Breach::Ratio { rejected: 2, all: 3, max: 0.5 }));
        assert_eq!(limits.check(0, 0), None);
    }

    #[test]
    fn the_count_is_held_at_any_time_and_the_share_only_at_the_end() {
        let limits = Thresholds { rejects_max: Some(2), reject_ratio_max: Some(0.0) };
        assert_eq!(limits.check_early(2), None);
        assert_eq!(limits.check_early(3), Some(Breach::Count { rejected: 3, max: 2 }));
    }

    #[test]
    fn no_limit_limits_nothing_and_zero_forbids_all() {
        assert_eq!(Thresholds::default().check(u64::MAX, u64::MAX), None);
        assert_eq!(Thresholds::default().check_early(u64::MAX), None);
        let none = Thresholds { reject_ratio_max: Some(0.0), ..Thresholds::default() };
        assert_eq!(none.check(0, 10), None);
        assert!(none.check(1, u64::MAX).is_some());
    }

    #[test]
    fn a_share_that_is_exactly_the_limit_never_breaks_it() {
        for all in 1..=1000_u64 {
            for rejected in 0..=all {
                let limit = format!("{}", rejected as f64 / all as f64);
                let max = limit.parse().ok();
                let limits = Thresholds { reject_ratio_max: max, ..Thresholds::default() };
                assert_eq!(limits.check(rejected, all), None, "{rejected} of {all}");
            }
        }
        let hundredths = Thresholds { reject_ratio_max: Some(0.57), ..Thresholds::default() };
        assert_eq!(hundredths.check(57, 100), None);
    }

    #[test]
    fn a_breach_says_what_was_expected_and_found() {
        let limits = Thresholds { rejects_max: Some(9), reject_ratio_max: Some(0.001) };
        let message = limits.check(2, 3).unwrap().to_string();
        assert!(message.contains("0.001") && message.contains("2 of 3 (0.666667)"), "{message}");
        let message = limits.check(10, 30).unwrap().to_string();
        assert!(message.contains("at most 9 rejects (`max_rejects`), found 10"), "{message}");
    }
}
