//! What is there, near to what was looked for and is not.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use crate::store::Store;
use crate::store::noncanonical_names::text_of_path;

/// Names that are looked at in one listing.
const NAMES_MAX: usize = 1000;

/// Names that are told.
const TOLD_MAX: usize = 3;

/// The names nearest to one that is not there, next to it or, if there is no such folder, to a
/// folder of it. A few requests, and none of their failures matters: this is advice.
pub(crate) async fn nearest_names(store: &Store, wanted: &str) -> Vec<String> {
    let mut wanted = wanted.trim_end_matches('/');
    while !wanted.is_empty() {
        let folder = wanted.rsplit_once('/').map_or("", |(folder, _)| folder);
        let found = names_beside(store, folder, wanted).await;
        if !found.is_empty() {
            let mut names: Vec<(f64, String)> = found
                .into_iter()
                .map(|name| (strsim::normalized_levenshtein(&name, wanted), name))
                .collect();
            names.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            return names.into_iter().take(TOLD_MAX).map(|(_, name)| name).collect();
        }
        wanted = folder;
    }
    Vec::new()
}

/// Some names in a folder, below the location: the first, and those around the one wanted.
async fn names_beside(store: &Store, folder: &str, wanted: &str) -> BTreeSet<String> {
    let path_of = |name: &str| {
        let joined = format!("{}/{name}", store.prefix);
        Path::parse(joined.trim_matches('/')).unwrap_or_default()
    };
    let parent = path_of(folder);
    let mut paths = Vec::new();
    if store.local.is_some() {
        if let Ok(listed) = store.store.list_with_delimiter(Some(&parent)).await {
            paths.extend(listed.common_prefixes);
            paths.extend(listed.objects.into_iter().map(|object| object.location));
        }
    } else {
        let name = &wanted[folder.len()..];
        let half = name.char_indices().nth(name.chars().count() / 2).map_or(0, |(at, _)| at);
        let begin = path_of(&wanted[..folder.len() + half]);
        for listing in [
            store.store.list(Some(&parent)),
            store.store.list_with_offset(Some(&parent), &begin),
            store.store.list_with_offset(Some(&parent), &path_of(wanted)),
        ] {
            let some = listing.take(NAMES_MAX).map_ok(|object| object.location);
            paths.extend(some.filter_map(|path| async { path.ok() }).collect::<Vec<_>>().await);
        }
    }
    let mut names = BTreeSet::new();
    for path in paths {
        let text = text_of_path(&path);
        let Some(below) = text.strip_prefix(parent.as_ref()) else { continue };
        let below = below.trim_start_matches('/');
        let (name, is_folder) = match below.split_once('/') {
            Some((name, _)) => (name, true),
            None => (below, false),
        };
        if name.is_empty() || name.starts_with(['_', '.']) {
            continue;
        }
        let between = if folder.is_empty() { "" } else { "/" };
        let end = if is_folder { "/" } else { "" };
        names.insert(format!("{folder}{between}{name}{end}"));
    }
    names
}
