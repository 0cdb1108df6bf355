use std::fs;
use std::path::PathBuf;

use super::*;
use crate::base::environment::Environment;
use crate::commit::distcp::DistCpForm;
use crate::commit::harness::{
    DAY, Harness, NEXT_DAY, Table, contents, harnesses, key, pending_of, with, with_a_past,
};
use crate::store::faults::FaultRates;

#[test]
fn a_publish_puts_files_definitions_listings_manifest_and_markers_in_place() {
    for harness in harnesses() {
        let outcome = harness.publish(DAY, "a1", &["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]).unwrap();
        assert!(matches!(outcome, PublishOutcome::Published { .. }), "{outcome:?}");
        assert_eq!(harness.tables(), contents("a1", &["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]));
        harness.assert_settled();
        let beside = harness.files(&format!("state/p/manifests/{DAY}"));
        assert_eq!(beside["events.parquet/create_table.sql"], "CREATE events;\n");
        let url = |output| harness.location(output).hadoop_url(&Environment::default());
        let listing = format!("{0}/dt=1\n{0}/dt=2\n", url("events"));
        assert_eq!(beside["events.parquet/distcp-listing.txt"], listing);
        let listing = format!("{}/part-00000-a1.tsv\n", url("sales"));
        assert_eq!(beside["sales.tsv/distcp-listing.txt"], listing);

        let manifest = harness.manifest(DAY);
        assert_eq!((manifest.attempt.as_str(), manifest.published_at.as_str()), ("a1", "now"));
        let events = &manifest.tables[0];
        assert_eq!(events.root, harness.location("events").absolute());
        assert_eq!(events.partitions, ["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]);
        assert_eq!(events.files[2].path, "dt=2/s=a/part-00002-a1.parquet");
        assert_eq!((events.files[2].rows, events.files[2].bytes), (7, 18));
        assert_eq!(events.distcp.form, DistCpForm::Folders);
        let command = events.distcp.command.as_ref().unwrap();
        assert!(command.contains("events.parquet/distcp-listing.txt' TARGET"), "{command}");
        assert_eq!(manifest.tables[1].distcp.form, DistCpForm::Files);
    }
}

#[test]
fn the_marker_holds_the_digest_of_the_manifest() {
    for harness in harnesses() {
        harness.publish(DAY, "a1", &["dt=1"]).unwrap();
        let manifest = &harness.files(&format!("state/p/manifests/{DAY}"))["manifest.json"];
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(manifest));
        for output in ["events", "sales"] {
            let marker = &harness.files(output)["_SUCCESS"];
            let marker: serde_json::Value = serde_json::from_str(marker).unwrap();
            assert_eq!(marker["manifest_sha256"], digest);
            assert_eq!((&marker["interval"], &marker["attempt"]), (&DAY.into(), &"a1".into()));
        }
    }
}

#[test]
fn rerun_of_an_interval_replaces_only_its_own_files() {
    for harness in harnesses() {
        harness.publish(DAY, "a1", &["dt=1", "dt=2"]).unwrap();
        harness.publish(NEXT_DAY, "b1", &["dt=2", "dt=3"]).unwrap();
        harness.publish(DAY, "a2", &["dt=2"]).unwrap();
        let expected = with(&contents("a2", &["dt=2"]), contents("b1", &["dt=2", "dt=3"]));
        assert_eq!(harness.tables(), expected);
        let manifest = harness.manifest(DAY);
        let removed = &manifest.tables[0].removed;
        assert_eq!(removed, &["dt=1/part-00000-a1.parquet", "dt=2/part-00001-a1.parquet"]);
        harness.assert_settled();
        // The chain: what was published before can be read, and is what it was.
        let previous = manifest.previous.unwrap();
        assert_eq!(previous.attempt.as_str(), "a1");
        let past = &harness.files(&format!("state/p/manifests/{DAY}/history"))["a1.json"];
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(past));
        assert_eq!(previous.sha256, digest);
    }
}

#[test]
fn files_that_stand_in_no_manifest_are_never_touched() {
    let harness = Harness::on_disk();
    harness.publish(DAY, "a1", &["dt=1"]).unwrap();
    let foreign = harness.folder.path().join("events/dt=1/by-hand.parquet");
    fs::write(&foreign, "by hand").unwrap();
    harness.publish(DAY, "a2", &[]).unwrap();
    assert_eq!(fs::read_to_string(foreign).unwrap(), "by hand");
}

#[test]
fn a_rerun_without_rows_empties_the_interval_and_keeps_the_root() {
    for harness in harnesses() {
        harness.publish(DAY, "a1", &["dt=1/s=a"]).unwrap();
        harness.publish(DAY, "a2", &[]).unwrap();
        assert_eq!(harness.tables(), Table::new());
        harness.assert_settled();
        assert_eq!(harness.manifest(DAY).tables[0].distcp.form, DistCpForm::Nothing);
        let beside = harness.files(&format!("state/p/manifests/{DAY}"));
        assert!(!beside.contains_key("events.parquet/distcp-listing.txt"));
    }
}

#[test]
fn a_second_publish_of_the_same_attempt_does_nothing() {
    for harness in harnesses() {
        let (attempt, _) = harness.begin(DAY, "a1").unwrap();
        let request = harness.write(&attempt, &["dt=1"]);
        let first = attempt.publish(&request).unwrap();
        assert_eq!(attempt.publish(&request).unwrap(), first);
        assert_eq!(harness.tables(), contents("a1", &["dt=1"]));
    }
}

#[test]
fn a_wider_interval_replaces_those_inside_of_it() {
    for harness in harnesses() {
        let hour = "20261121T000000Z-20261121T010000Z";
        harness.publish(hour, "h0", &["dt=1"]).unwrap();
        harness.publish("20261121T230000Z-20261122T000000Z", "h23", &["dt=1"]).unwrap();
        harness.publish(NEXT_DAY, "b1", &["dt=2"]).unwrap();
        let outcome = harness.publish(DAY, "a1", &["dt=1"]).unwrap();
        let PublishOutcome::Published { replaced_intervals, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(replaced_intervals.len(), 2);
        let expected = with(&contents("a1", &["dt=1"]), contents("b1", &["dt=2"]));
        assert_eq!(harness.tables(), expected);
        let gone = harness.commit().read_manifest(&IntervalId::new(hour)).unwrap();
        assert_eq!(gone, None);
        let past = harness.files(&format!("state/p/manifests/{hour}/history"));
        assert!(past.contains_key("h0.json"), "what it had published can still be told");

        let error = harness.publish(hour, "h0b", &["dt=1"]).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert_eq!(harness.tables(), expected);
    }
}

#[test]
fn tables_at_roots_that_left_the_pipeline_keep_their_files_and_their_record() {
    for harness in harnesses() {
        harness.publish(DAY, "a1", &["dt=1"]).unwrap();
        let (attempt, _) = harness.begin(DAY, "a2").unwrap();
        let mut request = harness.write(&attempt, &[]);
        request.tables[0].location = harness.location("moved");
        attempt.publish(&request).unwrap();
        drop(attempt);
        assert_eq!(harness.tables()["events/dt=1/part-00000-a1.parquet"], "events dt=1 a1");
        assert_eq!(harness.manifest(DAY).tables.len(), 3);
        // Back at the old root, its old files are known and go.
        harness.publish(DAY, "a3", &["dt=1"]).unwrap();
        assert_eq!(harness.tables(), contents("a3", &["dt=1"]));
    }
}

/// Publishes attempt a2 and "crashes" before its k-th act; says whether it came to its end.
fn crash_before(harness: &Harness, k: usize) -> bool {
    let commit = harness.commit_that_ends_before(k);
    let (attempt, _) = harness.begin_with(commit, DAY, "a2").unwrap();
    let request = harness.write(&attempt, &["dt=2", "dt=3/s=x"]);
    attempt.publish(&request).is_ok()
}

#[test]
fn a_crash_before_any_act_leaves_all_old_or_all_new_once_the_next_attempt_begins() {
    for place in 0..2 {
        for k in 0.. {
            let [disk, store] = harnesses();
            let (harness, others) = with_a_past(if place == 0 { disk } else { store });
            let was_last = crash_before(&harness, k);
            let old = with(&others, contents("a1", &["dt=1", "dt=2"]));
            let new = with(&others, contents("a2", &["dt=2", "dt=3/s=x"]));
            // A marker that stands while files change would call half a table whole.
            assert!(
                !harness.has_success("events") || [&old, &new].contains(&&harness.tables()),
                "{k}"
            );
            if k % 2 == 1 {
                // A recovery that crashes too takes some of the steps a second time.
                let commit = harness.commit_that_ends_before(k / 2);
                let _ = harness.begin_with(commit, NEXT_DAY, "x9");
            }
            let (attempt, _) = harness.begin(DAY, "a3").unwrap();
            let tables = harness.tables();
            assert!(tables == old || tables == new, "act {k}: {tables:#?}");
            assert!(harness.has_success("events") && harness.has_success("sales"), "act {k}");
            // Whoever reads by manifest sees the same.
            let attempt_now = if tables == old { "a1" } else { "a2" };
            assert_eq!(harness.manifest(DAY).attempt.as_str(), attempt_now, "act {k}");

            attempt.publish(&harness.write(&attempt, &["dt=5"])).unwrap();
            assert_eq!(harness.tables(), with(&others, contents("a3", &["dt=5"])), "act {k}");
            assert!(harness.bucket.as_ref().is_none_or(|b| b.uploads_left() == 0), "act {k}");
            if was_last {
                assert!(k > 15, "all acts were tried: {k}");
                break;
            }
        }
    }
}

#[test]
fn a_crashed_publish_is_completed_by_an_attempt_of_another_interval() {
    for harness in harnesses() {
        let (harness, others) = with_a_past(harness);
        let later = "20261130T000000Z-20261201T000000Z";
        let (attempt, _) = harness.begin(later, "c1").unwrap();
        // The crash happens after that attempt's recovery: its publish settles it.
        crash_before(&harness, 6);
        let outcome = attempt.publish(&harness.write(&attempt, &["dt=30"])).unwrap();
        let PublishOutcome::Published { recovered, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(recovered.len(), 1);
        let expected = with(&others, contents("a2", &["dt=2", "dt=3/s=x"]));
        assert_eq!(harness.tables(), with(&expected, contents("c1", &["dt=30"])));
        harness.assert_settled();
    }
}

#[test]
fn a_publish_whose_file_is_lost_is_rolled_back_and_the_earlier_one_stays_whole() {
    for harness in harnesses() {
        let (harness, others) = with_a_past(harness);
        crash_before(&harness, 4);
        match &harness.bucket {
            None => {
                let staging = harness.commit().staging_folder(&key(DAY, "a2")).unwrap();
                fs::remove_dir_all(staging).unwrap();
            }
            Some(bucket) => bucket.lose_uploads(),
        }
        let (attempt, recovered) = harness.begin(DAY, "a3").unwrap();
        let [Recovered::RolledBack { publish, lost }] = &recovered[..] else {
            panic!("{recovered:?}");
        };
        assert_eq!(*publish, key(DAY, "a2"));
        assert!(lost.contains("a2"), "{lost}");
        assert_eq!(harness.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
        assert_eq!(harness.manifest(DAY).attempt.as_str(), "a1");
        attempt.publish(&harness.write(&attempt, &["dt=4"])).unwrap();
        assert_eq!(harness.tables(), with(&others, contents("a3", &["dt=4"])));
        harness.assert_settled();
    }
}

#[test]
fn of_two_attempts_at_an_interval_in_a_bucket_one_publishes_and_the_other_is_told() {
    let (harness, others) = with_a_past(Harness::in_a_bucket(0, FaultRates::default()));
    let (slow, _) = harness.begin(DAY, "a2").unwrap();
    let request = harness.write(&slow, &["dt=2"]);
    harness.publish(DAY, "a3", &["dt=3"]).unwrap();
    let outcome = slow.publish(&request).unwrap();
    assert_eq!(outcome, PublishOutcome::Conflict { attempt: key(DAY, "a3").attempt });
    slow.discard(&[]).unwrap();
    assert_eq!(harness.tables(), with(&others, contents("a3", &["dt=3"])));
    harness.assert_settled();
}

#[test]
fn attempts_at_one_interval_all_at_once_publish_exactly_one() {
    for attempts in [2, 8] {
        for turn in 0..100 {
            let harness = Harness::in_a_bucket(turn, FaultRates::default());
            let begun: Vec<_> = (0..attempts)
                .map(|number| harness.begin(DAY, &format!("a{number}")).unwrap().0)
                .collect();
            let published: usize = std::thread::scope(|scope| {
                let attempts: Vec<_> = begun
                    .into_iter()
                    .map(|attempt| {
                        let request = harness.write(&attempt, &["dt=1", "dt=2"]);
                        scope.spawn(move || {
                            let outcome = attempt.publish(&request).unwrap();
                            attempt.discard(&pending_of(&request)).unwrap();
                            usize::from(matches!(outcome, PublishOutcome::Published { .. }))
                        })
                    })
                    .collect();
                attempts.into_iter().map(|attempt| attempt.join().unwrap()).sum()
            });
            assert_eq!(published, 1, "{attempts} attempts, turn {turn}");
            let winner = harness.manifest(DAY).attempt;
            assert_eq!(harness.tables(), contents(winner.as_str(), &["dt=1", "dt=2"]));
            harness.assert_settled();
        }
    }
}

#[test]
fn attempts_at_different_intervals_publish_into_one_table_side_by_side() {
    let days: Vec<String> =
        (10..18).map(|day| format!("202611{day}T000000Z-202611{}T000000Z", day + 1)).collect();
    for harness in harnesses() {
        for turn in 0..2 {
            std::thread::scope(|scope| {
                for (i, day) in days.iter().enumerate() {
                    let harness = &harness;
                    scope.spawn(move || {
                        let hive = [format!("dt={i}"), "dt=all".to_owned()];
                        let hive: Vec<&str> = hive.iter().map(String::as_str).collect();
                        harness.publish(day, &format!("t{turn}x{i}"), &hive).unwrap();
                    });
                }
            });
        }
        let mut expected = Table::new();
        for i in 0..days.len() {
            expected.extend(contents(&format!("t1x{i}"), &[&format!("dt={i}"), "dt=all"]));
        }
        assert_eq!(harness.tables(), expected);
        harness.assert_settled();
    }
}

#[test]
fn recovery_leaves_the_staging_of_live_attempts_alone() {
    let harness = Harness::on_disk();
    let (live, _) = harness.begin(NEXT_DAY, "b1").unwrap();
    let request = harness.write(&live, &["dt=2"]);
    let (dead, _) = harness.begin("20261101T000000Z-20261102T000000Z", "x1").unwrap();
    harness.write(&dead, &["dt=0"]);
    dead.commit.state.remove([dead.pending_name().as_str()]).unwrap();
    drop(dead);
    let (_, recovered) = harness.begin(DAY, "a1").unwrap();
    let expected = Recovered::StagingRemoved(key("20261101T000000Z-20261102T000000Z", "x1"));
    assert_eq!(recovered, [expected]);
    live.publish(&request).unwrap();
    assert_eq!(harness.tables(), contents("b1", &["dt=2"]));
}

#[test]
fn a_file_that_was_recorded_but_not_staged_stops_the_publish_before_it_begins() {
    let (harness, others) = with_a_past(Harness::on_disk());
    let (attempt, _) = harness.begin(DAY, "a2").unwrap();
    let mut request = harness.write(&attempt, &["dt=3"]);
    request.tables[0].files[0].bytes += 1;
    let error = attempt.publish(&request).unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert_eq!(harness.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
    attempt.discard(&[]).unwrap();
    harness.assert_settled();
}

#[test]
fn an_attempt_that_gives_up_leaves_nothing_behind() {
    for harness in harnesses() {
        let (harness, others) = with_a_past(harness);
        let (attempt, _) = harness.begin(DAY, "a2").unwrap();
        let request = harness.write(&attempt, &["dt=3"]);
        attempt.discard(&pending_of(&request)).unwrap();
        assert_eq!(harness.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
        harness.assert_settled();
    }
}

#[test]
fn a_manifest_that_leads_out_of_its_table_removes_nothing() {
    for harness in harnesses() {
        harness.publish(DAY, "a1", &["dt=1"]).unwrap();
        let commit = harness.commit();
        let (state, name) = (&commit.state, commit.manifest_name(&IntervalId::new(DAY)));
        let text = state.read(&name).unwrap().unwrap().bytes;
        let text = String::from_utf8(text).unwrap();
        for path in ["../../precious", "/precious", "dt=1//x", "dt=1/./x"] {
            let text = text.replace("dt=1/part-00000-a1.parquet", path);
            state.put(&name, text.as_bytes()).unwrap();
            let error = harness.publish(DAY, "a2", &["dt=1"]).unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains("leads out of the table"), "{error}");
        }
        assert_eq!(harness.tables(), contents("a1", &["dt=1"]), "found out before any step");
    }
}

#[test]
fn a_damaged_or_newer_manifest_is_a_config_error_that_names_it() {
    for harness in harnesses() {
        harness.publish(DAY, "a1", &["dt=1"]).unwrap();
        let commit = harness.commit();
        let (state, name) = (&commit.state, commit.manifest_name(&IntervalId::new(DAY)));
        let text = String::from_utf8(state.read(&name).unwrap().unwrap().bytes).unwrap();
        let newer = text.replace("\"version\": 1", "\"version\": 2");
        for text in ["{", &newer] {
            state.put(&name, text.as_bytes()).unwrap();
            let error: Error = harness.publish(DAY, "a2", &["dt=1"]).unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains("manifest.json"), "{error}");
        }
    }
}

#[test]
fn a_publish_that_a_disk_stops_in_the_middle_is_completed_once_its_cause_is_gone() {
    let (harness, others) = with_a_past(Harness::on_disk());
    let in_the_way: PathBuf = harness.folder.path().join("events/dt=3");
    fs::write(&in_the_way, "not a folder").unwrap();
    let (attempt, _) = harness.begin(DAY, "a2").unwrap();
    let request = harness.write(&attempt, &["dt=2", "dt=3/s=x"]);
    let error = attempt.publish(&request).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("dt=3"), "{error}");
    assert!(!harness.has_success("events"));
    drop(attempt);

    let error = harness.begin(DAY, "a3").unwrap_err();
    assert!(error.to_string().contains("recovering the publish"), "{error}");
    fs::remove_file(in_the_way).unwrap();
    assert_eq!(harness.begin(DAY, "a3").unwrap().1.len(), 1);
    assert_eq!(harness.tables(), with(&others, contents("a2", &["dt=2", "dt=3/s=x"])));
    harness.assert_settled();
}
