//! The rules of the source: who may import whom, and how long things may get.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::ROOT;

/// Folders of `src`, each with those that it may import.
const FOLDERS: [(&str, &[&str]); 17] = [
    ("base", &[]),
    ("json", &["base"]),
    ("store", &["base"]),
    ("contract", &["base", "json"]),
    ("enrich", &["base"]),
    ("pipeline", &["base", "contract", "enrich"]),
    ("decode", &["base", "json", "contract"]),
    ("udf", &["base", "contract", "enrich"]),
    ("scan", &["base", "store", "contract", "pipeline", "decode"]),
    ("quarantine", &["base", "store", "decode"]),
    (
        "query",
        &[
            "base",
            "json",
            "store",
            "contract",
            "enrich",
            "pipeline",
            "decode",
            "udf",
            "scan",
            "quarantine",
        ],
    ),
    ("sink", &["base", "store", "pipeline", "quarantine", "query"]),
    ("commit", &["base", "store", "pipeline", "sink"]),
    (
        "run",
        &[
            "base",
            "store",
            "contract",
            "enrich",
            "pipeline",
            "decode",
            "scan",
            "quarantine",
            "query",
            "sink",
            "commit",
        ],
    ),
    ("collector", &["base", "json", "store"]),
    ("tools", &["base", "json", "store", "contract"]),
    (
        "cli",
        &[
            "base",
            "json",
            "store",
            "contract",
            "enrich",
            "pipeline",
            "udf",
            "scan",
            "sink",
            "commit",
            "run",
            "collector",
            "tools",
        ],
    ),
];

/// Folders of pure functions: no clock, environment, runtime or store.
const PURE_FOLDERS: [&str; 5] = ["json", "contract", "enrich", "pipeline", "decode"];

/// What a pure function does not know.
const IMPURE: [&str; 6] =
    ["tokio", "object_store", "std::env", "SystemTime::now", "Instant::now", "Utc::now"];

/// Only these may import the engine's query parts.
const ENGINE_FOLDERS: [&str; 2] = ["udf", "query"];

/// These have no use for rows, and could be built without DataFusion.
const FOLDERS_WITHOUT_ROWS: [&str; 5] = ["base", "json", "store", "collector", "tools"];

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

/// The folder of `src` that a file lies in.
fn folder(path: &Path) -> String {
    let name = path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
    name.trim_end_matches(".rs").to_owned()
}

