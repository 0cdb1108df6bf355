//! A pipeline in a temporary folder, and the real binary run on it.

pub mod collector;
pub mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The checkout's root.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A run's interval in all tests that need only one.
pub const DAY: [&str; 2] = ["--date", "2026-11-21"];

/// A pipeline named `shop` below a temporary folder, with its source beside it.
pub struct Project {
    folder: TempDir,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The result, which must be the last line of stdout and the only one.
    pub fn result(&self) -> Value {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "stdout holds the result alone: {self:#?}");
        serde_json::from_str(lines[0]).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// The result of a run that must have ended well.
    pub fn published(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:#?}");
        let result = self.result();
        assert_eq!(result["status"], "published");
        result
    }

    /// Asserts an exit code and that stderr holds each of some texts.
    pub fn fails_with(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "stderr lacks {text:?}: {self:#?}");
        }
    }
}

/// The contract of a `Project`: an id, a text, a number and a time.
pub const CONTRACT: &str = r#"
[[column]]
name = "id"
type = "int64"
required = true

[[column]]
name = "name"
type = "string"

[[column]]
name = "amount"
type = "int64"

[[column]]
name = "at"
type = "timestamp"
"#;

/// The output of a `Project`: all rows, with where they come from left out.
pub const OUTPUT: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
"#;

/// The view of a `Project`.
pub const VIEW: &str = "SELECT id, name, amount, _source, _line FROM logs\n";

impl Project {
    /// A project with the standard contract, output and view, and no logs.
    pub fn new() -> Project {
        let project = Project { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(project.path("logs/dt=2026-11-21")).unwrap();
        project.write("shop/contract.toml", CONTRACT);
        project.write("shop/rows.sql", VIEW);
        project.pipeline(OUTPUT)
    }

    /// Replaces `pipeline.toml` after the source and the quarantine.
    pub fn pipeline(self, rest: &str) -> Project {
        self.pipeline_with("", "", rest)
    }

    /// Replaces `pipeline.toml`, with keys for the quarantine and the source.
    pub fn pipeline_with(self, quarantine: &str, source: &str, rest: &str) -> Project {
        let text = format!(
            r#"time_zone = "Asia/Tokyo"
[source]
location = "${{SOURCE}}"
path = "dt=%Y-%m-%d/"
{source}
[quarantine]
location = "${{OUT}}/quarantine"
{quarantine}
[state]
location = "${{OUT}}/state"
{rest}"#
        );
        self.write("shop/pipeline.toml", text);
        self
    }

    /// Takes `path` out of `pipeline.toml`: its location names the objects itself.
    pub fn without_path(self) -> Project {
        let file = self.path("shop/pipeline.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replace("path = \"dt=%Y-%m-%d/\"\n", "")).unwrap();
        self
    }

    /// A file's path below the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file below the project.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Adds an object of the day's logs.
    pub fn logs(self, name: &str, bytes: impl AsRef<[u8]>) -> Project {
        self.write(&format!("logs/dt=2026-11-21/{name}"), bytes);
        self
    }

    /// The binary with the project's environment, ready to run a subcommand on its pipeline.
    pub fn command(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        command
            .arg(subcommand)
            .arg(self.path("shop"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SOURCE", self.path("logs"))
            .env("OUT", self.path("out"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a subcommand on the pipeline.
    pub fn ashiato(&self, subcommand: &str, arguments: &[&str]) -> Finished {
        finish(&mut self.command(subcommand, arguments))
    }

    /// Runs the pipeline for the day.
    pub fn run(&self) -> Finished {
        self.ashiato("run", &DAY)
    }

    /// Runs the pipeline for the day, also if it is published already.
    pub fn run_again(&self) -> Finished {
        self.ashiato("run", &["--date", "2026-11-21", "--force"])
    }

    /// The lines of all uncompressed TSV files of the output `rows`, sorted.
    pub fn rows(&self) -> Vec<String> {
        tsv_lines(&self.path("out/rows"))
    }

    /// The quarantine's records, in the order of object and line.
    pub fn quarantine(&self) -> Vec<Value> {
        let mut records: Vec<Value> = files_below(&self.path("out/quarantine"))
            .values()
            .flat_map(|file| {
                let text = zstd::decode_all(&file[..]).unwrap();
                let text = String::from_utf8(text).unwrap();
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
            })
            .collect();
        records.sort_by_key(|r: &Value| (r["object"].to_string(), r["line"].as_u64()));
        records
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All files below a folder, by their path below it; none if it does not exist.
pub fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The lines of all TSV files below a table's root, sorted.
pub fn tsv_lines(root: &Path) -> Vec<String> {
    let files = files_below(root);
    let tsv = files.iter().filter(|(name, _)| name.ends_with(".tsv"));
    let mut lines: Vec<String> = tsv
        .flat_map(|(_, bytes)| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}

/// gzip of some bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
