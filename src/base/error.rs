//! Errors, sorted by what the caller should do about them.
//!
//! There are few kinds on purpose: an orchestrator can only retry, skip, call the author of the
//! pipeline, send someone to the quarantine, or file a bug. [`Error::exit_code`] is the one place
//! that maps kinds to exit codes (sysexits).
//!
//! Messages are lower case and say what was being done to which object, what was expected, what
//! was found, and what to do next.

use std::fmt;
use std::path::PathBuf;

/// The exit code for "nothing to do for this interval": Airflow's `BashOperator` skips on it.
pub const EXIT_NOTHING_TO_DO: u8 = 99;

/// What went wrong, by what the caller should do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that makes no sense: fix the call, do not retry.
    #[error("{0}")]
    Usage(String),
    /// The pipeline's files are wrong: fix them, do not retry. Holds every error found.
    #[error("{}", lines(.0))]
    Config(Vec<Diagnostic>),
    /// The data broke a threshold or an expectation: look at the quarantine, do not retry.
    #[error("{0}")]
    Data(String),
    /// A passing failure (a store, a disk, another attempt at work): retry.
    #[error("{0}")]
    Unavailable(String),
    /// Something that this program promises cannot happen: report it.
    #[error("{0}")]
    Bug(String),
    /// Stopped from outside; nothing is half-visible: retry.
    #[error("stopped by {0}")]
    Stopped(Signal),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A configuration error that has no place in a file.
    pub fn config(message: impl Into<String>) -> Self {
        Error::Config(vec![Diagnostic::new(message)])
    }

    /// The process exit code: 64, 65, 70, 75, 78, 130 or 143.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 64,
            Error::Data(_) => 65,
            Error::Bug(_) => 70,
            Error::Unavailable(_) => 75,
            Error::Config(_) => 78,
            Error::Stopped(Signal::Interrupt) => 130,
            Error::Stopped(Signal::Terminate) => 143,
        }
    }

    /// What the caller should do next, in one short sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Error::Usage(_) => "fix the command line; a retry will not help",
            Error::Config(_) => "fix the files that are named; a retry will not help",
            Error::Data(_) => {
                "a retry will not help; rejects are in the quarantine, if there are any"
            }
            Error::Unavailable(_) => "a retry may help",
            Error::Bug(_) => "this is a bug in ashiato; please report it with this message",
            Error::Stopped(_) => "nothing was published; a retry starts afresh",
        }
    }

    /// Puts what was being done in front of the message; the kind stays.
    #[must_use]
    pub fn while_(self, doing: impl fmt::Display) -> Self {
        match self {
            Error::Usage(m) => Error::Usage(format!("{doing}: {m}")),
            Error::Data(m) => Error::Data(format!("{doing}: {m}")),
            Error::Unavailable(m) => Error::Unavailable(format!("{doing}: {m}")),
            Error::Bug(m) => Error::Bug(format!("{doing}: {m}")),
            Error::Config(found) => {
                Error::Config(found.into_iter().map(|one| one.while_(&doing)).collect())
            }
            Error::Stopped(signal) => Error::Stopped(signal),
        }
    }
}

/// A signal that stops a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as of Ctrl-C.
    Interrupt,
    /// SIGTERM, as of an orchestrator.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// One finding about a file of a pipeline, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the user named it; none if the finding is about no file.
    pub file: Option<PathBuf>,
    /// Line and column, both from 1; none if the finding is about the whole file.
    pub place: Option<(usize, usize)>,
    /// What was expected and what was found.
    pub message: String,
    /// What to do, if that is not plain from the message.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding that names a file tells by itself what is wrong there.
    fn while_(mut self, doing: &impl fmt::Display) -> Self {
        if self.file.is_none() {
            self.message = format!("{doing}: {}", self.message);
        }
        self
    }

    /// A finding without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Diagnostic { file: None, place: None, message: message.into(), help: None }
    }

    /// The same finding in a file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same finding at a line and column, both from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.place = Some((line, column));
        self
    }

    /// The same finding with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some((line, column)) = self.place {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
