//! A collector whose disk or clients go wrong: nothing acknowledged falsely, recovery by itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::promises_crash::{NO_SMALL_DISK, say_not_run, unshare};
use crate::support::collector::{
    CONFIG, Collector, counts, event, folder, id, landed, send_until, wait_until,
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

#[test]
fn a_spool_that_turns_read_only_takes_nothing_and_goes_on_once_it_can_be_written() {
    /// Who owns nothing, as root may write everywhere.
    const NOBODY: u32 = 65_534;
    let folder = folder();
    let path = folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
    if fs::metadata(path).unwrap().uid() == 0 {
        let mut try_out = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        let can_run = try_out.arg("--version").uid(NOBODY).gid(NOBODY).stdout(Stdio::null());
        if can_run.status().is_err() {
            eprintln!("not run: nobody may not run the binary, and root may write everywhere");
            return;
        }
        command.uid(NOBODY).gid(NOBODY);
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let collector = Collector::start_by(command, path, CONFIG, &[]);
    let (spool, mut browser) = (path.join("data/spool"), collector.browser());
    let allow = |mode: u32| fs::set_permissions(&spool, fs::Permissions::from_mode(mode)).unwrap();
    let mut acknowledged = Vec::new();
    let mut post = |number: u64| {
        let status = browser.post(event(number, "page_view").to_string()).status;
        assert!([204, 503].contains(&status), "{status}");
        if status == 204 {
            acknowledged.push(id(number));
        }
        status
    };
    assert_eq!(post(1), 204);
    allow(0o500);
    let mut number = 1;
    wait_until("the open segment is over, and no other can begin", || {
        number += 1;
        post(number) == 503
    });
    let ready = || collector.browser().get("/readyz");
    wait_until("it is not ready", || ready().status == 503);
    let reasons = ready().json()["reasons"].to_string();
    assert!(reasons.contains("events cannot be made durable"), "{reasons}");
    allow(0o700);
    wait_until("it is ready", || ready().status == 200);
    // The last one that was refused is sent again, as clients do.
    assert_eq!((post(number), post(number + 1)), (204, 204));
    assert!(collector.stop().success());
    let counts = counts(&landed(&path.join("raw")));
    acknowledged.sort();
    assert_eq!(counts.keys().collect::<Vec<_>>(), acknowledged.iter().collect::<Vec<_>>());
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    let log = fs::read_to_string(path.join("log")).unwrap();
    assert!(log.contains("let this user write there"), "{log}");
}

#[test]
fn a_client_that_says_that_no_more_is_coming_gets_its_answer() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    for number in 0..20 {
        let body = event(number, "page_view").to_string();
        let length = body.len();
        let head =
            format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        let mut stream = TcpStream::connect(collector.address).unwrap();
        stream.write_all((head + &body).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len(), 20);
}

#[test]
fn who_is_refused_while_still_sending_gets_to_read_why_and_is_counted() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let metric = |name: &str| -> u64 {
        let text = String::from_utf8(collector.browser().get("/metrics").body).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let cookies = format!("cookie: {}\r\n", "x".repeat(17 << 10));
    let many = (0..120).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    let rest = vec![b' '; 3 << 20];
    for (head, status) in [
        (format!("content-length: {}\r\n", rest.len()), "413"),
        (cookies, "431"),
        (many, "431"),
        ("no header\r\n".to_owned(), "400"),
    ] {
        for _ in 0..5 {
            let mut stream = TcpStream::connect(collector.address).unwrap();
            let head = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{head}\r\n");
            // All of it, as clients do that read no answer before.
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&rest).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
        }
    }
    assert_eq!(metric("ashiato_collector_heads_refused_total"), 15);
    assert_eq!(metric("ashiato_collector_events_refused_total"), 5);
    let mut browser = collector.browser();
    let events: Vec<_> = (0..1001).map(|number| event(number, "page_view")).collect();
    assert_eq!(browser.post(serde_json::json!(events).to_string()).status, 413);
    let kind = [("content-type", "text/html")];
    assert_eq!(browser.send("POST", "/v1/events", &kind, "{}").unwrap().status, 415);
    let kind = [("content-encoding", "gzip")];
    assert_eq!(browser.send("POST", "/v1/events", &kind, "{}").unwrap().status, 400);
    assert_eq!(metric("ashiato_collector_events_refused_total"), 5 + 1001 + 1 + 1);
    assert!(collector.stop().success());
}
