//! Bringing an interval to another cluster with DistCp, so that it has the manifest's files and
//! none of those that they replaced.
//!
//! ```text
//! hadoop fs -rm -f hdfs://nn/t/events/_SUCCESS             readers know that it is changing
//! hadoop fs -mkdir -p hdfs://nn/t/events
//! hadoop distcp -f file:///…/distcp-listing.txt hdfs://nn/t/events
//! hadoop fs -cat file:///…/removed-files.txt | xargs -d '\n' -r hadoop fs -rm -f
//! hadoop fs -cp -f file:///out/events/_SUCCESS hdfs://nn/t/events/_SUCCESS
//! ```
//!
//! Files that are there already are skipped by their names, which is safe as no name is ever used
//! for other bytes. What is removed are the files of all earlier publishes of the interval, not
//! only of the last: nobody knows which of them were copied.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::commit::distcp::{DistCpForm, plan_copy, quoted};
use crate::commit::history::publishes_of;
use crate::commit::manifest::{Manifest, ManifestTable, read_manifest};
use crate::commit::state::State;
use crate::commit::supplies::CommitSupplies;
use crate::error::{Error, Result};
use crate::store::StoreLocation;
use crate::store::paths::{RunPaths, SUCCESS};

/// How to bring one table's files of an interval elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandOff {
    /// The output's name.
    pub output: String,
    /// The format's name.
    pub format: String,
    /// The folder that gets the table.
    pub target: String,
    /// The copy listing as Hadoop names it; none if there is nothing to copy.
    pub listing: Option<String>,
    /// What its lines are.
    pub form: DistCpForm,
    /// The list of files that must not be at the target, as Hadoop names it, if there are any.
    pub removal: Option<String>,
    /// How many files the interval has.
    pub files: usize,
    /// How many files must not be at the target.
    pub removed_files: usize,
    /// The commands, in their order; each must succeed before the next.
    pub commands: Vec<String>,
}

/// Writes the lists for a copy of an interval's tables below `target`, and says how to use them.
///
/// A table goes to `<target>/<output>`, or to `<target>/<output>/<format>` if the output has
/// several formats.
///
/// # Errors
/// `Error::Usage` if the interval is not published.
pub fn hand_off(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    target: &str,
) -> Result<Vec<HandOff>> {
    let manifest = read_manifest(state, paths)?.ok_or_else(|| not_published(state, paths))?;
    let past = past_files(state, paths, &manifest)?;
    let tables = manifest.tables.iter();
    tables
        .map(|table| hand_off_table(supplies, state, paths, (&manifest, table), target, &past))
        .collect()
}

/// An interval that is not published, as an error.
pub(super) fn not_published(state: &State, paths: &RunPaths) -> Error {
    Error::Usage(format!(
        "interval {} of pipeline `{}` is not published: expected {}; run it first, or ask `ashiato \
         runs` what is",
        paths.interval,
        paths.pipeline,
        state.display_of(&paths.manifest()),
    ))
}

/// The folder of a table below the target of a hand-off.
pub(super) fn folder_at(target: &str, manifest: &Manifest, table: &ManifestTable) -> String {
    let formats = manifest.tables.iter().filter(|other| other.output == table.output).count();
    let target = target.trim_end_matches('/');
    match formats {
        1 => format!("{target}/{}", table.output),
        _ => format!("{target}/{}/{}", table.output, table.format),
    }
}

/// Files of earlier publishes of the interval, and of intervals that it replaced: root and path.
pub(super) fn past_files(
    state: &State,
    paths: &RunPaths,
    manifest: &Manifest,
) -> Result<BTreeSet<(String, String)>> {
    let mut past = Vec::new();
    let mut replaced = BTreeSet::new();
    let mut intervals = vec![paths.interval.clone()];
    while let Some(interval) = intervals.pop() {
        if !replaced.insert(interval.clone()) {
            continue;
        }
        for publish in publishes_of(state, &paths.of_interval(&interval))? {
            intervals.extend(publish.manifest.replaced_intervals.iter().cloned());
            past.extend(publish.manifest.tables);
        }
    }
    let files = |tables: &[ManifestTable]| -> BTreeSet<(String, String)> {
        let of = |table: &ManifestTable| {
            let own = table.files.iter().map(|file| &file.path).chain(&table.removed);
            own.map(|path| (table.root.clone(), path.clone())).collect::<Vec<_>>()
        };
        tables.iter().flat_map(of).collect()
    };
    let now = manifest
        .tables
        .iter()
        .flat_map(|table| table.files.iter().map(|file| (table.root.clone(), file.path.clone())));
    let now: BTreeSet<_> = now.collect();
    Ok(files(&past).into_iter().filter(|file| !now.contains(file)).collect())
}

fn hand_off_table(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    (manifest, table): (&Manifest, &ManifestTable),
    target: &str,
    past: &BTreeSet<(String, String)>,
) -> Result<HandOff> {
    let environment = supplies.stores.environment();
    let target = folder_at(target, manifest, table);
    let root = StoreLocation::parse(&table.root)?.hadoop_url(environment);
    let url_of = |name: &str| -> Result<(String, String)> {
        let document = paths.beside_manifest(&table.output, &table.format, name);
        let place = StoreLocation::parse(&state.display_of(&document))?;
        Ok((document, place.hadoop_url(environment)))
    };
    let (document, url) = url_of(RunPaths::LISTING)?;
    let copied = table.files.iter().map(|file| file.path.as_str());
    let (distcp, lines) = plan_copy(&root, copied, &url);
    if let Some(lines) = &lines {
        state.put(&document, lines.as_bytes())?;
    }
    let removed: Vec<&str> = past
        .iter()
        .filter(|(root, _)| *root == table.root)
        .map(|(_, path)| path.as_str())
        .collect();
    let (document, removal) = url_of(RunPaths::REMOVAL)?;
    let lines_of_removal: String =
        removed.iter().map(|path| format!("{target}/{path}\n")).collect();
    if !removed.is_empty() {
        state.put(&document, lines_of_removal.as_bytes())?;
    }
    let marker = format!("{target}/{SUCCESS}");
    let mut commands = vec![
        format!("hadoop fs -rm -f {}", quoted(&marker)),
        format!("hadoop fs -mkdir -p {}", quoted(&target)),
    ];
    if lines.is_some() {
        let update = if distcp.form == DistCpForm::Root { "-update " } else { "" };
        commands.push(format!("hadoop distcp {update}-f {} {}", quoted(&url), quoted(&target)));
    }
    if !removed.is_empty() {
        let xargs = r"xargs -d '\n' -r -n 200 hadoop fs -rm -f";
        commands.push(format!("hadoop fs -cat {} | {xargs}", quoted(&removal)));
    }
    let source = format!("{root}/{SUCCESS}");
    commands.push(format!("hadoop fs -cp -f {} {}", quoted(&source), quoted(&marker)));
    Ok(HandOff {
        output: table.output.clone(),
        format: table.format.clone(),
        target,
        listing: lines.map(|_| url),
        form: distcp.form,
        removal: (!removed.is_empty()).then_some(removal),
        files: table.files.len(),
        removed_files: removed.len(),
        commands,
    })
}
