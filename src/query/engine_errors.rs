//! What an error of the engine means to the caller, by its cause, however it is wrapped.
//!
//! ```text
//! Shared(Context("…", ArrowError(IoError("…", ENOSPC))))    the spill folder is full: retry
//! External(Error::Data("expectation …"))                    our own error, as it was
//! Collection([Internal("…"), ResourcesExhausted("…")])      the memory limit: configuration
//! ```

use std::error::Error as StdError;
use std::io;
use std::path::Path;

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use nix::errno::Errno;
use tokio::task::JoinError;

use super::sql_error::whole_message;
use crate::base::error::{Error, Result};

/// How a message about the disk begins; the folder's name follows when it is known.
const SPILLING: &str = "spilling a sort, an aggregate or a join to disk";

/// What an error of the engine means to the caller.
pub(crate) fn engine_error(error: DataFusionError) -> Error {
    let mut causes = Vec::new();
    collect_causes(&error, &mut causes);
    // Our own errors are right about themselves; then what the machine lacks; then the rest.
    for find in [own_cause, disk_cause, memory_cause] {
        if let Some(found) = causes.iter().copied().find_map(find) {
            return found;
        }
    }
    if let Some(panic) = causes.iter().find_map(|cause| cause.downcast_ref::<JoinError>()) {
        return Error::Bug(format!("running a query: a task ended: {panic}"));
    }
    let message = whole_message(&error.message());
    match error.find_root() {
        DataFusionError::ObjectStore(_) => {
            Error::Unavailable(format!("running a query: reading a reference table: {message}"))
        }
        root if is_of_pattern(root) => Error::config(format!(
            "running a query: {message}; mend the regular expression in the SQL file"
        )),
        DataFusionError::Internal(_) => Error::Bug(format!("running a query: {message}")),
        _ => Error::Data(format!(
            "running a query: {message}; nothing was published; mend the SQL or the contract so \
             that such rows are rejected"
        )),
    }
}

/// The error with the place where queries spill.
pub(crate) fn with_spill_folder(error: Error, folder: &Path) -> Error {
    match error {
        Error::Unavailable(message) => match message.strip_prefix(SPILLING) {
            Some(rest) => Error::Unavailable(format!("{SPILLING} at {}{rest}", folder.display())),
            None => Error::Unavailable(message),
        },
        other => other,
    }
}

/// What a panic of a task of an output means.
pub(crate) fn task_error(output: &str, error: JoinError) -> Error {
    let Ok(panic) = error.try_into_panic() else {
        return Error::Bug(format!("a task of output {output} was stopped"));
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    if OFFSET_OVERFLOWS.contains(&text) {
        return Error::Data(format!(
            "output {output}: a column of one batch would be larger than 2 GiB ({text}); nothing \
             was published; make shorter texts and lists in the SQL"
        ));
    }
    Error::Bug(format!("output {output}: a task panicked: {text}"))
}

/// Panics of kernels whose result has more bytes than its offsets can count, whole: the text of
/// another may hold a value.
const OFFSET_OVERFLOWS: [&str; 5] = [
    "overflow",
    "offset overflow",
    "byte array offset overflow",
    "capacity overflow",
    "extend failed due to offset overflow",
];

/// Whether an error is that a pattern of the SQL file is wrong. What the engine says comes first;
/// values that it quotes, and what a cast says of them, do not count.
fn is_of_pattern(error: &DataFusionError) -> bool {
    let said = match error {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ComputeError(said) | ArrowError::InvalidArgumentError(said) => said,
            _ => return false,
        },
        DataFusionError::Internal(said) => said,
        DataFusionError::External(inner) => return inner.is::<regex::Error>(),
        _ => return false,
    };
    PATTERN_FAULTS.iter().any(|fault| said.starts_with(fault))
}

/// What the engine says of patterns, before it quotes them.
const PATTERN_FAULTS: [&str; 2] =
    ["Regular expression did not compile", "Unable to build regex from LIKE pattern"];

