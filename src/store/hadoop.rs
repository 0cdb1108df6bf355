//! The `hadoop` command as a child process: it gets nothing to read, is watched while it works,
//! and ends with the command that started it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::base::error::{Error, Result};
use crate::base::location::path_of_url;

/// How often a command is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// What a command may take to heed a signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is said that a command is still at work.
const STILL_PAUSE: Duration = Duration::from_secs(30);
/// Lines of a command's messages that are kept.
const LINES_MAX: usize = 200;
/// Bytes of arguments that one command gets; the system's limit is some megabytes.
const ARGUMENT_BYTES_MAX: usize = 100_000;
/// Names that one command gets.
const ARGUMENTS_MAX: usize = 500;

/// What failing commands say if trying again cannot help.
const OF_CONFIGURATION: [&str; 8] = [
    "No FileSystem for",
    "Wrong FS",
    "Relative path in absolute URI",
    "JAVA_HOME is not set",
    "Could not find or load main class",
    "AccessControlException",
    "Permission denied: user=",
    "Incomplete HDFS URI",
];

/// Starts `hadoop` commands, and ends them when it is told to.
#[derive(Debug, Clone, Default)]
pub struct Hadoop {
    cancel: CancellationToken,
}

/// Files with their sizes and folders below a folder, by their paths below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HadoopListing {
    /// Files with their sizes.
    pub files: BTreeMap<String, u64>,
    /// Folders.
    pub folders: BTreeSet<String>,
}

/// A command that has ended.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    said: String,
}

impl Hadoop {
    /// Commands end as soon as `cancel` is cancelled.
    pub fn new(cancel: CancellationToken) -> Self {
        Hadoop { cancel }
    }

    /// Runs `hadoop ARGUMENTS` and gives what it wrote to stdout.
    ///
    /// # Errors
    /// `Error::Config` if there is no such command, or what it says cannot pass; else
    /// `Error::Unavailable`.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let ended = self.run_to_end(arguments)?;
        if ended.status.success() { Ok(ended.stdout) } else { Err(ended.failure(arguments)) }
    }

    /// Runs a command of the shell on many names, as often as it takes.
    ///
    /// # Errors
    /// As for [`Hadoop::run`].
    pub fn run_on_all(&self, command: &[&str], names: &[String]) -> Result<()> {
        let mut rest = names;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |name: &&String| {
                bytes += name.len() + 1;
                bytes <= ARGUMENT_BYTES_MAX
            };
            let count = rest.iter().take(ARGUMENTS_MAX).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            let arguments: Vec<&str> =
                command.iter().copied().chain(now.iter().map(String::as_str)).collect();
            self.run(&arguments)?;
            rest = later;
        }
        Ok(())
    }

    /// All that is below a folder; nothing if it is not there.
    ///
    /// # Errors
    /// As for [`Hadoop::run`].
    pub fn list(&self, url: &str) -> Result<HadoopListing> {
        let folder = if url.is_empty() { "/" } else { url };
        let arguments = ["fs", "-ls", "-R", folder];
        let ended = self.run_to_end(&arguments)?;
        if !ended.status.success() {
            return match ended.is_missing() {
                true => Ok(HadoopListing::default()),
                false => Err(ended.failure(&arguments)),
            };
        }
        Ok(parse_listing(&String::from_utf8_lossy(&ended.stdout), url))
    }

    /// A small file's bytes; none if it is not there.
    ///
    /// # Errors
    /// As for [`Hadoop::run`].
    pub fn read(&self, url: &str) -> Result<Option<Vec<u8>>> {
        let arguments = ["fs", "-cat", url];
        let ended = self.run_to_end(&arguments)?;
        match ended.status.success() {
            true => Ok(Some(ended.stdout)),
            false if ended.is_missing() => Ok(None),
            false => Err(ended.failure(&arguments)),
        }
    }

    /// Fails once it was told to stop.
    ///
    /// # Errors
    /// `Error::Unavailable` then.
    pub fn check_stop(&self) -> Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(Error::Unavailable("the copy was stopped".to_owned())),
            false => Ok(()),
        }
    }

    fn run_to_end(&self, arguments: &[&str]) -> Result<Ended> {
        self.check_stop()?;
        tracing::debug!(?arguments, "hadoop");
        let mut command = Command::new("hadoop");
        command.args(arguments).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| not_started(&error))?;
        let stdout = child.stdout.take().map(|out| thread::spawn(move || read_all(out)));
        let stderr = child.stderr.take().map(|err| thread::spawn(move || read_lines(err)));
        let status = self.wait(&mut child)?;
        Ok(Ended { status, stdout: joined(stdout), said: joined(stderr) })
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let lost = |error: io::Error| Error::Unavailable(format!("waiting for `hadoop`: {error}"));
        let started = Instant::now();
        let mut said = started;
        loop {
            if let Some(status) = child.try_wait().map_err(lost)? {
                return Ok(status);
            }
            if self.cancel.is_cancelled() {
                stop(child);
                self.check_stop()?;
            }
            if said.elapsed() >= STILL_PAUSE {
                said = Instant::now();
                tracing::info!(seconds = started.elapsed().as_secs(), "hadoop is still at work");
            }
            thread::sleep(LOOK_PAUSE);
        }
    }
}

