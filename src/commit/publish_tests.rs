use std::fs;
use std::path::PathBuf;

use super::*;
use crate::base::environment::Environment;
use crate::commit::distcp::DistCpForm;
use crate::commit::house::{
    DAY, House, NEXT_DAY, Table, contents, houses, paths, pending_of, with, with_a_past,
};
use crate::commit::manifest::read_manifest;
use crate::store::faults::FaultRates;

#[test]
fn a_publish_puts_files_definitions_listings_manifest_and_markers_in_place() {
    for house in houses() {
        let outcome = house.publish(DAY, "a1", &["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]).unwrap();
        assert!(matches!(outcome, PublishOutcome::Published { .. }), "{outcome:?}");
        assert_eq!(house.tables(), contents("a1", &["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]));
        house.assert_settled();
        let beside = house.files(&format!("state/p/manifests/{DAY}"));
        assert_eq!(beside["events.parquet/create_table.sql"], "CREATE events;\n");
        let url = |output| house.place(output).hadoop_url(&Environment::default());
        let listing = format!("{0}/dt=1\n{0}/dt=2\n", url("events"));
        assert_eq!(beside["events.parquet/distcp-listing.txt"], listing);
        let listing = format!("{}/part-00000-a1.tsv\n", url("sales"));
        assert_eq!(beside["sales.tsv/distcp-listing.txt"], listing);

        let manifest = house.manifest(DAY);
        assert_eq!((manifest.attempt.as_str(), manifest.published_at.as_str()), ("a1", "now"));
        let events = &manifest.tables[0];
        assert_eq!(events.root, house.place("events").absolute());
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
    for house in houses() {
        house.publish(DAY, "a1", &["dt=1"]).unwrap();
        let manifest = &house.files(&format!("state/p/manifests/{DAY}"))["manifest.json"];
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(manifest));
        for output in ["events", "sales"] {
            let marker = &house.files(output)["_SUCCESS"];
            let marker: serde_json::Value = serde_json::from_str(marker).unwrap();
            assert_eq!(marker["manifest_sha256"], digest);
            assert_eq!((&marker["interval"], &marker["attempt"]), (&DAY.into(), &"a1".into()));
        }
    }
}

#[test]
fn rerun_of_an_interval_replaces_only_its_own_files() {
    for house in houses() {
        house.publish(DAY, "a1", &["dt=1", "dt=2"]).unwrap();
        house.publish(NEXT_DAY, "b1", &["dt=2", "dt=3"]).unwrap();
        house.publish(DAY, "a2", &["dt=2"]).unwrap();
        let expected = with(&contents("a2", &["dt=2"]), contents("b1", &["dt=2", "dt=3"]));
        assert_eq!(house.tables(), expected);
        let manifest = house.manifest(DAY);
        let removed = &manifest.tables[0].removed;
        assert_eq!(removed, &["dt=1/part-00000-a1.parquet", "dt=2/part-00001-a1.parquet"]);
        house.assert_settled();
        // The chain: what was published before can be read, and is what it was.
        let previous = manifest.previous.unwrap();
        assert_eq!(previous.attempt, "a1");
        let past = &house.files(&format!("state/p/manifests/{DAY}/history"))["a1.json"];
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(past));
        assert_eq!(previous.sha256, digest);
    }
}

#[test]
fn files_that_stand_in_no_manifest_are_never_touched() {
    let house = House::on_disk();
    house.publish(DAY, "a1", &["dt=1"]).unwrap();
    let foreign = house.folder.path().join("events/dt=1/by-hand.parquet");
    fs::write(&foreign, "by hand").unwrap();
    house.publish(DAY, "a2", &[]).unwrap();
    assert_eq!(fs::read_to_string(foreign).unwrap(), "by hand");
}

#[test]
fn a_rerun_without_rows_empties_the_interval_and_keeps_the_root() {
    for house in houses() {
        house.publish(DAY, "a1", &["dt=1/s=a"]).unwrap();
        house.publish(DAY, "a2", &[]).unwrap();
        assert_eq!(house.tables(), Table::new());
        house.assert_settled();
        assert_eq!(house.manifest(DAY).tables[0].distcp.form, DistCpForm::Nothing);
        let beside = house.files(&format!("state/p/manifests/{DAY}"));
        assert!(!beside.contains_key("events.parquet/distcp-listing.txt"));
    }
}

#[test]
fn a_second_publish_of_the_same_attempt_does_nothing() {
    for house in houses() {
        let (attempt, _) = house.begin(DAY, "a1").unwrap();
        let request = house.write(&attempt, &["dt=1"]);
        let first = publish_run(&attempt, &request).unwrap();
        assert_eq!(publish_run(&attempt, &request).unwrap(), first);
        assert_eq!(house.tables(), contents("a1", &["dt=1"]));
    }
}

#[test]
fn a_wider_interval_replaces_those_inside_of_it() {
    for house in houses() {
        let hour = "20261121T000000Z-20261121T010000Z";
        house.publish(hour, "h0", &["dt=1"]).unwrap();
        house.publish("20261121T230000Z-20261122T000000Z", "h23", &["dt=1"]).unwrap();
        house.publish(NEXT_DAY, "b1", &["dt=2"]).unwrap();
        let outcome = house.publish(DAY, "a1", &["dt=1"]).unwrap();
        let PublishOutcome::Published { replaced_intervals, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(replaced_intervals.len(), 2);
        let expected = with(&contents("a1", &["dt=1"]), contents("b1", &["dt=2"]));
        assert_eq!(house.tables(), expected);
        let gone = read_manifest(&house.state(), &paths(hour, "")).unwrap();
        assert_eq!(gone, None);
        let past = house.files(&format!("state/p/manifests/{hour}/history"));
        assert!(past.contains_key("h0.json"), "what it had published can still be told");

        let error = house.publish(hour, "h0b", &["dt=1"]).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert_eq!(house.tables(), expected);
    }
}

#[test]
fn tables_at_roots_that_left_the_pipeline_keep_their_files_and_their_record() {
    for house in houses() {
        house.publish(DAY, "a1", &["dt=1"]).unwrap();
        let (attempt, _) = house.begin(DAY, "a2").unwrap();
        let mut request = house.write(&attempt, &[]);
        request.tables[0].location = house.place("moved");
        publish_run(&attempt, &request).unwrap();
        drop(attempt);
        assert_eq!(house.tables()["events/dt=1/part-00000-a1.parquet"], "events dt=1 a1");
        assert_eq!(house.manifest(DAY).tables.len(), 3);
        // Back at the old root, its old files are known and go.
        house.publish(DAY, "a3", &["dt=1"]).unwrap();
        assert_eq!(house.tables(), contents("a3", &["dt=1"]));
    }
}

/// Publishes attempt a2 and "crashes" before its k-th act; says whether it came to its end.
fn crash_before(house: &House, k: usize) -> bool {
    let supplies = house.supplies_that_end_before(k);
    let (attempt, _) = house.begin_with(supplies, DAY, "a2").unwrap();
    let request = house.write(&attempt, &["dt=2", "dt=3/s=x"]);
    publish_run(&attempt, &request).is_ok()
}

#[test]
fn a_crash_before_any_act_leaves_all_old_or_all_new_once_the_next_attempt_begins() {
    for place in 0..2 {
        for k in 0.. {
            let [disk, store] = houses();
            let (house, others) = with_a_past(if place == 0 { disk } else { store });
            let was_last = crash_before(&house, k);
            let old = with(&others, contents("a1", &["dt=1", "dt=2"]));
            let new = with(&others, contents("a2", &["dt=2", "dt=3/s=x"]));
            // A marker that stands while files change would call half a table whole.
            assert!(!house.has_success("events") || [&old, &new].contains(&&house.tables()), "{k}");
            if k % 2 == 1 {
                // A recovery that crashes too takes some of the steps a second time.
                let supplies = house.supplies_that_end_before(k / 2);
                let _ = house.begin_with(supplies, NEXT_DAY, "x9");
            }
            let (attempt, _) = house.begin(DAY, "a3").unwrap();
            let tables = house.tables();
            assert!(tables == old || tables == new, "act {k}: {tables:#?}");
            assert!(house.has_success("events") && house.has_success("sales"), "act {k}");
            // Whoever reads by manifest sees the same.
            let attempt_now = if tables == old { "a1" } else { "a2" };
            assert_eq!(house.manifest(DAY).attempt, attempt_now, "act {k}");

            publish_run(&attempt, &house.write(&attempt, &["dt=5"])).unwrap();
            assert_eq!(house.tables(), with(&others, contents("a3", &["dt=5"])), "act {k}");
            assert!(house.bucket.as_ref().is_none_or(|b| b.uploads_left() == 0), "act {k}");
            if was_last {
                assert!(k > 15, "all acts were tried: {k}");
                break;
            }
        }
    }
}

#[test]
fn a_crashed_publish_is_completed_by_an_attempt_of_another_interval() {
    for house in houses() {
        let (house, others) = with_a_past(house);
        let later = "20261130T000000Z-20261201T000000Z";
        let (attempt, _) = house.begin(later, "c1").unwrap();
        // The crash happens after that attempt's recovery: its publish settles it.
        crash_before(&house, 6);
        let outcome = publish_run(&attempt, &house.write(&attempt, &["dt=30"])).unwrap();
        let PublishOutcome::Published { recovered, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(recovered.len(), 1);
        let expected = with(&others, contents("a2", &["dt=2", "dt=3/s=x"]));
        assert_eq!(house.tables(), with(&expected, contents("c1", &["dt=30"])));
        house.assert_settled();
    }
}

#[test]
fn a_publish_whose_file_is_lost_is_taken_back_and_the_earlier_one_stays_whole() {
    for house in houses() {
        let (house, others) = with_a_past(house);
        crash_before(&house, 4);
        match &house.bucket {
            None => {
                let staging = paths(DAY, "a2").staging(&house.folder.path().join("state"));
                fs::remove_dir_all(staging).unwrap();
            }
            Some(bucket) => bucket.lose_uploads(),
        }
        let (attempt, recovered) = house.begin(DAY, "a3").unwrap();
        let [Recovered::RolledBack { interval, attempt: id, lost }] = &recovered[..] else {
            panic!("{recovered:?}");
        };
        assert_eq!((interval.as_str(), id.as_str()), (DAY, "a2"));
        assert!(lost.contains("a2"), "{lost}");
        assert_eq!(house.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
        assert_eq!(house.manifest(DAY).attempt, "a1");
        publish_run(&attempt, &house.write(&attempt, &["dt=4"])).unwrap();
        assert_eq!(house.tables(), with(&others, contents("a3", &["dt=4"])));
        house.assert_settled();
    }
}

#[test]
fn of_two_attempts_at_an_interval_in_a_bucket_one_publishes_and_the_other_is_told() {
    let (house, others) = with_a_past(House::in_a_bucket(0, FaultRates::default()));
    let (slow, _) = house.begin(DAY, "a2").unwrap();
    let request = house.write(&slow, &["dt=2"]);
    house.publish(DAY, "a3", &["dt=3"]).unwrap();
    let outcome = publish_run(&slow, &request).unwrap();
    assert_eq!(outcome, PublishOutcome::Conflict { attempt: "a3".into() });
    slow.discard(&[]).unwrap();
    assert_eq!(house.tables(), with(&others, contents("a3", &["dt=3"])));
    house.assert_settled();
}

#[test]
fn attempts_at_one_interval_all_at_once_publish_exactly_one() {
    for attempts in [2, 8] {
        for turn in 0..100 {
            let house = House::in_a_bucket(turn, FaultRates::default());
            let begun: Vec<_> = (0..attempts)
                .map(|number| house.begin(DAY, &format!("a{number}")).unwrap().0)
                .collect();
            let published: usize = std::thread::scope(|scope| {
                let attempts: Vec<_> = begun
                    .into_iter()
                    .map(|attempt| {
                        let request = house.write(&attempt, &["dt=1", "dt=2"]);
                        scope.spawn(move || {
                            let outcome = publish_run(&attempt, &request).unwrap();
                            attempt.discard(&pending_of(&request)).unwrap();
                            usize::from(matches!(outcome, PublishOutcome::Published { .. }))
                        })
                    })
                    .collect();
                attempts.into_iter().map(|attempt| attempt.join().unwrap()).sum()
            });
            assert_eq!(published, 1, "{attempts} attempts, turn {turn}");
            let winner = house.manifest(DAY).attempt;
            assert_eq!(house.tables(), contents(&winner, &["dt=1", "dt=2"]));
            house.assert_settled();
        }
    }
}

#[test]
fn attempts_at_different_intervals_publish_into_one_table_side_by_side() {
    let days: Vec<String> =
        (10..18).map(|day| format!("202611{day}T000000Z-202611{}T000000Z", day + 1)).collect();
    for house in houses() {
        for turn in 0..2 {
            std::thread::scope(|scope| {
                for (i, day) in days.iter().enumerate() {
                    let house = &house;
                    scope.spawn(move || {
                        let hive = [format!("dt={i}"), "dt=all".to_owned()];
                        let hive: Vec<&str> = hive.iter().map(String::as_str).collect();
                        house.publish(day, &format!("t{turn}x{i}"), &hive).unwrap();
                    });
                }
            });
        }
        let mut expected = Table::new();
        for i in 0..days.len() {
            expected.extend(contents(&format!("t1x{i}"), &[&format!("dt={i}"), "dt=all"]));
        }
        assert_eq!(house.tables(), expected);
        house.assert_settled();
    }
}

#[test]
fn recovery_leaves_the_staging_of_live_attempts_alone() {
    let house = House::on_disk();
    let (live, _) = house.begin(NEXT_DAY, "b1").unwrap();
    let request = house.write(&live, &["dt=2"]);
    let (dead, _) = house.begin("20261101T000000Z-20261102T000000Z", "x1").unwrap();
    house.write(&dead, &["dt=0"]);
    let record = dead.paths().pending_record("0-of-1");
    dead.state().remove([record.as_str()]).unwrap();
    drop(dead);
    let (_, recovered) = house.begin(DAY, "a1").unwrap();
    let expected = Recovered::StagingRemoved {
        interval: "20261101T000000Z-20261102T000000Z".into(),
        attempt: "x1".into(),
    };
    assert_eq!(recovered, [expected]);
    publish_run(&live, &request).unwrap();
    assert_eq!(house.tables(), contents("b1", &["dt=2"]));
}

#[test]
fn a_file_that_was_recorded_but_not_staged_stops_the_publish_before_it_begins() {
    let (house, others) = with_a_past(House::on_disk());
    let (attempt, _) = house.begin(DAY, "a2").unwrap();
    let mut request = house.write(&attempt, &["dt=3"]);
    request.tables[0].files[0].bytes += 1;
    let error = publish_run(&attempt, &request).unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert_eq!(house.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
    attempt.discard(&[]).unwrap();
    house.assert_settled();
}

#[test]
fn an_attempt_that_gives_up_leaves_nothing_behind() {
    for house in houses() {
        let (house, others) = with_a_past(house);
        let (attempt, _) = house.begin(DAY, "a2").unwrap();
        let request = house.write(&attempt, &["dt=3"]);
        attempt.discard(&pending_of(&request)).unwrap();
        assert_eq!(house.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
        house.assert_settled();
    }
}

#[test]
fn a_manifest_that_leads_out_of_its_table_removes_nothing() {
    for house in houses() {
        house.publish(DAY, "a1", &["dt=1"]).unwrap();
        let (state, name) = (house.state(), paths(DAY, "").manifest());
        let text = state.read(&name).unwrap().unwrap().bytes;
        let text = String::from_utf8(text).unwrap();
        for path in ["../../precious", "/precious", "dt=1//x", "dt=1/./x"] {
            let text = text.replace("dt=1/part-00000-a1.parquet", path);
            state.put(&name, text.as_bytes()).unwrap();
            let error = house.publish(DAY, "a2", &["dt=1"]).unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains("leads out of the table"), "{error}");
        }
        assert_eq!(house.tables(), contents("a1", &["dt=1"]), "found out before any step");
    }
}

#[test]
fn a_damaged_or_newer_manifest_is_a_config_error_that_names_it() {
    for house in houses() {
        house.publish(DAY, "a1", &["dt=1"]).unwrap();
        let (state, name) = (house.state(), paths(DAY, "").manifest());
        let text = String::from_utf8(state.read(&name).unwrap().unwrap().bytes).unwrap();
        let newer = text.replace("\"version\": 1", "\"version\": 2");
        for text in ["{", &newer] {
            state.put(&name, text.as_bytes()).unwrap();
            let error: Error = house.publish(DAY, "a2", &["dt=1"]).unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains("manifest.json"), "{error}");
        }
    }
}

#[test]
fn a_publish_that_a_disk_stops_in_the_middle_is_completed_once_its_cause_is_gone() {
    let (house, others) = with_a_past(House::on_disk());
    let in_the_way: PathBuf = house.folder.path().join("events/dt=3");
    fs::write(&in_the_way, "not a folder").unwrap();
    let (attempt, _) = house.begin(DAY, "a2").unwrap();
    let request = house.write(&attempt, &["dt=2", "dt=3/s=x"]);
    let error = publish_run(&attempt, &request).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("dt=3"), "{error}");
    assert!(!house.has_success("events"));
    drop(attempt);

    let error = house.begin(DAY, "a3").unwrap_err();
    assert!(error.to_string().contains("recovering the publish"), "{error}");
    fs::remove_file(in_the_way).unwrap();
    assert_eq!(house.begin(DAY, "a3").unwrap().1.len(), 1);
    assert_eq!(house.tables(), with(&others, contents("a2", &["dt=2", "dt=3/s=x"])));
    house.assert_settled();
}
