//! What operators see while a run goes on: log lines and progress, all on stderr.

mod logs;
mod progress;

pub use logs::{LogFormat, start_logs};
pub use progress::{Progress, ProgressReporter};
