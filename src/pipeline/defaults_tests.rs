//! The page has the defaults as they are.

use std::path::PathBuf;

use super::{PipelineFiles, resolve_pipeline};
use crate::base::config::ConfigFile;
use crate::base::document_tables::defaults;

const PAGE: &str = include_str!("../../docs/pipeline.md");

/// The tables of `pipeline.toml`, each with the keys that it must have.
const TABLES: [(&str, &str, &str); 11] = [
    ("## Top level", "", ""),
    ("## `[source]`", "[source]", "location = \"in\""),
    ("## `[quarantine]`", "[quarantine]", "location = \"out/quarantine\""),
    ("## `[state]`", "[state]", "location = \"out/state\""),
    ("## `[enrichment]`", "[enrichment]", ""),
    ("## `[resources]`", "[resources]", ""),
    ("## `[[reference]]`", "[[reference]]", "name = \"r\"\nlocation = \"r.csv\""),
    (
        "## `[[output]]`",
        "[[output]]",
        "name = \"o\"\nlocation = \"out/o\"\nformats = [\"parquet\", \"tsv\"]",
    ),
    ("## `[output.parquet]`", "[output.parquet]", ""),
    ("## `[output.tsv]`", "[output.tsv]", ""),
    (
        "## `[[output.expectation]]`",
        "[[output.expectation]]",
        "name = \"e\"\npredicate = \"a > 0\"",
    ),
];

fn resolved(text: String) -> String {
    let file = |path: &str, text: String| ConfigFile { path: path.into(), text };
    let files = PipelineFiles {
        folder: PathBuf::from("shop"),
        pipeline: file("pipeline.toml", text),
        contract: file("contract.toml", "[[column]]\nname = \"a\"\ntype = \"int64\"".to_owned()),
        sql: vec![file("o.sql", "SELECT a FROM logs".to_owned())],
    };
    let (pipeline, found) = resolve_pipeline(files, &|_| None);
    assert!(found.is_empty(), "{found:#?}");
    let mut pipeline = pipeline.unwrap();
    pipeline.file.text.clear();
    format!("{pipeline:#?}")
}

#[test]
fn the_page_shows_the_defaults_as_they_are() {
    let (mut shown, mut left_out, mut count) = (String::new(), String::new(), 0);
    for (heading, table, required) in TABLES {
        for text in [&mut shown, &mut left_out] {
            *text += &format!("{table}\n{required}\n");
        }
        for line in defaults(PAGE, heading) {
            shown += &format!("{line}\n");
            // Places of what follows are the same.
            left_out += &format!("# {line}\n");
            count += 1;
        }
    }
    assert!(count >= 20, "{shown}");
    assert_eq!(resolved(shown), resolved(left_out));
}
