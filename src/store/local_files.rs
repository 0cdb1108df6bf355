//! Local files, whatever their names.
//!
//! `object_store`'s own store fails a listing for one name that is no UTF-8, and hides those that
//! end in `#` and digits, which are its unfinished uploads. This one lists all names;
//! non-canonical ones ([`noncanonical_names`](super::noncanonical_names)) can be read. All else is
//! the other store's work.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt, once};
use futures::{TryStreamExt, future};
use nix::libc;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};
use walkdir::{DirEntry, WalkDir};

use super::noncanonical_names::{is_escaped_path, name_of_path, path_of_name};

/// What a listing of a place met.
#[derive(Debug, Clone)]
pub enum Listed {
    /// An object.
    Object(ObjectMeta),
    /// The file of an upload that is under way or was broken off.
    UnfinishedUpload(Path),
    /// A name under which nothing can be read, and why.
    Unreadable(Path, String),
}

/// Local files.
#[derive(Debug)]
pub(super) struct LocalFiles(LocalFileSystem);

/// Files that are looked at before the first of them is handed out.
const FILES_AT_ONCE: usize = 1000;

impl LocalFiles {
    pub fn new() -> Self {
        LocalFiles(LocalFileSystem::new())
    }

    /// All files below a prefix, whatever their names.
    pub fn list_all(prefix: &Path) -> BoxStream<'static, Result<Listed>> {
        let walk = WalkDir::new(file_of(prefix)).min_depth(1).follow_links(true).into_iter();
        stream::try_unfold(walk, |mut walk| async {
            let some = tokio::task::spawn_blocking(move || {
                let some: Vec<_> = walk.by_ref().take(FILES_AT_ONCE).map(look_at).collect();
                (some, walk)
            });
            let (some, walk) = some.await.map_err(|source| Error::JoinError { source })?;
            let is_end = some.is_empty();
            let listed: Vec<_> = some.into_iter().filter_map(Result::transpose).collect();
            Ok::<_, Error>((!is_end).then_some((listed, walk)))
        })
        .map_ok(stream::iter)
        .try_flatten()
        .boxed()
    }
}

/// The file that a path stands for.
fn file_of(path: &Path) -> PathBuf {
    FilePath::new("/").join(OsStr::from_bytes(&name_of_path(path)))
}

fn path_of(file: &FilePath) -> Path {
    let name = file.as_os_str().as_bytes();
    path_of_name(name.strip_prefix(b"/").unwrap_or(name))
}

/// What a file of a listing is; none for folders and for what has gone meanwhile.
fn look_at(entry: walkdir::Result<DirEntry>) -> Result<Option<Listed>> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return unreadable_entry(error),
    };
    let path = path_of(entry.path());
    if entry.file_type().is_dir() {
        return Ok(None);
    }
    if is_unfinished_upload(entry.path()) {
        return Ok(Some(Listed::UnfinishedUpload(path)));
    }
    match entry.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(Listed::Object(meta_of(path, &metadata)))),
        Ok(_) => Ok(Some(Listed::Unreadable(path, "neither a file nor a folder".to_owned()))),
        Err(error) => unreadable_entry(error),
    }
}

fn unreadable_entry(error: walkdir::Error) -> Result<Option<Listed>> {
    let kind = error.io_error().map(io::Error::kind);
    let code = error.io_error().and_then(io::Error::raw_os_error);
    let is_link = error.path().is_some_and(FilePath::is_symlink);
    let leads_nowhere = matches!(code, Some(libc::ELOOP | libc::ENAMETOOLONG | libc::ENOTDIR));
    let reason = match (kind, error.loop_ancestor()) {
        (_, Some(_)) => "a symbolic link to a folder that it is in",
        (Some(ErrorKind::NotFound), _) if is_link => "a symbolic link to nothing",
        // It has gone since the folder was read; or the place itself is not there.
        (Some(ErrorKind::NotFound), _) => return Ok(None),
        (Some(ErrorKind::PermissionDenied), _) if error.depth() > 0 => "access is denied",
        _ if leads_nowhere && is_link => "a symbolic link that leads nowhere",
        // The place would lie below a file.
        _ if leads_nowhere && error.depth() == 0 => return Ok(None),
        _ => return Err(failed(io::Error::from(error))),
    };
    let path = error.path().map(path_of).unwrap_or_default();
    Ok(Some(Listed::Unreadable(path, reason.to_owned())))
}

fn failed(source: io::Error) -> Error {
    Error::Generic { store: "files", source: Box::new(source) }
}

/// `object_store` writes `x#1` before it becomes `x`.
fn is_unfinished_upload(file: &FilePath) -> bool {
    let name = file.file_name().unwrap_or_default().as_bytes();
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && name[..name.len() - digits].ends_with(b"#")
}

fn meta_of(location: Path, metadata: &Metadata) -> ObjectMeta {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    ObjectMeta {
        location,
        last_modified: DateTime::<Utc>::from(modified),
        size: metadata.len(),
        e_tag: Some(e_tag_of(metadata, modified)),
        version: None,
    }
}

/// The one of `object_store`, which reads most files.
fn e_tag_of(metadata: &Metadata, modified: SystemTime) -> String {
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}-{:x}", metadata.ino(), since.as_micros(), metadata.len())
}

/// Refuses what would be waited for when it is opened, as a named pipe without a writer.
fn require_file(path: &Path) -> Result<()> {
    match std::fs::metadata(file_of(path)) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Err(Error::NotSupported {
            source: format!("/{path} is neither a file nor a folder").into(),
        }),
        _ => Ok(()),
    }
}

