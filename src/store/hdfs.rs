//! Reads HDFS through the `hadoop` command, which knows the cluster, its users and its tickets.
//!
//! ```text
//! hadoop fs -ls -R hdfs://nn/t/events
//! -rw-r--r--   3 etl hadoop   20971520 2026-11-21 03:04 hdfs://nn/t/events/dt=1/part-00000-a1.tsv
//! ```

use std::io::{self, Read, Seek, Write};
use std::process::{Command, Stdio};

use super::hadoop::{Hadoop, failure, not_started};
use crate::base::error::{Error, Result};

/// A folder in HDFS, or wherever else only Hadoop can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hdfs {
    /// Its URL, without `/` at the end.
    url: String,
}

impl Hdfs {
    /// A folder by its URL.
    pub(super) fn at(url: &str) -> Self {
        Hdfs { url: url.to_owned() }
    }

    /// All files below the folder, by their paths below it, with their sizes; none if it is not
    /// there.
    ///
    /// # Errors
    /// `Error::Unavailable` if the command fails, `Error::Config` if there is none.
    pub fn list_all(&self) -> Result<Vec<(String, u64)>> {
        Ok(Hadoop::default().list(&self.url)?.files.into_iter().collect())
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
            let said = String::from_utf8_lossy(&text);
            return Err(failure(&format!("fs -cat {url}"), ended, &said));
        }
        let copied = copied.map(|_| ());
        copied.map_err(|error| Error::Unavailable(format!("copying {url}: {error}")))
    }
}
