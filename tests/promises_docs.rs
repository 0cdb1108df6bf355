//! Documents say what the code does: what code knows is generated or compared, and what can be run
//! is run.
//!
//! With `ASHIATO_WRITE_DOCS` (`make docs`), generated parts are written instead of compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::collector::Collector;
use crate::support::{Finished, ROOT, files_below, finish, gzip};

const BINARY: &str = env!("CARGO_BIN_EXE_ashiato");
/// A tax table of a pipeline's own.
const RATES: &str = "category,from,rate\nstandard,2019-10-01,0.10\n";
/// A key that no table has, and that is near to none.
const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzz";

fn read(document: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

fn ashiato(arguments: &[&str]) -> Finished {
    finish(Command::new(BINARY).args(arguments).current_dir(ROOT).env("COLUMNS", "100"))
}

/// The documents for people, by their paths in the checkout.
fn documents() -> Vec<String> {
    let pages = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let pages = pages.map(|page| format!("docs/{}", page.unwrap().file_name().to_string_lossy()));
    let mut documents: Vec<String> = pages.filter(|page| page.ends_with(".md")).collect();
    documents.extend(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]);
    documents.sort();
    documents
}

/// A block of code: what stands after its first fence, and its text.
struct Block {
    document: String,
    language: String,
    info: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for line in read(document).lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(fence), None) => {
                let (language, info) = fence.split_once(' ').unwrap_or((fence, ""));
                let (language, info) = (language.to_owned(), info.to_owned());
                let document = document.to_owned();
                open = Some(Block { document, language, info, text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block has no end");
    blocks
}

/// The cells of the first table below a heading, row by row.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let mut lines = text.lines().skip_while(|line| *line != heading).skip(1);
    assert!(lines.by_ref().any(|line| line.starts_with("|---")), "{document}: {heading}: no table");
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Compares a document with what it is to be, or writes it.
fn settle(document: &str, wanted: &str) {
    let path = Path::new(ROOT).join(document);
    if std::env::var_os("ASHIATO_WRITE_DOCS").is_some() {
        return fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let differing = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    let hint = format!("{document} is stale: run `make docs`; {differing:?}");
    assert!(found == wanted, "{hint}");
}

/// The same for a part of a document, between `<!-- generated: name -->` and `<!-- end -->`.
fn settle_part(document: &str, name: &str, wanted: &str) {
    let text = read(document);
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    settle(document, &format!("{before}{begin}{wanted}<!-- end -->{after}"));
}

#[test]
fn the_page_of_sql_functions_is_what_the_binary_prints() {
    let functions: Vec<Value> =
        serde_json::from_str(&ashiato(&["functions", "--json"]).stdout).unwrap();
    let sections = ashiato(&["functions", "--markdown"]);
    assert_eq!(sections.code, Some(0), "{sections:#?}");
    let mut page = "# SQL functions\n\n\
        These are Ashiato's own, besides DataFusion's. `ashiato functions [NAME]` prints them, too; a test runs all \
        examples. This page is generated from the code (`make docs`).\n\n\
        | function | gives |\n|---|---|\n"
        .to_owned();
    for function in &functions {
        let [name, syntax, description] =
            ["name", "syntax", "description"].map(|key| function[key].as_str().unwrap());
        let first = description.lines().next().unwrap();
        writeln!(page, "| [`{syntax}`](#{name}) | {first} |").unwrap();
    }
    settle("docs/sql-functions.md", &format!("{page}\n{}", sections.stdout));
}

/// The subcommands that a help text lists.
fn commands_of(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = named.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The help of each subcommand, by its words.
fn helps() -> BTreeMap<String, String> {
    let mut helps = BTreeMap::new();
    for command in commands_of(&ashiato(&["--help"]).stdout) {
        let help = ashiato(&[&command, "--help"]).stdout;
        for inner in commands_of(&help) {
            let help = ashiato(&[&command, &inner, "--help"]).stdout;
            helps.insert(format!("{command} {inner}"), help);
        }
        helps.insert(command, help);
    }
    assert!(helps.len() > 12, "{:?}", helps.keys());
    helps
}

#[test]
fn the_page_of_commands_is_what_the_binary_prints() {
    let mut page = "# Commands\n\n\
        What `ashiato COMMAND --help` prints. This page is generated from the code (`make docs`).\n\n"
        .to_owned();
    writeln!(page, "```text\n{}\n```", ashiato(&["--help"]).stdout.trim_end()).unwrap();
    for (command, help) in helps() {
        writeln!(page, "\n## {command}\n\n```text\n{}\n```", help.trim_end()).unwrap();
    }
    settle("docs/commands.md", &page);
}

#[test]
fn the_page_of_the_collector_has_all_its_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(folder.path(), "stop_delay = \"0s\"\n", &[]);
    let metrics = String::from_utf8(collector.browser().get("/metrics").body).unwrap();
    let mut helps = BTreeMap::new();
    let mut rows = Vec::new();
    for line in metrics.lines() {
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", "HELP", name, said] => drop(helps.insert(name, said)),
            ["#", "TYPE", name, kind] => rows.push((name, kind)),
            _ => {}
        }
    }
    assert!(rows.len() > 25, "{metrics}");
    let mut part = "| metric | kind | |\n|---|---|---|\n".to_owned();
    for (name, kind) in rows {
        let said = helps[name].trim_end_matches('.');
        writeln!(part, "| `{name}` | {kind} | {said} |").unwrap();
    }
    settle_part("docs/collector.md", "metrics", &part);
}

/// The keys that a parser takes, and those that it misses, by the name of their table.
type Keys = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

/// What `check` or `collect` says of a file whose tables have a key each that nobody knows.
fn keys_of(findings: &[(u64, String)], file: &str) -> Keys {
    let mut keys = Keys::new();
    let lines: Vec<&str> = file.lines().collect();
    let table_of = |line: u64| {
        let above = &lines[..usize::try_from(line).unwrap()];
        let name = above.iter().rev().find(|line| line.starts_with('['));
        name.map_or(String::new(), |name| (*name).to_owned())
    };
    for (line, message) in findings {
        let entry = keys.entry(table_of(*line)).or_default();
        if let Some((_, known)) = message.split_once("expected one of: ") {
            entry.0.extend(known.split(", ").map(str::to_owned));
        } else if let Some(missing) = message.strip_prefix("missing ") {
            let name = missing.split('`').nth(1).unwrap();
            entry.1.insert(name.trim_matches(['[', ']']).to_owned());
        }
    }
    keys
}

/// What `check` finds in two files of a pipeline; messages with their advice.
fn check(pipeline: &str, contract: &str) -> [Vec<(u64, String)>; 2] {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pipeline.toml"), pipeline).unwrap();
    fs::write(folder.path().join("contract.toml"), contract).unwrap();
    let checked = ashiato(&["check", folder.path().to_str().unwrap(), "--json"]);
    let printed: Value = serde_json::from_str(checked.stdout.trim()).unwrap();
    let findings = printed["findings"].as_array().unwrap();
    ["pipeline.toml", "contract.toml"].map(|file| {
        let own = findings.iter().filter(|one| one["file"].as_str().unwrap().ends_with(file));
        let texts = own.map(|one| {
            let help = one["help"].as_str().unwrap_or_default();
            (
                one["line"].as_u64().unwrap_or(0),
                format!("{} {help}", one["message"].as_str().unwrap()),
            )
        });
        texts.collect()
    })
}

/// Compares the table below each heading with what a parser says of its table.
fn compare_keys(document: &str, tables: &[(&str, &str)], keys: &Keys) {
    for (table_name, heading) in tables {
        let (known, missed) = &keys[*table_name];
        let rows = table(document, heading);
        let shown: BTreeSet<String> =
            rows.iter().flat_map(|cells| names(&cells[0])).map(str::to_owned).collect();
        assert_eq!(&shown, known, "{document}: {heading}");
        let required = rows.iter().filter(|cells| cells[1] == "yes");
        let required: BTreeSet<String> =
            required.flat_map(|cells| names(&cells[0])).map(str::to_owned).collect();
        let missing = missed.difference(&required).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{document}: {heading}: {missing:?} are required");
    }
}

/// Tables with nothing but an unknown key each.
fn unknown_keys(tables: &[&str]) -> String {
    let mut text = String::new();
    for table in tables {
        let table = if table.is_empty() { "# the top" } else { table };
        write!(text, "{table}\n{UNKNOWN} = 1\n").unwrap();
    }
    text
}

#[test]
fn the_page_of_pipelines_has_just_the_keys_that_are_taken() {
    let tables = [
        ("", "## Top level"),
        ("[source]", "## `[source]`"),
        ("[quarantine]", "## `[quarantine]`"),
        ("[state]", "## `[state]`"),
        ("[enrichment]", "## `[enrichment]`"),
        ("[parameters.x]", "## `[parameters]`"),
        ("[resources]", "## `[resources]`"),
        ("[[reference]]", "## `[[reference]]`"),
        ("[[output]]", "## `[[output]]`"),
        ("[output.parquet]", "## `[output.parquet]`"),
        ("[output.tsv]", "## `[output.tsv]`"),
        ("[[output.expectation]]", "## `[[output.expectation]]`"),
    ];
    let file = unknown_keys(&tables.map(|(table, _)| table));
    let [found, _] = check(&file, "");
    compare_keys("docs/pipeline.md", &tables, &keys_of(&found, &file));
    let file = unknown_keys(&[""]);
    let [found, _] = check(&file, "");
    let keys = keys_of(&found, &file);
    assert!(keys[""].1.contains("source"), "{found:?}");
    compare_keys("docs/pipeline.md", &tables[..1], &keys);
}

#[test]
fn the_page_of_contracts_has_just_the_keys_that_are_taken() {
    let heading = "## `[[column]]` and `[[column.item]]`";
    let tables = [("", "## Top level"), ("[[column]]", heading), ("[[column.item]]", heading)];
    let mut file = unknown_keys(&["", "[[column]]"]);
    file += "[[column]]\nname = \"l\"\ntype = \"list\"\n";
    file += &unknown_keys(&["[[column.item]]"]);
    let [_, found] = check("", &file);
    compare_keys("docs/contract.md", &tables, &keys_of(&found, &file));
}

/// What `collect` says of a configuration that it refuses.
fn findings_of_collector(config: &str) -> Vec<(u64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, config).unwrap();
    let refused = ashiato(&["collect", "--config", path.to_str().unwrap()]);
    assert_eq!(refused.code, Some(78), "{refused:#?}");
    let of_line = |line: &str| {
        let (_, place) = line.split_once("c.toml:")?;
        let mut parts = place.splitn(3, ':');
        let number = parts.next()?.parse().ok()?;
        Some((number, parts.nth(1)?.trim().to_owned()))
    };
    refused.stderr.lines().filter_map(of_line).collect()
}

#[test]
fn the_page_of_the_collector_has_just_the_keys_that_are_taken() {
    let tables =
        ["", "[landing]", "[limits]", "[consent]", "[cookies]", "[visits]", "[visit_store]"];
    let file = unknown_keys(&tables);
    let keys = keys_of(&findings_of_collector(&file), &file);
    let mut shown = BTreeMap::<String, BTreeSet<String>>::new();
    for block in blocks("docs/collector.md").iter().filter(|block| block.language == "toml") {
        let mut table = String::new();
        for line in block.text.lines() {
            match line.strip_prefix('[').and_then(|line| line.split_once(']')) {
                Some((name, _)) => {
                    table = format!("[{}]", name.split('.').next().unwrap());
                    let (outer, inner) = name.split_once('.').unwrap_or(("", name));
                    let outer = if outer.is_empty() { String::new() } else { format!("[{outer}]") };
                    shown.entry(outer).or_default().insert(inner.to_owned());
                }
                None if line.contains(" = ") => {
                    let key = line.split(" = ").next().unwrap().to_owned();
                    shown.entry(table.clone()).or_default().insert(key);
                }
                None => {}
            }
        }
    }
    for table in tables {
        assert_eq!(shown[table], keys[table].0, "{table}");
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = ashiato(&["--help"]).stdout;
    let listed = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let listed: BTreeSet<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.len() > 7, "{help}");
    let rows = table("docs/operations.md", "## Exit codes");
    let shown: BTreeSet<&str> = rows.iter().map(|cells| cells[0].as_str()).collect();
    assert_eq!(shown, listed);
}

#[test]
fn variables_of_the_environment_are_those_that_the_code_reads() {
    let mut known = BTreeSet::new();
    let mut folders = vec![Path::new(ROOT).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") {
                known.extend(variables(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    known.retain(|name| !name.contains("_TEST_") && !name.contains("_WRITE_"));
    // Of the pipelines that ship.
    let examples = ["ASHIATO_SOURCE", "ASHIATO_OUT", "ASHIATO_PSEUDONYM_KEY"];
    known.extend(examples.map(str::to_owned));
    let mut shown: BTreeSet<String> =
        documents().iter().flat_map(|document| variables(&read(document))).collect();
    shown.extend(examples.map(str::to_owned));
    assert_eq!(shown, known);
}

fn variables(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    let begins = text.match_indices("ASHIATO_").map(|(begin, _)| &text[begin..]);
    let names = begins.map(|text| &text[..text.find(|c| !is_part(c)).unwrap_or(text.len())]);
    names.map(|name| name.trim_end_matches('_').to_owned()).collect()
}

#[test]
fn every_command_in_a_document_exists_with_its_flags() {
    let helps = helps();
    let mut count = 0;
    for block in documents().iter().flat_map(|document| blocks(document)) {
        if block.language != "sh" {
            continue;
        }
        for line in block.text.lines() {
            let line = line.split(" #").next().unwrap();
            let Some((_, call)) = line.split_once("ashiato ") else { continue };
            if line.contains("git clone") {
                continue;
            }
            let words: Vec<&str> = call.split_whitespace().collect();
            let whole = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            let help = helps.get(&whole).or_else(|| helps.get(words[0]));
            let help = help.unwrap_or_else(|| panic!("{}: {line}", block.document));
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.trim_matches(['`', '"', ')']);
                assert!(help.contains(flag), "{}: no {flag}: {line}", block.document);
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

/// Runs a document's blocks in their order: files are written, commands run, outputs compared.
fn run_blocks(document: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let own = Path::new(BINARY).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(own).chain(std::env::split_paths(&path).collect::<Vec<PathBuf>>()),
    );
    let path = path.unwrap();
    let (mut printed, mut runs) = (String::new(), 0);
    for block in blocks(document) {
        if let Some(name) = block.info.strip_prefix("file=") {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &block.text).unwrap();
        } else if block.info == "run" {
            let mut shell = Command::new("bash");
            shell.args(["-euo", "pipefail", "-c", &block.text]);
            let done = finish(shell.current_dir(folder.path()).env("PATH", &path));
            assert_eq!(done.code, Some(0), "{document}: {}\n{done:#?}", block.text);
            (printed, runs) = (done.stdout, runs + 1);
        } else if block.info == "output" {
            assert_eq!(printed, block.text, "{document}");
        }
    }
    runs
}

#[test]
fn the_first_pipeline_is_as_it_is_told() {
    assert!(run_blocks("docs/first-pipeline.md") >= 8);
}

#[test]
fn the_pipeline_of_the_readme_runs() {
    assert_eq!(run_blocks("README.md"), 1);
}

#[test]
fn the_whole_examples_of_the_pages_make_the_rows_that_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let place = |name: &str| path(name).display().to_string();
    let files = ["docs/pipeline.md", "docs/contract.md"].into_iter().flat_map(blocks);
    let mut files: BTreeMap<String, String> = files
        .filter_map(|block| Some((block.info.strip_prefix("file=")?.to_owned(), block.text)))
        .collect();
    // Its places, and files that are no part of it.
    let geoip = format!("{ROOT}/fixtures/geoip");
    let pipeline = files.get_mut("shop/pipeline.toml").unwrap();
    for (theirs, ours) in [
        ("s3://logs/raw", place("raw")),
        ("s3://lake", place("lake")),
        ("/data/GeoLite2-City.mmdb", format!("{geoip}/made_up_city.mmdb")),
        ("/data/GeoLite2-ASN.mmdb", format!("{geoip}/made_up_asn.mmdb")),
        ("/data/spill", place("spill")),
        ("compression = \"gzip\"", "compression = \"none\"".to_owned()),
    ] {
        assert!(pipeline.contains(theirs), "the page names no {theirs}");
        *pipeline = pipeline.replace(theirs, &ours);
    }
    let own = [("shops.csv", "region,opened\neast,2001-04-01\n"), ("rates.csv", RATES)];
    files.extend(own.map(|(name, text)| (format!("shop/{name}"), text.to_owned())));
    fs::create_dir(path("shop")).unwrap();
    fs::create_dir(path("spill")).unwrap();
    for (name, text) in files {
        fs::write(path(&name), text).unwrap();
    }
    let lines = blocks("docs/contract.md");
    let line = lines.iter().find(|block| block.language == "json").unwrap();
    fs::create_dir_all(path("raw/dt=2026-11-21/hr=13/region=east")).unwrap();
    let object = path("raw/dt=2026-11-21/hr=13/region=east/a.gz");
    fs::write(object, gzip(line.text.as_bytes())).unwrap();
    let checked = ashiato(&["check", &place("shop")]);
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let run = ashiato(&["run", &place("shop"), "--date", "2026-11-21", "--quiet"]);
    let result = run.published();
    for count in ["unknown_fields", "mended"] {
        let told = format!("\"{count}\":{}", result[count]);
        assert!(read("docs/contract.md").contains(&told), "{told}");
    }
    let tables = files_below(&path("lake/events/tsv"));
    let (_, rows) = tables.iter().find(|(name, _)| name.ends_with(".tsv")).unwrap();
    let expected = "2026-11-21 04:05:00.123\t12.50\ttrue\t2001-04-01\n";
    assert_eq!(String::from_utf8_lossy(rows), expected);
}

/// The anchor that GitHub gives a heading.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut count = 0;
    for document in documents() {
        let text = read(&document);
        let (mut prose, mut is_code) = (String::new(), false);
        for line in text.lines() {
            if line.starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                prose += line;
                prose.push('\n');
            }
        }
        for link in prose.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let here = Path::new(ROOT).join(&document);
            let there = match file {
                "" => here.clone(),
                file => here.parent().unwrap().join(file),
            };
            assert!(there.exists(), "{document}: {target}");
            let anchors = || fs::read_to_string(&there).unwrap();
            let has_anchor = |text: String| {
                text.lines().any(|line| line.starts_with('#') && anchor_of(line) == anchor)
            };
            assert!(anchor.is_empty() || has_anchor(anchors()), "{document}: {target}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut count = 0;
    for document in documents() {
        let text = read(&document);
        let named = text.split('`').filter(|name| !name.contains(['*', ' ', '\n']));
        for name in named.filter(|name| ["src/", "tests/"].iter().any(|at| name.starts_with(at))) {
            // The function that CONTRIBUTING.md adds for an example.
            if !name.contains("url_scheme") {
                assert!(Path::new(ROOT).join(name).exists(), "{document}: {name}");
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_page_of_the_architecture_has_all_folders() {
    let entries = fs::read_dir(Path::new(ROOT).join("src")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let known: BTreeSet<String> =
        folders.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    let rows = table("docs/architecture.md", "## Folders");
    let shown: BTreeSet<String> =
        rows.iter().flat_map(|cells| names(&cells[0])).map(str::to_owned).collect();
    assert_eq!(shown, known);
}

#[test]
fn the_readme_stays_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines, at most 150");
}
