use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

use super::*;

fn arguments(out: &Path) -> GenerateArgs {
    GenerateArgs {
        out: out.to_owned(),
        seed: 7,
        lines: Some(3_000),
        bytes: None,
        date: NaiveDate::from_ymd_opt(2026, 11, 21).unwrap(),
        hours: 24,
        only_hours: vec![0, 8, 13, 23],
        objects_per_hour: 2,
        compression: CompressionChoice::Mixed,
        bad_ratio: 0.05,
        force: false,
    }
}

/// Every object below a directory by its path, decompressed.
fn objects(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let raw = fs::read(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let mut bytes = Vec::new();
            if name.ends_with(".gz") {
                let mut decoder = flate2::read::MultiGzDecoder::new(raw.as_slice());
                decoder.read_to_end(&mut bytes).unwrap();
            } else if name.ends_with(".zst") {
                bytes = zstd::decode_all(raw.as_slice()).unwrap();
            } else {
                bytes = raw;
            }
            objects.insert(name, bytes);
        }
    }
    objects
}

/// The lines of an object, as a run frames them.
fn lines(object: &[u8]) -> Vec<&[u8]> {
    let object = object.strip_prefix("\u{feff}".as_bytes()).unwrap_or(object);
    let mut lines: Vec<&[u8]> = object.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let directory = tempfile::tempdir().unwrap();
    let made = |name: &str, seed: u64| {
        let root = directory.path().join(name);
        let summary = generate(&GenerateArgs { seed, ..arguments(&root) }).unwrap();
        (summary, objects(&root))
    };
    assert_eq!(made("a", 7), made("b", 7));
    assert_ne!(made("c", 7).1, made("d", 8).1);
}

#[test]
fn the_summary_counts_what_the_objects_hold() {
    let directory = tempfile::tempdir().unwrap();
    let summary = generate(&arguments(directory.path())).unwrap();
    let objects = objects(directory.path());
    assert_eq!(objects.len() as u64, summary.files);
    assert_eq!(objects.values().map(|object| object.len() as u64).sum::<u64>(), summary.bytes);
    let all: Vec<&[u8]> = objects.values().flat_map(|object| lines(object)).collect();
    let counts = &summary.counts;
    assert_eq!(all.len() as u64, 3_000);
    assert_eq!(counts.lines, 3_000);
    assert_eq!(
        counts.lines,
        counts.records + counts.blank + counts.bad_lines.values().sum::<u64>()
    );
    assert_eq!(counts.bad_lines.len(), 11, "every kind: {:?}", counts.bad_lines);
    assert!(counts.blank > 0 && counts.negative_quantities > 0);
    assert_eq!(counts.versions.values().sum::<u64>(), counts.records);
    let blank = all.iter().filter(|line| line.trim_ascii().is_empty()).count();
    assert_eq!(blank as u64, counts.blank);
    let not_utf8 = all.iter().filter(|line| std::str::from_utf8(line).is_err()).count();
    assert_eq!(not_utf8 as u64, counts.bad_lines["invalid_utf8"]);
    let long = all.iter().filter(|line| line.len() > 64 << 10).count();
    assert_eq!(long as u64, counts.bad_lines["line_too_long"]);
}

#[test]
fn records_without_flaws_are_json_with_unique_ids_and_times_of_their_hour() {
    let directory = tempfile::tempdir().unwrap();
    let args = GenerateArgs { bad_ratio: 0.0, ..arguments(directory.path()) };
    let summary = generate(&args).unwrap();
    assert_eq!(summary.counts.records, 3_000);
    let (mut ids, mut amount, mut old) = (std::collections::BTreeSet::new(), 0, 0);
    for (name, object) in objects(directory.path()) {
        let hour: u32 = name[name.find("hr=").unwrap() + 3..][..2].parse().unwrap();
        let start = start_of_hour(args.date, hour).unwrap();
        for line in lines(&object) {
            let record: Value = serde_json::from_slice(line).unwrap();
            let id = record.get("event_id").or(record.get("id")).unwrap();
            assert!(ids.insert(id.as_str().unwrap().to_owned()), "{id} is there twice");
            let at = match (record.get("time"), record.get("ts")) {
                (Some(time), None) => {
                    DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().to_utc()
                }
                (None, Some(ts)) => {
                    old += 1;
                    let ms = ts.as_str().map_or(ts.as_i64().unwrap_or(0), |t| t.parse().unwrap());
                    DateTime::from_timestamp_millis(ms).unwrap()
                }
                other => panic!("{other:?}"),
            };
            let since = at.signed_duration_since(start.to_utc());
            assert!((0..3_600_000).contains(&since.num_milliseconds()), "{name}: {at}");
            amount += purchased(&record);
        }
    }
    assert_eq!(summary.counts.versions["v1"], old);
    assert!((200..600).contains(&old), "{old} of 3,000 in the old form");
    assert_eq!(summary.counts.purchased_amount, amount);
}

