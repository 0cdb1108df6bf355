//! Failpoints: what a test has go wrong. A release build cannot set them.

use super::environment::Environment;

/// In builds for tests: the number of the act of a publish before which the process dies.
const KILL_AT: &str = "ASHIATO_TEST_KILL_AT";
/// In builds for tests: a line is lost, to prove that it is noticed.
const LOSE_A_LINE: &str = "ASHIATO_TEST_LOSE_A_LINE";

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failpoints {
    /// The act of a publish before which the process dies, counted from 0.
    pub kill_at: Option<u64>,
    /// Whether one decoded line is left out of the count.
    pub loses_a_line: bool,
}

impl Failpoints {
    /// Those that the environment sets; none in a release build.
    pub fn of(environment: &Environment) -> Self {
        if !cfg!(debug_assertions) {
            return Failpoints::default();
        }
        Failpoints {
            kill_at: environment.get(KILL_AT).and_then(|text| text.parse().ok()),
            loses_a_line: environment.get(LOSE_A_LINE).is_some(),
        }
    }
}
