//! Where tables, state and quarantine may lie.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::base::environment::Environment;
use crate::base::error::{Diagnostic, Error, Result};
use crate::base::location::StoreLocation;

/// Characters that DistCp takes for a glob in a listed path.
const GLOB_CHARACTERS: [char; 7] = ['[', ']', '{', '}', '*', '?', '\\'];

/// A table's root and how to call it in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRoot {
    /// ``output `events`, parquet``.
    pub label: String,
    /// The location that holds the table and nothing else.
    pub root: StoreLocation,
    /// Where `pipeline.toml` defines it: line and column from 1.
    pub place: (usize, usize),
}

impl TableRoot {
    fn problem(&self, message: String) -> Diagnostic {
        Diagnostic::new(message).at(self.place.0, self.place.1)
    }
}

/// All that stands against these locations, each with where it is defined; looks at no disk or
/// store.
///
/// Refused are: one root inside (or at) another; state or quarantine inside a root, or a root
/// inside them (DistCp copies hidden files too); a local table whose state is in an object store,
/// as nothing could be renamed into it; characters in a root that a line of a DistCp listing cannot
/// carry. Places are compared name by name.
pub fn check_layout(
    roots: &[TableRoot],
    state: &StoreLocation,
    quarantine: &StoreLocation,
) -> Vec<Diagnostic> {
    let characters = |table: &TableRoot| Some(table.problem(check_characters(table)?));
    let mut problems: Vec<Diagnostic> = roots.iter().filter_map(characters).collect();
    for (i, table) in roots.iter().enumerate() {
        for other in &roots[..i] {
            if table.root.overlaps(&other.root) {
                problems.push(table.problem(format!(
                    "{}: its location {} and that of {} ({}) must not contain one another; give \
                     each table a folder of its own",
                    table.label, table.root, other.label, other.root
                )));
            }
        }
        for (name, location) in [("state", state), ("quarantine", quarantine)] {
            if table.root.overlaps(location) {
                problems.push(table.problem(format!(
                    "{}: its location {} and the {name} folder {location} must not contain one \
                     another; readers and DistCp would take one for the other",
                    table.label, table.root,
                )));
            }
        }
        if table.root.is_local() && !state.is_local() {
            problems.push(table.problem(format!(
                "{}: its location {} is on disk, but the state {state} is not; put the state on \
                 the table's file system",
                table.label, table.root,
            )));
        }
    }
    problems
}

/// Checks that each root, the state and the quarantine that are on disk can be written, and that a
/// staged file can be renamed into each root; `Error::Config` with all that was found.
///
/// Folders that are not there yet are judged by the nearest one above them. Folders that only
/// symbolic links bring into one another are found here. Leaves nothing behind.
pub fn check_locations(
    roots: &[TableRoot],
    state: &StoreLocation,
    quarantine: &StoreLocation,
) -> Result<()> {
    let quarantine = quarantine.local_path();
    let checked = quarantine.as_ref().map(|location| check_folder("the quarantine", location));
    let mut problems: Vec<String> = checked.and_then(Result::err).into_iter().collect();
    let Some(state) = state.local_path() else { return refused(problems) };
    let local = |table: &TableRoot| Some((table.label.clone(), table.root.local_path()?));
    let roots: Vec<(String, PathBuf)> = roots.iter().filter_map(local).collect();
    let state_device = check_folder("the state folder", &state);
    problems.extend(state_device.as_ref().err().cloned());
    for (label, root) in &roots {
        match (check_folder(label, root), &state_device) {
            (Err(problem), _) => problems.push(problem),
            (Ok(device), Ok(state_device)) if device != *state_device => problems.push(format!(
                "{label}: its location {} and the state folder {} are on different file systems, \
                 between which no rename is atomic; put the state on the table's file system",
                root.display(),
                state.display()
            )),
            _ => {}
        }
    }
    if problems.is_empty() {
        problems.extend(linked_overlaps(&roots, &state, quarantine.as_deref()));
    }
    refused(problems)
}

fn refused(problems: Vec<String>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Config(problems.into_iter().map(Diagnostic::new).collect()))
}

/// Folders that lie within one another on the disk, whatever their names are.
fn linked_overlaps(
    roots: &[(String, PathBuf)],
    state: &Path,
    quarantine: Option<&Path>,
) -> Vec<String> {
    let tables = roots.iter().map(|(label, root)| (label.as_str(), root.as_path()));
    let others = [("the state folder", Some(state)), ("the quarantine", quarantine)];
    let others = others.into_iter().filter_map(|(label, location)| Some((label, location?)));
    let locations: Vec<_> =
        tables.chain(others).map(|(l, folder)| (l, folder, real(folder))).collect();
    let mut problems = Vec::new();
    for (i, (label, location, own)) in locations.iter().enumerate().take(roots.len()) {
        for (other_label, other, others) in &locations[i + 1..] {
            if own.starts_with(others) || others.starts_with(own) {
                problems.push(format!(
                    "{label}: {} is {}, and {other_label}: {} is {}, by symbolic links; they must \
                     not contain one another",
                    location.display(),
                    own.display(),
                    other.display(),
                    others.display()
                ));
            }
        }
    }
    problems
}

