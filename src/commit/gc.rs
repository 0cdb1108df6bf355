//! Garbage collection: what attempts that died have left, and nobody will need any more.
//!
//! | what | goes if |
//! |---|---|
//! | a pending record, with its uploads and staged files | it is older than the limit |
//! | an upload to a table's root that was never completed | likewise, and its name is one of ours |
//! | an intent | likewise |
//! | a staging folder on disk | its attempt is dead |
//!
//! Whatever a publish that is under way needs stays. A file that is visible is never touched: what
//! a manifest names is completed, so it is no upload, and renamed, so it is not staged.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;

use crate::base::error::Result;
use crate::base::location::StoreLocation;
use crate::base::run_ids::{AttemptId, AttemptKey, IntervalId};
use crate::commit::documents::{Intent, PendingRecord};
use crate::commit::head::ReadHead;
use crate::commit::lock::PublishLock;
use crate::commit::pipeline_state::Commit;
use crate::commit::staging::remove_dead_stagings;
use crate::sink::attempt_of_file;
use crate::store::Upload;

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// Pending records, by their names in the state.
    pub pending_records: Vec<String>,
    /// Uploads, by the full names of the objects that they would have become.
    pub uploads: Vec<String>,
    /// Intents, by their names in the state.
    pub intents: Vec<String>,
    /// Staging folders, as `<interval>/<attempt>`.
    pub staging_folders: Vec<String>,
    /// Folders of this machine into which dead processes of any pipeline have spilled.
    pub spill_folders: Vec<String>,
}

/// What is collected.
#[derive(Debug, Clone)]
pub struct GcRequest {
    /// The roots of all tables.
    pub roots: Vec<StoreLocation>,
    /// The time.
    pub now: DateTime<Utc>,
    /// What is younger than this stays: its attempt may be alive.
    pub age_min: Duration,
    /// Whether to tell only what would go.
    pub is_dry_run: bool,
}

impl Commit {
    /// Removes what dead attempts have left.
    pub fn collect_garbage(&self, request: &GcRequest) -> Result<Garbage> {
        let _publish_lock = PublishLock::acquire(self)?;
        let needed = Needed::of(self)?;
        let mut collection =
            Collection { commit: self, request, needed, found: Garbage::default() };
        collection.collect_pending()?;
        collection.collect_uploads()?;
        collection.collect_intents()?;
        let folders = remove_dead_stagings(self, request.is_dry_run)?;
        let staging_folders = folders.iter().map(ToString::to_string).collect();
        Ok(Garbage { staging_folders, ..collection.found })
    }
}

/// What the publish that is under way needs.
#[derive(Debug, Default)]
struct Needed {
    /// Uploads, by their ids.
    uploads: BTreeSet<String>,
    /// Pending records, by their names; with them go staging folders.
    records: Vec<String>,
}

impl Needed {
    fn of(commit: &Commit) -> Result<Self> {
        let Some(publishing) = ReadHead::of(commit)?.head.publishing else {
            return Ok(Needed::default());
        };
        let name = commit.intent_name(&publishing);
        let Some(intent) = commit.state.read_json::<Intent>(&name)? else {
            return Ok(Needed::default());
        };
        let uploads = intent.tables.into_iter().flat_map(|table| table.uploads.into_values());
        let uploads = uploads.map(|upload| upload.id).collect();
        Ok(Needed { uploads, records: intent.pending })
    }
}

/// A collection that is under way.
struct Collection<'c> {
    commit: &'c Commit,
    request: &'c GcRequest,
    needed: Needed,
    found: Garbage,
}

