//! What operators see while a run goes on: log lines and progress, all on stderr.

mod logs;
mod progress;

pub use logs::{
    LogFormat, dropped_log_lines, flush_logs, is_log_filter, print_to_stderr, set_log_filter,
    start_logs,
};
pub use progress::{Progress, ProgressReporter};