/// Whether two names are of one location: symbolic links are followed, and `s3a` is `s3`.
pub(super) fn is_same_location(a: &StoreLocation, b: &StoreLocation) -> bool {
    match (a.local_path(), b.local_path()) {
        (Some(a), Some(b)) => real(&a) == real(&b),
        (None, None) => {
            let environment = Environment::default();
            a.hadoop_url(&environment) == b.hadoop_url(&environment)
        }
        _ => false,
    }
}

/// Whether one of two locations contains the other, or they are the same; symbolic links are
/// followed.
pub(super) fn are_nested(a: &StoreLocation, b: &StoreLocation) -> bool {
    match (a.local_path(), b.local_path()) {
        (Some(a), Some(b)) => {
            let (a, b) = (real(&a), real(&b));
            a.starts_with(&b) || b.starts_with(&a)
        }
        _ => a.overlaps(b),
    }
}

/// The path with its symbolic links followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find_map(|ancestor| {
        let below = absolute.strip_prefix(ancestor).ok()?;
        Some(fs::canonicalize(ancestor).ok()?.join(below))
    });
    found.unwrap_or(absolute)
}

/// What keeps roots, state and quarantine that are on disk from being written, as far as it can be
/// told without making a file: the permissions of the nearest folder that is there.
///
/// Places in stores are not asked.
pub fn unwritable_locations(
    roots: &[TableRoot],
    state: &StoreLocation,
    quarantine: &StoreLocation,
) -> Vec<Diagnostic> {
    let may_write = |folder: &Path| access(folder, AccessFlags::W_OK | AccessFlags::X_OK);
    let problem = |label: &str, location: &StoreLocation| {
        let location = location.local_path()?;
        check_folder_by(label, &location, |folder| Ok(may_write(folder)?)).err()
    };
    let roots = roots.iter().filter_map(|root| {
        let problem = problem(&root.label, &root.root)?;
        Some(root.problem(problem))
    });
    let others = [("the state folder", state), ("the quarantine", quarantine)];
    let others = others.into_iter().filter_map(|(label, location)| problem(label, location));
    roots.chain(others.map(Diagnostic::new)).collect()
}

/// The device that a folder is on or will be on; or why it cannot be written.
fn check_folder(label: &str, location: &Path) -> Result<u64, String> {
    // A file without a name, which no reader can see.
    check_folder_by(label, location, |folder| tempfile::tempfile_in(folder).map(drop))
}

/// Looks at the nearest folder that is there; `try_it` says whether files can be made in it.
fn check_folder_by(
    label: &str,
    location: &Path,
    try_it: impl Fn(&Path) -> io::Result<()>,
) -> Result<u64, String> {
    let absolute = std::path::absolute(location)
        .map_err(|err| format!("{label}: the path {} is of no use: {err}", location.display()))?;
    for folder in absolute.ancestors() {
        let refused = |what: &str| {
            let (location, folder) = (location.display(), folder.display());
            format!("{label}: {location} cannot be written: {folder} {what}")
        };
        match fs::metadata(folder) {
            Err(_) if folder.is_symlink() => {
                return Err(refused("is a symbolic link that leads nowhere"));
            }
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) => return Err(refused(&format!("cannot be looked at: {err}"))),
            Ok(found) if !found.is_dir() => return Err(refused("is not a folder; move it away")),
            Ok(found) => {
                try_it(folder).map_err(|err| refused(&format!("refuses new files: {err}")))?;
                return Ok(found.dev());
            }
        }
    }
    Err(format!("{label}: no folder above {} is there", location.display()))
}