/// Asks a command to end, and ends it if it does not heed that.
fn stop(child: &mut Child) {
    // It may have ended by itself; then there is nothing to do.
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < STOP_TIMEOUT {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(LOOK_PAUSE);
    }
    let _ = child.kill().and_then(|()| child.wait());
}

fn read_all(mut out: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What a command that broke off has said is of use; that it broke off, its status says.
    let _ = out.read_to_end(&mut bytes);
    bytes
}

/// The last lines of what a command says; tells DistCp's progress on the way.
fn read_lines(out: impl Read) -> String {
    let mut lines: VecDeque<String> = VecDeque::new();
    for line in BufReader::new(out).split(b'\n').map_while(std::result::Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.find(" map ").filter(|_| line.contains('%')) {
            Some(at) => tracing::info!("distcp: {}", line[at..].trim()),
            None => tracing::debug!("hadoop says: {line}"),
        }
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    Vec::from(lines).join("\n")
}

fn joined<T: Default>(thread: Option<JoinHandle<T>>) -> T {
    thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

impl Ended {
    fn is_missing(&self) -> bool {
        is_missing(&self.said)
    }

    fn failure(&self, arguments: &[&str]) -> Error {
        let words: Vec<&str> = arguments.iter().take(6).copied().collect();
        let more = if arguments.len() > words.len() { " …" } else { "" };
        failure(&format!("{}{more}", words.join(" ")), self.status, &self.said)
    }
}

/// Whether a command says that a file or folder is not there.
pub(super) fn is_missing(said: &str) -> bool {
    said.contains("No such file or directory")
}

/// A command that could not be started, as an error.
pub(super) fn not_started(error: &io::Error) -> Error {
    let message = format!("starting `hadoop`: {error}");
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => Error::config(format!(
            "{message}; HDFS, and paths without a scheme, are reached through that command, so it \
             must be in PATH; this machine's disk is `file:///…`"
        )),
        ErrorKind::WouldBlock | ErrorKind::OutOfMemory => Error::Unavailable(message),
        // As for a file that is no program.
        _ => Error::config(message),
    }
}

/// A failed command as an error: of configuration if what it says cannot pass.
pub(super) fn failure(arguments: &str, status: ExitStatus, said: &str) -> Error {
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    let message = format!("`hadoop {arguments}` failed ({ended}): {}", telling_line(said));
    match OF_CONFIGURATION.iter().any(|mark| said.contains(mark)) {
        true => Error::config(message),
        false => Error::Unavailable(message),
    }
}

/// The line that says most: the last one that names an error, else the last one.
fn telling_line(said: &str) -> &str {
    let is_frame = |line: &&str| !line.is_empty() && !line.starts_with("at ");
    let mut lines = said.lines().rev().map(str::trim).filter(is_frame);
    let names_error = |line: &&str| line.contains("Exception") || line.contains("ERROR");
    let last = lines.clone().next().unwrap_or("it said nothing");
    lines.find(names_error).unwrap_or(last)
}

/// What `hadoop fs -ls -R` says of a folder.
pub(super) fn parse_listing(text: &str, folder: &str) -> HadoopListing {
    let mut listing = HadoopListing::default();
    for line in text.lines() {
        let Some((head, path)) = split_at_time(line) else { continue };
        let below = path_of_url(path).strip_prefix(path_of_url(folder));
        let Some(path) = below.and_then(|below| below.strip_prefix('/')) else { continue };
        match (head.as_bytes().first(), head.split_whitespace().last()) {
            (Some(b'd'), _) => {
                listing.folders.insert(path.to_owned());
            }
            (Some(b'-'), Some(size)) => {
                let Ok(size) = size.parse() else { continue };
                listing.files.insert(path.to_owned(), size);
            }
            _ => {}
        }
    }
    listing
}

/// Cuts a line where ` 2026-11-21 03:04 ` stands: users, groups and names may hold spaces.
fn split_at_time(line: &str) -> Option<(&str, &str)> {
    const TIME: &[u8] = b" 0000-00-00 00:00 ";
    let is_time = |window: &[u8]| {
        let pairs = window.iter().zip(TIME);
        pairs.into_iter().all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
    };
    let at = line.as_bytes().windows(TIME.len()).position(is_time)?;
    Some((&line[..at], &line[at + TIME.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_told_apart_and_named_below_the_folder() {
        let text = "Found 3 items\n\
            drwxr-xr-x   - etl hadoop          0 2026-11-21 03:04 hdfs://nn/t/s=a b\n\
            -rw-r--r--   3 etl domain users   20971520 2026-11-21 03:04 hdfs://nn/t/s=a b/p x\n\
            -rw-r--r--   3 etl hadoop          7 2026-11-21 03:04 hdfs://nn/tt/p\n";
        let listing = parse_listing(text, "hdfs://nn/t");
        assert_eq!(listing.folders.into_iter().collect::<Vec<_>>(), ["s=a b"]);
        assert_eq!(
            listing.files.into_iter().collect::<Vec<_>>(),
            [("s=a b/p x".into(), 20_971_520)]
        );
    }

    #[test]
    fn a_path_is_found_however_hadoop_prints_its_url() {
        for (folder, printed) in [
            ("/t", "/t/p"),
            ("hdfs:///t", "hdfs:/t/p"),
            ("hdfs:///t", "hdfs://nn:8020/t/p"),
            ("file:///t", "file:/t/p"),
            ("", "/p"),
        ] {
            let line = format!("-rw-r--r--   3 etl hadoop 7 2026-11-21 03:04 {printed}");
            let listing = parse_listing(&line, folder);
            assert_eq!(
                listing.files.into_iter().collect::<Vec<_>>(),
                [("p".into(), 7)],
                "{folder}"
            );
        }
    }

    #[test]
    fn what_a_failed_command_says_tells_whether_a_retry_may_help() {
        let status = ExitStatus::from_raw(255 << 8);
        let said = "26/11/21 ERROR tools.DistCp: Exception encountered\n\
                    java.net.ConnectException: Connection refused\n\tat java.base/x.y(z)\n";
        let error = failure("distcp -f x y", status, said);
        assert_eq!(error.exit_code(), 75);
        let expected = "`hadoop distcp -f x y` failed (exit code 255): java.net.ConnectException";
        assert!(error.to_string().starts_with(expected), "{error}");
        let said = "mkdir: No FileSystem for scheme \"hdf\"";
        assert_eq!(failure("fs -mkdir x", status, said).exit_code(), 78);
        let said = "Permission denied: user=etl, access=WRITE, inode=\"/\"";
        assert_eq!(failure("fs -mkdir x", status, said).exit_code(), 78);
        assert_eq!(failure("fs -mkdir x", ExitStatus::from_raw(9), "").exit_code(), 75);
    }
}
