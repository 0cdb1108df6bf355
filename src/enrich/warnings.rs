//! Counts of what enrichment met and went on from, for the run's result.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many different warnings are told apart; further ones are counted together.
pub const DISTINCT_MAX: usize = 100;
/// What warnings beyond [`DISTINCT_MAX`] are counted under.
pub const FURTHER: &str = "further warnings";

/// Warnings by text, such as `tax: unknown category "food"`, with how often each was met.
///
/// The count is of evaluations: SQL that names an expression twice may count its rows twice.
#[derive(Debug, Default)]
pub struct Warnings {
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Warnings {
    /// Adds to the count of a warning.
    pub fn add(&self, warning: &str, times: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(warning) {
            *count += times;
            return;
        }
        let key = if counts.len() < DISTINCT_MAX { warning } else { FURTHER };
        *counts.entry(key.to_owned()).or_default() += times;
    }

    /// All counts so far.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_different_warnings_are_counted_without_growing() {
        let warnings = Warnings::default();
        for i in 0..1000 {
            warnings.add(&format!("warning {i:04}"), 2);
        }
        warnings.add("warning 0000", 1);
        let counts = warnings.counts();
        assert_eq!(counts.len(), DISTINCT_MAX + 1);
        assert_eq!(counts["warning 0000"], 3);
        assert_eq!(counts[FURTHER], 900 * 2);
        assert_eq!(counts.values().sum::<u64>(), 2001);
    }
}
