//! Progress: counters that the work raises, shown as a bar on a terminal and as lines in a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

/// How often a bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
/// How often a line is logged.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Counters of the work that is done; cheap to raise from any thread.
#[derive(Debug, Default)]
pub struct Progress {
    objects_total: AtomicU64,
    bytes_total: AtomicU64,
    objects: AtomicU64,
    bytes: AtomicU64,
    rows: AtomicU64,
    publishing: AtomicBool,
}

impl Progress {
    /// Says how much there is to do: objects, and their bytes as stored.
    pub fn set_total(&self, objects: u64, bytes: u64) {
        self.objects_total.store(objects, Relaxed);
        self.bytes_total.store(bytes, Relaxed);
    }

    /// Some bytes (as stored) were read and gave some rows.
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// An object is done.
    pub fn add_object(&self) {
        self.objects.fetch_add(1, Relaxed);
    }

    /// Everything is written; what was written becomes visible from now on.
    pub fn begin_publishing(&self) {
        self.publishing.store(true, Relaxed);
    }

    fn is_all_read(&self) -> bool {
        let total = self.objects_total.load(Relaxed);
        total > 0 && self.objects.load(Relaxed) >= total
    }

    fn describe(&self, elapsed: Duration) -> String {
        let rows = HumanCount(self.rows.load(Relaxed));
        let objects = HumanCount(self.objects_total.load(Relaxed));
        if self.publishing.load(Relaxed) {
            return format!("publishing the tables; {rows} rows of {objects} objects were read");
        }
        if self.is_all_read() {
            return format!("writing the tables; {rows} rows of {objects} objects were read");
        }
        self.describe_reading(elapsed)
    }

    fn describe_reading(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let (rows, bytes) = (self.rows.load(Relaxed), self.bytes.load(Relaxed));
        let total = self.bytes_total.load(Relaxed);
        format!(
            "{}/{} objects, {} of {}, {} rows/s, {}, {} rows",
            self.objects.load(Relaxed),
            self.objects_total.load(Relaxed),
            HumanBytes(bytes),
            HumanBytes(total),
            HumanCount((rows as f64 / seconds) as u64),
            time_left(bytes, total, elapsed),
            HumanCount(rows)
        )
    }
}

/// How long the rest takes at the pace so far.
fn time_left(done: u64, total: u64, elapsed: Duration) -> String {
    if done == 0 || total == 0 {
        return "? left".to_owned();
    }
    let rest = total.saturating_sub(done) as f64 / done as f64;
    format!("{} left", HumanDuration(elapsed.mul_f64(rest)))
}

/// Shows progress until it is stopped.
#[derive(Debug)]
pub struct ProgressReporter {
    task: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl ProgressReporter {
    /// Starts showing: a bar among `bars` on a terminal, else a log line every ten seconds.
    pub fn start(progress: Arc<Progress>, bars: &MultiProgress, terminal: bool) -> Self {
        let bar = terminal.then(|| bars.add(new_bar()));
        let (shown, started) = (bar.clone(), Instant::now());
        let task = tokio::spawn(async move {
            let interval = if shown.is_some() { BAR_INTERVAL } else { LINE_INTERVAL };
            loop {
                tokio::time::sleep(interval).await;
                let text = progress.describe(started.elapsed());
                match &shown {
                    Some(_) if progress.objects_total.load(Relaxed) == 0 => {}
                    // There is no measure for what follows.
                    Some(bar) if progress.is_all_read() => {
                        bar.set_style(message_style());
                        bar.set_message(text);
                    }
                    Some(bar) => {
                        bar.set_style(bar_style());
                        bar.set_length(progress.bytes_total.load(Relaxed));
                        bar.set_position(progress.bytes.load(Relaxed));
                        bar.set_message(text);
                    }
                    None => tracing::info!("{text}"),
                }
            }
        });
        ProgressReporter { task, bar }
    }

    /// Stops showing and clears the bar.
    pub fn stop(self) {
        self.task.abort();
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Until the source is listed there is nothing to measure against.
fn new_bar() -> ProgressBar {
    ProgressBar::new(0).with_style(message_style()).with_message("listing the source")
}

fn message_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| bar_style())
}

fn bar_style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:8} {percent:>3} % {wide_msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_rate_and_time_left() {
        let progress = Progress::default();
        progress.set_total(4, 4000);
        progress.add(500, 1000);
        progress.add_object();
        let text = progress.describe(Duration::from_secs(5));
        assert_eq!(text, "1/4 objects, 1000 B of 3.91 KiB, 100 rows/s, 15 seconds left, 500 rows");
    }

    #[test]
    fn progress_says_what_is_done_when_all_is_read() {
        let progress = Progress::default();
        progress.set_total(1, 4000);
        progress.add(500, 4000);
        assert!(progress.describe(Duration::from_secs(5)).starts_with("0/1 objects"));
        progress.add_object();
        let text = progress.describe(Duration::from_secs(5));
        assert_eq!(text, "writing the tables; 500 rows of 1 objects were read");
        progress.begin_publishing();
        let text = progress.describe(Duration::from_secs(6));
        assert_eq!(text, "publishing the tables; 500 rows of 1 objects were read");
    }
}
