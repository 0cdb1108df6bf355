//! A state folder that an earlier version wrote is taken over as it is.

use std::path::Path;

use serde_json::Value;

use crate::support::{Finished, Project, ROOT, files_below, tsv_lines};

/// What stands in the fixture for the folder that it lies in.
const PLACEHOLDER: &str = "@ROOT@";

/// Published twice by the earlier version, the second time with version 2 of its lines.
const RERUN: [&str; 2] = ["--date", "2026-11-21"];
/// Killed by a power cut while it was published.
const CRASHED: [&str; 2] = ["--date", "2026-11-23"];
/// Two days, of which one was published before on its own.
const WIDE: [&str; 4] =
    ["--interval-start", "2026-11-24T00:00:00Z", "--interval-end", "2026-11-26T00:00:00Z"];

/// A copy of the fixture, whose documents name the folder of the copy.
fn old_state() -> Project {
    let project = Project::new();
    let root = project.path("").display().to_string();
    for (name, bytes) in files_below(&Path::new(ROOT).join("fixtures/old_state")) {
        match String::from_utf8(bytes) {
            Ok(text) => project.write(&name, text.replace(PLACEHOLDER, root.trim_end_matches('/'))),
            Err(binary) => project.write(&name, binary.into_bytes()),
        }
    }
    project
}

fn publishes(project: &Project) -> Vec<Value> {
    let listed = project.ashiato("runs", &["--all", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verify(project: &Project, interval: &[&str]) -> Finished {
    project.ashiato("verify", &[interval, &["--deep"]].concat())
}

fn documents(project: &Project, folder: &str) -> Vec<String> {
    let found = files_below(&project.path(&format!("out/state/shop/{folder}")));
    found.into_keys().collect()
}

#[test]
fn a_state_of_an_earlier_version_is_listed_recovered_verified_rerun_and_collected() {
    let project = old_state();
    let listed = publishes(&project);
    let standings: Vec<&Value> = listed.iter().map(|publish| &publish["standing"]).collect();
    assert_eq!(standings, ["replaced", "current", "replaced", "current"]);
    assert_eq!(listed[1]["previous"]["attempt"], listed[0]["attempt"]);
    assert_eq!(listed[3]["replaced_intervals"][0], listed[2]["interval"]);
    let halfway = verify(&project, &RERUN);
    halfway.fails_with(65, &["_SUCCESS is missing"]);

    // The next attempt, of whatever interval, completes the publish that was killed.
    project.ashiato("run", &[&RERUN[..], &["--force"]].concat()).published();
    assert_eq!(documents(&project, "intents"), Vec::<String>::new());
    for interval in [&RERUN[..], &CRASHED, &WIDE] {
        let verified = verify(&project, interval);
        assert_eq!(verified.code, Some(0), "{verified:#?}");
    }
    let mut expected: Vec<String> = ["1\t1", "2\t1", "3\t1", "4\t1"].map(str::to_owned).to_vec();
    // Of the day that was killed, and of both days of the wide interval.
    expected = [&expected[..], &expected, &expected].concat();
    expected.extend(["1\t2", "2\t2", "3\t2", "4\t2"].map(str::to_owned));
    expected.sort();
    assert_eq!(tsv_lines(&project.path("out/rows")), expected);
    let past = documents(&project, "manifests/20261121T000000Z-20261122T000000Z/history");
    assert_eq!(past.len(), 2, "the earlier version's publishes: {past:?}");

    assert_eq!(documents(&project, "pending").len(), 1, "a shard waits for the others");
    let collected = project.ashiato("gc", &["--older-than", "0"]);
    assert_eq!(collected.code, Some(0), "{collected:#?}");
    let collected = collected.result();
    assert_eq!(collected["pending_records"].as_array().unwrap().len(), 1, "{collected}");
    assert_eq!(collected["staging_folders"].as_array().unwrap().len(), 1, "{collected}");
    for folder in ["pending", "staging"] {
        assert_eq!(documents(&project, folder), Vec::<String>::new());
    }
    assert_eq!(tsv_lines(&project.path("out/rows")), expected);
}