impl Collection<'_> {
    fn is_old(&self, attempt: &AttemptId) -> bool {
        attempt.begun_at().is_none_or(|begun| self.is_past(begun))
    }

    fn is_past(&self, begun: DateTime<Utc>) -> bool {
        begun + self.request.age_min < self.request.now
    }

    fn collect_pending(&mut self) -> Result<()> {
        let Commit { state, context, .. } = self.commit;
        for interval in state.names_in(&self.commit.pending_folder())? {
            for name in self.commit.pending_names(&IntervalId::new(interval))? {
                let record: Option<PendingRecord<serde_json::Value>> = state.read_json(&name)?;
                let Some(record) = record else { continue };
                if self.needed.records.contains(&name) || !self.is_old(&record.attempt) {
                    continue;
                }
                if !self.request.is_dry_run {
                    context.abort_uploads(&record.files, |_| true)?;
                    state.remove([name.as_str()])?;
                }
                self.found.pending_records.push(name);
            }
        }
        Ok(())
    }

    fn collect_uploads(&mut self) -> Result<()> {
        for root in self.request.roots.iter().filter(|root| !root.is_local()) {
            let store = self.commit.context.open(root)?;
            let mut old = Vec::new();
            for (name, id, begun) in store.open_uploads()? {
                let file = name.rsplit('/').next().unwrap_or_default();
                let is_ours = attempt_of_file(file).is_some();
                if is_ours && self.is_past(begun) && !self.needed.uploads.contains(&id) {
                    self.found.uploads.push(store.display_of(&name));
                    old.push((name, Upload { id, parts: Vec::new() }));
                }
            }
            if !self.request.is_dry_run {
                store.abort(old.iter().map(|(name, upload)| (name.as_str(), upload)))?;
            }
        }
        Ok(())
    }

    fn collect_intents(&mut self) -> Result<()> {
        let state = &self.commit.state;
        let head = ReadHead::of(self.commit)?;
        let folder = self.commit.intents_folder();
        for interval in state.names_in(&folder)? {
            for name in state.names_in(&format!("{folder}/{interval}"))? {
                let attempt = AttemptId::new(name.trim_end_matches(".json"));
                let key = AttemptKey::new(&IntervalId::new(&interval), &attempt);
                if head.is_publishing(&key) || !self.is_old(&attempt) {
                    continue;
                }
                let name = self.commit.intent_name(&key);
                if !self.request.is_dry_run {
                    state.remove([name.as_str()])?;
                }
                self.found.intents.push(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Attempt;
    use crate::commit::harness::{DAY, Harness, NEXT_DAY, contents, harnesses, with, with_a_past};
    use crate::store::faults::{FaultRates, FaultyStore};

    /// Ids as real attempts have them.
    fn id(number: u64) -> String {
        let time = uuid::Timestamp::from_unix(uuid::NoContext, 1_795_000_000 + number, 0);
        uuid::Uuid::new_v7(time).simple().to_string()
    }

    fn collect(harness: &Harness, hours_later: i64, is_dry_run: bool) -> Garbage {
        let request = GcRequest {
            roots: vec![harness.location("events"), harness.location("sales")],
            now: DateTime::from_timestamp(1_795_000_000, 0).unwrap() + Duration::hours(hours_later),
            age_min: Duration::hours(48),
            is_dry_run,
        };
        harness.commit().collect_garbage(&request).unwrap()
    }

    /// An attempt that writes and dies; its lock, if it has one, is free.
    fn die(harness: &Harness, interval: &str, number: u64) -> Attempt {
        let (attempt, _) = harness.begin(interval, &id(number)).unwrap();
        harness.write(&attempt, &["dt=1", "dt=2"]);
        attempt
    }

    #[test]
    fn what_dead_attempts_left_goes_when_it_is_old_and_a_dry_run_only_tells() {
        for harness in harnesses() {
            let (harness, others) = with_a_past(harness);
            let tables = with(&others, contents("a1", &["dt=1", "dt=2"]));
            drop(die(&harness, DAY, 1));
            if let Some(bucket) = &harness.bucket {
                let now = chrono::Utc::now();
                bucket.age_uploads(now - DateTime::from_timestamp(1_795_000_000, 0).unwrap());
            }
            assert_eq!(collect(&harness, 47, false), Garbage::default(), "too young");
            let told = collect(&harness, 49, true);
            assert_eq!(told.pending_records.len(), 1);
            assert_eq!(harness.files("state/p/pending").len(), 1, "a dry run removes nothing");
            let removed = collect(&harness, 49, false);
            assert_eq!(removed.pending_records, told.pending_records);
            harness.assert_settled();
            assert_eq!(harness.tables(), tables);
            assert_eq!(collect(&harness, 49, false), Garbage::default());
        }
    }

    #[test]
    fn an_upload_that_no_record_knows_is_found_by_its_name_and_age() {
        let (harness, _) = with_a_past(Harness::in_a_bucket(0, FaultRates::default()));
        let attempt = die(&harness, DAY, 1);
        attempt.commit.state.remove([attempt.pending_name().as_str()]).unwrap();
        let bucket = harness.bucket.as_ref().unwrap();
        assert_eq!((collect(&harness, 49, false).uploads.len(), bucket.uploads_left()), (0, 3));
        let now = chrono::Utc::now();
        bucket.age_uploads(now - DateTime::from_timestamp(1_795_000_000, 0).unwrap());
        let found = collect(&harness, 49, true).uploads;
        assert!(found[0].starts_with("s3://lake/events/dt=1/part-00000-"), "{found:?}");
        assert_eq!((collect(&harness, 49, false).uploads, bucket.uploads_left()), (found, 0));
    }

    #[test]
    fn what_a_publish_under_way_needs_stays_however_old_it_is() {
        for harness in harnesses() {
            let (harness, others) = with_a_past(harness);
            let commit = harness.commit_that_ends_before(3);
            let (attempt, _) = harness.begin_with(commit, DAY, &id(1)).unwrap();
            let request = harness.write(&attempt, &["dt=7"]);
            attempt.publish(&request).unwrap_err();
            drop(attempt);
            if let Some(bucket) = &harness.bucket {
                bucket.age_uploads(Duration::days(3000));
            }
            assert_eq!(collect(&harness, 1000, false), Garbage::default());
            harness.begin(NEXT_DAY, "n1").unwrap();
            assert_eq!(harness.tables(), with(&others, contents(&id_of(&harness), &["dt=7"])));
            assert_eq!(harness.bucket.as_ref().map_or(0, FaultyStore::uploads_left), 0);
        }
    }

    fn id_of(harness: &Harness) -> String {
        harness.manifest(DAY).attempt.to_string()
    }
}
