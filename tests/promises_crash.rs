//! Kills, full disks and rivals: the next attempt ends with the right table, and no hand is needed.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::servers::{self, Server};
use crate::support::{DAY, Finished, Project, files_below, finish, tsv_lines};

/// Random kills in each place.
const KILLS: u32 = 200;

const OUTPUT: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv"]
partition_by = ["name"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
[[output]]
name = "names"
location = "${OUT}/names"
formats = ["tsv", "parquet"]
[output.tsv]
compression = "none"
"#;

/// A pipeline whose tables and state are on disk or in S3, and whose input changes.
struct Bed {
    project: Project,
    server: Option<Server>,
    version: std::cell::Cell<u32>,
}

impl Bed {
    fn on_disk() -> Self {
        let project = Project::new().pipeline(OUTPUT);
        project.write("shop/names.sql", "SELECT name, id FROM logs");
        Bed { project, server: None, version: 0.into() }
    }

    fn in_s3() -> Self {
        Bed { server: Some(servers::s3()), ..Bed::on_disk() }
    }

    /// Another input, as of a late fix: rows of the same number and size.
    fn change_input(&self) {
        let version = self.version.get() + 1;
        self.version.set(version);
        let line =
            |id: u32| format!("{{\"id\":{id},\"name\":\"n{}\",\"amount\":{version}}}\n", id % 3);
        self.project.write("logs/dt=2026-11-21/a.ndjson", (0..50).map(line).collect::<String>());
    }

    fn expected(&self) -> Vec<String> {
        let version = self.version.get();
        let mut rows: Vec<String> = (0..50).map(|id| format!("{id}\t{version}")).collect();
        rows.sort();
        rows
    }

    fn command(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = self.project.command(subcommand, arguments);
        // A dead attempt in a store is not waited for.
        command.env("ASHIATO_PUBLISH_PATIENCE_SECONDS", "0");
        if let Some(server) = &self.server {
            server.set(&mut command).env("OUT", format!("{}/out", server.bucket));
        }
        command
    }

    fn run(&self) -> Finished {
        finish(&mut self.command("run", &DAY))
    }

    /// The rows of the table, as readers by listing see them.
    fn rows(&self) -> Vec<String> {
        let Some(server) = &self.server else { return tsv_lines(&self.project.path("out/rows")) };
        let objects = Runtime::new().unwrap().block_on(server.objects("out/rows"));
        let tsv = objects.into_iter().filter(|(name, _)| name.ends_with(".tsv"));
        let mut rows: Vec<String> = tsv
            .flat_map(|(_, bytes)| {
                let text = String::from_utf8(bytes).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        rows
    }

    /// The next attempt, and that all is right after it.
    fn recover(&self, what: &str) {
        let next = self.run();
        let is_published =
            ["published", "already_published"].contains(&next.result()["status"].as_str().unwrap());
        assert!(next.code == Some(0) && is_published, "{what}: {next:?}");
        assert_eq!(self.rows(), self.expected(), "{what}");
    }

    fn verify(&self, what: &str) {
        let verified = finish(&mut self.command("verify", &DAY));
        assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
    }

    fn is_killed_before_every_act(&self) {
        self.change_input();
        self.run().published();
        for act in 0.. {
            self.change_input();
            let mut command = self.command("run", &DAY);
            let ended = finish(command.env("ASHIATO_TEST_KILL_AT", act.to_string()));
            self.recover(&format!("killed before act {act}"));
            self.verify(&format!("killed before act {act}"));
            if ended.code == Some(0) {
                assert!(act > 15, "all acts of a publish were tried: {act}");
                return;
            }
            assert_eq!(ended.code, None, "killed before act {act}: {ended:?}");
        }
    }

    fn is_killed_at_random_moments(&self) {
        self.change_input();
        let started = Instant::now();
        self.run().published();
        let time = started.elapsed();
        let mut killed = 0;
        for kill in 0..KILLS {
            self.change_input();
            let mut child = self.command("run", &DAY).spawn_silently();
            // Golden ratio: moments spread evenly, and none comes twice.
            let moment = (f64::from(kill) * 0.618_034).fract() * 1.1;
            std::thread::sleep(Duration::from_secs_f64(time.as_secs_f64() * moment));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().code().is_none());
            self.recover(&format!("kill {kill} after {moment:.2} of a run"));
        }
        self.verify("after all kills");
        assert!(killed > KILLS / 2, "most runs were killed before their end: {killed}");
        let collected = finish(&mut self.command("gc", &["--older-than", "0"]));
        assert_eq!(collected.code, Some(0), "{collected:?}");
        if let Some(server) = &self.server {
            assert_eq!(Runtime::new().unwrap().block_on(server.open_uploads("out")), 0);
        }
        assert_eq!(self.rows(), self.expected());
    }

    /// Attempts at one interval, all at once; gives their results.
    fn race(&self, attempts: usize) -> Vec<Finished> {
        let children: Vec<_> =
            (0..attempts).map(|_| self.command("run", &DAY).spawn_piped()).collect();
        children.into_iter().map(|child| child.finish()).collect()
    }

    fn exactly_one_publishes(&self, attempts: usize, times: u32) {
        for time in 0..times {
            self.change_input();
            let finished = self.race(attempts);
            let status = |one: &Finished| one.result()["status"].as_str().unwrap().to_owned();
            let published: Vec<Value> = finished
                .iter()
                .filter(|one| status(one) == "published")
                .map(Finished::result)
                .collect();
            assert_eq!(published.len(), 1, "{attempts} attempts, time {time}: {finished:#?}");
            for other in finished.iter().filter(|one| status(one) != "published") {
                match other.code {
                    Some(0) => assert_eq!(status(other), "already_published"),
                    _ => other.fails_with(75, &["attempt"]),
                }
            }
            assert_eq!(self.rows(), self.expected(), "{attempts} attempts, time {time}");
        }
        if let Some(server) = &self.server {
            let open = Runtime::new().unwrap().block_on(server.open_uploads("out"));
            assert_eq!(open, 0, "what the others wrote was discarded");
        }
    }
}

/// Starting processes that are not waited for at once.
trait Start {
    fn spawn_silently(&mut self) -> std::process::Child;
    fn spawn_piped(&mut self) -> Started;
}

struct Started(std::process::Child);

impl Started {
    fn finish(self) -> Finished {
        let output = self.0.wait_with_output().unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Start for Command {
    fn spawn_silently(&mut self) -> std::process::Child {
        use std::process::Stdio;
        self.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn spawn_piped(&mut self) -> Started {
        use std::process::Stdio;
        Started(self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

#[test]
fn a_kill_before_any_act_of_a_publish_on_disk_is_recovered_by_the_next_attempt() {
    Bed::on_disk().is_killed_before_every_act();
}

#[test]
fn a_kill_before_any_act_of_a_publish_in_s3_is_recovered_by_the_next_attempt() {
    Bed::in_s3().is_killed_before_every_act();
}

#[test]
fn kills_at_200_random_moments_on_disk_are_recovered_by_the_next_attempt() {
    Bed::on_disk().is_killed_at_random_moments();
}

#[test]
fn kills_at_200_random_moments_in_s3_are_recovered_by_the_next_attempt() {
    Bed::in_s3().is_killed_at_random_moments();
}

#[test]
fn of_attempts_at_one_interval_on_disk_all_at_once_exactly_one_publishes() {
    let bed = Bed::on_disk();
    bed.exactly_one_publishes(2, 100);
    bed.exactly_one_publishes(8, 100);
}

#[test]
fn of_attempts_at_one_interval_in_s3_all_at_once_exactly_one_publishes() {
    let bed = Bed::in_s3();
    bed.exactly_one_publishes(2, 100);
    bed.exactly_one_publishes(8, 20);
}

/// Whether this user may mount in a namespace of its own.
pub fn unshare() -> Option<Vec<&'static str>> {
    let ways = [vec!["--mount"], vec!["--user", "--map-root-user", "--mount"]];
    ways.into_iter().find(|way| {
        let mount = "mount -t tmpfs none /mnt";
        let tried = Command::new("unshare").args(way).args(["sh", "-c", mount]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// Why a test that fills a disk is not run.
pub const NO_SMALL_DISK: &str = "this user may not mount a small disk (unshare --mount)";

/// Says that a test was not run, past the output of tests, which is shown for those that fail only.
pub fn say_not_run(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\nNOT RUN: {test}: {why}");
}

/// Runs a script in which `$DISK` is a small disk of its own, which is seen by nobody else.
fn on_a_small_disk(bed: &Bed, way: &[&str], script: &str) -> Finished {
    let binary = env!("CARGO_BIN_EXE_ashiato");
    let mut command = Command::new("unshare");
    let script = format!(
        "set -eu; DISK='{}'; mkdir -p \"$DISK\"; mount -t tmpfs -o size=3m none \"$DISK\"\n\
         run() {{ OUT=\"$DISK/out\" '{binary}' run '{}' --date 2026-11-21; }}\n{script}",
        bed.project.path("disk").display(),
        bed.project.path("shop").display(),
    );
    command.args(way).args(["sh", "-c", &script]);
    command.env("SOURCE", bed.project.path("logs")).env("TMPDIR", bed.project.path(""));
    finish(command.current_dir(bed.project.path("")))
}

#[test]
fn a_full_disk_shows_nothing_half_and_is_right_once_there_is_space_again() {
    let Some(way) = unshare() else {
        // A machine may forbid it to this user; then there is no disk to fill.
        return say_not_run(
            "a_full_disk_shows_nothing_half_and_is_right_once_there_is_space_again",
            NO_SMALL_DISK,
        );
    };
    let bed = Bed::on_disk();
    bed.change_input();
    // Free space from none to enough for all, so that each write fails once.
    let script = r#"
        run > /dev/null 2>&1
        before=$(cd "$DISK/out/rows" && cat $(find . -name '*.tsv') | sort | md5sum)
        sed -i 's/"amount":1}/"amount":2}/' logs/dt=2026-11-21/a.ndjson
        after=
        for free in 0 4 8 12 16 20 24 28 32 36 40 48 56 64 80 96 128 192 256; do
            dd if=/dev/zero of="$DISK/ballast" bs=1k count=3072 2> /dev/null || true
            truncate -s "-${free}k" "$DISK/ballast"
            code=0; run > out.txt 2> err.txt || code=$?
            now=$(cd "$DISK/out/rows" && cat $(find . -name '*.tsv') | sort | md5sum)
            if [ $code = 0 ]; then after=$now; break; fi
            [ $code = 75 ] || { echo "free ${free}k: exit $code"; cat err.txt; exit 1; }
            if [ -e "$DISK/out/rows/_SUCCESS" ] && [ "$now" != "$before" ]; then
                echo "free ${free}k: half a table with _SUCCESS"; exit 1
            fi
            grep -q 'free space' err.txt || { cat err.txt; exit 1; }
        done
        rm "$DISK/ballast"
        run > out.txt 2> err.txt
        cat $(find "$DISK/out/rows" -name '*.tsv')
    "#;
    let ended = on_a_small_disk(&bed, &way, script);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    bed.version.set(2);
    let mut rows: Vec<&str> = ended.stdout.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, bed.expected());
}

#[test]
fn a_killed_attempt_leaves_no_files_in_the_tables_folder_or_the_spill_folder() {
    let bed = Bed::on_disk();
    bed.change_input();
    let mut command = bed.command("run", &DAY);
    let killed = finish(command.env("ASHIATO_TEST_KILL_AT", "0"));
    assert_eq!(killed.code, None);
    assert!(files_below(&bed.project.path("out/rows")).is_empty(), "nothing is visible");
    bed.recover("killed before the intent");
    let left: Vec<String> = files_below(&bed.project.path("out/state"))
        .into_keys()
        .filter(|name| ["/staging/", "/pending/", "/intents/"].iter().any(|f| name.contains(f)))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn what_a_killed_run_left_in_the_spill_folder_goes_with_the_next_run_or_gc_but_not_a_live_ones() {
    let spill = "[resources]\nspill = \"${SOURCE}/../spill\"\n";
    let project = Project::new().pipeline(&format!("{}{spill}", crate::support::OUTPUT));
    let project = project.logs("a.ndjson", "{\"id\":1}\n");
    let spills = project.path("spill/ashiato-spill");
    std::fs::create_dir_all(&spills).unwrap();
    let live = std::fs::File::create(spills.join("live.lock")).unwrap();
    live.lock().unwrap();
    project.write("spill/ashiato-spill/live/run-1", "x");
    let left = || -> Vec<String> {
        let mut names = names_in(&spills);
        names.retain(|name| !name.starts_with("live"));
        names
    };
    let kill = || {
        let mut run = project.command("run", &["--date", "2026-11-21", "--force"]);
        let killed = finish(run.env("ASHIATO_TEST_KILL_AT", "0"));
        assert_eq!((killed.code, left().len()), (None, 2), "a folder and its lock: {killed:#?}");
    };
    kill();
    project.run().published();
    assert_eq!(left(), Vec::<String>::new());
    kill();
    let folders = |arguments: &[&str]| {
        let collected = project.ashiato("gc", arguments);
        assert_eq!(collected.code, Some(0), "{collected:#?}");
        collected.result()["spill_folders"].as_array().unwrap().len()
    };
    assert_eq!((folders(&["--dry-run"]), left().len()), (1, 2));
    assert_eq!((folders(&[]), left().len()), (1, 0));
    assert!(spills.join("live/run-1").exists());
}

fn names_in(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
