//! What becomes of objects that are odd: in their names, their formats, their framing.

use std::io::Write;

use serde_json::Value;

use crate::support::{OUTPUT, Project, gzip};

const TWO: &[u8] =
    b"{\"id\":1,\"name\":\"a\",\"amount\":10}\n{\"id\":2,\"name\":\"b\",\"amount\":20}\n";
const TWO_ROWS: [&str; 2] = ["1\ta\t10", "2\tb\t20"];

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 9);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// With the key `framing` and whatever else under `[source]`.
fn project_with(source: &str) -> Project {
    Project::new().pipeline_with("", source, OUTPUT)
}

/// The counts of a result that must balance.
fn counts(result: &Value) -> [u64; 4] {
    let counts = ["lines", "decoded", "rejected", "blank"].map(|key| result[key].as_u64().unwrap());
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{result}");
    counts
}

#[test]
fn bzip2_xz_lz4_and_what_was_packed_twice_are_read_whatever_their_names() {
    for (name, bytes) in [
        ("a.gz", bzip2(TWO)),
        ("a.json", xz(TWO)),
        ("a", lz4(TWO)),
        ("a.gz.gz", gzip(&gzip(TWO))),
        ("a.zst", [bzip2(&TWO[..33]), bzip2(&TWO[33..])].concat()),
        ("a.xz", [xz(&TWO[..33]), xz(&TWO[33..])].concat()),
        ("a.lz4", [lz4(&TWO[..33]), lz4(&TWO[33..])].concat()),
    ] {
        let project = Project::new().logs(name, bytes);
        project.run().published();
        assert_eq!(project.rows(), TWO_ROWS, "{name}");
    }
}

#[test]
fn lines_before_a_damage_are_kept_in_every_packed_format() {
    let lines: String = (0..90_000)
        .map(|id: u32| {
            format!("{{\"id\":{id},\"name\":\"{:x}\"}}\n", id.wrapping_mul(2_654_435_761))
        })
        .collect();
    for pack in [bzip2, xz, lz4, gzip] {
        let whole = pack(lines.as_bytes());
        let torn = &whole[..whole.len() * 9 / 10];
        let result = Project::new().logs("a", torn).run().published();
        let [_, decoded, rejected, _] = counts(&result);
        assert!((10_000..90_000).contains(&decoded), "{decoded}");
        assert_eq!((rejected, &result["rejects_by_reason"]["damaged_stream"]), (1, &1.into()));
    }
}

/// Objects of which nothing can be read, and what each is called.
fn unreadable_objects() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = std::str::from_utf8(TWO).unwrap();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let dictionary = {
        let samples: Vec<Vec<u8>> =
            (0..2000).map(|n| format!("{{\"id\":{n},\"x\":\"n{n}\"}}").into_bytes()).collect();
        zstd::dict::from_samples(&samples, 4096).unwrap()
    };
    let with_dictionary =
        zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap().compress(TWO).unwrap();
    let mut tar = [&b"a.json"[..], &[0; 94], b"0000644\0", &[0; 149], b"ustar\x0000", &[0; 248]];
    let tar = std::mem::take(&mut tar).concat();
    let random: Vec<u8> =
        (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    vec![
        ("a.zip", [b"PK\x03\x04\x14\0\0\0\x08\0", &random[..]].concat(), "zip"),
        ("b.7z", [b"7z\xbc\xaf\x27\x1c\0\x04", &random[..]].concat(), "7z"),
        ("c.parquet", [b"PAR1\x15\x04\x15", &random[..]].concat(), "parquet"),
        ("d.avro", [b"Obj\x01\x04\x14avro.codec", &random[..]].concat(), "avro"),
        ("e.tar.gz", gzip(&tar), "tar"),
        ("f.json", [&b"\xff\xfe"[..], &utf16].concat(), "UTF-16"),
        ("g.json", utf16.clone(), "UTF-16"),
        ("h.zst", with_dictionary, "zstd"),
        // A frame with a window of 2^28 bytes (RFC 8878, 3.1.1.1).
        ("i.zst", b"\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00".to_vec(), "zstd"),
        ("j.gz", [&gzip(TWO)[..10], &random[..]].concat(), "gzip"),
        ("k.gz", gzip(&gzip(&gzip(&gzip(TWO)))), "gzip"),
        ("l.bin", [b"\x93\0\x01", &random[..]].concat(), "binary"),
    ]
}

