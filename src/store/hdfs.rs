//! Reads HDFS through the `hadoop` command, which knows the cluster, its users and its tickets.
//!
//! ```text
//! hadoop fs -ls -R hdfs://nn/t/events
//! -rw-r--r--   3 etl hadoop   20971520 2026-11-21 03:04 hdfs://nn/t/events/dt=1/part-00000-a1.tsv
//! ```

use std::io::{self, Read, Seek, Write};
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// URL schemes that only Hadoop knows.
const SCHEMES: [&str; 4] = ["hdfs", "viewfs", "webhdfs", "swebhdfs"];

/// A folder in HDFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hdfs {
    /// Its URL, without `/` at the end.
    url: String,
}

impl Hdfs {
    /// A folder by its URL; none if it is not for Hadoop to read.
    pub fn at(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once("://")?;
        let url = url.trim_end_matches('/').to_owned();
        SCHEMES.contains(&scheme).then_some(Hdfs { url })
    }

    /// All files below the folder, by their paths below it, with their sizes; none if it is not
    /// there.
    ///
    /// # Errors
    /// `Error::Unavailable` if the command fails, `Error::Config` if there is none.
    pub fn list_all(&self) -> Result<Vec<(String, u64)>> {
        let Output { status, stdout, stderr } = self.hadoop(&["-ls", "-R", &self.url])?;
        let said = String::from_utf8_lossy(&stderr);
        if !status.success() {
            let is_missing = said.contains("No such file or directory");
            return if is_missing { Ok(Vec::new()) } else { Err(self.failed("listing", &said)) };
        }
        let text = String::from_utf8_lossy(&stdout);
        Ok(text.lines().filter_map(|line| parse_line(line, &self.url)).collect())
    }

    /// Copies a file's bytes into a writer, a piece at a time.
    ///
    /// # Errors
    /// As for [`Hdfs::list_all`].
    pub fn copy_to(&self, name: &str, writer: &mut dyn Write) -> Result<()> {
        let url = format!("{}/{name}", self.url);
        let mut command = Command::new("hadoop");
        // Not a pipe: one that nobody reads while the file is copied could fill up and stop both.
        let mut said = tempfile::tempfile().map_err(|error| not_started(&error))?;
        let stderr = said.try_clone().map_err(|error| not_started(&error))?;
        command.args(["fs", "-cat", &url]).stdin(Stdio::null()).stderr(stderr);
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| not_started(&error))?;
        let copied = child.stdout.take().map_or(Ok(0), |mut out| io::copy(&mut out, writer));
        let ended = child.wait().map_err(|error| not_started(&error))?;
        if !ended.success() {
            let mut text = Vec::new();
            // Only for the message.
            let _ = said.rewind().and_then(|()| said.read_to_end(&mut text));
            return Err(self.failed("reading a file of", &String::from_utf8_lossy(&text)));
        }
        let copied = copied.map(|_| ());
        copied.map_err(|error| Error::Unavailable(format!("copying {url}: {error}")))
    }

    fn hadoop(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("hadoop");
        command.arg("fs").args(arguments).stdin(Stdio::null());
        command.output().map_err(|error| not_started(&error))
    }

    fn failed(&self, doing: &str, said: &str) -> Error {
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        Error::Unavailable(format!("{doing} {}: `hadoop fs` failed: {last}", self.url))
    }
}

fn not_started(error: &io::Error) -> Error {
    Error::config(format!(
        "starting `hadoop`: {error}; HDFS is read through that command, so it must be in PATH"
    ))
}

/// A file's path below `folder` and its size, from a line of `hadoop fs -ls`.
fn parse_line(line: &str, folder: &str) -> Option<(String, u64)> {
    // Names may hold spaces, so that only the seven columns before are cut off.
    let (mut rest, mut columns) = (line, Vec::new());
    for _ in 0..7 {
        let (column, behind) = rest.trim_start().split_once(' ')?;
        columns.push(column);
        rest = behind;
    }
    if !columns[0].starts_with('-') {
        return None;
    }
    let path = rest.strip_prefix(folder)?.strip_prefix('/')?;
    Some((path.to_owned(), columns[4].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_command_are_read_and_folders_left_out() {
        let folder = "hdfs://nn/t";
        let line = "-rw-r--r--   3 etl hadoop   20971520 2026-11-21 03:04 hdfs://nn/t/s=a b/p x";
        assert_eq!(parse_line(line, folder), Some(("s=a b/p x".into(), 20_971_520)));
        let folder_line = "drwxr-xr-x   - etl hadoop          0 2026-11-21 03:04 hdfs://nn/t/s=a b";
        assert_eq!(parse_line(folder_line, folder), None);
        assert_eq!(parse_line("Found 2 items", folder), None);
    }

    #[test]
    fn only_what_hadoop_alone_knows_is_left_to_it() {
        assert!(Hdfs::at("hdfs://nn/t/").is_some() && Hdfs::at("viewfs://c/t").is_some());
        assert!(Hdfs::at("s3://b/t").is_none() && Hdfs::at("/t").is_none());
    }
}
