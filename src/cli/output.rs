//! What is printed: errors to stderr, one line of JSON to stdout.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::telemetry::print_to_stderr;

/// Prints an error and what to do about it.
pub(super) fn print_error(error: &Error) {
    print_error_with(error, error.advice());
}

/// Prints an error with an advice of its own.
pub(super) fn print_error_with(error: &Error, advice: &str) {
    print_to_stderr(&format!("ashiato: {error}\nashiato: {advice}\n"));
}

/// Prints a line for people or a shell.
pub(super) fn print_line(line: &str) -> Result<()> {
    let printed = writeln!(io::stdout().lock(), "{line}");
    printed.map_err(|error| Error::Unavailable(format!("writing to stdout: {error}")))
}

/// Prints one line of JSON, the last of all output.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let line = to_json(value)?;
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    printed.map_err(|error| Error::Unavailable(format!("writing the result to stdout: {error}")))
}

/// One line of JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::Bug(format!("writing a result as JSON: {error}")))
}
