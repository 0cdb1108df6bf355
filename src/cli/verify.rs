//! `ashiato verify`: whether tables, or copies of them, hold what the manifest says.

use serde_json::json;

use super::args::VerifyArgs;
use super::context::OpenedState;
use super::output;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::commit::TableVerdict;
use crate::store::CopyTarget;

/// Prints what was found as one line of JSON and gives the exit code: 0, or 65 if something is not
/// as the manifest says.
///
/// # Errors
/// What kept it from looking.
pub(super) fn verify(args: &VerifyArgs, environment: &Environment) -> Result<u8> {
    let opened = OpenedState::of(&args.pipeline, environment)?;
    let interval = opened.interval_of(&args.interval)?;
    let at = args.at.as_deref().map(|at| CopyTarget::parse(at, environment)).transpose()?;
    let tables = opened.commit.verify_tables(&interval, at.as_ref(), args.deep)?;
    tables.iter().filter_map(unknown_files).for_each(|warning| output::print_warning(&warning));
    let wrong = tables.iter().filter(|table| !table.is_right()).map(describe);
    let wrong: Vec<String> = wrong.collect();
    let is_right = wrong.is_empty();
    let error = Error::Data(format!("the tables are not as published: {}", wrong.join("; ")));
    if !is_right {
        output::print_error_with(&error, "publish, or copy, the interval again");
    }
    output::print_json(&json!({
        "status": if is_right { "right" } else { "wrong" },
        "pipeline": opened.pipeline.name,
        "interval": interval,
        "deep": args.deep,
        "tables": tables,
    }))?;
    Ok(if is_right { 0 } else { error.exit_code() })
}

/// What is said of files that no publish of the pipeline has written, and that readers do not pass
/// over.
fn unknown_files(table: &TableVerdict) -> Option<String> {
    let is_hidden = |name: &&String| name.split('/').any(|part| part.starts_with(['_', '.']));
    let read: Vec<&String> = table.unknown.iter().filter(|name| !is_hidden(name)).collect();
    let first = read.first()?;
    Some(format!(
        "{}: {} files that the pipeline did not write, the first {first}; readers of the table \
         read them as well",
        table.location,
        read.len(),
    ))
}

/// What is wrong with a table, with the first file of each kind.
fn describe(table: &TableVerdict) -> String {
    let kinds = [
        ("missing", &table.missing),
        ("different", &table.different),
        ("replaced but still there", &table.stale),
    ];
    let kinds = kinds.into_iter().filter_map(|(kind, files)| {
        let first = files.first()?;
        Some(format!("{} files {kind}, the first {first}", files.len()))
    });
    let mut found: Vec<String> = kinds.collect();
    if table.success != "ok" {
        found.push(format!("_SUCCESS is {}", table.success));
    }
    format!("{}: {}", table.location, found.join(", "))
}
