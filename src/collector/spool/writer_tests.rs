use std::fs::OpenOptions;
use std::io::Write;

use tempfile::TempDir;

use uuid::Uuid;

use super::*;
use crate::base::ids::RandomIds;
use crate::collector::spool::begin_line;

/// 2026-11-21T13:30:00 in Tokyo.
const NOW: i64 = 1_795_235_400_000;
const MINUTE: i64 = 60_000;

fn settings(folder: &TempDir) -> SpoolSettings {
    SpoolSettings {
        collector: "web-1".into(),
        folder: folder.path().join("spool"),
        path: "dt=%Y-%m-%d/hr=%H".into(),
        time_zone: chrono_tz::Asia::Tokyo,
        segment_bytes_max: 1 << 20,
        segment_age_max: Duration::from_secs(60),
        recent_ids_min: 1000,
    }
}

fn open(folder: &TempDir) -> Spool {
    Spool::open(settings(folder), Arc::new(RandomIds)).unwrap()
}

fn id(number: u64) -> Uuid {
    Uuid::from_u64_pair(5, number)
}

fn keys(id: Uuid) -> EventKeys {
    EventKeys { by_id: Some(id), by_text: None }
}

fn lines(numbers: &[u64]) -> Append {
    let mut append = Append::default();
    for number in numbers {
        let line = format!("{{\"event_id\":\"{}\",\"n\":{number}}}\n", id(*number));
        append.lines.extend_from_slice(line.as_bytes());
        append.entries.push(Entry { keys: keys(id(*number)), end: append.lines.len() });
    }
    append
}

/// The numbers of all events that the sealed segments hold, segment by segment.
fn sealed(spool: &Spool) -> Vec<(String, Vec<u64>)> {
    let mut found = Vec::new();
    while let Some(segment) = spool.backlog().first() {
        let mut numbers = Vec::new();
        read_segment(&segment.path, segment.bytes, |lines| {
            numbers.extend(lines_of(lines).filter_map(|(keys, _)| keys[0]).map(|id| id as u64));
            Ok(())
        })
        .unwrap();
        spool.backlog().remove(&segment);
        found.push((segment.name.folder, numbers));
    }
    found
}

#[test]
fn what_was_appended_is_there_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    spool.append(&lines(&[1, 2]), NOW).unwrap();
    spool.append(&lines(&[3]), NOW + 1).unwrap();
    // As a kill would: nothing is closed or sealed.
    drop(spool);
    let spool = open(&folder);
    assert_eq!(sealed(&spool), [("dt=2026-11-21/hr=13".to_owned(), vec![1, 2, 3])]);
}

#[test]
fn a_write_that_a_crash_broke_anywhere_is_cut_off_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    spool.append(&lines(&[1]), NOW).unwrap();
    let path = spool.open.as_ref().unwrap().path.clone();
    let whole = fs::read(&path).unwrap();
    let noted = path.with_extension("length");
    let acknowledged = fs::read(&noted).unwrap();
    spool.append(&lines(&[2]), NOW).unwrap();
    let both = fs::read(&path).unwrap();
    drop(spool);
    for length in whole.len()..both.len() {
        fs::write(&path, &both[..length]).unwrap();
        fs::write(&noted, &acknowledged).unwrap();
        let spool = open(&folder);
        assert!(spool.knows(id(1)) && !spool.knows(id(2)));
        assert_eq!(sealed(&spool), [("dt=2026-11-21/hr=13".to_owned(), vec![1])], "{length}");
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::write(&path, &both[..7]).unwrap();
    fs::remove_file(&noted).unwrap();
    assert_eq!(sealed(&open(&folder)), []);
    assert!(!path.exists(), "a segment without a whole frame is nothing");
}

#[test]
fn damage_in_the_middle_loses_only_what_is_damaged() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    for number in 1..=3 {
        spool.append(&lines(&[number]), NOW).unwrap();
    }
    let path = spool.open.as_ref().unwrap().path.clone();
    drop(spool);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(sealed(&open(&folder))[0].1, [1, 3]);
}

