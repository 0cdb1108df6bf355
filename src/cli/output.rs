//! What is printed: errors to stderr, one line of JSON to stdout.

use std::io::{self, Write};

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::telemetry::print_to_stderr;

/// Prints an error and what to do about it.
pub(super) fn print_error(error: &Error) {
    print_error_with(error, error.advice());
}

/// Prints an error with an advice of its own.
pub(super) fn print_error_with(error: &Error, advice: &str) {
    print_to_stderr(&format!("ashiato: {error}\nashiato: {advice}\n"));
}

/// Prints what is no error, but should be known.
pub(super) fn print_warning(warning: &str) {
    // As for an error.
    let _ = writeln!(io::stderr(), "ashiato: warning: {warning}");
}

/// Prints a line for people or a shell.
pub(super) fn print_line(line: &str) -> Result<()> {
    written(writeln!(io::stdout().lock(), "{line}"), "to stdout")
}

/// Prints one line of JSON, the last of all output.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let line = to_json(value)?;
    let mut stdout = io::stdout().lock();
    written(writeln!(stdout, "{line}").and_then(|()| stdout.flush()), "the result to stdout")
}

/// What became of a write to stdout. A reader that has gone, as `head` has, has what it wanted.
fn written(written: io::Result<()>, what: &str) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::Unavailable(format!("writing {what}: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// One line of JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::Bug(format!("writing a result as JSON: {error}")))
}
