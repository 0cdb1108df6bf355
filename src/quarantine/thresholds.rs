//! How many rejects are too many.

use std::fmt;

/// The share of rejects that is taken where a pipeline says none.
pub const REJECT_RATIO_DEFAULT: f64 = 0.1;
/// So many rejects are taken there whatever their share, which says little of few lines.
pub const REJECTS_DEFAULT: u64 = 10;

/// Limits that fail a run. A limit may be reached, but not passed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// More rejects than this are too many; none limits nothing.
    pub rejects_max: Option<u64>,
    /// How large their share may be.
    pub share: RejectShare,
}

/// How large the share of rejects may be.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum RejectShare {
    /// A tenth, or ten rejects if these are more, but never all there is.
    #[default]
    Safe,
    /// So much, 0 to 1.
    AtMost(f64),
    /// Whatever it is.
    Any,
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
    /// All there is, where no share is set.
    All {
        /// How many there are.
        rejected: u64,
    },
}

impl Thresholds {
    /// No limits.
    pub const NONE: Thresholds = Thresholds { rejects_max: None, share: RejectShare::Any };

    /// Holds `rejected` of `all` against both limits, at the end; `kept` are neither rejected nor
    /// empty.
    pub fn check(&self, rejected: u64, all: u64, kept: u64) -> Option<Breach> {
        let by_ratio = |max: f64| {
            // A quotient and a literal of the same number round to the same double; `max * all`
            // would make 57 of 100 more than 0.57.
            let broken = rejected > 0 && rejected as f64 / all as f64 > max;
            broken.then_some(Breach::Ratio { rejected, all, max })
        };
        self.check_early(rejected).or_else(|| match self.share {
            RejectShare::Any => None,
            RejectShare::AtMost(max) => by_ratio(max),
            RejectShare::Safe if rejected > 0 && kept == 0 => Some(Breach::All { rejected }),
            RejectShare::Safe if rejected <= REJECTS_DEFAULT => None,
            RejectShare::Safe => by_ratio(REJECT_RATIO_DEFAULT),
        })
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
            Breach::All { rejected } => write!(
                f,
                "expected some that are not rejected, found {rejected} of {rejected} (all are \
                 never taken unless `max_reject_ratio` is set)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_most(rejects_max: Option<u64>, share: f64) -> Thresholds {
        Thresholds { rejects_max, share: RejectShare::AtMost(share) }
    }

    #[test]
    fn a_limit_may_be_reached_but_not_passed() {
        let limits = at_most(Some(2), 0.5);
        assert_eq!(limits.check(2, 4, 2), None);
        assert_eq!(limits.check(3, 100, 97), Some(Breach::Count { rejected: 3, max: 2 }));
        assert_eq!(limits.check(2, 3, 1), Some(Breach::Ratio { rejected: 2, all: 3, max: 0.5 }));
        assert_eq!(limits.check(0, 0, 0), None);
    }

    #[test]
    fn the_count_is_held_at_any_time_and_the_share_only_at_the_end() {
        let limits = at_most(Some(2), 0.0);
        assert_eq!(limits.check_early(2), None);
        assert_eq!(limits.check_early(3), Some(Breach::Count { rejected: 3, max: 2 }));
    }

    #[test]
    fn where_nothing_is_set_a_tenth_or_ten_rejects_are_taken_but_never_all() {
        let safe = Thresholds::default();
        assert_eq!(safe.check(10, 11, 1), None);
        assert_eq!(safe.check(11, 110, 99), None);
        assert_eq!(safe.check(11, 109, 98).map(|b| matches!(b, Breach::Ratio { .. })), Some(true));
        assert_eq!(safe.check(1, 1, 0), Some(Breach::All { rejected: 1 }));
        assert_eq!(safe.check(9, 12, 0), Some(Breach::All { rejected: 9 }), "the others are empty");
        assert_eq!(safe.check(0, 3, 0), None, "all are empty");
        let counted = Thresholds { rejects_max: Some(100), ..safe };
        assert!(counted.check(50, 100, 50).is_some(), "a count alone does not lift the share");
        assert_eq!(safe.check_early(u64::MAX), None);
    }

    #[test]
    fn no_limit_limits_nothing_and_zero_forbids_all() {
        assert_eq!(Thresholds::NONE.check(u64::MAX, u64::MAX, 0), None);
        assert_eq!(Thresholds::NONE.check_early(u64::MAX), None);
        assert_eq!(at_most(None, 1.0).check(9, 9, 0), None, "all are taken if that is said");
        let none = at_most(None, 0.0);
        assert_eq!(none.check(0, 10, 10), None);
        assert!(none.check(1, u64::MAX, 1).is_some());
    }

    #[test]
    fn a_share_that_is_exactly_the_limit_never_breaks_it() {
        for all in 1..=1000_u64 {
            for rejected in 0..=all {
                let limit = format!("{}", rejected as f64 / all as f64);
                let limits = at_most(None, limit.parse().unwrap());
                assert_eq!(
                    limits.check(rejected, all, all - rejected),
                    None,
                    "{rejected} of {all}"
                );
            }
        }
        assert_eq!(at_most(None, 0.57).check(57, 100, 43), None);
    }

    #[test]
    fn a_breach_says_what_was_expected_and_found() {
        let limits = at_most(Some(9), 0.001);
        let message = limits.check(2, 3, 1).unwrap().to_string();
        assert!(message.contains("0.001") && message.contains("2 of 3 (0.666667)"), "{message}");
        let message = limits.check(10, 30, 20).unwrap().to_string();
        assert!(message.contains("at most 9 rejects (`max_rejects`), found 10"), "{message}");
    }
}