/// All errors within an error, each before what it wraps.
fn collect_causes<'e>(
    error: &'e (dyn StdError + 'static),
    causes: &mut Vec<&'e (dyn StdError + 'static)>,
) {
    causes.push(error);
    match error.downcast_ref::<DataFusionError>() {
        Some(DataFusionError::Collection(all)) => {
            all.iter().for_each(|inner| collect_causes(inner, causes));
        }
        Some(DataFusionError::Shared(inner)) => collect_causes(inner.as_ref(), causes),
        Some(other) => source_causes(other.source(), causes),
        None => {
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            match wrapped {
                Some(inner) => collect_causes(inner, causes),
                None => source_causes(arrow_source(error), causes),
            }
        }
    }
}

fn source_causes<'e>(
    source: Option<&'e (dyn StdError + 'static)>,
    causes: &mut Vec<&'e (dyn StdError + 'static)>,
) {
    if let Some(source) = source {
        collect_causes(source, causes);
    }
}

/// Arrow's errors do not all name their source.
fn arrow_source<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<ArrowError>() {
        Some(ArrowError::IoError(_, inner)) => Some(inner),
        Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
        _ => error.source(),
    }
}

fn own_cause(cause: &(dyn StdError + 'static)) -> Option<Error> {
    cause.downcast_ref::<Error>().cloned()
}

/// What the operating system refused. Only an error of input and output tells: the texts of others
/// may hold values, and a value may be any text.
fn disk_cause(cause: &(dyn StdError + 'static)) -> Option<Error> {
    let error = cause.downcast_ref::<io::Error>()?;
    // Some layers keep only the text of the system's error.
    let number = error.raw_os_error().or_else(|| number_in_text(&error.to_string()));
    let what = match number {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    };
    let advice = match number.map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => {
            "make room there, or name a folder with more room as `spill` under `[resources]` in \
             pipeline.toml, or raise `memory_limit`"
        }
        Some(Errno::EMFILE | Errno::ENFILE) => {
            return Some(Error::Unavailable(format!(
                "{SPILLING}: {what}; raise the limit of open files (`ulimit -n`), or lower \
                 `threads` under `[resources]` in pipeline.toml"
            )));
        }
        Some(Errno::ENOMEM) => "free memory of the machine, or lower `memory_limit`",
        _ => {
            "see to the disk, or name another folder as `spill` under `[resources]` in \
              pipeline.toml"
        }
    };
    Some(Error::Unavailable(format!("{SPILLING}: {what}; {advice}")))
}

/// `… No space left on device (os error 28)`
fn number_in_text(text: &str) -> Option<i32> {
    let (_, after) = text.rsplit_once("(os error ")?;
    after.split(')').next()?.parse().ok()
}

fn memory_cause(cause: &(dyn StdError + 'static)) -> Option<Error> {
    let message = match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(DataFusionError::ResourcesExhausted(message)), _) => message,
        (_, Some(ArrowError::MemoryError(message))) => message,
        _ => return None,
    };
    // The pool goes on with a list of who holds what.
    let message = message.lines().next().unwrap_or_default();
    let message = message.trim_end_matches([':', ',', '.', ' ']);
    Some(Error::config(format!(
        "the queries need more memory than they may take: {message}; raise `memory_limit` under \
         `[resources]` in pipeline.toml, or lower `threads`"
    )))
}

/// Whether a folder can take what queries spill.
///
/// # Errors
/// `Error::Config` without a place, if it cannot.
pub fn check_spill_folder(folder: &Path) -> Result<()> {
    let wrong = |what: String| {
        Err(Error::config(format!(
            "`spill`: {}: {what}; name a folder that exists and can be written to",
            folder.display()
        )))
    };
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            wrong("there is no such folder".to_owned())
        }
        Err(error) => wrong(error.to_string()),
        Ok(found) if !found.is_dir() => wrong("expected a folder, found a file".to_owned()),
        Ok(_) => match tempfile::tempfile_in(folder) {
            Ok(_) => Ok(()),
            // Full now, perhaps not when it counts.
            Err(error) if error.raw_os_error() == Some(Errno::ENOSPC as i32) => Ok(()),
            Err(error) => wrong(format!("cannot be written to: {error}")),
        },
    }
}

#[cfg(test)]
#[path = "engine_errors_tests.rs"]
mod tests;
