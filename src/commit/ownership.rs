//! Whose tables and states are: two pipelines must not write to one location.
//!
//! | at a root is | and the state knows the root | it is not known yet |
//! |---|---|---|
//! | nothing | fine: its files were removed | fine: the first publish |
//! | files, or a marker of this pipeline | fine | refused: nobody knows what a rerun must replace |
//! | the marker of another pipeline | refused | refused |
//!
//! A state is that of the folder which published last. Another folder of the same name is taken for
//! the same pipeline, moved, if it writes to one of its tables, and for another pipeline if not.

use std::path::{Path, PathBuf};

use crate::base::error::{Diagnostic, Error, Result};
use crate::base::fs::names_in;
use crate::base::location::StoreLocation;
use crate::commit::attempt::Attempt;
use crate::commit::context::CommitContext;
use crate::commit::documents::Head;
use crate::commit::head::ReadHead;
use crate::commit::layout::is_same_location;
use crate::commit::pipeline_state::Commit;
use crate::commit::publish_request::StagedTable;
use crate::sink::{SUCCESS, table_folder};

/// A table that a pipeline means to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTable {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The table's root.
    pub root: StoreLocation,
}

impl OwnTable {
    pub(super) fn of(staged: &StagedTable) -> Self {
        let StagedTable { output, format, location, .. } = staged.clone();
        OwnTable { output, format, root: location }
    }

    /// How to call it in a message.
    pub(super) fn label(&self) -> String {
        format!("output `{}`, {}", self.output, self.format)
    }

    /// Its name in the state, `<output>.<format>`.
    pub fn name(&self) -> String {
        table_folder(&self.output, &self.format)
    }
}

impl Attempt {
    /// Refuses to write to tables of others.
    ///
    /// # Errors
    /// `Error::Config` with all that was found.
    pub fn check_roots(&self, tables: &[OwnTable]) -> Result<()> {
        check_roots(&self.commit, tables)
    }

    /// Refuses to publish with the state of another pipeline.
    ///
    /// # Errors
    /// `Error::Config` if it is one.
    pub fn check_state(&self, tables: &[OwnTable], folder: &Path) -> Result<()> {
        let head = ReadHead::of(&self.commit)?.head;
        let Commit { state, pipeline, .. } = &self.commit;
        match other_folder(&head, tables, folder)? {
            None => Ok(()),
            Some(other) => Err(Error::config(format!(
                "the state {} is of the pipeline in {other}, and the one in {} writes to none of \
                 its tables: two pipelines named `{}` must not share a state; give one of them a \
                 `name` of its own in pipeline.toml, or another `[state]`; if it is the same \
                 pipeline in another folder, run `ashiato adopt {}`",
                state.display_of(pipeline),
                folder.display(),
                pipeline,
                folder.display(),
            ))),
        }
    }
}

/// The folder that published with this state, if it is another pipeline's.
fn other_folder(head: &Head, tables: &[OwnTable], folder: &Path) -> Result<Option<String>> {
    let Some(other) = head.folder.as_ref().filter(|other| Path::new(other) != folder) else {
        return Ok(None);
    };
    for (_, known) in head.all_tables() {
        let Some(root) = known.root()? else { return Ok(None) };
        if tables.iter().any(|table| is_same_location(&table.root, &root)) {
            return Ok(None);
        }
    }
    Ok(Some(other.clone()))
}

/// Refuses roots that hold what the pipeline's state knows nothing of.
pub(super) fn check_roots(commit: &Commit, tables: &[OwnTable]) -> Result<()> {
    let Commit { context, state, pipeline } = commit;
    let mut found = Vec::new();
    for table in tables {
        found.push(RootContents::of(context, &table.root)?);
    }
    // After the look at the roots: what a publish of the same pipeline has put there is known now.
    let head = ReadHead::of(commit)?.head;
    if head.publishing.is_some() {
        return Ok(());
    }
    let mut problems = Vec::new();
    for (table, contents) in tables.iter().zip(found) {
        let is_known = is_known(&head, table)?;
        let other = contents.pipeline.as_deref().filter(|other| other != pipeline);
        let what = match (&contents.first, other) {
            (_, Some(other)) => format!("its {SUCCESS} says that pipeline `{other}` publishes it"),
            (Some(first), None) if !is_known => format!(
                "it holds {first}, and no manifest of pipeline `{pipeline}` in {} says what is \
                 there",
                state.display_of(&commit.manifests_folder()),
            ),
            _ => continue,
        };
        let from = other.map_or(String::new(), |other| format!(" --from {other}"));
        problems.push(Diagnostic::new(format!(
            "{}: its location {} is not this pipeline's: {what}; rows would be twice, and no rerun \
             could replace them; if the pipeline was renamed or has another state now, `ashiato \
             adopt PIPELINE_DIR{from}` takes the table over (`--from NAME`, `--from-state \
             LOCATION`); else move the files away, or write to another `location`",
            table.label(),
            table.root,
        )));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
}

/// Whether the state knows a table's root.
fn is_known(head: &Head, table: &OwnTable) -> Result<bool> {
    for (name, known) in head.all_tables() {
        let is_same = match known.root()? {
            Some(root) => is_same_location(&root, &table.root),
            None => name == table.name(),
        };
        if is_same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a root holds.
#[derive(Debug, Default)]
pub(super) struct RootContents {
    /// A file or folder with files; `.` in front hides it from all readers, and from this.
    first: Option<String>,
    /// The pipeline that the marker names.
    pub(super) pipeline: Option<String>,
}

impl RootContents {
    pub(super) fn of(context: &CommitContext, root: &StoreLocation) -> Result<Self> {
        let first = match root.local_path() {
            Some(path) => first_file(&path, &PathBuf::new())?,
            None => {
                let names = context.open(root)?.names_in("")?;
                // A store's own marker of a folder has the folder's name.
                let own = root.to_string();
                let own = own.rsplit('/').next().unwrap_or_default().to_owned();
                names.into_iter().find(|name| !name.starts_with('.') && *name != own)
            }
        };
        let Some(first) = first else { return Ok(RootContents::default()) };
        let marker = context.open(root)?.get(SUCCESS)?;
        let marker = marker.map(|found| serde_json::from_slice(&found.bytes).unwrap_or_default());
        let pipeline = marker
            .and_then(|marker: serde_json::Value| marker["pipeline"].as_str().map(str::to_owned));
        Ok(RootContents { first: Some(first), pipeline })
    }
}

/// The first file below a folder, by name; files below hidden folders do not count.
fn first_file(root: &Path, below: &Path) -> Result<Option<String>> {
    let folder = root.join(below);
    if !folder.is_dir() {
        return Ok(None);
    }
    for name in names_in(&folder)?.into_iter().filter(|name| !name.starts_with('.')) {
        let path = below.join(&name);
        let found = match root.join(&path).is_dir() {
            true => first_file(root, &path)?,
            false => Some(path.display().to_string()),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
