//! A collector as a process of its own, and a browser that is just enough of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Lands in a folder, fast.
pub const CONFIG: &str = r#"
data = "data"
stop_delay = "0s"
allowed_origins = ["https://shop.example"]
[landing]
location = "raw"
object_age_max = "200ms"
"#;

/// Where a collector may write; gone at the end.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// An event's id.
pub fn id(number: u64) -> String {
    uuid::Uuid::from_u64_pair(7, number).to_string()
}

/// The event of an id.
pub fn event(number: u64, name: &str) -> Value {
    json!({"v": 2, "event_id": id(number), "event": name, "service": "books"})
}

/// How often each event lies in storage.
pub fn counts(lines: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line["event_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// A collector that runs in a folder.
pub struct Collector {
    child: Child,
    pub address: SocketAddr,
}

impl Collector {
    /// Starts one with a configuration below `folder`, which holds all that it writes.
    pub fn start(folder: &Path, config: &str, environment: &[(&'static str, String)]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_ashiato")), folder, config, environment)
    }

    /// Starts one by a command to which its arguments are added.
    pub fn start_by(
        command: Command,
        folder: &Path,
        config: &str,
        environment: &[(&'static str, String)],
    ) -> Self {
        let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        Self::start_with_log(command, folder, config, environment, log.into())
    }

    /// The same with a log that goes elsewhere.
    pub fn start_with_log(
        mut command: Command,
        folder: &Path,
        config: &str,
        environment: &[(&'static str, String)],
        log: Stdio,
    ) -> Self {
        fs::write(folder.join("collector.toml"), config).unwrap();
        command
            .args(["collect", "--config", "collector.toml", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("{}", fs::read_to_string(folder.join("log")).unwrap());
        });
        let address = ready["address"].as_str().unwrap().parse().unwrap();
        Collector { child, address }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Dies as by a power cut of the process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Is asked to end, and does.
    pub fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.child.wait().unwrap()
    }

    pub fn ask_to_stop(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.address)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case; of several the last one.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One connection that keeps cookies.
pub struct Browser {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Browser { address, connection: None, cookies: BTreeMap::new() }
    }

    /// Posts events as JSON; the reply must come.
    pub fn post(&mut self, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", "/v1/events", &[("content-type", "application/json")], body).unwrap()
    }

    /// Posts an event that must be taken.
    pub fn event(&mut self, event: &Value) -> Reply {
        let reply = self.post(event.to_string());
        assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
        reply
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], "").unwrap()
    }

    /// Asks, on the connection that is open or a new one.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<Reply> {
        let body = body.as_ref();
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !cookies.is_empty() {
            head += &format!("cookie: {}\r\n", cookies.join("; "));
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.set_nodelay(true)?;
            self.connection = Some(BufReader::new(stream));
        }
        let done = self.exchange(&[head.as_bytes(), body].concat());
        if !done.as_ref().is_ok_and(|reply| !reply.headers.contains_key("connection")) {
            self.connection = None;
        }
        done
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        let connection = self.connection.as_mut().unwrap();
        connection.get_mut().write_all(request)?;
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(cut_off)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line)? == 0 {
                return Err(cut_off());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let (name, value) = (name.to_lowercase(), value.trim().to_owned());
            if name == "set-cookie" {
                let cookie = value.split(';').next().unwrap();
                let (cookie, value) = cookie.split_once('=').unwrap();
                self.cookies.insert(cookie.to_owned(), value.to_owned());
            }
            headers.insert(name, value);
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        Ok(Reply { status, headers, body })
    }
}

/// Sends events until told to stop: those that are acknowledged are noted, all others are sent
/// again with the same ids, as a browser does.
pub fn send_until(
    stop: &AtomicBool,
    address: &Mutex<SocketAddr>,
    first: u64,
    acknowledged: &Mutex<BTreeSet<String>>,
) {
    let (mut number, mut cookies) = (first, BTreeMap::new());
    let mut browser = Browser::new(*address.lock().unwrap());
    while !stop.load(Relaxed) {
        let events = [event(number, "page_view"), event(number + 1, "click")];
        let body = json!(events).to_string();
        match browser.send("POST", "/v1/events", &[], body) {
            Ok(reply) if reply.status == 204 => {
                let mut acknowledged = acknowledged.lock().unwrap();
                acknowledged.insert(id(number));
                acknowledged.insert(id(number + 1));
                number += 2;
                cookies = browser.cookies.clone();
            }
            _ => {
                std::thread::sleep(Duration::from_millis(2));
                browser = Browser::new(*address.lock().unwrap());
                browser.cookies = cookies.clone();
            }
        }
    }
}

/// All lines that have landed below a local folder.
pub fn landed(folder: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for (name, bytes) in super::files_below(folder) {
        if name.contains(".landing-") {
            // A collector that was killed left it; readers skip what begins with a dot.
            continue;
        }
        let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A Redis with nothing in it.
pub struct Redis {
    child: Child,
    pub port: u16,
    folder: PathBuf,
}

impl Redis {
    /// Starts one that writes each change to disk in a folder.
    pub fn start(folder: &Path, port: u16) -> Self {
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is missing: run `make setup`");
        wait_until("redis", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Redis { child, port, folder: folder.to_owned() }
    }

    /// Dies and comes back with what was on disk.
    pub fn restart(mut self) -> Self {
        self.stop();
        let (folder, port) = (self.folder.clone(), self.port);
        drop(self);
        Redis::start(&folder, port)
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn pause(&self, is_paused: bool) {
        let signal = if is_paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
