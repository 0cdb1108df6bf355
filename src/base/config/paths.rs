//! Relative paths of a pipeline are relative to its folder.
//!
//! ```text
//! out/rows                       ${PIPELINE_DIR}/out/rows
//! ${OUT:-out}/rows               ${OUT:-${PIPELINE_DIR}/out}/rows
//! ${OUT}/rows, /out, s3://b/out  as they are: who sets a variable means the working directory
//! ```
//!
//! The working directory of an orchestrator's task is a temporary one: what is written there is
//! gone with the task, which has ended well.

use toml_span::value::{Value, ValueInner};

use super::variables::closing_brace;

/// The variable that stands for the pipeline's folder.
pub const PIPELINE_DIR: &str = "PIPELINE_DIR";

/// The keys whose values are paths or URLs, with the tables that they are in.
const PATH_KEYS: [[&str; 2]; 8] = [
    ["source", "location"],
    ["quarantine", "location"],
    ["state", "location"],
    ["output", "location"],
    ["reference", "location"],
    ["enrichment", "geoip"],
    ["enrichment", "tax_table"],
    ["resources", "spill"],
];

/// The keys of what is written: two names of one place would be two places.
const WRITTEN_KEYS: [[&str; 2]; 3] =
    [["quarantine", "location"], ["state", "location"], ["output", "location"]];

/// Makes the relative paths of a document relative to the pipeline's folder; its variables are not
/// replaced yet.
pub fn anchor_paths(document: &mut Value<'_>) {
    change_texts(document, &PATH_KEYS, &mut Vec::new(), &anchored);
}

/// Takes `.` and `..` out of the places that are written to; variables are replaced.
pub fn tidy_paths(document: &mut Value<'_>) {
    change_texts(document, &WRITTEN_KEYS, &mut Vec::new(), &without_dots);
}

fn change_texts(
    value: &mut Value<'_>,
    keys: &[[&str; 2]],
    at: &mut Vec<String>,
    change: &dyn Fn(&str) -> String,
) {
    let changed = match value.take() {
        ValueInner::String(text) if keys.iter().any(|key| at.as_slice() == key.as_slice()) => {
            ValueInner::String(change(&text).into())
        }
        ValueInner::Array(mut items) => {
            items.iter_mut().for_each(|item| change_texts(item, keys, at, change));
            ValueInner::Array(items)
        }
        ValueInner::Table(mut table) => {
            for (key, item) in &mut table {
                at.push(key.name.to_string());
                change_texts(item, keys, at, change);
                at.pop();
            }
            ValueInner::Table(table)
        }
        other => other,
    };
    value.set(changed);
}

fn anchored(text: &str) -> String {
    if let Some(inside) = text.strip_prefix("${") {
        let variable = closing_brace(inside).map(|end| (&inside[..end], &inside[end + 1..]));
        return match variable.and_then(|(inside, rest)| Some((inside.split_once(":-")?, rest))) {
            // An empty default leaves it to what follows to be absolute.
            Some(((name, default), rest)) if !default.is_empty() => {
                format!("${{{name}:-{}}}{rest}", anchored(default))
            }
            _ => text.to_owned(),
        };
    }
    match text.is_empty() || text.starts_with('/') || has_scheme(text) {
        true => text.to_owned(),
        false => format!("${{{PIPELINE_DIR}}}/{text}"),
    }
}

fn has_scheme(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    text.split_once(":/").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_letter)
    })
}

/// A path without `.` and `..`, by name only; a URL, and a path without them, as it is.
fn without_dots(text: &str) -> String {
    let is_dotted = |name: &str| name == "." || name == "..";
    if has_scheme(text) || !text.split('/').any(is_dotted) {
        return text.to_owned();
    }
    let is_absolute = text.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
        match (name, names.last()) {
            ("..", Some(&last)) if last != ".." => drop(names.pop()),
            ("..", _) if is_absolute => {}
            _ => names.push(name),
        }
    }
    let tidy = names.join("/");
    match (is_absolute, tidy.is_empty()) {
        (true, _) => format!("/{tidy}"),
        (false, true) => ".".to_owned(),
        (false, false) => tidy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_itself_says_is_relative_to_its_folder() {
        for (text, expected) in [
            ("out/rows", "${PIPELINE_DIR}/out/rows"),
            ("../out", "${PIPELINE_DIR}/../out"),
            ("*.gz", "${PIPELINE_DIR}/*.gz"),
            ("${OUT:-out}/rows", "${OUT:-${PIPELINE_DIR}/out}/rows"),
            ("${A:-${B:-x}}/y", "${A:-${B:-${PIPELINE_DIR}/x}}/y"),
        ] {
            assert_eq!(anchored(text), expected, "{text}");
        }
        for text in [
            "",
            "/out",
            "s3://b/x",
            "file:/x",
            "${OUT}/rows",
            "${OUT:-/out}",
            "${OUT:-s3://b}/x",
            "${PIPELINE_DIR}/x",
            "${A:-}/x",
            "${broken",
        ] {
            assert_eq!(anchored(text), text);
        }
    }

    #[test]
    fn one_place_has_one_name() {
        for (text, expected) in [
            ("sql/shop/../../out", "out"),
            ("./out/.", "out"),
            ("../shop/../out", "../out"),
            ("/a/../../b", "/b"),
            ("a/..", "."),
            ("a//b", "a//b"),
            ("s3://b/a/../c", "s3://b/a/../c"),
        ] {
            assert_eq!(without_dots(text), expected, "{text}");
        }
    }

    #[test]
    fn only_paths_are_touched_wherever_they_stand() {
        let text = "[source]\nlocation = 'logs'\npath = 'dt=%Y/'\n[enrichment]\n\
                    geoip = ['a', '/b']\n[[output]]\nname = 'x'\nlocation = 'out'\n\
                    [output.parquet]\nlocation = 'y'\n";
        let mut document = toml_span::parse(text).unwrap();
        anchor_paths(&mut document);
        let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap();
        assert_eq!(at("/source/location"), "${PIPELINE_DIR}/logs");
        assert_eq!(at("/source/path"), "dt=%Y/");
        assert_eq!(at("/enrichment/geoip/0"), "${PIPELINE_DIR}/a");
        assert_eq!(at("/enrichment/geoip/1"), "/b");
        assert_eq!(at("/output/0/location"), "${PIPELINE_DIR}/out");
        assert_eq!(at("/output/0/parquet/location"), "y");
    }
}