#[test]
fn damage_in_the_last_or_only_frame_is_no_broken_write_and_is_kept() {
    for frames in [1_u64, 2] {
        let folder = TempDir::new().unwrap();
        let mut spool = open(&folder);
        for number in 1..=frames {
            spool.append(&lines(&[number]), NOW).unwrap();
        }
        let path = spool.open.as_ref().unwrap().path.clone();
        drop(spool);
        let whole = fs::read(&path).unwrap();
        let frame = whole.len() / frames as usize;
        for bit in (0..frame * 8).step_by(7) {
            let mut bytes = whole.clone();
            let at = whole.len() - frame + bit / 8;
            bytes[at] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let spool = open(&folder);
            let damaged = crate::collector::spool::segment::damaged_path(&path);
            if frames == 1 {
                assert_eq!((sealed(&spool), spool.backlog().damaged()), (vec![], 1), "{bit}");
                assert_eq!(fs::read(&damaged).unwrap(), bytes);
                fs::remove_file(&damaged).unwrap();
            } else {
                assert_eq!(sealed(&spool)[0].1, [1], "{bit}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "it is put aside once it has landed");
            }
        }
    }
}

#[test]
fn a_segment_that_cannot_be_read_at_all_keeps_no_collector_from_starting() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    spool.append(&lines(&[1]), NOW).unwrap();
    let path = spool.open.as_ref().unwrap().path.clone();
    drop(spool);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::create_dir(folder.path().join("spool").join(format!("{}.ids", id(9)))).unwrap();
    let mut spool = open(&folder);
    assert_eq!(spool.backlog().damaged(), 1);
    spool.append(&lines(&[2]), NOW).unwrap();
    spool.end();
    assert_eq!(sealed(&spool)[0].1, [2]);
}

#[test]
fn an_event_that_comes_again_is_taken_once_even_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    assert_eq!(spool.append(&lines(&[1, 2, 1]), NOW).unwrap().repeated, 1);
    assert_eq!(spool.append(&lines(&[2, 3]), NOW).unwrap().repeated, 1);
    assert_eq!(spool.append(&lines(&[1, 2, 3]), NOW).unwrap().repeated, 3);
    drop(spool);
    let mut spool = open(&folder);
    assert_eq!(spool.append(&lines(&[3, 4]), NOW).unwrap().repeated, 1);
    spool.end();
    let all: Vec<u64> = sealed(&spool).into_iter().flat_map(|(_, numbers)| numbers).collect();
    assert_eq!(all, [1, 2, 3, 4]);
}

#[test]
fn segments_end_by_size_by_age_and_by_the_hour() {
    let folder = TempDir::new().unwrap();
    let mut spool = Spool::open(
        SpoolSettings { segment_bytes_max: 290, ..settings(&folder) },
        Arc::new(RandomIds),
    )
    .unwrap();
    for number in 0..7 {
        spool.append(&lines(&[number]), NOW).unwrap();
    }
    let sizes: Vec<usize> = sealed(&spool).iter().map(|(_, numbers)| numbers.len()).collect();
    assert_eq!(sizes, [4], "the next line ends a segment that is full");
    spool.end_if_due(NOW + MINUTE - 1);
    assert_eq!(sealed(&spool), []);
    spool.end_if_due(NOW + MINUTE);
    assert_eq!(sealed(&spool).len(), 1);
    spool.append(&lines(&[20]), NOW + 30 * MINUTE - 1).unwrap();
    spool.append(&lines(&[21]), NOW + 30 * MINUTE).unwrap();
    spool.end();
    let hours = sealed(&spool);
    assert_eq!(hours[0], ("dt=2026-11-21/hr=13".to_owned(), vec![20]));
    assert_eq!(hours[1], ("dt=2026-11-21/hr=14".to_owned(), vec![21]));
}

#[test]
fn one_process_has_a_spool_open() {
    let folder = TempDir::new().unwrap();
    let _spool = open(&folder);
    let error = Spool::open(settings(&folder), Arc::new(RandomIds)).unwrap_err();
    assert!(error.to_string().contains("one collector has one folder"), "{error}");
}

#[test]
fn a_disk_that_cannot_be_written_takes_nothing_and_the_next_write_is_whole() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    spool.append(&lines(&[1]), NOW).unwrap();
    let path = spool.open.as_ref().unwrap().path.clone();
    // A device that is always full stands for the segment's file.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let good = spool.open.as_mut().unwrap().replace_file(full);
    let error = spool.append(&lines(&[2]), NOW).unwrap_err();
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(!spool.knows(id(2)));
    drop(good);
    spool.append(&lines(&[2]), NOW).unwrap();
    spool.end();
    let numbers: Vec<Vec<u64>> = sealed(&spool).into_iter().map(|(_, numbers)| numbers).collect();
    assert_eq!(numbers, [vec![1], vec![2]], "{}", path.display());
}

