//! The control socket: how a command on this machine speaks to a collector that runs.
//!
//! ```text
//! <data>/control.sock    one JSON object a line in, JSON objects a line out, the last with "done"
//! {"ask":"status"}       {"phase":"dual","counts":{…},"done":true}
//! {"ask":"backfill"}     {"records":1000,"copied":990,…} … {"records":81234,…,"done":true}
//! ```
//!
//! Only who may write the collector's folder reaches it. The phase that was asked for lies beside
//! it, so that a collector starts again in the phase in which it stopped, and so do the places that
//! visits move between: the next move is not to begin in the last one's phase.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::config::{CollectorConfig, VisitStoreConfig};
use super::visits::{Backfill, BackfillProgress, MigratingVisitStore, Phase};
use crate::base::error::{Error, Result};
use crate::base::fs::{disk_error, read_file, remove_file, write_atomically};

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
        /// Even if visits change their ids by that.
        force: bool,
    },
    /// To copy what the new store lacks.
    Backfill {
        /// From the beginning, not from where the last one ended.
        restart: bool,
        /// What the old store lacks, on a way back.
        back: bool,
    },
    /// Whether the new store has all that the old one has.
    Report,
}

/// Answers commands.
#[derive(Debug, Clone)]
pub struct Control {
    data: PathBuf,
    places: [String; 2],
    migration: Option<MigratingVisitStore>,
    record_ttl: Duration,
}

impl Control {
    pub(super) fn new(config: &CollectorConfig, migration: Option<MigratingVisitStore>) -> Self {
        let record_ttl_ms = u64::try_from(config.visits.record_ttl_ms()).unwrap_or(0);
        let record_ttl = Duration::from_millis(record_ttl_ms);
        Control { data: config.data.clone(), places: places_of(config), migration, record_ttl }
    }

    fn migration(&self) -> Result<&MigratingVisitStore> {
        self.migration.as_ref().ok_or_else(|| {
            Error::config(
                "visits are not moving: set `[visit_store] kind = \"migrating\"` with `old` and \
                 `new`, and restart the collector",
            )
        })
    }

