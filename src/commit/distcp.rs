//! The listing for `hadoop distcp -f`: what of a table to copy to another cluster.
//!
//! ```text
//! files of the publish   dt=2026-11-21/service=books/part-0…, dt=2026-11-21/service=music/part-1…
//! listing                file:///out/events/dt=2026-11-21
//! command                hadoop distcp -f 'file:///…/distcp-listing.txt' TARGET
//! ```
//!
//! Listed files of several partitions would be flattened to their base names, and listed leaf
//! folders would lose the levels above, so a partitioned table lists first-level folders. A line
//! goes raw into Hadoop's `Path` and is taken for a glob: it has no percent-encoding of its own,
//! and a folder whose name it cannot carry makes the listing fall back to the table's root. There
//! is no `_SUCCESS` in it, as DistCp copies in parallel and the marker could arrive before its
//! data; only the fallback copies it. No file name is ever reused, so that files which are there
//! already can be skipped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How to copy what was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistCp {
    /// What the lines of the listing are.
    pub form: DistCpForm,
    /// The command, with `TARGET` for the table's folder at its destination; none if there is
    /// nothing to copy. It does not remove what [`removed`](super::ManifestTable::removed) names.
    pub command: Option<String>,
}

/// What the lines of a listing are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistCpForm {
    /// First-level folders: `TARGET` gets each of them, and skips files that it has.
    Folders,
    /// Files of a table without partitions.
    Files,
    /// The table's root, as a folder's name cannot stand in a listing: `-update` copies its
    /// contents.
    Root,
    /// Nothing was published, and there is no listing.
    Nothing,
}

/// The listing for files at `paths` below `root`, and how to use it from `listing`; both as Hadoop
/// names them.
pub(super) fn plan_copy<'a>(
    root: &str,
    paths: impl Iterator<Item = &'a str>,
    listing: &str,
) -> (DistCp, Option<String>) {
    let mut files = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for path in paths {
        match path.split_once('/') {
            Some((folder, _)) => folders.insert(folder),
            None => files.insert(path),
        };
    }
    let (form, names) = match (files.is_empty(), folders.is_empty()) {
        (true, true) => return (DistCp { form: DistCpForm::Nothing, command: None }, None),
        (true, false) if folders.iter().all(|name| fits_a_line(name)) => {
            (DistCpForm::Folders, folders)
        }
        (false, true) => (DistCpForm::Files, files),
        _ => (DistCpForm::Root, BTreeSet::new()),
    };
    let text = match form {
        DistCpForm::Root => format!("{root}\n"),
        _ => names.iter().map(|name| format!("{root}/{name}\n")).collect(),
    };
    let update = if form == DistCpForm::Root { "-update " } else { "" };
    let listing = quoted(listing);
    let command =
        format!("hadoop fs -mkdir -p TARGET && hadoop distcp {update}-f {listing} TARGET");
    (DistCp { form, command: Some(command) }, Some(text))
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Whether a folder's name survives a line of a listing: white space at its end would be cut or
/// missed, and glob characters would be taken for a glob. Hive's escaping leaves only `}` of them.
fn fits_a_line(name: &str) -> bool {
    let ends_well = !name.ends_with(char::is_whitespace);
    ends_well && !name.contains(|c: char| "[]{}*?\\:".contains(c) || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(paths: &[&str]) -> (DistCp, Option<String>) {
        plan_copy("file:///out/e v", paths.iter().copied(), "file:///s/l.txt")
    }

    #[test]
    fn a_partitioned_table_lists_its_first_level_folders_raw_and_once() {
        let (distcp, listing) =
            plan(&["dt=2/s=a/p1", "dt=1/s=%2F/p0", "dt=1/s=b/p2", "dt=本 %3A/p3"]);
        assert_eq!(distcp.form, DistCpForm::Folders);
        let expected = "file:///out/e v/dt=1\nfile:///out/e v/dt=2\nfile:///out/e v/dt=本 %3A\n";
        assert_eq!(listing.unwrap(), expected);
        let command = "hadoop fs -mkdir -p TARGET && hadoop distcp -f 'file:///s/l.txt' TARGET";
        assert_eq!(distcp.command.unwrap(), command);
    }

    #[test]
    fn a_table_without_partitions_lists_its_files() {
        let (distcp, listing) = plan(&["p1", "p0"]);
        assert_eq!(distcp.form, DistCpForm::Files);
        assert_eq!(listing.unwrap(), "file:///out/e v/p0\nfile:///out/e v/p1\n");
    }

    #[test]
    fn a_name_that_no_line_can_carry_makes_it_fall_back_to_the_root() {
        for bad in ["s=a ", "s=a}", "s=a\u{3000}"] {
            let (distcp, listing) = plan(&["s=b/p0", &format!("{bad}/p1")]);
            assert_eq!(distcp.form, DistCpForm::Root, "{bad}");
            assert_eq!(listing.unwrap(), "file:///out/e v\n");
            assert!(distcp.command.unwrap().contains("distcp -update -f "));
        }
        // Below the first level such names are fine.
        assert_eq!(plan(&["s=b/t=a }/p0"]).0.form, DistCpForm::Folders);
    }

    #[test]
    fn no_files_make_no_listing() {
        let nothing = DistCp { form: DistCpForm::Nothing, command: None };
        assert_eq!(plan(&[]), (nothing, None));
    }
}
