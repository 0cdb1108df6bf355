//! Reads objects under non-canonical names ([`noncanonical_names`](super::noncanonical_names)),
//! which the clouds' clients cannot ask for: their requests are made and signed here.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt, once};
use futures::{TryStreamExt, future};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, HeaderMap, ListResult,
    MultipartId, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};

use super::layer::UploadStore;
use super::noncanonical_names::{is_escaped_path, name_of_path};
use super::open_uploads::{Bucket, object_request};

/// A cloud's client that also reads objects under non-canonical names.
#[derive(Debug)]
pub(super) struct NoncanonicalObjects {
    client: Arc<dyn UploadStore>,
    bucket: Bucket,
    http: HttpClient,
}

impl NoncanonicalObjects {
    pub fn new(client: Arc<dyn UploadStore>, bucket: Bucket, http: HttpClient) -> Self {
        NoncanonicalObjects { client, bucket, http }
    }

    async fn get_noncanonical(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let name = name_of_path(path);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        if options.head {
            *request.method_mut() = "HEAD".parse().map_err(failed)?;
        }
        let headers = request.headers_mut();
        if let Some(range) = &options.range {
            headers.insert("range", range.to_string().parse().map_err(failed)?);
        }
        if let Some(e_tag) = &options.if_match {
            headers.insert("if-match", e_tag.parse().map_err(failed)?);
        }
        headers.insert("accept-encoding", "gzip".parse().map_err(failed)?);
        let request = object_request(&self.bucket, &name, request).await?;
        let response = self.http.execute(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let said = |what: &str| (path.to_string(), format!("the answer was {status} {what}"));
        match status {
            200 | 206 => get_result(path, response).await,
            401 | 403 => {
                let (path, said) = said("access denied");
                Err(Error::PermissionDenied { path, source: said.into() })
            }
            404 => {
                let (path, said) = said("not found");
                Err(Error::NotFound { path, source: said.into() })
            }
            412 => {
                let (path, said) = said("precondition failed");
                Err(Error::Precondition { path, source: said.into() })
            }
            _ => Err(failed(said("").1)),
        }
    }
}

async fn get_result(path: &Path, response: HttpResponse) -> Result<GetResult> {
    let (head, body) = response.into_parts();
    let text = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
    let modified = text("last-modified").and_then(|at| DateTime::parse_from_rfc2822(&at).ok());
    let bytes = body.bytes().await.map_err(failed)?;
    let (start, size) = match text("content-range") {
        Some(range) => read_content_range(&range).ok_or_else(|| failed(range))?,
        None => (0, whole_size(&head.headers).unwrap_or(bytes.len() as u64)),
    };
    let meta = ObjectMeta {
        location: path.clone(),
        last_modified: modified.map_or(DateTime::<Utc>::UNIX_EPOCH, |at| at.to_utc()),
        size,
        e_tag: text("etag"),
        version: None,
    };
    let range = start..start + bytes.len() as u64;
    let payload = GetResultPayload::Stream(once(future::ok(bytes)).boxed());
    Ok(GetResult { payload, meta, range, attributes: Attributes::new() })
}

fn whole_size(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

/// `bytes 0-99/1234`: where it starts, and the size of it all.
fn read_content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "odd names", source: error.into() }
}

impl fmt::Display for NoncanonicalObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for NoncanonicalObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.client.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.client.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match is_escaped_path(location) {
            true => self.get_noncanonical(location, options).await,
            false => self.client.get_opts(location, options).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.client.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.client.list(prefix)
    }

    /// Names come in the order of the names themselves, not of their forms.
    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        if !is_escaped_path(offset) {
            return self.client.list_with_offset(prefix, offset);
        }
        let offset = name_of_path(offset);
        let is_behind =
            move |meta: &ObjectMeta| future::ready(name_of_path(&meta.location) > offset);
        self.client.list(prefix).try_filter(is_behind).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.client.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.client.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for NoncanonicalObjects {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.client.create_multipart(path).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.client.put_part(path, id, part_idx, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.client.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.client.abort_multipart(path, id).await
    }
}