    async fn respond(
        &self,
        request: ControlRequest,
        out: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<Value> {
        let migration = self.migration()?;
        match request {
            ControlRequest::Status => {
                Ok(json!({"phase": migration.phase(), "counts": migration.counts()}))
            }
            ControlRequest::Phase { phase, force } => {
                let before = migration.phase();
                if !force {
                    check_step(migration, phase).await?;
                }
                if before == Phase::Old {
                    // What changed meanwhile, a backfill that was begun before knows nothing of.
                    remove_file(&backfill_path(&self.data, false))?;
                    remove_file(&backfill_path(&self.data, true))?;
                }
                self.write_phase(phase)?;
                migration.switch(phase);
                tracing::info!(%before, %phase, "visits go by another phase");
                Ok(json!({"phase": phase, "before": before}))
            }
            ControlRequest::Backfill { restart, back } => {
                self.backfill(migration, restart, back, out).await
            }
            ControlRequest::Report => {
                let report = migration.compare().await?;
                serde_json::to_value(report).map_err(|error| Error::Bug(error.to_string()))
            }
        }
    }

    fn write_phase(&self, phase: Phase) -> Result<()> {
        let path = phase_path(&self.data);
        let kept = serde_json::to_vec(&Move { phase, places: self.places.clone() });
        write_atomically(&path.with_extension("tmp"), &path, &kept.unwrap_or_default())
    }

    async fn backfill(
        &self,
        migration: &MigratingVisitStore,
        restart: bool,
        back: bool,
        out: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<Value> {
        if !matches!(migration.phase(), Phase::Dual | Phase::NewFirst) {
            return Err(Error::config(format!(
                "visits are in phase {}: what changes behind the backfill would be lost; switch \
                 to dual first",
                migration.phase()
            )));
        }
        let stores = if back { migration.reversed() } else { migration.clone() };
        let backfill = Backfill { stores, record_ttl: self.record_ttl };
        let path = backfill_path(&self.data, back);
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

/// How far a move has come, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Move {
    phase: Phase,
    /// From where, and to where.
    places: [String; 2],
}

/// The phase in which the collector stopped; the first one if there is none.
///
/// # Errors
/// [`Error::Config`] if it was in the midst of another move, or had ended one.
pub(super) fn read_phase(config: &CollectorConfig) -> Result<Phase> {
    let path = phase_path(&config.data);
    let Some(bytes) = read_file(&path)? else { return Ok(Phase::default()) };
    let shown = path.display();
    let kept: Move = serde_json::from_slice(&bytes)
        .map_err(|error| Error::config(format!("reading the phase of a move {shown}: {error}")))?;
    let places = places_of(config);
    if kept.places != places {
        let [from, to] = places;
        let ([was_from, was_to], phase) = (kept.places, kept.phase);
        return Err(Error::config(format!(
            "visits are to move from {from} to {to}, but {shown} is of a move from {was_from} to \
             {was_to}, in phase {phase}: remove it to begin the new move in phase old, or, if a \
             store only has a new address, correct its `places`"
        )));
    }
    Ok(kept.phase)
}

/// Where visits move from and to; the same twice where they do not move.
fn places_of(config: &CollectorConfig) -> [String; 2] {
    match &config.visit_store {
        VisitStoreConfig::Migrating { old, new } => [old, new].map(|s| s.place(&config.data)),
        store => [store.place(&config.data), store.place(&config.data)],
    }
}

fn phase_path(data: &Path) -> PathBuf {
    data.join("visits-phase.json")
}

fn backfill_path(data: &Path, back: bool) -> PathBuf {
    data.join(if back { "backfill-back.json" } else { "backfill.json" })
}

/// That a phase is next to the present one, and that the store that will serve alone knows all.
async fn check_step(migration: &MigratingVisitStore, phase: Phase) -> Result<()> {
    let before = migration.phase();
    let steps = (phase as usize).abs_diff(before as usize);
    if steps > 1 {
        return Err(Error::config(format!(
            "visits are in phase {before}, and {phase} is {steps} steps away: go by one at a time, \
             as collectors in neighbouring phases agree about visits and others do not"
        )));
    }
    if steps == 0 || !matches!(phase, Phase::Old | Phase::New) {
        return Ok(());
    }
    let report = migration.compare().await?;
    let (is_safe, comparison, command) = match phase {
        Phase::New => (report.safe, &report.comparison, "backfill"),
        _ => (report.back_safe, &report.back, "backfill --back"),
    };
    if is_safe {
        return Ok(());
    }
    Err(Error::config(format!(
        "the store that would serve alone is behind in {} records, whose visits would change their \
         ids: run `ashiato visits {command}` first, or go on with --force",
        comparison.behind
    )))
}

fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Opens the socket.
///
/// # Errors
/// [`Error::Config`] if the folder's path is too long for one, or cannot hold one.
pub(super) fn listen(data: &Path) -> Result<UnixListener> {
    let path = socket_path(data);
    // One that an earlier process left; the spool's lock says that it is gone.
    let _ = fs::remove_file(&path);
    UnixListener::bind(&path).map_err(|error| {
        let shown = path.display();
        Error::config(format!("opening the control socket {shown}: {error}; set another `data`"))
    })
}

/// Answers commands until `stop` is cancelled.
pub(super) async fn serve(control: Control, listener: UnixListener, stop: CancellationToken) {
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
    let _ = fs::remove_file(socket_path(&control.data));
}

async fn converse(control: &Control, stream: UnixStream) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let Ok(Some(line)) = lines.next_line().await else { return };
    let request = serde_json::from_str(&line)
        .map_err(|error| Error::Usage(format!("reading a command: {error}")));
    let done = match request {
        Ok(request) => control.respond(request, &mut writing).await,
        Err(error) => Err(error),
    };
    let mut last =
        done.unwrap_or_else(|error| json!({"error": error.to_string(), "code": error.exit_code()}));
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

/// Asks the collector that runs with a folder; `progress` is told of all responses but the last.
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
        let response: Value = serde_json::from_str(&line)
            .map_err(|error| Error::Bug(format!("reading the collector's answer: {error}")))?;
        if let Some(error) = response["error"].as_str() {
            let error = error.to_owned();
            return Err(match response["code"].as_u64() {
                Some(64) => Error::Usage(error),
                Some(78) => Error::config(error),
                Some(70) => Error::Bug(error),
                _ => Error::Unavailable(error),
            });
        }
        if response["done"] == true {
            return Ok(response);
        }
        progress(&response);
    }
    Err(Error::Unavailable("the collector ended before its answer".to_owned()))
}
