//! Intervals that touch one another.
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
use crate::commit::manifest::{ManifestInput, bounds, known_intervals, read_manifest};
use crate::commit::state::State;
use crate::store::paths::RunPaths;

/// The intervals that a publish of `paths.interval` replaces, because they lie inside of it.
///
/// An interval that overlaps it in another way is an `Error::Usage`, as no publish could keep each
/// row exactly once. Interval ids are `20261121T000000Z-20261122T000000Z`.
pub fn check_overlaps(state: &State, paths: &RunPaths) -> Result<Vec<String>> {
    let (start, end) = bounds(&paths.interval)
        .ok_or_else(|| Error::Bug(format!("`{}` is not an interval's id", paths.interval)))?;
    let mut replaced = Vec::new();
    for other in known_intervals(state, paths)? {
        let Some((other_start, other_end)) = bounds(&other) else { continue };
        let apart = other_end <= start || end <= other_start;
        if apart || other == paths.interval {
            continue;
        }
        // One without a manifest published nothing, or was replaced.
        let of_other = paths.of_interval(&other);
        if read_manifest(state, &of_other)?.is_none() {
            continue;
        }
        if start <= other_start && other_end <= end {
            replaced.push(other);
            continue;
        }
        let inside = other_start <= start && end <= other_end;
        let how = if inside { "contains" } else { "overlaps" };
        return Err(Error::Usage(format!(
            "publishing interval {} of pipeline `{}`: the published interval {other} {how} it, and \
             its rows would be twice or lost; run {other} again instead, or an interval that \
             contains both (its manifest is {})",
            paths.interval,
            paths.pipeline,
            state.display_of(&of_other.manifest()),
        )));
    }
    Ok(replaced)
}

/// Refuses objects whose rows another interval has published, if that interval stays.
///
/// For sources that do not tell intervals apart: one object, a glob, a directory without a template
/// of time. The next interval would read the same lines again.
pub fn check_inputs(
    state: &State,
    paths: &RunPaths,
    inputs: &[ManifestInput],
    replaced: &[String],
) -> Result<()> {
    let own: BTreeSet<&str> = inputs.iter().map(|input| input.location.as_str()).collect();
    for other in known_intervals(state, paths)? {
        if other == paths.interval || replaced.contains(&other) {
            continue;
        }
        let of_other = paths.of_interval(&other);
        let Some(manifest) = read_manifest(state, &of_other)? else { continue };
        let twice = manifest.inputs.iter().find(|input| own.contains(input.location.as_str()));
        if let Some(input) = twice {
            return Err(Error::Usage(format!(
                "publishing interval {} of pipeline `{}`: the rows of {} are published by interval \
                 {other} already and would be twice, for every interval reads all of this source; \
                 run {other} again instead, or an interval that contains it, or give the source a \
                 `path` with fields of time (the manifest is {})",
                paths.interval,
                paths.pipeline,
                input.location,
                state.display_of(&of_other.manifest()),
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::manifest::Manifest;
    use crate::commit::state::to_json;

    const DAY: &str = "20261121T000000Z-20261122T000000Z";

    fn check(published: &[&str], interval: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let state = State::on_disk(folder.path().to_path_buf());
        let paths =
            RunPaths { pipeline: "p".into(), interval: interval.into(), attempt: "a".into() };
        for other in published {
            let manifest = Manifest { interval: (*other).to_owned(), ..Manifest::of_tests() };
            let name = paths.of_interval(other).manifest();
            state.put(&name, &to_json(&manifest).unwrap()).unwrap();
        }
        state.put("p/manifests/notes/manifest.json", b"no interval").unwrap();
        check_overlaps(&state, &paths)
    }

    #[test]
    fn neighbours_and_reruns_replace_nothing_else() {
        let before = "20261120T000000Z-20261121T000000Z";
        let after = "20261122T000000Z-20261123T000000Z";
        assert_eq!(check(&[before, DAY, after], DAY).unwrap(), Vec::<String>::new());
        assert_eq!(check(&[], DAY).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_interval_that_was_replaced_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::on_disk(folder.path().to_path_buf());
        let hour = "20261121T000000Z-20261121T010000Z";
        let paths = RunPaths { pipeline: "p".into(), interval: hour.into(), attempt: "a".into() };
        state.put(&paths.of_interval(DAY).past_manifest("a0"), b"{}").unwrap();
        assert_eq!(check_overlaps(&state, &paths).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn intervals_inside_the_new_one_are_replaced() {
        let first = "20261121T000000Z-20261121T010000Z";
        let last = "20261121T230000Z-20261122T000000Z";
        assert_eq!(check(&[first, last], DAY).unwrap(), [first, last]);
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
