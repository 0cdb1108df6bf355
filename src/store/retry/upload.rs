//! Retried multipart uploads.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use md5::{Digest, Md5};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Error, MultipartId, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMultipartOptions,
    PutPayload, PutResult, Result, UploadPart,
};

use super::{Operation, RetryStore};

impl RetryStore {
    /// Begins an upload. It goes by its id, since a failed part could not be put into its place
    /// otherwise; only one with tags or attributes, which that cannot carry, and one to a store
    /// without ids is left to the store, and its parts are tried once.
    pub(super) async fn begin_upload(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if self.inner.uploads().is_none() || options != PutMultipartOptions::default() {
            let store = self.inner.store();
            let once = || store.put_multipart_opts(location, options.clone());
            return self.repeat(Operation::CreateMultipart, once).await;
        }
        let id = self.create_multipart(location).await?;
        let path = location.clone();
        let parts = Arc::default();
        Ok(Box::new(RetryUpload { store: self.clone(), path, id, parts, bytes: 0, begun: 0 }))
    }

    /// See [`RetryStore::complete_multipart`].
    pub(super) async fn complete(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let missing = match self.try_complete(path, id, parts.clone()).await? {
            Completion::Done(done) => return Ok(done),
            Completion::Missing { error, .. } => error,
        };
        let found = self.head(path).await.ok();
        match found.filter(|object| has_tag_of(object, &parts)) {
            Some(object) => Ok(put_result(object)),
            None => Err(missing),
        }
    }

    async fn try_complete(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<Completion> {
        let uploads = self.inner.try_uploads()?;
        let mut tries = self.retries.begin(Operation::CompleteMultipart);
        loop {
            match uploads.complete_multipart(path, id, parts.clone()).await {
                Ok(done) => return Ok(Completion::Done(done)),
                Err(error) if is_missing_upload(&error) => {
                    let error = Error::NotFound { path: path.to_string(), source: error.into() };
                    return Ok(Completion::Missing { error, is_retry: tries.is_retry() });
                }
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// See [`MultipartStore::abort_multipart`]; an upload that is gone after a retry was aborted.
    pub(super) async fn abort(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let uploads = self.inner.try_uploads()?;
        let mut tries = self.retries.begin(Operation::AbortMultipart);
        loop {
            match uploads.abort_multipart(path, id).await {
                Ok(()) => return Ok(()),
                Err(error) if tries.is_retry() && is_missing_upload(&error) => return Ok(()),
                Err(error) => tries.after(error).await?,
            }
        }
    }
}

/// What completing an upload came to.
enum Completion {
    Done(PutResult),
    /// The store does not know the upload (any more).
    Missing {
        error: Error,
        is_retry: bool,
    },
}

/// Whether a store says that it does not know an upload (any more): S3 does so with 404, which
/// comes as [`Error::NotFound`], Google's client makes a generic error of its 404, and Azure, which
/// has no uploads but blocks, misses the blocks.
fn is_missing_upload(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } => true,
        Error::Generic { source, .. } => {
            let said = source.to_string();
            ["NoSuchUpload", "InvalidBlockList"].iter().any(|code| said.contains(code))
        }
        _ => false,
    }
}

/// Whether an object's e-tag is the one that S3 gives to what is made of these parts.
fn has_tag_of(object: &ObjectMeta, parts: &[PartId]) -> bool {
    let found = object.e_tag.as_deref().map(|tag| tag.trim_matches('"'));
    found.is_some() && found == tag_of(parts).as_deref()
}

/// The MD5 of the parts' MD5s, and their number. The parts' own e-tags are no MD5s where a key
/// encrypts them; then there is none.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
fn tag_of(parts: &[PartId]) -> Option<String> {
    let mut whole = Md5::new();
    for part in parts {
        let md5 = hex::decode(part.content_id.trim_matches('"')).ok()?;
        whole.update(<[u8; 16]>::try_from(md5).ok()?);
    }
    Some(format!("{}-{}", hex::encode(whole.finalize()), parts.len()))
}

fn put_result(object: ObjectMeta) -> PutResult {
    PutResult { e_tag: object.e_tag, version: object.version }
}

/// An upload whose parts are tried again.
#[derive(Debug)]
struct RetryUpload {
    store: RetryStore,
    path: Path,
    id: MultipartId,
    /// The parts that are stored, by their numbers.
    parts: Arc<Mutex<Vec<(usize, PartId)>>>,
    /// Bytes of all parts.
    bytes: u64,
    /// Parts that were begun.
    begun: usize,
}

#[async_trait]
impl MultipartUpload for RetryUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let number = self.begun;
        self.begun += 1;
        self.bytes += data.content_length() as u64;
        let (store, parts) = (self.store.clone(), Arc::clone(&self.parts));
        let (path, id) = (self.path.clone(), self.id.clone());
        Box::pin(async move {
            let part = store.put_part(&path, &id, number, data).await?;
            parts.lock().unwrap_or_else(PoisonError::into_inner).push((number, part));
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if parts.len() != self.begun {
            let source = format!("{} of {} parts are stored", parts.len(), self.begun).into();
            return Err(Error::Generic { store: "retried", source });
        }
        parts.sort_unstable_by_key(|(number, _)| *number);
        let parts = parts.into_iter().map(|(_, part)| part).collect();
        let missing = match self.store.try_complete(&self.path, &self.id, parts).await? {
            Completion::Done(done) => return Ok(done),
            Completion::Missing { error, is_retry: false } => return Err(error),
            Completion::Missing { error, is_retry: true } => error,
        };
        // The upload was ours alone, so nobody but an earlier try has ended it.
        let found = self.store.head(&self.path).await;
        let found = found.ok().filter(|object| object.size == self.bytes);
        found.map(put_result).ok_or(missing)
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.abort_multipart(&self.path, &self.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_an_upload_is_s3s() {
        // Python: md5(md5(b"a").digest() + md5(b"b").digest()).hexdigest()
        let part = |md5: &str| PartId { content_id: format!("\"{md5}\"") };
        let parts =
            [part("0cc175b9c0f1b6a831c399e269772661"), part("92eb5ffee6ae2fec3ad71c777531578f")];
        assert_eq!(tag_of(&parts).unwrap(), "96e024ba2074fe77e8e965ba43a704be-2");
        assert_eq!(tag_of(&[part("AAAB")]), None);
    }
}
