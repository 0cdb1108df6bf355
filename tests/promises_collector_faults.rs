//! A collector whose disk or clients go wrong: nothing acknowledged falsely, recovery by itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::promises_crash::{NO_SMALL_DISK, say_not_run, unshare};
use crate::support::collector::{
    CONFIG, Collector, counts, event, folder, landed, send_until, wait_until,
};

/// Browsers that send, each on a connection of its own, until they are told to stop.
struct Senders {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    fn start(collector: &Collector, count: u64) -> Self {
        let (stop, acknowledged) = (Arc::default(), Arc::default());
        let threads = (0..count).map(|sender| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            let address = Mutex::new(collector.address);
            std::thread::spawn(move || send_until(&stop, &address, sender << 32, &acknowledged))
        });
        let threads = threads.collect();
        Senders { stop, acknowledged, threads }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Stops them; all that was acknowledged must have landed once, and nothing twice.
    fn compare(self, collector: Collector, landed_in: &Path) {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(collector.stop().success());
        let counts = counts(&landed(landed_in));
        let acknowledged = self.acknowledged.lock().unwrap();
        let lost = acknowledged.iter().filter(|id| !counts.contains_key(*id)).count();
        let doubled = counts.values().filter(|count| **count > 1).count();
        assert_eq!((lost, doubled), (0, 0), "of {} acknowledged", acknowledged.len());
    }
}

/// Fills a disk to its last byte.
fn fill(ballast: &Path) {
    let zeros = fs::File::open("/dev/zero").unwrap();
    let mut file = fs::File::create(ballast).unwrap();
    // It ends with the error that the disk is full, which is what is wanted.
    let filled = std::io::copy(&mut zeros.take(1 << 30), &mut file);
    assert!(filled.is_err(), "the disk is larger than expected");
}

#[test]
fn a_full_disk_refuses_and_takes_again_by_itself_once_there_is_space() {
    let Some(way) = unshare() else {
        // A machine may forbid it to this user; then there is no disk to fill.
        return say_not_run(
            "a_full_disk_refuses_and_takes_again_by_itself_once_there_is_space",
            NO_SMALL_DISK,
        );
    };
    let folder = folder();
    fs::create_dir(folder.path().join("disk")).unwrap();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=96m none disk && exec \"$0\" \"$@\"";
    command.args(way).args(["sh", "-c", script, env!("CARGO_BIN_EXE_ashiato")]);
    let config = CONFIG.replace("\"data\"", "\"disk/data\"");
    let collector = Collector::start_by(command, folder.path(), &config, &[]);
    // Only the collector's own namespace has the disk.
    let ballast = format!("/proc/{}/root{}/disk/ballast", collector.pid(), folder.path().display());
    let ballast = Path::new(&ballast);
    let senders = Senders::start(&collector, 4);
    let mut browser = collector.browser();
    for round in 0..3 {
        let before = senders.acknowledged();
        wait_until("events are taken", || senders.acknowledged() > before + 100);
        fill(ballast);
        let mut full = None;
        wait_until("it refuses", || {
            let reply = browser.post(event(1 << 40 | round, "page_view").to_string());
            let is_refused = reply.status != 204;
            full = Some(reply);
            is_refused
        });
        let full = full.unwrap();
        assert_eq!((full.status, full.headers["retry-after"].as_str()), (503, "5"));
        assert_eq!(browser.get("/healthz").status, 200);
        std::thread::sleep(Duration::from_millis(300));
        fs::remove_file(ballast).unwrap();
    }
    let before = senders.acknowledged();
    wait_until("events are taken again", || senders.acknowledged() > before + 100);
    wait_until("it is ready again", || browser.get("/readyz").status == 200);
    senders.compare(collector, &folder.path().join("raw"));
}

/// Has each `fdatasync` of a process take its time, as long as this lives.
struct SlowDisk(Child);

impl SlowDisk {
    fn of(collector: &Collector, folder: &Path, delay: Duration) -> Option<Self> {
        let inject = format!("inject=fdatasync,fsync:delay_exit={}", delay.as_micros());
        let child = Command::new("strace")
            .args(["-f", "-o"])
            .arg(folder.join("strace.txt"))
            .args(["-e", "trace=fdatasync,fsync", "-e", &inject, "-p"])
            .arg(collector.pid().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is missing: run `make setup`");
        let mut slow = SlowDisk(child);
        std::thread::sleep(Duration::from_secs(1));
        // A machine may forbid to trace another process.
        slow.0.try_wait().unwrap().is_none().then_some(slow)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // Asked to end, it lets the process go on by itself.
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_slow_disk_makes_answers_late_never_false_and_too_many_are_refused() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nwaiting_requests_max = 4\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let senders = Senders::start(&collector, 12);
    wait_until("events are taken", || senders.acknowledged() > 100);
    let Some(slow) = SlowDisk::of(&collector, folder.path(), Duration::from_millis(200)) else {
        let test = "a_slow_disk_makes_answers_late_never_false_and_too_many_are_refused";
        say_not_run(test, "this user may not trace a process (strace -p)");
        return senders.compare(collector, &folder.path().join("raw"));
    };
    let mut browser = collector.browser();
    let (mut taken, mut refused, mut number) = (0, 0, 1 << 40);
    let mut ask = || {
        let began = Instant::now();
        let reply = browser.post(event(number, "page_view").to_string());
        number += 1;
        match reply.status {
            204 => {
                taken += 1;
                assert!(began.elapsed() > Duration::from_millis(200), "it was not on disk yet");
            }
            503 => {
                refused += 1;
                assert!(reply.headers.contains_key("retry-after"));
            }
            other => panic!("{other}"),
        }
        taken > 0 && refused > 0
    };
    // Whoever asks again at once gets a place as often as each of the others, who do so too.
    wait_until("some are taken and some refused", || (0..200).any(|_| ask()));
    drop(slow);
    let (began, before) = (Instant::now(), senders.acknowledged());
    wait_until("it is fast again", || senders.acknowledged() > before + 500);
    assert!(began.elapsed() < Duration::from_secs(20));
    senders.compare(collector, &folder.path().join("raw"));
}

#[test]
fn ten_thousand_idle_connections_cost_nobody_their_answer() {
    let folder = folder();
    let config = format!("{CONFIG}[limits]\nconnections_max = 9000\n");
    let collector = Collector::start(folder.path(), &config, &[]);
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .expect("limits can be read");
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most);
    // Not more than this user may open, beside the other tests' files.
    let count = most.saturating_sub(2_000).min(10_000);
    let connect = |_| TcpStream::connect(collector.address).ok();
    let mut idle: Vec<TcpStream> = (0..count.min(8_900)).filter_map(connect).collect();
    let mut browser = collector.browser();
    let began = Instant::now();
    for number in 0..100 {
        browser.event(&event(number, "page_view"));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Those beyond the bound are closed at once, and harm nobody either.
    idle.extend((8_900..count).filter_map(connect));
    browser.event(&event(100, "page_view"));
    drop(idle);
    wait_until("new ones are taken again", || {
        collector.browser().send("GET", "/healthz", &[], "").is_ok_and(|reply| reply.status == 200)
    });
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 101);
}
