//! What becomes of objects that are odd: in their names, their formats, their framing.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::servers::{self, Server};
use crate::support::{DAY, Finished, OUTPUT, Project, finish, gzip};

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

/// A line with an id.
fn line(id: u32) -> String {
    format!("{{\"id\":{id}}}\n")
}

/// The ids of the rows.
fn ids(project: &Project) -> Vec<String> {
    project.rows().iter().map(|row| row.split('\t').next().unwrap().to_owned()).collect()
}

/// A file's name in the day's folder, by its bytes.
fn odd_file(project: &Project, name: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    project.path("logs/dt=2026-11-21").join(std::ffi::OsStr::from_bytes(name))
}

#[test]
fn files_with_odd_names_are_read_and_hide_no_others() {
    let project = Project::new().logs("good.ndjson", line(1));
    let names: [&[u8]; 4] =
        [b"\x91\xab\x90\xd5.json", b"a\tb.json", b"line\nfeed.json", "\u{10fffe}-.json".as_bytes()];
    for (name, id) in names.iter().zip(2..) {
        std::fs::write(odd_file(&project, name), line(id)).unwrap();
    }
    std::fs::create_dir(odd_file(&project, b"\xff")).unwrap();
    std::fs::write(odd_file(&project, b"\xff/x.json"), line(6)).unwrap();
    project.write(
        "shop/rows.sql",
        "SELECT id, split_part(_source, '/', -1) AS name, _source, _line FROM logs\n",
    );
    project.run().published();
    let rows = project.rows();
    assert_eq!(rows.len(), 6, "{rows:?}");
    assert!(rows.contains(&"2\t\\\\x91\\\\xab\\\\x90\\\\xd5.json".to_owned()), "{rows:?}");
    assert_eq!(project.run().result()["status"], "already_published");
}

#[test]
fn what_is_not_read_of_a_folder_is_counted_by_its_reason() {
    let project = Project::new().logs("a.ndjson", line(1)).logs("b.json", line(2));
    for hidden in ["_SUCCESS", ".a.crc", "_temporary/0/x", ".x/y"] {
        project.write(&format!("logs/dt=2026-11-21/{hidden}"), line(9));
    }
    for (name, text) in
        [("empty", ""), ("x#1", "{}"), ("y#12", "{}"), ("z#1a.ndjson", "{\"id\":3}")]
    {
        project.write(&format!("logs/dt=2026-11-21/{name}"), text);
    }
    let result = project.run().published();
    let skipped = serde_json::json!({"hidden_name": 4, "empty": 1, "unfinished_upload": 2});
    assert_eq!(result["sources"]["skipped"], skipped);
    assert_eq!(ids(&project), ["1", "2", "3"]);
    let project = project.pipeline_with("", "glob = \"*.ndjson\"", OUTPUT);
    let skipped = project.run().published()["sources"]["skipped"].clone();
    assert_eq!(skipped["glob"], 2, "{skipped}");
}

#[test]
fn a_name_that_leads_nowhere_is_unreadable_and_the_others_are_read_where_that_is_allowed() {
    let project = project_with("max_unreadable_objects = 0").logs("good.ndjson", line(1));
    let folder = project.path("logs/dt=2026-11-21");
    std::os::unix::fs::symlink("nothing", folder.join("dangling.json")).unwrap();
    std::os::unix::fs::symlink(".", folder.join("loop")).unwrap();
    let run = project.run();
    run.fails_with(65, &["found 2", "dangling.json: a symbolic link to nothing", "loop: "]);
    let project = project.pipeline_with("", "max_unreadable_objects = 2", OUTPUT);
    assert_eq!(project.run().published()["sources"]["unreadable_objects"], 2);
    assert_eq!(ids(&project), ["1"]);
}

