use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::commit::distcp::DistCpForm;
use crate::commit::recover::recover;
use crate::commit::steps::Step;
use crate::error::{Error, Result};
use crate::store::paths::RunPaths;

const DAY: &str = "20261121T000000Z-20261122T000000Z";
const NEXT_DAY: &str = "20261122T000000Z-20261123T000000Z";

/// State and two tables: `events` (Parquet, partitioned) and `sales` (TSV, not partitioned).
struct House {
    folder: tempfile::TempDir,
}

/// What readers see: relative paths with contents, `_SUCCESS` left out.
type Table = BTreeMap<String, String>;

impl House {
    fn new() -> Self {
        House { folder: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn root(&self, output: &str) -> PathBuf {
        self.folder.path().join("tables").join(output)
    }

    fn lock(&self, interval: &str, attempt: &str) -> IntervalLock {
        IntervalLock::acquire(&self.state(), &paths(interval, attempt)).unwrap()
    }

    /// Stages one file a hive path for `events`, and one for `sales`, as the sink would.
    fn stage(&self, lock: &IntervalLock, hive_paths: &[&str]) -> PublishRequest {
        let attempt = &lock.paths().attempt;
        let stage_file = |output: &str, format: &str, hive_path: &str, number: usize| {
            let name = lock.paths().table_file(number, format);
            let folder = lock.staging().join(format!("{output}.{format}")).join(hive_path);
            fs::create_dir_all(&folder).unwrap();
            let text = format!("{output} {hive_path} {attempt}");
            fs::write(folder.join(&name), &text).unwrap();
            WrittenFile {
                output: output.into(),
                format: format.into(),
                hive_path: hive_path.into(),
                name,
                rows: 7,
                bytes: text.len() as u64,
                sha256: "00".into(),
            }
        };
        let events = hive_paths.iter().zip(0..);
        let events = events.map(|(path, n)| stage_file("events", "parquet", path, n)).collect();
        let sales = match hive_paths {
            [] => vec![],
            _ => vec![stage_file("sales", "tsv", "", 0)],
        };
        let table = |output: &str, format: &str, files| StagedTable {
            columns: Vec::new(),
            output: output.into(),
            format: format.into(),
            root: self.root(output),
            files,
            ddl: format!("CREATE {output};\n"),
        };
        PublishRequest {
            interval_start: "start".into(),
            interval_end: "end".into(),
            published_at: "now".into(),
            inputs: vec![],
            is_listed_by_time: true,
            tables: vec![table("events", "parquet", events), table("sales", "tsv", sales)],
        }
    }

    fn publish(&self, interval: &str, attempt: &str, paths: &[&str]) -> Result<PublishOutcome> {
        let lock = self.lock(interval, attempt);
        recover(&lock)?;
        publish_run(&lock, &self.stage(&lock, paths))
    }

    /// The contents of both tables, ordered; keys begin with the output's name.
    fn tables(&self) -> Table {
        let mut table = Table::new();
        collect(&self.folder.path().join("tables"), "", &mut table);
        table
    }

    fn has_success(&self, output: &str) -> bool {
        self.root(output).join("_SUCCESS").is_file()
    }

    /// Nothing is under way and nothing is left behind.
    fn assert_settled(&self) {
        let state = self.state().join("p");
        assert_eq!(names(&state.join("intents")), Vec::<String>::new());
        assert_eq!(names(&state.join("staging")), Vec::<String>::new());
        assert!(self.has_success("events") && self.has_success("sales"));
    }

    fn manifest(&self, interval: &str) -> crate::commit::Manifest {
        let path = paths(interval, "").manifest(&self.state());
        read_manifest(&path).unwrap().unwrap()
    }
}

fn paths(interval: &str, attempt: &str) -> RunPaths {
    RunPaths { pipeline: "p".into(), interval: interval.into(), attempt: attempt.into() }
}

fn names(folder: &Path) -> Vec<String> {
    crate::commit::durable::names_in(folder).unwrap()
}

fn collect(folder: &Path, prefix: &str, table: &mut Table) {
    for name in names(folder) {
        let path = folder.join(&name);
        let key = format!("{prefix}{name}");
        if path.is_dir() {
            assert!(!names(&path).is_empty(), "{key} is an empty folder");
            collect(&path, &format!("{key}/"), table);
        } else if name != "_SUCCESS" {
            table.insert(key, fs::read_to_string(path).unwrap());
        }
    }
}

/// The table contents that one publish alone makes.
fn contents(attempt: &str, hive_paths: &[&str]) -> Table {
    let mut table = Table::new();
    for (n, path) in hive_paths.iter().enumerate() {
        let name = format!("events/{path}/part-{n:05}-{attempt}.parquet");
        table.insert(name, format!("events {path} {attempt}"));
    }
    if !hive_paths.is_empty() {
        table.insert(format!("sales/part-00000-{attempt}.tsv"), format!("sales  {attempt}"));
    }
    table
}

#[test]
fn a_publish_puts_files_definitions_listings_manifest_and_markers_in_place() {
    let house = House::new();
    let outcome = house.publish(DAY, "a1", &["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]).unwrap();
    let PublishOutcome::Published { manifest, files, removed_files, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((files, removed_files), (4, 0));
    assert_eq!(house.tables(), contents("a1", &["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]));
    house.assert_settled();
    let folder = manifest.parent().unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("events.parquet/create_table.sql"), "CREATE events;\n");
    let root = house.root("events");
    let listing = format!("file://{0}/dt=1\nfile://{0}/dt=2\n", root.display());
    assert_eq!(read("events.parquet/distcp-listing.txt"), listing);
    let sales = house.root("sales");
    let listing = format!("file://{}/part-00000-a1.tsv\n", sales.display());
    assert_eq!(read("sales.tsv/distcp-listing.txt"), listing);
    let marker: serde_json::Value =
        serde_json::from_slice(&fs::read(root.join("_SUCCESS")).unwrap()).unwrap();
    let expected =
        serde_json::json!({"pipeline": "p", "interval": DAY, "attempt": "a1", "files": 3});
    assert_eq!(marker, expected);

    let manifest = house.manifest(DAY);
    assert_eq!((manifest.attempt.as_str(), manifest.published_at.as_str()), ("a1", "now"));
    let events = &manifest.tables[0];
    assert_eq!(events.partitions, ["dt=1/s=a", "dt=1/s=b", "dt=2/s=a"]);
    assert_eq!(events.files[2].path, "dt=2/s=a/part-00002-a1.parquet");
    assert_eq!((events.files[2].rows, events.files[2].bytes), (7, 18));
    assert_eq!(events.distcp.form, DistCpForm::Folders);
    let command = events.distcp.command.as_ref().unwrap();
    assert!(command.contains("events.parquet/distcp-listing.txt' TARGET"), "{command}");
    assert_eq!(manifest.tables[1].distcp.form, DistCpForm::Files);
}

#[test]
fn rerun_of_an_interval_replaces_only_its_own_files() {
    let house = House::new();
    house.publish(DAY, "a1", &["dt=1", "dt=2"]).unwrap();
    house.publish(NEXT_DAY, "b1", &["dt=2", "dt=3"]).unwrap();
    let foreign = house.root("events").join("dt=1/by-hand.parquet");
    fs::write(&foreign, "by hand").unwrap();
    let outcome = house.publish(DAY, "a2", &["dt=2"]).unwrap();
    let PublishOutcome::Published { removed_files, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(removed_files, 3);
    let mut expected = contents("a2", &["dt=2"]);
    expected.extend(contents("b1", &["dt=2", "dt=3"]));
    expected.insert("events/dt=1/by-hand.parquet".into(), "by hand".into());
    assert_eq!(house.tables(), expected);
    let removed = &house.manifest(DAY).tables[0].removed;
    assert_eq!(removed, &["dt=1/part-00000-a1.parquet", "dt=2/part-00001-a1.parquet"]);
    house.assert_settled();
}

#[test]
fn a_rerun_without_rows_empties_the_interval_and_keeps_the_root() {
    let house = House::new();
    house.publish(DAY, "a1", &["dt=1/s=a"]).unwrap();
    house.publish(DAY, "a2", &[]).unwrap();
    assert_eq!(house.tables(), Table::new());
    house.assert_settled();
    let manifest = house.manifest(DAY);
    assert_eq!(manifest.tables[0].distcp.form, DistCpForm::Nothing);
    let folder = paths(DAY, "").manifest_folder(&house.state());
    assert!(!folder.join("events.parquet/distcp-listing.txt").exists());
}

#[test]
fn a_second_publish_of_the_same_attempt_does_nothing() {
    let house = House::new();
    let lock = house.lock(DAY, "a1");
    let request = house.stage(&lock, &["dt=1"]);
    publish_run(&lock, &request).unwrap();
    let again = publish_run(&lock, &request).unwrap();
    assert!(matches!(again, PublishOutcome::AlreadyPublished { .. }), "{again:?}");
    assert_eq!(house.tables(), contents("a1", &["dt=1"]));
}

#[test]
fn a_wider_interval_replaces_those_inside_of_it() {
    let house = House::new();
    let hour = "20261121T000000Z-20261121T010000Z";
    house.publish(hour, "h0", &["dt=1"]).unwrap();
    house.publish("20261121T230000Z-20261122T000000Z", "h23", &["dt=1"]).unwrap();
    house.publish(NEXT_DAY, "b1", &["dt=2"]).unwrap();
    let outcome = house.publish(DAY, "a1", &["dt=1"]).unwrap();
    let PublishOutcome::Published { replaced_intervals, removed_files, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(replaced_intervals.len(), 2);
    assert_eq!(removed_files, 4);
    let mut expected = contents("a1", &["dt=1"]);
    expected.extend(contents("b1", &["dt=2"]));
    assert_eq!(house.tables(), expected);
    let manifests = names(&paths(DAY, "").manifests(&house.state()));
    assert_eq!(manifests, [DAY, NEXT_DAY]);

    let error = house.publish(hour, "h0b", &["dt=1"]).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert_eq!(house.tables(), expected);
}

#[test]
fn tables_at_roots_that_left_the_pipeline_keep_their_files_and_their_record() {
    let house = House::new();
    house.publish(DAY, "a1", &["dt=1"]).unwrap();
    let lock = house.lock(DAY, "a2");
    let mut request = house.stage(&lock, &["dt=1"]);
    request.tables[0].root = house.root("moved");
    publish_run(&lock, &request).unwrap();
    drop(lock);
    let tables = house.tables();
    assert_eq!(tables["events/dt=1/part-00000-a1.parquet"], "events dt=1 a1");
    assert_eq!(tables["moved/dt=1/part-00000-a2.parquet"], "events dt=1 a2");
    assert_eq!(house.manifest(DAY).tables.len(), 3);
    // Back at the old root, its old files are known and go.
    house.publish(DAY, "a3", &["dt=1"]).unwrap();
    let tables = house.tables();
    assert!(!tables.contains_key("events/dt=1/part-00000-a1.parquet"));
    assert_eq!(tables["events/dt=1/part-00000-a3.parquet"], "events dt=1 a3");
    assert!(tables.contains_key("moved/dt=1/part-00000-a2.parquet"));
}

/// A house with an old publish, a neighbour and a foreign file, and the contents of each.
fn house_with_a_past() -> (House, Table) {
    let house = House::new();
    house.publish(NEXT_DAY, "b1", &["dt=2", "dt=9"]).unwrap();
    house.publish(DAY, "a1", &["dt=1", "dt=2"]).unwrap();
    fs::write(house.root("events").join("dt=1/by-hand"), "by hand").unwrap();
    let mut others = contents("b1", &["dt=2", "dt=9"]);
    others.insert("events/dt=1/by-hand".into(), "by hand".into());
    (house, others)
}

fn with(others: &Table, own: Table) -> Table {
    others.clone().into_iter().chain(own).collect()
}

/// Publishes attempt a2 up to its k-th step and "crashes"; returns the steps that were left.
fn crash_after(house: &House, k: usize) -> Vec<Step> {
    let lock = house.lock(DAY, "a2");
    let request = house.stage(&lock, &["dt=2", "dt=3/s=x"]);
    let intent = plan_publish(&lock, &request, vec![]).unwrap();
    write_intent(&lock, &intent).unwrap();
    let publish = Publish::new(lock.state_root(), &intent);
    let steps = publish.steps();
    for step in &steps[..k] {
        publish.take_step(*step).unwrap();
    }
    // A recovery that crashes too takes some of the steps a second time.
    if k < steps.len() {
        for step in &steps[..k / 2] {
            publish.take_step(*step).unwrap();
        }
    }
    steps[k..].to_vec()
}

#[test]
fn a_crash_after_any_step_leaves_the_table_all_new_once_the_next_attempt_begins() {
    for k in 0.. {
        let (house, others) = house_with_a_past();
        let left = crash_after(&house, k);
        let was_last = left.is_empty();
        // While steps are left between the first and the marker, readers are warned.
        let is_changing = k > 0 && left.contains(&Step::MarkSuccess { table: 0 });
        assert!(!is_changing || !house.has_success("events"), "step {k}");
        let lock = house.lock(DAY, "a3");
        let recovered = recover(&lock).unwrap();
        let forward = Recovered::RolledForward { interval: DAY.into(), attempt: "a2".into() };
        assert_eq!(recovered, if was_last { vec![] } else { vec![forward] }, "step {k}");
        let expected = with(&others, contents("a2", &["dt=2", "dt=3/s=x"]));
        assert_eq!(house.tables(), expected, "step {k}");
        house.assert_settled();
        assert_eq!(house.manifest(DAY).attempt, "a2");

        publish_run(&lock, &house.stage(&lock, &["dt=5"])).unwrap();
        assert_eq!(house.tables(), with(&others, contents("a3", &["dt=5"])), "step {k}");
        house.assert_settled();
        if was_last {
            assert!(k > 12, "all steps were tried: {k}");
            return;
        }
    }
}

#[test]
fn a_crash_before_the_intent_is_whole_leaves_the_table_all_old() {
    let (house, others) = house_with_a_past();
    let lock = house.lock(DAY, "a2");
    house.stage(&lock, &["dt=3"]);
    let half = lock.paths().intent(lock.state_root()).with_extension("json.tmp");
    fs::write(half, "{\"version\": 1, \"mani").unwrap();
    drop(lock);
    let expected = with(&others, contents("a1", &["dt=1", "dt=2"]));
    assert_eq!(house.tables(), expected);
    let removed = Recovered::StagingRemoved { interval: DAY.into(), attempt: "a2".into() };
    assert_eq!(recover(&house.lock(DAY, "a3")).unwrap(), [removed]);
    assert_eq!(house.tables(), expected);
    assert_eq!(house.manifest(DAY).attempt, "a1");
    house.publish(DAY, "a3", &["dt=4"]).unwrap();
    assert_eq!(house.tables(), with(&others, contents("a3", &["dt=4"])));
    house.assert_settled();
}

#[test]
fn a_crashed_publish_is_completed_by_an_attempt_of_another_interval() {
    let (house, others) = house_with_a_past();
    crash_after(&house, 5);
    let later = "20261130T000000Z-20261201T000000Z";
    // The crash happens after this attempt's recovery: its publish settles it.
    let lock = house.lock(later, "c1");
    let outcome = publish_run(&lock, &house.stage(&lock, &["dt=30"])).unwrap();
    let PublishOutcome::Published { recovered, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(recovered.len(), 1);
    let expected = with(&others, contents("a2", &["dt=2", "dt=3/s=x"]));
    assert_eq!(house.tables(), with(&expected, contents("c1", &["dt=30"])));
}

#[test]
fn a_publish_whose_staged_file_was_removed_by_hand_is_undone() {
    let (house, others) = house_with_a_past();
    crash_after(&house, 3);
    let staging = paths(DAY, "a2").staging(&house.state());
    fs::remove_dir_all(staging).unwrap();
    let recovered = recover(&house.lock(DAY, "a3")).unwrap();
    let [Recovered::RolledBack { interval, attempt, lost }] = &recovered[..] else {
        panic!("{recovered:?}");
    };
    assert_eq!((interval.as_str(), attempt.as_str()), (DAY, "a2"));
    assert!(lost.starts_with(house.root("events")) || lost.starts_with(house.root("sales")));
    assert_eq!(house.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
    assert!(!house.has_success("events"), "a reader waits for the rerun");
    house.publish(DAY, "a3", &["dt=4"]).unwrap();
    assert_eq!(house.tables(), with(&others, contents("a3", &["dt=4"])));
    house.assert_settled();
}

#[test]
fn recovery_leaves_the_staging_of_live_attempts_alone() {
    let house = House::new();
    let live = house.lock(NEXT_DAY, "b1");
    let request = house.stage(&live, &["dt=2"]);
    let dead = house.lock("20261101T000000Z-20261102T000000Z", "x1");
    house.stage(&dead, &["dt=0"]);
    drop(dead);
    let lock = house.lock(DAY, "a1");
    let recovered = recover(&lock).unwrap();
    let expected = Recovered::StagingRemoved {
        interval: "20261101T000000Z-20261102T000000Z".into(),
        attempt: "x1".into(),
    };
    assert_eq!(recovered, [expected]);
    publish_run(&live, &request).unwrap();
    assert_eq!(house.tables(), contents("b1", &["dt=2"]));
}

#[test]
fn attempts_of_different_intervals_publish_into_one_table_side_by_side() {
    let house = House::new();
    let days: Vec<String> =
        (10..18).map(|day| format!("202611{day}T000000Z-202611{}T000000Z", day + 1)).collect();
    for turn in 0..2 {
        std::thread::scope(|scope| {
            for (i, day) in days.iter().enumerate() {
                let house = &house;
                scope.spawn(move || {
                    let hive = [format!("dt={i}"), "dt=all".to_owned()];
                    let hive: Vec<&str> = hive.iter().map(String::as_str).collect();
                    house.publish(day, &format!("t{turn}-{i}"), &hive).unwrap();
                });
            }
        });
    }
    let mut expected = Table::new();
    for i in 0..days.len() {
        expected.extend(contents(&format!("t1-{i}"), &[&format!("dt={i}"), "dt=all"]));
    }
    assert_eq!(house.tables(), expected);
    house.assert_settled();
}

#[test]
fn a_file_that_was_recorded_but_not_staged_stops_the_publish_before_it_begins() {
    let (house, others) = house_with_a_past();
    let lock = house.lock(DAY, "a2");
    let mut request = house.stage(&lock, &["dt=3"]);
    request.tables[0].files[0].bytes += 1;
    let error = publish_run(&lock, &request).unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert_eq!(house.tables(), with(&others, contents("a1", &["dt=1", "dt=2"])));
    discard_staging(&lock).unwrap();
    house.assert_settled();
}

#[test]
fn a_manifest_that_leads_out_of_its_table_removes_nothing() {
    let house = House::new();
    house.publish(DAY, "a1", &["dt=1"]).unwrap();
    let precious = house.folder.path().join("precious");
    fs::write(&precious, "x").unwrap();
    let path = paths(DAY, "").manifest(&house.state());
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("dt=1/part-00000-a1.parquet", "../../precious");
    fs::write(&path, text).unwrap();
    let error = house.publish(DAY, "a2", &["dt=1"]).unwrap_err();
    assert_eq!(error.exit_code(), 78);
    assert!(precious.exists());
    assert_eq!(house.tables(), contents("a1", &["dt=1"]), "found out before any step");
}

#[test]
fn a_damaged_or_newer_manifest_is_a_config_error_that_names_it() {
    let house = House::new();
    house.publish(DAY, "a1", &["dt=1"]).unwrap();
    let path = paths(DAY, "").manifest(&house.state());
    let newer = fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 2");
    for text in ["{", &newer] {
        fs::write(&path, text).unwrap();
        let error: Error = house.publish(DAY, "a2", &["dt=1"]).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("manifest.json"), "{error}");
    }
}

#[test]
fn a_publish_that_a_disk_stops_in_the_middle_is_completed_once_its_cause_is_gone() {
    let (house, others) = house_with_a_past();
    let in_the_way = house.root("events").join("dt=3");
    fs::write(&in_the_way, "not a folder").unwrap();
    let lock = house.lock(DAY, "a2");
    let request = house.stage(&lock, &["dt=2", "dt=3/s=x"]);
    let error = publish_run(&lock, &request).unwrap_err();
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains("dt=3"), "{error}");
    assert!(!house.has_success("events"));
    drop(lock);

    let error = recover(&house.lock(DAY, "a3")).unwrap_err();
    assert!(error.to_string().contains("recovering the publish"), "{error}");
    fs::remove_file(in_the_way).unwrap();
    assert_eq!(recover(&house.lock(DAY, "a3")).unwrap().len(), 1);
    assert_eq!(house.tables(), with(&others, contents("a2", &["dt=2", "dt=3/s=x"])));
    house.assert_settled();
}