/// Reads a file under a non-canonical name.
fn get_noncanonical(path: &Path, options: &GetOptions) -> Result<GetResult> {
    let file_name = file_of(path);
    let opened = File::open(&file_name).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, mut file) = opened.map_err(|source| match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path: path.to_string(), source: Box::new(source) },
        _ => failed(source),
    })?;
    let meta = meta_of(path.clone(), &metadata);
    options.check_preconditions(&meta)?;
    let range = match &options.range {
        None => 0..meta.size,
        Some(GetRange::Bounded(range)) => range.start..range.end.min(meta.size),
        Some(GetRange::Offset(from)) => *from..meta.size,
        Some(GetRange::Suffix(length)) => meta.size.saturating_sub(*length)..meta.size,
    };
    let mut bytes = Vec::new();
    if !options.head {
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let length = range.end.saturating_sub(range.start);
        file.take(length).read_to_end(&mut bytes).map_err(failed)?;
    }
    let payload = GetResultPayload::Stream(once(future::ok(bytes.into())).boxed());
    Ok(GetResult { payload, meta, range, attributes: Attributes::new() })
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for LocalFiles {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        let is_noncanonical = is_escaped_path(&location);
        let looked = tokio::task::spawn_blocking(move || (require_file(&location), location)).await;
        let (is_file, location) = looked.map_err(|source| Error::JoinError { source })?;
        is_file?;
        if !is_noncanonical {
            return self.0.get_opts(&location, options).await;
        }
        let read = tokio::task::spawn_blocking(move || get_noncanonical(&location, &options));
        read.await.map_err(|source| Error::JoinError { source })?
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = LocalFiles::list_all(prefix.unwrap_or(&Path::ROOT));
        listed.try_filter_map(|listed| future::ready(object_of(listed))).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = name_of_path(offset);
        let is_behind =
            move |meta: &ObjectMeta| future::ready(name_of_path(&meta.location) > offset);
        self.list(prefix).try_filter(is_behind).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = file_of(prefix.unwrap_or(&Path::ROOT));
        let read = tokio::task::spawn_blocking(move || list_folder(&folder));
        read.await.map_err(|source| Error::JoinError { source })?
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// What is no object is left out, unless that hides objects.
fn object_of(listed: Listed) -> Result<Option<ObjectMeta>> {
    match listed {
        Listed::Object(meta) => Ok(Some(meta)),
        Listed::Unreadable(path, reason) if file_of(&path).is_dir() => {
            Err(Error::PermissionDenied { path: path.to_string(), source: reason.into() })
        }
        Listed::Unreadable(..) | Listed::UnfinishedUpload(_) => Ok(None),
    }
}

fn list_folder(folder: &FilePath) -> Result<ListResult> {
    let (mut common_prefixes, mut objects) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(folder).min_depth(1).max_depth(1).follow_links(true) {
        match &entry {
            Ok(entry) if entry.file_type().is_dir() => {
                common_prefixes.push(path_of(entry.path()));
            }
            _ => objects.extend(look_at(entry)?.map(object_of).transpose()?.flatten()),
        }
    }
    common_prefixes.sort();
    Ok(ListResult { common_prefixes, objects })
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn a_listing_is_object_stores_own_where_all_names_are_canonical() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.json", "b/c.json", "b/d#1", "b/e#x", "足跡/f"] {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, name).unwrap();
        }
        let prefix = Path::from_absolute_path(folder.path()).unwrap();
        let (ours, theirs) = (LocalFiles::new(), LocalFileSystem::new());
        let sorted = |mut objects: Vec<ObjectMeta>| {
            objects.sort_by(|a, b| a.location.cmp(&b.location));
            objects
        };
        let own: Vec<_> = ours.list(Some(&prefix)).try_collect().await.unwrap();
        let other: Vec<_> = theirs.list(Some(&prefix)).try_collect().await.unwrap();
        assert_eq!(sorted(own), sorted(other));
        let own = ours.list_with_delimiter(Some(&prefix)).await.unwrap();
        let other = theirs.list_with_delimiter(Some(&prefix)).await.unwrap();
        assert_eq!(own.common_prefixes, other.common_prefixes);
        assert_eq!(sorted(own.objects), sorted(other.objects));
        let missing = prefix.clone().join("none");
        assert_eq!(ours.list(Some(&missing)).count().await, 0);
    }

    #[tokio::test]
    async fn a_file_whose_name_is_no_utf8_is_listed_and_read_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"\x91\xab\t.json");
        std::fs::write(folder.path().join(name), "0123456789").unwrap();
        std::os::unix::fs::symlink("nothing", folder.path().join("link")).unwrap();
        let prefix = Path::from_absolute_path(folder.path()).unwrap();
        let listed: Vec<_> = LocalFiles::list_all(&prefix).try_collect().await.unwrap();
        let objects = listed.iter().filter_map(|listed| match listed {
            Listed::Object(meta) => Some(meta),
            _ => None,
        });
        let objects: Vec<&ObjectMeta> = objects.collect();
        assert_eq!((listed.len(), objects.len()), (2, 1));
        let store = LocalFiles::new();
        let options = GetOptions {
            if_match: objects[0].e_tag.clone(),
            range: Some(GetRange::Bounded(2..5)),
            ..GetOptions::default()
        };
        let got = store.get_opts(&objects[0].location, options).await.unwrap();
        assert_eq!(got.meta.size, 10);
        assert_eq!(got.bytes().await.unwrap(), "234");
        let changed = GetOptions { if_match: Some("x".into()), ..GetOptions::default() };
        let refused = store.get_opts(&objects[0].location, changed).await.unwrap_err();
        assert!(matches!(refused, Error::Precondition { .. }));
        assert!(store.head(&path_of(FilePath::new("/no\tne"))).await.is_err());
    }
}
