//! Log lines on stderr, as text or JSON.

use std::io;

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr, above the progress bars of `bars`.
///
/// `filter` is in `tracing`'s syntax (`debug`, `ashiato=debug,object_store=info`).
pub fn start_logs(format: LogFormat, filter: &str, color: bool, bars: &MultiProgress) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let writer = AboveBars { bars: bars.clone() };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A second start in one process (as in tests) keeps the first.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(color).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Writes whole lines to stderr while the bars are out of the way.
#[derive(Clone)]
struct AboveBars {
    bars: MultiProgress,
}

impl io::Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A run does not fail because nobody reads its log.
        let _ = self.bars.suspend(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = AboveBars;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}
