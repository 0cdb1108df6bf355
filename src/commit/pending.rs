//! Pending records: what the tasks of a run have written, for a publish to take.

use serde::de::DeserializeOwned;

use crate::base::error::Result;
use crate::base::run_ids::IntervalId;
use crate::commit::documents::PendingRecord;
use crate::commit::pipeline_state::Commit;

impl Commit {
    /// The newest record of each of these tasks of an interval, none for those that have left none.
    ///
    /// Attempts' ids grow with time, so the newest is the last.
    pub fn newest_pending<T: DeserializeOwned>(
        &self,
        interval: &IntervalId,
        tasks: &[String],
    ) -> Result<Vec<Option<PendingRecord<T>>>> {
        let names = self.pending_names(interval)?;
        let newest = |task: &String| {
            let folder = format!("{}/{task}/", self.interval_pending_folder(interval));
            let newest = names.iter().filter(|name| name.starts_with(&folder)).max();
            newest.map_or(Ok(None), |name| self.state.read_json(name))
        };
        tasks.iter().map(newest).collect()
    }
}
