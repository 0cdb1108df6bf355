//! Intervals that touch one another, and which of them a publish replaces.
//!
//! ```text
//! published    [------ day ------)
//! the same     [------ day ------)        a rerun: replaces its own files
//! wider     [---------- week ----------)  replaces the day: its files go, its manifest goes
//! narrower        [ hour )                refused: the day's files hold these rows already
//! across              [------ day ------) refused: some rows would be twice, some lost
//! ```

use std::collections::BTreeSet;

use crate::base::error::{Error, Result};
use crate::base::run_ids::IntervalId;
use crate::commit::documents::ManifestInput;
use crate::commit::pipeline_state::Commit;

impl Commit {
    /// The intervals that a publish of `interval` replaces, because they lie inside of it.
    ///
    /// An interval that overlaps it in another way is an `Error::Usage`, as no publish could keep
    /// each row exactly once.
    pub fn check_overlaps(&self, interval: &IntervalId) -> Result<Vec<IntervalId>> {
        let (start, end) = interval
            .bounds()
            .ok_or_else(|| Error::Bug(format!("`{interval}` is not an interval's id")))?;
        let mut replaced = Vec::new();
        for other in self.known_intervals()? {
            let Some((other_start, other_end)) = other.bounds() else { continue };
            let is_apart = other_end <= start || end <= other_start;
            if is_apart || other == *interval {
                continue;
            }
            // One without a manifest published nothing, or was replaced.
            if self.read_manifest(&other)?.is_none() {
                continue;
            }
            if start <= other_start && other_end <= end {
                replaced.push(other);
                continue;
            }
            let is_inside = other_start <= start && end <= other_end;
            let how = if is_inside { "contains" } else { "overlaps" };
            return Err(Error::Usage(format!(
                "publishing interval {interval} of pipeline `{}`: the published interval {other} \
                 {how} it, and its rows would be twice or lost; run {other} again instead, or an \
                 interval that contains both (its manifest is {})",
                self.pipeline,
                self.state.display_of(&self.manifest_name(&other)),
            )));
        }
        Ok(replaced)
    }

    /// Refuses objects whose rows another interval has published, if that interval stays.
    ///
    /// For sources that do not tell intervals apart: one object, a glob, a directory without a
    /// template of time. The next interval would read the same lines again.
    pub fn check_inputs(
        &self,
        interval: &IntervalId,
        inputs: &[ManifestInput],
        replaced: &[IntervalId],
    ) -> Result<()> {
        let own: BTreeSet<&str> = inputs.iter().map(|input| input.location.as_str()).collect();
        for other in self.known_intervals()? {
            if other == *interval || replaced.contains(&other) {
                continue;
            }
            let Some(manifest) = self.read_manifest(&other)? else { continue };
            let twice = manifest.inputs.iter().find(|input| own.contains(input.location.as_str()));
            if let Some(input) = twice {
                return Err(Error::Usage(format!(
                    "publishing interval {interval} of pipeline `{}`: the rows of {} are published \
                     by interval {other} already and would be twice, for every interval reads all \
                     of this source; run {other} again instead, or an interval that contains it, \
                     or give the source a `path` with fields of time (the manifest is {})",
                    self.pipeline,
                    input.location,
                    self.state.display_of(&self.manifest_name(&other)),
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::documents::Manifest;
    use crate::commit::harness::{Harness, key};
    use crate::commit::state::to_json;

    const DAY: &str = "20261121T000000Z-20261122T000000Z";

    fn check(published: &[&str], interval: &str) -> Result<Vec<IntervalId>> {
        let harness = Harness::on_disk();
        let commit = harness.commit();
        for other in published {
            let interval = IntervalId::new(*other);
            let name = commit.manifest_name(&interval);
            let manifest = Manifest { interval, ..Manifest::of_tests() };
            commit.state.put(&name, &to_json(&manifest).unwrap()).unwrap();
        }
        commit.state.put("p/manifests/notes/manifest.json", b"no interval").unwrap();
        commit.check_overlaps(&IntervalId::new(interval))
    }

    #[test]
    fn neighbours_and_reruns_replace_nothing_else() {
        let before = "20261120T000000Z-20261121T000000Z";
        let after = "20261122T000000Z-20261123T000000Z";
        assert_eq!(check(&[before, DAY, after], DAY).unwrap(), Vec::<IntervalId>::new());
        assert_eq!(check(&[], DAY).unwrap(), Vec::<IntervalId>::new());
    }

    #[test]
    fn an_interval_that_was_replaced_is_in_nobodys_way() {
        let harness = Harness::on_disk();
        let commit = harness.commit();
        let hour = IntervalId::new("20261121T000000Z-20261121T010000Z");
        commit.state.put(&commit.past_manifest_name(&key(DAY, "a0")), b"{}").unwrap();
        assert_eq!(commit.check_overlaps(&hour).unwrap(), Vec::<IntervalId>::new());
    }

    #[test]
    fn intervals_inside_the_new_one_are_replaced() {
        let first = "20261121T000000Z-20261121T010000Z";
        let last = "20261121T230000Z-20261122T000000Z";
        assert_eq!(check(&[first, last], DAY).unwrap(), [first, last].map(IntervalId::new));
    }

    #[test]
    fn an_interval_inside_a_published_one_is_refused() {
        let error = check(&[DAY], "20261121T000000Z-20261121T010000Z").unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains(&format!("run {DAY} again")), "{error}");
    }

    #[test]
    fn an_interval_across_a_published_one_is_refused() {
        let error = check(&[DAY], "20261121T120000Z-20261122T120000Z").unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains("overlaps"), "{error}");
        assert!(check(&[DAY], "20261120T120000Z-20261121T000001Z").is_err());
    }
}
