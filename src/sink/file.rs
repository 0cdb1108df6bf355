//! One staged file, hashed while it is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::base::error::Result;
use crate::base::fs::write_error;

/// A file that knows its bytes and their SHA-256.
#[derive(Debug)]
pub(crate) struct HashedFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    sha256: Sha256,
}

/// What a finished file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) bytes: u64,
    /// 64 hexadecimal digits, lower case.
    pub(crate) sha256: String,
}

impl HashedFile {
    /// Creates the file and the folders above it; one that exists already is a bug.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|err| write_error(folder, &err))?;
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|err| write_error(&path, &err))?;
        Ok(HashedFile { file, path, bytes: 0, sha256: Sha256::new() })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells what was written; the caller syncs it.
    pub(crate) fn seal(&mut self) -> Result<Sealed> {
        Ok(Sealed { bytes: self.bytes, sha256: hex::encode(self.sha256.finalize_reset()) })
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_bytes_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/x");
        let mut file = HashedFile::create(path.clone()).unwrap();
        file.write_all(b"ab").unwrap();
        file.write_all(b"c").unwrap();
        let sealed = file.seal().unwrap();
        assert_eq!(sealed.bytes, 3);
        // NIST's test vector for "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sealed.sha256, abc);
        assert_eq!(fs::read(path).unwrap(), b"abc");
    }

    #[test]
    fn a_file_that_exists_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "old").unwrap();
        assert_eq!(HashedFile::create(path.clone()).unwrap_err().exit_code(), 70);
        assert_eq!(fs::read(path).unwrap(), b"old");
    }

    #[test]
    fn a_full_disk_is_worth_a_retry_and_says_what_to_do() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = write_error(Path::new("/x/part-0"), &full);
        assert_eq!(error.exit_code(), 75);
        let message = error.to_string();
        assert!(message.contains("/x/part-0") && message.contains("free space"), "{message}");
    }
}