fn check_characters(table: &TableRoot) -> Option<String> {
    let (root, label) = (&table.root, &table.label);
    let text = root.to_string();
    let (_, name) = text.split_once("://").unwrap_or(("", &text));
    let refused = |c: &char| GLOB_CHARACTERS.contains(c) || *c == ':' || c.is_control();
    if let Some(c) = name.chars().find(refused) {
        return Some(format!(
            "{label}: its location {root} holds {c:?}, which HDFS or DistCp's listings cannot \
             carry; rename it"
        ));
    }
    let mut names = name.split('/');
    names.any(|name| name != name.trim()).then(|| {
        format!(
            "{label}: a name in its location {root} begins or ends with white space, which \
             DistCp's listings cannot carry; rename it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: impl AsRef<Path>) -> StoreLocation {
        StoreLocation::parse(text.as_ref().to_str().unwrap()).unwrap()
    }

    fn root(name: &str, path: &str) -> TableRoot {
        TableRoot { label: format!("output `{name}`, tsv"), root: at(path), place: (3, 1) }
    }

    fn problems(roots: &[(&str, &str)], state: &str, quarantine: &str) -> Vec<String> {
        let roots: Vec<_> = roots.iter().map(|(name, path)| root(name, path)).collect();
        let found = check_layout(&roots, &at(state), &at(quarantine));
        assert!(found.iter().all(|problem| problem.place == Some((3, 1))), "{found:?}");
        found.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn folders_side_by_side_are_fine() {
        let roots = [("a", "/out/a"), ("ab", "/out/ab"), ("c", "/日本 語/c")];
        assert_eq!(problems(&roots, "/out/_state", "/out/_quarantine"), Vec::<String>::new());
    }

    #[test]
    fn folders_inside_one_another_are_all_named() {
        let roots = [("a", "/out/a"), ("b", "/out/./a/../a/b"), ("c", "/out")];
        let problems = problems(&roots, "/out/a/_state", "/q");
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert!(problems[0].contains("/out/a and the state folder /out/a/_state"));
        assert!(problems[1].starts_with("output `b`, tsv: its location /out/./a/../a/b and that"));
    }

    #[test]
    fn buckets_are_told_apart_and_local_tables_need_local_state() {
        let roots = [("a", "s3://b/out/a"), ("b", "gs://b/out/a"), ("c", "s3://c/out/a")];
        assert_eq!(problems(&roots, "s3://b/state", "/q"), Vec::<String>::new());
        let found = problems(&[("a", "s3a://b/out"), ("b", "s3://b/out/b")], "s3://b", "/q");
        assert_eq!(found.len(), 3, "{found:?}");
        let found = problems(&[("a", "/out/a")], "s3://b/state", "s3://b/q");
        assert!(found[0].contains("is on disk, but the state s3://b/state is not"), "{found:?}");
    }

    #[test]
    fn a_root_at_the_quarantine_is_refused() {
        let problems = problems(&[("a", "/out/a")], "/s", "/out/a");
        assert!(problems[0].contains("the quarantine folder /out/a"), "{problems:?}");
    }

    #[test]
    fn names_that_a_copy_listing_cannot_carry_are_refused() {
        for bad in ["/a[b", "/a]b", "/{a", "/a}", "/a*", "/a?", "/a\\b", "/a:b", "/a\nb", "/a /b"] {
            let problems = problems(&[("a", bad)], "/s", "/q");
            assert_eq!(problems.len(), 1, "{bad}");
        }
        for good in ["/a b", "/a%3Ab", "/a=b", "/本"] {
            assert_eq!(problems(&[("a", good)], "/s", "/q"), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn places_are_judged_by_the_nearest_folder_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let table =
            |path: PathBuf| [TableRoot { label: "t".into(), root: at(path), place: (1, 1) }];
        let deep = folder.path().join("a/b/c");
        check_locations(
            &table(deep),
            &at(folder.path().join("state")),
            &at(folder.path().join("q")),
        )
        .unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        fs::write(folder.path().join("file"), "").unwrap();
        let below_a_file = table(folder.path().join("file"));
        let error =
            check_locations(&below_a_file, &at(folder.path()), &at(folder.path().join("q")))
                .unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("is not a folder"), "{error}");
        let file = at(folder.path().join("file"));
        let error = check_locations(&[], &at(folder.path()), &file).unwrap_err();
        assert!(error.to_string().contains("the quarantine"), "{error}");

        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nothing", &link).unwrap();
        for below in [link.clone(), link.join("a")] {
            let quarantine = at(folder.path().join("q"));
            let error =
                check_locations(&table(below), &at(folder.path()), &quarantine).unwrap_err();
            assert!(error.to_string().contains("leads nowhere"), "{error}");
        }
    }

    #[test]
    fn folders_inside_one_another_by_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("real")).unwrap();
        std::os::unix::fs::symlink(path("real"), path("link")).unwrap();
        let roots = [root("a", path("real/a").to_str().unwrap())];
        check_locations(&roots, &at(path("state")), &at(path("real/q"))).unwrap();
        let error = check_locations(&roots, &at(path("state")), &at(path("link/a/q"))).unwrap_err();
        assert!(error.to_string().contains("by symbolic links"), "{error}");
    }

    #[test]
    fn a_root_on_another_file_system_is_refused_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        let shm = Path::new("/dev/shm");
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        if device(shm).is_none() || device(shm) == device(folder.path()) {
            // This system has one file system only: nothing to tell apart.
            return;
        }
        let table =
            [TableRoot { label: "t".into(), root: at(shm.join("ashiato-nowhere")), place: (1, 1) }];
        let error =
            check_locations(&table, &at(folder.path()), &at(folder.path().join("q"))).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert!(error.to_string().contains("different file systems"), "{error}");
    }
}