fn purchased(record: &Value) -> i64 {
    let items = match (&record["event"], &record["action"]) {
        (Value::String(event), _) if event == "purchase" => &record["cart"]["items"],
        (_, Value::String(event)) if event == "purchase" => &record["items"],
        _ => return 0,
    };
    let amount = |item: &Value| item.get("amount").or(item.get("amt")).unwrap().as_i64().unwrap();
    items.as_array().unwrap().iter().map(amount).sum()
}

#[test]
fn objects_differ_in_line_ends_byte_order_mark_and_members() {
    let directory = tempfile::tempdir().unwrap();
    generate(&GenerateArgs { bad_ratio: 0.0, ..arguments(directory.path()) }).unwrap();
    let objects: Vec<Vec<u8>> = objects(directory.path()).into_values().collect();
    assert!(lines(&objects[1]).iter().all(|line| line.ends_with(b"\r")));
    assert!(!objects[3].ends_with(b"\n"));
    assert!(objects[4].starts_with("\u{feff}".as_bytes()));
    assert!(objects[0].ends_with(b"}\n") && !objects[0].contains(&b'\r'));
    let gzip = directory.path().join("dt=2026-11-21/hr=08/part-00000.ndjson.gz");
    let raw = fs::read(gzip).unwrap();
    let mut first_member = Vec::new();
    flate2::read::GzDecoder::new(raw.as_slice()).read_to_end(&mut first_member).unwrap();
    assert!(first_member.len() < objects[2].len() && !first_member.ends_with(b"\n"));
}

#[test]
fn bytes_are_reached_by_whole_lines() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = Some(2_000_000);
    let args = GenerateArgs { bytes, lines: None, bad_ratio: 0.0, ..arguments(directory.path()) };
    let summary = generate(&args).unwrap();
    assert!((2_000_000..2_040_000).contains(&summary.bytes), "{}", summary.bytes);
    assert_eq!(summary.counts.lines, summary.counts.records);
}

#[test]
fn part_files_that_are_there_are_replaced_only_by_force() {
    let directory = tempfile::tempdir().unwrap();
    let args = GenerateArgs { lines: Some(100), ..arguments(directory.path()) };
    generate(&args).unwrap();
    let before = objects(directory.path());
    let again = GenerateArgs { compression: CompressionChoice::None, ..args };
    let error = generate(&again).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(objects(directory.path()), before);
    generate(&GenerateArgs { force: true, ..again }).unwrap();
    let after = objects(directory.path());
    assert_eq!(after.len(), before.len());
    assert!(after.keys().all(|name| name.ends_with(".ndjson")));
    assert_eq!(after.values().collect::<Vec<_>>(), before.values().collect::<Vec<_>>());
}

#[test]
fn arguments_out_of_range_are_refused_with_what_was_expected() {
    let directory = tempfile::tempdir().unwrap();
    let args = || arguments(directory.path());
    let cases = [
        (GenerateArgs { hours: 0, ..args() }, "--hours: expected 1 to"),
        (GenerateArgs { only_hours: vec![24], ..args() }, "--only-hours: expected 0 to 23"),
        (GenerateArgs { bad_ratio: 1.5, ..args() }, "--bad-ratio: expected 0 to 1, found 1.5"),
        (GenerateArgs { objects_per_hour: 0, ..args() }, "--objects-per-hour: expected 1 to"),
    ];
    for (args, message) in cases {
        let error = generate(&args).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn the_bundled_fixture_is_what_its_command_generates() {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/action_log");
    let directory = tempfile::tempdir().unwrap();
    let seed = 20_261_121;
    let lines = Some(2_000);
    generate(&GenerateArgs { seed, lines, bad_ratio: 0.03, ..arguments(directory.path()) })
        .unwrap();
    let (generated, bundled) = (objects(directory.path()), objects(&bundled));
    assert_eq!(generated.keys().collect::<Vec<_>>(), bundled.keys().collect::<Vec<_>>());
    for (name, object) in generated {
        assert!(bundled[&name] == object, "{name} differs; fixtures/README.md has the command");
    }
}
