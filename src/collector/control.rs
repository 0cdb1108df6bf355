//! The control socket: how a command on this machine speaks to a collector that runs.
//!
//! ```text
//! <data>/control.sock    one JSON object a line in, JSON objects a line out, the last with "done"
//! {"ask":"status"}       {"phase":"dual","counts":{…},"done":true}
//! {"ask":"backfill"}     {"records":1000,"copied":990,…} … {"records":81234,…,"done":true}
//! ```
//!
//! Only who may write the collector's folder reaches it. The phase that was asked for lies beside
//! it, so that a collector starts again in the phase in which it stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::config::CollectorConfig;
use crate::error::{Error, Result};
use crate::store::durable::{disk_error, read_file, write_atomically};
use crate::visits::{Backfill, BackfillProgress, MigratingVisitStore, Phase};

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum ControlRequest {
    /// The phase and what was counted.
    Status,
    /// To go to a phase.
    Phase {
        /// Which one.
        phase: Phase,
    },
    /// To copy what the new store lacks.
    Backfill {
        /// From the beginning, not from where the last one ended.
        restart: bool,
    },
    /// Whether the new store has all that the old one has.
    Report,
}

/// Answers commands.
#[derive(Debug, Clone)]
pub struct Control {
    data: PathBuf,
    migration: Option<MigratingVisitStore>,
    record_ttl: Duration,
}

impl Control {
    pub(super) fn new(config: &CollectorConfig, migration: Option<MigratingVisitStore>) -> Self {
        let record_ttl_ms = u64::try_from(config.visits.record_ttl_ms()).unwrap_or(0);
        let record_ttl = Duration::from_millis(record_ttl_ms);
        Control { data: config.data.clone(), migration, record_ttl }
    }

    fn migration(&self) -> Result<&MigratingVisitStore> {
        self.migration.as_ref().ok_or_else(|| {
            Error::config(
                "visits are not moving: set `[visit_store] kind = \"migrating\"` with `old` and \
                 `new`, and restart the collector",
            )
        })
    }

    async fn answer(
        &self,
        request: ControlRequest,
        out: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<Value> {
        let migration = self.migration()?;
        match request {
            ControlRequest::Status => {
                Ok(json!({"phase": migration.phase(), "counts": migration.counts()}))
            }
            ControlRequest::Phase { phase } => {
                write_phase(&self.data, phase)?;
                let before = migration.phase();
                migration.switch(phase);
                tracing::info!(%before, %phase, "visits go by another phase");
                Ok(json!({"phase": phase, "before": before}))
            }
            ControlRequest::Backfill { restart } => self.backfill(migration, restart, out).await,
            ControlRequest::Report => {
                let report = migration.compare().await?;
                serde_json::to_value(report).map_err(|error| Error::Bug(error.to_string()))
            }
        }
    }

    async fn backfill(
        &self,
        migration: &MigratingVisitStore,
        restart: bool,
        out: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<Value> {
        if !matches!(migration.phase(), Phase::Dual | Phase::NewFirst) {
            return Err(Error::config(format!(
                "visits are in phase {}: what changes behind the backfill would be lost; switch \
                 to dual first",
                migration.phase()
            )));
        }
        let backfill = Backfill { stores: migration.clone(), record_ttl: self.record_ttl };
        let path = self.data.join("backfill.json");
        let mut progress = BackfillProgress::default();
        if let Some(bytes) = read_file(&path)?.filter(|_| !restart) {
            let kept: BackfillProgress = serde_json::from_slice(&bytes).unwrap_or_default();
            progress = if kept.done { progress } else { kept };
        }
        loop {
            progress = backfill.copy_page(&progress).await?;
            let kept = serde_json::to_vec(&progress).unwrap_or_default();
            write_atomically(&path.with_extension("tmp"), &path, &kept)?;
            let shown = serde_json::to_value(&progress).unwrap_or_default();
            if progress.done {
                return Ok(shown);
            }
            // Whoever asked may have gone: the backfill ends, and goes on from here when asked.
            send(out, &shown).await?;
        }
    }
}

/// The phase in which the collector stopped; the first one if there is none.
pub(super) fn read_phase(data: &Path) -> Result<Phase> {
    let path = phase_path(data);
    let Some(bytes) = read_file(&path)? else { return Ok(Phase::default()) };
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map_err(|error| Error::config(format!("{}: {error}", path.display())))
}

fn write_phase(data: &Path, phase: Phase) -> Result<()> {
    let path = phase_path(data);
    write_atomically(&path.with_extension("tmp"), &path, format!("{phase}\n").as_bytes())
}

fn phase_path(data: &Path) -> PathBuf {
    data.join("visits-phase")
}

fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Answers commands until `stop` is cancelled.
pub(super) async fn serve(control: Control, stop: CancellationToken) {
    let path = socket_path(&control.data);
    // One that an earlier process left; the spool's lock says that it is gone.
    let _ = fs::remove_file(&path);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, socket = %path.display(), "no commands are answered");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        if let Ok((stream, _)) = accepted {
            let control = control.clone();
            tokio::spawn(async move { converse(&control, stream).await });
        }
    }
    let _ = fs::remove_file(&path);
}

async fn converse(control: &Control, stream: UnixStream) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let Ok(Some(line)) = lines.next_line().await else { return };
    let request = serde_json::from_str(&line)
        .map_err(|error| Error::Usage(format!("reading a command: {error}")));
    let done = match request {
        Ok(request) => control.answer(request, &mut writing).await,
        Err(error) => Err(error),
    };
    let mut last = done.unwrap_or_else(|error| {
        json!({"error": error.to_string(), "retry": matches!(error, Error::Unavailable(_))})
    });
    if let Value::Object(members) = &mut last {
        members.insert("done".to_owned(), true.into());
    }
    // Whoever asked may have gone.
    let _ = send(&mut writing, &last).await;
}

async fn send(out: &mut (impl AsyncWriteExt + Unpin), value: &Value) -> Result<()> {
    let sent = out.write_all(format!("{value}\n").as_bytes()).await;
    sent.map_err(|error| Error::Unavailable(format!("answering a command: {error}")))
}

/// Asks the collector that runs with a folder; `progress` is told of all answers but the last.
///
/// # Errors
/// [`Error::Unavailable`] if none runs there; else what it says.
pub async fn ask_control(
    data: &Path,
    request: &ControlRequest,
    mut progress: impl FnMut(&Value),
) -> Result<Value> {
    let path = socket_path(data);
    let stream = UnixStream::connect(&path).await.map_err(|error| {
        Error::Unavailable(format!(
            "asking the collector at {}: {error}; is one running with this configuration?",
            path.display()
        ))
    })?;
    let failed = |error| disk_error("asking the collector at", &path, &error);
    let (reading, mut writing) = stream.into_split();
    let line = serde_json::to_string(request).unwrap_or_default();
    writing.write_all(format!("{line}\n").as_bytes()).await.map_err(failed)?;
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| Error::Bug(format!("reading the collector's answer: {error}")))?;
        if let Some(error) = answer["error"].as_str() {
            let retry = answer["retry"] == true;
            let kind = if retry { Error::Unavailable } else { Error::Usage };
            return Err(kind(error.to_owned()));
        }
        if answer["done"] == true {
            return Ok(answer);
        }
        progress(&answer);
    }
    Err(Error::Unavailable("the collector ended before its answer".to_owned()))
}
