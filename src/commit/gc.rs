//! Housekeeping: what attempts that died have left, and nobody will need any more.
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
use crate::commit::attempt::{lock_publish, remove_dead_stagings};
use crate::commit::head::ReadHead;
use crate::commit::intent::Intent;
use crate::commit::pending::{PendingRecord, pending_names};
use crate::commit::recover::Recovered;
use crate::commit::state::State;
use crate::commit::supplies::CommitSupplies;
use crate::store::Upload;
use crate::store::paths::{RunPaths, attempt_of_file};

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

/// Removes what dead attempts have left.
pub fn collect_garbage(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    request: &GcRequest,
) -> Result<Garbage> {
    let _publish_lock = lock_publish(state, paths)?;
    let needed = Needed::of(state, paths)?;
    let mut garbage = Garbage::default();
    collect_pending(supplies, state, paths, (request, &needed), &mut garbage)?;
    collect_uploads(supplies, (request, &needed), &mut garbage)?;
    collect_intents(state, paths, request, &mut garbage)?;
    let folders = remove_dead_stagings(state, paths, request.is_dry_run)?;
    garbage.staging_folders = folders
        .into_iter()
        .filter_map(|removed| match removed {
            Recovered::StagingRemoved { interval, attempt } => {
                Some(format!("{interval}/{attempt}"))
            }
            _ => None,
        })
        .collect();
    Ok(garbage)
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
    fn of(state: &State, paths: &RunPaths) -> Result<Self> {
        let Some(publishing) = ReadHead::of(state, paths)?.head.publishing else {
            return Ok(Needed::default());
        };
        let (interval, attempt) = (publishing.interval, publishing.attempt);
        let paths = RunPaths { interval, attempt, ..paths.clone() };
        let Some(intent) = state.read_json::<Intent>(&paths.intent())? else {
            return Ok(Needed::default());
        };
        let uploads = intent.tables.into_iter().flat_map(|table| table.uploads.into_values());
        let uploads = uploads.map(|upload| upload.id).collect();
        Ok(Needed { uploads, records: intent.pending })
    }
}

fn is_old(attempt: &str, request: &GcRequest) -> bool {
    begun_at(attempt).is_none_or(|begun| begun + request.age_min < request.now)
}

/// When an attempt began, by its id, which is a UUID of version 7.
fn begun_at(attempt: &str) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = uuid::Uuid::parse_str(attempt).ok()?.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

fn collect_pending(
    supplies: &CommitSupplies,
    state: &State,
    paths: &RunPaths,
    (request, needed): (&GcRequest, &Needed),
    garbage: &mut Garbage,
) -> Result<()> {
    for interval in state.names_in(&paths.all_pending())? {
        for name in pending_names(state, &paths.of_interval(&interval))? {
            let record: Option<PendingRecord<serde_json::Value>> = state.read_json(&name)?;
            let Some(record) = record else { continue };
            if needed.records.contains(&name) || !is_old(&record.attempt, request) {
                continue;
            }
            if !request.is_dry_run {
                supplies.abort_uploads(&record.files, |_| true)?;
                state.remove([name.as_str()])?;
            }
            garbage.pending_records.push(name);
        }
    }
    Ok(())
}

fn collect_uploads(
    supplies: &CommitSupplies,
    (request, needed): (&GcRequest, &Needed),
    garbage: &mut Garbage,
) -> Result<()> {
    for root in request.roots.iter().filter(|root| !root.is_local()) {
        let store = supplies.open(root)?;
        let mut old = Vec::new();
        for (name, id, begun) in store.open_uploads()? {
            let file = name.rsplit('/').next().unwrap_or_default();
            let is_ours = attempt_of_file(file).is_some();
            if is_ours && begun + request.age_min < request.now && !needed.uploads.contains(&id) {
                garbage.uploads.push(store.display_of(&name));
                old.push((name, Upload { id, parts: Vec::new() }));
            }
        }
        if !request.is_dry_run {
            store.abort(old.iter().map(|(name, upload)| (name.as_str(), upload)))?;
        }
    }
    Ok(())
}