#[test]
fn links_pipes_and_sockets_among_a_sources_files_hide_no_others_and_stop_no_run() {
    let project = project_with("max_unreadable_objects = 5").logs("good.ndjson", line(1));
    let folder = project.path("logs/dt=2026-11-21");
    std::os::unix::fs::symlink("b", folder.join("a")).unwrap();
    std::os::unix::fs::symlink("a", folder.join("b")).unwrap();
    std::os::unix::fs::symlink("good.ndjson/x", folder.join("below_a_file")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket.json")).unwrap();
    nix::unistd::mkfifo(&folder.join("pipe.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let result = project.run().published();
    assert_eq!(result["sources"]["unreadable_objects"], 5, "{result}");
    assert_eq!(ids(&project), ["1"]);
}

#[test]
fn a_place_below_a_file_and_a_pipe_for_a_place_are_faults_of_the_configuration() {
    let project = Project::new().logs("good.ndjson", line(1));
    let pipe = project.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let file = project.path("logs/dt=2026-11-21/good.ndjson");
    for source in [file.join("raw"), pipe.clone(), PathBuf::from("/dev/stdin")] {
        let run = finish(project.command("run", &DAY).env("SOURCE", &source));
        run.fails_with(78, &["expected a file or a directory, found neither"]);
    }
    let pipe = pipe.display();
    for looked_up in [
        format!("[[reference]]\nname = \"shops\"\nlocation = \"{pipe}\"\nformat = \"csv\"\n"),
        format!("[[reference]]\nname = \"s\"\nlocation = \"{pipe}\"\nformat = \"parquet\"\n"),
        format!("[enrichment]\ngeoip = [\"{pipe}\"]\n"),
        format!("[enrichment]\ntax_table = \"{pipe}\"\n"),
    ] {
        let project = Project::new().pipeline(&format!("{OUTPUT}{looked_up}"));
        project.ashiato("check", &[]).fails_with(78, &["pipeline.toml:", "pipe"]);
    }
}

#[test]
fn an_object_that_alone_is_denied_is_unreadable_and_a_store_that_denies_all_is_refused() {
    let server = servers::gcs();
    let put = |name: &str, id| server.put_plainly(name, "", line(id).as_bytes());
    put("raw/dt=2026-11-21/a_denied.json", 8);
    put("raw/dt=2026-11-21/good.json", 1);
    put("raw/dt=2026-11-21/with_customers_key.json", 9);
    let project = project_with("max_unreadable_objects = 1");
    let run = run_from(&server, &project, "raw");
    run.fails_with(65, &["found 2", "a_denied.json: access is denied", "others can be read"]);
    run.fails_with(65, &["with_customers_key.json: it is encrypted with a key"]);
    let project = project.pipeline_with("", "max_unreadable_objects = 2", OUTPUT);
    let result = run_from(&server, &project, "raw").published();
    assert_eq!(result["sources"]["unreadable"][0]["format"], "denied", "{result}");
    assert_eq!(result["sources"]["unreadable"][1]["format"], "withheld", "{result}");
    assert_eq!(ids(&project), ["1"]);
    for number in 0..20 {
        put(&format!("other/dt=2026-11-21/{number}_denied.json"), 8);
    }
    let project = project.pipeline_with("", "max_unreadable_objects = 100", OUTPUT);
    let run = run_from(&server, &project, "other");
    run.fails_with(78, &["_denied.json: access is denied", "none can be read either", "`glob`"]);
    // Alone it might be the credentials: to go on would publish an empty table.
    put("alone/dt=2026-11-21/a_denied.json", 8);
    let run = run_from(&server, &project, "alone");
    run.fails_with(78, &["a_denied.json: access is denied", "the only object", "`glob`"]);
}

/// Runs with the source in a server's bucket.
fn run_from(server: &Server, project: &Project, place: &str) -> Finished {
    let source = format!("{}/{place}", server.bucket);
    finish(server.set(project.command("run", &DAY).env("SOURCE", source)))
}

/// An object whose name has an empty part, and its folder's marker, are put by the client itself:
/// its paths have such parts if they are made piece by piece.
fn put_beside_empty_parts(server: &Server, id: u32) {
    use object_store::ObjectStoreExt;
    use object_store::path::Path;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let location = ashiato::internals::StoreLocation::parse(server.bucket).unwrap();
    let store = ashiato::internals::Store::open(&location, &server.stores()).unwrap();
    let folder = Path::from("raw").join("dt=2026-11-21").join("");
    let object = folder.join("odd.json");
    runtime.block_on(store.store.put(&object, line(id).into())).unwrap();
    runtime.block_on(server.put("raw/dt=2026-11-21/good.json", line(1).as_bytes()));
}

#[test]
fn objects_with_odd_names_are_read_from_s3_and_hide_no_others() {
    let server = servers::s3();
    put_beside_empty_parts(&server, 2);
    server.put_plainly("raw/dt=2026-11-21/tab%09and%20%25.json", "", line(3).as_bytes());
    let project = Project::new();
    run_from(&server, &project, "raw").published();
    assert_eq!(ids(&project), ["1", "2", "3"]);
}

#[test]
fn objects_with_odd_names_are_read_from_google_and_hide_no_others() {
    let server = servers::gcs();
    put_beside_empty_parts(&server, 2);
    let put = |name: &str, id| server.put_plainly(name, "", line(id).as_bytes());
    put("raw/dt=2026-11-21/tab%09x.json", 3);
    put("raw/dt=2026-11-21/%01.json", 4);
    put("raw/dt=2026-11-21//", 5);
    server.put_plainly("raw/dt=2026-11-21/folder/", "", b"");
    let project = project_with("max_unreadable_objects = 0");
    let result = run_from(&server, &project, "raw").published();
    assert_eq!(ids(&project), ["1", "2", "3", "4", "5"]);
    assert_eq!(result["sources"]["skipped"]["empty"], 1);
    put("raw/dt=2026-11-21/a/../b.json", 6);
    let run = run_from(&server, &project, "raw");
    run.fails_with(65, &["a/../b.json: a part of its name is `.` or `..`"]);
    let project = project.pipeline_with("", "max_unreadable_objects = 1", OUTPUT);
    run_from(&server, &project, "raw").published();
    assert_eq!(ids(&project).len(), 5);
}

#[test]
fn objects_with_odd_names_are_read_from_azure_and_hide_no_others() {
    let server = servers::azure();
    put_beside_empty_parts(&server, 2);
    let project = Project::new();
    run_from(&server, &project, "raw").published();
    assert_eq!(ids(&project), ["1", "2"]);
}

#[test]
fn a_location_with_an_empty_part_is_refused_and_reads_nothing_else() {
    let server = servers::gcs();
    let project = Project::new();
    for place in ["/raw", "/", "raw//x", "raw//"] {
        let run = run_from(&server, &project, place);
        run.fails_with(78, &[&format!("gs://lake/{place}"), "empty part (`//`)"]);
        let source = format!("{}/{place}", server.bucket);
        let check = finish(project.command("check", &[]).env("SOURCE", source));
        check.fails_with(78, &["pipeline.toml", "empty part (`//`)"]);
    }
}

#[test]
fn an_object_that_google_would_unpack_on_its_way_is_read_as_it_is_stored() {
    let server = servers::gcs();
    let packed = gzip(TWO);
    server.put_plainly("raw/dt=2026-11-21/a.json", "Content-Encoding: gzip\r\n", &packed);
    let project = Project::new();
    let result = run_from(&server, &project, "raw").published();
    assert_eq!(project.rows(), TWO_ROWS);
    assert_eq!(result["sources"]["compressed_bytes"], packed.len());
}

#[test]
fn an_endpoint_that_cannot_be_used_is_a_fault_of_the_configuration_and_is_named_at_once() {
    let project = Project::new();
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let account = [("AZURE_STORAGE_ACCOUNT_NAME", "a"), ("AZURE_STORAGE_ACCOUNT_KEY", "YQ==")];
    for (source, name, value, expected) in [
        ("s3://b/raw", "AWS_ENDPOINT", "http://127.0.0.1:9", "AWS_ALLOW_HTTP"),
        ("s3://b/raw", "AWS_ENDPOINT_URL", "http://127.0.0.1:9", "AWS_ALLOW_HTTP"),
        ("s3://b/raw", "AWS_ENDPOINT", "127.0.0.1:9", "expected a URL"),
        ("s3://b/raw", "AWS_ENDPOINT", "minio", "expected a URL"),
        ("gs://b/raw", "GOOGLE_BASE_URL", "http://127.0.0.1:9", "GOOGLE_ALLOW_HTTP"),
        ("az://b/raw", "AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9/a", "AZURE_ALLOW_HTTP"),
        ("s3://b/raw", "AWS_PROXY_URL", "::nonsense::", "proxy"),
        ("s3://b/raw", "AWS_TIMEOUT", "soon", "soon"),
    ] {
        let begun = std::time::Instant::now();
        let mut command = project.command("run", &DAY);
        let key =
            r#"{"private_key":"-","private_key_id":"-","client_email":"-","disable_oauth":true}"#;
        command.envs(keys).envs(account).env("GOOGLE_SERVICE_ACCOUNT_KEY", key);
        let run = finish(command.env("SOURCE", source).env(name, value));
        run.fails_with(78, &[expected]);
        assert!(begun.elapsed().as_secs() < 20, "{name}={value} was tried again: {run:#?}");
    }
}

#[test]
fn fields_without_leading_zeros_name_what_others_write() {
    for (template, object) in [
        ("%Y-%m-%d-%-H.json.gz", "2026-11-21-9.json.gz"),
        ("%Y/%-m/%-d/", "2026/11/21/a.json"),
        ("%d %b %Y/%k/", "21 Nov 2026/ 9/a.json"),
        ("%G-W%V/", "2026-W47/a.json"),
    ] {
        let text = Project::new();
        text.write(&format!("logs/{object}"), line(1));
        let pipeline = std::fs::read_to_string(text.path("shop/pipeline.toml")).unwrap();
        let pipeline =
            pipeline.replace("path = \"dt=%Y-%m-%d/\"", &format!("path = \"{template}\""));
        text.write("shop/pipeline.toml", pipeline);
        let interval = match template.contains("%V") {
            true => ["2026-11-16T00:00:00+09:00", "2026-11-23T00:00:00+09:00"],
            false => ["2026-11-21T00:00:00+09:00", "2026-11-22T00:00:00+09:00"],
        };
        let interval = ["--interval-start", interval[0], "--interval-end", interval[1]];
        text.ashiato("run", &interval).published();
        assert_eq!(ids(&text), ["1"], "{template}");
    }
}

#[test]
fn nothing_to_do_says_what_was_looked_for_and_what_is_there_instead() {
    let project = Project::new();
    for hour in 0..30 {
        project.write(&format!("logs/2026-11-21-{hour}.json.gz"), line(1));
    }
    project.write("logs/_SUCCESS", "x");
    let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    let text = text.replace("dt=%Y-%m-%d/", "%Y-%m-%d-%H.json");
    project.write("shop/pipeline.toml", text);
    let run = project.run();
    let first = project.path("logs/2026-11-21-00.json");
    let looked_for = format!("looked for {} to ", first.display());
    run.fails_with(
        99,
        &[&looked_for, "(24 names)", "the nearest that exist", "2026-11-21-0.json.gz"],
    );
    let server = servers::gcs();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(server.put("raw/dt=2026-11-22/a.json", b"{}"));
    let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    project.write("shop/pipeline.toml", text.replace("%Y-%m-%d-%H.json", "dt=%Y-%m-%d/"));
    let run = run_from(&server, &project, "raw");
    let nearest = "the nearest that exist: gs://lake/raw/dt=2026-11-22/";
    run.fails_with(99, &["looked for gs://lake/raw/dt=2026-11-21/;", nearest]);
}

#[test]
fn parts_that_a_template_leaves_open_are_found_and_become_columns_on_wish() {
    let names = [
        ("AWSLogs/111/CloudTrail/eu-west-1/2026/11/21/a.json", 1),
        ("AWSLogs/111/CloudTrail/us-east-1/2026/11/21/a.json", 2),
        ("AWSLogs/222/CloudTrail/us-east-1/2026/11/21/b.json", 3),
        ("AWSLogs/222/CloudTrail/us-east-1/2026/11/22/c.json", 9),
        ("AWSLogs/222/Config/us-east-1/2026/11/21/d.json", 9),
        ("AWSLogs/_x/CloudTrail/us-east-1/2026/11/21/e.json", 9),
        ("other/111/CloudTrail/eu-west-1/2026/11/21/f.json", 9),
    ];
    let server = servers::s3();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let project = Project::new();
    for (name, id) in names {
        project.write(&format!("logs/{name}"), line(id));
        runtime.block_on(server.put(name, line(id).as_bytes()));
    }
    let text = std::fs::read_to_string(project.path("shop/pipeline.toml")).unwrap();
    let template = "AWSLogs/{account}/CloudTrail/*/%Y/%m/%d/";
    project.write("shop/pipeline.toml", text.replace("dt=%Y-%m-%d/", template));
    project.write("shop/rows.sql", "SELECT id, account, _source, _line FROM logs\n");
    project.run().published();
    assert_eq!(project.rows(), ["1\t111", "2\t111", "3\t222"]);
    let result = run_from(&server, &project, "").published();
    assert_eq!(result["outputs"]["rows"]["rows"], 3);
    assert_eq!(project.rows(), ["1\t111", "2\t111", "3\t222"]);
}

#[test]
fn long_lines_and_large_windows_of_many_objects_stay_within_the_memory_limit() {
    let line = |id: u32| format!("{{\"id\":{id},\"name\":\"{}\"}}\n", "x".repeat(15 << 20));
    let lines: String = (0..3).map(line).collect();
    let mut windowed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    windowed.long_distance_matching(true).unwrap();
    windowed.window_log(27).unwrap();
    windowed.write_all(lines.as_bytes()).unwrap();
    let windowed = windowed.finish().unwrap();
    for bytes in [gzip(lines.as_bytes()), windowed] {
        let resources = "[resources]\nmemory_limit = \"512MiB\"\nthreads = 8\n";
        let mut project = Project::new().pipeline(&format!("{resources}{OUTPUT}"));
        project.write("shop/rows.sql", "SELECT id, length(name) AS n, _source, _line FROM logs\n");
        for number in 0..8 {
            project = project.logs(&format!("{number}.json"), &bytes);
        }
        let result = project.run().published();
        assert_eq!(result["decoded"], 24);
        let peak = result["peak_memory_bytes"].as_u64().unwrap() >> 20;
        assert!(peak < 512, "{peak} MiB");
    }
}
