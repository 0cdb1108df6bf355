//! What a table's file holds: its hash and its rows, counted in the file itself.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use bzip2::read::MultiBzDecoder;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
    /// Rows, by a Parquet file's footer, or by the line ends of a text.
    pub(super) rows: u64,
}

/// Measures a file whose bytes `copy` writes; `path` says by its ending what it is.
///
/// A file that cannot be read has no rows; its hash tells that it is another one.
pub(super) fn measure(
    path: &str,
    copy: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Contents> {
    let failed = |error: io::Error| Error::Unavailable(format!("verifying {path}: {error}"));
    let mut copied =
        HashedCopy { file: tempfile::tempfile().map_err(failed)?, hash: Sha256::new() };
    copy(&mut copied)?;
    let HashedCopy { mut file, hash } = copied;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let rows = count_rows(path, file).unwrap_or(0);
    Ok(Contents { sha256: hex::encode(hash.finalize()), rows })
}

fn count_rows(path: &str, file: File) -> io::Result<u64> {
    if path.ends_with(".parquet") {
        let reader = SerializedFileReader::new(file).map_err(io::Error::other)?;
        let rows = reader.metadata().file_metadata().num_rows();
        return u64::try_from(rows).map_err(io::Error::other);
    }
    let file = BufReader::new(file);
    match path.rsplit('.').next() {
        Some("gz") => count_lines(MultiGzDecoder::new(file)),
        Some("bz2") => count_lines(MultiBzDecoder::new(file)),
        _ => count_lines(file),
    }
}

fn count_lines(mut text: impl Read) -> io::Result<u64> {
    let (mut lines, mut piece) = (0, vec![0; 64 << 10]);
    loop {
        match text.read(&mut piece)? {
            0 => return Ok(lines),
            read => lines += memchr::memchr_iter(b'\n', &piece[..read]).count() as u64,
        }
    }
}

/// A copy on disk, which a Parquet reader can move around in.
struct HashedCopy {
    file: File,
    hash: Sha256,
}

impl Write for HashedCopy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