fn collect_intents(
    state: &State,
    paths: &RunPaths,
    request: &GcRequest,
    garbage: &mut Garbage,
) -> Result<()> {
    let head = ReadHead::of(state, paths)?;
    for interval in state.names_in(&paths.intents())? {
        let folder = format!("{}/{interval}", paths.intents());
        for name in state.names_in(&folder)? {
            let attempt = name.trim_end_matches(".json").to_owned();
            let of_intent = RunPaths { attempt: attempt.clone(), ..paths.of_interval(&interval) };
            if head.is_publishing(&of_intent) || !is_old(&attempt, request) {
                continue;
            }
            let name = of_intent.intent();
            if !request.is_dry_run {
                state.remove([name.as_str()])?;
            }
            garbage.intents.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Attempt;
    use crate::commit::house::{DAY, House, NEXT_DAY, contents, houses, with, with_a_past};
    use crate::commit::publish::publish_run;
    use crate::store::faults::{FaultRates, FaultyStore};

    /// Ids as real attempts have them.
    fn id(number: u64) -> String {
        let time = uuid::Timestamp::from_unix(uuid::NoContext, 1_795_000_000 + number, 0);
        uuid::Uuid::new_v7(time).simple().to_string()
    }

    fn collect(house: &House, hours_later: i64, is_dry_run: bool) -> Garbage {
        let request = GcRequest {
            roots: vec![house.place("events"), house.place("sales")],
            now: DateTime::from_timestamp(1_795_000_000, 0).unwrap() + Duration::hours(hours_later),
            age_min: Duration::hours(48),
            is_dry_run,
        };
        let paths = crate::commit::house::paths("", "");
        collect_garbage(&house.supplies(), &house.state(), &paths, &request).unwrap()
    }

    /// An attempt that writes and dies; its lock, if it has one, is free.
    fn die(house: &House, interval: &str, number: u64) -> Attempt {
        let (attempt, _) = house.begin(interval, &id(number)).unwrap();
        house.write(&attempt, &["dt=1", "dt=2"]);
        attempt
    }

    #[test]
    fn what_dead_attempts_left_goes_when_it_is_old_and_a_dry_run_only_tells() {
        for house in houses() {
            let (house, others) = with_a_past(house);
            let tables = with(&others, contents("a1", &["dt=1", "dt=2"]));
            drop(die(&house, DAY, 1));
            if let Some(bucket) = &house.bucket {
                let now = chrono::Utc::now();
                bucket.age_uploads(now - DateTime::from_timestamp(1_795_000_000, 0).unwrap());
            }
            assert_eq!(collect(&house, 47, false), Garbage::default(), "too young");
            let told = collect(&house, 49, true);
            assert_eq!(told.pending_records.len(), 1);
            assert_eq!(house.files("state/p/pending").len(), 1, "a dry run removes nothing");
            let removed = collect(&house, 49, false);
            assert_eq!(removed.pending_records, told.pending_records);
            house.assert_settled();
            assert_eq!(house.tables(), tables);
            assert_eq!(collect(&house, 49, false), Garbage::default());
        }
    }

    #[test]
    fn an_upload_that_no_record_knows_is_found_by_its_name_and_age() {
        let (house, _) = with_a_past(House::in_a_bucket(0, FaultRates::default()));
        let attempt = die(&house, DAY, 1);
        let record = attempt.paths().pending_record("0-of-1");
        attempt.state().remove([record.as_str()]).unwrap();
        let bucket = house.bucket.as_ref().unwrap();
        assert_eq!((collect(&house, 49, false).uploads.len(), bucket.uploads_left()), (0, 3));
        let now = chrono::Utc::now();
        bucket.age_uploads(now - DateTime::from_timestamp(1_795_000_000, 0).unwrap());
        let found = collect(&house, 49, true).uploads;
        assert!(found[0].starts_with("s3://lake/events/dt=1/part-00000-"), "{found:?}");
        assert_eq!((collect(&house, 49, false).uploads, bucket.uploads_left()), (found, 0));
    }

    #[test]
    fn what_a_publish_under_way_needs_stays_however_old_it_is() {
        for house in houses() {
            let (house, others) = with_a_past(house);
            let supplies = house.supplies_that_end_before(3);
            let (attempt, _) = house.begin_with(supplies, DAY, &id(1)).unwrap();
            let request = house.write(&attempt, &["dt=7"]);
            publish_run(&attempt, &request).unwrap_err();
            drop(attempt);
            if let Some(bucket) = &house.bucket {
                bucket.age_uploads(Duration::days(3000));
            }
            assert_eq!(collect(&house, 1000, false), Garbage::default());
            house.begin(NEXT_DAY, "n1").unwrap();
            assert_eq!(house.tables(), with(&others, contents(&id_of(&house), &["dt=7"])));
            assert_eq!(house.bucket.as_ref().map_or(0, FaultyStore::uploads_left), 0);
        }
    }

    fn id_of(house: &House) -> String {
        house.manifest(DAY).attempt
    }
}
