//! Keeps account of a scan: every reject to the quarantine, every line in a tally.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use super::context::RunContext;
use super::plan::RunPlan;
use super::report::{UNREADABLE_NAMED_MAX, UnreadableSource};
use crate::base::error::{Error, Result};
use crate::base::telemetry::Progress;
use crate::decode::{DroppedItem, Mended, Reject, RejectReason, count_mended, count_unknown_field};
use crate::quarantine::{QuarantineRecord, QuarantineSender, Thresholds};
use crate::scan::{ObjectTally, ScanObserver, UnreadableObject};
use crate::scan::{SourceObject, Unreadable};

/// Keeps account of one run's scan.
#[derive(Debug)]
pub(super) struct RunObserver {
    quarantine: QuarantineSender,
    progress: Arc<Progress>,
    thresholds: Thresholds,
    rejected: AtomicU64,
    account: Mutex<Account>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By the object's path, as two non-canonical names may look the same.
    pub tallies: BTreeMap<String, ObjectTally>,
    pub rejects_by_reason: BTreeMap<RejectReason, u64>,
    pub unknown_fields: BTreeMap<String, u64>,
    pub mended: Mended,
    /// Objects whose stream breaks off or is not what its checksum says.
    pub damaged: BTreeSet<String>,
    /// Objects of which nothing could be read, the first of them by name.
    pub unreadable: Vec<UnreadableSource>,
    /// How many they are.
    pub unreadable_objects: u64,
    /// Of objects that were not read to their end; only failed runs have such.
    pub cut_short: Vec<ObjectTally>,
}

impl RunObserver {
    pub fn new(plan: &RunPlan, context: &RunContext, quarantine: QuarantineSender) -> Self {
        RunObserver {
            quarantine,
            progress: Arc::clone(&context.progress),
            thresholds: plan.thresholds(),
            rejected: AtomicU64::new(0),
            account: Mutex::default(),
        }
    }

    /// What was seen so far.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ScanObserver for RunObserver {
    fn reject(&self, object: &SourceObject, reject: Reject) -> Result<()> {
        *self.account().rejects_by_reason.entry(reject.reason).or_default() += 1;
        if reject.reason == RejectReason::DamagedStream {
            tracing::warn!(
                object = object.location,
                line = reject.line,
                found = reject.found,
                "the object is damaged; the lines before the damage are kept",
            );
            self.account().damaged.insert(object.location.clone());
        }
        let rejected = self.rejected.fetch_add(1, Relaxed) + 1;
        self.quarantine.blocking_send(QuarantineRecord::of_line(&object.location, reject))?;
        match self.thresholds.check_early(rejected) {
            Some(breach) => Err(Error::Data(format!(
                "{breach}, the last in {}; nothing was published",
                object.location
            ))),
            None => Ok(()),
        }
    }

    fn item_dropped(&self, object: &SourceObject, dropped: DroppedItem) -> Result<()> {
        self.quarantine.blocking_send(QuarantineRecord::of_item(&object.location, dropped))
    }

    fn mended(&self, mended: &Mended) {
        let mut account = self.account();
        for (column, kinds) in mended {
            for (kind, times) in kinds {
                count_mended(&mut account.mended, column, *kind, *times);
            }
        }
    }

    fn progress(&self, rows: u64, compressed_bytes: u64) {
        self.progress.add(rows, compressed_bytes);
    }

    fn object_unreadable(&self, object: &SourceObject, unreadable: UnreadableObject) -> Result<()> {
        let UnreadableObject { unreadable: Unreadable { format, reason }, raw, bytes_omitted } =
            unreadable;
        tracing::warn!(object = object.location, reason, "nothing of the object can be read");
        let record = QuarantineRecord::of_object(&object.location, &reason, &raw, bytes_omitted);
        self.quarantine.blocking_send(record)?;
        self.progress.add_object();
        let mut account = self.account();
        account.unreadable_objects += 1;
        if account.unreadable.len() < UNREADABLE_NAMED_MAX {
            let object = object.location.clone();
            account.unreadable.push(UnreadableSource { object, format, reason });
        }
        Ok(())
    }

    fn object_cut_short(&self, tally: ObjectTally) {
        self.account().cut_short.push(tally);
    }

    fn object_done(
        &self,
        object: &SourceObject,
        tally: ObjectTally,
        unknown_fields: BTreeMap<String, u64>,
    ) {
        self.progress.add_object();
        let mut account = self.account();
        account.tallies.insert(object.path.to_string(), tally);
        for (path, count) in unknown_fields {
            count_unknown_field(&mut account.unknown_fields, &path, count);
        }
    }
}
