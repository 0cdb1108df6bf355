//! Plans a publish: the intent, from what was staged and what was published before.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::base::run_ids::IntervalId;
use crate::commit::attempt::Attempt;
use crate::commit::distcp::plan_copy;
use crate::commit::documents::{
    Intent, Manifest, ManifestFile, ManifestTable, PreviousManifest, TableIntent,
};
use crate::commit::layout::is_same_location;
use crate::commit::pipeline_state::LISTING;
use crate::commit::publish_request::{PublishRequest, StagedTable};
use crate::commit::state::{Document, VERSION};
use crate::commit::table_root::check_path;
use crate::sink::WrittenFile;

/// Plans a publish that replaces the files of `replaced` intervals and of its own interval's
/// `earlier` publish.
pub(super) fn plan_publish(
    attempt: &Attempt,
    request: &PublishRequest,
    earlier: Option<&Document>,
    replaced: Vec<IntervalId>,
) -> Result<Intent> {
    let Attempt { commit, key, .. } = attempt;
    let mut earlier_tables: Vec<ManifestTable> = Vec::new();
    for interval in &replaced {
        let manifest = commit.read_manifest(interval)?;
        earlier_tables.extend(manifest.into_iter().flat_map(|manifest| manifest.tables));
    }
    let mut previous = None;
    if let Some(document) = earlier {
        let manifest: Manifest = document.parse()?;
        let sha256 = hex::encode(Sha256::digest(&document.bytes));
        previous = Some(PreviousManifest { attempt: manifest.attempt, sha256 });
        earlier_tables.extend(manifest.tables);
    }
    let mut tables = Vec::new();
    let mut table_intents = Vec::new();
    for staged in &request.tables {
        let (table, intent) = plan_table(attempt, staged, &earlier_tables)?;
        tables.push(table);
        table_intents.push(intent);
    }
    let roots: Vec<StoreLocation> =
        request.tables.iter().map(|table| table.location.clone()).collect();
    let mut elsewhere = Vec::new();
    for table in earlier_tables {
        let root = StoreLocation::parse(&table.root)?;
        if !roots.iter().any(|own| is_same_location(own, &root)) {
            elsewhere.push(table);
        }
    }
    tables.extend(merge_by_root(elsewhere.into_iter()));
    Ok(Intent {
        version: VERSION,
        manifest: Manifest {
            version: VERSION,
            pipeline: commit.pipeline.clone(),
            interval: key.interval.clone(),
            interval_start: request.interval_start.clone(),
            interval_end: request.interval_end.clone(),
            attempt: key.attempt.clone(),
            published_at: request.published_at.clone(),
            previous,
            provenance: request.provenance.clone(),
            inputs: request.inputs.clone(),
            replaced_intervals: replaced,
            tables,
            counts: Some(request.counts.clone()),
        },
        tables: table_intents,
        pending: Vec::new(),
        folder: Some(request.folder.clone()),
    })
}

fn plan_table(
    Attempt { commit, key, .. }: &Attempt,
    staged: &StagedTable,
    earlier: &[ManifestTable],
) -> Result<(ManifestTable, TableIntent)> {
    let root = staged.location.absolute();
    let mut files: Vec<ManifestFile> = staged.files.iter().map(manifest_file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let uploads = staged.files.iter();
    let uploads = uploads.filter_map(|file| Some((file.path(), file.upload.clone()?))).collect();
    let partitions: BTreeSet<&String> = staged.files.iter().map(|file| &file.hive_path).collect();
    let partitions = partitions.into_iter().filter(|path| !path.is_empty()).cloned().collect();
    let mut removed = BTreeSet::new();
    for table in earlier {
        if is_same_location(&StoreLocation::parse(&table.root)?, &staged.location) {
            removed.extend(table.files.iter().map(|file| file.path.clone()));
        }
    }
    // Before the intent is written: after that, there is only forward.
    let all = removed.iter().chain(files.iter().map(|file| &file.path));
    all.into_iter().try_for_each(|path| check_path(&root, path))?;

    let listing = commit.table_document(&key.interval, &staged.output, &staged.format, LISTING);
    let listing = StoreLocation::parse(&commit.state.display_of(&listing))?;
    let environment = commit.context.stores.environment();
    let listing = listing.hadoop_url(environment);
    let copied = files.iter().map(|file| file.path.as_str());
    let (distcp, listing) = plan_copy(&staged.location.hadoop_url(environment), copied, &listing);
    let table = ManifestTable {
        output: staged.output.clone(),
        format: staged.format.clone(),
        root,
        columns: staged.columns.clone(),
        partition_by: staged.partition_by.clone(),
        timestamps: staged.timestamps.clone(),
        partitions,
        files,
        removed: removed.into_iter().collect(),
        distcp,
    };
    let StagedTable { ddl, add_columns, .. } = staged.clone();
    Ok((table, TableIntent { ddl, add_columns, listing, uploads }))
}

fn manifest_file(file: &WrittenFile) -> ManifestFile {
    let WrittenFile { rows, bytes, sha256, .. } = file.clone();
    ManifestFile { path: file.path(), rows, bytes, sha256 }
}

/// One entry a root: an interval takes over the files of those that it replaced.
fn merge_by_root(tables: impl Iterator<Item = ManifestTable>) -> Vec<ManifestTable> {
    let mut merged: Vec<ManifestTable> = Vec::new();
    for table in tables {
        match merged.iter_mut().find(|known| known.root == table.root) {
            None => merged.push(table),
            Some(known) => {
                known.files.extend(table.files);
                known.files.sort_by(|a, b| a.path.cmp(&b.path));
                known.partitions.extend(table.partitions);
                known.partitions.sort();
                known.partitions.dedup();
            }
        }
    }
    merged
}