#[test]
fn an_object_that_cannot_be_read_at_all_fails_the_run_and_is_named_with_its_format() {
    for (name, bytes, format) in unreadable_objects() {
        let project = Project::new().logs(name, bytes).logs("good.ndjson", TWO);
        let run = project.run();
        run.fails_with(65, &["max_unreadable_objects", name, "found 1"]);
        let result = run.result();
        let named = &result["sources"]["unreadable"];
        assert!(named[0]["object"].as_str().unwrap().ends_with(name), "{named}");
        assert_eq!(named[0]["format"], format, "{named}");
        assert_eq!(result["sources"]["unreadable_objects"], 1);
        assert_eq!(counts(&result), [2, 2, 0, 0], "{name}: an object is no line");
        let record = &project.quarantine()[0];
        assert_eq!(record["reason"], "unreadable_object");
        assert_eq!(record["line"], Value::Null);
        assert!(project.rows().is_empty());
    }
}

#[test]
fn as_many_unreadable_objects_as_are_allowed_do_not_stop_the_others() {
    let objects = unreadable_objects();
    let count = objects.len();
    let mut project = project_with(&format!("max_unreadable_objects = {}", count - 1));
    project = project.logs("good.ndjson", TWO);
    for (name, bytes, _) in objects {
        project = project.logs(name, bytes);
    }
    project.run().fails_with(65, &[&format!("at most {}", count - 1), &format!("found {count}")]);
    let project = project.pipeline_with("", &format!("max_unreadable_objects = {count}"), OUTPUT);
    let result = project.run().published();
    assert_eq!(result["sources"]["unreadable_objects"], count);
    assert_eq!(result["sources"]["unreadable"].as_array().unwrap().len(), count);
    assert_eq!(result["sources"]["objects"], 1);
    assert_eq!(project.rows(), TWO_ROWS);
}

#[test]
fn shards_add_up_what_cannot_be_read() {
    let project = Project::new().logs("a.zip", b"PK\x03\x04\x14\0").logs("b.ndjson", TWO);
    for shard in ["0/2", "1/2"] {
        let run = project.ashiato("run", &["--date", "2026-11-21", "--shard", shard]);
        let expected = if shard == "0/2" { 65 } else { 0 };
        assert_eq!(run.code, Some(expected), "{run:#?}");
    }
    let project = project.pipeline_with("", "max_unreadable_objects = 1", OUTPUT);
    for shard in ["0/2", "1/2"] {
        let run = project.ashiato("run", &["--date", "2026-11-21", "--shard", shard]);
        assert_eq!(run.code, Some(0), "{run:#?}");
    }
    let result = project.ashiato("publish", &["--date", "2026-11-21", "--shards", "2"]).published();
    assert_eq!(result["sources"]["unreadable_objects"], 1);
    assert_eq!(project.rows(), TWO_ROWS);
}

#[test]
fn a_bad_line_before_good_ones_does_not_make_an_object_unreadable() {
    let bad: [&[u8]; 4] = [b"PK\n", b"ORC, PAR1\n", b"\xff\xff\n", b"\0\0\0\0\0\0\0\0\n"];
    for bad in bad {
        let project = Project::new().logs("a.ndjson", [bad, TWO].concat());
        assert_eq!(counts(&project.run().published()), [3, 2, 1, 0]);
    }
}