/// The code of a file, without its tests and comments.
fn code(path: &Path, text: &str) -> String {
    let code = without_tests(path, text);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_folder_imports_only_those_that_it_may() {
    let folders = BTreeMap::from(FOLDERS);
    let name = Regex::new(r"\bcrate::(\w+)").unwrap();
    let mut against = Vec::new();
    for (path, text) in sources() {
        let from = folder(&path);
        if from == "lib" || from == "main" {
            continue;
        }
        let may = folders.get(from.as_str());
        let may = may.unwrap_or_else(|| panic!("{} is in no known folder", path.display()));
        for line in code(&path, &text).lines() {
            let names = name.captures_iter(line).map(|found| found[1].to_owned());
            let mut names = names.filter(|to| *to != from && folders.contains_key(to.as_str()));
            if names.any(|to| !may.contains(&to.as_str())) {
                against.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(against.is_empty(), "imports of other folders:\n{}", against.join("\n"));
}

#[test]
fn no_folder_may_import_what_imports_it() {
    let mut earlier = BTreeSet::new();
    for (folder, may) in FOLDERS {
        for other in may {
            assert!(earlier.contains(other), "{folder} may import {other}, which comes after it");
        }
        earlier.insert(folder);
    }
}

#[test]
fn files_import_each_other_in_no_circle() {
    let circles = circles(&Imports::of(&sources()).by_module);
    let shown: Vec<String> = circles.iter().map(|circle| circle.join(" → ")).collect();
    assert!(shown.is_empty(), "circles of files:\n{}", shown.join("\n"));
}

/// Which module imports which others, but for its own parents and children.
struct Imports {
    by_module: BTreeMap<String, BTreeSet<String>>,
}

impl Imports {
    fn of(sources: &BTreeMap<PathBuf, String>) -> Self {
        let code: BTreeMap<String, String> = sources
            .iter()
            .filter(|(path, _)| path.components().count() > 2)
            .map(|(path, text)| (module(path), code(path, text)))
            .filter(|(_, code)| !code.is_empty())
            .collect();
        let exported = exports(&code);
        let start = Regex::new(r"(?:^|[^\w:$])((?:crate|super(?:::super)*)::[\w{*])").unwrap();
        let mut by_module = BTreeMap::new();
        for (own, text) in &code {
            let mut imported = BTreeSet::new();
            for found in start.captures_iter(text) {
                for path in paths(&text[found.get(1).unwrap().start()..], own) {
                    let to = defining_module(&path, &code, &exported);
                    let is_kin = |to: &str| to.starts_with(own.as_str()) || own.starts_with(to);
                    imported.extend(to.filter(|to| !is_kin(to)));
                }
            }
            by_module.insert(own.clone(), imported);
        }
        Imports { by_module }
    }
}

/// `src/store/retry/mod.rs` → `store::retry::`.
fn module(path: &Path) -> String {
    let text = path.with_extension("").to_string_lossy().replace('/', "::");
    let text = text.trim_start_matches("src::").trim_end_matches("::mod");
    format!("{text}::")
}

/// The names that modules pass on from their children: `store::Stores` → `store::stores::`.
fn exports(code: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let passed_on =
        Regex::new(r"pub(?:\([a-z]+\))? use (?:self::)?(\w+(?:::[a-z_]\w*)*)::(\{[^}]*\}|\w+|\*);");
    let (passed_on, word) = (passed_on.unwrap(), Regex::new(r"\w+").unwrap());
    let public =
        Regex::new(r"pub(?:\([a-z]+\))? (?:struct|enum|trait|type|fn|const) (\w+)").unwrap();
    let mut exported = BTreeMap::new();
    for (module, text) in code {
        for found in passed_on.captures_iter(text) {
            let child = format!("{module}{}::", &found[1]);
            let Some(child_text) = code.get(&child) else { continue };
            let names: Vec<String> = match &found[2] {
                "*" => public.captures_iter(child_text).map(|name| name[1].to_owned()).collect(),
                names => word.find_iter(names).map(|name| name.as_str().to_owned()).collect(),
            };
            exported.extend(names.iter().map(|name| (format!("{module}{name}"), child.clone())));
        }
    }
    exported
}

/// The paths of an import that begins with `crate` or `super`, from the crate's root, one for each
/// name in braces.
fn paths(text: &str, own: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    import_tree(text, &mut Vec::new(), &mut found);
    let absolute = found.into_iter().map(|path| {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let names = own.trim_end_matches("::").split("::").map(str::to_owned);
        let parents: Vec<String> = names.collect();
        let base = if ups == 0 { &[][..] } else { &parents[..parents.len().saturating_sub(ups)] };
        base.iter().cloned().chain(path.into_iter().skip(ups.max(1))).collect()
    });
    absolute.collect()
}

/// Reads a path or a tree of paths; gives what follows it.
fn import_tree<'t>(
    text: &'t str,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> &'t str {
    let depth = prefix.len();
    let mut rest = text;
    loop {
        if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                inner = inner.trim_start_matches([' ', '\n', ',']);
                if let Some(after) = inner.strip_prefix('}') {
                    prefix.truncate(depth);
                    return after;
                }
                let after = import_tree(inner, prefix, found);
                let after = after.trim_start_matches(|c: char| !",}".contains(c)); // `as name`
                assert!(after.len() < inner.len(), "no import: {inner:.40}");
                inner = after;
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            prefix.push(rest[..end].to_owned());
        }
        match rest[end..].strip_prefix("::") {
            Some(after) if end > 0 => rest = after,
            _ => {
                found.push(prefix.clone());
                prefix.truncate(depth);
                return rest[end..].trim_start_matches('*');
            }
        }
    }
}

/// The module in which what a path names stands.
fn defining_module(
    path: &[String],
    code: &BTreeMap<String, String>,
    exported: &BTreeMap<String, String>,
) -> Option<String> {
    let lengths = (1..=path.len()).rev();
    let mut modules = lengths.map(|length| (format!("{}::", path[..length].join("::")), length));
    let (mut module, length) = modules.find(|(module, _)| code.contains_key(module))?;
    while let Some(name) = path.get(length)
        && let Some(child) = exported.get(&format!("{module}{name}"))
    {
        module.clone_from(child);
    }
    Some(module)
}

/// The circles that modules import one another in: each once, from its first module.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached_from = |start: &String| {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![start]);
        while let Some(module) = waiting.pop() {
            for to in imports.get(module).into_iter().flatten() {
                if reached.insert(to.clone()) {
                    waiting.push(to);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, _> =
        imports.keys().map(|module| (module, reached_from(module))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for module in imports.keys().filter(|module| reached[module].contains(*module)) {
        if found.iter().flatten().any(|known| known == module) {
            continue;
        }
        let others = reached[module].iter();
        let back = others.filter(|other| reached.get(other).is_some_and(|of| of.contains(module)));
        found.push(back.cloned().collect());
    }
    found
}

#[test]
fn a_circle_is_found_through_what_modules_pass_on() {
    let sources = [
        ("src/a/mod.rs", "mod one;\nmod two;\npub use one::One;\npub(crate) use two::{Two, make};"),
        ("src/a/one.rs", "use crate::a::{\n    Two,\n};\nuse super::two::make as made;"),
        ("src/a/two.rs", "fn f() -> super::One {}"),
        ("src/a/three.rs", "use super::{One, two::{Two, make}};\n// use crate::b::Four;"),
        ("src/b/mod.rs", "use crate::a::three::Three;"),
    ];
    let sources = sources.map(|(path, text)| (PathBuf::from(path), text.to_owned()));
    let imports = Imports::of(&BTreeMap::from(sources)).by_module;
    let of = |module: &str| imports[module].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("a::three::"), ["a::one::", "a::two::"]);
    assert_eq!(of("b::"), ["a::three::"]);
    assert_eq!(circles(&imports), [["a::one::", "a::two::"]]);
}

#[test]
fn only_the_engine_folders_import_the_engine() {
    let allowed = ["arrow", "parquet"];
    let mut against = Vec::new();
    for (path, text) in sources() {
        if ENGINE_FOLDERS.contains(&folder(&path).as_str()) {
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
fn folders_without_rows_do_not_import_the_engine() {
    let mut against = Vec::new();
    for (path, text) in sources() {
        if FOLDERS_WITHOUT_ROWS.contains(&folder(&path).as_str()) {
            let code = code(&path, &text);
            let lines = code.lines().filter(|line| line.contains("datafusion::"));
            against.extend(lines.map(|line| format!("{}: {line}", path.display())));
        }
    }
    assert!(against.is_empty(), "imports of the engine:\n{}", against.join("\n"));
}

#[test]
fn pure_folders_know_no_clock_environment_runtime_or_store() {
    let mut against = Vec::new();
    for (path, text) in sources() {
        if PURE_FOLDERS.contains(&folder(&path).as_str()) {
            let code = code(&path, &text);
            let lines = code.lines().filter(|line| IMPURE.iter().any(|name| line.contains(name)));
            against.extend(lines.map(|line| format!("{}: {line}", path.display())));
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
