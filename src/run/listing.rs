//! What a run reads: the objects of its interval.

use super::context::RunContext;
use super::plan::RunPlan;
use crate::base::error::{Error, Result};
use crate::base::interval::Interval;
use crate::base::location::StoreLocation;
use crate::commit::ManifestInput;
use crate::scan::{
    Listing, Skipped, SourceObject, SourceSpec, is_listed_by_time, list_objects, nearest_to,
};
use crate::store::Store;

/// What a run reads.
#[derive(Debug)]
pub(super) struct ListedSource {
    /// Where the objects lie.
    pub store: Store,
    /// They, in the order of their names.
    pub objects: Vec<SourceObject>,
    /// Names that are not read, by the reason.
    pub skipped: Skipped,
    /// Whether another interval would have other ones.
    pub is_by_time: bool,
}

/// Finds the interval's objects.
pub(super) async fn list_source(plan: &RunPlan, context: &RunContext) -> Result<ListedSource> {
    let source = &plan.pipeline.source;
    let store = Store::open(&StoreLocation::parse(&source.location)?, &context.stores)?;
    check_alignment(plan)?;
    let spec = SourceSpec { path: source.path.clone(), glob: source.glob.clone() };
    let listing = list_objects(&store, &spec, &plan.interval, plan.pipeline.time_zone).await?;
    if listing.objects.is_empty() {
        tracing::warn!("{}", nothing_found(&store, &spec, &listing).await);
    }
    let Listing { objects, skipped, .. } = listing;
    let bytes = objects.iter().map(|object| object.size).sum();
    context.progress.set_total(objects.len() as u64, bytes);
    tracing::info!(objects = objects.len(), bytes, location = source.location, "source listed");
    let is_by_time = is_listed_by_time(&store, &spec, &objects);
    Ok(ListedSource { store, objects, skipped, is_by_time })
}

/// Says what was looked for where nothing is, and what is there.
async fn nothing_found(store: &Store, spec: &SourceSpec, listing: &Listing) -> String {
    let mut said = match &listing.looked_at {
        None => format!("no objects at {}", store.display),
        Some((first, _, 1)) => format!("no objects for this interval: looked for {first}"),
        Some((first, last, places)) => {
            format!("no objects for this interval: looked for {first} to {last} ({places} names)")
        }
    };
    if let Some(glob) = &spec.glob {
        said.push_str(&format!(", of them what `{glob}` matches"));
    }
    if !listing.skipped.is_empty() {
        let skipped = listing.skipped.iter().map(|(reason, names)| format!("{reason} {names}"));
        let skipped: Vec<String> = skipped.collect();
        said.push_str(&format!("; skipped: {}", skipped.join(", ")));
    }
    let nearest = nearest_to(store, spec, listing).await;
    if !nearest.is_empty() {
        said.push_str(&format!("; the nearest that exist: {}", nearest.join(", ")));
    }
    said
}

/// An interval must not share a directory of the source with its neighbours: each would read it.
fn check_alignment(plan: &RunPlan) -> Result<()> {
    let (path, zone) = (&plan.pipeline.source.path, plan.pipeline.time_zone);
    let (start, end) = (plan.interval.start(), plan.interval.end());
    let second = chrono::Duration::seconds(1);
    let own = path.expand(&plan.interval, zone)?;
    for (from, to) in [(start - second, start), (end, end + second)] {
        let outside = path.expand(&Interval::new(from, to)?, zone)?;
        if let Some(shared) = outside.iter().find(|prefix| own.contains(prefix))
            && !shared.is_empty()
        {
            return Err(Error::Usage(format!(
                "the interval [{}, {}) holds only a part of the source's directory `{shared}`, \
                 which a neighbouring interval would read again; give bounds that do not cut the \
                 path template's directories (--date, --hour)",
                plan.interval.start_rfc3339(),
                plan.interval.end_rfc3339(),
            )));
        }
    }
    Ok(())
}

/// An object as the manifest names it.
pub(super) fn manifest_input(object: &SourceObject) -> ManifestInput {
    ManifestInput {
        location: object.location.clone(),
        bytes: object.size,
        e_tag: object.e_tag.clone(),
    }
}
