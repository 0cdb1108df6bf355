//! The house's rules: who may import whom, and how long things may get.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::ROOT;

/// Folders (and single files) of `src` by storey; each imports only its own and lower storeys.
const STOREYS: [&[&str]; 8] = [
    &["error", "config"],
    &["interval", "contract", "json"],
    &["decode", "enrich"],
    &["pipeline"],
    &["store", "source", "quarantine", "sink", "commit", "visits", "spool"],
    &["udf", "transform"],
    &["telemetry", "run", "collector", "load"],
    &["cli"],
];

/// No clock, environment, runtime or store below the storey of `store`.
const IMPURE: [&str; 6] =
    ["tokio", "object_store", "std::env", "SystemTime::now", "Instant::now", "Utc::now"];

/// Only these may import the engine's query parts.
const ENGINE_FOLDERS: [&str; 2] = ["udf", "transform"];

fn sources() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![Path::new(ROOT).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(ROOT).unwrap().to_owned(), text);
            }
        }
    }
    assert!(files.len() > 30, "the sources were not found");
    files
}

/// The code without its tests.
fn without_tests(path: &Path, text: &str) -> String {
    if path.to_string_lossy().ends_with("_tests.rs") {
        return String::new();
    }
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].to_owned()
}

/// The name right below `src`.
fn room(path: &Path) -> String {
    let name = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    name.trim_end_matches(".rs").trim_end_matches("_tests").to_owned()
}

fn storey(room: &str) -> Option<usize> {
    STOREYS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn imports_go_only_downstairs() {
    let mut against = Vec::new();
    for (path, text) in sources() {
        let from = room(&path);
        if from == "lib" || from == "main" {
            continue;
        }
        let here = storey(&from).unwrap_or_else(|| panic!("{} has no storey", path.display()));
        for (number, line) in without_tests(&path, &text).lines().enumerate() {
            let names = line.split("crate::").skip(1);
            for name in names.filter(|_| !line.trim_start().starts_with("//")) {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                let room = &name[..end.unwrap_or(name.len())];
                if storey(room).is_some_and(|there| there > here) {
                    against.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(against.is_empty(), "imports of a higher storey:\n{}", against.join("\n"));
}

#[test]
fn only_the_engine_folders_import_the_engine() {
    let allowed = ["arrow", "parquet"];
    let mut against = Vec::new();
    for (path, text) in sources() {
        if ENGINE_FOLDERS.contains(&room(&path).as_str()) {
            continue;
        }
        for line in without_tests(&path, &text).lines() {
            let part = line.split("datafusion::").nth(1);
            let is_code = !line.trim_start().starts_with("//");
            if part.is_some_and(|part| !allowed.iter().any(|a| part.starts_with(a))) && is_code {
                against.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(against.is_empty(), "imports of the engine:\n{}", against.join("\n"));
}

#[test]
fn pure_folders_know_no_clock_environment_runtime_or_store() {
    let mut against = Vec::new();
    for (path, text) in sources() {
        if storey(&room(&path)).is_none_or(|storey| storey > 3) {
            continue;
        }
        for line in without_tests(&path, &text).lines() {
            let is_code = !line.trim_start().starts_with("//");
            if is_code && IMPURE.iter().any(|impure| line.contains(impure)) {
                against.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(against.is_empty(), "impure:\n{}", against.join("\n"));
}

#[test]
fn files_functions_and_lines_stay_short() {
    let mut against = Vec::new();
    for (path, text) in sources() {
        let path_text = path.display();
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > 100 {
                against.push(format!("{path_text}:{}: more than 100 columns", number + 1));
            }
        }
        let code = without_tests(&path, &text);
        let lines = code.lines().count();
        if lines > 500 {
            against.push(format!("{path_text}: {lines} lines, at most 500 without tests"));
        }
        for (name, length) in functions(&code) {
            if length > 70 {
                against.push(format!("{path_text}: {name} has {length} lines, at most 70"));
            }
        }
    }
    assert!(against.is_empty(), "too long:\n{}", against.join("\n"));
}

/// Functions and how many lines they have: from `fn` to the brace at the same indentation.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let is_function = bare.contains("fn ")
            && ["fn ", "pub ", "pub(", "async ", "const "].iter().any(|p| bare.starts_with(p));
        if !is_function || bare.ends_with(';') {
            continue;
        }
        let indentation = line.len() - bare.len();
        let closing = format!("{}}}", " ".repeat(indentation));
        let length = lines[start..].iter().position(|line| **line == closing);
        found.push((bare.to_owned(), length.map_or(1, |length| length + 1)));
    }
    found
}

#[test]
fn functions_are_measured_from_their_name_to_their_brace() {
    let code = "fn a() {\n    1\n}\nimpl X {\n    pub fn b(\n        x: u8,\n    ) {\n    }\n}\n";
    assert_eq!(functions(code), [("fn a() {".into(), 3), ("pub fn b(".into(), 4)]);
}

#[test]
fn every_sql_function_lives_in_a_file_of_its_name() {
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_ashiato"))
        .args(["functions", "--json"])
        .output()
        .unwrap();
    let functions: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(functions.len() >= 12);
    for function in functions {
        let name = function["name"].as_str().unwrap();
        let file = Path::new(ROOT).join("src/udf").join(format!("{name}.rs"));
        assert!(file.exists(), "{} is missing", file.display());
    }
}