#[test]
fn a_refused_frame_that_could_not_be_cut_off_does_not_come_back_with_the_next_start() {
    for acknowledged in [vec![1], vec![]] {
        let folder = TempDir::new().unwrap();
        let mut spool = open(&folder);
        acknowledged.iter().for_each(|number| {
            spool.append(&lines(&[*number]), NOW).unwrap();
        });
        if spool.open.is_none() {
            let (folder, now_ms) = (folder.path().join("spool"), NOW);
            let name = SegmentName {
                folder: String::new(),
                collector: "web-1".to_owned(),
                id: RandomIds.next(now_ms),
            };
            spool.open = Some(OpenSegment::create(&folder, name, now_ms).unwrap());
        }
        let path = spool.open.as_ref().unwrap().path.clone();
        let before = fs::read(&path).unwrap();
        // The frame is whole on the disk, which said that it is not and cannot be cut off.
        spool.frames.clear();
        spool.frames.push(&lines(&[2]).lines);
        spool.frames.seal();
        fs::write(&path, [&before[..], spool.frames.bytes()].concat()).unwrap();
        let open_segment = spool.open.as_mut().unwrap();
        open_segment.is_broken = true;
        spool.append(&lines(&[2]), NOW + 1).unwrap();
        drop(spool);
        let spool = open(&folder);
        assert_eq!(spool.backlog().damaged(), 0);
        let numbers: Vec<u64> = sealed(&spool).into_iter().flat_map(|(_, all)| all).collect();
        assert_eq!(numbers, [acknowledged, vec![2]].concat());
    }
}

#[test]
fn nothing_is_taken_while_it_cannot_be_said_where_a_refused_frame_begins() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    spool.append(&lines(&[1]), NOW).unwrap();
    let open_segment = spool.open.as_mut().unwrap();
    open_segment.is_broken = true;
    let length = open_segment.path.with_extension("length");
    fs::remove_file(&length).unwrap();
    fs::create_dir(&length).unwrap();
    assert!(spool.append(&lines(&[2]), NOW).is_err());
    spool.tick(NOW + MINUTE);
    assert_eq!(sealed(&spool), [], "it is not ended either");
    fs::remove_dir(&length).unwrap();
    spool.append(&lines(&[2]), NOW).unwrap();
    spool.end();
    let numbers: Vec<Vec<u64>> = sealed(&spool).into_iter().map(|(_, numbers)| numbers).collect();
    assert_eq!(numbers, [[1], [2]]);
}

#[test]
fn a_segment_that_somebody_removes_while_it_is_written_is_put_back() {
    type Removal = fn(&Path);
    let removals: [Removal; 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::remove_dir_all(path.parent().unwrap()).unwrap(),
        |path| fs::rename(path, path.with_extension("bak")).unwrap(),
        |path| {
            let folder = path.parent().unwrap();
            fs::rename(folder, folder.with_extension("bak")).unwrap();
        },
    ];
    for removal in removals {
        for idle in [false, true] {
            let folder = TempDir::new().unwrap();
            let mut spool = open(&folder);
            spool.append(&lines(&[1]), NOW).unwrap();
            removal(&spool.open.as_ref().unwrap().path);
            if idle {
                spool.tick(NOW + 1);
            } else {
                spool.append(&lines(&[2]), NOW + 1).unwrap();
            }
            spool.append(&lines(&[3]), NOW + 2).unwrap();
            assert!(Spool::open(settings(&folder), Arc::new(RandomIds)).is_err(), "it is locked");
            drop(spool);
            let spool = open(&folder);
            let expected = if idle { vec![1, 3] } else { vec![1, 2, 3] };
            assert_eq!(sealed(&spool)[0].1, expected);
            assert_eq!(spool.backlog().damaged(), 0);
        }
    }
}

