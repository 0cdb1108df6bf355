//! A run that is stopped from outside leaves nothing visible.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{DAY, OUTPUT, Project, files_below};

/// A run that is in the middle of its work: it has rejected a line and writes rows for hours.
fn start_endless_run(project: &Project) -> Child {
    let mut command = project.command("run", &DAY);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let staging = project.path("out/state/shop/staging");
    let deadline = Instant::now() + Duration::from_secs(60);
    while files_below(&staging).is_empty() {
        assert!(Instant::now() < deadline, "the run never began to write");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// A project whose query goes on for hours.
fn endless_project() -> Project {
    let lines: String = (0..3000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let project = Project::new().pipeline(OUTPUT).logs("a.ndjson", format!("bad\n{lines}"));
    // 3,000 times 10^11 rows.
    project.write(
        "shop/rows.sql",
        "SELECT l.id, n.value AS amount, l._source, l._line \
         FROM logs l CROSS JOIN generate_series(1, 100000000000) n\n",
    );
    project
}

fn stops_with(signal: Signal, code: i32) {
    let project = endless_project();
    let mut child = start_endless_run(&project);
    std::thread::sleep(Duration::from_millis(300));
    let sent = Instant::now();
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let status = child.wait().unwrap();
    let took = sent.elapsed();
    assert_eq!(status.code(), Some(code));
    assert!(took < Duration::from_secs(5), "stopping took {took:?}");
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let result: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(result["status"], "stopped");
    assert_eq!(files_below(&project.path("out/rows")).len(), 0, "nothing is visible");
    let staged = files_below(&project.path("out/state/shop/staging"));
    assert!(staged.is_empty(), "nothing is left behind: {:?}", staged.keys());
}

#[test]
fn sigterm_stops_within_five_seconds_exits_143_and_leaves_nothing_visible() {
    stops_with(Signal::SIGTERM, 143);
}

#[test]
fn a_query_that_heeds_nothing_is_stopped_all_the_same() {
    let lines: String = (0..60_000).map(|id| format!("{{\"id\":{id},\"amount\":1}}\n")).collect();
    let project = Project::new().logs("a.ndjson", format!("bad\n{lines}"));
    project.write(
        "shop/rows.sql",
        "SELECT count(*) AS id, sum((x.id * y.id) % 7) AS amount, '' AS _source, 1 AS _line \
         FROM logs x, logs y WHERE (x.id + y.id) % 3 <> 1\n",
    );
    let mut child =
        project.command("run", &DAY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let sent = Instant::now();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(sent.elapsed() < Duration::from_secs(5), "stopping took {:?}", sent.elapsed());
    assert_eq!(files_below(&project.path("out/rows")).len(), 0, "nothing is visible");
}

#[test]
fn sigint_stops_within_five_seconds_exits_130_and_leaves_nothing_visible() {
    stops_with(Signal::SIGINT, 130);
}

#[test]
fn a_source_that_never_ends_is_not_waited_for() {
    let project = Project::new();
    let fifo = project.path("logs/dt=2026-11-21/pipe");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let finished = project.run();
    finished.fails_with(65, &["pipe", "neither a file nor a folder"]);
}