#[test]
fn values_side_by_side_over_lines_in_arrays_and_sequences_are_records() {
    let [first, second] =
        ["{\"id\":1,\"name\":\"a\",\"amount\":10}", "{\"id\":2,\"name\":\"b\",\"amount\":20}"];
    let pretty: String = [first, second]
        .map(|text| serde_json::from_str::<Value>(text).unwrap())
        .map(|value| serde_json::to_string_pretty(&value).unwrap() + "\n")
        .concat();
    for text in [
        format!("{first}{second}"),
        format!("{first},\n{second},\n"),
        pretty,
        format!("[{first},{second}]"),
        format!("[\n  {first},\n  {second}\n]\n"),
        format!("[{first}]\n[{second}]\n"),
        format!("\u{1e}{first}\n\u{1e}{second}\n"),
        format!("\u{feff}[{first}, {second}]"),
    ] {
        let project = Project::new().logs("a.json.gz", gzip(text.as_bytes()));
        assert_eq!(counts(&project.run().published()), [2, 2, 0, 0], "{text}");
        assert_eq!(project.rows(), TWO_ROWS, "{text}");
    }
}

#[test]
fn rejects_and_rows_of_values_know_their_number_and_offset_and_bytes() {
    let text = "{\"id\":1}{\n \"id\": \"x\"\n}\n{\"id\":3";
    let project = project_with("framing = \"values\"").logs("a.json", text);
    project.write("shop/rows.sql", "SELECT id, _offset, _line AS n, _source, _line FROM logs\n");
    let result = project.run().published();
    assert_eq!(counts(&result), [3, 1, 2, 0]);
    assert_eq!(project.rows(), ["1\t0\t1"]);
    let records = project.quarantine();
    assert_eq!((&records[0]["line"], &records[0]["offset"]), (&2.into(), &8.into()));
    assert_eq!(records[0]["raw"], "{\n \"id\": \"x\"\n}");
    assert_eq!(records[0]["reason"], "type_mismatch");
    assert_eq!((&records[1]["line"], &records[1]["offset"]), (&3.into(), &23.into()));
    assert_eq!(
        (&records[1]["raw"], &records[1]["reason"]),
        (&"{\"id\":3".into(), &"invalid_json".into())
    );
    let later = "{\"id\":1}{\"id\":2}\n{\"id\":3}";
    let project = project_with("").logs("a.json", later);
    project.write("shop/rows.sql", "SELECT id, _offset, _line AS n, _source, _line FROM logs\n");
    project.run().published();
    assert_eq!(project.rows(), ["1\t0\t1", "2\t8\t2", "3\t17\t3"]);
}

#[test]
fn a_broken_value_does_not_take_the_next_line_with_it() {
    let text = "{\"id\":1}\n{\"id\":2\n{\"id\":3}\n{\"id\":\"4\n{\"id\":5}\n";
    for framing in ["auto", "lines", "values"] {
        let project = project_with(&format!("framing = \"{framing}\"")).logs("a.json", text);
        let result = project.run().published();
        assert_eq!(counts(&result), [5, 3, 2, 0], "{framing}");
        let raws: Vec<Value> = project.quarantine().iter().map(|r| r["raw"].clone()).collect();
        assert_eq!(raws, ["{\"id\":2", "{\"id\":\"4"], "{framing}");
    }
}

#[test]
fn framing_says_what_a_record_is_where_the_first_one_does_not() {
    let text = "{\"id\":1}\n{\"id\":2}{\"id\":3}\n";
    let run = |framing: &str| {
        let project = project_with(&format!("framing = \"{framing}\"")).logs("a.json", text);
        counts(&project.run().published())
    };
    assert_eq!(run("auto"), [2, 1, 1, 0]);
    assert_eq!(run("lines"), [2, 1, 1, 0]);
    assert_eq!(run("values"), [3, 3, 0, 0]);
    project_with("framing = \"line\"").ashiato("check", &[]).fails_with(78, &["framing", "lines"]);
}

#[test]
fn an_array_that_is_cut_off_is_damaged_and_keeps_its_elements() {
    let project = Project::new().logs("a.json", "[{\"id\":1},\n{\"id\":2},\n");
    let result = project.run().published();
    assert_eq!(counts(&result), [3, 2, 1, 0]);
    assert_eq!(result["rejects_by_reason"]["damaged_stream"], 1);
    assert_eq!(result["sources"]["damaged"].as_array().unwrap().len(), 1);
}
