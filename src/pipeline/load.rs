//! Reads a pipeline's folder from disk.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Pipeline, PipelineFiles, resolve_pipeline};
use crate::base::config::ConfigFile;
use crate::base::config::paths::PIPELINE_DIR;
use crate::base::environment::Environment;
use crate::base::error::{Diagnostic, Error, Result};

impl Pipeline {
    /// Reads and resolves the pipeline in `folder`.
    ///
    /// `${PIPELINE_DIR}` in its values is the folder itself; other variables come from
    /// `environment`.
    ///
    /// # Errors
    /// `Error::Config` with everything found wrong.
    pub fn load(folder: &Path, environment: &Environment) -> Result<Self> {
        match read_pipeline(folder, environment) {
            (Some(pipeline), found) if found.is_empty() => Ok(pipeline),
            (_, found) => Err(Error::Config(found)),
        }
    }
}

/// The pipeline as far as it can be told, and all that is wrong with its files.
pub(crate) fn read_pipeline(
    folder: &Path,
    environment: &Environment,
) -> (Option<Pipeline>, Vec<Diagnostic>) {
    let files = match read_files(folder) {
        Ok(files) => files,
        Err(found) => return (None, found),
    };
    let folder_name = folder.to_string_lossy();
    let lookup = |name: &str| match name {
        // The root of the file system has no name without its slash.
        PIPELINE_DIR => Some(folder_name.trim_end_matches('/').to_owned()),
        _ => environment.get(name).map(str::to_owned),
    };
    let (pipeline, mut found) = resolve_pipeline(files, &lookup);
    if let Some(pipeline) = &pipeline {
        found.extend(check_lasting(pipeline, folder, environment));
    }
    (pipeline, found)
}

/// A variable that Airflow sets for the commands of its tasks, which it runs in a temporary
/// directory.
const AIRFLOW_TASK: &str = "AIRFLOW_CTX_DAG_ID";

/// Places that are relative to a working directory that will not last.
fn check_lasting(pipeline: &Pipeline, folder: &Path, environment: &Environment) -> Vec<Diagnostic> {
    if environment.get(AIRFLOW_TASK).is_none() {
        return Vec::new();
    }
    let outputs = pipeline.outputs.iter();
    let tables = outputs.flat_map(|output| {
        let label = format!("output `{}`", output.name);
        output.tables.iter().map(move |table| (label.clone(), table.location.as_str()))
    });
    let others = [("state", &pipeline.state), ("quarantine", &pipeline.quarantine.location)];
    let others = others.map(|(label, place)| (label.to_owned(), place.as_str()));
    let is_lasting = |place: &str| {
        let is_url = place.contains("://");
        is_url || Path::new(place).is_absolute() || folder.is_relative()
    };
    let fleeting = tables.chain(others).filter(|(_, place)| !is_lasting(place));
    fleeting
        .map(|(label, place)| {
            let message = format!(
                "{label}: its location `{place}` is relative to the working directory, which \
                 Airflow removes after the task; set the variable that it begins with to an \
                 absolute path or a URL"
            );
            Diagnostic::new(message).in_file(&pipeline.file.path)
        })
        .collect()
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
