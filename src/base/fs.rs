//! File-system steps that have reached the disk when they return.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use nix::libc;

use super::error::{Error, Result};

/// A failure to write a file that a retry writes anew: the disk is full, gone or closed to us.
pub(crate) fn write_error(path: &Path, err: &io::Error) -> Error {
    let path = path.display();
    let advice = match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there, then retry",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "let this user write there, then retry"
        }
        ErrorKind::AlreadyExists => {
            return Error::Bug(format!("writing {path}: the file exists already"));
        }
        _ => "check the disk, then retry",
    };
    Error::Unavailable(format!("writing {path}: {err}; {advice}"))
}

/// Writes `bytes` under a temporary name, then renames: readers see the old file or the new one.
///
/// `temporary` is on the same file system as `path`; one that a crash left is overwritten.
pub(crate) fn write_atomically(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    for folder in [temporary.parent(), path.parent()].into_iter().flatten() {
        create_folders(folder)?;
    }
    let write = || {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, path)
    };
    write().map_err(|err| disk_error("writing", path, &err))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Creates a folder and those above it, and brings each new entry to the disk.
pub(crate) fn create_folders(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
    // The empty path, above a relative one, is the working folder.
    for folder in missing.into_iter().rev().filter(|path| !path.as_os_str().is_empty()) {
        match fs::create_dir(folder) {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => {
                return Err(disk_error("creating folder", folder, &err));
            }
            _ => folder.parent().map_or(Ok(()), sync_folder)?,
        }
    }
    Ok(())
}

/// Creates a folder and those above it; the caller syncs them.
pub(crate) fn create_unsynced(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|err| disk_error("creating folder", folder, &err))
}

/// Brings a folder's entries, or a file's bytes, to the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|open| open.sync_all());
    synced.map_err(|err| disk_error("syncing folder", folder, &err))
}

/// So many files and folders are synced one by one; of more, the file system is, once: thousands of
/// partitions would take minutes else.
pub(crate) const SYNCED_ONE_BY_ONE: usize = 64;

/// Brings files and folders of one file system to the disk, and folders' entries.
pub(crate) fn sync_paths(paths: &[PathBuf]) -> Result<()> {
    match paths {
        [first, ..] if paths.len() > SYNCED_ONE_BY_ONE && sync_file_system(first)? => Ok(()),
        paths => paths.iter().try_for_each(|path| sync_folder(path)),
    }
}

/// Brings all that a file system holds to the disk, if the system can; says whether it did. Linux
/// tells of writes that failed since 5.8.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_file_system(path: &Path) -> Result<bool> {
    let synced = File::open(path).and_then(|open| Ok(rustix::fs::syncfs(&open)?));
    synced.map(|()| true).map_err(|err| disk_error("syncing the file system of", path, &err))
}

/// Elsewhere there is no call that waits until all is written.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_file_system(_: &Path) -> Result<bool> {
    Ok(false)
}

/// Renames a file; the caller syncs the folder.
pub(crate) fn move_file(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|err| match err.kind() {
        ErrorKind::CrossesDevices => Error::config(format!(
            "moving {} to {}: they are on different file systems, between which no rename is \
             atomic; put the state folder on the file system of the table",
            from.display(),
            to.display()
        )),
        _ => disk_error("moving a file to", to, &err),
    })
}

/// Removes a file; one that is gone is as good as removed.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => Err(disk_error("removing", path, &err)),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; one that is gone is as good as removed.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            Err(disk_error("removing folder", path, &err))
        }
        _ => Ok(()),
    }
}

/// Removes a folder if it is empty; says whether it is gone.
pub(crate) fn remove_empty_folder(path: &Path) -> Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(err) => match err.kind() {
            ErrorKind::NotFound => Ok(true),
            ErrorKind::DirectoryNotEmpty => Ok(false),
            _ => Err(disk_error("removing empty folder", path, &err)),
        },
    }
}

/// The names in a folder, sorted; none if it is not there.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other,
    };
    let names = entries.and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    });
    let mut names: Vec<String> = names.map_err(|err| disk_error("listing", folder, &err))?;
    names.sort();
    Ok(names)
}

/// The size of a file in bytes; none if it is not there.
pub(crate) fn file_bytes(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(disk_error("looking at", path, &err)),
    }
}

/// The bytes of a file; none if it is not there.
pub(crate) fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(disk_error("reading", path, &err)),
    }
}

/// Whether the system says of a path that it cannot be one: it goes through a file or in a circle,
/// or a name in it is too long. A retry does not help.
pub(crate) fn is_of_no_use(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG))
}

/// A failure of the disk: worth a retry once its cause is gone, but for a path that cannot be one.
pub(crate) fn disk_error(doing: &str, path: &Path, err: &io::Error) -> Error {
    if is_of_no_use(err) {
        let path = path.display();
        return Error::config(format!("{doing} {path}: {err}; give it a path that can be one"));
    }
    let advice = match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there, then retry",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "let this user write there, then retry"
        }
        _ => "check the disk, then retry",
    };
    Error::Unavailable(format!("{doing} {}: {err}; {advice}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_paths_are_synced_one_by_one_and_many_by_their_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> =
            (0..=SYNCED_ONE_BY_ONE).map(|n| folder.path().join(n.to_string())).collect();
        sync_paths(&[]).unwrap();
        fs::write(&paths[0], "x").unwrap();
        sync_paths(&paths[..1]).unwrap();
        sync_paths(&[folder.path().to_owned()]).unwrap();
        let error = sync_paths(&paths[..2]).unwrap_err();
        assert_eq!(error.exit_code(), 75, "one is not there: {error}");
        for path in &paths {
            fs::write(path, "x").unwrap();
        }
        sync_paths(&paths).unwrap();
    }
}