#[test]
fn nothing_is_taken_while_a_removed_segment_cannot_be_put_back_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    spool.append(&lines(&[1]), NOW).unwrap();
    let spool_folder = folder.path().join("spool");
    fs::remove_dir_all(&spool_folder).unwrap();
    fs::write(&spool_folder, "no folder").unwrap();
    for _ in 0..3 {
        assert!(spool.append(&lines(&[2]), NOW).is_err());
        assert!(!spool.knows(id(2)));
    }
    spool.end();
    assert_eq!(sealed(&spool), []);
    fs::remove_file(&spool_folder).unwrap();
    spool.append(&lines(&[2]), NOW).unwrap();
    spool.end();
    assert_eq!(sealed(&spool)[0].1, [1, 2]);
}

#[test]
fn acknowledged_events_that_a_cut_segment_lost_are_counted_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    for number in 1..=3 {
        spool.append(&lines(&[number]), NOW).unwrap();
    }
    let path = spool.open.as_ref().unwrap().path.clone();
    let length = path.with_extension("length");
    drop(spool);
    let (whole, noted) = (fs::read(&path).unwrap(), fs::read(&length).unwrap());
    let frame = whole.len() / 3;
    let kept = [0, 1, frame, frame + 20, 2 * frame, whole.len() - 1, whole.len()];
    for bytes in kept {
        fs::write(&path, &whole[..bytes]).unwrap();
        fs::write(&length, &noted).unwrap();
        let spool = open(&folder);
        assert_eq!(spool.backlog().damaged(), u64::from(bytes < whole.len()), "{bytes}");
        let numbers: Vec<u64> = sealed(&spool).into_iter().flat_map(|(_, all)| all).collect();
        assert_eq!(numbers, (1..=(bytes / frame) as u64).collect::<Vec<_>>());
    }
    // A write that was broken after them, or one that nobody was told of, is no damage.
    for rest in [&whole[..7], &whole[..frame]] {
        fs::write(&path, [&whole[..], rest].concat()).unwrap();
        assert_eq!(open(&folder).backlog().damaged(), 0);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(open(&folder).backlog().damaged(), 1, "all of it is lost");
    assert_eq!(open(&folder).backlog().damaged(), 0, "which is told once");
}

#[test]
fn ids_of_what_has_landed_are_read_at_the_start() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    let path = folder.path().join("spool").join(format!("{}.ids", id(9)));
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&id(1).as_u128().to_be_bytes()).unwrap();
    file.write_all(b"cut").unwrap();
    assert!(open(&folder).knows(id(1)));
}

/// An append of events with two keys each.
fn with_two_keys(events: &[(u64, u64)]) -> Append {
    let mut append = Append::default();
    for (id_number, text_number) in events {
        let [by_id, by_text] = [id(*id_number), id(*text_number)].map(Some);
        let keys = EventKeys { by_id, by_text };
        begin_line(keys, &mut append.lines);
        append.lines.extend_from_slice(b"{}\n");
        append.entries.push(Entry { keys, end: append.lines.len() });
    }
    append
}

#[test]
fn as_many_events_as_configured_are_known_though_each_has_two_keys() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    let events: Vec<(u64, u64)> = (0..2500).map(|number| (number, 10_000 + number)).collect();
    for batch in events.chunks(10) {
        assert_eq!(spool.append(&with_two_keys(batch), NOW).unwrap(), KnownEvents::default());
    }
    let last = with_two_keys(&events[1500..]);
    assert_eq!(spool.append(&last, NOW).unwrap().repeated, 1000);
    drop(spool);
    assert_eq!(open(&folder).append(&last, NOW).unwrap().repeated, 1000);
}

#[test]
fn an_event_is_known_by_either_key_and_another_one_of_its_id_is_told_from_one_that_comes_again() {
    let folder = TempDir::new().unwrap();
    let mut spool = open(&folder);
    let mut append = |events: &[(u64, u64)]| {
        let KnownEvents { repeated, reused } = spool.append(&with_two_keys(events), NOW).unwrap();
        (repeated, reused)
    };
    assert_eq!(append(&[(1, 11)]), (0, 0));
    assert_eq!(append(&[(1, 11)]), (1, 0));
    assert_eq!(append(&[(2, 11)]), (1, 0), "word for word, of who is another now");
    assert_eq!(append(&[(1, 12)]), (0, 1), "it says something else");
    assert_eq!(append(&[(3, 13), (3, 14), (3, 13)]), (1, 1));
}
