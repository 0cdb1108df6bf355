//! Reads a pipeline's folder from disk.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::ConfigFile;
use crate::error::{Diagnostic, Error, Result};
use crate::pipeline::{Pipeline, PipelineFiles, resolve_pipeline};
use crate::store::Environment;

/// Reads and resolves the pipeline in `folder`.
///
/// `${PIPELINE_DIR}` in its values is the folder itself; other variables come from `environment`.
///
/// # Errors
/// `Error::Config` with everything found wrong.
pub fn load_pipeline(folder: &Path, environment: &Environment) -> Result<Pipeline> {
    match read_pipeline(folder, environment) {
        (Some(pipeline), found) if found.is_empty() => Ok(pipeline),
        (_, found) => Err(Error::Config(found)),
    }
}

/// The pipeline as far as it can be told, and all that is wrong with its files.
pub(super) fn read_pipeline(
    folder: &Path,
    environment: &Environment,
) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let files = match read_files(folder) {
        Ok(files) => files,
        Err(found) => return (None, found),
    };
    let folder_name = folder.to_string_lossy();
    let lookup = |name: &str| match name {
        "PIPELINE_DIR" => Some(folder_name.trim_end_matches('/').to_owned()),
        _ => environment.get(name).map(str::to_owned),
    };
    resolve_pipeline(files, &lookup)
}

fn read_files(folder: &Path) -> Result<PipelineFiles, Vec<Diagnostic>> {
    if !folder.is_dir() {
        let message = "expected a pipeline's folder, found no such directory";
        return Err(vec![Diagnostic::new(message).in_file(folder)]);
    }
    let mut found = Vec::new();
    let pipeline = read_file(folder.join("pipeline.toml"), &mut found);
    let contract = read_file(folder.join("contract.toml"), &mut found);
    let sql: Vec<ConfigFile> = sql_paths(folder, &mut found)
        .into_iter()
        .filter_map(|path| read_file(path, &mut found))
        .collect();
    match (pipeline, contract) {
        (Some(pipeline), Some(contract)) if found.is_empty() => {
            Ok(PipelineFiles { folder: name_of(folder), pipeline, contract, sql })
        }
        _ => Err(found),
    }
}

/// The folder with its real name, so that `.` and `sql/x/` name a pipeline too.
fn name_of(folder: &Path) -> PathBuf {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

fn sql_paths(folder: &Path, found: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            found.push(Diagnostic::new(format!("cannot list: {error}")).in_file(folder));
            return Vec::new();
        }
    };
    let is_sql = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sql");
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_sql);
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths
}

fn read_file(path: PathBuf, found: &mut Vec<Diagnostic>) -> Option<ConfigFile> {
    match fs::read_to_string(&path) {
        // Editors of some systems write a byte order mark, which is no part of the text.
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
            Some(ConfigFile { path, text })
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            let diagnostic = Diagnostic::new("cannot read: the text is not UTF-8").in_file(path);
            found.push(diagnostic.help("save it as UTF-8"));
            None
        }
        Err(error) => {
            found.push(Diagnostic::new(format!("cannot read: {error}")).in_file(path));
            None
        }
    }
}
