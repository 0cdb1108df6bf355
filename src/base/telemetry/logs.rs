//! Log lines on stderr, as text or JSON.
//!
//! ```text
//! any thread ─► [queue, bounded] ─► thread `log` ─► stderr
//! ```
//!
//! Who logs never waits for who reads: a pipe that nobody empties would otherwise stop all that
//! works. Lines that find the queue full are dropped and counted; once there is room again, a line
//! says how many.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait at a time.
const LINES_MAX: usize = 8192;
/// Bytes of lines that wait at a time.
const BYTES_MAX: usize = 4 << 20;
/// How long to wait for room in a queue that is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// How long the end of the program waits for whoever reads the log.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

/// The queue, once logging was started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Changes what is logged.
type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Starts logging to stderr, above the progress bars of `bars`.
///
/// `filter` is in `tracing`'s syntax (`debug`, `ashiato=debug,object_store=info`).
pub fn start_logs(format: LogFormat, filter: &str, color: bool, bars: &MultiProgress) {
    // A second start in one process (as in tests) keeps the first.
    if QUEUE.get().is_some() || !start_queue(bars.clone()) {
        return;
    }
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Queued);
    let _ = match format {
        LogFormat::Text => {
            let builder = builder.with_target(false).with_ansi(color).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = SET_FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok()));
            builder.try_init()
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = SET_FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok()));
            builder.try_init()
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{trace}"),
            _ => String::new(),
        };
        enqueue(format!("thread '{}' {panic}{trace}\n", thread.name().unwrap_or("?")).as_bytes());
    }));
}

/// Whether a text says what is logged, in `tracing`'s syntax.
pub fn is_log_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}

/// Changes what is logged from now on; says whether the text is a filter and logging was started.
pub fn set_log_filter(text: &str) -> bool {
    let filter = EnvFilter::try_new(text).ok();
    filter.zip(SET_FILTER.get()).is_some_and(|(filter, set)| set(filter))
}

/// Log lines that were dropped, as nobody read them.
pub fn dropped_log_lines() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped.load(Relaxed))
}

/// Writes to stderr after all that was logged, and waits for it, but not for ever.
pub fn print_to_stderr(text: &str) {
    if QUEUE.get().is_none() {
        // Nobody is left to tell if stderr is gone.
        let _ = io::stderr().write_all(text.as_bytes());
        return;
    }
    flush_logs();
    enqueue(text.as_bytes());
    flush_logs();
}

/// Waits until all that was logged is written, but not for ever.
pub fn flush_logs() {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + LAST_WORDS_MAX;
    let (sender, written) = sync_channel(1);
    let mut message = Message::Flush(sender);
    while let Err(TrySendError::Full(back)) = queue.sender.try_send(message) {
        if Instant::now() > deadline {
            return;
        }
        message = back;
        std::thread::sleep(FULL_PAUSE);
    }
    let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// What the thread is given.
enum Message {
    /// To be written.
    Line(Vec<u8>),
    /// To be told of, once all before it is written.
    Flush(SyncSender<()>),
}

/// Lines that wait.
struct Queue {
    sender: SyncSender<Message>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// Starts the thread; says whether it did.
fn start_queue(bars: MultiProgress) -> bool {
    let (sender, receiver) = sync_channel(LINES_MAX);
    let queue = Queue { sender, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) };
    QUEUE.set(queue).is_ok()
        && std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&receiver, &bars))
            .is_ok()
}

/// Queues bytes, if there is room; says whether there was.
fn enqueue(bytes: &[u8]) -> bool {
    let Some(queue) = QUEUE.get() else { return false };
    let waiting = queue.bytes.fetch_add(bytes.len(), Relaxed);
    let fits = waiting + bytes.len() <= BYTES_MAX
        && queue.sender.try_send(Message::Line(bytes.to_vec())).is_ok();
    if !fits {
        queue.bytes.fetch_sub(bytes.len(), Relaxed);
        queue.dropped.fetch_add(1, Relaxed);
    }
    fits
}

/// Writes lines to stderr while the bars are out of the way.
fn write_lines(lines: &Receiver<Message>, bars: &MultiProgress) {
    // The process's own handle is locked while it is written to, and others may want it.
    let own = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let Ok(mut stderr) = own else { return };
    let mut told = 0;
    while let Ok(message) = lines.recv() {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(written) => {
                let _ = written.send(());
                continue;
            }
        };
        // No work fails because nobody reads its log.
        let _ = bars.suspend(|| stderr.write_all(&line));
        let Some(queue) = QUEUE.get() else { continue };
        queue.bytes.fetch_sub(line.len(), Relaxed);
        let dropped = queue.dropped.load(Relaxed);
        if dropped > told {
            let lines = dropped - told;
            told = dropped;
            tracing::warn!(lines, "log lines were dropped: nobody read stderr in time");
        }
    }
}

/// Puts whole lines into the queue.
#[derive(Debug, Clone, Copy)]
struct Queued;

impl io::Write for Queued {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        enqueue(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queued {
    type Writer = Queued;

    fn make_writer(&'a self) -> Self::Writer {
        Queued
    }
}
